"""Findings: what is of use of a part of the log, found there before anybody knows what was before.

A part is screened, and the programs that start in it are looked at by themselves. So most of the
work can be done for many parts at once, and little is left of it to be done in order.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auditrule.audit.fact import ASKED, EXEC, id_of
from auditrule.audit.facts import AT, CHANCES, MS, REPEATS, SERIAL, WHAT, Facts, Mentions
from auditrule.ecs.sift import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.fact import Text
    from auditrule.audit.facts import Index
    from auditrule.audit.screen import Screen
    from auditrule.audit.seen import Line
    from auditrule.outlook import Outlook


class Findings(NamedTuple):
    """What a part of a log says, up to `stop`: as Screening has it, and who is mentioned."""

    facts: Facts
    mentions: Index
    lines: list[Line]
    records: int
    stop: int

    @classmethod
    def of(cls, facts: Facts, lines: list[Line], records: int, stop: int) -> Findings:
        """Return what is found with an index of the facts."""
        mentions = Mentions(facts)
        facts.columns[REPEATS] |= repeated(facts, mentions)
        return cls(facts, mentions.index(facts), lines, records, stop)

    @classmethod
    def nothing(cls, stop: int) -> Findings:
        """Return what is found in nothing."""
        return cls.of(Facts.of([]), [], 0, stop)

    def in_order(self, which: Sequence[int]) -> Iterable[tuple[int, bytes | None]]:
        """Return some facts, by their number, and the lines, each as the fact behind it."""
        if not self.lines:
            return ((n, None) for n in which)
        places = [at for at, _ in self.lines]
        before = np.searchsorted(self.facts.columns[AT], places).tolist()
        lines = zip(before, (line for _, line in self.lines), strict=True)
        # Those of the same number stay in order.
        return sorted([*lines, *((n, None) for n in which)], key=itemgetter(0))


class Finder:
    """Finds what is of use in blocks that `screen` can read.

    With an `outlook`, programs that can meet no rule are not asked about.
    """

    def __init__(self, screen: Screen, outlook: Outlook | None) -> None:
        self.node = screen.node
        """Whose log it is, None where the log does not name it."""
        self._screen = screen
        self._outlook = outlook

    def find(self, block: bytes, start: int, end: int, base: int = 0) -> Findings:
        """Return what is found in block[start:end], with places as Screen.read gives them."""
        facts, lines, records, stop = self._screen.read(block, start, end, base)
        if self._outlook is not None:
            _look(facts, self._outlook, lambda place: text_in(block, base, place))
        return Findings.of(facts, lines, records, stop + base)


def _look(facts: Facts, outlook: Outlook, load: Callable[[Text], bytes]) -> None:
    """Look at the programs that somebody may ask about."""
    columns = facts.columns
    numbers: dict[tuple[int, int | None], int] = {}
    for n in (columns[WHAT] == ASKED).nonzero()[0].tolist():
        at_id = id_of(int(columns[MS, n]), int(columns[SERIAL, n]))
        chances = outlook.of_records(load(facts.fact(n).text), at_id)
        if chances is None or not chances[0]:
            columns[WHAT, n] = EXEC
        if chances is not None:
            columns[CHANCES, n] = numbers.setdefault(chances, len(numbers))
    facts.chances = list(numbers)


def text_in(block: bytes, base: int, place: Text) -> bytes:
    """Return the records that a fact names by their place in a block that begins at `base`."""
    if isinstance(place, bytes):
        return place
    begin, end = place
    return block[begin - base : end - base]
