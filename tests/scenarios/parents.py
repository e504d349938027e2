"""The same attack under many kinds of parent, forked without exec among them."""

from __future__ import annotations

from scenarios.basic import CRON, INIT, MOTD
from scenarios.model import Scenario, fires, shell, silent

_ADD = f"chmod +x {CRON}"
_INIT = f"chmod 755 {INIT}"
_MOTD = f"chmod +x {MOTD}"

SUBSHELL = Scenario(
    "subshell",
    """Subshells, pipelines and background jobs of a dash script. dash execs the last command of a
    subshell in the subshell's own process, so the script is its parent; any earlier command has the
    forked subshell as its parent, which never called exec.""",
    (
        shell(f"( {_ADD}; {_INIT} )", fires(_ADD, forked=True), fires(_INIT)),
        shell(f"{{ {_MOTD}; :; }} | cat", fires(_MOTD, forked=True)),
        shell(f"echo x | {_ADD}", fires(_ADD)),
        shell(f"{{ {_INIT}; :; }} & wait", fires(_INIT, forked=True)),
        shell(f"{_MOTD} & wait", fires(_MOTD)),
        shell(f'x="$({_ADD}; echo done)"', fires(_ADD, forked=True)),
        shell(f"( ( {_INIT}; : ); : )", fires(_INIT, forked=True)),
        shell(f"( chmod u+x {MOTD}; : )", silent(f"chmod u+x {MOTD}", "u+x")),
    ),
    targets=(CRON, INIT, MOTD),
)

PARENTS = Scenario(
    "parents",
    "One attack through each of the usual go-betweens.",
    (
        shell(f"sh -c '{_ADD}'", fires(_ADD, parent="/usr/bin/dash")),
        shell(f"sh -c '{_ADD}; :'", fires(_ADD, parent="/usr/bin/dash")),
        shell(f"bash -c '{_ADD}; :'", fires(_ADD, parent="/usr/bin/bash")),
        shell(f"bash -c '{_ADD}'", fires(_ADD, because="bash -c execs a lone command itself")),
        shell(f"find {CRON} -exec chmod +x {{}} \\;", fires(_ADD, parent="/usr/bin/find")),
        shell(
            f"find {CRON} {INIT} -exec chmod +x {{}} +",
            fires(f"chmod +x {CRON} {INIT}", parent="/usr/bin/find"),
        ),
        shell(f"echo {CRON} | xargs chmod +x", fires(_ADD, parent="/usr/bin/xargs")),
        shell(f"env -i /usr/bin/chmod +x {CRON}", fires(f"/usr/bin/chmod +x {CRON}")),
        shell(f"nice -n 5 {_ADD}", fires(_ADD)),
        shell(f"setsid --wait {_ADD}", fires(_ADD)),
        shell(f"nohup {_ADD} >/dev/null", fires(_ADD)),
        shell(f"timeout 10 {_ADD}", fires(_ADD, parent="/usr/bin/timeout")),
        shell(
            f'perl -e \'system("chmod", "+x", "{CRON}")\'',
            fires(_ADD, parent="/usr/bin/perl"),
        ),
        shell(
            f"setpriv --reuid=65534 --regid=65534 --clear-groups {_ADD}",
            fires(_ADD, because="as nobody: chmod itself fails"),
        ),
        shell(
            f"su -s /bin/sh nobody -c '{_ADD}; :'",
            fires(_ADD, parent="/usr/bin/dash", because="as nobody, by su: chmod itself fails"),
        ),
        shell(
            f"cp /usr/bin/chmod /srv/demo/chmod && chown daemon /srv/demo/chmod"
            f" && chmod 4755 /srv/demo/chmod\n/srv/demo/chmod +x {CRON}",
            silent("chmod 4755 /srv/demo/chmod", "no place of the rule's"),
            fires(
                f"/srv/demo/chmod +x {CRON}",
                because="a set-user-ID copy: the effective user is daemon, the real one root",
            ),
        ),
    ),
    targets=(CRON, INIT),
)

