"""Alerts on their way out: each once, whatever was read twice."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.alerts.model import Alert
    from auditrule.alerts.problem import Problem
    from auditrule.alerts.sink import Sink

_log = logging.getLogger(__name__)


class Outlet:
    """Hands alerts to a sink, but those that are there already.

    `written` are the ids of what the sink has had from an earlier run and may be made again, since
    it is behind the place where this run begins; they leave the set as they come. `awaited` is the
    id of the event up to which the earlier run is known to have come: until it has passed, alerts
    are not handed on at all. `last` is the id of the last alert that the sink has had. `by_rule`
    counts what this run has handed on; `last_rule` and `last_time` tell of the last one.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        written: Iterable[str] = (),
        awaited: str | None = None,
        last: str | None = None,
    ) -> None:
        self._sink = sink
        self.written = set(written)
        self._awaited = awaited
        self.last = last
        self.by_rule: Counter[str] = Counter()
        self.last_rule: str | None = None
        self.last_time: datetime | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether alerts are held back until the awaited event has passed."""
        return self._awaited is not None

    def alert(self, alert: Alert) -> bool:
        """Hand on an alert of the event at hand; tell whether it was new.

        Raises OSError or SinkStoppedError where the sink does.
        """
        if self._awaited is not None and alert.event.id != self._awaited:
            return False
        if alert.id in self.written:
            self.written.remove(alert.id)
            return False
        self._sink.write(alert)
        self.last = alert.id
        self.by_rule[alert.rule.id] += 1
        self.last_rule, self.last_time = alert.rule.name, datetime.now(UTC)
        _log.info("alert %s: %s", alert.id, alert.message)
        return True

    def problem(self, problem: Problem) -> None:
        """Hand on the report of a fault of the pipeline itself. Raises as `alert` does."""
        if self._awaited is not None:
            return
        if problem.id in self.written:
            self.written.remove(problem.id)
            return
        self._sink.write(problem)
        _log.warning("%s", problem.message)

    def passed(self, event_id: str | None) -> None:
        """Take notice that an event is done with."""
        if self._awaited is not None and event_id == self._awaited:
            self._awaited = None

    def caught_up(self) -> None:
        """Take notice that all of the log was read, and no event of it waits for records.

        What an earlier run has written cannot be made again after that.
        """
        if self._awaited is None:
            self.written.clear()

    def tend(self) -> None:
        """Let the sink do what time alone makes due."""
        self._sink.tend()

    def sync(self) -> None:
        """Bring what went out to the disk. Raises as `alert` does."""
        self._sink.sync()
