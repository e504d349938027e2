"""Alerts on their way out: each once, whatever was read twice."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditrule.eql.values import epoch_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.alerts.model import Alert
    from auditrule.alerts.problem import Problem
    from auditrule.alerts.sink import Sink
    from auditrule.audit.record import EventId

_log = logging.getLogger(__name__)

# Events come out in order of completion: as far apart as this in time, they may be in any order.
_DISORDER_MS = 60_000


class Outlet:
    """Hands alerts to a sink, but those that are there already.

    `written` are the ids of what the sink has had from an earlier run and may be made again, since
    it is behind the place where this run begins; they leave the set as they come. `known` is the
    event up to which an earlier run is known to have come: an alert is old, and not handed on, if
    its event has both a lesser serial and a time that is more than a minute earlier. Serials begin
    anew at a boot, clocks are set back, and what is long under way comes late; not all of it at
    once. `last` is the id of the last alert that the sink has had. `by_rule` counts what this run
    has handed on; `last_rule` and `last_time` tell of the last one.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        written: Iterable[str] = (),
        known: EventId | None = None,
        last: str | None = None,
    ) -> None:
        self._sink = sink
        self.written = set(written)
        self.known = known
        self.last = last
        self.by_rule: Counter[str] = Counter()
        self.last_rule: str | None = None
        self.last_time: datetime | None = None

    def is_old(self, time_ms: int, serial: int, *, disorder_ms: int = 0) -> bool:
        """Tell whether an event was seen by an earlier run, as its time and serial tell."""
        known = self.known
        if known is None:
            return False
        return serial < known.serial and time_ms <= known.time_ms - disorder_ms

    def alert(self, alert: Alert) -> bool:
        """Hand on an alert of the event at hand; tell whether it was new.

        Raises OSError or SinkStoppedError where the sink does.
        """
        if alert.id in self.written:
            self.written.remove(alert.id)
            return False
        time_ms = epoch_ms(alert.timestamp) or 0
        if self.is_old(time_ms, alert.event.sequence, disorder_ms=_DISORDER_MS):
            return False
        self._sink.write(alert)
        self.last = alert.id
        self.by_rule[alert.rule.id] += 1
        self.last_rule, self.last_time = alert.rule.name, datetime.now(UTC)
        _log.info("alert %s: %s", alert.id, alert.message)
        return True

    def problem(self, problem: Problem) -> None:
        """Hand on the report of a fault of the pipeline itself. Raises as `alert` does."""
        if problem.id in self.written:
            self.written.remove(problem.id)
            return
        self._sink.write(problem)
        _log.warning("%s", problem.message)

    def caught_up(self) -> None:
        """Take notice that all of the log was read, and no event of it waits for records.

        What an earlier run has written cannot be made again after that.
        """
        self.written.clear()
        self.known = None

    def tend(self) -> None:
        """Let the sink do what time alone makes due."""
        self._sink.tend()

    def sync(self) -> None:
        """Bring what went out to the disk. Raises as `alert` does."""
        self._sink.sync()
