"""Facts of processes that nobody has asked about yet.

Most processes start, do something and end between two questions. To tell the process table of each
of them takes longer than all the rest of a replay; so facts wait here, and what is asked for is
told in time: all that concerns a process, and those it comes from, in the order of the log. Once
many wait, the table is told of the processes that live, and the others are dropped.

When that happens depends on the facts alone, so the answers do, too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from auditrule.audit.fact import ASKED, END, EXEC, FORK, NOBODY, THREAD
from auditrule.audit.facts import CHILD, MS, PID, WHAT, Facts, Index, Mentions, among, mentioned_in
from auditrule.ecs.process_table import NOTHING_LOGGED, Logged
from auditrule.ecs.sift import that_matter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.fact import Fact, Text
    from auditrule.audit.facts import Column

MOST_BYTES: Final = 4 << 20
"""What their records take at most, where they are not left in a file."""
_MOST_LEFT: Final = 2048
# How many wait where most of them have to be told.
_FEWEST: Final = 2048
# More takes memory, and less takes time.
_TOLD_AT_ONCE: Final = 256
# Of a process of which more was told, all has to be settled.
_MOST_LOOKED_AT: Final = 100
# An ended process may still be read as a parent for a fifth of this (process_table), and its last
# records may be written as much later.
_LONG_MS: Final = 500
_MOST_ENDED: Final = 64 << 10
_NEVER: Final = 1 << 62


class Teller(Protocol):
    """Whoever keeps the processes of a host."""

    def tell(self, fact: Fact, logged: Logged) -> None:
        """Take a fact."""

    def known(self) -> Sequence[int]:
        """Return the processes of which something is known."""

    def knows(self, pid: int) -> bool:
        """Tell whether a process is one of these."""

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        """Take the end of a part of the log.

        The processes `used` were mentioned in it, the last last; those that have `ended` were not
        mentioned since.
        """


class Backlog:
    """The facts of one host, in order.

    The `teller` is told of those that matter, when there are `most`. The last ones are left as they
    are: an end may lie behind a child's exec by some, a fork behind its child's end. `logged` tells
    whether forks and ends had been logged before the first of them, `share` of how many backlogs
    this is one: the limits are for all of them.
    """

    def __init__(
        self,
        teller: Teller,
        logged: Logged = NOTHING_LOGGED,
        *,
        most: int,
        share: Callable[[], int] = lambda: 1,
    ) -> None:
        self._teller = teller
        self._most = most
        self._share = share
        # Those that came at once, and those that came one by one, and which the first of each is.
        self._parts: list[Facts | list[Fact]] = []
        self._firsts: list[int] = []
        self._count = 0
        # Before which of them all have happened, as far as whoever asks is concerned.
        self._reached = 0
        self._size = 0
        # How many were left when there was made room.
        self._left = 0
        # Whether most of what waited did not have to be told.
        self._pays = True
        # Behind which of them forks, and ends, are known to be logged.
        self._fork_at, self._end_at = (0 if known else _NEVER for known in logged)
        self._told = bytearray()
        # Of each part, where the facts of each process are.
        self._indexes: list[Index | _Singles] = []
        self._own: dict[int, _Own] = {}
        # When processes ended of which that was told last.
        self._ended: dict[int, int] = {}

    def __len__(self) -> int:
        """Return the number of facts that wait, told ones included."""
        return self._count

    def note(self, fact: Fact) -> None:
        """Take the fact that comes next."""
        part = self._parts[-1] if self._parts else None
        if not isinstance(part, list):
            self._add_part(part := [], _Singles())
        index = self._indexes[-1]
        if isinstance(index, _Singles):
            index.note(len(part), fact)
        part.append(fact)
        if fact.what == FORK:
            self._fork_at = min(self._fork_at, self._count)
        elif fact.what == END:
            self._end_at = min(self._end_at, self._count)
        self._count += 1
        self._told.append(False)
        self._size += len(fact.text)
        self._reached = self._count
        self._make_room()

    def take(self, facts: Facts, index: Index) -> None:
        """Take the facts that come next; as far as it is to be known, none has happened yet."""
        if not len(facts):
            return
        self._add_part(facts, index)
        for what, name in ((FORK, "_fork_at"), (END, "_end_at")):
            if getattr(self, name) == _NEVER:
                found = (facts.columns[WHAT] == what).nonzero()[0]
                if len(found):
                    setattr(self, name, self._count + int(found[0]))
        self._count += len(facts)
        self._told += bytes(len(facts))
        self._size += facts.size

    def reach(self, n: int) -> None:
        """Let the first `n` of the facts that came last happen."""
        self._reached = self._firsts[-1] + n if self._firsts else 0

    def end_part(self) -> None:
        """Let all facts happen, and make room for others."""
        self._reached = self._count
        self._make_room()

    def settle(self, pid: int) -> None:
        """Tell all that there is of a process, and of those that it comes from."""
        waiting: list[tuple[int, int]] = [(pid, self._reached)]
        while waiting:
            number, before = waiting[-1]
            n = self._first_untold(number, before)
            if n >= before:
                waiting.pop()
                continue
            fact = self._fact(n)
            if fact.what == FORK:
                other = fact.child if fact.pid == number else fact.pid
                if self._first_untold(other, n) < n:
                    waiting.append((other, n))
                    continue
            self._tell_one(n, fact)

    def last_exec(self, pid: int, at_ms: int) -> tuple[Fact, list[Fact]] | None:
        """Return the program's start that tells what a process ran then, where it takes no telling.

        It comes with the forks since then by which that process was made, or told something new of
        it. It is None if anything else was told, or times are not in order: whoever wants to know
        then has to settle it.
        """
        forks: list[Fact] = []
        before, looked_at = self._reached, 0
        facts = self._gathered(pid).facts
        at = len(facts) - 1
        while at >= 0 and looked_at < _MOST_LOOKED_AT:
            n = facts[at]
            at, looked_at = at - 1, looked_at + 1
            # Those that may be left tell nothing new.
            if n < 0 or n >= before:
                continue
            fact = self._fact(n)
            if self._told[n] or fact.ms > at_ms:
                return None
            at_ms = fact.ms
            if fact.what in (EXEC, ASKED):
                return fact, forks
            if fact.what == FORK:
                forks.append(fact)
                if fact.pid != pid:
                    if at >= 0 or self._teller.knows(pid):
                        # It had another life before.
                        return None
                    pid, before = fact.pid, n
                    facts = self._gathered(pid).facts
                    at = len(facts) - 1
            elif fact.what != THREAD:
                return None
        return None

    def settle_all(self) -> None:
        """Tell all that is left, and keep nothing."""
        for n in range(self._count):
            if not self._told[n]:
                self._tell_one(n, self._fact(n))
        self._keep(self._joined(), [])

    def load(self, load: Callable[[Text], bytes]) -> None:
        """Have `load` give the records of those that name them by their place.

        Before, what does not matter is dropped: few are left.
        """
        self._shrink(self._most, MOST_BYTES)
        facts = self._joined().loaded(load, self._told)
        self._keep(facts, range(len(facts)))

    def forget_chances(self) -> None:
        """Take notice that the rules are others."""
        facts = self._joined()
        facts.chances = [None] * len(facts.chances)
        self._keep(facts, range(len(facts)))

    def clear(self) -> None:
        """Drop all."""
        self._keep(self._joined(), [])
        self._ended.clear()

    def shrink(self) -> None:
        """Tell what matters of all but the last facts, and drop them."""
        self._shrink(self._most, MOST_BYTES, tells=True)

    def _add_part(self, facts: Facts | list[Fact], index: Index | _Singles) -> None:
        self._parts.append(facts)
        self._indexes.append(index)
        self._firsts.append(self._count)

    def _make_room(self) -> None:
        share = max(self._share(), 1)
        most = self._most
        if not self._pays:
            # Where nobody ends, all has to be told, and waiting takes memory alone.
            most = min(most, _FEWEST)
        most, most_bytes = max(most // share, 16), MOST_BYTES // share
        if self._count - self._left >= most or self._size > most_bytes:
            self._shrink(most, most_bytes)

    def _shrink(self, most: int, most_bytes: int, *, tells: bool = False) -> None:
        """Drop what does not matter of all but the last facts, and tell the rest if it is much.

        Nobody may ever ask for it: what `tells` is to be told at all events.
        """
        keep, keep_bytes = min(most // 4, _MOST_LEFT), most_bytes // 4
        facts = self._joined()
        # Less memory is needed at once.
        self._drop_parts()
        count = len(facts) - facts.last(keep, keep_bytes)
        old = facts[:count]
        told = self._told
        mentions = Mentions(old)
        later = mentioned_in(facts.columns[:, count:])
        # Somebody may still ask about whoever has ended since.
        since = int(facts.columns[MS].max(initial=0)) - _LONG_MS
        is_over = old.columns[WHAT][mentions.last] == END
        is_over &= old.columns[MS][mentions.last] <= since
        is_over &= ~among(mentions.each, later)
        living = mentions.each[~is_over]
        matter = [n for n in that_matter(old, mentions, living, since) if not told[n]]
        # Of whom something waits, what came last does so, too, and the end.
        whose = old.columns[[PID, CHILD]][:, matter].ravel()
        is_waiting = is_over & among(mentions.each, whose[whose != NOBODY])
        waiting = mentions.each[is_waiting]
        more = [*mentions.last[is_waiting].tolist(), *_last_images(old, waiting)]
        left = sorted({*matter, *(n for n in more if not told[n])})
        # No more is left than gives room for as much again.
        if tells or len(left) > most // 4 or sum(map(old.text_size, left)) > keep_bytes:
            for begin in range(0, len(matter), _TOLD_AT_ONCE):
                which = matter[begin : begin + _TOLD_AT_ONCE]
                for n, fact in zip(which, facts[np.array(which)].rows(), strict=True):
                    self._tell_one(n, fact)
            left, is_waiting = [], np.zeros_like(is_over)
            self._pays = 2 * len(matter) < count
        else:
            self._pays = True
        known = np.array(self._teller.known(), np.int64)
        ended = mentions.each[is_over & ~is_waiting & among(mentions.each, known)].tolist()
        ended += self._ended_before(since, facts)
        self._teller.end(_in_order_of_last_mention(facts.columns, known), ended)
        self._keep(facts, left + list(range(count, len(facts))))

    def _ended_before(self, since: int, facts: Facts) -> list[int]:
        """Return whose end was told, if that was not after `since`, and no facts are about them."""
        over = [pid for pid, ms in self._ended.items() if ms <= since]
        is_mentioned = among(np.array(over, np.int64), mentioned_in(facts.columns)).tolist()
        ended = [pid for pid, known in zip(over, is_mentioned, strict=True) if not known]
        for pid in ended:
            del self._ended[pid]
        return ended

    def _tell_one(self, n: int, fact: Fact) -> None:
        self._told[n] = True
        if fact.what == END:
            if len(self._ended) < _MOST_ENDED:
                self._ended[fact.pid] = fact.ms
        else:
            self._ended.pop(fact.pid if fact.child == NOBODY else fact.child, None)
        self._teller.tell(fact, Logged(self._fork_at <= n, self._end_at <= n))

    def _fact(self, n: int) -> Fact:
        number = bisect_right(self._firsts, n) - 1
        part, n = self._parts[number], n - self._firsts[number]
        return part[n] if isinstance(part, list) else part.fact(n)

    def _joined(self) -> Facts:
        """Return all facts as one part."""
        return Facts.joined(
            [Facts.of(part) if isinstance(part, list) else part for part in self._parts]
        )

    def _first_untold(self, pid: int, before: int) -> int:
        """Return which fact of a process is to be told next, if it is `before` some; else any.

        A fork that tells nothing new of who makes it is left, as long as nothing else is told of
        that: should somebody ask about the child, it can be told then.
        """
        own = self._gathered(pid)
        facts, told, at = own.facts, self._told, own.begin
        while at < len(facts):
            n = facts[at]
            if n < 0:
                own.left.append(~n)
            elif not told[n]:
                break
            at += 1
        own.begin = at
        n = facts[at] if at < len(facts) else self._count
        if n < before and own.left:
            left = own.left = [each for each in own.left if not told[each]]
            if left:
                return left[0]
        return n

    def _gathered(self, pid: int) -> _Own:
        """Return the facts of a process."""
        own = self._own.get(pid)
        if own is None:
            own = self._own[pid] = _Own()
        if own.part < len(self._indexes):
            self._gather(pid, own)
        return own

    def _gather(self, pid: int, own: _Own) -> None:
        """Gather the facts of a process from the parts that were not looked at yet."""
        begin = own.part
        for number, index in enumerate(self._indexes[begin:], begin):
            if isinstance(index, _Singles):
                found = index.of.get(pid, ())
                own.facts += [self._firsts[number] + n for n in found[own.seen :]]
                if number == len(self._indexes) - 1:
                    # More may come.
                    own.part, own.seen = number, len(found)
                    return
                own.seen = 0
            elif pid in index.bounds:
                first = self._firsts[number]
                own.facts += [n + first if n >= 0 else n - first for n in index.of(pid)]
        own.part = len(self._indexes)

    def _keep(self, facts: Facts, which: Sequence[int]) -> None:
        """Forget all `facts`, which are those that there are, but for some of them."""
        self._fork_at, self._end_at = (
            n if n == _NEVER else bisect_left(which, n) for n in (self._fork_at, self._end_at)
        )
        self._told = bytearray(self._told[n] for n in which)
        kept = facts[np.array(which, np.int64)]
        self._drop_parts()
        self._count = 0
        if which:
            self._add_part(kept, Mentions(kept).index(kept))
        self._count = self._reached = self._left = len(which)
        self._size = kept.size

    def _drop_parts(self) -> None:
        self._parts.clear()
        self._firsts.clear()
        self._indexes.clear()
        self._own.clear()


class _Own:
    """The facts of a process that somebody asks about, as far as the parts were looked at."""

    __slots__ = ("begin", "facts", "left", "part", "seen")

    def __init__(self) -> None:
        self.facts: list[int] = []
        """Which they are; ~n of those that may be left."""
        self.begin = 0
        """How many at the beginning have been told, or are left."""
        self.left: list[int] = []
        self.part = 0
        self.seen = 0
        """How many of the next part are among the facts."""


class _Singles:
    """Where, of facts that came one by one, those of each process are."""

    def __init__(self) -> None:
        self.of: defaultdict[int, list[int]] = defaultdict(list)

    def note(self, n: int, fact: Fact) -> None:
        """Take notice of a fact."""
        self.of[fact.pid].append(n)
        if fact.what == FORK and fact.child != fact.pid:
            self.of[fact.child].append(n)


def _last_images(facts: Facts, pids: Column) -> Iterable[int]:
    """Return which facts tell last what some processes run."""
    what, pid, child = facts.columns[[WHAT, PID, CHILD]]
    whose = np.where(what == FORK, child, pid)
    which = (among(whose, pids) & np.isin(what, (FORK, EXEC, ASKED))).nonzero()[0]
    return dict(zip(whose[which].tolist(), which.tolist(), strict=True)).values()


def _in_order_of_last_mention(columns: Column, pids: Column) -> list[int]:
    """Return those of some processes that facts mention."""
    mentioned = mentioned_in(columns)
    mentioned = mentioned[among(mentioned, pids)]
    return list(dict.fromkeys(mentioned[::-1].tolist()))[::-1]
