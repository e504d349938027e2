"""ECS documents as models: the fields that auditrule fills, named and typed as ECS 8.17 does.

Source: the ECS field reference, https://www.elastic.co/docs/reference/ecs (version 8.17). What ECS
has no name for stands below ``auditd``, as Elastic's auditd_manager integration names it. A field
that is not known is absent: never empty, never made up.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

ECS_VERSION = "8.17.0"


def format_time(time: datetime) -> str:
    """Return an aware `time` as ECS dates are written, in UTC, to the millisecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are there: absent ones are left out of a document."""
    return {name: value for name, value in fields.items() if value is not None}


Date = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]


class RecordedBy:
    """What auditd must record for a field to be filled: keys of the rules in config/audit.rules."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys


class Fields(BaseModel):
    """A set of fields: immutable, and closed to names that it does not have."""

    # Built when the first is made: most documents are plain fields, and a start takes less so.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


class Ecs(Fields):
    """``ecs.*``."""

    version: str = ECS_VERSION


class Event(Fields):
    """``event.*``."""

    kind: Literal["event"] = "event"
    category: tuple[Literal["process"], ...]
    type: tuple[Literal["start"], ...]
    action: Literal["exec"]
    outcome: Literal["success"]
    module: Literal["auditd"] = "auditd"
    id: str
    sequence: int


class Os(Fields):
    """``host.os.*``."""

    type: Literal["linux"] = "linux"


class Host(Fields):
    """``host.*``."""

    os: Os = Os()
    name: str | None = None
    hostname: str | None = None
    id: str | None = None


class Account(Fields):
    """A user or a group: ``user.*``, ``group.*``, ``process.real_user.*`` and their like."""

    id: str
    name: str | None = None


class RealAccount(Fields):
    """``user.Ext.*``, ``group.Ext.*``: Elastic Defend's name for the real user and group."""

    real: Account


class ActingAccount(Account):
    """``user.*``, ``group.*``: the effective ones, and the real ones as Elastic Defend has them."""

    Ext: RealAccount | None = None


class CharDevice(Fields):
    """``process.tty.char_device.*``."""

    major: int
    minor: int


class Tty(Fields):
    """``process.tty.*``."""

    char_device: CharDevice


class ProcessFields(Fields):
    """What ``process.*`` and ``process.parent.*`` share."""

    pid: int
    entity_id: str | None = None
    executable: str | None = None
    name: str | None = None
    args: tuple[str, ...] | None = None
    args_count: int | None = None
    command_line: str | None = None
    working_directory: str | None = None
    interactive: bool | None = None
    user: Account | None = None
    group: Account | None = None


class ParentProcess(ProcessFields):
    """``process.parent.*``."""


class Process(ProcessFields):
    """``process.*``."""

    start: Date | None = None
    tty: Tty | None = None
    real_user: Account | None = None
    saved_user: Account | None = None
    real_group: Account | None = None
    saved_group: Account | None = None
    # Known after the parent's own exec, or its fork by a known process.
    parent: Annotated[ParentProcess | None, RecordedBy("auditrule-exec", "auditrule-fork")] = None


class AuditUser(Fields):
    """``auditd.user.*``: the user who logged in (the audit id, auid)."""

    audit: Account


class AuditData(Fields):
    """``auditd.data.*``: fields of the record as the kernel names them."""

    syscall: str | None = None
    arch: str | None = None
    exe: str | None = None
    comm: str | None = None
    key: str | None = None
    tty: str | None = None
    exit: str | None = None
    a0: str | None = None
    a1: str | None = None
    a2: str | None = None
    a3: str | None = None


class Auditd(Fields):
    """``auditd.*``: `truncated` is true where the log, or an alert, lacks some of the arguments."""

    session: str | None = None
    user: AuditUser | None = None
    truncated: Literal[True] | None = None
    data: AuditData


class Related(Fields):
    """``related.*``."""

    user: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None


class Document(Fields):
    """One event as an ECS document: a program that started."""

    RECORDED_BY: ClassVar = RecordedBy("auditrule-exec")

    timestamp: Date = Field(alias="@timestamp")
    ecs: Ecs = Ecs()
    event: Event
    host: Host
    process: Process
    user: ActingAccount | None = None
    group: ActingAccount | None = None
    auditd: Auditd
    related: Related | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain JSON types, nested, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """Return the document as one line of JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True)
