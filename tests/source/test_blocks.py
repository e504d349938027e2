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


def lines_of(stream: io.RawIOBase, limit: int, size: int, counts: LineCounts) -> list[bytes]:
    lines = []
    blocks = read_blocks(stream, max_line=limit, block_size=size, counts=counts)
    for block, begin, end in blocks:
        assert block[begin : begin + 1] == block[end : end + 1] == b"\n"
        assert end > begin
        lines += bytes(block[begin + 1 : end]).split(b"\n")
    return lines


@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\n\n", b"abcdefgh"]), max_size=12),
    st.integers(1, 12),
    st.integers(1, 20),
)
def test_they_hold_the_lines_that_a_splitter_gives(
    pieces: list[bytes], limit: int, size: int
) -> None:
    splitter = LineSplitter(limit)
    expected = splitter.feed(b"".join(pieces)) + splitter.finish()
    counts = LineCounts()
    assert lines_of(Reads(pieces), limit, size, counts) == expected
    assert (counts.overlong, counts.overlong_bytes) == (
        splitter.counts.overlong,
        splitter.counts.overlong_bytes,
    )


def test_what_was_read_before_the_disk_failed_comes_first() -> None:
    stream = Reads([b"one\ntw", b"o\nthree"], fails=True)
    blocks = read_blocks(stream)  # type: ignore[arg-type]
    found = []
    for _ in range(3):
        block, begin, end = next(blocks)
        found += bytes(block[begin + 1 : end]).split(b"\n")
    with pytest.raises(SourceError, match="the disk fails"):
        next(blocks)
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
