"""``auditrule status``: whether all is well with the daemon, in about ten lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from auditrule.alerts.model import printable
from auditrule.config import SettingsError, load_settings
from auditrule.daemon.health import (
    Finding,
    Health,
    HealthError,
    is_running,
    read_health,
    show_duration,
    verdict,
)

if TYPE_CHECKING:
    from pathlib import Path

_MOST_RULES = 3
_UNITS = ("B", "kB", "MB", "GB", "TB")


def show_status(config: Path | None, *, state: Path | None, as_json: bool) -> bool:
    """Print how the daemon of a state folder is doing; tell whether all is well."""
    now = datetime.now(UTC)
    health: Health | None = None
    alive = False
    try:
        folder = state or load_settings(config).state.path
        health = read_health(folder)
        alive = is_running(folder)
        findings = verdict(health, now, alive)
    except (HealthError, SettingsError) as error:
        findings = [Finding("problem", str(error))]
    well = all(finding.level != "problem" for finding in findings)
    if as_json:
        typer.echo(_as_json(health, findings, alive=alive, well=well))
    else:
        typer.echo("\n".join(printable(line) for line in _as_text(health, findings, now, alive)))
    return well


def _as_json(health: Health | None, findings: list[Finding], *, alive: bool, well: bool) -> str:
    return json.dumps(
        {
            "well": well,
            "running": alive,
            "findings": [{"level": each.level, "text": each.text} for each in findings],
            "health": None if health is None else health.model_dump(mode="json"),
        },
        indent=1,
    )


def _as_text(
    health: Health | None, findings: list[Finding], now: datetime, alive: bool
) -> list[str]:
    lines = []
    if health is not None:
        since = show_duration((now - health.started).total_seconds())
        state = f"running for {since}, pid {health.pid}" if alive else "not running"
        lines.append(f"auditrule {health.version}: {state}")
        lines += [f"  {label:<11} {text}" for label, text in _rows(health, now)]
    return lines + [f"{finding.level}: {finding.text}" for finding in findings]


def _rows(health: Health, now: datetime) -> list[tuple[str, str]]:
    age = health.checkpoint_age(now)
    return [
        ("log", f"{_input(health)}, {_lag(health)}"),
        (
            "read",
            f"{_number(health.records, 'record')}, {_number(health.events, 'process event')}, "
            f"{_number(health.execs, 'exec')}, as of "
            f"{show_duration((now - health.updated).total_seconds())} ago",
        ),
        (
            "passed over",
            f"{health.unparsed:,} unparsed and {health.overlong:,} overlong lines; "
            f"{health.truncated:,} truncated events among those looked at",
        ),
        (
            "lost",
            f"{_number(health.lost_events, 'event')}; {_number(health.gaps, 'gap')} in the log, at "
            f"{_number(health.rotations, 'rotation')} and "
            f"{_number(health.truncations_of_log, 'truncation')}",
        ),
        (
            "rules",
            f"{health.rules:,}; {_number(health.reloads, 'reload')}, "
            f"{health.failed_reloads:,} failed",
        ),
        ("alerts", _alerts(health, now)),
        (
            "memory",
            f"{health.processes:,} processes ({health.evictions:,} evicted), {health.pending:,} "
            f"pending events, {health.open_sequences:,} open sequences",
        ),
        ("checkpoint", "none yet" if age is None else f"{show_duration(age)} ago"),
    ]


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _input(health: Health) -> str:
    return "standard input" if health.input == "-" else f"{health.input} ({health.means})"


def _lag(health: Health) -> str:
    if health.lag_bytes == 0 and health.lag_seconds == 0:
        return "all read"
    size, unit = float(health.lag_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    shown = f"{size:.1f}" if unit else f"{size:.0f}"
    return f"{shown} {_UNITS[unit]} and {show_duration(health.lag_seconds)} behind"


def _alerts(health: Health, now: datetime) -> str:
    if not health.alerts:
        return "none"
    text = f"{health.alerts:,}"
    if health.last_alert is not None:
        text += f", the last {show_duration((now - health.last_alert).total_seconds())} ago"
        if health.last_alert_rule is not None:
            text += f" ({health.last_alert_rule})"
    by_rule = sorted(health.alerts_by_rule.items(), key=lambda item: (-item[1], item[0]))
    if len(by_rule) > 1:
        most = ", ".join(f"{rule} {count:,}" for rule, count in by_rule[:_MOST_RULES])
        text += f"; most by {most}"
    return text
