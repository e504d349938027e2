"""The daemon: follows a live log and writes alerts as they come."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from auditrule.alerts.problem import gap, lost
from auditrule.audit.grammar import RecordError
from auditrule.audit.record import Record
from auditrule.daemon.memory import Recollection
from auditrule.pipeline import detect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditrule.audit.record import EventId
    from auditrule.audit.serials import Loss
    from auditrule.daemon.control import Control
    from auditrule.daemon.memory import Memory
    from auditrule.daemon.outlet import Outlet
    from auditrule.reader import Counts, DocumentReader, Fields
    from auditrule.rules.detector import Detector
    from auditrule.source.waiting import LineSource

_log = logging.getLogger(__name__)

# The longest wait for lines when nothing is pending. A source looks for what its notifications
# may have missed at each return, so this is the most that a lost notification costs.
_IDLE_SECONDS = 2.0
_LOSSES_SECONDS = 60.0
_MOST_GAPS = 100
_UNREADABLE_SECONDS = 60.0
# A plugin's input is not there any more for the next run, but its end must not take long either.
_DRAIN_SECONDS = 10.0


class Daemon:
    """Reads lines as they are written, until the source ends or `control` says so.

    An alert is handed to the outlet before the next lines are read. Events whose end the log does
    not tell are given up when the log has been quiet for `max_age` seconds.

    With a `memory`, all that is known is kept now and then, and at the end, events that wait for
    records included: the next run goes on as if there had been none. Without one, all that is
    written already is read on the way out, and every pending event is finished.

    `reload` gives the detector to go on with, or None to keep the one there is.
    """

    def __init__(
        self,
        *,
        source: LineSource,
        reader: DocumentReader,
        detector: Detector,
        outlet: Outlet,
        control: Control,
        max_age: float,
        memory: Memory | None = None,
        reload: Callable[[], Detector | None] = lambda: None,
    ) -> None:
        self.source = source
        self.reader = reader
        reader.expect(detector.prospects)
        self.detector = detector
        self.outlet = outlet
        self._control = control
        self._max_age = max_age
        self._memory = memory
        self._reload = reload
        self._dirty = True
        self._quiet_since = time.monotonic()
        self._losses_due = 0.0
        self._told: deque[tuple[EventId, EventId]] = deque(maxlen=_MOST_GAPS)
        self._gaps = source.gaps if reader.last is not None or outlet.known is None else -1
        self.reloads = self.failed_reloads = 0
        control.wake = source.wake

    @property
    def counts(self) -> Counts:
        """What went through so far."""
        return self.reader.counts

    def start(self) -> None:
        """Keep the state before anything is read: an end before the next time loses nothing."""
        self._keep()

    def run(self) -> bool:
        """Run until the end; tell whether nothing was left undone that no later run will do.

        Raises OSError where the outlet cannot take an alert, and SinkStoppedError where the end was
        asked for while it could not.
        """
        while not self._control.stopping:
            if not self._step():
                return self._end(at_eof=True)
            self._control.alive()
        return self._end(at_eof=False)

    def _step(self) -> bool:
        """Read once; tell whether there may be more to read."""
        if self._control.reload_wanted:
            self._take_new_rules()
        lines = self.source.read(self._patience())
        if lines is None:
            return False
        if lines:
            self._take(lines)
        elif self.reader.pending and self._is_over():
            self._alert(self.reader.finish())
            self._dirty = True
        is_behind = self.outlet.written or self.outlet.known is not None
        if is_behind and not lines and not self.reader.pending and self.source.is_drained:
            self.outlet.caught_up()
        self._tell_losses()
        self.outlet.tend()
        if self._memory is not None and self._dirty and not self._memory.due_in():
            self._keep()
        return True

    def _is_over(self) -> bool:
        """Tell whether no more records come of the events that wait for some.

        What lies in a log that cannot be read just now may still be of them; not for ever.
        """
        quiet = time.monotonic() - self._quiet_since
        if quiet < self._max_age:
            return False
        return self.source.is_drained or quiet >= self._max_age + _UNREADABLE_SECONDS

    def _patience(self) -> float:
        """Return how long to wait for lines, given what else there is to do."""
        wait = _IDLE_SECONDS
        if self.reader.pending:
            until_over = self._quiet_since + self._max_age - time.monotonic()
            wait = until_over if until_over > 0 else min(_IDLE_SECONDS, self._max_age or 0.1)
        if self._memory is not None and self._dirty:
            wait = min(wait, self._memory.due_in())
        return wait

    def _take(self, lines: list[bytes]) -> None:
        is_behind_gap = self.source.gaps != self._gaps
        if is_behind_gap:
            self._gaps = self.source.gaps
            self._tell_gap(lines)
        self._alert(self.reader.read(lines))
        self._alert(self.reader.pass_time())
        self._quiet_since = time.monotonic()
        self._dirty = True
        if is_behind_gap:
            # Read again, it would be told with another beginning.
            self._keep()

    def _end(self, *, at_eof: bool) -> bool:
        is_stream = self.source.position is None
        if self._memory is None or is_stream:
            until = time.monotonic() + _DRAIN_SECONDS
            while not (is_stream and time.monotonic() > until) and (lines := self.source.read(0)):
                self._take(lines)
            self._alert(self.reader.finish())
            if at_eof and self.reader.serials is not None:
                self.reader.serials.finish()
            self._losses_due = 0.0
            self._tell_losses()
            self._dirty = True
        if self._memory is not None and self._dirty:
            return self._keep()
        self.outlet.sync()
        return True

    def _alert(self, documents: Iterable[Fields]) -> None:
        for alert in detect(documents, self.detector):
            self.reader.counts.alerts += self.outlet.alert(alert)

    def _tell_gap(self, lines: list[bytes]) -> None:
        """Tell that lines may be missing before these, unless the serials show that none is."""
        before, after = self.reader.last, _first_id(lines)
        if before is None:
            before = self.outlet.known
            # Of another boot, its serial tells nothing.
            if before is None or (after is not None and after.time_ms < before.time_ms):
                return  # All that is known to have been there is still to come.
        if after is not None and self.outlet.is_old(after.time_ms, after.serial):
            return
        if after is not None and before.node == after.node:
            missing = after.serial - before.serial - 1
            if missing in (-1, 0):
                return
        if after is not None:
            self._told.append((before, after))
        reason = "a file of the log was removed, or emptied, before it was read"
        self.outlet.problem(gap(self.reader.mapper.host, before, after, reason))

    def _tell_losses(self) -> None:
        """Tell of lost events, once a minute of each host: a rate limit may take every second."""
        now = time.monotonic()
        if now < self._losses_due or self.reader.serials is None:
            return
        by_host: dict[str | None, list[Loss]] = {}
        for loss in self.reader.serials.losses():
            by_host.setdefault(loss.before.node, []).append(loss)
        for losses in by_host.values():
            new = [loss for loss in losses if not self._is_told(loss)]
            if new:
                count = sum(loss.count for loss in new)
                ends = new[0].before, new[-1].after
                self.outlet.problem(lost(self.reader.mapper.host, count, *ends))
        if by_host:
            self._losses_due = now + _LOSSES_SECONDS
            self._keep()

    def _is_told(self, loss: Loss) -> bool:
        """Tell whether an earlier run has seen a loss, or it is the hole that a gap leaves."""
        before, after = loss.before, loss.after
        if self.outlet.is_old(after.time_ms, after.serial):
            return True
        return any(
            first.node == before.node
            and first.serial <= before.serial
            and after.serial <= last.serial
            for first, last in self._told
        )

    def _take_new_rules(self) -> None:
        self._control.reload_wanted = False
        detector = self._reload()
        if detector is None:
            self.failed_reloads += 1
            return
        for rule_id in detector.restore(self.detector.snapshot()):
            _log.warning("rule %s is gone or another now; its open sequences are dropped", rule_id)
        self.detector = detector
        self.reader.expect(detector.prospects)
        self.reloads += 1
        self._dirty = True

    def _keep(self) -> bool:
        if self._memory is None:
            return True
        self._dirty = False
        # What the checkpoint passes over must be on the disk before it is.
        self.outlet.sync()
        kept = self._memory.keep(self._recollection)
        self._dirty = not kept
        return kept

    def _recollection(self) -> Recollection:
        return Recollection(
            self.source.position,
            self.reader.snapshot(),
            self.detector.snapshot(),
            self.outlet.last,
            frozenset(self.outlet.written),
            self.outlet.known,
        )


def _first_id(lines: Iterable[bytes]) -> EventId | None:
    for line in lines:
        try:
            return Record.parse(line).event_id
        except RecordError:
            continue
    return None
