"""The alert: the document of an event that matched a rule, and what the rule says about it.

An alert is an ECS document of its own (``event.kind: alert``), complete without the rule file.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal

from auditrule.ecs.document import Document, Event, Fields
from auditrule.ecs.ids import stable_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.ecs.document import Account, ProcessFields
    from auditrule.rules.model import Threat as RuleThreat
    from auditrule.rules.rule import Rule

# Severities as numbers: the risk score that Elastic's detection engine stands each for.
_SEVERITY = {"low": 21, "medium": 47, "high": 73, "critical": 99}
_RULESET = "auditrule"
_COMMAND_LENGTH = 300


class AlertEvent(Event):
    """``event.*`` of an alert."""

    kind: Literal["alert"] = "alert"  # type: ignore[assignment]
    hash: str
    severity: int
    risk_score: float


class RuleFields(Fields):
    """``rule.*``."""

    id: str
    uuid: str
    name: str
    description: str | None = None
    author: tuple[str, ...] | None = None
    license: str | None = None
    reference: tuple[str, ...] | None = None
    ruleset: str = _RULESET
    version: str | None = None


class ThreatEntries(Fields):
    """``threat.tactic.*`` and its like: parallel arrays, as ECS has them."""

    id: tuple[str, ...]
    name: tuple[str, ...]
    reference: tuple[str, ...] | None = None


class ThreatTechnique(ThreatEntries):
    """``threat.technique.*``."""

    subtechnique: ThreatEntries | None = None


class Threat(Fields):
    """``threat.*``."""

    framework: str
    tactic: ThreatEntries | None = None
    technique: ThreatTechnique | None = None


class Alert(Document):
    """One event that matched one rule.

    ``event.hash`` is the alert's id: the same event and rule always give the same one, so that a
    receiver can tell a repetition.
    """

    event: AlertEvent
    message: str
    rule: RuleFields
    threat: Threat | None = None
    tags: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        """The alert's id, ``event.hash``."""
        return self.event.hash


def build_alert(document: Document, rule: Rule) -> Alert:
    """Return the alert that `document` is under `rule`."""
    event = AlertEvent(
        **document.event.model_dump(exclude={"kind"}),
        hash=stable_id("alert", document.event.id, rule.id),
        severity=_SEVERITY[rule.severity],
        risk_score=float(rule.risk_score),
    )
    return Alert(
        timestamp=document.timestamp,
        ecs=document.ecs,
        event=event,
        host=document.host,
        process=document.process,
        user=document.user,
        group=document.group,
        auditd=document.auditd,
        related=document.related,
        message=_message(document, rule),
        rule=RuleFields(
            id=rule.id,
            uuid=rule.id,
            name=rule.name,
            description=rule.description or None,
            author=rule.author or None,
            license=rule.license,
            reference=rule.references or None,
            version=None if rule.version is None else str(rule.version),
        ),
        threat=_threat(rule.threat),
        tags=rule.tags or None,
    )


def printable(text: str) -> str:
    r"""Return `text` with all that could steer a terminal, or break a line, written as ``\x1b``.

    An attacker chooses the arguments that alerts show.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def show_command(process: ProcessFields) -> str:
    """Return the command of `process` as a shell would take it, printable, cut if it is long."""
    words: list[str] = []
    length = 0
    for word in process.args or ():
        words.append(printable(shlex.quote(word[:_COMMAND_LENGTH])))
        length += len(words[-1]) + 1
        if length > _COMMAND_LENGTH:
            break
    command = " ".join(words)
    if length > _COMMAND_LENGTH:
        command = command[: _COMMAND_LENGTH - 1] + "…"
    return command or printable(process.executable or process.name or "an unknown command")


def _message(document: Document, rule: Rule) -> str:
    """Say in one line who did what, where, and from what parent."""
    process = document.process
    where = f" on {document.host.name}" if document.host.name else ""
    parent = process.parent
    by = ""
    if parent is not None:
        what = printable(parent.executable) if parent.executable else "an unknown program"
        by = f", started by {what} (pid {parent.pid})"
    who = _who(document.user, document.auditd.user.audit if document.auditd.user else None)
    return (
        f"{printable(rule.name)}: {who}{printable(where)} ran: {show_command(process)}"
        f" (pid {process.pid}){by}"
    )


def _who(user: Account | None, login: Account | None) -> str:
    name = "somebody" if user is None else printable(user.name or f"uid {user.id}")
    if login is not None and (user is None or login.id != user.id):
        name += f" (logged in as {printable(login.name or f'uid {login.id}')})"
    return name


def _threat(threats: Iterable[RuleThreat]) -> Threat | None:
    threats = tuple(threats)
    if not threats:
        return None
    techniques = [technique for threat in threats for technique in threat.technique]
    subtechniques = [sub for technique in techniques for sub in technique.subtechnique]
    technique = _entries((t.id, t.name, t.reference) for t in techniques)
    return Threat(
        framework=threats[0].framework,
        tactic=_entries((t.tactic.id, t.tactic.name, t.tactic.reference) for t in threats),
        technique=None
        if technique is None
        else ThreatTechnique(
            id=technique.id,
            name=technique.name,
            reference=technique.reference,
            subtechnique=_entries((s.id, s.name, s.reference) for s in subtechniques),
        ),
    )


def _entries(entries: Iterable[tuple[str, str, str | None]]) -> ThreatEntries | None:
    """Return the entries as parallel arrays, each once; None for none."""
    unique = list(dict.fromkeys(entries))
    if not unique:
        return None
    references = tuple(reference for _, _, reference in unique if reference is not None)
    return ThreatEntries(
        id=tuple(identifier for identifier, _, _ in unique),
        name=tuple(name for _, name, _ in unique),
        reference=references or None,
    )
