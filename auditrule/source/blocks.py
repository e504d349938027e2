r"""Whole lines in large blocks, in one buffer that is used again and again.

To give a log's lines one by one takes longer than to find the few that matter among them. So they
come as they lie in the file: b"\n" before each, and one behind the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from auditrule.source.errors import SourceError
from auditrule.source.lines import MAX_LINE, LineCounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

BLOCK_SIZE = 256 << 10

Lines: TypeAlias = "tuple[bytes | bytearray, int, int]"
r"""A block, and where in it the lines begin and end: at both places there is a b"\n"."""


class Fillable(Protocol):
    """Anything that puts its next bytes into a buffer."""

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as one read goes; return how far, 0 at the end."""


def read_blocks(
    stream: Fillable,
    *,
    max_line: int = MAX_LINE,
    block_size: int = BLOCK_SIZE,
    fills: bool = False,
    counts: LineCounts | None = None,
) -> Iterator[Lines]:
    """Yield the stream's lines in blocks, each of which is good until the next is asked for.

    Lines of more than max_line bytes are dropped and counted, as LineSplitter does. Where the
    stream raises SourceError, the bytes before it are yielded first, an unfinished line as well.
    With `fills`, blocks are as large as they can be, however little comes at a time.
    """
    counts = counts if counts is not None else LineCounts()
    buffer = bytearray(1 + max_line + block_size + 1)
    view = memoryview(buffer)
    buffer[0:1] = b"\n"
    have, dropped = 1, 0
    error: SourceError | None = None
    while error is None:
        size, error = _fill(stream, view[have : have + block_size], whole=fills)
        if size == 0:
            break
        end = buffer.rfind(b"\n", have, have + size)
        have += size
        if end < 0:
            if have - 1 > max_line:
                dropped, have = dropped + have - 1, 1
            continue
        begin = 0
        if dropped:
            begin = buffer.index(b"\n", 1)
            _drop(counts, dropped + begin - 1)
            dropped = 0
        lines = _without_overlong(buffer, begin, end, max_line, counts)
        if lines[1] < lines[2]:
            yield lines
        view[: have - end] = view[end:have]
        have -= end
    if dropped:
        _drop(counts, dropped + have - 1)
    elif have > 1:
        buffer[have : have + 1] = b"\n"
        lines = _without_overlong(buffer, 0, have, max_line, counts)
        if lines[1] < lines[2]:
            yield lines
    if error is not None:
        raise error


def _fill(stream: Fillable, view: memoryview, *, whole: bool) -> tuple[int, SourceError | None]:
    """Read once, or to fill the `whole` view; return how much was read, and what failed."""
    size = 0
    try:
        while read := stream.readinto(view[size:]):
            size += read
            if not whole or size == len(view):
                break
    except SourceError as error:
        return size, error
    return size, None


def has_overlong(block: bytes | bytearray, begin: int, end: int, max_line: int) -> bool:
    """Tell whether one of the lines in block[begin:end] is over the limit."""
    while end - begin > max_line + 1:
        # The last newline that a line of the limit could end at.
        begin = block.rfind(b"\n", begin + 1, begin + max_line + 2)
        if begin < 0:
            return True
    return False


def _without_overlong(
    block: bytearray, begin: int, end: int, max_line: int, counts: LineCounts
) -> Lines:
    """Return the lines but for those over the limit; all of them, in most blocks."""
    if not has_overlong(block, begin, end, max_line):
        return block, begin, end
    kept = []
    for line in bytes(block[begin + 1 : end]).split(b"\n"):
        if len(line) > max_line:
            _drop(counts, len(line))
        else:
            kept.append(line)
    shorter = b"\n%s\n" % b"\n".join(kept) if kept else b"\n"
    return shorter, 0, len(shorter) - 1


def _drop(counts: LineCounts, size: int) -> None:
    counts.overlong += 1
    counts.overlong_bytes += size
