"""Which facts matter: those of processes that live, and of those that they come from.

Nine processes of ten are made, run a program and end within seconds, and nobody asks about them.
Once one has ended, and can be nobody's parent any more, nothing of what was said of it makes a
difference to what is known of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from auditrule.audit.fact import ASKED, END, EXEC, FORK, THREAD_END
from auditrule.audit.facts import BY, CHILD, MS, PID, REPEATS, WHAT, among
from auditrule.ecs.process_table import EXIT_GRACE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditrule.audit.facts import Column, Facts, Flags, Mentions

# Of what was before these, a process has nothing left but its children.
_BEGINS_ANEW: Final = frozenset({EXEC, ASKED, END})
# Of so many facts one at least was told when it happened.
_FIRST: Final = 64


def that_matter(facts: Facts, mentions: Mentions, living: Column, since: int) -> list[int]:
    """Return which facts tell of the `living`, or of those that they come from, in order.

    Of the living, some may have ended; of whom that was `since` then (in milliseconds since the
    epoch), what it was before is told, too.
    """
    columns = facts.columns[[WHAT, PID, CHILD, MS, BY]]
    what, pid, child, ms, _ = columns
    is_fork = what == FORK
    wanted = _with_makers(living, pid[is_fork], child[is_fork])
    repeats = repeated(facts, mentions) | facts.columns[REPEATS].astype(np.bool_)
    matters = among(pid, wanted) & ~repeats
    matters |= is_fork & among(child, wanted)
    which = matters.nonzero()[0]
    found = _that_matter(columns[:, which].T.tolist(), living.tolist(), _begun(ms), since)
    kept: list[int] = which[sorted(found)].tolist()
    return kept


def _with_makers(living: Column, makers: Column, children: Column) -> Column:
    """Return the living, and whoever made them, or made who made them, and so on, at any time."""
    wanted = set(living.tolist())
    for maker, child in zip(makers[::-1].tolist(), children[::-1].tolist(), strict=True):
        if child in wanted:
            wanted.add(maker)
    return np.fromiter(wanted, np.int64, len(wanted))


def _begun(times: Column) -> int:
    """Return when facts of these times began: all had been told that was before.

    A call that took long tells an early time.
    """
    return int(times[:_FIRST].max(initial=0))


def repeated(facts: Facts, mentions: Mentions) -> Flags:
    """Tell which forks tell nothing of their maker that the fact before of it does not.

    That is a fork, too, made by the same, not later, and long after any end that was told of it.
    """
    what, pid, ms, by = facts.columns[[WHAT, PID, MS, BY]]
    if not len(what):
        return np.zeros(0, np.bool_)
    numbers, which = mentions.numbers, mentions.facts
    ends = np.isin(what, (END, THREAD_END))[which]
    ended = np.where(ends, ms[which], _begun(ms))
    latest = np.repeat(np.maximum.reduceat(ended, mentions.first), mentions.count)
    one, other = which[:-1], which[1:]
    found = (what[one] == FORK) & (what[other] == FORK) & (one != other)
    found &= (pid[one] == numbers[1:]) & (pid[other] == numbers[1:])
    found &= (by[one] == by[other]) & (ms[one] <= ms[other])
    found &= ms[one] > latest[1:] + EXIT_GRACE_MS
    repeats = np.zeros(len(pid), np.bool_)
    repeats[other[found]] = True
    return repeats


def _that_matter(
    rows: Sequence[Sequence[int]], living: Iterable[int], begun: int, since: int
) -> set[int]:
    wanted = set(living)
    # When the first of the facts behind was made by each.
    forked: dict[int, int] = {}
    telling = _forks_that_tell_of_their_maker(rows, begun)
    found: set[int] = set()
    for n in range(len(rows) - 1, -1, -1):
        what, pid, child, time, _ = rows[n]
        if what == FORK:
            if child in wanted or (pid in wanted and n in telling):
                wanted.add(pid)
                found.add(n)
                forked[pid] = time
        elif pid in wanted:
            found.add(n)
            # A fork that was told late was made before the end.
            before = forked.get(pid, since + EXIT_GRACE_MS) - EXIT_GRACE_MS
            ends = what == END and time <= min(since, before)
            if ends or what in (EXEC, ASKED):
                wanted.discard(pid)
    return found


def _forks_that_tell_of_their_maker(rows: Sequence[Sequence[int]], begun: int) -> set[int]:
    """Return the forks that may tell more of who makes them than those before them do.

    One of an earlier time does: whoever makes it, lived by then. So does one of a process whose
    end, or a thread's, was told, or may have been before all of this, which had `begun` then: it
    lives after all, once it can be no parent by that end.
    """
    known: dict[int, tuple[int, int]] = {}
    ended: dict[int, int] = {}
    looked_at: set[int] = set()
    found: set[int] = set()
    for n, (what, pid, child, time, by) in enumerate(rows):
        if what == FORK:
            if pid not in looked_at:
                looked_at.add(pid)
                ended.setdefault(pid, begun)
            told_by, since = known.get(pid, (-1, 0))
            if told_by != by or time < since or pid in ended:
                known[pid] = by, time
                found.add(n)
                if time > ended.get(pid, time) + EXIT_GRACE_MS:
                    del ended[pid]
            known.pop(child, None)
            # An end at that time or later may be its own, and the fork's record late.
            if ended.get(child, time) < time:
                del ended[child]
                looked_at.add(child)
        elif what in (THREAD_END, END):
            known.pop(pid, None)
            ended[pid] = time
        elif what in _BEGINS_ANEW:
            known.pop(pid, None)
            ended.pop(pid, None)
            looked_at.add(pid)
    return found
