"""What an alert says."""

from dataclasses import replace
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
    alert = build_alert([event], rule).to_dict()
    original: dict[str, Any] = event.to_dict()
    assert alert.pop("event") == {
        **original.pop("event"),
        "kind": "alert",
        "hash": build_alert([event], rule).id,
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
    first, again = (build_alert([document(ATTACK)], rule).id for _ in range(2))
    assert first == again
    assert len(first) == 32
    other_event = document(ExecOnKernel([b"chmod"], serial=43))
    assert build_alert([other_event], rule).id != first


def test_an_alert_reads_back_from_its_json(rule: Rule) -> None:
    alert = build_alert([document(ATTACK)], rule)
    assert Alert.model_validate_json(alert.to_json()) == alert


def test_the_message_says_who_did_what_where_and_from_which_parent(rule: Rule) -> None:
    parent = ExecOnKernel([b"sh"], exe=b"/bin/sh", comm=b"sh", pid=100, ppid=1, serial=41)
    alert = build_alert([document(parent, ATTACK, host="web1")], rule)
    assert alert.message == (
        "Executable Bit Set for Potential Persistence Script: root (logged in as ann) on web1"
        " ran: chmod +x /etc/rc.local (pid 200), started by /bin/sh (pid 100)"
    )


def test_the_message_does_not_make_up_what_is_not_known(rule: Rule) -> None:
    raw = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"])
    assert build_alert([document(raw)], rule).message == (
        "Executable Bit Set for Potential Persistence Script: uid 0 (logged in as uid 1000)"
        " ran: chmod +x /etc/rc.local (pid 200), started by an unknown program (pid 100)"
    )


def sequence_of(count: int) -> list[Document]:
    deeds = [
        ExecOnKernel([b"step", str(n).encode()], serial=40 + n, pid=200 + n, enriched=True)
        for n in range(count)
    ]
    return [document(deed, host="web1") for deed in deeds]


def test_the_alert_of_a_sequence_is_its_last_event_and_has_them_all_in_order(rule: Rule) -> None:
    documents = sequence_of(3)
    alert = build_alert(documents, rule, ("web1", 7, None)).to_dict()
    assert alert["process"] == documents[-1].to_dict()["process"]
    sequence = alert["auditd"]["sequence"]
    assert sequence["join_keys"] == ["web1", "7"]
    assert [event["id"] for event in sequence["events"]] == [each.event.id for each in documents]
    assert [event["process"] for event in sequence["events"]] == [
        each.to_dict()["process"] for each in documents
    ]
    assert alert["message"] == (
        "Executable Bit Set for Potential Persistence Script: root (logged in as ann) on web1 ran: "
        "step 0 (pid 200), then step 1 (pid 201), then step 2 (pid 202), "
        "started by an unknown program (pid 100)"
    )
    assert alert["related"]["user"] == ["ann", "root"]


def test_the_id_of_a_sequences_alert_is_that_of_all_its_events_in_order(rule: Rule) -> None:
    first, second, third = sequence_of(3)
    chosen = ([third], [first, third], [second, third], [first, second, third], [second, first])
    assert len({build_alert(events, rule).id for events in chosen}) == len(chosen)
    assert build_alert([first, third], rule).id == build_alert([first, third], rule).id


def test_the_message_of_a_long_sequence_is_short_and_the_alert_whole(rule: Rule) -> None:
    alert = build_alert(sequence_of(20), rule)
    assert "step 3 (pid 203), then 15 others, then step 19 (pid 219)" in alert.message
    assert alert.auditd.sequence is not None
    assert len(alert.auditd.sequence.events) == 20
    assert Alert.model_validate_json(alert.to_json()) == alert


def test_the_alert_of_a_building_block_rule_is_marked_as_such(rule: Rule) -> None:
    body = rule.body.model_copy(update={"building_block_type": "default"})
    block = replace(rule, file=rule.file.model_copy(update={"rule": body}))
    assert build_alert([document(ATTACK)], block).rule.category == "building block"
    assert build_alert([document(ATTACK)], rule).rule.category is None


def test_a_command_is_shown_as_a_shell_would_take_it() -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/cron.d/a b", b"", b"it's"])
    assert show_command(document(deed).process) == ("chmod +x '/etc/cron.d/a b' '' 'it'\"'\"'s'")


@pytest.mark.parametrize("evil", [b"\x1b[2J", b"a\nb", b"\r", "\u202e".encode(), b"\x07", b"\x7f"])
def test_nothing_that_an_attacker_writes_steers_a_terminal(rule: Rule, evil: bytes) -> None:
    message = build_alert([document(ExecOnKernel([b"chmod", evil], exe=evil))], rule).message
    assert message.isprintable()
    assert evil.decode() not in message


def test_a_long_command_is_cut_in_the_message_and_whole_in_the_document(rule: Rule) -> None:
    event = document(ExecOnKernel([b"chmod", b"x" * 100_000, *[b"y"] * 1000]))
    alert = build_alert([event], rule)
    assert len(alert.message) < 700
    assert "…" in alert.message
    assert alert.process.args is not None
    assert len(alert.process.args[1]) == 100_000


def test_printable_text_is_left_alone() -> None:
    assert printable("plain é 漢 text") == "plain é 漢 text"
    assert printable("\x1b\n\\") == "\\x1b\\n\\"


def test_an_alert_has_no_more_of_the_arguments_than_shippers_take(rule: Rule) -> None:
    long = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local", *[b"x" * 100_000] * 10])
    child = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], pid=201, ppid=200, serial=43)
    alert = build_alert([document(long)], rule)
    assert alert.process.args is not None
    assert alert.process.args[:3] == ("chmod", "+x", "/etc/rc.local")
    assert alert.process.command_line == " ".join(alert.process.args)
    assert len(alert.process.command_line) == 262_144
    assert (alert.process.args_count, alert.auditd.truncated) == (13, True)
    parent = build_alert([document(long, child)], rule).process.parent
    assert parent is not None
    assert len(parent.command_line or "") == 262_144
    assert len(build_alert([document(long, child)], rule).to_json()) < 1_100_000
    assert build_alert([document(child)], rule).auditd.truncated is None
