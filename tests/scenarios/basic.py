"""chmod and install as the rule knows them, and their look-alikes."""

from __future__ import annotations

from scenarios.model import Scenario, attack, fires, innocent, shell, silent

CRON = "/etc/cron.d/auditrule-demo"
INIT = "/etc/init.d/auditrule-demo"
MOTD = "/etc/update-motd.d/99-auditrule-demo"

_PLACES = (
    "/etc/rc.local",
    "/etc/rc.common",
    "/etc/rc.d/rc.local",
    INIT,
    MOTD,
    "/etc/apt/apt.conf.d/99auditrule-demo",
    CRON,
    "/etc/cron.daily/auditrule-demo",
    "/etc/crontab",
    "/etc/init/auditrule-demo.conf",
    "/etc/xdg/autostart/auditrule-demo.desktop",
    "/home/demo/.config/autostart/auditrule-demo.desktop",
    "/root/.config/autostart/auditrule-demo.desktop",
    "/home/demo/.local/share/autostart/auditrule-demo.desktop",
    "/root/.local/share/autostart/auditrule-demo.desktop",
    "/home/demo/.config/autostart-scripts/auditrule-demo.sh",
    "/root/.config/autostart-scripts/auditrule-demo.sh",
    "/usr/share/autostart/auditrule-demo.desktop",
    "/lib/udev/auditrule-demo",
    "/etc/udev/rules.d/99-auditrule-demo.rules",
    "/usr/lib/udev/rules.d/99-auditrule-demo.rules",
    "/run/udev/rules.d/99-auditrule-demo.rules",
)

PLACES = Scenario(
    "places",
    "chmod +x by a script on one file in each place that the rule names.",
    tuple(attack(f"chmod +x {place}") for place in _PLACES),
    targets=_PLACES,
)

CHMOD = Scenario(
    "chmod",
    "Forms of chmod that the rule knows, and forms it does not.",
    (
        attack(f"chmod +x {CRON}"),
        attack(f"chmod 755 {CRON}"),
        attack(f"chmod 1755 {CRON}"),
        attack(f"chmod 700 {CRON}"),
        attack(f"chmod 555 {CRON}"),
        attack(f"chmod 355 {CRON}"),
        attack(f"/usr/bin/chmod +x {CRON}"),
        attack(f"/bin/chmod +x {CRON}"),
        attack(f"chmod +xr {CRON}"),
        attack(f"chmod +X {CRON}", "the rule's comparison ignores case"),
        attack(f"chmod -v +x {CRON}"),
        attack(f"chmod -R 755 {MOTD}"),
        attack(f"chmod {CRON} +x", "the order of the arguments does not matter"),
        attack(f"chmod +x /srv/demo/other {CRON} {INIT}", "one alert for the whole command"),
        attack(
            "chmod +x /ETC/CRON.D/auditrule-demo", "chmod itself fails, but it was started; case"
        ),
        attack("chmod +x /etc/cron.d/does-not-exist", "chmod itself fails, but it was started"),
        attack(
            f"chmod 644 {CRON} 1-other", "a file name that begins with 1 is enough for the rule"
        ),
        innocent(f"chmod u+x {CRON}", "u+x does not begin with +x"),
        innocent(f"chmod a+x {CRON}", "a+x does not begin with +x"),
        innocent(f"chmod +rx {CRON}", "+rx does not begin with +x"),
        innocent(f"chmod 0755 {CRON}", "0755 begins with 0"),
        innocent(f"chmod 4755 {CRON}", "4755 begins with 4"),
        innocent(f"chmod 644 {CRON}", "644 begins with 6"),
        innocent(f"chmod -x {CRON}", "takes the bit away"),
        innocent("chmod +x /srv/demo/other", "no place of the rule's"),
        innocent("chmod 755 /usr/local/bin", "no place of the rule's; its mode is 755 already"),
        innocent("chmod 755 /etc/init.d", "the directory, not what lies in it; 755 already"),
        innocent("chmod +x /etc/init.d-other/x", "a name that only begins alike"),
        innocent("chmod +x //etc/cron.d/auditrule-demo", "the text is compared, not the file"),
        innocent("chmod +x /etc/../etc/cron.d/auditrule-demo", "the text is compared"),
        shell(
            "cd /etc/cron.d\nchmod +x auditrule-demo\nchmod +x ./auditrule-demo\ncd /srv/demo",
            silent("chmod +x auditrule-demo", "a relative path"),
            silent("chmod +x ./auditrule-demo", "a relative path"),
        ),
        innocent(f"ls -l +x {CRON}", "ls is not chmod"),
        innocent(f"cp -p 755 {CRON}", "cp is neither chmod nor install"),
        innocent(f"./CHMOD +x {CRON}", "the program's name is compared with its case"),
        innocent(f"./setmode +x {CRON}", "a copy of chmod under another name"),
        shell(
            f"./bin/chmod +x {CRON}",
            fires(f"./bin/chmod +x {CRON}", because="a copy named chmod, by a relative path"),
        ),
        shell(
            f"bash -c 'exec -a innocent chmod +x {CRON}'",
            fires(f"innocent +x {CRON}", because="the program's file counts, not its argument 0"),
        ),
        shell(
            f"bash -c 'exec -a chmod true +x {CRON}'",
            silent(f"chmod +x {CRON}", "true under the name of chmod"),
        ),
        shell(
            f"./wrapper/chmod +x {CRON}",
            fires(
                f"/bin/sh ./wrapper/chmod +x {CRON}",
                because="a script named chmod, which by the rule's words is one",
            ),
            fires(f"/usr/bin/chmod +x {CRON}", parent="/srv/demo/wrapper/chmod"),
        ),
    ),
    files={
        "other": "demo\n",
        "1-other": "demo\n",
        "CHMOD": "copy:/usr/bin/chmod",
        "setmode": "copy:/usr/bin/chmod",
        "bin/chmod": "copy:/usr/bin/chmod",
        "wrapper/chmod": '#!/bin/sh\n/usr/bin/chmod "$@"\n:\n',
    },
    targets=(CRON, INIT, MOTD),
)

