"""Rules of our own, one for each construct of EQL: what they find, and what they let pass."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import auditrule
from auditrule.ecs.catalogue import catalogue
from auditrule.rules import Detector, Rule, load_rules
from auditrule.rules.coverage import Status, cover

FOLDER = Path(__file__).parents[2] / "fixtures" / "rules" / "constructs"

# What each rule finds in fixtures/demo: the commands of an alert, and how many such alerts.
FOUND: dict[str, dict[tuple[str, ...], int]] = {
    "wildcards": {("/bin/sh /var/tmp/.cache/setup.sh",): 1},
    "like": {("dpkg-deb --control /srv/demo/logtidy.deb /var/lib/dpkg/tmp.ci",): 1},
    "regex": {
        ("date -r access.log.gz +%s",): 3,
        ("date -r error.log.gz +%s",): 3,
        ("date -r auth.log.gz +%s",): 3,
        ("date -r mail.log.gz +%s",): 3,
        ("stat -c %s error.log.gz",): 1,
        ("stat -c %s mail.log.gz",): 3,
    },
    "lists": {("id",): 2, ("uname -a",): 1},
    "arithmetic": {("find . -name *.gz -mtime +7 -exec rm {} ;",): 3},
    "length": {
        ("/bin/sh -c test -x /srv/demo/backup.sh && /srv/demo/backup.sh",): 2,
        ('sh -c sh -c "/var/tmp/.cache/setup.sh; :"',): 1,
        ("/bin/sh -c cd / && /etc/cron.hourly/logcheck; :",): 1,
    },
    "parts_of_texts": {("/bin/sh /var/tmp/.cache/setup.sh",): 1},
    "text_functions": {("/bin/sh /var/lib/dpkg/info/logtidy.postinst configure ",): 1},
    "numbers": {
        ("chmod 755 /etc/init.d/logtidy",): 1,
        ("chmod 755 /etc/update-motd.d/00-banner",): 1,
        ("chmod 755 /etc/udev/rules.d/99-net.rules",): 1,
    },
    "addresses": {},
    "absence": {
        ("/bin/sh /srv/demo/cron.sh",): 2,
        ("/bin/sh /srv/demo/service.sh",): 1,
        ("/bin/sh /srv/demo/cron-hourly.sh",): 1,
        ("/bin/sh /srv/demo/evening.sh",): 1,
    },
    "sequence": {
        ("cp /srv/demo/backup.sh /srv/demo/bin/backup", "chmod +x /srv/demo/bin/backup"): 1,
        (
            "cp payload /home/demo/.config/autostart/update notifier.desktop",
            "chmod +x /home/demo/.config/autostart/update notifier.desktop",
        ): 1,
    },
    "runs": {
        (
            "ls -la /etc/init.d /etc/cron.d",
            "ls -l /etc/init.d/logtidy /etc/cron.daily/logtidy",
        ): 1,
    },
    "until": {
        (
            'sh -c sh -c "/var/tmp/.cache/setup.sh; :"',
            "/bin/sh /var/tmp/.cache/setup.sh",
        ): 1,
    },
    "missing_event": {("mkdir -p /srv/demo/bin", "chmod +x /srv/demo/bin/backup"): 1},
    "sample": {
        (
            "chmod +x /etc/cron.hourly/logcheck",
            "install -m 755 payload /etc/init.d/network-agent",
        ): 1,
    },
}


def rule_of(name: str) -> Rule:
    (rule,) = load_rules([FOLDER / f"{name}.toml"]).rules
    return rule


def test_every_rule_is_in_the_table_and_runs_in_full() -> None:
    names = {path.stem for path in FOLDER.glob("*.toml")}
    assert names == FOUND.keys()
    assert len(names) >= 12
    partial = {
        name for name in names if cover(rule_of(name).query, catalogue()).status is not Status.FULL
    }
    # It asks for a field that no document has, on purpose.
    assert partial == {"absence"}


@pytest.mark.parametrize("name", FOUND)
def test_a_rule_finds_in_the_demo_log_what_its_author_says(name: str, fixtures: Path) -> None:
    found: Counter[tuple[str, ...]] = Counter()
    for alert in auditrule.replay(fixtures / "demo", rules=FOLDER / f"{name}.toml"):
        sequence = alert.auditd.sequence
        processes = [alert.process] if sequence is None else [e.process for e in sequence.events]
        found[tuple(process.command_line or "" for process in processes)] += 1
    assert found == FOUND[name]


DEMO = "/etc/cron.d/auditrule-demo"

# What the rules find in other captured logs: worked out from what each scenario's script does.
FOUND_IN_LOGS: dict[str, dict[str, list[tuple[str, ...]]]] = {
    "chmod": {
        "absence": [("/bin/sh /srv/demo/chmod.sh",)],
        # 700, 555 and 355 are less than 755, and -R makes four arguments.
        "numbers": [
            (f"chmod 755 {DEMO}",),
            (f"chmod 1755 {DEMO}",),
            (f"chmod 0755 {DEMO}",),
            (f"chmod 4755 {DEMO}",),
            ("chmod 755 /usr/local/bin",),
            ("chmod 755 /etc/init.d",),
        ],
        # ./CHMOD and ./setmode come between, and are no chmod.
        "sequence": [(f"cp -p 755 {DEMO}", f"./bin/chmod +x {DEMO}")],
    },
    "install": {
        "absence": [("/bin/sh /srv/demo/install.sh",)],
        "sample": [
            (
                "chmod -m 644 /etc/init.d/auditrule-demo",
                "install -m 755 payload /etc/init.d/auditrule-demo",
            )
        ],
    },
    "crond": {
        "absence": [("/bin/sh /srv/demo/crond.sh",)],
        "numbers": [
            ("chmod 755 /etc/init.d/auditrule-demo",),
            ("chmod 0755 /etc/update-motd.d/99-auditrule-demo",),
        ],
        # The fourth job, /srv/demo/job.sh, is short.
        "length": [
            (f"/bin/sh -c chmod +x {DEMO}",),
            ("/bin/sh -c chmod 755 /etc/init.d/auditrule-demo; :",),
            ("/bin/sh -c chmod 0755 /etc/update-motd.d/99-auditrule-demo",),
        ],
    },
    "folders": {
        "absence": [("/bin/sh /srv/demo/folders.sh",)],
        # All but one of the chmods have a script of their own as parent. The last cp before that
        # one counts; it also keeps missing_event quiet, though a mkdir came later.
        "sequence": [("cp ../plain .", f"chmod +x {DEMO}")],
    },
}


@pytest.mark.parametrize("log_format", ["raw", "enriched"])
@pytest.mark.parametrize("scenario", FOUND_IN_LOGS)
def test_the_rules_find_the_same_in_a_raw_and_in_an_enriched_log(
    scenario: str, log_format: str, fixtures: Path
) -> None:
    found: dict[str, Counter[tuple[str, ...]]] = {}
    names = {rule_of(name).id: name for name in FOUND}
    log = fixtures / "logs" / f"{scenario}.{log_format}.exec.log"
    for alert in auditrule.replay(log, rules=FOLDER):
        sequence = alert.auditd.sequence
        processes = [alert.process] if sequence is None else [e.process for e in sequence.events]
        commands = tuple(process.command_line or "" for process in processes)
        found.setdefault(names[alert.rule.uuid], Counter())[commands] += 1
    assert found == {name: Counter(each) for name, each in FOUND_IN_LOGS[scenario].items()}


def event(second: int, name: str, *args: str, parent: str = "p", **fields: Any) -> dict[str, Any]:
    arguments = [name, *args]
    return {
        "@timestamp": f"2026-11-24T00:00:{second:02}Z",
        "event.category": "process",
        "event.type": "start",
        "host.name": "web1",
        "process.name": name,
        "process.executable": f"/usr/bin/{name}",
        "process.args": arguments,
        "process.args_count": len(arguments),
        "process.command_line": " ".join(arguments),
        "process.parent.entity_id": parent,
        "process.parent.executable": "/bin/sh",
    } | {field.replace("__", "."): value for field, value in fields.items()}


# For each rule, events that it finds and events, much like them, that it lets pass.
LOOK_ALIKES: list[tuple[str, list[dict[str, Any]], bool]] = [
    ("wildcards", [event(1, "x", process__executable="/TMP/.x")], True),
    ("wildcards", [event(1, "x", process__executable="/tmp/x/.y")], False),
    ("like", [event(1, "dpkg-dex", "--Control")], True),
    ("like", [event(1, "DPKG-DEB", "--control")], False),
    ("like", [event(1, "dpkg-deb", "--control", "/var/cache/apt/x.deb")], False),
    ("regex", [event(1, "stat", "a.log.12.gz")], True),
    ("regex", [event(1, "stat", "a.log.1234.gz")], False),
    ("regex", [event(1, "stat", "a1.log.gz")], False),
    ("lists", [event(1, "WHOAMI")], True),
    ("lists", [event(1, "id", "-u")], False),
    ("arithmetic", [event(1, "x", *"abcdefghi")], True),
    ("arithmetic", [event(1, "x", *"abcdefghij")], False),
    ("arithmetic", [event(1, "x", *"abcdefg")], False),
    ("length", [event(1, "dash", "x" * 36)], True),
    ("length", [event(1, "dash", "x" * 35)], False),
    (
        "parts_of_texts",
        [
            event(
                1,
                "a.sh",
                process__executable="/var/tmp/a.sh",
                process__parent__command_line="sh setup.sh",
            )
        ],
        True,
    ),
    ("parts_of_texts", [event(1, "a.SH", process__executable="/var/tmp/a.SH")], False),
    ("addresses", [event(1, "nc", "10.1.2.3")], True),
    ("addresses", [event(1, "nc", "fd12::1")], True),
    ("addresses", [event(1, "nc", "::ffff:192.168.7.7")], True),
    ("addresses", [event(1, "nc", "11.1.2.3", "10.1.2.3.4", "10.1.2")], False),
    ("numbers", [event(1, "chmod", "0777", "x")], True),
    ("numbers", [event(1, "chmod", "754", "x")], False),
    ("numbers", [event(1, "chmod", "999", "x")], False),
    ("absence", [event(1, "x", process__parent__executable=None)], True),
    ("absence", [event(1, "x")], False),
    ("sequence", [event(1, "cp"), event(6, "chmod", "+x")], True),
    ("sequence", [event(1, "cp"), event(7, "chmod", "+x")], False),
    ("sequence", [event(1, "cp"), event(2, "chmod", "+x", parent="q")], False),
    ("sequence", [event(1, "chmod", "+x"), event(2, "cp")], False),
    ("runs", [event(1, "ls"), event(2, "id"), event(3, "ls")], True),
    ("runs", [event(1, "ls"), event(2, "ls", parent="q")], False),
    (
        "until",
        [
            event(1, "dash", process__parent__name="webapp"),
            event(2, "x", process__executable="/var/tmp/x"),
        ],
        True,
    ),
    (
        "until",
        [
            event(1, "dash", process__parent__name="webapp"),
            event(2, "id", "-u"),
            event(3, "x", process__executable="/var/tmp/x"),
        ],
        False,
    ),
    ("missing_event", [event(1, "mkdir"), event(2, "cp"), event(3, "chmod")], True),
    ("missing_event", [event(1, "cp"), event(2, "mkdir"), event(3, "chmod")], False),
    ("missing_event", [event(1, "cp"), event(10, "mkdir"), event(12, "chmod")], True),
    ("sample", [event(1, "install"), event(50, "chmod")], True),
    ("sample", [event(1, "install"), event(2, "chmod", parent="q")], False),
]


@pytest.mark.parametrize(("name", "events", "matches"), LOOK_ALIKES)
def test_a_rule_tells_what_it_is_about_from_what_looks_like_it(
    name: str, events: list[dict[str, Any]], matches: bool
) -> None:
    detector = Detector([rule_of(name)])
    found = [detection for each in events for detection in detector.detect(each)]
    assert bool(found + detector.finish()) is matches