CROND = Scenario(
    "crond",
    """A copy of dash named crond starts jobs as cron does: it forks, and the child execs
    `/bin/sh -c LINE`. There is no login user (auid is unset), as with a real cron daemon.""",
    (
        shell(
            "./crond ./crontab",
            fires(_ADD, parent="/usr/bin/dash"),
            fires(_INIT, parent="/usr/bin/dash"),
            fires(_MOTD, parent="/srv/demo/job.sh"),
            silent(f"chmod 0755 {MOTD}", "0755 begins with 0"),
        ),
    ),
    files={
        "crond": "copy:/usr/bin/dash",
        "crontab": (
            f"( /bin/sh -c '{_ADD}' )\n( /bin/sh -c '{_INIT}; :' )\n"
            "( /bin/sh -c '/srv/demo/job.sh' )\n"
            f"( /bin/sh -c 'chmod 0755 {MOTD}' )\nwait\n"
        ),
        "job.sh": f"#!/bin/sh\n{_MOTD}\nexit 0\n",
    },
    targets=(CRON, INIT, MOTD),
    login=False,
)

BUSYBOX = Scenario(
    "busybox",
    """busybox under its own name, which the rule does not know, and reached through links named
    after its applets, which are then the programs' names.""",
    (
        shell(
            f"busybox chmod +x {CRON}",
            silent(f"busybox chmod +x {CRON}", "the program's name is busybox"),
        ),
        shell(
            f"./chmod +x {CRON}",
            fires(f"./chmod +x {CRON}", because="a link named chmod"),
        ),
        shell(
            f"/srv/demo/chmod 755 {INIT}",
            fires(f"/srv/demo/chmod 755 {INIT}", because="a link named chmod"),
        ),
        shell(
            "./install -m 755 payload /etc/cron.daily/auditrule-demo",
            fires("./install -m 755 payload /etc/cron.daily/auditrule-demo"),
        ),
        shell(
            f"./setmode +x {CRON}",
            silent(f"./setmode +x {CRON}", "a link with a name that is no applet's: fails"),
        ),
    ),
    files={
        "chmod": "link:/usr/bin/busybox",
        "install": "link:/usr/bin/busybox",
        "setmode": "link:/usr/bin/busybox",
        "payload": "demo\n",
    },
    targets=(CRON, INIT),
    products=("/etc/cron.daily/auditrule-demo",),
)

ORPHAN = Scenario(
    "orphan",
    "The parent ends first: the child, adopted by process 1, makes the file executable afterwards.",
    (
        shell(
            "( ./daemon.sh & )\n"
            'until [ -s pid ]; do :; done; read -r pid <pid\nwhile [ -d "/proc/$pid" ]; do :; done',
            fires(_ADD, parent=None, because="process 1 is not in the log"),
            fires(
                _INIT,
                parent="/srv/demo/daemon.sh",
                because="the child's parent is the daemon, whose own parent is gone",
            ),
        ),
    ),
    files={
        "daemon.sh": (
            "#!/bin/sh\n"
            'adopted() { read -r _ _ _ parent _ </proc/self/stat; [ "$parent" != "$1" ]; }\n'
            "until adopted $PPID || [ $PPID = 1 ]; do :; done\n"
            f"{_INIT}\n"
            "{ until adopted $$; do :; done; exec " + _ADD + "; } &\n"
            'echo "$!" >pid.new\nmv pid.new pid\n'
        ),
    },
    targets=(CRON, INIT),
)

TERMINAL = Scenario(
    "terminal",
    "A shell on a terminal: the records name it in tty=.",
    (
        shell(f"{_ADD}", fires(_ADD)),
        shell(f"bash --norc -ic '{_INIT}; :' 2>/dev/null", fires(_INIT, parent="/usr/bin/bash")),
        shell(f"setsid --wait {_MOTD} </dev/null >/dev/null 2>&1", fires(_MOTD)),
    ),
    targets=(CRON, INIT, MOTD),
    terminal=True,
)

SCENARIOS = (SUBSHELL, PARENTS, CROND, BUSYBOX, ORPHAN, TERMINAL)
