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

from auditrule.audit.fact import AT
from auditrule.finding import Findings, LeftOut
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


class ScreenedFile:
    r"""A plain file whose parts are screened by `jobs` processes.

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
        tasks = [partial(self._work, number) for number in range(self._jobs)]
        try:
            for found in in_turns(tasks):
                begin, end, segments = marshal.loads(found)  # noqa: S302 - from our own process
                if end > begin:
                    yield begin, end, ScreenedFilePart(self._fd, end, self._finder, segments)
        except TaskError:
            return

    def _work(self, first: int) -> Iterator[bytes]:
        for number in range(first, self._count, self._jobs):
            found = self.findings(number)
            if found is None:
                return
            # Half the time of pickle.
            yield marshal.dumps(found)

    def findings(self, number: int) -> tuple[int, int, list[Segment]] | None:
        """Return what is found in the lines that begin in a part."""
        # A place is that of the newline before a line.
        first = number * self._part_size - 1
        after = min(first + self._part_size, self._size - 1)
        block = _read(self._fd, first, after + MAX_LINE)
        begin = block.find(b"\n")
        end = block.find(b"\n", after - first)
        if begin < 0 or end < 0:
            return None
        if has_overlong(block, begin, end, MAX_LINE):
            return None
        if begin >= end:
            return first, first, []
        return begin + first, end + first, segments_of(self._finder, block, begin, end, first)


Segment: TypeAlias = tuple[Any, ...]
"""Where it begins, and Findings, as a tuple."""


def segments_of(finder: Finder, block: bytes, begin: int, end: int, base: int = 0) -> list[Segment]:
    """Return what is found in block[begin:end], as far as it can be before anything else is."""
    segments = []
    at = begin
    while at >= 0 and at < end:
        found = finder.find(block, at, end, base)
        segments.append((at + base, *_as_tuple(found)))
        # The line there is to be looked at; where that ends, only whoever does so will know.
        at = block.find(b"\n", found.stop - base + 1, end)
    return segments


class ScreenedPart(ABC):
    """What was found in a part of a log (reader.Screened), the records of which can be read."""

    def __init__(self, end: int, finder: Finder, segments: Sequence[Segment]) -> None:
        self._end = end
        self._finder = finder
        self._segments = [(begin, _from_tuple(found)) for begin, *found in reversed(segments)]

    def find(self, at: int, *, sifts: bool = True) -> tuple[str | None, Findings]:
        """Return what it says from `at` on."""
        while self._segments and self._segments[-1][1].stop <= at:
            self._segments.pop()
        node = self._finder.node
        if not self._segments or self._segments[-1][0] > at:
            return node, Findings([], 0, at)
        begin, found = self._segments[-1]
        first = at if found.left_out is None else found.left_out.first
        if first >= at and (sifts or found.left_out is None):
            if begin < at:
                # What began before has been looked at, its times too.
                facts = [fact for fact in found.facts if fact[AT] >= at]
                records = found.records - self._lines_between(begin, at)
                found = found._replace(facts=facts, records=records)
            return node, found
        # Left out may be what is to be known now.
        block = self._read(at, found.stop + 1)
        return node, self._finder.find(block, 0, found.stop - at, at, sifts=False)

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

    def _lines_between(self, begin: int, at: int) -> int:
        return self._read(begin + 1, at + 1).count(b"\n")

    @abstractmethod
    def _read(self, begin: int, end: int) -> bytes:
        """Return the bytes that stand there."""


class ScreenedFilePart(ScreenedPart):
    """What was found in a part of a file."""

    def __init__(self, fd: int, end: int, finder: Finder, segments: Sequence[Segment]) -> None:
        super().__init__(end, finder, segments)
        self._fd = fd

    def _read(self, begin: int, end: int) -> bytes:
        return _read(self._fd, begin, end)


def _read(fd: int, begin: int, end: int) -> bytes:
    """Return the bytes of a file; before its first line there is a newline, so to speak."""
    if begin < 0:
        return b"\n" + os.pread(fd, end, 0)
    return os.pread(fd, end - begin, begin)


def _as_tuple(found: Findings) -> tuple[Any, ...]:
    """Return what marshal takes."""
    return (*found[:-1], None if found.left_out is None else tuple(found.left_out))


def _from_tuple(values: Sequence[Any]) -> Findings:
    found = Findings._make(values)
    return found._replace(left_out=found.left_out and LeftOut._make(found.left_out))


def text_from(fd: int, text: Text) -> bytes:
    """Return the records that a fact from a ScreenedFile names."""
    if isinstance(text, bytes):
        return text
    begin, end = text
    return os.pread(fd, end - begin, begin)
