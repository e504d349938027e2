"""The daemon's signs of life: to systemd, to `auditrule status`, to Prometheus."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditrule import __version__
from auditrule.daemon import notify
from auditrule.daemon.health import Health, HealthPosition, write_health
from auditrule.daemon.logs import tell_suppressed
from auditrule.source.errors import plain_reason
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from auditrule.alerts.retrying import RetryingSink
    from auditrule.config import MetricSettings
    from auditrule.daemon.loop import Daemon
    from auditrule.daemon.memory import Memory
    from auditrule.daemon.metrics import Metrics
    from auditrule.daemon.reload import Reloader
    from auditrule.daemon.scraping import MetricsServer

_log = logging.getLogger(__name__)

# How often health is written; systemd's watchdog is told as often as it asks for.
_INTERVAL = 5.0


class Vitals:
    """Tells how a daemon is doing, as long as it calls `tick`, which costs nothing most times."""

    def __init__(
        self,
        daemon: Daemon,
        *,
        source: str,
        sink: RetryingSink,
        memory: Memory | None,
        reloader: Reloader,
        metrics: MetricSettings,
    ) -> None:
        self._daemon = daemon
        self._source = source
        self._sink = sink
        self._memory = memory
        self._reloader = reloader
        self._listen = metrics.listen
        self._textfile = metrics.textfile
        self._started = datetime.now(UTC)
        self._watchdog = notify.watchdog_interval()
        self._next_watchdog = self._next_health = 0.0
        self._failing: set[Path] = set()
        self._problem: str | None = None
        self._is_missing = False
        self._metrics: Metrics | None = None
        self._server: MetricsServer | None = None
        self._latest: Health | None = None

    def __enter__(self) -> Self:
        if self._listen is not None or self._textfile is not None:
            # Not imported unless it is wanted: it takes a tenth of a second, and memory.
            from auditrule.daemon.metrics import Metrics

            self._metrics = Metrics(self._health)
            if self._listen is not None:
                try:
                    self._server = self._metrics.serve(self._listen)
                except OSError as error:
                    _log.error("[metrics] listen = %r: %s", self._listen, plain_reason(error))
        return self

    def __exit__(self, *_: object) -> None:
        notify.stopping()
        if self._server is not None:
            self._server.close()
        self._write()

    def ready(self) -> None:
        """Tell that the daemon follows its input."""
        self._write()
        # Soon after the first look at it there is more to tell.
        self._next_health = time.monotonic() + 1
        notify.ready()

    def tick(self) -> None:
        """Tell what is due."""
        now = time.monotonic()
        if self._watchdog is not None and now >= self._next_watchdog:
            self._next_watchdog = now + self._watchdog
            notify.watchdog()
        if now >= self._next_health:
            self._write()

    def _write(self) -> None:
        self._next_health = time.monotonic() + _INTERVAL
        tell_suppressed()
        health = self._latest = self._measure()
        self._say_problem(health.log_problem)
        notify.status(_summary(health))
        if self._memory is not None:
            folder = self._memory.folder.path
            self._try(folder, lambda: write_health(folder, health))
        metrics, textfile = self._metrics, self._textfile
        if metrics is not None and textfile is not None:
            self._try(textfile, lambda: metrics.write_textfile(textfile))

    def _missing(self) -> str | None:
        """Say that there is no log, if that has been so at the last look too: rotation is quick."""
        was_missing, self._is_missing = self._is_missing, not os.path.lexists(self._source)
        return "there is no such file" if was_missing and self._is_missing else None

    def _say_problem(self, problem: str | None) -> None:
        """Say once that the log cannot be read, and that it can again."""
        if problem == self._problem:
            return
        if problem is None:
            _log.warning("%s can be read again", self._source)
        else:
            _log.error("%s: %s; waiting until it can be read", self._source, problem)
        self._problem = problem

    def _try(self, path: Path, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if path not in self._failing:
                _log.warning("%s: cannot be written: %s", path, plain_reason(error))
            self._failing.add(path)
        else:
            self._failing.discard(path)

    def _health(self) -> Health:
        """Return the latest health; asked by another thread."""
        return self._latest or self._measure()

    def _measure(self) -> Health:
        daemon, sink, memory = self._daemon, self._sink, self._memory
        reader, detector, counts = daemon.reader, daemon.detector, daemon.counts
        tail = daemon.source.status() if isinstance(daemon.source, Tail) else None
        position = None if tail is None else tail.position
        lag = 0 if tail is None else tail.lag
        now = datetime.now(UTC)
        last, serials = reader.last, reader.serials
        return Health(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            updated=now,
            interval=_INTERVAL,
            input=self._source,
            means="stream" if tail is None else tail.means,
            position=None
            if position is None or not position.file.inode
            else HealthPosition(path=position.path, offset=position.offset),
            lag_bytes=lag,
            lag_seconds=max(0.0, now.timestamp() - last.time_ms / 1000) if lag and last else 0.0,
            log_problem=None if tail is None else tail.problem or self._missing(),
            rotations=0 if tail is None else tail.rotations,
            truncations_of_log=0 if tail is None else tail.truncations,
            gaps=daemon.source.gaps,
            records=counts.records,
            unparsed=counts.unparsed,
            overlong=daemon.source.counts.overlong,
            events=counts.events,
            truncated=counts.truncated,
            execs=counts.execs,
            lost_events=0 if serials is None else serials.lost,
            audit_reports={}
            if serials is None
            else {kind: n for kind, n in serials.reports.items() if n},
            rules=len(detector.rules),
            broken_rules=self._reloader.broken_rules,
            rule_failures=dict(detector.failures),
            reloads=daemon.reloads,
            failed_reloads=daemon.failed_reloads,
            last_reload_error=self._reloader.last_error,
            needs_restart=self._reloader.needs_restart,
            alerts=counts.alerts,
            alerts_by_rule=dict(daemon.outlet.by_rule),
            last_alert=daemon.outlet.last_time,
            last_alert_rule=daemon.outlet.last_rule,
            sink_errors=sink.errors,
            sink_failing=sink.reason if sink.failing_since is not None else None,
            pending=reader.pending,
            processes=len(reader.mapper.processes.table),
            evictions=reader.mapper.processes.table.evictions,
            open_sequences=detector.open,
            dropped_sequences=dict(detector.dropped),
            last_checkpoint=None
            if memory is None or memory.kept_at is None
            else datetime.fromtimestamp(memory.kept_at, UTC),
            checkpoint_errors=0 if memory is None else memory.errors,
            checkpoint_failing=None if memory is None else memory.failing,
        )


def _summary(health: Health) -> str:
    return f"{health.alerts} alerts, {health.execs} execs, {health.lag_bytes} bytes behind"
