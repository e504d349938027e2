"""Events that share keys, in whatever order: what `sample` means, one event at a time.

Elasticsearch's SampleIterator looks up which keys have an event for every step, and gives for each
such key one choice of different events, one for each step (`max_samples_per_key` is 1 by default);
which of them is not determined. Here the choice is made as soon as there is one, and of all that
can be made then it is the one with the earliest events, step by step. The key is done with it:
later events of the key give nothing more. Times do not matter, and nothing expires.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditrule.eql.compiler import compile_event_query
from auditrule.eql.joinkeys import JoinKeys, Key, Values
from auditrule.eql.match import Match
from auditrule.eql.state import State, check_owner, state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from auditrule.eql.fields import Event
    from auditrule.eql.tree import EventQuery, SampleQuery


@dataclass(slots=True, eq=False)
class _Pool:
    """The events of one key, in order of arrival, and for each step which of them fit it."""

    values: Values
    fits: list[list[int]]
    events: list[Event] = field(default_factory=list)


class SampleMatcher:
    """Finds the matches of a sample in a stream of events.

    Holds the events of at most `max_open` keys; over that, the key that came first goes and counts
    in `dropped`. Of a key it holds as many events for each step as there are steps, which are
    enough. It remembers as many keys that are done; the key that was done first is forgotten over
    that, and could be done again. Never raises for an event.
    """

    def __init__(
        self,
        query: SampleQuery,
        *,
        category_field: str,
        key_fallbacks: Mapping[str, str],
        max_open: int,
    ) -> None:
        if any(step.missing or step.runs != 1 for step in query.steps):
            raise ValueError(f"a sample has neither missing events nor runs: {query}")
        self._query = query
        self._steps = tuple(
            (
                compile_event_query(step.query, category_field),
                JoinKeys((*query.keys, *step.keys), key_fallbacks),
            )
            for step in query.steps
        )
        self._max_open = max_open
        self._dropped = 0
        self._pools: OrderedDict[Key, _Pool] = OrderedDict()
        self._done: OrderedDict[Key, None] = OrderedDict()

    @property
    def steps(self) -> tuple[EventQuery, ...]:
        """All queries that events are tried with."""
        return tuple(dict.fromkeys(step.query for step in self._query.steps))

    @property
    def open(self) -> int:
        """How many keys are not done and have events."""
        return len(self._pools)

    @property
    def dropped(self) -> int:
        """How often something was given up for want of room."""
        return self._dropped + sum(keys.cut for _, keys in self._steps)

    @property
    def waiting(self) -> bool:
        """Whether time alone could complete or free something: never."""
        return False

    def push(self, event: Event) -> Sequence[Match]:
        """Take the next event, and return the samples that it completes."""
        fitting: dict[Key, tuple[Values, list[int]]] = {}
        for number, (holds, keys) in enumerate(self._steps):
            if holds(event):
                for key, values in keys.read(event):
                    fitting.setdefault(key, (values, []))[1].append(number)
        found: list[Match] = []
        for key, (values, steps) in fitting.items():
            if key not in self._done:
                self._add(key, values, steps, event, found)
        return found

    def advance(self, time_ms: int) -> Sequence[Match]:  # noqa: ARG002
        """Take notice of a time, which changes nothing."""
        return ()

    def finish(self) -> Sequence[Match]:
        """Forget everything. Every sample was given when its last event came."""
        self._pools.clear()
        self._done.clear()
        return ()

    def _add(
        self, key: Key, values: Values, steps: list[int], event: Event, found: list[Match]
    ) -> None:
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(values, [[] for _ in self._steps])
            if len(self._pools) > self._max_open:
                self._pools.popitem(last=False)
                self._dropped += 1
        # A step with as many events as there are steps always has one that no other step takes.
        wanting = [step for step in steps if len(pool.fits[step]) < len(self._steps)]
        if not wanting:
            return
        for step in wanting:
            pool.fits[step].append(len(pool.events))
        pool.events.append(event)
        if chosen := choose(pool.fits):
            del self._pools[key]
            self._done[key] = None
            if len(self._done) > self._max_open:
                self._done.popitem(last=False)
            found.append(Match(tuple(pool.events[number] for number in chosen), pool.values))

    def snapshot(self) -> State:
        """Return the state as JSON."""
        return state_of(
            self._query,
            dropped=self.dropped,
            open=[
                [list(key), list(pool.values), [list(fits) for fits in pool.fits], [*pool.events]]
                for key, pool in self._pools.items()
            ],
            done=[list(key) for key in self._done],
        )

    def restore(self, state: State) -> None:
        """Go on from a snapshot. Raises ValueError if it is another statement's."""
        check_owner(state, self._query)
        self._dropped = state["dropped"]
        for _, keys in self._steps:
            keys.cut = 0
        self._pools.clear()
        for key, values, fits, events in state["open"]:
            pool = _Pool(tuple(values), [list(numbers) for numbers in fits], list(events))
            self._pools[tuple(key)] = pool
        self._done = OrderedDict.fromkeys(tuple(key) for key in state["done"])


def choose(fits: Sequence[Sequence[int]]) -> list[int]:
    """Return a different number for each step, the first that is possible; none if none is.

    Takes time polynomial in the number of steps, whatever fits what.
    """
    if not _is_possible(fits, ()):
        return []
    chosen: list[int] = []
    for step, numbers in enumerate(fits):
        chosen.append(
            next(
                number
                for number in numbers
                if number not in chosen and _is_possible(fits[step + 1 :], (*chosen, number))
            )
        )
    return chosen


def _is_possible(fits: Sequence[Sequence[int]], used: Collection[int]) -> bool:
    """Tell whether each step can have a number of its own (a bipartite matching, by Kuhn)."""
    owners: dict[int, int] = {}

    def seat(step: int, tried: set[int]) -> bool:
        for number in fits[step]:
            if number in used or number in tried:
                continue
            tried.add(number)
            if number not in owners or seat(owners[number], tried):
                owners[number] = step
                return True
        return False

    return all(fits) and all(seat(step, set()) for step in range(len(fits)))
