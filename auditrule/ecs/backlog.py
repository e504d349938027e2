"""Facts of processes that nobody has asked about yet.

Most processes start, do something and end between two questions. To tell the process table of each
of them takes longer than all the rest of a replay; so facts wait here, and what is asked for is
told in time: all that concerns a process, and those it comes from, in the order of the log. Once
many wait, the table is told of the processes that live, and the others are dropped.

When that happens depends on the facts alone, so the answers do, too.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from auditrule.audit.fact import (
    ASKED,
    BY,
    CHILD,
    END,
    EXEC,
    FORK,
    MIXED,
    PID,
    PPID,
    TEXT,
    THREAD_END,
    WHAT,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.fact import Fact, Text

FEW: Final = 2048
"""How many facts wait where nobody is to wait for them to be told."""
MANY: Final = 8192
"""How many wait where time does not matter, but work: the more of them have ended together."""
_NEVER: Final = 1 << 62
# Of what was before these, a process has nothing left but its children.
_BEGINS_ANEW: Final = frozenset({EXEC, ASKED, END})
# What long records take at most.
MOST_BYTES: Final = 8 << 20

Logged: TypeAlias = tuple[bool, bool]
"""Whether forks, and whether ends of processes, are known to be logged."""


class Teller(Protocol):
    """Whoever keeps the processes of a host."""

    def tell(self, fact: Fact, logged: Logged) -> None:
        """Take a fact."""

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        """Take the end of a part of the log.

        The processes `used` were mentioned in it, the last last; those that have `ended` were not
        mentioned since.
        """


class Backlog:
    """The facts of one host, in order.

    The `teller` is told of those that matter, when there are `most`. The last quarter is left as it
    is: an end may lie behind a child's exec by some, a fork behind its child's end. `logged` tells
    whether forks and ends had been logged before the first of them, `share` of how many backlogs
    this is one: the limits are for all of them.
    """

    def __init__(
        self,
        teller: Teller,
        logged: Logged = (False, False),
        *,
        most: int = FEW,
        share: Callable[[], int] = lambda: 1,
    ) -> None:
        self._teller = teller
        self._most = most
        self._share = share
        self._facts: list[Fact] = []
        self._size = 0
        # Behind which of them forks, and ends, are known to be logged.
        self._fork_at, self._end_at = (0 if known else _NEVER for known in logged)
        self._told: set[int] = set()
        # Where the facts of each process are, of those before `_indexed`.
        self._of: defaultdict[bytes, list[int]] = defaultdict(list)
        # How many of them have been told, at the beginning.
        self._begins: dict[bytes, int] = {}
        self._indexed = 0
        # Processes whose end has been told.
        self._ended: set[bytes] = set()

    def __len__(self) -> int:
        """Return the number of facts that wait, told ones included."""
        return len(self._facts)

    def note(self, facts: Sequence[Fact]) -> None:
        """Take the facts that come next."""
        begin, end = 0, len(facts)
        share = max(self._share(), 1)
        most, most_bytes = max(self._most // share, 16), MOST_BYTES // share
        while begin < end:
            stop = min(end, begin + max(most - len(self._facts), 1))
            for n in _long(facts, begin, stop):
                self._size += len(facts[n][TEXT])
                if self._size > most_bytes:
                    stop = n + 1
                    break
            self._look_what_is_logged(facts[begin:stop])
            self._facts += facts[begin:stop]
            begin = stop
            if self._size > most_bytes:
                self.shrink(0)
            elif len(self._facts) >= most:
                self.shrink(most // 4)

    def settle(self, pid: int) -> None:
        """Tell all that there is of a process, and of those that it comes from."""
        self._index()
        waiting: list[tuple[bytes, int]] = [(b"%d" % pid, len(self._facts))]
        while waiting:
            number, before = waiting[-1]
            n = self._first_untold(number)
            if n >= before:
                waiting.pop()
                continue
            fact = self._facts[n]
            if fact[WHAT] == FORK:
                other = fact[CHILD] if fact[PID] == number else fact[PID]
                if self._first_untold(other) < n:
                    waiting.append((other, n))
                    continue
            self._tell_one(n)

    def settle_all(self) -> None:
        """Tell all that is left, and keep nothing."""
        for n in range(len(self._facts)):
            if n not in self._told:
                self._tell_one(n)
        self._drop(len(self._facts))

    def load(self, load: Callable[[Text], bytes]) -> None:
        """Have `load` give the records of those that name them by their place."""
        self._facts = [
            fact
            if n in self._told or isinstance(fact[TEXT], bytes)
            else (*fact[:TEXT], load(fact[TEXT]), fact[BY])
            for n, fact in enumerate(self._facts)
        ]

    def clear(self) -> None:
        """Drop all."""
        self._drop(len(self._facts))
        self._ended.clear()

    def shrink(self, keep: int | None = None) -> None:
        """Tell what matters of all but the last facts, and drop them."""
        keep = self._most // 4 if keep is None else keep
        facts = self._facts
        count = max(0, len(facts) - keep)
        old = facts[:count]
        last: dict[bytes, int] = {}
        for fact in old:
            last[fact[PID]] = what = fact[WHAT]
            if what == FORK:
                last[fact[CHILD]] = FORK
        mentioned = set(chain.from_iterable((f[PID], f[PPID], f[CHILD]) for f in facts[count:]))
        ended = {pid for pid, what in last.items() if what == END}
        ended |= self._ended - last.keys()
        self._ended = ended & mentioned
        ended -= mentioned
        for n in self._that_matter(old, last.keys() - ended):
            self._tell_one(n)
        self._teller.end(_in_order_of_last_mention(old), map(int, ended))
        self._drop(count)

    def _that_matter(self, facts: Sequence[Fact], living: Iterable[bytes]) -> list[int]:
        """Return which facts tell of the living, or of those that they come from, in order."""
        wanted = set(living)
        telling = _forks_that_tell_of_their_maker(facts)
        found: list[int] = []
        for n in range(len(facts) - 1, -1, -1):
            fact = facts[n]
            what, pid = fact[WHAT], fact[PID]
            if what == FORK:
                if fact[CHILD] not in wanted and (pid not in wanted or n not in telling):
                    continue
                wanted.add(pid)
            elif pid not in wanted:
                continue
            elif what in _BEGINS_ANEW:
                wanted.discard(pid)
            if n not in self._told:
                found.append(n)
        found.reverse()
        return found

    def _tell_one(self, n: int) -> None:
        self._told.add(n)
        fact = self._facts[n]
        if fact[WHAT] == END:
            self._ended.add(fact[PID])
        else:
            self._ended.discard(fact[CHILD] or fact[PID])
        self._teller.tell(fact, (self._fork_at <= n, self._end_at <= n))

    def _look_what_is_logged(self, facts: Sequence[Fact]) -> None:
        known = len(self._facts)
        if self._fork_at == _NEVER or self._end_at == _NEVER:
            for n, fact in enumerate(facts, known):
                if fact[WHAT] == FORK:
                    self._fork_at = min(self._fork_at, n)
                elif fact[WHAT] == END:
                    self._end_at = min(self._end_at, n)

    def _first_untold(self, pid: bytes) -> int:
        own = self._of.get(pid, ())
        begin = self._begins.get(pid, 0)
        while begin < len(own) and own[begin] in self._told:
            begin += 1
        self._begins[pid] = begin
        return own[begin] if begin < len(own) else len(self._facts)

    def _index(self) -> None:
        of = self._of
        for n, fact in enumerate(self._facts[self._indexed :], self._indexed):
            pid, child = fact[PID], fact[CHILD]
            of[pid].append(n)
            if child and child != pid and fact[WHAT] == FORK:
                of[child].append(n)
        self._indexed = len(self._facts)

    def _drop(self, count: int) -> None:
        """Forget the first facts."""
        if count == 0:
            return
        self._facts = self._facts[count:]
        self._size = sum(len(f[TEXT]) for f in self._facts if len(f[TEXT]) > MIXED)
        self._fork_at = _earlier(self._fork_at, count)
        self._end_at = _earlier(self._end_at, count)
        self._told = {n - count for n in self._told if n >= count}
        self._of.clear()
        self._begins.clear()
        self._indexed = 0


def _forks_that_tell_of_their_maker(facts: Sequence[Fact]) -> set[int]:
    """Return the forks that may tell more of who makes them than those before them do."""
    known: dict[bytes, bytes] = {}
    found: set[int] = set()
    for n, fact in enumerate(facts):
        what = fact[WHAT]
        if what == FORK:
            pid, by = fact[PID], fact[BY]
            if known.get(pid) != by:
                known[pid] = by
                found.add(n)
            known.pop(fact[CHILD], None)
        elif what in _BEGINS_ANEW or what == THREAD_END:
            known.pop(fact[PID], None)
    return found


def _in_order_of_last_mention(facts: Sequence[Fact]) -> list[int]:
    numbers = chain.from_iterable((f[PPID], f[CHILD], f[PID]) for f in facts)
    mentioned = dict.fromkeys(reversed(list(numbers)))
    return [int(number) for number in reversed(mentioned) if number]


def _long(facts: Sequence[Fact], begin: int, end: int) -> list[int]:
    """Return which facts have long records; mostly none has."""
    sizes = [len(fact[TEXT]) for fact in facts[begin:end]]
    if max(sizes, default=0) <= MIXED:
        return []
    return [n for n, size in enumerate(sizes, begin) if size > MIXED]


def _earlier(n: int, count: int) -> int:
    return n if n == _NEVER else max(0, n - count)
