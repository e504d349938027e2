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
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from auditrule.audit.fact import (
    ASKED,
    CHILD,
    END,
    EXEC,
    FORK,
    PID,
    PPID,
    TEXT,
    WHAT,
    looked_at,
    with_text,
)
from auditrule.ecs.sift import last_of_each, mentioned_in, that_matter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.fact import Fact, Text

FEW: Final = 2048
"""How many facts wait where nobody is to wait for them to be told."""
MANY: Final = 8192
"""How many wait where time does not matter, but work: the more of them have ended together."""
MOST_BYTES: Final = 8 << 20
"""What their records take at most, where they are not left in a file."""
_NEVER: Final = 1 << 62

Logged: TypeAlias = tuple[bool, bool]
"""Whether forks, and whether ends of processes, are known to be logged."""


class Teller(Protocol):
    """Whoever keeps the processes of a host."""

    def tell(self, fact: Fact, logged: Logged) -> None:
        """Take a fact."""

    def knows(self, pid: int) -> bool:
        """Tell whether anything is known of a process."""

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
        share = max(self._share(), 1)
        most, most_bytes = max(self._most // share, 16), MOST_BYTES // share
        size = self._size + sum(map(_size, facts))
        if len(self._facts) + len(facts) < most and size <= most_bytes:
            self._add(facts, size)
        else:
            self._note_in_parts(facts, most, most_bytes)

    def _add(self, facts: Sequence[Fact], size: int) -> None:
        self._look_what_is_logged(facts)
        self._facts += facts
        self._size = size

    def _note_in_parts(self, facts: Sequence[Fact], most: int, most_bytes: int) -> None:
        begin = 0
        while begin < len(facts):
            stop = min(len(facts), begin + max(most - len(self._facts), 1))
            # How much they take with each of them; the last may be more than there is room for.
            sizes = list(accumulate(map(_size, facts[begin:stop]), initial=self._size))
            stop = min(stop, begin + bisect_right(sizes, most_bytes))
            self._add(facts[begin:stop], sizes[stop - begin])
            begin = stop
            if self._size > most_bytes or len(self._facts) >= most:
                self._shrink(most // 4, most_bytes // 4)

    def note_gone(self, gone: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the ends of processes that sift() has left out, behind the facts that it has not.

        Of most, nothing was known before either.
        """
        self._index()
        knows, of = self._teller.knows, self._of
        self.note(
            [
                (0, END, pid, b"", b"", at_id, b"", b"", None)
                for pid, at_id in gone
                if pid in of or knows(int(pid))
            ]
        )

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
            else with_text(fact, load(fact[TEXT]))
            for n, fact in enumerate(self._facts)
        ]

    def forget_chances(self) -> None:
        """Take notice that the rules are others."""
        self._facts = [looked_at(fact, fact[WHAT], None) for fact in self._facts]

    def clear(self) -> None:
        """Drop all."""
        self._drop(len(self._facts))
        self._ended.clear()

    def shrink(self) -> None:
        """Tell what matters of all but the last facts, and drop them."""
        self._shrink(self._most // 4, MOST_BYTES, tells=True)

    def _shrink(self, keep: int, keep_bytes: int, *, tells: bool = False) -> None:
        """Drop what does not matter of all but the last facts, and tell the rest if it is much.

        Nobody may ever ask for it: what `tells` is to be told at all events.
        """
        facts = self._facts
        count, size = len(facts), 0
        while count > max(0, len(facts) - keep):
            size += _size(facts[count - 1])
            if size > keep_bytes:
                break
            count -= 1
        old = facts[:count]
        last = last_of_each(old)
        mentioned = mentioned_in(facts[count:])
        ended = {pid for pid, n in last.items() if old[n][WHAT] == END}
        ended |= self._ended - last.keys()
        self._ended = ended & mentioned
        ended -= mentioned
        matter = that_matter(old, last.keys() - ended, asks=False) - self._told
        # Of whom something waits, what came last does so, too, and the end.
        waiting = ended & {pid for n in matter for pid in (old[n][PID], old[n][CHILD])}
        more = {last[pid] for pid in waiting & last.keys()} | _last_images(old, waiting)
        left = matter | (more - self._told)
        # No more is left than gives room for as much again.
        if tells or len(left) > keep or sum(_size(facts[n]) for n in left) > keep_bytes:
            for n in sorted(matter):
                self._tell_one(n)
            left, waiting = set(), set()
        self._teller.end(_in_order_of_last_mention(facts), map(int, ended - waiting))
        self._drop(count, sorted(left))

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

    def _drop(self, count: int, but: Sequence[int] = ()) -> None:
        """Forget the first facts `but` some of them, which have not been told."""
        if count == 0:
            return
        self._facts = [*map(self._facts.__getitem__, but), *self._facts[count:]]
        self._size = sum(map(_size, self._facts))
        self._fork_at, self._end_at = (
            n if n == _NEVER else bisect_left(but, n) + max(0, n - count)
            for n in (self._fork_at, self._end_at)
        )
        self._told = {n - count + len(but) for n in self._told if n >= count}
        self._of.clear()
        self._begins.clear()
        self._indexed = 0


def _last_images(facts: Sequence[Fact], pids: set[bytes]) -> set[int]:
    """Return which facts tell last what some processes run."""
    began: dict[bytes, int] = {}
    for n, fact in enumerate(facts):
        what = fact[WHAT]
        pid = fact[CHILD] if what == FORK else fact[PID]
        if pid in pids and what in (FORK, EXEC, ASKED):
            began[pid] = n
    return set(began.values())


def _in_order_of_last_mention(facts: Sequence[Fact]) -> list[int]:
    numbers = chain.from_iterable((f[PPID], f[CHILD], f[PID]) for f in facts)
    mentioned = dict.fromkeys(reversed(list(numbers)))
    return [int(number) for number in reversed(mentioned) if number]


def _size(fact: Fact) -> int:
    return len(fact[TEXT])
