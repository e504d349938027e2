"""Alerts as text for a person at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from auditrule.alerts.model import printable, show_command
from auditrule.ecs.document import format_time

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert, ThreatEntries
    from auditrule.ecs.document import Account, ParentProcess

_STYLES = {"low": "yellow", "medium": "dark_orange", "high": "red", "critical": "bold red"}
_SEVERITIES = {21: "low", 47: "medium", 73: "high", 99: "critical"}


def show_alert(alert: Alert) -> Text:
    """Return `alert` as a block of lines: the rule, then who, what, where, from whom."""
    severity = _SEVERITIES.get(alert.event.severity or 0, "")
    block = Text()
    block.append(f"{format_time(alert.timestamp)}  ", "bold")
    block.append(severity, _STYLES.get(severity, ""))
    block.append(f"  {printable(alert.rule.name)}", "bold")
    if alert.rule.category is not None:
        block.append(f"  ({printable(alert.rule.category)})", "dim")
    block.append("\n")
    for label, value in _rows(alert):
        block.append(f"  {label:<9} ", "dim")
        block.append(f"{value}\n")
    return block


def _rows(alert: Alert) -> list[tuple[str, str]]:
    process, host = alert.process, alert.host.name
    rows = [("command", command) for command in _commands(alert)]
    rows.append(("user", _account(alert.user)))
    login = alert.auditd.user.audit if alert.auditd.user is not None else None
    if login is not None and (alert.user is None or login.id != alert.user.id):
        rows.append(("login", _account(login)))
    rows.append(("process", f"{process.executable or process.name or '?'} (pid {process.pid})"))
    if process.parent is not None:
        rows.append(("parent", _parent(process.parent)))
    if process.working_directory:
        rows.append(("directory", process.working_directory))
    if host:
        rows.append(("host", host))
    if alert.threat is not None:
        rows.append(("ATT&CK", _threat(alert)))
    rows.append(("event", f"serial {alert.event.sequence}, alert {alert.id}"))
    return [(label, printable(value)) for label, value in rows]


def _commands(alert: Alert) -> list[str]:
    """Return the command, or those of a sequence, each with its time."""
    if alert.auditd.sequence is None:
        return [show_command(alert.process)]
    return [
        f"{format_time(event.timestamp)}  {show_command(event.process)} (pid {event.process.pid})"
        for event in alert.auditd.sequence.events
    ]


def _account(account: Account | None) -> str:
    if account is None:
        return "unknown"
    return f"{account.name} (uid {account.id})" if account.name else f"uid {account.id}"


def _parent(parent: ParentProcess) -> str:
    if parent.executable is None and not parent.args:
        return f"unknown (pid {parent.pid})"
    shown = f"{parent.executable or parent.name} (pid {parent.pid})"
    return f"{shown}: {show_command(parent)}" if parent.args else shown


def _threat(alert: Alert) -> str:
    threat = alert.threat
    if threat is None:
        return ""
    parts = []
    if threat.tactic is not None:
        parts.append(_named(threat.tactic))
    if threat.technique is not None:
        parts.append(_named(threat.technique.subtechnique or threat.technique))
    return ": ".join(parts)


def _named(entries: ThreatEntries) -> str:
    return ", ".join(
        f"{identifier} {name}" for identifier, name in zip(entries.id, entries.name, strict=True)
    )
