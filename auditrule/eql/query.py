"""A compiled query, and what running it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditrule.eql.compiler import Predicate, compile_event_query, fields_of
from auditrule.eql.grammar import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditrule.eql.fields import Event
    from auditrule.eql.tree import Statement


@dataclass(frozen=True, slots=True)
class Match:
    """What a query found: one event, or for a sequence its events in order and what they share."""

    events: tuple[Event, ...]
    join_keys: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A query that is ready to run.

    `text` is what was compiled and `tree` what it says; `str()` is the query in canonical form.
    `fields` are the names of the fields that its condition reads; the category's field, which is
    `category_field`, is not among them unless the condition reads it too.
    """

    text: str
    tree: Statement
    category_field: str
    fields: frozenset[str]
    _matches: Predicate = field(repr=False, compare=False)

    @property
    def category(self) -> str | None:
        """The event category that the query asks for; None for `any`."""
        return self.tree.category

    def matches(self, event: Event) -> bool:
        """Tell whether the event has the query's category and meets its condition.

        Never raises for an event, whatever its values are, and takes time linear in their length.
        """
        return self._matches(event)

    def search(self, events: Iterable[Event]) -> Iterator[Match]:
        """Yield a match for each event that the query matches, in the order of the events."""
        return (Match((event,)) for event in events if self._matches(event))

    def __str__(self) -> str:
        return str(self.tree)


def compile(text: str, *, category_field: str = "event.category") -> Query:  # noqa: A001
    """Return the query that the text says.

    Raises EqlSyntaxError where the text is not EQL, and EqlUnsupportedError where it is but needs a
    part of the language that this engine does not run.
    """
    tree = parse(text)
    return Query(
        text=text,
        tree=tree,
        category_field=category_field,
        fields=fields_of(tree.condition),
        _matches=compile_event_query(tree, category_field),
    )
