"""What sequences find: tables that can be read as documentation of the language.

An event of the tables is written `ab@3/x`: its categories are a and b, its time is 3 seconds after
the start, and its field k is x (`/x,y`: both x and y; `/-`: null). Events are named by their place,
from 1. A match is written as the places of its events; a missing event has none.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule import eql
from auditrule.eql.clock import Clock
from auditrule.eql.matching import Matcher, matcher
from auditrule.eql.tree import EventQuery, Literal, SequenceQuery, Step

Event = dict[str, Any]


def run(query: str | SequenceQuery, events: str | list[Event], **options: Any) -> list[str]:
    """Return the matches, those that only the end brings behind a `|`."""
    running = start(query, **options)
    stream = read(events) if isinstance(events, str) else events
    found = [match for event in stream for match in running.push(event)]
    ended = [written_as(match.events) for match in running.finish()]
    return [*(written_as(match.events) for match in found), *(["|"] if ended else []), *ended]


def start(query: str | SequenceQuery, **options: Any) -> Matcher:
    tree = eql.compile(query).tree if isinstance(query, str) else query
    return matcher(tree, **options)


def read(events: str) -> list[Event]:
    return [event_of(place, text) for place, text in enumerate(events.split(), 1)]


def event_of(place: int, text: str) -> Event:
    text, _, key = text.partition("/")
    categories, _, seconds = text.partition("@")
    event: Event = {"id": place, "event": {"category": list(categories)}}
    if seconds:
        event["@timestamp"] = round(float(seconds) * 1000)
    if key:
        event["k"] = None if key == "-" else key.split(",")
    return event


def written_as(events: Any) -> str:
    return " ".join(str(event["id"]) for event in events)


AB = "sequence [a where true] [b where true]"
ABC = "sequence [a where true] [b where true] [c where true]"
AB_BY_K = "sequence by k [a where true] [b where true]"
ABC_BY_K = "sequence by k [a where true] [b where true] [c where true]"

STATES = [
    # Events come in the order of the steps; others may come between.
    (AB, "a b", ["1 2"]),
    (AB, "a x y b", ["1 4"]),
    (AB, "b a", []),
    (ABC, "a b x c", ["1 2 4"]),
    (ABC, "a c b", []),
    # A match uses its events up: b needs an a of its own.
    (AB, "a b b", ["1 2"]),
    (AB, "a b a b", ["1 2", "3 4"]),
    # A later event of a step takes the earlier one's place.
    (AB, "a a b", ["2 3"]),
    (AB, "a a b b", ["2 3"]),
    (ABC, "a b a b c", ["3 4 5"]),
    # But one that has gone on is not touched by what starts behind it.
    (ABC, "a b a c", ["1 2 4"]),
    (ABC, "a b a c b c", ["1 2 4", "3 5 6"]),
    ("sequence [a where true] [b where true] [c where true] [d where true]", "a b c a b d c d",
     ["1 2 3 6", "4 5 7 8"]),
    # An event fills one step of a match, and may begin or go on with others.
    ("sequence [a where true] [a where true]", "a", []),
    ("sequence [a where true] [a where true]", "a a", ["1 2"]),
    ("sequence [a where true] [a where true]", "a a a a", ["1 2", "2 3", "3 4"]),
    ("sequence [a where true] [a where true] [a where true]", "a a a a", ["1 2 3", "2 3 4"]),
    (ABC, "ab bc c", ["1 2 3"]),
    (ABC, "abc abc abc abc", ["1 2 3", "2 3 4"]),
    # `any` is an event of every category, and of none.
    ("sequence [a where true] [any where true]", "a x", ["1 2"]),
]  # fmt: skip

KEYS = [
    # Each value of the key has its own matches.
    (AB_BY_K, "a/x b/y b/x", ["1 3"]),
    (AB_BY_K, "a/x a/y b/x b/y", ["1 3", "2 4"]),
    (ABC_BY_K, "a/x a/y b/y a/y b/x c/x c/y", ["1 5 6", "2 3 7"]),
    # Case counts.
    (AB_BY_K, "a/x b/X", []),
    # An event that has no key takes no part.
    (AB_BY_K, "a b", []),
    (AB_BY_K, "a/- b/-", []),
    (AB_BY_K, "a/x b b/x", ["1 3"]),
    # But where the key is optional: nothing joins nothing.
    ("sequence by ?k [a where true] [b where true]", "a b", ["1 2"]),
    ("sequence by ?k [a where true] [b where true]", "a/- b", ["1 2"]),
    ("sequence by ?k [a where true] [b where true]", "a/x b b/x", ["1 3"]),
    # Several values are several keys: the event takes part once for each.
    (AB_BY_K, "a/x,y b/y b/x", ["1 2", "1 3"]),
    (AB_BY_K, "a/x,y b/x,y", ["1 2", "1 2"]),
    (AB_BY_K, "a/x,x b/x,x", ["1 2"]),
    # Keys of a step come after the statement's own, and are joined by their places.
    ("sequence [a where true] by k [b where true] by id", "a/2 b", ["1 2"]),
    ("sequence [a where true] by k [b where true] by id", "a/3 b", []),
    ("sequence by k [a where true] by id [b where true] by j", [
        {"id": 1, "event.category": "a", "k": "x"},
        {"id": 2, "event.category": "b", "k": "x", "j": 1},
    ], ["1 2"]),
    ("sequence by k, j [a where true] [b where true]", [
        {"id": 1, "event.category": "a", "k": "x", "j": "y"},
        {"id": 2, "event.category": "b", "k": "y", "j": "x"},
        {"id": 3, "event.category": "b", "k": "x", "j": "y"},
    ], ["1 3"]),
]  # fmt: skip

MAXSPAN = "sequence with maxspan=5s [a where true] [b where true]"
MAXSPAN_ABC = "sequence with maxspan=5s [a where true] [b where true] [c where true]"

SPANS = [
    (MAXSPAN, "a@0 b@4", ["1 2"]),
    # A span of just that length is within.
    (MAXSPAN, "a@0 b@5", ["1 2"]),
    (MAXSPAN, "a@0 b@5.001", []),
    # It is the time from the first event to the last, not from step to step.
    (MAXSPAN_ABC, "a@0 b@4 c@5", ["1 2 3"]),
    (MAXSPAN_ABC, "a@0 b@4 c@6", []),
    # What was too old takes nothing with it.
    (MAXSPAN_ABC, "a@0 b@4 a@6 b@7 c@8", ["3 4 5"]),
    (MAXSPAN, "a@0 b@9 a@10 b@11", ["3 4"]),
    # Without one, any time may pass.
    (AB, "a@0 b@99999999", ["1 2"]),
    ("sequence with maxspan=1500ms [a where true] [b where true]", "a@0 b@1.5", ["1 2"]),
    ("sequence with maxspan=1500ms [a where true] [b where true]", "a@0 b@1.501", []),
    # The order of arrival counts: an event that is late happens now.
    (MAXSPAN, "a@3 b@2", ["1 2"]),
    (MAXSPAN, "b@3 a@2 b@1", ["2 3"]),
    (MAXSPAN, "x@10 a@8 b@14", ["2 3"]),
    (MAXSPAN, "x@10 a@8 b@16", []),
    # An event without a time happens at that of the one before.
    (MAXSPAN, "a b", ["1 2"]),
    (MAXSPAN, "a b@9", ["1 2"]),
    (MAXSPAN, "x@0 a b@5", ["2 3"]),
    (MAXSPAN, "x@0 a b@6", []),
]  # fmt: skip

UNTIL = "sequence by k [a where true] [b where true] until [u where true]"

UNTILS = [
    # What begins before `until` must be whole before it.
    (UNTIL, "a/x u/x b/x", []),
    (UNTIL, "a/x b/x u/x", ["1 2"]),
    (UNTIL, "u/x a/x b/x", ["2 3"]),
    (UNTIL, "a/x u/x a/x b/x", ["3 4"]),
    # It ends what has its key.
    (UNTIL, "a/x u/y b/x", ["1 3"]),
    (UNTIL, "a/x a/y u/x,y b/x b/y", []),
    ("sequence [a where true] by k [b where true] by k until [u where true] by id",
     "a/2 u b/2", []),
    # It ends every step.
    ("sequence [a where true] [b where true] [c where true] until [u where true]",
     "a b a u c b c", []),
    # The event that makes a match whole may be the one that would have ended it.
    (UNTIL, "a/x bu/x", ["1 2"]),
    # One that is an earlier step of it ends it.
    (UNTIL, "au/x b/x", []),
    ("sequence [a where true] [b where true] [c where true] until [u where true]",
     "a bu c", []),
]  # fmt: skip

RUNS = [
    ("sequence [a where true] with runs=3", "a a", []),
    ("sequence [a where true] with runs=3 [b where true]", "a a a b", ["1 2 3 4"]),
    ("sequence [a where true] with runs=3 [b where true]", "a a b a b", ["1 2 4 5"]),
    # Others may come between: runs only writes the step so many times.
    ("sequence [a where true] with runs=2 [b where true]", "a x a b", ["1 3 4"]),
    ("sequence [a where true] with runs=2 [b where true]", "a a a a b", ["3 4 5"]),
    ("sequence [a where true] [b where true] with runs=2", "a b b b", ["1 2 3"]),
    ("sequence by k [a where true] with runs=2 [b where true]", "a/x a/y a/x b/x b/y", ["1 3 4"]),
    ("sequence [a where true] with runs=2 [a where true]", "a a a a", ["1 2 3", "2 3 4"]),
]

BETWEEN = "sequence by k with maxspan=9s [a where true] ![m where true] [b where true]"
LEADING = "sequence by k with maxspan=9s ![m where true] [a where true] [b where true]"
TRAILING = "sequence by k with maxspan=9s [a where true] [b where true] ![m where true]"
AROUND = "sequence by k with maxspan=9s ![m where true] [a where true] ![m where true]"

MISSING_BETWEEN = [
    (BETWEEN, "a@1/x b@3/x", ["1 2"]),
    (BETWEEN, "a@1/x m@2/x b@3/x", []),
    (BETWEEN, "m@0/x a@1/x b@3/x m@4/x", ["2 3"]),
    # It must not have the key; one of another key may come.
    (BETWEEN, "a@1/x m@2/y b@3/x", ["1 3"]),
    (BETWEEN, "a@1/x m@2/x,y b@3/x", []),
    # Time is compared, by the millisecond: at the same time is neither before nor after.
    (BETWEEN, "a@1/x m@1/x b@3/x", ["1 3"]),
    (BETWEEN, "a@1/x m@3/x b@3/x", ["1 3"]),
    (BETWEEN, "a@1/x m@1/x m@2/x m@3/x b@3/x", []),
    (BETWEEN, "a@1/x m@1.001/x b@1.002/x", []),
    # An event may be a step of its own and missing elsewhere.
    (BETWEEN, "a@1/x bm@2/x", ["1 2"]),
    (BETWEEN, "am@1/x b@2/x", ["1 2"]),
    # A later a begins anew.
    (BETWEEN, "a@1/x m@2/x a@3/x b@4/x", ["3 4"]),
    # It is missed between its own two steps only.
    ("sequence with maxspan=9s [a where true] ![m where true] [b where true] [c where true]",
     "a@1 b@2 m@3 c@4", ["1 2 4"]),
    ("sequence with maxspan=9s [a where true] ![m where true] [b where true] [c where true]",
     "a@1 m@2 b@3 c@4", []),
    # A match that has one goes on to its end, where it gives nothing, and takes others' places.
    ("sequence with maxspan=9s [a where true] [a where true] ![m where true] [a where true]",
     "a@1 a@2 m@3 a@4 a@5", ["2 4 5"]),
    ("sequence with maxspan=9s [a where true] ![m where true] [b where true] [c where true]",
     "a@1 b@2 a@3 m@4 b@5 c@6", []),
    # Several may be missed, each or the same one in several places.
    ("sequence with maxspan=9s [a where true] ![m where true] ![n where true] [b where true]",
     "a@1 n@2 b@3", []),
    # The key of a missing event may be of another field.
    ("sequence with maxspan=9s [a where true] by k ![m where true] by id [b where true] by k",
     "a@1/2 m@2/x b@3/2", []),
]  # fmt: skip

MISSING_FIRST = [
    (LEADING, "a@1/x b@3/x", ["1 2"]),
    (LEADING, "m@0/x a@1/x b@3/x", []),
    (LEADING, "m@0/y a@1/x b@3/x", ["2 3"]),
    # It must not come less than maxspan before the last event.
    (LEADING, "m@0/x a@4/x b@9/x", []),
    (LEADING, "m@0/x a@4/x b@9.001/x", ["2 3"]),
    # At the time of the first event it is not before it, and what was before that counts.
    (LEADING, "m@1/x a@1/x b@3/x", ["2 3"]),
    (LEADING, "m@0/x m@1/x a@1/x b@3/x", []),
    (LEADING, "a@1/x m@2/x b@3/x", ["1 3"]),
    (LEADING, "am@1/x b@3/x", ["1 2"]),
    ("sequence with maxspan=9s ![m where true] [a where true]", "a@0 m@1 a@2 a@10 a@11",
     ["1", "5"]),
    ("sequence with maxspan=9s ![m where true] ![n where true] [a where true] [b where true]",
     "n@0 a@1 b@2", []),
]  # fmt: skip

MISSING_LAST = [
    # A match is known when more than maxspan has passed since its first event …
    (TRAILING, "a@1/x b@3/x x@10.001", ["1 2"]),
    # … or when the stream ends.
    (TRAILING, "a@1/x b@3/x x@10", ["|", "1 2"]),
    (TRAILING, "a@1/x b@3/x m@4/x", []),
    (TRAILING, "a@1/x b@3/x m@10/x", []),
    (TRAILING, "a@1/x b@3/x m@10.001/x", ["1 2"]),
    (TRAILING, "a@1/x b@3/x m@4/y", ["|", "1 2"]),
    (TRAILING, "a@1/x m@2/x b@3/x", ["|", "1 3"]),
    # At the time of the last event it is not after it.
    (TRAILING, "a@1/x b@3/x m@3/x", ["|", "1 2"]),
    (TRAILING, "a@1/x b@3/x m@3/x m@4/x", []),
    (TRAILING, "a@1/x bm@3/x", ["|", "1 2"]),
    # Two may wait, of one key or of several.
    (TRAILING, "a@1/x b@2/x a@3/x b@4/x", ["|", "1 2", "3 4"]),
    (TRAILING, "a@1/x b@2/x a@3/x b@4/x m@5/x", []),
    (TRAILING, "a@1/x b@2/x a@3/x b@4/x m@4/x", ["|", "3 4"]),
    (TRAILING, "a@1/x a@2/y b@3/y b@4/x m@5/x", ["|", "2 3"]),
    ("sequence with maxspan=9s [a where true] ![m where true]", "a@1 m@2 a@3 x@13", ["3"]),
    # `until` is about what is not whole yet.
    ("sequence with maxspan=9s [a where true] [b where true] ![m where true] until [u where true]",
     "a@1 b@2 u@3", ["|", "1 2"]),
    # More than maxspan must lie between one before and one after, if there are both.
    (AROUND, "a@1/x", ["1"]),
    (AROUND, "a@1/x m@2/x", ["1"]),
    (AROUND, "m@0/x a@1/x", ["|", "2"]),
    (AROUND, "m@0/x a@1/x m@9/x", []),
    (AROUND, "m@0/x a@1/x m@9.001/x", ["2"]),
    (AROUND, "m@0/x a@5/x x@14.001", ["2"]),
    (AROUND, "m@0/x a@10/x", ["2"]),
]  # fmt: skip

TABLES = [*STATES, *KEYS, *SPANS, *UNTILS, *RUNS]
TABLES += [*MISSING_BETWEEN, *MISSING_FIRST, *MISSING_LAST]


@pytest.mark.parametrize(("query", "events", "expected"), TABLES)
def test_a_sequence_finds(query: str, events: str, expected: list[str]) -> None:
    assert run(query, events) == expected


def test_a_missing_event_with_runs_is_missed_as_one_without() -> None:
    query = "sequence with maxspan=9s [a where true] ![m where true] with runs=2 [b where true]"
    assert run(query, "a@1 b@2 a@3 m@4 b@5") == ["1 2"]


def test_a_match_has_the_keys_values_as_the_first_event_has_them() -> None:
    running = start("sequence by k, ?j [a where true] by id [b where true] by other")
    running.push({"event.category": "a", "k": 4, "id": ["x", "y"]})
    [match] = running.push({"event.category": "b", "k": "4", "other": "y"})
    assert match.join_keys == (4, None, "y")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, "1", True),
        (1, 1.0, True),
        (True, "true", True),
        (True, 1, False),
        (1.5, "1.5", True),
        ("01", 1, False),
        ("x", "x ", False),
        (10**30, 10**30, True),
        (10**30, 10**30 + 1, False),
        (float("nan"), float("nan"), True),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), True),
    ],
)
def test_keys_are_equal_if_their_texts_are(one: object, other: object, same: bool) -> None:
    events = [
        {"id": 1, "event.category": "a", "k": one},
        {"id": 2, "event.category": "b", "k": other},
    ]
    assert run(AB_BY_K, events) == (["1 2"] if same else [])


class Unwritable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("value", [{}, [], [None], {"x": 1}, Unwritable(), [[]]])
def test_what_can_not_be_a_key_is_none(value: object) -> None:
    events = [{"id": n, "event.category": c, "k": value} for n, c in enumerate("ab")]
    assert run(AB_BY_K, events) == []


def test_a_key_may_be_read_from_another_field() -> None:
    fallbacks = {"h.id": "h.name"}
    events: list[Event] = [
        {"id": 1, "event.category": "a", "h": {"id": "x", "name": "n"}},
        {"id": 2, "event.category": "b", "h": {"name": "n"}},
        {"id": 3, "event.category": "a", "h": {"name": "x"}},
        {"id": 4, "event.category": "b", "h": {"id": "x"}},
    ]
    query = "sequence by h.id [a where true] [b where true]"
    assert run(query, events, key_fallbacks=fallbacks) == ["3 4"]
    assert run(query, events) == ["1 4"]


def test_where_both_fields_are_absent_the_key_is_none() -> None:
    query = "sequence by h.id [a where true] [b where true]"
    assert run(query, "a b", key_fallbacks={"h.id": "h.name"}) == ["1 2"]
    assert run(query, "a b", key_fallbacks={"other": "h.name"}) == []


def test_the_fields_of_category_and_time_can_be_named() -> None:
    events: list[Event] = [
        {"id": 1, "kind": "a", "when": "2024-01-01T00:00:00Z"},
        {"id": 2, "kind": "b", "when": "2024-01-01T00:00:06Z"},
        {"id": 3, "kind": "a", "when": "2024-01-01T00:00:07Z"},
        {"id": 4, "kind": "b", "when": "2024-01-01T00:00:08Z"},
    ]
    assert run(MAXSPAN, events, category_field="kind", timestamp_field="when") == ["3 4"]


def test_steps_are_all_queries_that_an_event_can_matter_to() -> None:
    running = start(
        "sequence with maxspan=1s ![l where true] [a where true] ![m where true] [b where true] "
        "[a where true] ![t where true] until [u where true]"
    )
    assert [step.category for step in running.steps] == list("lambtu")


def test_one_wrong_time_does_not_blind_a_sequence_for_ever() -> None:
    wrong = "x@9999999999 "
    later = " ".join(f"x@{n}" for n in range(Clock.PATIENCE + 1))
    assert run(MAXSPAN, wrong + "a@200 b@300") == ["2 3"]
    assert run(MAXSPAN, wrong + later + " a@200 b@300 a@301 b@302") == ["105 106"]


def test_advance_tells_the_time_as_an_event_does() -> None:
    running = start(TRAILING)
    for event in read("a@1/x b@3/x"):
        assert running.push(event) == []
    assert running.waiting
    assert running.advance(10_000) == []
    [match] = running.advance(10_001)
    assert written_as(match.events) == "1 2"
    assert (running.waiting, running.open) == (False, 0)


# Bounds


def test_time_frees_what_is_older_than_maxspan() -> None:
    running = start("sequence by id with maxspan=5s [a where true] [b where true]")
    for event in read(" ".join(f"a@{n}" for n in range(100))):
        running.push(event)
        assert running.open <= 6
    assert running.waiting
    assert running.advance(1_000_000) == []
    assert (running.open, running.waiting, running.dropped) == (0, False, 0)


def test_time_frees_the_memory_of_missing_events() -> None:
    running = start(LEADING)
    running.push(event_of(1, "m@0/x"))
    waiting = []
    for now in [9_000, 9_001]:
        running.advance(now)
        waiting.append(running.waiting)
    assert waiting == [True, False]


def test_without_maxspan_time_changes_nothing() -> None:
    running = start(AB_BY_K)
    running.push(event_of(1, "a@0/x"))
    assert not running.waiting
    assert running.advance(10**15) == []
    assert running.open == 1


def test_over_the_bound_the_oldest_goes() -> None:
    events = "a/1 a/2 a/3 a/4 b/1 b/2 b/3 b/4"
    assert run(AB_BY_K, events, max_open=2) == ["3 7", "4 8"]
    running = start(AB_BY_K, max_open=2)
    for event in read(events):
        running.push(event)
        assert running.open <= 2
    assert running.dropped == 2


def test_what_another_replaces_or_ends_is_not_dropped() -> None:
    running = start(UNTIL, max_open=1)
    for event in read("a/x a/x u/x a/x b/x a/x"):
        running.push(event)
    assert (running.dropped, running.open) == (0, 1)


@pytest.mark.parametrize(
    ("query", "events", "expected"),
    [
        (ABC_BY_K, "a/1 b/1 a/2 a/3 c/1 b/2 c/2", ["3 6 7"]),
        (TRAILING, "a@1/1 b@1/1 a@2/2 b@2/2 a@3/3 b@3/3", ["|", "3 4", "5 6"]),
        (LEADING, "m@1/1 m@1/2 m@1/3 a@2/1 b@2/1 a@2/2 b@2/2 a@2/3 b@2/3", ["4 5"]),
    ],
)
def test_everything_that_is_held_is_bounded(query: str, events: str, expected: list[str]) -> None:
    assert run(query, events, max_open=2) == expected
    running = start(query, max_open=2)
    for event in read(events):
        running.push(event)
    assert running.dropped == 1


def test_there_must_be_room_for_one() -> None:
    with pytest.raises(ValueError, match="room for one"):
        start(AB, max_open=0)


def test_an_event_of_very_many_keys_takes_part_with_some() -> None:
    running = start("sequence by k, j [a where true] [b where true]")
    many = [str(n) for n in range(1000)]
    running.push({"event.category": "a", "k": many, "j": many})
    assert running.open <= 256
    assert running.dropped == 1
    assert len(running.push({"event.category": "b", "k": "0", "j": "0"})) == 1


def test_a_sequence_of_missing_events_only_is_refused() -> None:
    step = Step(EventQuery("a", Literal(True)), missing=True)
    with pytest.raises(ValueError, match="missing"):
        start(SequenceQuery((step, step)))


@pytest.mark.parametrize("query", [AB_BY_K, LEADING, TRAILING, BETWEEN, UNTIL])
def test_an_event_costs_the_same_however_many_are_open(query: str) -> None:
    """Ten times the keys take about ten times the time, not a hundred times."""

    def seconds(keys: int) -> float:
        running = start(query, max_open=10**6)
        events = [event_of(n, f"{c}@{n / 10**6}/{n}") for c in "ma" for n in range(keys)]
        began = time.perf_counter()
        for event in events:
            running.push(event)
        return time.perf_counter() - began

    few = min(seconds(2_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(2)) < 40 * few


def test_a_snapshot_holds_an_event_once_that_several_partial_matches_have() -> None:
    running = start("sequence [a where true] with runs=9 [b where true]")
    for event in read("a a a a"):
        running.push(event)
    assert running.open == 4
    assert len(running.snapshot()["events"]) == 4


def test_a_snapshot_of_another_statement_is_refused() -> None:
    with pytest.raises(ValueError, match="another statement"):
        start(AB).restore(start(ABC).snapshot())


# Odd events


def test_a_number_of_very_many_digits_is_a_key_but_no_time() -> None:
    huge: int = 10**5000
    events = [{"id": n, "event.category": c, "k": huge, "@timestamp": huge}
              for n, c in enumerate("ab")]  # fmt: skip
    assert run(AB_BY_K, events) == ["0 1"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["a", "b", "m", "u", "2024-01-01T00:00:00Z", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)
odd_events = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["event", "event.category", "@timestamp", "k"], json_values)
)
ALL = (
    "sequence by k, ?j with maxspan=5s ![m where true] [a where true] ![m where true] "
    "[any where true] with runs=2 ![b where true] until [u where true]"
)


@given(st.lists(odd_events, max_size=8))
def test_no_event_raises(events: list[Event]) -> None:
    running = start(ALL, max_open=3, key_fallbacks={"k": "j"})
    for event in events:
        running.push(event)
    running.restore(running.snapshot())
    running.finish()
