"""A document that tells of a problem of the pipeline itself: that events are missing.

ECS has ``event.kind: pipeline_error`` for this, and asks that ``event.type`` be not "error" then;
none of its categories means a log that lost records, so neither field is there (ECS 8.17,
https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-kind).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from auditrule.alerts.model import printable
from auditrule.ecs.document import Date, Ecs, Fields, Host, Related, format_time
from auditrule.ecs.ids import stable_id

if TYPE_CHECKING:
    from auditrule.audit.record import EventId
    from auditrule.ecs.mapping import HostIdentity

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProblemEvent(Fields):
    """``event.*`` of a problem: `start` and `end` are the times between which events miss."""

    kind: Literal["pipeline_error"] = "pipeline_error"
    action: Literal["log-gap", "events-lost"]
    module: Literal["auditd"] = "auditd"
    id: str
    hash: str
    start: Date | None = None
    end: Date | None = None
    reason: str | None = None


class ProblemError(Fields):
    """``error.*``."""

    message: str
    code: Literal["log-gap", "events-lost"]


class Edge(Fields):
    """An event at the edge of what is missing."""

    timestamp: Date = Field(alias="@timestamp")
    sequence: int


class Missing(Fields):
    """What is missing: all behind the event `before`, up to the event `after`.

    Without `before` or `after` it is not known where that begins or ends. `count` is the number of
    events, where it is known.
    """

    before: Edge | None = None
    after: Edge | None = None
    count: int | None = None


class ProblemAuditd(Fields):
    """``auditd.*``: `gap` is what a log lacks, `lost` what the kernel or auditd lost."""

    gap: Missing | None = None
    lost: Missing | None = None


class Problem(Fields):
    """A problem of the pipeline, as an ECS document that goes where alerts go.

    ``event.hash`` is its id, as it is an alert's: the same problem always has the same one.
    """

    timestamp: Date = Field(alias="@timestamp")
    ecs: Ecs = Ecs()
    event: ProblemEvent
    host: Host
    error: ProblemError
    auditd: ProblemAuditd
    related: Related | None = None
    message: str

    @property
    def id(self) -> str:
        """The problem's id, ``event.hash``."""
        return self.event.hash

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain JSON types, nested, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """Return the document as one line of JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def gap(
    host: HostIdentity,
    before: EventId | None,
    after: EventId | None,
    reason: str,
    *,
    now: datetime | None = None,
) -> Problem:
    """Tell that records between two events may be missing: a file was rotated away unread.

    before: the last event that was read, after: the first that is read again. reason: plain words,
    such as "audit.log.5 was removed before it was read". now: what the document is dated without
    either, and then part of its id; the present if not told.
    """
    missing = Missing(before=_edge(before), after=_edge(after))
    text = f"Audit records {_between(before, after)} may be missing: {reason}"
    return _problem("log-gap", host, (before, after), missing, text, reason, now)


def lost(
    host: HostIdentity,
    count: int | None,
    before: EventId | None,
    after: EventId | None,
    *,
    reason: str | None = None,
    now: datetime | None = None,
) -> Problem:
    """Tell that the kernel or auditd lost `count` events (None: some) between two that are there.

    reason, now: as in `gap`.
    """
    missing = Missing(before=_edge(before), after=_edge(after), count=count)
    many = "Some audit events were" if count is None else f"{count:,} audit events were"
    if count == 1:
        many = "1 audit event was"
    text = f"{many} lost {_between(before, after)}"
    if reason:
        text += f": {reason}"
    return _problem("events-lost", host, (before, after), missing, text, reason, now)


def _problem(
    code: Literal["log-gap", "events-lost"],
    host: HostIdentity,
    edges: tuple[EventId | None, EventId | None],
    missing: Missing,
    text: str,
    reason: str | None,
    now: datetime | None,
) -> Problem:
    before, after = edges
    node = next((edge.node for edge in (after, before) if edge is not None and edge.node), None)
    name = node or host.name
    known = after or before
    time = _time(known) if known else (now or datetime.now(UTC))
    text = printable(text.removesuffix("."))
    identity = stable_id(
        "problem",
        code,
        name,
        *(part for edge in edges for part in _identity(edge)),
        missing.count,
        None if known else format_time(time.astimezone(UTC)),
    )
    return Problem(
        timestamp=time.astimezone(UTC),
        event=ProblemEvent(
            action=code,
            id=identity,
            hash=identity,
            start=None if before is None else _time(before),
            end=None if after is None else _time(after),
            reason=printable(reason) if reason else None,
        ),
        host=Host(name=name, hostname=name, id=host.id if host.is_meant_by(node) else None),
        error=ProblemError(message=text, code=code),
        auditd=ProblemAuditd(gap=missing) if code == "log-gap" else ProblemAuditd(lost=missing),
        related=Related(hosts=(name,)) if name else None,
        message=f"{text} (on {printable(name)})" if name else text,
    )


def _identity(edge: EventId | None) -> tuple[int | None, int | None]:
    return (None, None) if edge is None else (edge.time_ms, edge.serial)


def _edge(event: EventId | None) -> Edge | None:
    return None if event is None else Edge(timestamp=_time(event), sequence=event.serial)


def _time(event: EventId) -> datetime:
    return _EPOCH + timedelta(milliseconds=event.time_ms)


def _between(before: EventId | None, after: EventId | None) -> str:
    if before is None and after is None:
        return "at an unknown time"
    if before is None:
        return f"before {_say(after)}"
    if after is None:
        return f"after {_say(before)}"
    return f"between {_say(before)} and {_say(after)}"


def _say(event: EventId | None) -> str:
    return "" if event is None else f"{format_time(_time(event))} (serial {event.serial})"
