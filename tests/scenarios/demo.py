"""The README's demo: a host's ordinary day, and an intruder's start-up scripts in its middle."""

from __future__ import annotations

from scenarios.model import Act, Scenario, fires, silent

_PACKAGE = "logtidy"
_SETUP = "/var/tmp/.cache/setup.sh"
_HOURLY = "/etc/cron.hourly/logcheck"
_AGENT = "/etc/init.d/network-agent"
_MOTD = "/etc/update-motd.d/00-banner"
_NOTIFIER = "/home/demo/.config/autostart/update notifier.desktop"
_UDEV = "/etc/udev/rules.d/99-net.rules"
_SERVICE = f"/etc/init.d/{_PACKAGE}"
_DAILY = f"/etc/cron.daily/{_PACKAGE}"

_CONTROL = f"""\
Package: {_PACKAGE}
Version: 1.2-1
Architecture: all
Maintainer: auditrule <nobody@localhost>
Section: admin
Priority: optional
Description: throw-away package of the demo, tidies logs
"""
_POSTINST = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
chmod 755 {_SERVICE}
( chmod +x {_DAILY}; chmod 700 /usr/lib/{_PACKAGE} )
exit 0
"""
_MORNING = f"""\
#!/bin/sh
cd /root
id; uptime; uname -r; hostname
df -h / >/dev/null
free -m >/dev/null
ls -la /etc/init.d /etc/cron.d >/dev/null
cat /etc/debian_version
sleep 1
dpkg -i /srv/demo/{_PACKAGE}.deb || exit 1
dpkg -s {_PACKAGE} | grep Version
ls -l {_SERVICE} {_DAILY}
head -n 3 /etc/passwd | cut -d: -f1 | sort
mkdir -p /srv/demo/bin
cp /srv/demo/backup.sh /srv/demo/bin/backup
chmod +x /srv/demo/bin/backup
chmod 644 /srv/demo/www/index.html
find /srv/demo -type f -name '*.log' | wc -l
exit 0
"""
_CRON = """\
(/bin/sh -c '/srv/demo/rotate-logs')
(/bin/sh -c 'test -x /srv/demo/backup.sh && /srv/demo/backup.sh')
wait
"""
_ROTATE = """\
#!/bin/sh
set -e
cd /srv/demo/spool
for name in access error auth mail; do
    sleep 1
    head -c 2000 /dev/zero | tr '\\0' '.' >"$name.log"
    gzip -f "$name.log"
    chmod 640 "$name.log.gz"
    date -r "$name.log.gz" +%s >/dev/null
done
find . -name '*.gz' -mtime +7 -exec rm {} ';'
ls | sort | tail -n 3 | while read -r name; do stat -c %s "$name"; done
"""
_BACKUP = """\
#!/bin/sh
tar -czf /srv/demo/spool/www.tar.gz -C /srv/demo www
sha256sum /srv/demo/spool/www.tar.gz | cut -c1-12
find /srv/demo/www -type f | xargs -n 1 md5sum >/dev/null
sync
"""
_WEBAPP = f"""\
#!/usr/bin/perl
# A web application with a hole: it runs what was uploaded.
for my $request ('id', 'uname -a', 'cat /etc/hostname', 'sh -c "{_SETUP}; :"') {{
    my $pid = fork;
    if (!$pid) {{ system($request); exit 0 }}
    waitpid $pid, 0;
}}
"""
_DROP = f"""\
#!/bin/sh
cd /var/tmp/.cache
id -u
ls /etc/cron.hourly
cat payload >{_HOURLY}
chmod +x {_HOURLY}
sleep 1
install -m 755 payload {_AGENT}
(
    cp payload {_MOTD}
    chmod 755 {_MOTD}
    touch -r /etc/debian_version {_MOTD}
)
sleep 1
cp payload '{_NOTIFIER}'
chmod +x '{_NOTIFIER}'
touch -r /etc/debian_version {_HOURLY} {_AGENT}
:
"""
_PAYLOAD = f"""\
#!/bin/sh
echo '# demo' >{_UDEV}
find {_UDEV} -exec chmod 755 {{}} +
:
"""
_HOURLY_CRON = f"(/bin/sh -c 'cd / && {_HOURLY}; :')\n(/bin/sh -c '/srv/demo/rotate-logs')\nwait\n"
_EVENING = f"""\
#!/bin/sh
cd /root
uptime
ps -e >/dev/null
ls -l /etc/init.d >/dev/null
/srv/demo/bin/backup
grep -c . /etc/passwd
sleep 1
chmod 600 /srv/demo/spool/www.tar.gz
dpkg --purge {_PACKAGE} || exit 1
exit 0
"""

DEMO = Scenario(
    "demo",
    """A host's day: an administrator installs a package whose maintainer scripts make its own
    start-up scripts executable (no alert), cron jobs run, a web application is made to run an
    intruder's script, which plants start-up scripts (four alerts), cron starts one of them, which
    plants another (the fifth), and the package is purged again. The log was rotated twice.""",
    (),
    files={
        "morning.sh": _MORNING,
        "evening.sh": _EVENING,
        "crond": "copy:/usr/bin/dash",
        "crontab": _CRON,
        "crontab-hourly": _HOURLY_CRON,
        "cron.sh": "#!/bin/sh\n/srv/demo/crond /srv/demo/crontab\nexit 0\n",
        "cron-hourly.sh": "#!/bin/sh\n/srv/demo/crond /srv/demo/crontab-hourly\nexit 0\n",
        "service.sh": "#!/bin/sh\n/srv/demo/webapp\nexit 0\n",
        "webapp": _WEBAPP,
        "rotate-logs": _ROTATE,
        "backup.sh": _BACKUP,
        "spool/old.log": "demo\n",
        "www/index.html": "<p>demo</p>\n",
        "www/style.css": "p {}\n",
        _SETUP: _DROP,
        "/var/tmp/.cache/payload": _PAYLOAD,
    },
    products=(_HOURLY, _AGENT, _MOTD, _NOTIFIER, _UDEV),
    packages={
        _PACKAGE: {
            "DEBIAN/control": _CONTROL,
            "DEBIAN/conffiles": f"{_SERVICE}\n{_DAILY}\n",
            "DEBIAN/postinst": _POSTINST,
            _SERVICE.lstrip("/"): "#!/bin/sh\nexit 0\n",
            _DAILY.lstrip("/"): "#!/bin/sh\nexit 0\n",
            f"usr/lib/{_PACKAGE}/tidy": "#!/bin/sh\nexit 0\n",
        }
    },
    acts=(
        Act("/srv/demo/morning.sh", terminal=True),
        Act("/srv/demo/cron.sh", login=False, rotate=True),
        Act("/srv/demo/service.sh", login=False),
        Act("/srv/demo/cron-hourly.sh", login=False, rotate=True),
        Act("/srv/demo/cron.sh", login=False),
        Act("/srv/demo/evening.sh", terminal=True),
    ),
    expectations=(
        silent(f"chmod 755 {_SERVICE}", "by the maintainer script"),
        silent(f"chmod +x {_DAILY}", "by a subshell of the maintainer script", modes=("clone",)),
        silent("chmod +x /srv/demo/bin/backup", "no place of the rule's"),
        fires(f"chmod +x {_HOURLY}", parent=_SETUP),
        fires(f"install -m 755 payload {_AGENT}", parent=_SETUP),
        fires(f"chmod 755 {_MOTD}", parent=_SETUP, because="from a subshell of the script"),
        fires(f"chmod +x '{_NOTIFIER}'", parent=_SETUP),
        fires(f"chmod 755 {_UDEV}", parent="/usr/bin/find"),
    ),
)
