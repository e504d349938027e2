"""Generated sequences over generated streams: a slow oracle finds the same."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule.eql.matching import Matcher, matcher
from auditrule.eql.tree import EventQuery, JoinKey, Literal, SequenceQuery, Step

Event = dict[str, Any]


@st.composite
def sequences(draw: st.DrawFn) -> SequenceQuery:
    """Sequences of the categories a to c, with few steps and short spans."""
    steps = [
        Step(
            EventQuery(draw(st.sampled_from("abc")), Literal(True)),
            keys=(JoinKey("j", optional=draw(st.booleans())),) if joined else (),
            missing=draw(st.integers(0, 3)) == 0,
            runs=draw(st.sampled_from([1, 1, 1, 2])),
        )
        for joined in [draw(st.booleans())] * draw(st.integers(1, 4))
    ]
    if all(step.missing for step in steps):
        steps.append(Step(EventQuery("a", Literal(True)), keys=steps[0].keys))
    until = Step(EventQuery("u", Literal(True)), keys=steps[0].keys)
    return SequenceQuery(
        tuple(steps),
        keys=draw(st.sampled_from([(), (JoinKey("k"),), (JoinKey("k", optional=True),)])),
        maxspan_ms=draw(st.none() | st.integers(1, 8)),
        until=draw(st.sampled_from([None, until])),
    )


@st.composite
def streams(draw: st.DrawFn, size: int = 14) -> list[Event]:
    """Streams of events, at most a few ms late, now and then without a time."""
    values = st.sampled_from([None, "x", "x", "y", ["x", "y"], 1, "1"])
    stream = []
    at = 1000
    for place in range(draw(st.integers(0, size))):
        at += draw(st.sampled_from([0, 0, 1, 1, 2, 3]))
        event: Event = {
            "id": place,
            "event": {"category": draw(st.lists(st.sampled_from("abcu"), min_size=1, max_size=2))},
            "@timestamp": at - draw(st.sampled_from([0, 0, 0, 2])),
            "k": draw(values),
            "j": draw(values),
        }
        if draw(st.integers(0, 9)) == 0:
            del event["@timestamp"]
        stream.append(event)
    return stream


Key = tuple[str | None, ...]


class Oracle:
    """Finds sequences as they are documented, step by step over all of the stream."""

    def __init__(self, query: SequenceQuery, stream: list[Event]) -> None:
        self.query = query
        self.steps = [step for step in query.steps for _ in range(step.runs)]
        self.wanted = [number for number, step in enumerate(self.steps) if not step.missing]
        self.span = float("inf") if query.maxspan_ms is None else query.maxspan_ms
        self.stream = stream
        self.times: list[int] = []
        # Before the first time that is told, it is that.
        latest = next((event["@timestamp"] for event in stream if "@timestamp" in event), 0)
        for event in stream:
            latest = max(latest, event.get("@timestamp", latest))
            self.times.append(latest)

    def find(self) -> Counter[tuple[int, ...]]:
        keys = {key for step in self.steps for _, key in self.hits(step)}
        found = (match for key in keys for match in self.candidates(key) if self.clear(match, key))
        return Counter(found)

    def hits(self, step: Step) -> list[tuple[int, Key]]:
        """Return the places of the step's events, and for each its keys."""
        found = []
        for place, event in enumerate(self.stream):
            if step.query.category in event["event"]["category"]:
                names = (*self.query.keys, *step.keys)
                texts = [texts_of(event[key.name], key.optional) for key in names]
                found += [(place, key) for key in product(*texts)]
        return found

    def places(self, step: Step, key: Key) -> list[int]:
        return [place for place, its in self.hits(step) if its == key]

    def candidates(self, key: Key) -> list[tuple[int, ...]]:
        """Return the matches but for the missing events."""
        first, *others = self.wanted
        untils = self.places(self.query.until, key) if self.query.until else []
        partial: list[tuple[int, ...]] = [(place,) for place in self.places(self.steps[first], key)]
        for number in others:
            moved = []
            for place in self.places(self.steps[number], key):
                earlier = [match for match in partial if match[-1] < place]
                if not earlier:
                    continue
                partial = [match for match in partial if match[-1] >= place]
                latest = max(earlier, key=lambda match: match[-1])
                in_time = self.times[place] - self.times[latest[0]] <= self.span
                if in_time and not any(latest[-1] <= until < place for until in untils):
                    moved.append((*latest, place))
            partial = moved
        return partial

    def clear(self, match: tuple[int, ...], key: Key) -> bool:
        """Tell whether what should be missing is."""
        at = [self.times[place] for place in match]
        leading: list[int] = []
        trailing: list[int] = []
        for number, step in enumerate(self.steps):
            if not step.missing:
                continue
            unwanted = [self.times[place] for place in self.places(step, key)]
            after = sum(wanted < number for wanted in self.wanted)
            if after == 0:
                leading += [time for time in unwanted if time < at[0]]
            elif after == len(at):
                trailing += [time for time in unwanted if time > at[-1]]
            elif any(at[after - 1] < time < at[after] for time in unwanted):
                return False
        begins, ends = self.steps[0].missing, self.steps[-1].missing
        if (begins and not leading) or (ends and not trailing) or not (begins or ends):
            return True
        since = max(leading) if begins else at[0]
        until = min(trailing) if ends else at[-1]
        return until - since > self.span


