"""What samples find: a table that can be read as documentation of the language.

An event of the table is written `ab/x`: its categories are a and b, and its field k is x (`/x,y`:
both x and y; `/-`: null). Events are named by their place, from 1. A match is written as the places
of its events, in the order of the steps.
"""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule import eql
from auditrule.eql.matching import Matcher, matcher
from auditrule.eql.samples import choose
from auditrule.eql.tree import EventQuery, JoinKey, Literal, SampleQuery, Step

Event = dict[str, Any]


def read(events: str) -> list[Event]:
    return [event_of(place, text) for place, text in enumerate(events.split(), 1)]


def event_of(place: int, text: str) -> Event:
    categories, _, key = text.partition("/")
    event: Event = {"id": place, "event": {"category": list(categories)}}
    if key:
        event["k"] = None if key == "-" else key.split(",")
    return event


def start(query: str, **options: Any) -> Matcher:
    return matcher(eql.compile(query).tree, **options)


def run(query: str, events: str, **options: Any) -> list[str]:
    running = start(query, **options)
    found = [match for event in read(events) for match in running.push(event)]
    assert running.finish() == ()
    return [" ".join(str(event["id"]) for event in match.events) for match in found]


AB = "sample by k [a where true] [b where true]"
ABC = "sample by k [a where true] [b where true] [c where true]"


@pytest.mark.parametrize(
    ("query", "events", "expected"),
    [
        # The order of the events does not matter; the match has that of the steps.
        (AB, "a/x b/x", ["1 2"]),
        (AB, "b/x a/x", ["2 1"]),
        (ABC, "c/x x/x a/x b/x", ["3 4 1"]),
        (AB, "a/x b/y", []),
        # Each key gives one sample, once it has an event for every step.
        (AB, "a/x a/x b/x b/x a/x", ["1 3"]),
        (AB, "a/x a/y b/x b/y", ["1 3", "2 4"]),
        # An event is one step only.
        ("sample by k [a where true] [a where true]", "a/x", []),
        ("sample by k [a where true] [a where true]", "a/x a/x", ["1 2"]),
        (AB, "ab/x", []),
        (AB, "ab/x ab/x", ["1 2"]),
        (AB, "ab/x a/x", ["2 1"]),
        (AB, "ab/x b/x", ["1 2"]),
        (ABC, "abc/x ab/x a/x", ["3 2 1"]),
        (ABC, "ab/x ab/x ab/x ab/x c/x", ["1 2 5"]),
        # An event that has no key takes no part …
        (AB, "a b", []),
        (AB, "a/- b/-", []),
        # … but where the key is optional.
        ("sample by ?k [a where true] [b where true]", "a/- b", ["1 2"]),
        ("sample by ?k [a where true] [b where true]", "a/x b", []),
        # Several values are several keys.
        (AB, "a/x,y b/y b/x", ["1 2", "1 3"]),
        # Keys of a step come after the statement's own, and are joined by their places.
        ("sample [a where true] by k [b where true] by id", "a/2 b", ["1 2"]),
        ("sample by k [a where true] by id [b where true] by k", "b/1 a/1 b/2", []),
    ],
)
def test_a_sample_finds(query: str, events: str, expected: list[str]) -> None:
    assert run(query, events) == expected


def test_a_match_has_the_keys_values() -> None:
    running = start("sample by k, ?j [a where true] [b where true]")
    running.push({"event.category": "a", "k": 4})
    [match] = running.push({"event.category": "b", "k": "4"})
    assert match.join_keys == (4, None)


def test_a_key_may_be_read_from_another_field() -> None:
    query = "sample by h [a where true] [b where true]"
    assert run(query, "a/x b/x", key_fallbacks={"h": "k"}) == ["1 2"]
    assert run(query, "a b", key_fallbacks={"h": "k"}) == ["1 2"]
    assert run(query, "a/x b", key_fallbacks={"h": "k"}) == []


def test_time_does_not_matter() -> None:
    running = start(AB)
    running.push(event_of(1, "a/x") | {"@timestamp": 0})
    assert not running.waiting
    assert running.advance(10**15) == ()
    assert len(running.push(event_of(2, "b/x") | {"@timestamp": 10**15})) == 1


def test_steps_are_all_queries() -> None:
    query = "sample by k [a where true] [b where true] [a where true]"
    assert [step.category for step in start(query).steps] == ["a", "b"]


