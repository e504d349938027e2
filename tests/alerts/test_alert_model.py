"""What an alert says."""

from pathlib import Path
from typing import Any

import pytest
from kernel_format import ExecOnKernel

from auditrule.alerts.model import Alert, build_alert, printable, show_command
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.rules.loader import load_rules
from auditrule.rules.rule import Rule


@pytest.fixture(scope="module")
def rule(bundled_rule: Path) -> Rule:
    (rule,) = load_rules([bundled_rule]).rules
    return rule


def document(*deeds: ExecOnKernel, host: str | None = None) -> Document:
    reassembler = Reassembler()
    mapper = DocumentMapper(table=ProcessTable(), host=HostIdentity(host))
    found = [
        mapper.map(event)
        for deed in deeds
        for line in deed.lines()
        for event in reassembler.push(Record.parse(line))
    ]
    assert found[-1] is not None
    return found[-1]


ATTACK = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], enriched=True)


def test_an_alert_is_the_events_document_and_what_the_rule_says(rule: Rule) -> None:
    event = document(ATTACK)
    alert = build_alert(event, rule).to_dict()
    original: dict[str, Any] = event.to_dict()
    assert alert.pop("event") == {
        **original.pop("event"),
        "kind": "alert",
        "hash": build_alert(event, rule).id,
        "severity": 21,
        "risk_score": 21.0,
    }
    about_rule = alert.pop("rule")
    assert about_rule.pop("description")
    assert len(about_rule.pop("reference")) == 4
    assert about_rule == {
        "id": "94418745-529f-4259-8d25-a713a6feb6ae",
        "uuid": "94418745-529f-4259-8d25-a713a6feb6ae",
        "name": "Executable Bit Set for Potential Persistence Script",
        "author": list(rule.author),
        "license": rule.license,
        "ruleset": "auditrule",
        **({"version": str(rule.version)} if rule.version else {}),
    }
    assert alert.pop("tags") == list(rule.tags)
    assert alert.pop("message").startswith("Executable Bit Set for Potential Persistence Script: ")
    threat = alert.pop("threat")
    assert alert == original
    assert threat["framework"] == "MITRE ATT&CK"
    assert threat["tactic"]["id"] == ["TA0003"]
    assert threat["technique"]["id"] == ["T1037", "T1053", "T1547"]
    assert threat["technique"]["subtechnique"]["id"] == ["T1037.004", "T1053.003", "T1547.013"]
    for entries in (threat["tactic"], threat["technique"], threat["technique"]["subtechnique"]):
        assert len(entries["id"]) == len(entries["name"]) == len(entries["reference"])


def test_an_alerts_id_is_that_of_its_event_and_rule(rule: Rule) -> None:
    first, again = (build_alert(document(ATTACK), rule).id for _ in range(2))
    assert first == again
    assert len(first) == 32
    other_event = document(ExecOnKernel([b"chmod"], serial=43))
    assert build_alert(other_event, rule).id != first


def test_an_alert_reads_back_from_its_json(rule: Rule) -> None:
    alert = build_alert(document(ATTACK), rule)
    assert Alert.model_validate_json(alert.to_json()) == alert


def test_the_message_says_who_did_what_where_and_from_which_parent(rule: Rule) -> None:
    parent = ExecOnKernel([b"sh"], exe=b"/bin/sh", comm=b"sh", pid=100, ppid=1, serial=41)
    alert = build_alert(document(parent, ATTACK, host="web1"), rule)
    assert alert.message == (
        "Executable Bit Set for Potential Persistence Script: root (logged in as ann) on web1"
        " ran: chmod +x /etc/rc.local (pid 200), started by /bin/sh (pid 100)"
    )


def test_the_message_does_not_make_up_what_is_not_known(rule: Rule) -> None:
    raw = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"])
    assert build_alert(document(raw), rule).message == (
        "Executable Bit Set for Potential Persistence Script: uid 0 (logged in as uid 1000)"
        " ran: chmod +x /etc/rc.local (pid 200), started by an unknown program (pid 100)"
    )


def test_a_command_is_shown_as_a_shell_would_take_it() -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/cron.d/a b", b"", b"it's"])
    assert show_command(document(deed).process) == ("chmod +x '/etc/cron.d/a b' '' 'it'\"'\"'s'")


@pytest.mark.parametrize("evil", [b"\x1b[2J", b"a\nb", b"\r", "\u202e".encode(), b"\x07", b"\x7f"])
def test_nothing_that_an_attacker_writes_steers_a_terminal(rule: Rule, evil: bytes) -> None:
    message = build_alert(document(ExecOnKernel([b"chmod", evil], exe=evil)), rule).message
    assert message.isprintable()
    assert evil.decode() not in message


def test_a_long_command_is_cut_in_the_message_and_whole_in_the_document(rule: Rule) -> None:
    event = document(ExecOnKernel([b"chmod", b"x" * 100_000, *[b"y"] * 1000]))
    alert = build_alert(event, rule)
    assert len(alert.message) < 700
    assert "…" in alert.message
    assert alert.process.args is not None
    assert len(alert.process.args[1]) == 100_000


def test_printable_text_is_left_alone() -> None:
    assert printable("plain é 漢 text") == "plain é 漢 text"
    assert printable("\x1b\n\\") == "\\x1b\\n\\"
