"""Facts in columns: what a part of the log says of processes, to be looked at all at once.

A log has ten thousand of them a second, and hardly one is ever asked for by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from auditrule.audit.fact import ASKED, EXEC, FORK, NOBODY, Fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from auditrule.audit.fact import Chances, Text

    Column: TypeAlias = NDArray[np.int64]
    Flags: TypeAlias = NDArray[np.bool_]

AT, WHAT, PID, PPID, CHILD, MS, SERIAL, BEGIN, END, BY, CHANCES, REPEATS = range(12)
"""The columns. AT is where in its block or file the event was complete, BEGIN and END are the TEXT
where that is a place, 0 where it is not; BY and CHANCES are numbers of `makers` and `chances`, -1
where there are none. REPEATS is 1 of a fork that tells nothing new of who makes it, 0 of others."""
COLUMNS: Final = 12
_MOST_LISTED: Final = 1 << 23
# A process's number is one of 32 bits at most, and there are fewer facts at a time.
_FACT_BITS: Final = 31


class Facts:
    """Facts, in order: whole numbers in `columns`, and what is none.

    `texts` are those TEXTs that are no places, of the facts of these numbers.
    """

    def __init__(
        self,
        columns: Column,
        texts: dict[int, bytes] | None = None,
        makers: Sequence[bytes] = (),
        chances: Sequence[Chances | None] = (),
    ) -> None:
        self.columns = columns
        self.texts = {} if texts is None else texts
        self.makers = makers
        self.chances = chances

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Facts:
        """Return facts in columns."""
        makers: dict[bytes, int] = {}
        chances: dict[Chances | None, int] = {}
        texts: dict[int, bytes] = {}
        rows = []
        for n, fact in enumerate(facts):
            begin, end = 0, 0
            if isinstance(fact.text, tuple):
                begin, end = fact.text
            elif fact.text:
                texts[n] = fact.text
            by = makers.setdefault(fact.by, len(makers)) if fact.by else -1
            told = -1
            if fact.chances is not None:
                told = chances.setdefault(fact.chances, len(chances))
            rows.append((0, *fact[:6], begin, end, by, told, 0))
        columns = np.array(rows, np.int64).reshape(-1, COLUMNS).T
        return cls(columns, texts, list(makers), list(chances))

    @classmethod
    def joined(cls, parts: Sequence[Facts]) -> Facts:
        """Return the facts of all parts."""
        if len(parts) == 1:
            return parts[0]
        columns = np.concatenate([np.zeros((COLUMNS, 0), np.int64), *(p.columns for p in parts)], 1)
        makers: dict[bytes, int] = {}
        chances: dict[Chances | None, int] = {}
        texts: dict[int, bytes] = {}
        begin = 0
        for part in parts:
            end = begin + len(part)
            _renumber(columns[BY, begin:end], part.makers, makers)
            _renumber(columns[CHANCES, begin:end], part.chances, chances)
            texts.update((begin + n, text) for n, text in part.texts.items())
            begin = end
        return cls(columns, texts, list(makers), list(chances))

    @classmethod
    def from_parts(cls, parts: Sequence[Any]) -> Facts:
        """Return the facts that `to_parts` gave."""
        lowest, columns, kind, *others = parts
        table = np.frombuffer(columns, kind).reshape(COLUMNS, -1)
        return cls(table + np.array(lowest, np.int64)[:, None], *others)

    def to_parts(self) -> tuple[Any, ...]:
        """Return them as what marshal takes."""
        lowest = self.columns.min(1, initial=1 << 62)
        table = self.columns - lowest[:, None]
        # It is half as much, unless numbers of a column are far apart, as in a large file.
        kind = "<i4" if table.max(initial=0) < 1 << 31 else "<i8"
        columns = table.astype(kind).tobytes()
        return lowest.tolist(), columns, kind, self.texts, list(self.makers), list(self.chances)

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self.columns[AT])

    def __getitem__(self, which: slice | Flags | Column) -> Facts:
        """Return some of them, in order."""
        texts = {}
        if self.texts:
            kept = np.arange(len(self))[which]
            with_text = np.fromiter(self.texts, np.int64, len(self.texts))
            place = np.searchsorted(kept, with_text)
            found = place < len(kept)
            found[found] = kept[place[found]] == with_text[found]
            numbers = zip(place[found].tolist(), with_text[found].tolist(), strict=True)
            texts = {n: self.texts[was] for n, was in numbers}
        return Facts(self.columns[:, which], texts, self.makers, self.chances)

    def fact(self, n: int) -> Fact:
        """Return one."""
        return self._fact(n, self.columns[1:, n].tolist())

    def rows(self) -> list[Fact]:
        """Return all, one by one."""
        return [self._fact(n, row) for n, row in enumerate(self.columns[1:].T.tolist())]

    def _fact(self, n: int, row: list[int]) -> Fact:
        what, pid, ppid, child, ms, serial, begin, end, by, chances, _ = row
        text: Text = self.texts.get(n, b"")
        if end:
            text = begin, end
        return Fact(
            what,
            pid,
            ppid,
            child,
            ms,
            serial,
            text,
            b"" if by < 0 else self.makers[by],
            None if chances < 0 else self.chances[chances],
        )

    def loaded(self, load: Callable[[Text], bytes], but: Sequence[int] = ()) -> Facts:
        """Return them with the texts that `load` gives for those that are places.

        `but` is 1 for each that needs none, if it is given.
        """
        texts = dict(self.texts)
        begin, end = self.columns[BEGIN], self.columns[END]
        for n in end.nonzero()[0].tolist():
            if not (but and but[n]):
                texts[n] = load((int(begin[n]), int(end[n])))
        columns = self.columns.copy()
        columns[[BEGIN, END]] = 0
        return Facts(columns, texts, self.makers, self.chances)

    @property
    def asked(self) -> list[int]:
        """Which are programs' starts that somebody may ask about."""
        which: list[int] = (self.columns[WHAT] == ASKED).nonzero()[0].tolist()
        return which

    @property
    def execs(self) -> int:
        """How many are programs' starts."""
        return int(np.isin(self.columns[WHAT], (EXEC, ASKED)).sum())

    @property
    def times(self) -> Column:
        """When each was, in milliseconds since the epoch."""
        times: Column = self.columns[MS]
        return times

    @property
    def serials(self) -> tuple[int, int]:
        """The lowest and the highest serial; of no facts, there is none."""
        return int(self.columns[SERIAL].min()), int(self.columns[SERIAL].max())

    @property
    def size(self) -> int:
        """How many bytes their texts take that are no places."""
        return sum(map(len, self.texts.values()))

    def text_size(self, n: int) -> int:
        """Return how many bytes a text takes, if it is no place."""
        return len(self.texts.get(n, b""))

    def last(self, most: int, most_bytes: int) -> int:
        """Return how many of the last there are, at most so many, whose texts take no more."""
        size = 0
        for n in sorted(self.texts, reverse=True):
            size += len(self.texts[n])
            if size > most_bytes:
                most = min(most, len(self) - 1 - n)
                break
        return min(most, len(self))


