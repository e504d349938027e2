r"""Cutting bytes into lines, in bounded memory, whatever the blocks.

A line ends at b"\n" and nowhere else: an ENRICHED record holds \x1d, an argument may hold any
other byte that text tools take for a line's end.
"""

from __future__ import annotations

from dataclasses import dataclass

# The kernel's longest record is about 8,970 bytes (include/uapi/linux/audit.h,
# MAX_AUDIT_MESSAGE_LENGTH); ENRICHED adds names to it, and user space its own.
MAX_LINE = 1 << 20


@dataclass(slots=True)
class LineCounts:
    """What a splitter has seen: lines given, lines over the limit and the bytes of those."""

    lines: int = 0
    overlong: int = 0
    overlong_bytes: int = 0


class LineSplitter:
    r"""Blocks in, whole lines out, without the b"\n"; the same lines for any cut into blocks.

    A line of more than max_line bytes is never held: it is dropped and counted. At most max_line
    bytes wait for their newline.
    """

    def __init__(self, max_line: int = MAX_LINE, counts: LineCounts | None = None) -> None:
        self.counts = counts if counts is not None else LineCounts()
        self._max_line = max_line
        self._held = bytearray()
        self._pending = 0

    @property
    def pending(self) -> int:
        """How many bytes came after the last newline, dropped ones included."""
        return self._pending

    def feed(self, block: bytes) -> list[bytes]:
        """Take the next bytes, return the lines that they complete."""
        lines = block.split(b"\n")
        rest = lines.pop()
        if lines and self._pending:
            self._hold(lines[0])
            lines[:1] = self._release()
        if len(block) > self._max_line:
            lines = [line for line in lines if self._fits(line)]
        self._hold(rest)
        self.counts.lines += len(lines)
        return lines

    def finish(self) -> list[bytes]:
        """Return the last line where it has no newline: a list of one line, or an empty list."""
        lines = self._release()
        self.counts.lines += len(lines)
        return lines

    def _hold(self, piece: bytes) -> None:
        self._pending += len(piece)
        if self._pending <= self._max_line:
            self._held += piece
        else:
            self._held.clear()

    def _release(self) -> list[bytes]:
        size, self._pending = self._pending, 0
        if size == 0:
            return []
        if size > self._max_line:
            self._drop(size)
            return []
        line = bytes(self._held)
        self._held.clear()
        return [line]

    def _fits(self, line: bytes) -> bool:
        if len(line) <= self._max_line:
            return True
        self._drop(len(line))
        return False

    def _drop(self, size: int) -> None:
        self.counts.overlong += 1
        self.counts.overlong_bytes += size
