"""Unpacking an archive, and looking through it, in processes of their own.

To look through it takes longer than to unpack it. So each of two unpacks all of it, and looks
through every second block. Whoever takes what they find has little left to do, and does it
meanwhile.
"""

from __future__ import annotations

import marshal
from functools import partial
from typing import TYPE_CHECKING

from auditrule.finding import text_in
from auditrule.parallel import in_turns
from auditrule.screening import ScreenedPart, segments_of
from auditrule.source.archive import open_log
from auditrule.source.blocks import read_blocks
from auditrule.source.errors import SourceError
from auditrule.source.lines import LineCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from auditrule.finding import Finder, Findings
    from auditrule.screening import Segment

    FinderFor = Callable[[bytes], Finder | None]

_PROCESSES = 2


class UnpackedLog:
    """The parts of an archive, each of them whole lines.

    `finder_for` gives what looks through a log that begins with some bytes; None if nothing can.
    """

    def __init__(
        self, path: Path, finder_for: FinderFor, *, block_size: int, counts: LineCounts
    ) -> None:
        self._path = path
        self._finder_for = finder_for
        self._block_size = block_size
        self._counts = counts
        self.consumed = 0
        """How many bytes of the archive have been taken, as they are stored."""

    def parts(self) -> Generator[tuple[bytes, UnpackedPart | None], None, None]:
        r"""Yield its blocks in order, and what was found in each; None where they are to be read.

        There is a b"\n" at the beginning and at the end of each block. Raises SourceError where
        the archive cannot be read, and TaskError where a process fails.
        """
        finder = None
        tasks = [partial(self._work, turn) for turn in range(_PROCESSES)]
        for number, sent in enumerate(in_turns(tasks)):
            # From our own process.
            block, segments, consumed, end = marshal.loads(sent)  # noqa: S302
            if end is not None:
                self._end(*end)
                return
            self.consumed = consumed
            if number == 0:
                finder = self._finder_for(block[1:])
            yield block, None if finder is None else UnpackedPart(block, finder.node, segments)

    def _end(self, overlong: int, overlong_bytes: int, failure: str | None) -> None:
        self._counts.overlong += overlong
        self._counts.overlong_bytes += overlong_bytes
        if failure is not None:
            raise SourceError(self._path, failure)

    def _work(self, turn: int) -> Iterator[bytes]:
        counts, finder, failure = LineCounts(), None, None
        try:
            with open_log(self._path) as stream:
                blocks = read_blocks(stream, block_size=self._block_size, fills=True, counts=counts)
                for number, (data, begin, end) in enumerate(blocks):
                    if number > 0 and number % _PROCESSES != turn:
                        continue
                    block = bytes(data[begin : end + 1])
                    if number == 0:
                        finder = self._finder_for(block[1:])
                        if turn > 0:
                            continue
                    segments: list[Segment] = []
                    if finder is not None:
                        segments = segments_of(finder, block, 0, len(block) - 1)
                    yield marshal.dumps((block, segments, stream.consumed, None))
        except SourceError as error:
            failure = error.reason
        totals = counts.overlong, counts.overlong_bytes, failure
        yield marshal.dumps((b"", [], 0, totals))


class UnpackedPart(ScreenedPart):
    """What was found in a block."""

    def __init__(self, block: bytes, node: str | None, segments: Sequence[Segment]) -> None:
        super().__init__(len(block) - 1, node, segments)
        self._block = block

    def find(self, at: int) -> tuple[str | None, Findings]:
        """Return what it says from `at` on."""
        node, found = super().find(at)
        # The block is gone before its facts are.
        facts = found.facts.loaded(partial(text_in, self._block, 0))
        return node, found._replace(facts=facts)

    def _read(self, begin: int, end: int) -> bytes:
        return self._block[begin:end]
