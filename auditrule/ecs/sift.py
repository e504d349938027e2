"""Which facts matter: those of processes that live, or that somebody will ask about.

Nine processes of ten are made, run a program and end within seconds, and nobody asks about them.
Once one has ended, and can be nobody's parent any more, nothing of what was said of it makes a
difference to what is known of the others.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from auditrule.audit.fact import (
    ASKED,
    BY,
    CHILD,
    END,
    EXEC,
    FORK,
    ID,
    PID,
    PPID,
    THREAD_END,
    WHAT,
    time_of,
)
from auditrule.ecs.process_table import EXIT_GRACE_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from auditrule.audit.fact import Fact

# Of what was before these, a process has nothing left but its children.
_BEGINS_ANEW: Final = frozenset({EXEC, ASKED, END})
# An ended process may still be read as a parent for a tenth of this (process_table), and its last
# records may be written as much later.
_SECONDS_OF_GRACE: Final = 1
_SECONDS: Final = 10
# Of so many facts one at least was told when it happened.
_FIRST: Final = 64


class Sifted(NamedTuple):
    """The facts that matter, in order, and the ended processes of which nothing is left.

    Of each, its number and the ID of its end's event.
    """

    facts: list[Fact]
    gone: list[tuple[bytes, bytes]]


def sift(facts: Sequence[Fact], newest: bytes) -> Sifted:
    """Return the facts that matter of a part of the log whose newest event is `newest`.

    They are as the screen finds them, whose IDs have as many digits, so that they sort as their
    times do. Whoever reads them may ask about the parents of those that are ASKED about.
    """
    cut = b"%d%s" % (int(newest[:_SECONDS]) - _SECONDS_OF_GRACE, newest[_SECONDS:])
    count = next((n for n, fact in enumerate(facts) if fact[ID] > cut), len(facts))
    old, tail = facts[:count], facts[count:]
    last = last_of_each(old)
    ended = {pid for pid, n in last.items() if old[n][WHAT] == END} - mentioned_in(tail)
    found = that_matter(old, last.keys() - ended, asks=True)
    # It is known from the first ones that forks, and ends, are logged.
    for what in (FORK, END):
        found.update(next(([n] for n, fact in enumerate(old) if fact[WHAT] == what), []))
    kept = [old[n] for n in sorted(found)]
    kept += tail
    return Sifted(kept, [(pid, old[n][ID]) for pid, n in last.items() if pid in ended])


def last_of_each(facts: Sequence[Fact]) -> dict[bytes, int]:
    """Return which fact is the last of each process that makes a call or is made."""
    last: dict[bytes, int] = {}
    for n, fact in enumerate(facts):
        last[fact[PID]] = n
        if fact[WHAT] == FORK:
            last[fact[CHILD]] = n
    return last


def mentioned_in(facts: Iterable[Fact]) -> set[bytes]:
    """Return the processes that facts mention."""
    return set(chain.from_iterable((f[PID], f[PPID], f[CHILD]) for f in facts))


def that_matter(facts: Sequence[Fact], living: Collection[bytes], *, asks: bool) -> set[int]:
    """Return which facts tell of the living, or of those that they come from.

    Where somebody `asks`, of the parents of the programs that are ASKED about, too.
    """
    wanted = set(living)
    telling = _forks_that_tell_of_their_maker(facts)
    found: set[int] = set()
    for n in range(len(facts) - 1, -1, -1):
        fact = facts[n]
        what, pid = fact[WHAT], fact[PID]
        if what == FORK:
            if fact[CHILD] in wanted or (pid in wanted and n in telling):
                wanted.add(pid)
                found.add(n)
        elif asks and what >= ASKED:
            wanted.discard(pid)
            wanted.add(fact[PPID])
            found.add(n)
        elif pid in wanted:
            found.add(n)
            # Whoever asks may do so shortly after the end.
            if what in _BEGINS_ANEW and not (asks and what == END):
                wanted.discard(pid)
    return found


def _forks_that_tell_of_their_maker(facts: Sequence[Fact]) -> set[int]:
    """Return the forks that may tell more of who makes them than those before them do.

    One of an earlier time does: whoever makes it, lived by then. So does one of a process whose
    end, or a thread's, was told, or may have been before all of this: it lives after all, once it
    can be no parent by that end.
    """
    # By then all had been told that was before, though a call that took long tells an early time.
    begun = max((time_of(fact[ID]) for fact in facts[:_FIRST] if fact[ID]), default=0)
    known: dict[bytes, tuple[bytes, int]] = {}
    ended: dict[bytes, int] = {}
    looked_at: set[bytes] = set()
    found: set[int] = set()
    for n, fact in enumerate(facts):
        what, pid = fact[WHAT], fact[PID]
        if what == FORK:
            by, time, child = fact[BY], time_of(fact[ID]), fact[CHILD]
            if pid not in looked_at:
                looked_at.add(pid)
                ended.setdefault(pid, begun)
            told_by, since = known.get(pid, (None, 0))
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
            ended[pid] = time_of(fact[ID])
        elif what in _BEGINS_ANEW:
            known.pop(pid, None)
            ended.pop(pid, None)
            looked_at.add(pid)
    return found
