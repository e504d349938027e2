"""What comes after a `|`: head, tail, filter, unique.

Elasticsearch runs head and tail; filter and unique are of the Endgame language, as its
documentation describes them, and are for event queries only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.eql.compiler import compile_condition
from auditrule.eql.fields import Event, reader
from auditrule.eql.joinkeys import key_text
from auditrule.eql.match import Match
from auditrule.eql.state import State, check_owner, state_of
from auditrule.eql.tree import EventQuery, Filter, Head, Tail, Unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditrule.eql.matching import Matcher
    from auditrule.eql.tree import Condition, Field, Pipe, Piped


class _Pipe(Protocol):
    # How many matches, or memories of them, were given up for want of room.
    dropped: int

    @property
    def closed(self) -> bool:
        """Whether it takes nothing more."""

    def take(self, match: Match) -> bool:
        """Tell whether the match goes on now."""

    def finish(self) -> Sequence[Match]:
        """Return what was held back until the end."""

    def snapshot(self) -> Any: ...

    def restore(self, state: Any) -> None: ...


class PipedMatcher:
    """Finds the matches of a statement that its pipes let through.

    What the pipes hold (the matches of tail, the values of unique) is bounded by `max_open` for
    each: tail then loses its first matches, and unique forgets the values it has not met for
    longest and would let them through again. Both counts in `dropped`.
    """

    def __init__(self, query: Piped, source: Matcher, *, max_open: int) -> None:
        if not isinstance(query.source, EventQuery):
            for pipe in query.pipes:
                if isinstance(pipe, Filter | Unique):
                    raise ValueError(f"only events can be piped to {pipe}")
        self._query = query
        self._source = source
        self._pipes = tuple(_pipe(pipe, max_open) for pipe in query.pipes)
        self._close_if_full()

    @property
    def steps(self) -> tuple[EventQuery, ...]:
        """All queries that events are tried with."""
        return self._source.steps

    @property
    def open(self) -> int:
        """How many partial matches are held."""
        return self._source.open

    @property
    def dropped(self) -> int:
        """How often something was given up for want of room."""
        return self._source.dropped + sum(pipe.dropped for pipe in self._pipes)

    @property
    def waiting(self) -> bool:
        """Whether time alone could complete or free something."""
        return self._source.waiting

    def push(self, event: Event) -> Sequence[Match]:
        """Take the next event, and return the matches that it completes and the pipes let go."""
        return () if self._closed else self._pass(self._source.push(event))

    def advance(self, time_ms: int) -> Sequence[Match]:
        """Take notice that the stream has come to a time; return the matches this completes."""
        return () if self._closed else self._pass(self._source.advance(time_ms))

    def finish(self) -> Sequence[Match]:
        """Return what only the end of the stream completes, the matches of tail among it."""
        found = self._source.finish()
        for pipe in self._pipes:
            found = [*filter(pipe.take, found), *pipe.finish()]
        return found

    def _pass(self, found: Sequence[Match]) -> Sequence[Match]:
        if not found:
            return found
        for pipe in self._pipes:
            found = [match for match in found if pipe.take(match)]
        self._close_if_full()
        return found

    def _close_if_full(self) -> None:
        """Forget what the source holds as soon as no match of it could go through."""
        self._closed = any(pipe.closed for pipe in self._pipes)
        if self._closed:
            self._source.finish()

    def snapshot(self) -> State:
        """Return the state as JSON."""
        return state_of(
            self._query,
            source=self._source.snapshot(),
            pipes=[[pipe.dropped, pipe.snapshot()] for pipe in self._pipes],
        )

    def restore(self, state: State) -> None:
        """Go on from a snapshot. Raises ValueError if it is another statement's."""
        check_owner(state, self._query)
        self._source.restore(state["source"])
        for pipe, (dropped, held) in zip(self._pipes, state["pipes"], strict=True):
            pipe.dropped = dropped
            pipe.restore(held)
        self._close_if_full()


def _pipe(pipe: Pipe, max_open: int) -> _Pipe:
    match pipe:
        case Head(count):
            return _Head(count)
        case Tail(count):
            return _Tail(count, max_open)
        case Filter(condition):
            return _Filter(condition)
        case Unique(fields):
            return _Unique(fields, max_open)


class _Head:
    def __init__(self, count: int) -> None:
        self.dropped = 0
        self._left = count

    @property
    def closed(self) -> bool:
        return self._left <= 0

    def take(self, match: Match) -> bool:  # noqa: ARG002
        self._left -= 1
        return self._left >= 0

    def finish(self) -> Sequence[Match]:
        return ()

    def snapshot(self) -> int:
        return self._left

    def restore(self, state: int) -> None:
        self._left = state


class _Tail:
    closed = False

    def __init__(self, count: int, max_open: int) -> None:
        self.dropped = 0
        self._count = count
        self._max_open = max_open
        self._held: deque[Match] = deque()

    def take(self, match: Match) -> bool:
        self._held.append(match)
        if len(self._held) > min(self._count, self._max_open):
            self._held.popleft()
            if self._count > self._max_open:
                self.dropped += 1
        return False

    def finish(self) -> Sequence[Match]:
        held = tuple(self._held)
        self._held.clear()
        return held

    def snapshot(self) -> list[Any]:
        return [[list(match.events), list(match.join_keys)] for match in self._held]

    def restore(self, state: list[Any]) -> None:
        self._held = deque(Match(tuple(events), tuple(keys)) for events, keys in state)


class _Filter:
    closed = False

    def __init__(self, condition: Condition) -> None:
        self.dropped = 0
        self._holds = compile_condition(condition)

    def take(self, match: Match) -> bool:
        return self._holds(match.events[0])

    def finish(self) -> Sequence[Match]:
        return ()

    def snapshot(self) -> None:
        return None

    def restore(self, state: None) -> None:
        pass


class _Unique:
    closed = False

    def __init__(self, fields: Sequence[Field], max_open: int) -> None:
        self.dropped = 0
        self._readers = tuple(reader(field.name) for field in fields)
        self._max_open = max_open
        # The one that was not met for longest comes first.
        self._met: OrderedDict[tuple[tuple[str | None, ...], ...], None] = OrderedDict()

    def take(self, match: Match) -> bool:
        event = match.events[0]
        values = tuple(tuple(map(key_text, read(event))) for read in self._readers)
        if values in self._met:
            self._met.move_to_end(values)
            return False
        self._met[values] = None
        if len(self._met) > self._max_open:
            self._met.popitem(last=False)
            self.dropped += 1
        return True

    def finish(self) -> Sequence[Match]:
        self._met.clear()
        return ()

    def snapshot(self) -> list[Any]:
        return [[list(texts) for texts in values] for values in self._met]

    def restore(self, state: list[Any]) -> None:
        self._met = OrderedDict.fromkeys(tuple(map(tuple, values)) for values in state)
