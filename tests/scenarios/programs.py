"""Ways to start programs and to be a parent: odd calls, forks, namespaces, pids used again."""

from __future__ import annotations

from scenarios.basic import CRON, INIT, MOTD
from scenarios.model import ANY, STAGE, Scenario, Step, fires, shell, silent

_ADD = f"chmod +x {CRON}"
_INIT = f"chmod 755 {INIT}"
_BODY = f"{_ADD}\n:\n"
_CHMOD = "/usr/bin/chmod"
_IMPOSTER = "/var/lib/dpkg/auditrule-demo-imposter"

CALLS = Scenario(
    "calls",
    """execveat by an open file, by a folder and from memory; an exec without any argument; an exec
    from a thread; fork, vfork, posix_spawn and clone with CLONE_PARENT.""",
    (
        shell(f"./odd by-fd {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}")),
        shell(f"./odd by-folder /usr/bin chmod +x {CRON}", fires(_ADD)),
        shell(
            f"./odd from-memory {_CHMOD} +x {CRON}",
            silent(f"{_CHMOD} +x {CRON}", "the file that runs is in memory and not named chmod"),
        ),
        shell("./odd by-folder /srv/demo plain", fires(_ADD, parent=ANY)),
        shell("./odd by-fd /srv/demo/plain", fires(_ADD, parent=ANY)),
        shell(
            "cd /var/lib/dpkg; /srv/demo/odd by-folder /srv/demo plain; cd /srv/demo",
            fires(
                _ADD,
                parent=ANY,
                because="the script's name is relative to the open folder, not to dpkg's, where it"
                " was started",
            ),
        ),
        shell(
            f"cp {_CHMOD} {STAGE}/chmod; ./odd deleted {STAGE}/chmod +x {CRON}",
            fires(
                f"{STAGE}/chmod +x {CRON}",
                parent=ANY,
                modes=(),
                undecidable=("exec", "clone"),
                because="a copy of chmod that is deleted before it runs: exe ends in ' (deleted)'",
            ),
        ),
        shell("./odd without-arguments /usr/bin/true", silent((b"",), "no argument at all")),
        shell(f"./odd thread-execs {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}")),
        shell(
            f"./odd in-thread {_CHMOD} +x {CRON}",
            fires(f"{_CHMOD} +x {CRON}", parent=f"{STAGE}/odd"),
        ),
        shell(
            f"./odd fork {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}", parent=f"{STAGE}/odd")
        ),
        shell(
            f"./odd vfork {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}", parent=f"{STAGE}/odd")
        ),
        shell(
            f"./odd spawn {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}", parent=f"{STAGE}/odd")
        ),
        shell(
            f"./odd sibling {_CHMOD} +x {CRON}",
            fires(f"{_CHMOD} +x {CRON}", because="CLONE_PARENT: the script is the parent"),
        ),
    ),
    files={"plain": f"#!/bin/sh\n{_BODY}"},
    targets=(CRON,),
    tool=True,
)

WORDS = Scenario(
    "32-bit",
    "A 32-bit program on the 64-bit kernel: execve and execveat with their other numbers.",
    (
        shell(f"./odd32 execve {_CHMOD} +x {CRON}", fires(f"{_CHMOD} +x {CRON}")),
        shell(f"./odd32 execveat {_CHMOD} 755 {CRON}", fires(f"{_CHMOD} 755 {CRON}")),
        shell(
            f"./odd32 execve {_CHMOD} 0755 {CRON}",
            silent(f"{_CHMOD} 0755 {CRON}", "0755 begins with 0"),
        ),
    ),
    targets=(CRON,),
    tool=True,
)

PREFORK = Scenario(
    "prefork",
    """Servers that fork workers without exec: one in C, one in Perl. A worker of a worker starts
    the command.""",
    (
        shell(
            f"./odd prefork {_CHMOD} +x {CRON}",
            fires(f"{_CHMOD} +x {CRON}", parent=f"{STAGE}/odd", forked=True),
        ),
        shell(
            "./server.pl",
            fires(_ADD, parent=f"{STAGE}/server.pl", forked=True),
            fires(_INIT, parent=f"{STAGE}/server.pl", forked=True),
        ),
    ),
    files={
        "server.pl": (
            "#!/usr/bin/perl\nfor my $job (['+x', '" + CRON + "'], ['755', '" + INIT + "']) {\n"
            "  my $pid = fork;\n"
            "  if (!$pid) { system('chmod', @$job); exit 0 }\n  waitpid $pid, 0;\n}\n"
        ),
    },
    targets=(CRON, INIT),
    tool=True,
)

FAILED = Scenario(
    "failed",
    "Execs that fail: no such file, no permission, no format, a folder. Nothing starts.",
    (
        shell(
            f"/srv/demo/missing/chmod +x {CRON} 2>/dev/null",
            silent(f"/srv/demo/missing/chmod +x {CRON}", "no such file", starts=False),
        ),
        shell(
            f"chmod 644 denied/chmod\n./denied/chmod +x {CRON} 2>/dev/null",
            silent(f"./denied/chmod +x {CRON}", "not executable", starts=False),
        ),
        shell(
            f"env ./garbage/chmod +x {CRON} 2>/dev/null",
            silent(f"./garbage/chmod +x {CRON}", "not a program's format", starts=False),
            silent(f"/bin/sh ./garbage/chmod +x {CRON}", "env then tries a shell: dash runs"),
        ),
        shell(
            f"./no-interpreter/chmod +x {CRON} 2>/dev/null",
            silent(f"./no-interpreter/chmod +x {CRON}", "its interpreter is missing", starts=False),
        ),
        shell(
            f"./folder +x {CRON} 2>/dev/null",
            silent(f"./folder +x {CRON}", "a folder", starts=False),
        ),
        shell(
            f'chmod +x {CRON} "$(printf %0131071d 0)1" 2>/dev/null',
            silent(
                f"chmod +x {CRON} too-long",
                "an argument longer than the kernel takes",
                starts=False,
            ),
        ),
        shell(
            f"PATH=/srv/demo/missing:/srv/demo/denied:$PATH; chmod +x {CRON}",
            fires(_ADD, because="the third try along PATH succeeds"),
        ),
    ),
    files={
        "denied/chmod": "copy:/usr/bin/chmod",
        "garbage/chmod": b"\x7fELF garbage",
        "no-interpreter/chmod": "#!/srv/demo/missing/sh\n",
        "folder/x": "demo\n",
    },
    targets=(CRON,),
)

