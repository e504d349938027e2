"""What pipes let through: tables that can be read as documentation of the language.

An event of the tables is written `a/x`: its category is a, and its field k is x (`/x,y`: both x
and y; `/-`: null). Events are named by their place, from 1. What only the end of the stream brings
stands behind a `|`.
"""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule import eql
from auditrule.eql import matching
from auditrule.eql.matching import Matcher, matcher
from auditrule.eql.tree import Comparison, Field, Filter, Literal, Piped, Unique

Event = dict[str, Any]


def read(events: str) -> list[Event]:
    return [event_of(place, text) for place, text in enumerate(events.split(), 1)]


def event_of(place: int, text: str) -> Event:
    categories, _, key = text.partition("/")
    event: Event = {"id": place, "event": {"category": list(categories)}, "@timestamp": place}
    if key:
        event["k"] = None if key == "-" else key.split(",")
    return event


def start(query: str, **options: Any) -> Matcher:
    return matcher(eql.compile(query).tree, **options)


def run(query: str, events: str, **options: Any) -> list[str]:
    running = start(query, **options)
    found = [match for event in read(events) for match in running.push(event)]
    ended = running.finish()
    return [*map(written, found), *(["|"] if ended else []), *map(written, ended)]


def written(match: Any) -> str:
    return " ".join(str(event["id"]) for event in match.events)


@pytest.mark.parametrize(
    ("query", "events", "expected"),
    [
        ("a where true", "a b a", ["1", "3"]),
        ("a where true | head 2", "a b a a", ["1", "3"]),
        ("a where true | head 9", "a b a a", ["1", "3", "4"]),
        ("a where true | head 0", "a b a a", []),
        # The last are known at the end.
        ("a where true | tail 2", "a b a a", ["|", "3", "4"]),
        ("a where true | tail 9", "a b a a", ["|", "1", "3", "4"]),
        ("a where true | tail 0", "a b a a", []),
        # Pipes take what the one before lets through.
        ("a where true | head 3 | tail 2", "a a a a a", ["|", "2", "3"]),
        ("a where true | tail 3 | head 2", "a a a a a", ["|", "3", "4"]),
        ("a where true | head 2 | head 1", "a a a", ["1"]),
        # Sequences and samples are piped as a whole.
        ("sequence [a where true] [b where true] | head 1", "a b a b", ["1 2"]),
        ("sequence [a where true] [b where true] | tail 1", "a b a b", ["|", "3 4"]),
        ("sample by k [a where true] [b where true] | head 1", "a/x b/x a/y b/y", ["1 2"]),
        (
            "sequence with maxspan=1h [a where true] ![b where true] | tail 1 | head 1",
            "a a c",
            ["|", "2"],
        ),
        # A filter is a further condition.
        ("a where true | filter k == \"x\"", "a/x a/y a a/y,x", ["1", "4"]),
        ("a where true | head 2 | filter k == \"x\"", "a/y a/x a/x", ["2"]),
        ("a where true | filter k == \"x\" | head 1", "a/y a/x a/x", ["2"]),
        # The first of each value, absence being one, and letters being what they are.
        ("a where true | unique k", "a/x a/y a/x a/X a/- a", ["1", "2", "4", "5"]),
        ("a where true | unique k", "a/x,y a/y,x a/x,y a/x", ["1", "2", "4"]),
        ("a where true | unique k | head 2", "a/x a/x a/y a/z", ["1", "3"]),
        ("a where true | head 2 | unique k", "a/x a/x a/y", ["1"]),
        ("a where true | unique k | tail 1", "a/x a/y a/x", ["|", "2"]),
    ],
)  # fmt: skip
def test_a_pipe_lets_through(query: str, events: str, expected: list[str]) -> None:
    assert run(query, events) == expected


def test_the_example_in_the_documentation_holds() -> None:
    assert doctest.testmod(matching).failed == 0


