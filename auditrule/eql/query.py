"""A compiled query, and what running it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditrule.eql.compiler import Predicate, compile_event_query, fields_of
from auditrule.eql.fields import reader
from auditrule.eql.grammar import parse
from auditrule.eql.matching import Matcher, matcher
from auditrule.eql.tree import EventQuery, Filter, Piped, SampleQuery, SequenceQuery, Unique
from auditrule.eql.values import epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditrule.eql.fields import Event
    from auditrule.eql.match import Match
    from auditrule.eql.tree import Statement, Step


@dataclass(frozen=True, slots=True)
class Query:
    """A query that is ready to run.

    `text` is what was compiled and `tree` what it says; `str()` is the query in canonical form.
    `fields` are the names of the fields that it reads, join keys included. `category_field`, which
    tells what kind of event one is, and `timestamp_field`, its time, are not among them unless a
    condition reads them too.
    """

    text: str
    tree: Statement
    category_field: str
    timestamp_field: str
    fields: frozenset[str]
    _matches: Predicate | None = field(repr=False, compare=False)

    @property
    def event_query(self) -> EventQuery | None:
        """The tree of a query of single events; None for a sequence, a sample or one with pipes."""
        return self.tree if isinstance(self.tree, EventQuery) else None

    @property
    def is_of_events(self) -> bool:
        """Whether each match is one event, not those of a sequence or sample."""
        return isinstance(self._source, EventQuery)

    @property
    def event_queries(self) -> tuple[EventQuery, ...]:
        """All queries of single events in it, those of `until` and of missing events too."""
        source = self._source
        if isinstance(source, EventQuery):
            return (source,)
        return tuple(dict.fromkeys(step.query for step in _steps(source)))

    def matches(self, event: Event) -> bool:
        """Tell whether the event has the category of an event query and meets its condition.

        Never raises for an event, whatever its values are, and takes time linear in their length.
        Raises TypeError if the query is none of single events.
        """
        if self._matches is None:
            raise TypeError("one event alone does not match a sequence, a sample or a pipe")
        return self._matches(event)

    def matcher(
        self, *, key_fallbacks: Mapping[str, str] | None = None, max_open: int = 10_000
    ) -> Matcher:
        """Return a new run of the query over a stream, event by event; see `Matcher`.

        `key_fallbacks` names for a join key's field another that is read where the first is
        absent. At most `max_open` partial matches are held.
        """
        return matcher(
            self.tree,
            category_field=self.category_field,
            timestamp_field=self.timestamp_field,
            key_fallbacks=key_fallbacks or {},
            max_open=max_open,
        )

    def search(self, events: Iterable[Event]) -> Iterator[Match]:
        """Yield what the query finds among the events.

        An event query takes them one by one, in whatever order. A sequence or a sample takes them
        in order of time, so that all are read first and sorted; events of the same time stay in
        their order, and one without a time goes with the one before it.
        """
        running = self.matcher()
        if not self.is_of_events:
            events = _in_order(events, self.timestamp_field)
        for event in events:
            yield from running.push(event)
        yield from running.finish()

    @property
    def _source(self) -> EventQuery | SequenceQuery | SampleQuery:
        return self.tree.source if isinstance(self.tree, Piped) else self.tree

    def __str__(self) -> str:
        return str(self.tree)


def compile(  # noqa: A001
    text: str, *, category_field: str = "event.category", timestamp_field: str = "@timestamp"
) -> Query:
    """Return the query that the text says.

    Raises EqlSyntaxError where the text is not EQL, and EqlUnsupportedError where it is but needs a
    part of the language that this engine does not run.
    """
    tree = parse(text)
    return Query(
        text=text,
        tree=tree,
        category_field=category_field,
        timestamp_field=timestamp_field,
        fields=_fields(tree),
        _matches=compile_event_query(tree, category_field)
        if isinstance(tree, EventQuery)
        else None,
    )


def _fields(tree: Statement) -> frozenset[str]:
    match tree:
        case EventQuery(_, condition):
            return fields_of(condition)
        case SequenceQuery() | SampleQuery():
            steps = _steps(tree)
            keys = {key.name for key in tree.keys}
            keys |= {key.name for step in steps for key in step.keys}
            return frozenset(keys).union(*(_fields(step.query) for step in steps))
        case Piped(source, pipes):
            fields = _fields(source)
            for pipe in pipes:
                if isinstance(pipe, Filter):
                    fields |= fields_of(pipe.condition)
                elif isinstance(pipe, Unique):
                    fields |= {unique.name for unique in pipe.fields}
            return fields


def _steps(tree: SequenceQuery | SampleQuery) -> tuple[Step, ...]:
    if isinstance(tree, SequenceQuery) and tree.until is not None:
        return (*tree.steps, tree.until)
    return tree.steps


def _in_order(events: Iterable[Event], timestamp_field: str) -> list[Event]:
    read = reader(timestamp_field)
    timed: list[tuple[int, Event]] = []
    latest = 0
    for event in events:
        times = [time for value in read(event) if (time := epoch_ms(value)) is not None]
        latest = times[0] if times else latest
        timed.append((latest, event))
    return [event for _, event in sorted(timed, key=lambda pair: pair[0])]