PID_NAMESPACE = Scenario(
    "pid-namespace",
    """A process namespace as containers have it: the result of clone is the child's number inside,
    pid= and ppid= are those outside.""",
    (
        shell(
            f"unshare --pid --fork sh -c '( {_ADD}; : ); ( ./job.sh; : ); {_INIT}; :'",
            fires(_ADD, parent=ANY),
            fires(f"chmod 755 {MOTD}", parent=f"{STAGE}/job.sh"),
            fires(_INIT, parent="/usr/bin/dash"),
        ),
    ),
    files={"job.sh": f"#!/bin/sh\nchmod 755 {MOTD}\n:\n"},
    targets=(CRON, INIT, MOTD),
)

_ENDED = 'old=$!; wait "$old"'
# Times in the log come in steps of a few milliseconds: the new owner comes a good deal later.
_LATER = "sleep 0.05"

REUSE = Scenario(
    "pid-reuse",
    """A pid is used again: first by a script below /var/lib/dpkg, then by a process that has
    nothing to do with it. Once the first ended by itself, once it was killed and left no
    exit_group.""",
    (
        shell(
            f"cp imposter {_IMPOSTER}; {_IMPOSTER} & {_ENDED}; {_LATER}",
            silent(_ADD, "the parent is a script below /var/lib/dpkg"),
        ),
        shell(
            f'./odd fork-as "$old" {_CHMOD} 755 {CRON}',
            fires(
                f"{_CHMOD} 755 {CRON}",
                parent=f"{STAGE}/odd",
                modes=("clone",),
                undecidable=("exec",),
                because="the new owner of the pid is a fork of odd; only a clone record tells",
            ),
        ),
        shell(
            './odd exec-as "$old" /srv/demo/job.sh',
            fires(_INIT, parent=f"{STAGE}/job.sh", because="the new owner of the pid exec'd"),
        ),
        shell(
            f"{_IMPOSTER} kill & {_ENDED} 2>/dev/null; {_LATER}",
            silent(_ADD, "the parent is a script below /var/lib/dpkg"),
        ),
        shell(
            f'./odd fork-as "$old" {_CHMOD} 700 {CRON}; rm {_IMPOSTER}',
            fires(
                f"{_CHMOD} 700 {CRON}",
                parent=ANY,
                modes=("clone",),
                undecidable=("exec",),
                because="a fork of odd; but the first owner's end is not in the log, and so the"
                " number could also be one inside a pid namespace",
            ),
        ),
    ),
    files={
        "imposter": f'#!/bin/sh\n{_ADD}\n[ "$1" != kill ] || kill -9 $$\n:\n',
        "job.sh": f"#!/bin/sh\n{_INIT}\n:\n",
    },
    targets=(CRON, INIT),
    products=(_IMPOSTER,),
    tool=True,
)

PARALLEL = Scenario(
    "parallel",
    "Many short programs at once, attacks among them: the records of their events interleave.",
    (
        Step(
            "seq 60 | xargs -P 8 -n 1 /usr/bin/true &\n"
            f"seq 12 | xargs -P 8 -I N {_ADD} /srv/demo/N &\n"
            f"seq 12 | xargs -P 8 -I N chmod u+x {CRON} /srv/demo/N &\nwait",
            (
                *(fires(f"{_ADD} /srv/demo/{n}", parent="/usr/bin/xargs") for n in range(1, 13)),
                *(silent(f"chmod u+x {CRON} /srv/demo/{n}", "u+x") for n in range(1, 13)),
            ),
        ),
    ),
    targets=(CRON,),
    bulky=True,
)

_FAKE = 'type=EXECVE msg=audit(1700000000.000:1): argc=3 a0="chmod" a1="+x" a2="/etc/cron.d/forged"'

USER = Scenario(
    "user-messages",
    """Messages from user space (auditctl -m, and past libaudit's checks): with text that looks like
    a record, with quotes, with a newline. None of it may be taken for a record.""",
    (
        shell("auditctl -m 'a plain message'"),
        shell(f"auditctl -m '{_FAKE}'"),
        shell(f"auditctl -m \"' {_FAKE.replace(chr(34), chr(92) + chr(34))} x='\""),
        shell(f"./odd message 'first line\n{_FAKE}'"),
        shell(f'./odd message "\'\n{_FAKE.replace(chr(34), chr(92) + chr(34))}\n"'),
        shell("./odd message ''"),
        shell('auditctl -m "it\'s \\"quoted\\" res=success"'),
        shell(f"{_ADD}", fires(_ADD)),
    ),
    targets=(CRON,),
    tool=True,
)

SCENARIOS = (
    CALLS,
    WORDS,
    PREFORK,
    FAILED,
    PID_NAMESPACE,
    REUSE,
    PARALLEL,
    USER,
)
