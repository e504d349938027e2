"""Lines in, documents out, whatever the lines are."""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_format import ExecOnKernel
from rule_making import make_rule

from auditrule.audit.reassembly import Reassembler
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.pipeline import detect
from auditrule.reader import DocumentReader, Fields
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules

FIXTURES = Path(__file__).parent.parent / "fixtures"


def reader() -> DocumentReader:
    return DocumentReader(
        reassembler=Reassembler(max_pending=50), mapper=DocumentMapper(table=ProcessTable())
    )


def read(lines: list[bytes]) -> tuple[DocumentReader, list[Fields]]:
    one = reader()
    return one, [*one.read(lines), *one.finish()]


@cache
def captured() -> list[bytes]:
    """Return lines of all kinds, as the kernel and auditd wrote them."""
    names = ("parents.enriched.clone", "odd-arguments.raw.clone", "user-messages.raw.exec")
    return [
        line
        for name in names
        for line in (FIXTURES / "logs" / f"{name}.log").read_bytes().split(b"\n")
        if line
    ]


def _in_a_line(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return data.map(lambda text: text.replace(b"\n", b" "))


@given(st.lists(_in_a_line(st.binary())))
def test_any_lines_are_records_or_counted(lines: list[bytes]) -> None:
    one, _ = read(lines)
    assert one.counts.records + one.counts.unparsed == len(lines)


_SEQUENCE = """\
[metadata]
maturity = "production"

[rule]
rule_id = "6d1ce5f0-58a2-4d6e-9b8c-3b2a10c7a004"
name = "copied and made executable"
description = "A rule of this test."
severity = "low"
risk_score = 21
type = "eql"
language = "eql"
query = '''
sequence by process.parent.pid
  [process where process.name == "cp"]
  [process where process.name == "chmod"]
'''
"""


def test_an_event_that_another_version_kept_costs_no_alert(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "rule.toml"
    file.write_text(_SEQUENCE)
    rules = load_rules([file]).rules
    _, documents = read(
        ExecOnKernel([b"cp", b"a", b"b"], exe=b"/usr/bin/cp", serial=1).lines()
        + ExecOnKernel([b"chmod", b"+x", b"b"], serial=2).lines()
    )
    first = Detector(rules)
    assert list(detect(documents[:1], first)) == []
    kept = json.dumps(first.snapshot())
    assert kept.count('"working_directory"') == 1
    second = Detector(rules)
    second.restore(json.loads(kept.replace('"working_directory"', '"cwd"')))
    (alert,) = detect(documents[1:], second)
    assert alert.event.sequence == 2
    assert "an event that another version kept cannot be shown" in caplog.text


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """Some captured lines with bytes changed, cut, doubled and out of order."""
    lines = draw(st.lists(st.sampled_from(captured()), min_size=1, max_size=30))
    start = draw(st.integers(0, len(captured()) - 30))
    lines += captured()[start : start + 30]
    for _ in range(draw(st.integers(0, 10))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        place = draw(st.integers(0, len(line)))
        end = draw(st.integers(place, min(len(line), place + 20)))
        lines[at] = line[:place] + draw(_in_a_line(st.binary(max_size=5))) + line[end:]
    return draw(st.permutations(lines)) if draw(st.booleans()) else lines


@settings(deadline=None, max_examples=300)
@given(mutated())
def test_no_damage_to_a_real_log_stops_it_or_makes_what_is_no_json(lines: list[bytes]) -> None:
    one, documents = read(lines)
    assert one.counts.records + one.counts.unparsed == len(lines)
    for document in documents:
        assert json.loads(json.dumps(document)) == document
        assert Document.model_validate(document).to_dict() == document


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\0", b"")), min_size=1),
    st.lists(st.sampled_from(range(4)), min_size=4, max_size=60),
    st.booleans(),
)
def test_an_exec_reads_the_same_alone_and_among_others(
    arguments: list[bytes], turns: list[int], enriched: bool
) -> None:
    deeds = [
        ExecOnKernel(
            [b"chmod", *arguments, str(n).encode()],
            pid=200 + n,
            ppid=1,
            serial=n,
            enriched=enriched,
            room=200,
        )
        for n in range(4)
    ]
    alone = [document for deed in deeds for document in read(deed.lines())[1]]
    queues = [deed.lines() for deed in deeds]
    lines = [queues[turn].pop(0) for turn in turns if queues[turn]]
    lines += [line for queue in queues for line in queue]
    _, together = read(lines)
    assert sorted(map(json.dumps, together)) == sorted(map(json.dumps, alone))


def test_lines_that_are_no_records_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        one, documents = read([b"junk", *ExecOnKernel([b"x"]).lines(), b"more junk"])
    assert len(documents) == 1
    assert one.counts.unparsed == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "junk" in caplog.text


def test_a_parent_has_the_same_id_for_the_same_name_of_its_host_whoever_asked_before() -> None:
    def lines(node: str, serial: int, pid: int, ppid: int) -> list[bytes]:
        deed = ExecOnKernel([b"x"], node=node, serial=serial, pid=pid, ppid=ppid)
        return deed.lines()

    def last_parent(asked: list[bytes]) -> object:
        mapper = DocumentMapper(table=ProcessTable(), host=HostIdentity("web1"))
        one = DocumentReader(reassembler=Reassembler(), mapper=mapper)
        shell = lines("web1.example", 1, 7, 1)
        *_, last = one.read([*shell, *asked, *lines("web1.example", 3, 9, 7)])
        return last["process"]["parent"]

    assert last_parent(lines("web1", 2, 8, 7)) == last_parent([])


@pytest.mark.parametrize("asked_before", [False, True])
def test_other_rules_are_asked_about_parents_that_were_known_before(asked_before: bool) -> None:
    """What was found out about a parent for some rules says nothing about others."""

    def detector(parent: str) -> Detector:
        return Detector([make_rule("r", f'process where process.parent.name == "{parent}"')])

    def lines(name: bytes, serial: int, pid: int, ppid: int) -> list[bytes]:
        deed = ExecOnKernel([name], exe=b"/bin/" + name, serial=serial, pid=pid, ppid=ppid)
        return deed.lines()

    old, new = detector("other"), detector("sh")
    one = reader()
    one.expect(old.prospects)
    before = lines(b"sh", 1, 7, 1) + lines(b"ls", 2, 8, 7 if asked_before else 1)
    assert list(one.read(before)) == []
    one.expect(new.prospects)
    after = [*lines(b"ls", 3, 9, 7), *lines(b"ls", 4, 10, 1)]
    assert [document["process"]["pid"] for document in one.read(after)] == [9]


def test_of_a_flood_of_forged_hosts_not_all_are_remembered() -> None:
    one = reader()
    for serial in range(1, 12_000):
        deed = ExecOnKernel([b"x"], node=f"h{serial}", serial=serial)
        for _ in one.read(deed.lines()):
            pass
    assert one.counts.execs == 11_999
    assert len(one.mapper.processes.snapshot()["boots"]) == 10_000