_INSTALLED = ("/etc/init.d/auditrule-demo", "/etc/cron.daily/auditrule-demo")

INSTALL = Scenario(
    "install",
    "install(1): the rule wants an argument that begins with -m and one that begins with the mode.",
    (
        attack("install -m 755 payload /etc/init.d/auditrule-demo"),
        attack("install -m 0755 1payload /etc/init.d/auditrule-demo", "1payload begins with 1"),
        attack("install -D -m 700 payload /etc/cron.daily/auditrule-demo"),
        attack("/usr/bin/install -m 555 payload /etc/init.d/auditrule-demo"),
        attack("install -m755 3payload /etc/init.d/auditrule-demo", "3payload begins with 3"),
        innocent("install -m755 payload /etc/init.d/auditrule-demo", "one word: no mode argument"),
        innocent("install -m 0755 payload /etc/init.d/auditrule-demo", "0755 begins with 0"),
        innocent("install --mode=755 payload /etc/init.d/auditrule-demo", "no -m, no mode"),
        innocent("install --mode 755 payload /etc/init.d/auditrule-demo", "--mode is not -m"),
        innocent("install -m 644 payload /etc/init.d/auditrule-demo", "644 begins with 6"),
        innocent("install payload /etc/init.d/auditrule-demo", "no mode named; the file is 755"),
        innocent("install -m 755 payload /srv/demo/installed", "no place of the rule's"),
        shell(
            "cd /etc/init.d\ninstall -m 755 /srv/demo/payload auditrule-demo\ncd /srv/demo",
            silent("install -m 755 /srv/demo/payload auditrule-demo", "a relative path"),
        ),
        innocent("install -m +x payload /etc/init.d/auditrule-demo", "+x is no mode for install"),
        innocent("chmod -m 644 /etc/init.d/auditrule-demo", "chmod has no -m; 644 begins with 6"),
    ),
    files={"payload": "demo\n", "1payload": "demo\n", "3payload": "demo\n"},
    products=_INSTALLED,
)

SCENARIOS = (PLACES, CHMOD, INSTALL)