def test_unique_takes_several_fields() -> None:
    running = start("any where true | unique j, k")
    events: list[Event] = [
        {"j": 1, "k": 2},
        {"j": 2, "k": 1},
        {"j": "1", "k": "2"},
        {"j": 1},
        {"k": 1},
    ]
    assert [len(running.push(event)) for event in events] == [1, 1, 0, 1, 1]


def test_what_lets_nothing_more_through_holds_nothing() -> None:
    running = start("sequence with maxspan=1h [a where true] [b where true] | head 1")
    for event in read("a b a"):
        running.push(event)
    assert (running.open, running.waiting) == (0, False)
    assert running.advance(10**9) == ()


def test_time_passes_through_pipes() -> None:
    running = start("sequence with maxspan=5ms [a where true] ![b where true] | head 1")
    assert running.push(event_of(1, "a")) == []
    assert running.waiting
    assert [written(match) for match in running.advance(7)] == ["1"]


def test_steps_are_those_of_the_source() -> None:
    running = start("sequence [a where true] [b where true] | head 1")
    assert [step.category for step in running.steps] == ["a", "b"]


def test_tail_is_bounded() -> None:
    running = start("a where true | tail 9", max_open=2)
    for event in read("a a a a"):
        running.push(event)
    assert running.dropped == 2
    assert [written(match) for match in running.finish()] == ["3", "4"]


def test_a_short_tail_drops_nothing() -> None:
    running = start("a where true | tail 1", max_open=2)
    for event in read("a a a a"):
        running.push(event)
    assert running.dropped == 0


def test_unique_is_bounded_and_forgets_what_it_has_not_met_for_longest() -> None:
    query = "a where true | unique k"
    assert run(query, "a/1 a/2 a/1 a/3 a/1 a/2", max_open=2) == ["1", "2", "4", "6"]
    running = start(query, max_open=2)
    for event in read("a/1 a/2 a/1 a/3 a/1 a/2"):
        running.push(event)
    assert running.dropped == 2


@pytest.mark.parametrize(
    "pipe", [Filter(Comparison(Field("k"), "==", Literal(1))), Unique((Field("k"),))]
)
def test_only_events_can_be_filtered(pipe: Filter | Unique) -> None:
    source: Any = eql.compile("sequence [a where true] [b where true]").tree
    with pytest.raises(ValueError, match="only events"):
        matcher(Piped(source, (pipe,)))


def test_a_snapshot_of_another_statement_is_refused() -> None:
    for query in ["a where true", "a where true | head 1"]:
        with pytest.raises(ValueError, match="another statement"):
            start(query).restore(start("b where true | head 1").snapshot())


sources = st.sampled_from(
    [
        "any where true",
        "sequence by k with maxspan=4ms [a where true] [b where true] ![c where true]",
        "sample by ?k [a where true] [b where true]",
    ]
)
pipes = st.lists(
    st.sampled_from(["head 2", "head 4", "tail 2", "tail 5", "unique k", "unique k, id"]),
    max_size=3,
)
streams = st.lists(
    st.builds(lambda c, k: f"{c}/{k}", st.sampled_from("abc"), st.sampled_from("xy-")), max_size=14
)


@settings(max_examples=300, deadline=None)
@given(sources, pipes, streams, st.integers(0, 14), st.integers(1, 4))
def test_a_snapshot_changes_nothing(
    source: str, pipes: list[str], stream: list[str], cut: int, room: int
) -> None:
    if not source.startswith("any"):
        pipes = [pipe for pipe in pipes if not pipe.startswith("unique")]
    query = " | ".join([source, *pipes])
    plain, saved, other = (start(query, max_open=room) for _ in range(3))
    events = read(" ".join(stream))
    for event in events[:cut]:
        assert plain.push(event) == saved.push(event)
    other.push(event_of(0, "a/x"))
    other.restore(json.loads(json.dumps(saved.snapshot())))
    for event in events[cut:]:
        assert plain.push(event) == other.push(event)
        assert (plain.open, plain.dropped, plain.waiting) == (
            other.open,
            other.dropped,
            other.waiting,
        )
    assert plain.snapshot() == other.snapshot()
    assert plain.finish() == other.finish()
