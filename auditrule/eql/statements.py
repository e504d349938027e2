"""What a sequence, a sample and a pipe may be made of, beyond their grammar.

The rules are those of Elasticsearch's EQL parser and verifier (8.x): two events at least, as many
keys for each, one event at least that has to occur, a maxspan where one has to be missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditrule.eql.errors import EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.tree import (
    UNITS,
    EventQuery,
    Filter,
    JoinKey,
    Pipe,
    Piped,
    SampleQuery,
    SequenceQuery,
    Statement,
    Step,
    Unique,
)

_MOST_RUNS = 100
_MOST_STEPS = 256
_LONGEST_COUNT = 9

_span = re.compile(r"([0-9.]+)\s*([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Word:
    """Something of the text and where it stands."""

    at: int
    text: str


def read_maxspan(text: str, span: Word) -> int:
    """Return the milliseconds that a maxspan says."""
    match = _span.fullmatch(span.text)
    number, unit = match.groups() if match else ("", "")
    if not number.isdecimal() or len(number) > _LONGEST_COUNT:
        raise EqlSyntaxError(
            "a maxspan is a whole number and a unit: 500ms, 30s, 5m, 2h, 1d",
            text,
            span.at,
            len(span.text),
        )
    if unit not in UNITS:
        problem = f"unknown unit {unit} of time" if unit else "the maxspan lacks its unit"
        raise EqlSyntaxError(f"{problem}: ms, s, m, h or d", text, span.at, len(span.text))
    if int(number) == 0:
        raise EqlSyntaxError("the maxspan must be more than 0", text, span.at, len(span.text))
    return int(number) * UNITS[unit]


def read_step(
    text: str, opening: Word, query: EventQuery, keys: list[JoinKey], runs: Word | None
) -> Step:
    """Return the step that `[…] by … with runs=…` says; it is a missing one after `![`."""
    missing = opening.text == "!["
    if runs is None:
        return Step(query, tuple(keys), missing)
    if len(runs.text) > _LONGEST_COUNT or not 1 <= int(runs.text) <= _MOST_RUNS:
        message = f"runs is a number from 1 to {_MOST_RUNS}"
        raise EqlSyntaxError(message, text, runs.at, len(runs.text))
    return Step(query, tuple(keys), missing, int(runs.text))


def read_sequence(
    text: str,
    start: Word,
    keys: list[JoinKey],
    maxspan_ms: int | None,
    steps: list[tuple[Word, Step]],
    until: tuple[Word, Step] | None,
) -> SequenceQuery:
    """Return the sequence, if it can be one."""
    made = [step for _, step in steps]
    events = sum(step.runs for step in made)
    if events < 2:
        raise _wrong(text, start, "a sequence has two events at least")
    if events > _MOST_STEPS:
        message = f"a sequence of more than {_MOST_STEPS} events is not supported"
        raise EqlUnsupportedError(message, text, start.at, len(start.text))
    if all(step.missing for step in made):
        raise _wrong(text, start, "a sequence has one event at least that is not missing")
    if maxspan_ms is None and any(step.missing for step in made):
        raise _wrong(text, start, "a sequence with a missing event needs a maxspan")
    if until is not None and (until[1].missing or until[1].runs > 1):
        raise _wrong(text, until[0], "until takes one event, neither missing nor repeated")
    _check_keys(text, steps if until is None else [*steps, until])
    ending = None if until is None else until[1]
    return SequenceQuery(tuple(made), tuple(keys), maxspan_ms, ending)


def read_sample(
    text: str, start: Word, keys: list[JoinKey], steps: list[tuple[Word, Step]]
) -> SampleQuery:
    """Return the sample, if it can be one."""
    for place, step in steps:
        if step.missing or step.runs > 1:
            raise _wrong(text, place, "a sample has neither missing events nor runs")
    if not keys and not steps[0][1].keys:
        raise _wrong(text, start, "a sample needs a key to join its events by")
    _check_keys(text, steps)
    return SampleQuery(tuple(step for _, step in steps), tuple(keys))


def read_piped(
    text: str,
    source: EventQuery | SequenceQuery | SampleQuery,
    pipes: list[tuple[Word, Pipe]],
) -> Statement:
    """Return the statement with its pipes, if it has any."""
    for place, pipe in pipes:
        if isinstance(pipe, Filter | Unique) and not isinstance(source, EventQuery):
            message = f"{place.text} after a sequence or sample is not supported"
            raise EqlUnsupportedError(message, text, place.at, len(place.text))
    return Piped(source, tuple(pipe for _, pipe in pipes)) if pipes else source


def unknown_pipe(text: str, name: Word) -> EqlSyntaxError | EqlUnsupportedError:
    """Return the error for a pipe that is none, or is none of ours."""
    if name.text in ("count", "sort", "unique_count"):
        message = f"the pipe {name.text} is not supported (nor is it in Elasticsearch)"
        return EqlUnsupportedError(message, text, name.at, len(name.text))
    message = f"there is no pipe {name.text}: head, tail, filter or unique"
    return EqlSyntaxError(message, text, name.at, len(name.text))


def read_count(text: str, count: Word) -> int:
    """Return the number that a pipe takes."""
    if len(count.text) > _LONGEST_COUNT:
        raise EqlSyntaxError("the number is too large", text, count.at, len(count.text))
    return int(count.text)


def _check_keys(text: str, steps: list[tuple[Word, Step]]) -> None:
    first = len(steps[0][1].keys)
    for place, step in steps:
        if len(step.keys) != first:
            message = f"each event has as many keys: the first has {first}, this {len(step.keys)}"
            raise _wrong(text, place, message)


def _wrong(text: str, place: Word, message: str) -> EqlSyntaxError:
    return EqlSyntaxError(message, text, place.at, len(place.text))