def test_over_the_bound_the_oldest_key_goes() -> None:
    events = "a/1 a/2 a/3 b/2 b/3 b/1"
    assert run(AB, events, max_open=2) == ["2 4", "3 5"]
    running = start(AB, max_open=2)
    for event in read(events):
        running.push(event)
        assert running.open <= 2
    assert running.dropped == 1


def test_a_key_that_is_done_is_forgotten_over_the_bound() -> None:
    assert run(AB, "a/1 b/1 a/1 b/1", max_open=1) == ["1 2"]
    assert run(AB, "a/1 b/1 a/2 b/2 a/1 b/1", max_open=1) == ["1 2", "3 4", "5 6"]


def test_few_events_of_a_key_are_held() -> None:
    running = start(ABC)
    for place in range(1000):
        running.push(event_of(place, "ab/x"))
    [[_key, _values, _fits, events]] = running.snapshot()["open"]
    assert len(events) == 3


def test_missing_events_and_runs_are_refused() -> None:
    step = Step(EventQuery("a", Literal(True)))
    odd = Step(EventQuery("a", Literal(True)), runs=2)
    with pytest.raises(ValueError, match="neither"):
        matcher(SampleQuery((step, odd), (JoinKey("k"),)))


def test_a_snapshot_of_another_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="another statement"):
        start(AB).restore(start(ABC).snapshot())


fits = st.lists(st.lists(st.integers(0, 5), unique=True).map(sorted), min_size=1, max_size=5)


@given(fits)
def test_the_choice_is_the_first_of_all(fits: list[list[int]]) -> None:
    every = [list(choice) for choice in product(*fits) if len(set(choice)) == len(fits)]
    assert choose(fits) == min(every, default=[])


def test_there_is_no_choice_to_search_for_long() -> None:
    """Of 40 steps that 39 events fit, trying all would never end."""
    assert choose([list(range(39))] * 40) == []


streams = st.lists(
    st.builds(
        lambda categories, key: (sorted(categories), key),
        st.sets(st.sampled_from("abc"), min_size=1),
        st.sampled_from([None, ["x"], ["y"], ["x", "y"]]),
    ),
    max_size=12,
)
queries = st.builds(
    SampleQuery,
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(
        lambda steps: tuple(Step(EventQuery(step, Literal(True))) for step in steps)
    ),
    st.builds(lambda optional: (JoinKey("k", optional),), st.booleans()),
)


def events_of(stream: list[tuple[list[str], list[str] | None]]) -> list[Event]:
    return [
        {"id": place, "event.category": categories, "k": key}
        for place, (categories, key) in enumerate(stream)
    ]


@settings(max_examples=500, deadline=None)
@given(queries, streams)
def test_a_key_has_a_sample_if_different_events_fit_the_steps(
    query: SampleQuery, stream: list[tuple[list[str], list[str] | None]]
) -> None:
    running = matcher(query)
    found: dict[Any, Any] = {}
    for event in events_of(stream):
        for match in running.push(event):
            assert match.join_keys not in found
            found[match.join_keys] = [each["id"] for each in match.events]
    categories = [str(step.query.category) for step in query.steps]
    for key in ("x", "y", None):
        own = [
            place
            for place, (_, keys) in enumerate(stream)
            if (key in keys if keys else query.keys[0].optional and key is None)
        ]
        possible = [
            list(choice)
            for choice in permutations(own, len(categories))
            if all(category in stream[p][0] for category, p in zip(categories, choice, strict=True))
        ]
        assert ((key,) in found) == bool(possible)
        if possible:
            assert found[(key,)] in possible
            # It came as early as it could.
            assert max(found[(key,)]) == min(map(max, possible))


@settings(max_examples=200, deadline=None)
@given(queries, streams, st.integers(0, 12), st.integers(1, 3))
def test_a_snapshot_changes_nothing(
    query: SampleQuery, stream: list[tuple[list[str], list[str] | None]], cut: int, room: int
) -> None:
    plain, saved = matcher(query, max_open=room), matcher(query, max_open=room)
    other = matcher(query, max_open=room)
    events = events_of(stream)
    for event in events[:cut]:
        assert plain.push(event) == saved.push(event)
    other.restore(json.loads(json.dumps(saved.snapshot())))
    for event in events[cut:]:
        assert plain.push(event) == other.push(event)
        assert (plain.open, plain.dropped) == (other.open, other.dropped)
    assert plain.snapshot() == other.snapshot()
