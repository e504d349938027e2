"""Findings: what is of use of a part of the log, found there before anybody knows what was before.

A part is screened, the programs that start in it are looked at by themselves, and what is said of
processes that nobody will ask about is left out. So most of the work can be done for many parts at
once, and little is left of it to be done in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from auditrule.audit.fact import (
    ASKED,
    AT,
    EXEC,
    ID,
    LINE,
    TEXT,
    WHAT,
    looked_at,
    with_text,
)
from auditrule.audit.relevance import ALONE
from auditrule.audit.screen import BEFORE_SERIAL
from auditrule.ecs.sift import sift

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditrule.audit.fact import Fact, Text
    from auditrule.audit.screen import Screen
    from auditrule.outlook import Outlook

# Of fewer facts so little can be left out that it is not worth the work.
_FEWEST_TO_SIFT = 64


class LeftOut(NamedTuple):
    """What is left of facts that are left out: how many there were, and how many execs.

    Of all facts, `first` is where the first one is, `lowest` and `highest` are the serials; `gone`
    are processes of which no fact is left (ecs.sift.Sifted).
    """

    facts: int
    execs: int
    first: int
    lowest: int
    highest: int
    gone: list[tuple[bytes, bytes]]


class Findings(NamedTuple):
    """What a part of a log says, up to `stop`: facts, in order, of so many `records`.

    Lines that are facts themselves are among the records. The times are those of all facts, in
    milliseconds since the epoch, None where there is none. `left_out` is None if nothing is.
    """

    facts: Sequence[Fact]
    records: int
    stop: int
    oldest_ms: int | None = None
    newest_ms: int | None = None
    left_out: LeftOut | None = None


class Finder:
    """Finds what is of use in blocks that `screen` can read.

    With an `outlook`, programs that can meet no rule are not asked about. With `sifts`, facts that
    do not matter are left out.
    """

    def __init__(self, screen: Screen, outlook: Outlook | None, *, sifts: bool = False) -> None:
        self.node = screen.node
        """Whose log it is, None where the log does not name it."""
        self._screen = screen
        self._outlook = outlook
        self._sifts = sifts

    def find(
        self, block: bytes, start: int, end: int, base: int = 0, *, sifts: bool = True
    ) -> Findings:
        """Return what is found in block[start:end], with places as Screen.read gives them."""
        facts, stop, oldest, newest = self._screen.read(block, start, end, base)
        records = block.count(b"\n", start, stop)
        if self._outlook is not None:
            self._look(facts, self._outlook, lambda place: _text(block, base, place))
        stop += base
        if newest is None or not (sifts and self._sifts and _may_be_sifted(facts)):
            return Findings(facts, records, stop, oldest, newest)
        ids = [fact[ID] for fact in facts if fact[ID]]
        serials = [int(at_id[BEFORE_SERIAL:]) for at_id in ids]
        execs = sum(fact[WHAT] == EXEC for fact in facts)
        kept, gone = sift(facts, max(ids))
        left_out = LeftOut(
            len(facts) - len(kept),
            execs - sum(fact[WHAT] == EXEC for fact in kept),
            facts[0][AT],
            min(serials),
            max(serials),
            gone,
        )
        return Findings(kept, records, stop, oldest, newest, left_out)

    @staticmethod
    def _look(facts: list[Fact], outlook: Outlook, load: Callable[[Text], bytes]) -> None:
        """Look at the programs that somebody may ask about."""
        for n, fact in enumerate(facts):
            if fact[WHAT] == ASKED:
                chances = outlook.of_records(load(fact[TEXT]), fact[ID])
                what = ASKED if chances is not None and chances[0] else EXEC
                facts[n] = looked_at(fact, what, chances)


def _may_be_sifted(facts: Sequence[Fact]) -> bool:
    """Tell whether it is worth it, and all the facts are of one boot: pids begin anew with each."""
    if len(facts) < _FEWEST_TO_SIFT:
        return False
    return not any(
        isinstance(line := fact[TEXT], bytes) and sign in line
        for fact in facts
        if fact[WHAT] == LINE
        for sign in ALONE
    )


def _text(block: bytes, base: int, place: Text) -> bytes:
    if isinstance(place, bytes):
        return place
    begin, end = place
    return block[begin - base : end - base]


def loaded(facts: Sequence[Fact], block: bytes) -> list[Fact]:
    """Return facts with the records that they name by their place in `block`."""
    return [
        fact if isinstance(fact[TEXT], bytes) else with_text(fact, _text(block, 0, fact[TEXT]))
        for fact in facts
    ]
