"""The headers of all lines are read at once as the grammar reads each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from auditrule.audit import headers
from auditrule.audit.grammar import RecordError
from auditrule.audit.headers import Headers, read_headers
from auditrule.audit.layout import Layout
from auditrule.audit.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

TYPES = ["SYSCALL", "PATH", "PROCTITLE", "EOE", "EXECVE", "CWD", "NETFILTER_CFG", "USER_START"]
KNOWN = {
    "SYSCALL": headers.SYSCALL,
    "PATH": headers.PATH,
    "PROCTITLE": headers.PROCTITLE,
    "EOE": headers.EOE,
    "EXECVE": headers.EXECVE,
}


def headers_of(lines: list[bytes], node: bytes | None = None) -> Headers:
    block = b"\n%s\n" % b"\n".join(lines)
    return read_headers(Layout(block, 0, len(block) - 1), node)


def begins(lines: list[bytes]) -> NDArray[np.int64]:
    return np.cumsum([1] + [len(line) + 1 for line in lines[:-1]])


@st.composite
def lines(draw: st.DrawFn) -> list[bytes]:
    """Return headers of a few events, some of them damaged."""
    events = draw(
        st.lists(
            st.tuples(
                st.integers(1_000_000_000, 9_999_999_999),
                st.integers(0, 999),
                st.integers(1, 10 ** draw(st.integers(1, 10)) - 1),
            ),
            min_size=1,
            max_size=3,
        )
    )
    found = []
    for kind in draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=12)):
        seconds, millis, serial = draw(st.sampled_from(events))
        body = draw(st.sampled_from(["", " ", " item=0", ' name="x y"', "item=0"]))
        line = f"type={kind} msg=audit({seconds}.{millis:03}:{serial}):{body}".encode()
        if draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(line)))
            line = (
                line[:at]
                + draw(st.sampled_from([b"", b"0", b" ", b"\0", b"):", b"x"]))
                + line[min(len(line), at + draw(st.integers(0, 2))) :]
            )
        found.append(line)
    return found


@given(lines())
@example([b"type=PATH\0 msg=audit(1700000000.123:42): item=0"])
@example([b"type=PATH msg=audit(1700000000.123:42):"] * 2)
@example([b"type=PATH msg=audit(1700000000.123:%d): x" % 10**n for n in range(11)])
def test_a_header_that_is_recognised_says_what_the_grammar_reads(lines: list[bytes]) -> None:
    found = headers_of(lines)
    columns = (found.kind, found.ms, found.serial, found.body, begins(lines))
    rows = zip(lines, *(column.tolist() for column in columns), strict=True)
    for line, kind, ms, serial, body, begin in rows:
        if kind == headers.OTHER:
            continue
        record = Record.parse(line)
        assert KNOWN.get(record.type, headers.IDLE) == kind
        assert record.type in TYPES
        assert (record.event_id.time_ms, record.event_id.serial) == (ms, serial)
        assert line[body - begin :] == line.partition(b"): ")[2]


@given(lines())
def test_headers_as_the_kernel_writes_them_are_recognised(lines: list[bytes]) -> None:
    found = headers_of(lines).kind.tolist()
    for line, kind in zip(lines, found, strict=True):
        try:
            record = Record.parse(line)
        except RecordError:
            assert kind == headers.OTHER
            continue
        event = record.event_id
        spelled = f"type={record.type} msg=audit({event.seconds}.{event.millis:03}:{event.serial}):"
        has_form = line.startswith(spelled.encode()) and 10**9 <= event.seconds < 10**10
        if record.type in TYPES and has_form and line[len(spelled) :].startswith(b" "):
            assert kind != headers.OTHER


def test_of_another_host_nothing_is_recognised() -> None:
    own = b"node=a type=PATH msg=audit(1700000000.123:42): item=0"
    others = [own[len(b"node=a ") :], own.replace(b"=a ", b"=ab "), own.replace(b"=a ", b"=b ")]
    assert headers_of([own, *others], b"a").kind.tolist() == [headers.PATH, *[headers.OTHER] * 3]
    assert headers_of([own], None).kind.tolist() == [headers.OTHER]
