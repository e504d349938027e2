"""The alert: the document of an event that matched a rule, and what the rule says about it.

Of a sequence, it is the document of the last event, and has the others with it.

An alert is an ECS document of its own (``event.kind: alert``), complete without the rule file.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import Field

from auditrule.ecs.document import (
    ActingAccount,
    Auditd,
    Date,
    Document,
    Event,
    Fields,
    Process,
    Related,
)
from auditrule.ecs.ids import stable_id
from auditrule.eql.values import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditrule.ecs.document import Account, ProcessFields
    from auditrule.rules.model import Threat as RuleThreat
    from auditrule.rules.rule import Rule

# Severities as numbers: the risk score that Elastic's detection engine stands each for.
_SEVERITY = {"low": 21, "medium": 47, "high": 73, "critical": 99}
_RULESET = "auditrule"
_COMMAND_LENGTH = 300
# Characters of a process's arguments in an alert. Shippers refuse lines of some megabytes.
_MOST_TEXT = 262_144
_MOST_DEEDS = 5
_P = TypeVar("_P", bound="ProcessFields")


class AlertEvent(Event):
    """``event.*`` of an alert."""

    kind: Literal["alert"] = "alert"  # type: ignore[assignment]
    hash: str
    severity: int
    risk_score: float


class RuleFields(Fields):
    """``rule.*``; the category of a building block rule is "building block"."""

    id: str
    uuid: str
    name: str
    category: str | None = None
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


class SequenceEvent(Fields):
    """One of the events of a sequence: what it was, when, and by whom."""

    timestamp: Date = Field(alias="@timestamp")
    id: str
    sequence: int
    user: ActingAccount | None = None
    process: Process


class MatchedSequence(Fields):
    """``auditd.sequence.*``: the events that match a sequence or sample, in the rule's order.

    `join_keys` are the values that they share, as text; one that is absent is left out.
    """

    events: tuple[SequenceEvent, ...]
    join_keys: tuple[str, ...] | None = None


class AlertAuditd(Auditd):
    """``auditd.*`` of an alert."""

    sequence: MatchedSequence | None = None


class Alert(Document):
    """An event that matched a rule, or the last of the events that did so together.

    ``event.hash`` is the alert's id: the same events and rule always give the same one, so that a
    receiver can tell a repetition.
    """

    event: AlertEvent
    auditd: AlertAuditd
    message: str
    rule: RuleFields
    threat: Threat | None = None
    tags: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        """The alert's id, ``event.hash``."""
        return self.event.hash


def build_alert(
    documents: Sequence[Document], rule: Rule, join_keys: Sequence[object] = ()
) -> Alert:
    """Return the alert that `documents` are under `rule`: one, or those of a sequence in order."""
    documents = [_bounded(each) for each in documents]
    document = documents[-1]
    event = AlertEvent(
        **document.event.model_dump(exclude={"kind"}),
        hash=stable_id("alert", *(each.event.id for each in documents), rule.id),
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
        auditd=AlertAuditd(**dict(document.auditd), sequence=_sequence(documents, join_keys)),
        related=_related(documents),
        message=_message(documents, rule),
        rule=RuleFields(
            id=rule.id,
            uuid=rule.id,
            name=rule.name,
            category="building block" if rule.is_building_block else None,
            description=rule.description or None,
            author=rule.author or None,
            license=rule.license,
            reference=rule.references or None,
            version=None if rule.version is None else str(rule.version),
        ),
        threat=_threat(rule.threat),
        tags=rule.tags or None,
    )


def _bounded(document: Document) -> Document:
    """Return the document with its arguments cut where they are too long to be shipped.

    An exec may have megabytes of them, and its caller chooses how many alerts it makes. They are
    all looked at by rules; an alert has the first of them, and is marked as truncated.
    """
    process = document.process
    cut = _cut(process)
    parent = None if process.parent is None else _cut(process.parent)
    if cut is process and parent is process.parent:
        return document
    return document.model_copy(
        update={
            "process": cut.model_copy(update={"parent": parent}),
            "auditd": document.auditd.model_copy(update={"truncated": True}),
        }
    )


def _cut(process: _P) -> _P:
    args = process.args or ()
    if sum(map(len, args)) + len(args) <= _MOST_TEXT:
        return process
    kept: list[str] = []
    room = _MOST_TEXT
    for argument in args:
        kept.append(argument[:room])
        room -= len(argument) + 1
        if room <= 0:
            break
    return process.model_copy(update={"args": tuple(kept), "command_line": " ".join(kept)})


def _sequence(documents: Sequence[Document], join_keys: Sequence[object]) -> MatchedSequence | None:
    if len(documents) == 1:
        return None
    keys = tuple(text for text in map(as_text, join_keys) if text is not None)
    return MatchedSequence(
        events=tuple(
            SequenceEvent(
                timestamp=document.timestamp,
                id=document.event.id,
                sequence=document.event.sequence,
                user=document.user,
                process=document.process,
            )
            for document in documents
        ),
        join_keys=keys or None,
    )


def _related(documents: Sequence[Document]) -> Related | None:
    related = [document.related for document in documents if document.related is not None]
    users = dict.fromkeys(user for each in related for user in each.user or ())
    hosts = dict.fromkeys(host for each in related for host in each.hosts or ())
    return Related(user=tuple(users) or None, hosts=tuple(hosts) or None) if related else None


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


def _message(documents: Sequence[Document], rule: Rule) -> str:
    """Say in one line who did what, where, and from what parent."""
    document = documents[-1]
    where = f" on {document.host.name}" if document.host.name else ""
    parent = document.process.parent
    by = ""
    if parent is not None:
        what = printable(parent.executable) if parent.executable else "an unknown program"
        by = f", started by {what} (pid {parent.pid})"
    who = _who(document.user, document.auditd.user.audit if document.auditd.user else None)
    deeds = [f"{show_command(each.process)} (pid {each.process.pid})" for each in documents]
    if len(deeds) > _MOST_DEEDS:
        others = len(deeds) - _MOST_DEEDS
        deeds[_MOST_DEEDS - 1 : -1] = [f"{others} other{'s' * (others > 1)}"]
    ran = ", then ".join(deeds)
    return f"{printable(rule.name)}: {who}{printable(where)} ran: {ran}{by}"


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
