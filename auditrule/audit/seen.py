"""What was seen in a block, to be told part by part.

Some lines have to be read by themselves, and only whoever reads them knows where to go on from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from auditrule.audit.facts import AT, BEGIN, END
from auditrule.audit.layout import as_rows

if TYPE_CHECKING:
    from auditrule.audit.facts import Facts
    from auditrule.audit.layout import Layout, Places

FARTHEST_END: Final = 64 << 10
"""An exec's records take no more, with what may come between them. The kernel writes them at once;
one that is not complete by then is left to whoever reads line by line."""

Line: TypeAlias = tuple[int, bytes]
"""A line that is to be looked at by itself, and where it stands, as facts say AT."""


class Screening(NamedTuple):
    """What a part of a block says, up to `stop`: facts, and lines to be looked at by themselves.

    There are so many `records` in it, the lines not among them.
    """

    facts: Facts
    lines: list[Line]
    records: int
    stop: int


class Seen:
    """What a block says, all of it: a part of that is what is asked for.

    `cuts` are the places that cannot be passed, in order. `begins` are where the records of the
    facts begin, `execs` where those of execs do, and where they end. `lines` are to be looked at
    by themselves.
    """

    def __init__(
        self,
        layout: Layout,
        bounds: tuple[int, int],
        cuts: Places,
        facts: Facts,
        begins: Places,
        execs: tuple[Places, Places],
        lines: Places,
    ) -> None:
        self._block = layout.block
        self._start, self._end = bounds
        self._newlines = layout.newlines
        self._cuts = cuts
        self._facts = facts
        self._begins = begins
        self._exec_begins, self._exec_ends = execs
        self._lines = lines

    def is_of(self, block: bytes, start: int, end: int) -> bool:
        """Tell whether it is a part of this that is asked for."""
        return block is self._block and end == self._end and start >= self._start

    def part(self, start: int, base: int) -> Screening:
        """Return what is said from `start` on, as Screen.read does."""
        stop = self._stop(start)
        first, last = np.searchsorted(self._newlines, (start, stop)).tolist()
        at = self._facts.columns[AT]
        begin, end = np.searchsorted(at, (start, stop)).tolist()
        facts = self._facts[begin:end]
        # Of an exec that began before, the rest has been looked at.
        whole = self._begins[begin:end] >= start
        if not whole.all():
            facts = facts[whole]
        # Whoever gets them may write to them.
        columns = facts.columns = facts.columns.copy()
        columns[AT] += base
        columns[[BEGIN, END]] += np.where(columns[END] > 0, base, 0)
        lines = self._lines_in(start, stop, base)
        return Screening(facts, lines, last - first - len(lines), stop)

    def _lines_in(self, start: int, stop: int, base: int) -> list[Line]:
        """Return the lines there that are to be looked at by themselves."""
        first, last = np.searchsorted(self._newlines[self._lines], (start, stop)).tolist()
        which = self._lines[first:last]
        bounds = as_rows(self._newlines[which], self._newlines[which + 1])
        return [(begin + base, self._block[begin + 1 : end]) for begin, end in bounds]

    def _stop(self, start: int) -> int:
        """Return how far one may go from there: no exec is told in part."""
        n = int(np.searchsorted(self._cuts, start))
        if n == len(self._cuts):
            return self._end
        stop = int(self._cuts[n])
        first = int(np.searchsorted(self._exec_begins, max(start, stop - FARTHEST_END)))
        while True:
            begins, ends = self._exec_begins[first:], self._exec_ends[first:]
            last = int(np.searchsorted(begins, stop))
            open_there = (ends[:last] >= stop).nonzero()[0]
            if not len(open_there):
                return stop
            stop = int(begins[open_there[0]])
            first = int(np.searchsorted(self._exec_begins, max(start, stop - FARTHEST_END)))