def texts_of(value: object, optional: bool) -> list[str | None]:
    values = value if isinstance(value, list) else [value]
    texts = [None if each is None else str(each) for each in values]
    return [text for text in texts if optional or text is not None]


def everything(running: Matcher, stream: list[Event]) -> Counter[tuple[int, ...]]:
    found = [match for event in stream for match in running.push(event)]
    places: Any = (tuple(e["id"] for e in match.events) for match in [*found, *running.finish()])
    return Counter(places)


@settings(max_examples=1500, deadline=None)
@given(sequences(), streams())
def test_the_engine_finds_what_a_slow_oracle_finds(
    query: SequenceQuery, stream: list[Event]
) -> None:
    assert everything(matcher(query), stream) == Oracle(query, stream).find()


@settings(max_examples=300, deadline=None)
@given(sequences(), streams(), st.integers(0, 14), st.integers(1, 4))
def test_a_snapshot_changes_nothing(
    query: SequenceQuery, stream: list[Event], cut: int, room: int
) -> None:
    plain, saved = matcher(query, max_open=room), matcher(query, max_open=room)
    for event in stream[:cut]:
        assert plain.push(event) == saved.push(event)
    other = matcher(query, max_open=room)
    other.push({"@timestamp": 5, "event.category": ["a", "b", "c"], "k": "z", "j": "z"})
    other.restore(json.loads(json.dumps(saved.snapshot())))
    for event in stream[cut:]:
        assert plain.push(event) == other.push(event)
        assert (plain.open, plain.dropped, plain.waiting) == (
            other.open,
            other.dropped,
            other.waiting,
        )
    assert plain.snapshot() == other.snapshot()
    assert plain.finish() == other.finish()


@settings(max_examples=300, deadline=None)
@given(sequences(), streams())
def test_only_events_that_match_a_step_need_be_pushed(
    query: SequenceQuery, stream: list[Event]
) -> None:
    """The times of the others are enough, and where it is not waiting not even those."""
    stream = [event for event in stream if "@timestamp" in event]
    stream.sort(key=lambda event: event["@timestamp"])
    whole, chosen = matcher(query), matcher(query)
    categories = {step.category for step in chosen.steps}
    for event in stream:
        found = whole.push(event)
        if categories.intersection(event["event"]["category"]):
            assert chosen.push(event) == found
        elif chosen.waiting:
            assert chosen.advance(event["@timestamp"]) == found
        else:
            assert not found
        assert chosen.open == whole.open
    assert chosen.finish() == whole.finish()


@settings(max_examples=200, deadline=None)
@given(sequences(), streams(), st.integers(1, 3))
def test_no_more_is_held_than_there_is_room_for(
    query: SequenceQuery, stream: list[Event], room: int
) -> None:
    running = matcher(query, max_open=room)
    for event in stream:
        running.push(event)
        assert running.open <= room
        assert len(running.snapshot()["seen"]) <= room
    if running.dropped == 0:
        assert everything(matcher(query), stream) == everything(
            matcher(query, max_open=room), stream
        )
