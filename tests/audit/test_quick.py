"""What is read quickly is what the grammar reads."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule.audit.grammar import RecordError
from auditrule.audit.quick import match_header
from auditrule.audit.record import Record
from auditrule.audit.relevance import Part, part_of, quick_part

FIXTURES = Path(__file__).parents[2] / "fixtures"
LOGS = sorted(FIXTURES.rglob("*.log"))
_PIECES = (
    b" a=1", b' b="x y"', b"c={ d e }", b" msg='op=x acct=\"r\"'", b"\x1d", b"\x1dUID=\"root\"",
    b" =", b"'", b'"', b"{", b"}", b" word", b"  ", b"a=", b" a=2", b"\xe9", b" UID=unset", b"=",
)  # fmt: skip


def assert_reads_the_same(line: bytes) -> None:
    by_grammar, quick = parsed(line, exhaustive=True), parsed(line, exhaustive=False)
    if isinstance(by_grammar, int) or isinstance(quick, int):
        assert quick == by_grammar
        return
    assert (quick.line, quick.type, quick.event_id, quick.body_start) == (
        by_grammar.line,
        by_grammar.type,
        by_grammar.event_id,
        by_grammar.body_start,
    )
    for name in {field.name for field in by_grammar.fields} | {"pid", ""}:
        assert quick.token(name) == by_grammar.token(name), name
    for name in {field.name for field in by_grammar.enriched} | {"UID", ""}:
        assert quick.interpretation(name) == by_grammar.interpretation(name), name
    match = match_header(line)
    if match is not None:
        told = quick_part(match[2], line, match.end())
        assert told is None or told is part_of(by_grammar)


def parsed(line: bytes, *, exhaustive: bool) -> Record | int:
    """Return the record, or the column at which it is none."""
    try:
        return Record.parse(line, exhaustive=exhaustive)
    except RecordError as error:
        return error.column


@cache
def captured() -> tuple[bytes, ...]:
    """Return the captured lines, of those that differ in digits only the first."""
    kinds: dict[bytes, bytes] = {}
    digits = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
    for log in LOGS:
        for line in log.read_bytes().split(b"\n"):
            kinds.setdefault(line.translate(digits), line)
    return tuple(kinds.values())


def test_every_captured_record_reads_the_same() -> None:
    assert len(captured()) > 1500
    for line in captured():
        assert_reads_the_same(line)


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from([b"SYSCALL", b"EXECVE", b"USER_CMD", b"PATH", b"X"]),
    st.lists(st.sampled_from(_PIECES), max_size=12),
)
def test_made_up_records_read_the_same(kind: bytes, pieces: list[bytes]) -> None:
    assert_reads_the_same(b"type=" + kind + b" msg=audit(1.000:1):" + b"".join(pieces))


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_damaged_records_read_the_same(data: st.DataObject) -> None:
    line = data.draw(st.sampled_from(captured()))
    place = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(place, min(len(line), place + 20)))
    new = data.draw(st.binary(max_size=4) | st.sampled_from(_PIECES))
    assert_reads_the_same(line[:place] + new.replace(b"\n", b" ") + line[end:])


@pytest.mark.parametrize(
    "line",
    [
        b"type=X msg=audit(253402300800.000:1): ",
        b"type=X msg=audit(253402300799.999:1): a=1",
        b"type=X msg=audit(1.000:9223372036854775808): ",
        b"type=X msg=audit(1.000:9223372036854775807): a=1",
        b"\0\0type=X msg=audit(1.000:1): a=1\r",
        b"node= type=X msg=audit(1.000:1): a=1",
    ],
)
def test_headers_at_the_edge_read_the_same(line: bytes) -> None:
    assert_reads_the_same(line)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b" arch=c000003e syscall=59 success=yes exit=0 a0=0", Part.FIRST),
        (b" arch=c000003e syscall=59 success=no exit=-2 a0=0", Part.NONE),
        (b" arch=c000003e syscall=59 per=400000 success=yes exit=0 a0=0", Part.FIRST),
        (b" arch=c000003e syscall=56 success=yes exit=7 a0=0", Part.ALL),
        (b" arch=c000003e syscall=56 success=no exit=-11 a0=0", Part.NONE),
        (b" arch=c000003e syscall=231 a0=0", Part.ALL),
        (b" arch=c000003e syscall=257 success=yes exit=3 a0=0", Part.NONE),
        (b" arch=c00000b7 syscall=221 success=yes exit=0 a0=0", Part.FIRST),
        (b" arch=c00000b7 syscall=59 success=yes exit=0 a0=0", Part.NONE),
        # Which of its calls are execs, only the records that follow can tell.
        (b" arch=8 syscall=4011 success=yes exit=0 a0=0", Part.FIRST),
        (b" arch=8 syscall=4011 success=no exit=-2 a0=0", Part.NONE),
        (b" success=yes syscall=59 arch=c000003e", None),
    ],
)
def test_a_call_tells_whether_it_is_one_of_processes(body: bytes, part: Part | None) -> None:
    line = b"type=SYSCALL msg=audit(1.000:1):" + body
    match = match_header(line)
    assert match is not None
    assert quick_part(b"SYSCALL", line, match.end()) is part
    assert part_of(Record.parse(line, exhaustive=True)) is (part or Part.FIRST)
