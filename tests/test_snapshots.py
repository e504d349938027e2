"""A run that was interrupted anywhere goes on as if it had not been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_format import ExecOnKernel

from auditrule.audit.reassembly import Reassembler
from auditrule.audit.serials import SerialWatch
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.reader import DocumentReader
from auditrule.rules import Detector, load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
LOGS = sorted((ROOT / "fixtures" / "logs").glob("*.log"))


def new_reader() -> DocumentReader:
    return DocumentReader(
        reassembler=Reassembler(),
        mapper=DocumentMapper(table=ProcessTable(), host=HostIdentity("web1")),
        serials=SerialWatch(),
    )


def through_json(state: Any) -> Any:
    return json.loads(json.dumps(state))


def documents(reader: DocumentReader, lines: Iterable[bytes]) -> list[dict[str, Any]]:
    return list(reader.read(list(lines)))


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_reader_goes_on_from_its_snapshot_at_any_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=False)
    if len(lines) > 400:
        lines = lines[:400]
    whole = new_reader()
    expected = documents(whole, lines)
    # Taken up anew at every line.
    reader, found = new_reader(), []
    for line in lines:
        found += documents(reader, [line])
        state = through_json(reader.snapshot())
        reader = new_reader()
        reader.restore(state)
    assert found == expected
    assert reader.last == whole.last
    ends = [list(each.finish()) for each in (reader, whole)]
    assert ends[0] == ends[1]


def test_a_snapshot_holds_what_waits_with_all_its_bytes() -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/\xff\x00\n\x1d"], enriched=True, proctitle=False)
    reader = new_reader()
    assert documents(reader, deed.lines()) == []
    other = new_reader()
    other.restore(through_json(reader.snapshot()))
    assert other.pending == 1
    assert list(other.finish()) == list(reader.finish())


RULE = """
[rule]
rule_id = "{id}"
name = "{id}"
description = "Two programs, one after the other."
type = "eql"
language = "eql"
severity = "low"
risk_score = 1
query = '''{query}'''
"""
SEQUENCES = {
    "by-parent": "sequence by process.parent.pid with maxspan=5s"
    ' [process where process.name == "a"] [process where process.name == "b"]',
    "until": 'sequence by user.id [process where process.name == "a"]'
    ' [process where process.name == "b"] until [process where process.name == "c"]',
    "missing": 'sequence with maxspan=3s [process where process.name == "a"]'
    ' ![process where process.name == "b"]',
    "runs": 'sequence [process where process.name == "b"] with runs=3',
    "sample": 'sample by process.parent.pid [process where process.name == "a"]'
    ' [process where process.name == "c"]',
}


def sequence_rules(folder: Path, queries: dict[str, str]) -> Detector:
    for name, query in queries.items():
        (folder / f"{name}.toml").write_text(RULE.format(id=name, query=query))
    found = load_rules([folder])
    assert not found.errors
    return Detector(found.rules)


def deed(n: int, name: str, ppid: int, seconds: int) -> dict[str, Any]:
    time = f"2026-11-24T10:{seconds // 60:02d}:{seconds % 60:02d}.{n % 1000:03d}Z"
    return {
        "@timestamp": time,
        "event": {"category": ["process"], "type": ["start"], "sequence": n},
        "process": {"name": name, "parent": {"pid": ppid}},
        "user": {"id": "0"},
    }


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.integers(0, 4)), max_size=25),
    st.data(),
)
def test_sequences_go_on_from_their_snapshot(
    tmp_path_factory: pytest.TempPathFactory,
    deeds: list[tuple[str, int, int]],
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("rules")
    whole, detector = (sequence_rules(folder, SEQUENCES) for _ in range(2))
    seconds = 0
    for n, (name, ppid, later) in enumerate(deeds):
        seconds += later
        event = deed(n, name, ppid, seconds)
        expected, found = whole.detect(event), detector.detect(event)
        assert [(d.rule.id, d.events, d.join_keys) for d in found] == [
            (d.rule.id, d.events, d.join_keys) for d in expected
        ]
        if data.draw(st.booleans()):
            state = through_json(detector.snapshot())
            detector = sequence_rules(folder, SEQUENCES)
            assert detector.restore(state) == []
    assert detector.open == whole.open


def test_a_rule_that_is_another_now_starts_anew_and_is_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    before = sequence_rules(first, {k: SEQUENCES[k] for k in ("by-parent", "until", "missing")})
    before.detect(deed(1, "a", 1, 0))
    changed = SEQUENCES["until"].replace("user.id", "process.parent.pid")
    after = sequence_rules(second, {"by-parent": SEQUENCES["by-parent"], "until": changed})
    assert after.restore(through_json(before.snapshot())) == ["missing", "until"]
    assert [d.rule.id for d in after.detect(deed(2, "b", 1, 1))] == ["by-parent"]


@pytest.mark.parametrize("state", [{}, {"last": None}, {"last": 1, "reassembly": {}, "mapping": 0}])
def test_what_is_no_snapshot_is_refused(state: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        new_reader().restore(state)
