"""Running a statement over a stream of events: push them one by one, get the matches.

>>> from auditrule import eql
>>> from auditrule.eql.matching import matcher
>>> running = matcher(eql.compile('process where process.name == "chmod"').tree)
>>> [match] = running.push({"event.category": "process", "process.name": "chmod"})
>>> match.events
({'event.category': 'process', 'process.name': 'chmod'},)
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from auditrule.eql.compiler import compile_event_query
from auditrule.eql.match import Match
from auditrule.eql.pipes import PipedMatcher
from auditrule.eql.samples import SampleMatcher
from auditrule.eql.sequences import SequenceMatcher
from auditrule.eql.state import State, check_owner, state_of
from auditrule.eql.tree import EventQuery, Piped, SampleQuery, SequenceQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditrule.eql.fields import Event
    from auditrule.eql.tree import Statement

_NO_FALLBACKS: Mapping[str, str] = MappingProxyType({})


class Matcher(Protocol):
    """A statement that runs. Nothing that it does raises for an event, whatever is in it.

    Events that match none of `steps` may be kept from it, if `advance` is told their times: the
    matches are the same. While it is not `waiting`, their times may be kept from it as well, and
    then only an event that arrives late may have another time: its own.
    """

    @property
    def steps(self) -> tuple[EventQuery, ...]:
        """All queries that events are tried with, those of `until` and of missing events too."""

    @property
    def open(self) -> int:
        """How many partial matches are held."""

    @property
    def dropped(self) -> int:
        """How often something was given up for want of room, so that a match may be wrong.

        What was only too old for its maxspan does not count.
        """

    @property
    def waiting(self) -> bool:
        """Whether time alone could complete or free something."""

    def push(self, event: Event) -> Sequence[Match]:
        """Take the next event, and return the matches that it, or its time, completes."""

    def advance(self, time_ms: int) -> Sequence[Match]:
        """Take notice that the stream has come to a time, in milliseconds since 1970 UTC.

        Returns the matches that this completes.
        """

    def finish(self) -> Sequence[Match]:
        """Return the matches that only the end of the stream completes, and forget the rest.

        Not for a stream that goes on later: that one's `snapshot` is kept.
        """

    def snapshot(self) -> State:
        """Return the state as JSON values, and in it the events as they were given."""

    def restore(self, state: State) -> None:
        """Go on from a snapshot of the same statement. Raises ValueError for another's."""


def matcher(
    statement: Statement,
    *,
    category_field: str = "event.category",
    timestamp_field: str = "@timestamp",
    key_fallbacks: Mapping[str, str] = _NO_FALLBACKS,
    max_open: int = 10_000,
) -> Matcher:
    """Return a new run of the statement.

    `key_fallbacks` names for a join key's field another that is read where the first is absent;
    where both are, the key's value is None, as for an optional key. At most `max_open` partial
    matches are held. Raises ValueError if that is no positive number, or if the statement is one
    that the language does not have.
    """
    if max_open < 1:
        raise ValueError(f"there must be room for one partial match at least, not {max_open}")
    match statement:
        case EventQuery():
            return EventMatcher(statement, category_field=category_field)
        case SequenceQuery():
            return SequenceMatcher(
                statement,
                category_field=category_field,
                timestamp_field=timestamp_field,
                key_fallbacks=key_fallbacks,
                max_open=max_open,
            )
        case SampleQuery():
            return SampleMatcher(
                statement,
                category_field=category_field,
                key_fallbacks=key_fallbacks,
                max_open=max_open,
            )
        case Piped(source):
            run = matcher(
                source,
                category_field=category_field,
                timestamp_field=timestamp_field,
                key_fallbacks=key_fallbacks,
                max_open=max_open,
            )
            return PipedMatcher(statement, run, max_open=max_open)


class EventMatcher:
    """Finds the events that a query matches. It keeps nothing."""

    open = 0
    dropped = 0
    waiting = False

    def __init__(self, query: EventQuery, *, category_field: str) -> None:
        self._query = query
        self._holds = compile_event_query(query, category_field)

    @property
    def steps(self) -> tuple[EventQuery, ...]:
        """The query."""
        return (self._query,)

    def push(self, event: Event) -> Sequence[Match]:
        """Return the event as a match, if it is one."""
        return (Match((event,)),) if self._holds(event) else ()

    def advance(self, time_ms: int) -> Sequence[Match]:  # noqa: ARG002
        """Take notice of a time, which changes nothing."""
        return ()

    def finish(self) -> Sequence[Match]:
        """Return nothing: every match was given when it came."""
        return ()

    def snapshot(self) -> State:
        """Return the state, which is only whose it is."""
        return state_of(self._query)

    def restore(self, state: State) -> None:
        """Check that the state is this statement's. Raises ValueError if not."""
        check_owner(state, self._query)
