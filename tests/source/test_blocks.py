"""Blocks of whole lines: the same lines as one by one, whatever the reads."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.archive import open_log
from auditrule.source.blocks import read_blocks
from auditrule.source.errors import SourceError
from auditrule.source.lines import LineCounts, LineSplitter


class Reads(io.RawIOBase):
    """Gives its pieces one by one, then fails where it is to."""

    def __init__(self, pieces: list[bytes], *, fails: bool = False) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._fails = fails

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._pieces:
            if self._fails:
                raise SourceError("log", "the disk fails")
            return 0
        piece = self._pieces.pop(0)
        size = min(len(buffer), len(piece))
        buffer[:size] = piece[:size]
        if size < len(piece):
            self._pieces.insert(0, piece[size:])
        return size


def lines_of(
    stream: io.RawIOBase, limit: int, size: int, counts: LineCounts, *, fills: bool
) -> list[bytes]:
    lines = []
    blocks = read_blocks(stream, max_line=limit, block_size=size, fills=fills, counts=counts)
    for block, begin, end in blocks:
        assert block[begin : begin + 1] == block[end : end + 1] == b"\n"
        assert end > begin
        lines += bytes(block[begin + 1 : end]).split(b"\n")
    return lines


@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\n\n", b"abcdefgh"]), max_size=12),
    st.integers(1, 12),
    st.integers(1, 20),
    st.booleans(),
)
def test_they_hold_the_lines_that_a_splitter_gives(
    pieces: list[bytes], limit: int, size: int, fills: bool
) -> None:
    splitter = LineSplitter(limit)
    expected = splitter.feed(b"".join(pieces)) + splitter.finish()
    counts = LineCounts()
    assert lines_of(Reads(pieces), limit, size, counts, fills=fills) == expected
    assert (counts.overlong, counts.overlong_bytes) == (
        splitter.counts.overlong,
        splitter.counts.overlong_bytes,
    )


def test_a_block_is_filled_by_several_reads_where_that_is_wanted() -> None:
    pieces = [b"one\nt", b"wo\nth", b"ree\nfour\n", b"five"]
    stream = Reads(pieces)
    blocks = [
        bytes(block[begin : end + 1])
        for block, begin, end in read_blocks(stream, block_size=16, fills=True)  # type: ignore[arg-type]
    ]
    assert blocks == [b"\none\ntwo\nthree\n", b"\nfour\n", b"\nfive\n"]


@pytest.mark.parametrize("fills", [False, True])
def test_what_was_read_before_the_disk_failed_comes_first(fills: bool) -> None:
    stream = Reads([b"one\ntw", b"o\nthree"], fails=True)
    blocks = read_blocks(stream, fills=fills)  # type: ignore[arg-type]
    found = []

    def take() -> None:
        for block, begin, end in blocks:
            found.extend(bytes(block[begin + 1 : end]).split(b"\n"))

    with pytest.raises(SourceError, match="the disk fails"):
        take()
    assert found == [b"one", b"two", b"three"]


def test_a_plain_file_is_read_into_the_block_itself(tmp_path: pytest.TempPathFactory) -> None:
    log = tmp_path / "audit.log"  # type: ignore[operator]
    log.write_bytes(b"x" * 100_000 + b"\n" + b"y\n" * 50_000)
    with open_log(log) as stream:
        assert stream.size == 200_001
        buffer = bytearray(300_000)
        # The bytes that the kind of the file was told by, then the rest.
        first = stream.readinto(buffer)
        assert 0 < first < 200_001
        second = stream.readinto(memoryview(buffer)[first:])
        assert first + second == stream.consumed == 200_001
        assert bytes(buffer[:200_001]) == log.read_bytes()
