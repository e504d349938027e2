"""Runs of the kernel's serials, and the holes in them.

One host's log is one run: serials that go up by one, a little out of order. It is more than one
where the host has booted, where files are read out of order, and where a damaged or forged record
holds a number from nowhere; a run that was left is remembered for a while, to come back to.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditrule.audit.record import EventId

OVERDUE_MS = 10_000
# Serials by which an event is at most out of order. In practice it is one or two; the queue that
# events wait in, and are never reordered in, is rarely longer than this.
REORDERED = 100_000
# No remembered run goes on after this; its serials are then another boot's.
_RESUMED_MS = 86_400_000
_MAX_RUNS = 4
# Events after which a run's clock may go back, when none of them has been near it.
_CLOCK_EVENTS = 1000
_first = attrgetter("first")


@dataclass(slots=True)
class Hole:
    """Serials, `first` to `last`, that have not come between two events that have.

    `noted_ms` is when it was seen, by the log's time; `told` is set once the loss was reported.
    """

    first: int
    last: int
    noted_ms: int
    before: EventId
    after: EventId
    told: bool = False

    @property
    def count(self) -> int:
        """How many serials are missing."""
        return self.last - self.first + 1

    def holds(self, serial: int) -> bool:
        """Tell whether `serial` is one of those that are missing."""
        return self.first <= serial <= self.last

    def fill(self, event_id: EventId) -> Hole | None:
        """Take an event of the hole; return what is a hole of its own behind it, if anything."""
        serial = event_id.serial
        rest = None
        if serial == self.first:
            self.first, self.before = serial + 1, event_id
        elif serial == self.last:
            self.last, self.after = serial - 1, event_id
        else:
            rest = Hole(serial + 1, self.last, self.noted_ms, event_id, self.after, self.told)
            self.last, self.after = serial - 1, event_id
        return rest


@dataclass(slots=True)
class Run:
    """Serials that go up, from one boot of one host.

    `next` is the serial expected, `newest` the event before it, `holes` what is missing below, in
    order and not overdue yet. The clock is the log's own: the later of times that two events in
    succession agree on, so that one wrong stamp does not turn it.
    """

    next: int
    newest: EventId
    clock_ms: int
    previous_ms: int
    holes: list[Hole] = field(default_factory=list)
    recent_ms: int = 0
    events: int = 0

    @classmethod
    def beginning(cls, event_id: EventId) -> Run:
        """Return a run whose first event is `event_id`."""
        return cls(event_id.serial + 1, event_id, event_id.time_ms, event_id.time_ms)

    def advance(self, event_id: EventId) -> None:
        """Take an event whose serial is the next, or ahead of it."""
        serial, now = event_id.serial, event_id.seconds * 1000 + event_id.millis
        sure = min(now, self.previous_ms)
        self.previous_ms = now
        if sure > self.clock_ms:
            self.clock_ms = sure
        if sure > self.recent_ms:
            self.recent_ms = sure
        self.events += 1
        if self.events >= _CLOCK_EVENTS:
            self._correct_clock()
        if serial != self.next:
            noted_ms = max(now, self.clock_ms)
            self.holes.append(Hole(self.next, serial - 1, noted_ms, self.newest, event_id))
        self.next = serial + 1
        self.newest = event_id

    def fill(self, event_id: EventId) -> bool:
        """Take an event of a serial below the next; tell whether it was missing."""
        at = bisect_right(self.holes, event_id.serial, key=_first) - 1
        if at < 0 or not self.holes[at].holds(event_id.serial):
            return False
        hole = self.holes[at]
        rest = hole.fill(event_id)
        if rest is not None:
            self.holes.insert(at + 1, rest)
        elif not hole.count:
            del self.holes[at]
        return True

    def overdue(self, limit: int) -> list[Hole]:
        """Take out the holes that will not be filled any more, and the oldest over `limit`."""
        holes = self.holes
        number = 0
        for hole in holes:
            if (
                self.clock_ms - hole.noted_ms <= OVERDUE_MS
                and self.next - hole.last <= REORDERED
                and len(holes) - number <= limit
            ):
                break
            number += 1
        gone = holes[:number]
        if number:
            del holes[:number]
        return gone

    def take_all(self) -> list[Hole]:
        """Take out all holes: nothing more will come."""
        gone, self.holes = self.holes, []
        return gone

    def may_go_on_with(self, event_id: EventId) -> bool:
        """Tell whether `event_id` is of this run, which was left before."""
        return (
            -REORDERED <= event_id.serial - self.next <= REORDERED
            and event_id.time_ms - self.clock_ms <= _RESUMED_MS
        )

    def _correct_clock(self) -> None:
        """Let the clock go back to what the latest events say, and no hole be of the future."""
        self.clock_ms = min(self.clock_ms, self.recent_ms)
        for hole in self.holes:
            hole.noted_ms = min(hole.noted_ms, self.clock_ms)
        self.recent_ms = 0
        self.events = 0


class NodeSerials:
    """What is known of one host's serials: the run that goes on, and those that were left.

    `anew` says that a boot or a start of auditd was announced: a serial below those before then
    begins a new run. `auditd_runs` is set from auditd's start to its end.
    """

    __slots__ = ("anew", "auditd_runs", "counted", "left", "run")

    def __init__(self) -> None:
        self.run: Run | None = None
        self.left: list[Run] = []
        # Holes that count as lost, the latest ones, should their events come after all.
        self.counted: list[Hole] = []
        self.anew = False
        self.auditd_runs = False

    def take(
        self, event_id: EventId, limit: int, lost: Callable[[list[Hole]], None]
    ) -> tuple[Hole, Hole | None] | None:
        """Take the event of a record; hand holes that are overdue to `lost`.

        At most `limit` holes wait. Returns a counted hole that the event has filled after all, and
        what is behind it.
        """
        run = self.run
        serial = event_id.serial
        if run is None:
            self.run = Run.beginning(event_id)
            self.anew = False
            return None
        if self.anew:
            self.anew = False
            if serial < run.next:
                lost(run.take_all())
                run = self._begin(run, event_id)
                return None
        ahead = serial - run.next
        if not -REORDERED <= ahead <= REORDERED:
            run = self._elsewhere(run, event_id)
            ahead = serial - run.next
        if ahead < 0:
            if run.holes and run.fill(event_id):
                return None
            return self._fill_counted(event_id) if self.counted else None
        run.advance(event_id)
        if run.holes and (gone := run.overdue(limit)):
            lost(gone)
        return None

    def _elsewhere(self, run: Run, event_id: EventId) -> Run:
        """Return the run that an event far from the present `run` belongs to, now the present."""
        for other in reversed(self.left):
            if other.may_go_on_with(event_id):
                self.left.remove(other)
                self._leave(run)
                _settle(run, other)
                self.run = other
                return other
        return self._begin(run, event_id)

    def _begin(self, run: Run, event_id: EventId) -> Run:
        new = Run.beginning(event_id)
        if event_id.serial > run.next:
            new.holes = run.take_all()
            new.holes.append(
                Hole(run.next, event_id.serial - 1, new.clock_ms, run.newest, event_id)
            )
        self._leave(run)
        self.run = new
        return new

    def _leave(self, run: Run) -> None:
        self.left.append(run)
        del self.left[:-_MAX_RUNS]

    def _fill_counted(self, event_id: EventId) -> tuple[Hole, Hole | None] | None:
        serial, now = event_id.serial, event_id.time_ms
        for hole in reversed(self.counted):
            # Serials repeat at each boot; times tell which of them is meant.
            if hole.holds(serial) and now <= hole.after.time_ms + OVERDUE_MS:
                rest = hole.fill(event_id)
                if rest is not None:
                    self.counted.append(rest)
                elif not hole.count:
                    self.counted.remove(hole)
                return hole, rest
        return None


def _settle(run: Run, other: Run) -> None:
    """Put holes right as `run` is left for `other`: a damaged number had parted one run in two."""
    if run.next > other.next:
        # What was missing before the jump is `other`'s; the jump itself remains, should it be true.
        other.holes[:0] = [hole for hole in run.holes if hole.last < other.next]
        run.holes = [hole for hole in run.holes if hole.last >= other.next]
        return
    for hole in other.holes:
        if hole.first < run.next <= hole.last:
            hole.first, hole.before = run.next, run.newest
    kept = [hole for hole in other.holes if hole.first >= run.next]
    other.holes = [*run.take_all(), *kept]
