"""The daemon's health as figures for Prometheus: at an address of this machine, or in a file.

Names follow https://prometheus.io/docs/practices/naming/. prometheus-client is imported when a
`Metrics` is made and not before: a daemon without metrics does not pay for it.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditrule.alerts.model import printable
from auditrule.daemon.files import replace_file
from auditrule.daemon.scraping import MetricsServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.core import Metric

    from auditrule.daemon.health import Health

# Names without their prefix, and the health's fields they tell.
_COUNTERS = (
    ("records", "records", "Lines of the log that are audit records."),
    ("unparsed_lines", "unparsed", "Lines of the log that are no records."),
    ("overlong_lines", "overlong", "Lines that were longer than [log] max_line and skipped."),
    ("events", "events", "Audit events that tell of processes."),
    ("truncated_events", "truncated", "Events that rules looked at and that lack arguments."),
    ("execs", "execs", "Programs that started."),
    ("lost_events", "lost_events", "Events that were lost before they reached the log."),
    ("log_gaps", "gaps", "Places where the log was gone before it could be read."),
    ("log_rotations", "rotations", "Rotations of the log that were followed."),
    ("log_truncations", "truncations_of_log", "Truncations of the log that were followed."),
    ("process_evictions", "evictions", "Processes forgotten for want of room."),
    ("reloads", "reloads", "Times that settings and rules were loaded anew."),
    ("failed_reloads", "failed_reloads", "Times that they could not be."),
    ("sink_errors", "sink_errors", "Failed attempts to write an alert."),
    ("checkpoint_errors", "checkpoint_errors", "Failed attempts to write a checkpoint."),
)
# The same, and the label that tells them apart.
_COUNTERS_BY = (
    ("alerts", "alerts_by_rule", "rule", "Alerts, by the rule's id."),
    ("rule_failures", "rule_failures", "rule", "Events that made a rule fail, by the rule's id."),
    (
        "dropped_sequences",
        "dropped_sequences",
        "rule",
        "Open sequences given up, by the rule's id.",
    ),
    ("audit_reports", "audit_reports", "kind", "What auditd and the kernel say of themselves."),
)
_GAUGES = (
    ("rules", "rules", "Rules that run."),
    ("broken_rules", "broken_rules", "Rule files that do not run: broken or missing."),
    ("lag_bytes", "lag_bytes", "Bytes of the log that are written and not read yet."),
    ("lag_seconds", "lag_seconds", "How far reading is behind the log."),
    ("pending_events", "pending", "Events that wait for records."),
    ("processes", "processes", "Processes that the process table knows."),
    ("open_sequences", "open_sequences", "Sequences that have begun."),
)
_TROUBLES = (
    ("log_problem", "log_problem", "1 while the log cannot be read."),
    ("sink_failing", "sink_failing", "1 while alerts cannot be written."),
    ("checkpoint_failing", "checkpoint_failing", "1 while checkpoints cannot be written."),
    ("reload_failing", "last_reload_error", "1 after a reload that failed."),
)


class Metrics:
    """Tells what `read` returns: the newest Health, at once, from any thread.

    What goes wrong in telling is logged and harms nobody.
    """

    def __init__(self, read: Callable[[], Health]) -> None:
        from prometheus_client import CollectorRegistry

        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(read))

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def write_textfile(self, path: Path) -> None:
        """Put all figures into a file for node_exporter, mode 0644, atomically. Raises OSError."""
        replace_file(path, self.text(), 0o644)

    def serve(self, listen: str) -> MetricsServer:
        """Answer GET /metrics at an address such as 127.0.0.1:9273 or [::1]:9273 until closed.

        Raises ValueError where that is not an address of the loopback interface, and OSError
        where it cannot be had.
        """
        return MetricsServer(listen, self.text)


class _Collector:
    """Turns a Health into metric families at each scrape."""

    def __init__(self, read: Callable[[], Health]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        health = self._read()
        yield from _about(health)
        for name, field, meaning in _COUNTERS:
            yield _counter(name, meaning, getattr(health, field))
        for name, field, label, meaning in _COUNTERS_BY:
            yield _counter_by(label, name, meaning, getattr(health, field))
        for name, field, meaning in _GAUGES:
            yield _gauge(name, meaning, getattr(health, field))
        for name, field, meaning in _TROUBLES:
            yield _gauge(name, meaning, getattr(health, field) is not None)
        yield from _times(health)


def _about(health: Health) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    build = GaugeMetricFamily(
        "auditrule_build_info", "What runs; always 1.", labels=["version", "python"]
    )
    build.add_metric([health.version, platform.python_version()], 1)
    yield build
    source = GaugeMetricFamily(
        "auditrule_input_info",
        "What is followed, and what tells of changes; always 1.",
        labels=["input", "means"],
    )
    source.add_metric([printable(health.input), health.means], 1)
    yield source


def _times(health: Health) -> Iterable[Metric]:
    now = datetime.now(UTC)
    yield _gauge("start_time_seconds", "When the daemon started.", health.started.timestamp())
    yield _gauge(
        "last_update_time_seconds",
        "When the daemon last told of itself; old if it hangs.",
        health.updated.timestamp(),
    )
    age = health.checkpoint_age(now)
    if age is not None:
        yield _gauge(
            "checkpoint_age_seconds",
            "How long ago the last checkpoint was; grows while nothing happens.",
            age,
        )
    if health.last_alert is not None:
        yield _gauge(
            "last_alert_time_seconds", "When the last alert was.", health.last_alert.timestamp()
        )


def _counter(name: str, meaning: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(f"auditrule_{name}", meaning, value=value)


def _counter_by(label: str, name: str, meaning: str, counts: Mapping[str, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"auditrule_{name}", meaning, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([printable(value)], count)
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"auditrule_{name}", meaning, value=value)
