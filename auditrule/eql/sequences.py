"""Events in order: what `sequence` means, as a machine that is pushed one event at a time.

The meaning is Elasticsearch 8's (its SequenceMatcher and TumblingWindow), where all events lie in
an index and each step is a query. Here they arrive once, and the order of arrival is their order;
their times are those of a `Clock`, which never goes back.

- For each key and each step there is at most one partial match whose latest event is that step's.
  A later one takes its place. An event that fits the next step moves it on, so it is used up. One
  event fills one step of a partial match only, but may start or move on others.
- `maxspan` is measured from the first event to the last, and a span of just that length is within.
- `with runs=n` is the step written n times: other events may come between.
- `until` ends every partial match of its key, after the event has taken its part in the steps: an
  event that both completes a match and would end it completes it, and one that is an earlier step
  as well is ended together with its partial match (Elasticsearch's Ordinal.between counts both
  ends, its UntilGroup.before not the last).
- `![…]` asks that no such event of the same key comes at that place. Time is compared, by the
  millisecond, not order: an event in the same millisecond as its neighbour is not between.
  Between two steps, it must not come after the one and before the other. It does not end the
  partial match, which takes its places to the end and then gives none. At the start, it must not
  come before the first event, unless more than maxspan before the last. At the end, it must not
  come after the last event, unless more than maxspan after the first; so the match is known only
  when time has passed, or when the stream ends. With one at the start and one at the end, there
  must be more than maxspan between the last of the former and the first of the latter, if there
  are both.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.eql.clock import Clock
from auditrule.eql.match import Match
from auditrule.eql.plan import plan, queries_of
from auditrule.eql.state import State, check_owner, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditrule.eql.fields import Event
    from auditrule.eql.joinkeys import Key, Values
    from auditrule.eql.plan import Absence, Filling
    from auditrule.eql.tree import EventQuery, SequenceQuery


@dataclass(slots=True, eq=False)
class _Partial:
    """The first events of a match, or all of them where a missing one may still come.

    `stage` is that of the latest event and `time` its time. `unwanted` is the time of the first
    event after it that should be missing, and `spoilt` says that one came between two stages.
    `before` is the time of the latest that should be missing before the first.
    """

    serial: int
    key: Key
    values: Values
    events: list[Event]
    start: int
    time: int
    before: int | None
    stage: int = 0
    unwanted: int | None = None
    spoilt: bool = False


def _match(partial: _Partial) -> Match:
    return Match(tuple(partial.events), partial.values)


class SequenceMatcher:
    """Finds the matches of a sequence in a stream of events.

    Holds at most `max_open` partial matches, and as many keys of events that should be missing
    before the first; over that, the oldest goes and counts in `dropped`. What is older than maxspan
    is freed as time passes. An event costs what its keys and the query's steps cost, however many
    partial matches are held. Never raises for an event.
    """

    def __init__(
        self,
        query: SequenceQuery,
        *,
        category_field: str,
        timestamp_field: str,
        key_fallbacks: Mapping[str, str],
        max_open: int,
    ) -> None:
        self._query = query
        self._plan = plan(query, category_field, key_fallbacks)
        self._last = self._plan.last
        self._maxspan = query.maxspan_ms
        self._max_open = max_open
        self._clock = Clock(timestamp_field)
        self._dropped = 0
        self._serial = 0
        self._clear()

    def _clear(self) -> None:
        # All partial matches, in the order in which they started.
        self._open: OrderedDict[int, _Partial] = OrderedDict()
        # For each stage but the last, those that wait for the next event.
        self._waiting: list[dict[Key, _Partial]] = [{} for _ in range(self._last)]
        # Those that are whole, and wait until nothing can come that should be missing.
        self._closing: dict[Key, OrderedDict[int, _Partial]] = {}
        # Of the events that should be missing before the first: the latest time, and the latest
        # before that. The key that was longest without one comes first.
        self._seen: OrderedDict[Key, tuple[int, int | None]] = OrderedDict()

    @property
    def steps(self) -> tuple[EventQuery, ...]:
        """All queries that events are tried with."""
        return queries_of(self._query)

    @property
    def open(self) -> int:
        """How many partial matches are held."""
        return len(self._open)

    @property
    def dropped(self) -> int:
        """How often something was given up for want of room."""
        return self._dropped + sum(condition.keys.cut for condition in self._plan.conditions)

    @property
    def waiting(self) -> bool:
        """Whether time alone could complete or free something."""
        return self._maxspan is not None and bool(self._open or self._seen)

    def push(self, event: Event) -> Sequence[Match]:
        """Take the next event, and return the matches that it, or its time, completes."""
        now = self._clock.tick(event)
        found: list[Match] = []
        self._expire(now, found)
        # From the last step to the first, so that what the event moves on it does not move again.
        for filling in self._plan.fillings:
            self._fill(filling, event, now, found)
        for absence in self._plan.leading:
            self._see(absence, event, now)
        for absence in self._plan.between:
            self._spoil(absence, event, now)
        for absence in self._plan.trailing:
            self._refuse(absence, event, now, found)
        self._end(event)
        return found

    def advance(self, time_ms: int) -> Sequence[Match]:
        """Take notice that the stream has come to a time; return the matches this completes.

        Where there are several, those that started first come first.
        """
        found: list[Match] = []
        self._expire(self._clock.tell(time_ms), found)
        return found

    def finish(self) -> Sequence[Match]:
        """Return the matches that waited only for events that should be missing.

        Like Elasticsearch where the data ends before maxspan has passed: what did not come is
        missing. All partial matches are forgotten.
        """
        found = [_match(partial) for partial in self._open.values() if partial.stage == self._last]
        self._clear()
        return found

    def _fill(self, filling: Filling, event: Event, now: int, found: list[Match]) -> None:
        if filling.first > 0 and not any(self._waiting[filling.first - 1 : filling.last]):
            return
        if not filling.condition.holds(event):
            return
        for key, values in filling.condition.keys.read(event):
            for stage in range(filling.last, filling.first - 1, -1):
                if stage == 0:
                    self._start(key, values, event, now, found)
                elif (partial := self._waiting[stage - 1].pop(key, None)) is not None:
                    if partial.unwanted is not None and partial.unwanted < now:
                        partial.spoilt = True
                    partial.unwanted = None
                    partial.events.append(event)
                    partial.time = now
                    partial.stage = stage
                    self._place(partial, now, found)

    def _start(self, key: Key, values: Values, event: Event, now: int, found: list[Match]) -> None:
        latest, earlier = self._seen.get(key, (None, None))
        before = latest if latest is None or latest < now else earlier
        self._serial += 1
        partial = _Partial(self._serial, key, values, [event], now, now, before)
        self._open[partial.serial] = partial
        self._place(partial, now, found)
        if len(self._open) > self._max_open:
            self._forget(next(iter(self._open.values())))
            self._dropped += 1

    def _place(self, partial: _Partial, now: int, found: list[Match]) -> None:
        """Put a partial match where its stage belongs, or give the match if it is one."""
        if partial.stage < self._last:
            waiting = self._waiting[partial.stage]
            if (older := waiting.get(partial.key)) is not None:
                del self._open[older.serial]
            waiting[partial.key] = partial
        elif not partial.spoilt and self._is_safe(partial, now):
            del self._open[partial.serial]
            found.append(_match(partial))
        elif not partial.spoilt and self._plan.trailing:
            self._closing.setdefault(partial.key, OrderedDict())[partial.serial] = partial
        else:
            del self._open[partial.serial]

    def _is_safe(self, partial: _Partial, now: int) -> bool:
        """Tell whether what should be missing is so far off that it does not count.

        This is about the last event, where something should be missing before the first, and else
        about the event that should be missing after the last, if it came now.
        """
        since = partial.before if self._plan.leading else partial.start
        if since is None or not (self._plan.leading or self._plan.trailing):
            return True
        return self._maxspan is not None and now - since > self._maxspan

    def _see(self, absence: Absence, event: Event, now: int) -> None:
        if not absence.condition.holds(event):
            return
        for key, _ in absence.condition.keys.read(event):
            latest, earlier = self._seen.pop(key, (None, None))
            self._seen[key] = (now, earlier if latest == now else latest)
            if len(self._seen) > self._max_open:
                self._seen.popitem(last=False)
                self._dropped += 1

    def _spoil(self, absence: Absence, event: Event, now: int) -> None:
        waiting = self._waiting[absence.after]
        if not waiting or not absence.condition.holds(event):
            return
        for key, _ in absence.condition.keys.read(event):
            partial = waiting.get(key)
            if partial is not None and partial.unwanted is None and partial.time < now:
                partial.unwanted = now

    def _refuse(self, absence: Absence, event: Event, now: int, found: list[Match]) -> None:
        if not self._closing or not absence.condition.holds(event):
            return
        for key, _ in absence.condition.keys.read(event):
            closing = self._closing.get(key)
            while closing:
                partial = next(iter(closing.values()))
                if partial.time == now:
                    break
                self._forget(partial)
                if self._is_safe(partial, now):
                    found.append(_match(partial))

    def _end(self, event: Event) -> None:
        if self._plan.until is None or not any(self._waiting) or not self._plan.until.holds(event):
            return
        for key, _ in self._plan.until.keys.read(event):
            for waiting in self._waiting:
                if (partial := waiting.pop(key, None)) is not None:
                    del self._open[partial.serial]

    def _expire(self, now: int, found: list[Match]) -> None:
        if self._maxspan is None:
            return
        # Both are in the order of time, so nothing is looked at that stays, but for one.
        horizon = now - self._maxspan
        while self._open:
            partial = next(iter(self._open.values()))
            if partial.start >= horizon:
                break
            self._forget(partial)
            if partial.stage == self._last:
                found.append(_match(partial))
        while self._seen:
            key, (latest, _) = next(iter(self._seen.items()))
            if latest >= horizon:
                break
            del self._seen[key]

    def _forget(self, partial: _Partial) -> None:
        del self._open[partial.serial]
        if partial.stage < self._last:
            del self._waiting[partial.stage][partial.key]
            return
        closing = self._closing[partial.key]
        del closing[partial.serial]
        if not closing:
            del self._closing[partial.key]

    def snapshot(self) -> State:
        """Return the state as JSON; an event that several partial matches hold is in it once."""
        events: list[Event] = []
        numbers: dict[int, int] = {}
        for partial in self._open.values():
            for event in partial.events:
                if numbers.setdefault(id(event), len(events)) == len(events):
                    events.append(event)
        return state_of(
            self._query,
            clock=self._clock.snapshot(),
            dropped=self.dropped,
            serial=self._serial,
            events=events,
            open=[
                [
                    partial.serial,
                    list(partial.key),
                    list(partial.values),
                    [numbers[id(event)] for event in partial.events],
                    partial.start,
                    partial.time,
                    partial.before,
                    partial.stage,
                    partial.unwanted,
                    partial.spoilt,
                ]
                for partial in self._open.values()
            ],
            seen=[[list(key), *times] for key, times in self._seen.items()],
        )

    def restore(self, state: State) -> None:
        """Go on from a snapshot. Raises ValueError if it is another statement's."""
        check_owner(state, self._query)
        self._clear()
        self._clock.restore(state["clock"])
        for condition in self._plan.conditions:
            condition.keys.cut = 0
        self._dropped = state["dropped"]
        self._serial = state["serial"]
        for serial, key, values, numbers, *rest in state["open"]:
            events = [state["events"][number] for number in numbers]
            partial = _Partial(serial, tuple(key), tuple(values), events, *rest)
            self._open[serial] = partial
            if partial.stage < self._last:
                self._waiting[partial.stage][partial.key] = partial
            else:
                self._closing.setdefault(partial.key, OrderedDict())[serial] = partial
        for key, *times in state["seen"]:
            self._seen[tuple(key)] = (times[0], times[1])
