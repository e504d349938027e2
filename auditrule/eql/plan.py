"""A sequence's steps, compiled and in the order in which an event has to be tried with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.eql.compiler import Predicate, compile_event_query
from auditrule.eql.joinkeys import JoinKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditrule.eql.tree import EventQuery, SequenceQuery, Step


@dataclass(frozen=True, slots=True)
class Condition:
    """Which events a step is about, and whose."""

    holds: Predicate
    keys: JoinKeys


@dataclass(frozen=True, slots=True)
class Filling:
    """A step that wants an event; with runs, these are the stages `first` to `last`."""

    condition: Condition
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Absence:
    """A step that wants no event between the stage `after` and the next (-1: before all)."""

    condition: Condition
    after: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of a sequence are the events that a match has, numbered from 0.

    `fillings` are from the last to the first, `last` is the number of the last stage. `leading`,
    `between` and `trailing` are the absences before, between and after the stages.
    """

    last: int
    fillings: tuple[Filling, ...]
    leading: tuple[Absence, ...]
    between: tuple[Absence, ...]
    trailing: tuple[Absence, ...]
    until: Condition | None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Those of all steps."""
        until = () if self.until is None else (self.until,)
        absences = (*self.leading, *self.between, *self.trailing)
        steps: tuple[Filling | Absence, ...] = (*self.fillings, *absences)
        return (*(step.condition for step in steps), *until)


def queries_of(query: SequenceQuery) -> tuple[EventQuery, ...]:
    """Return the queries of all steps, that of `until` too, each once."""
    until = () if query.until is None else (query.until,)
    return tuple(dict.fromkeys(step.query for step in (*query.steps, *until)))


def plan(query: SequenceQuery, category_field: str, key_fallbacks: Mapping[str, str]) -> Plan:
    """Return the plan of a sequence. Raises ValueError if no step of it wants an event."""

    def condition(step: Step) -> Condition:
        holds = compile_event_query(step.query, category_field)
        return Condition(holds, JoinKeys((*query.keys, *step.keys), key_fallbacks))

    fillings: list[Filling] = []
    absences: list[Absence] = []
    stages = 0
    for step in query.steps:
        if step.missing:
            absences.append(Absence(condition(step), stages - 1))
        else:
            fillings.append(Filling(condition(step), stages, stages + step.runs - 1))
            stages += step.runs
    if not fillings:
        raise ValueError(f"every event of the sequence is a missing one: {query}")
    last = stages - 1
    return Plan(
        last=last,
        fillings=tuple(reversed(fillings)),
        leading=tuple(a for a in absences if a.after < 0),
        between=tuple(a for a in absences if 0 <= a.after < last),
        trailing=tuple(a for a in absences if a.after == last),
        until=None if query.until is None else condition(query.until),
    )
