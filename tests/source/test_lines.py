"""Lines come out the same, whatever the blocks they came in."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.lines import LineCounts, LineSplitter

_TEXT = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r", b"\0", b"\x1d", b"\x85", b"\x0c"]))


def _expected(data: bytes, limit: int) -> tuple[list[bytes], int, int]:
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    over = [line for line in lines if len(line) > limit]
    return [line for line in lines if len(line) <= limit], len(over), sum(map(len, over))


@given(pieces=_TEXT, limit=st.integers(1, 6), block=st.integers(1, 9))
def test_lines_are_the_same_for_every_block_size_and_limit(
    pieces: list[bytes], limit: int, block: int
) -> None:
    data = b"".join(pieces)
    counts = LineCounts()
    splitter = LineSplitter(limit, counts)
    lines = []
    for begin in range(0, len(data), block):
        lines += splitter.feed(data[begin : begin + block])
    lines += splitter.finish()
    expected, over, over_bytes = _expected(data, limit)
    assert lines == expected
    assert (counts.lines, counts.overlong, counts.overlong_bytes) == (len(lines), over, over_bytes)


@given(pieces=_TEXT, cuts=st.lists(st.integers(0, 40)))
def test_pending_is_what_came_after_the_last_newline_for_every_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(pieces)
    splitter = LineSplitter(max_line=3)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for begin, end in itertools.pairwise(edges):
        splitter.feed(data[begin:end])
        assert splitter.pending == len(data[:end]) - (data[:end].rfind(b"\n") + 1)


def test_a_line_of_exactly_the_limit_is_given_and_one_byte_more_is_dropped() -> None:
    splitter = LineSplitter(max_line=10)
    counts = splitter.counts
    assert splitter.feed(b"x" * 10 + b"\n" + b"y" * 11 + b"\nz\n") == [b"x" * 10, b"z"]
    assert (counts.overlong, counts.overlong_bytes) == (1, 11)


class _Holes:
    """A gigabyte of NULs, as a sparse file's tail, then a line."""

    def __init__(self) -> None:
        self._blocks = [b"before\n", *[b"\0" * (1 << 20)] * 1024, b"\nafter\n"]

    def read(self, size: int, /) -> bytes:
        return self._blocks.pop(0) if self._blocks else b""


def test_a_gigabyte_of_nul_bytes_is_passed_over_and_never_held() -> None:
    splitter = LineSplitter(max_line=1 << 20)
    holes = _Holes()
    lines: list[bytes] = []
    held = 0
    while block := holes.read(1 << 20):
        lines += splitter.feed(block)
        held = max(held, len(splitter._held))
    assert lines == [b"before", b"after"]
    assert held <= 1 << 20
    assert (splitter.counts.overlong, splitter.counts.overlong_bytes) == (1, 1 << 30)
