"""Screening a log's file with several processes, in the order of the log.

What the screen finds in one part of a file does not depend on the others, so processes do it for
parts in turn, a few ahead of whoever takes their findings. They send where records stand, not the
records: few are ever asked for.
"""

from __future__ import annotations

import marshal
import os
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from auditrule.audit.facts import AT, Facts, Index
from auditrule.finding import Findings
from auditrule.parallel import TaskError, in_turns
from auditrule.source.blocks import has_overlong
from auditrule.source.lines import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from auditrule.audit.fact import Text
    from auditrule.finding import Finder

PART_SIZE = 4 << 20
"""How much of a file a process screens at a time."""
_AT_ONCE = 4 << 10
_USUAL_LINE = 16 << 10


Segment: TypeAlias = tuple[Any, ...]
"""Where it begins, and Findings, as marshal takes them."""

Found: TypeAlias = tuple[int, int, list[Segment]]
"""Where a part begins and ends, and what is found in it."""


class ScreenedFile:
    r"""A plain file whose parts are screened by `jobs` processes; if that is 1, by this one.

    `size` bytes of the open file `fd` are looked at by `finder`. Places are as reader.Screened has
    them: of the b"\n" before a line, so that the file's first line is at -1.
    """

    def __init__(
        self, fd: int, size: int, *, finder: Finder, jobs: int, part_size: int = PART_SIZE
    ) -> None:
        self._fd = fd
        self._size = size
        self._finder = finder
        self._part_size = part_size
        self._count = -(-size // part_size)
        self._jobs = min(jobs, self._count)

    def parts(self) -> Generator[tuple[int, int, ScreenedFilePart], None, None]:
        """Yield the parts in order: where each begins and ends, and what was found in it.

        It ends early where a part cannot be screened: where the file cannot be read, or holds a
        line that is too long to be one.
        """
        try:
            for begin, end, segments in self._all_found() if self._jobs > 1 else self._found(0):
                if end > begin:
                    yield begin, end, ScreenedFilePart(self._fd, end, self._finder.node, segments)
        except TaskError:
            return

    def _all_found(self) -> Iterator[Found]:
        """Yield what is found in each part by processes of their own."""
        tasks = [partial(self._work, number) for number in range(self._jobs)]
        for found in in_turns(tasks):
            yield marshal.loads(found)  # noqa: S302 - from our own process

    def _work(self, first: int) -> Iterator[bytes]:
        # Half the time of pickle.
        return map(marshal.dumps, self._found(first))

    def _found(self, first: int) -> Iterator[Found]:
        """Yield what is found in this part, and in those whose turn it is with it."""
        for number in range(first, self._count, self._jobs):
            found = self.findings(number)
            if found is None:
                return
            yield found

    def findings(self, number: int) -> Found | None:
        """Return what is found in the lines that begin in a part."""
        # A place is that of the newline before a line.
        first = number * self._part_size - 1
        after = min(first + self._part_size, self._size - 1)
        block = _read(self._fd, first, after + _USUAL_LINE)
        end = block.find(b"\n", after - first)
        if end < 0:
            block = _read(self._fd, first, after + MAX_LINE)
            end = block.find(b"\n", after - first)
        begin = block.find(b"\n")
        if begin < 0 or end < 0:
            return None
        if has_overlong(block, begin, end, MAX_LINE):
            return None
        if begin >= end:
            return first, first, []
        return begin + first, end + first, segments_of(self._finder, block, begin, end, first)


def segments_of(finder: Finder, block: bytes, begin: int, end: int, base: int = 0) -> list[Segment]:
    """Return what is found in block[begin:end], as far as it can be before anything else is."""
    segments = []
    at = begin
    while at >= 0 and at < end:
        facts, index, lines, records, stop = finder.find(block, at, end, base)
        segments.append((at + base, facts.to_parts(), index.to_parts(), lines, records, stop))
        # The line there is to be looked at; where that ends, only whoever does so will know.
        at = block.find(b"\n", stop - base + 1, end)
    return segments


class ScreenedPart(ABC):
    """What was found in a part of a log (reader.Screened), the records of which can be read."""

    def __init__(self, end: int, node: str | None, segments: Sequence[Segment]) -> None:
        self._end = end
        self._node = node
        self._segments = list(reversed(segments))

    def find(self, at: int) -> tuple[str | None, Findings]:
        """Return what it says from `at` on."""
        while self._segments and self._segments[-1][-1] <= at:
            self._segments.pop()
        if not self._segments or self._segments[-1][0] > at:
            return self._node, Findings.nothing(at)
        begin, facts, index, lines, records, stop = self._segments[-1]
        told, mentions = Facts.from_parts(facts), Index.from_parts(index)
        if begin < at:
            # What began before has been looked at.
            dropped = int(np.searchsorted(told.columns[AT], at))
            told, mentions = told[dropped:], mentions._replace(dropped=dropped)
            left = [(place, line) for place, line in lines if place >= at]
            records -= self._read(begin + 1, at + 1).count(b"\n") - (len(lines) - len(left))
            lines = left
        return self._node, Findings(told, mentions, lines, records, stop)

    def lines(self, at: int) -> Sequence[bytes]:
        """Return some of the lines from `at` on."""
        size = _AT_ONCE
        while True:
            data = self._read(at + 1, min(at + 1 + size, self._end))
            if at + 1 + len(data) >= self._end or not data:
                return data.split(b"\n")
            stop = data.rfind(b"\n")
            if stop >= 0:
                return data[:stop].split(b"\n")
            size *= 4

    @abstractmethod
    def _read(self, begin: int, end: int) -> bytes:
        """Return the bytes that stand there."""


class ScreenedFilePart(ScreenedPart):
    """What was found in a part of a file."""

    def __init__(self, fd: int, end: int, node: str | None, segments: Sequence[Segment]) -> None:
        super().__init__(end, node, segments)
        self._fd = fd

    def _read(self, begin: int, end: int) -> bytes:
        return _read(self._fd, begin, end)


def _read(fd: int, begin: int, end: int) -> bytes:
    """Return the bytes of a file; before its first line there is a newline, so to speak."""
    if begin < 0:
        return b"\n" + os.pread(fd, end, 0)
    return os.pread(fd, end - begin, begin)


def text_from(fd: int, text: Text) -> bytes:
    """Return the records that a fact from a ScreenedFile names."""
    if isinstance(text, bytes):
        return text
    begin, end = text
    return os.pread(fd, end - begin, begin)