class Mentions:
    """Which facts tell of each process: of one that makes a call, or is made by a fork."""

    def __init__(self, facts: Facts) -> None:
        what, pid, child = facts.columns[[WHAT, PID, CHILD]]
        forks = (what == FORK).nonzero()[0]
        # By numbers, then by facts; as one number of both, it takes a fifth of the time.
        pids = pid << _FACT_BITS | np.arange(len(pid))
        both = np.sort(np.concatenate([pids, child[forks] << _FACT_BITS | forks]))
        self.numbers: Column = both >> _FACT_BITS
        """Processes, in the order of their numbers."""
        self.facts: Column = both & ((1 << _FACT_BITS) - 1)
        """Which fact tells of it, in order for each."""
        is_first = np.ones(len(both), np.bool_)
        is_first[1:] = self.numbers[1:] != self.numbers[:-1]
        self.first: Column = is_first.nonzero()[0]
        """Where the mentions of each process begin."""
        self.count: Column = np.diff(np.append(self.first, len(both)))
        """How many there are."""
        self.each: Column = self.numbers[self.first]
        """The processes, each once."""
        self.last: Column = self.facts[self.first + self.count - 1]
        """Which fact is the last of each."""

    def index(self, facts: Facts) -> Index:
        """Return them as something to look processes up in: those of these facts."""
        bounds = zip(self.first.tolist(), (self.first + self.count).tolist(), strict=True)
        repeats = facts.columns[REPEATS, self.facts] > 0
        repeats &= facts.columns[PID, self.facts] == self.numbers
        mentions = np.where(repeats, ~self.facts, self.facts)
        return Index(mentions, dict(zip(self.each.tolist(), bounds, strict=True)))


class Index(NamedTuple):
    """Where mentions of each process begin and end, among all `mentions`.

    These are facts; or, as ~n, those that repeat what was told of the process. So many that were
    `dropped` stood before the first fact.
    """

    mentions: Column
    bounds: dict[int, tuple[int, int]]
    dropped: int = 0

    @classmethod
    def from_parts(cls, parts: Sequence[Any]) -> Index:
        """Return the index that `to_parts` gave."""
        mentions, bounds = parts
        return cls(np.frombuffer(mentions, np.int32), bounds)

    def to_parts(self) -> tuple[Any, ...]:
        """Return it as what marshal takes."""
        return self.mentions.astype(np.int32).tobytes(), self.bounds

    def of(self, pid: int) -> list[int]:
        """Return the mentions of a process."""
        begin, end = self.bounds.get(pid, (0, 0))
        found: list[int] = self.mentions[begin:end].tolist()
        first = self.dropped
        if not first:
            return found
        return [n - first if n >= 0 else n + first for n in found if n >= first or ~n >= first]


def mentioned_in(columns: Column) -> Column:
    """Return the numbers of processes that facts mention: of parents, children, and their own."""
    numbers: Column = columns[[PPID, CHILD, PID]].T.ravel()
    mentioned: Column = numbers[numbers != NOBODY]
    return mentioned


def among(numbers: Column, those: Column) -> Flags:
    """Tell which numbers of processes, or NOBODY, are among those, none of which is NOBODY."""
    most = int(those.max(initial=0))
    if most > _MOST_LISTED:
        # The kernel gives none, but somebody may have written them.
        return np.isin(numbers, those)
    # A fifth to a twentieth of the time. NOBODY is the one at the end.
    is_one = np.zeros(most + 2, np.bool_)
    is_one[those] = True
    found: Flags = is_one.take(np.minimum(numbers, most + 1))
    return found


def _renumber(column: Column, values: Sequence[Any], numbers: dict[Any, int]) -> None:
    """Have a column that numbers `values` use `numbers` for them, which gets those it lacks."""
    if values:
        new = [numbers.setdefault(value, len(numbers)) for value in values]
        # The last is for -1.
        column[:] = np.array([*new, -1])[column]
