"""dpkg's maintainer scripts for real: what they do themselves is exempt, their helpers are not."""

from __future__ import annotations

from scenarios.basic import CRON, INIT, MOTD
from scenarios.model import Scenario, fires, shell, silent

NAME = "auditrule-demo"
HELPER = f"/usr/lib/{NAME}/enable-service"
_POSTINST = f"/var/lib/dpkg/info/{NAME}.postinst"
_DIRECT = "the parent is the maintainer script"

CONTROL = f"""\
Package: {NAME}
Version: 1.0
Architecture: all
Maintainer: auditrule <nobody@localhost>
Section: misc
Priority: optional
Description: throw-away package whose maintainer scripts make files executable
"""

_POSTINST_TEXT = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
chmod 755 {INIT}
install -m 755 {INIT} {MOTD}
install -m755 {INIT} {MOTD}
( chmod +x {CRON}; chmod 755 {CRON} )
echo | chmod +x {INIT}
{{ chmod 755 {MOTD}; :; }} &
wait
answer="$(chmod 700 {INIT}; echo done)"
sh -c 'chmod +x {MOTD}'
sh -c 'chmod 555 {MOTD}; :'
{HELPER} {INIT}
find {CRON} -exec chmod 755 {{}} ';'
exit 0
"""

_PRERM_TEXT = f"""\
#!/bin/bash
set -e
chmod 711 {INIT}
( chmod 711 {CRON}; chmod 1755 {CRON} )
( chmod +x {INIT}; chmod +x {CRON}; : )
exit 0
"""

DPKG = Scenario(
    "dpkg",
    """A tiny package is installed and purged. Its postinst (dash) and prerm (bash) make files
    executable directly, from subshells, pipelines and background jobs, through sh -c, find and a
    helper script of the package.""",
    (
        shell(
            f"dpkg -i {NAME}.deb || exit 1",
            silent(f"chmod 755 {INIT}", _DIRECT),
            silent(f"install -m 755 {INIT} {MOTD}", _DIRECT),
            silent(f"install -m755 {INIT} {MOTD}", _DIRECT + ", and -m755 is one word"),
            silent(f"chmod +x {CRON}", "the parent is a subshell of the script", modes=("clone",)),
            fires(
                f"chmod +x {CRON}",
                parent=None,
                modes=("exec",),
                because="the parent is a forked subshell, unknown without clone records",
            ),
            silent(f"chmod 755 {CRON}", _DIRECT + ": dash execs a subshell's last command in it"),
            silent(f"chmod +x {INIT}", _DIRECT + ": so it does in a pipeline"),
            silent(f"chmod 755 {MOTD}", "the parent is a job of the script", modes=("clone",)),
            fires(f"chmod 755 {MOTD}", parent=None, modes=("exec",)),
            silent(f"chmod 700 {INIT}", "the parent is a subshell", modes=("clone",)),
            fires(f"chmod 700 {INIT}", parent=None, modes=("exec",)),
            fires(f"chmod +x {MOTD}", parent="/usr/bin/dash"),
            fires(f"chmod 555 {MOTD}", parent="/usr/bin/dash"),
            fires(f"chmod 755 {INIT}", parent=HELPER),
            fires(f"chmod 755 {CRON}", parent="/usr/bin/find"),
        ),
        shell(
            f"dpkg --purge {NAME} || exit 1",
            silent(f"chmod 711 {INIT}", _DIRECT),
            silent(f"chmod 711 {CRON}", "the parent is a subshell", modes=("clone",)),
            fires(f"chmod 711 {CRON}", parent=None, modes=("exec",)),
            silent(f"chmod 1755 {CRON}", _DIRECT),
            silent(f"chmod +x {INIT}", "the parent is a subshell", modes=("clone",)),
            fires(f"chmod +x {INIT}", parent=None, modes=("exec",)),
            silent(f"chmod +x {CRON}", "the parent is a subshell", modes=("clone",)),
            fires(f"chmod +x {CRON}", parent=None, modes=("exec",)),
        ),
        shell(
            f"cp /srv/demo/imposter /var/lib/dpkg/{NAME}-imposter\n"
            f"/var/lib/dpkg/{NAME}-imposter\nrm /var/lib/dpkg/{NAME}-imposter",
            silent(f"chmod +x {CRON}", "any script below /var/lib/dpkg is exempt"),
        ),
    ),
    files={"imposter": f"#!/bin/sh\nchmod +x {CRON}\nexit 0\n"},
    packages={
        NAME: {
            "DEBIAN/control": CONTROL,
            "DEBIAN/postinst": _POSTINST_TEXT,
            "DEBIAN/prerm": _PRERM_TEXT,
            HELPER.lstrip("/"): '#!/bin/sh\nchmod 755 "$1"\nexit 0\n',
        }
    },
    targets=(CRON, INIT, MOTD),
    products=(f"/var/lib/dpkg/{NAME}-imposter",),
)

SCENARIOS = (DPKG,)
