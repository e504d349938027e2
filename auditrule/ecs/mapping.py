"""From audit events to ECS documents: the one place where the audit log's names become ECS's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from auditrule.audit.fact import fact_of
from auditrule.audit.process import Exec, Start, read_process_event
from auditrule.ecs.backlog import FEW
from auditrule.ecs.document import ECS_VERSION, Document, format_time, present
from auditrule.ecs.ids import stable_id
from auditrule.ecs.process import Image
from auditrule.ecs.processes import Processes
from auditrule.ecs.recorded import image_of, text
from auditrule.ecs.who import WhoReader, account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditrule.audit.event import AuditEvent
    from auditrule.audit.fact import Fact
    from auditrule.ecs.process import ProcessEntry
    from auditrule.ecs.process_table import ProcessTable
    from auditrule.ecs.who import Names, Who

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """What is known of the host whose log is read, besides what its records say."""

    name: str | None = None
    id: str | None = None

    def is_meant_by(self, node: str | None) -> bool:
        """Tell whether records of `node` are this host's own: auditd names it short or in full."""
        if node is None:
            return True
        return self.name is not None and node.partition(".")[0] == self.name.partition(".")[0]


_ECS = {"version": ECS_VERSION}
_EVENT = {
    "kind": "event",
    "category": ["process"],
    "type": ["start"],
    "action": "exec",
    "outcome": "success",
    "module": "auditd",
}


class DocumentMapper:
    """Turns audit events into ECS documents, remembering processes on the way.

    `map` takes events in the order of their completion and returns the document of each program
    that started; forks and exits go to the process table only. A `node=` in the log names the
    host; without one, `host` does. Names of users come from an ENRICHED log, else from `names`.
    With `exhaustive`, the grammar reads the records of other processes, too. Of facts about
    processes, `most_waiting` wait to be asked for (auditrule.ecs.backlog).
    """

    def __init__(
        self,
        *,
        table: ProcessTable,
        host: HostIdentity | None = None,
        names: Names | None = None,
        exhaustive: bool = False,
        most_waiting: int = FEW,
    ) -> None:
        self._host = host or HostIdentity()
        self._who = WhoReader(names)
        self.processes = Processes(
            table, self._who, exhaustive=exhaustive, most_waiting=most_waiting
        )
        """The processes that are remembered."""

    @property
    def host(self) -> HostIdentity:
        """Whose log this is."""
        return self._host

    def map(self, event: AuditEvent) -> Document | None:
        """Take `event`; return its document if a program started, else None."""
        fields = self.fields(event)
        return Document.model_validate(fields) if fields else None

    def fields(
        self, event: AuditEvent, names: frozenset[bytes] | None = None
    ) -> dict[str, Any] | None:
        """Take `event` as `map` does, and return what the document's `to_dict` would.

        It takes a third of the time, and only few documents are ever looked at as models. With
        `names`, in lower case, there are fields only of a program whose name may be among them;
        of another there are none: an empty mapping.
        """
        host = self._host_key(event.id.node)
        self.processes.look_for_boot(host, event)
        deed = read_process_event(event, names)
        if deed is None:
            return None
        fields: dict[str, Any] | None = None
        if isinstance(deed, Exec):
            parent = self.processes.parent(host, deed.caller.ppid, deed.id.time_ms)
            fields = self._document(deed, parent)
        elif isinstance(deed, Start):
            fields = {}
        self.processes.note(host, fact_of(deed, event))
        return fields

    def note(self, node: str | None, facts: Sequence[Fact]) -> None:
        """Take the facts that come next of the host that the log names `node`.

        It is the same as to take their events by `fields`, if none of them is asked about.
        """
        self.processes.note_all(self._host_key(node), facts)

    def _host_key(self, node: str | None) -> str | None:
        """Return whose processes an event is about; None is the host that `host` names."""
        return None if self._host.is_meant_by(node) else node

    def _document(self, deed: Exec, parent: ProcessEntry | None) -> dict[str, Any]:
        caller, event_id, who = deed.caller, deed.id, self._who.read(deed.caller)
        host = event_id.node or self._host.name
        host_id = self._host.id if self._host.is_meant_by(event_id.node) else None
        time = _time(event_id.time_ms)
        process = {
            "pid": caller.pid,
            "entity_id": _entity_id(host, caller.pid, event_id.time_ms, event_id.serial),
            "start": time,
            **present(_image_fields(image_of(deed))),
            **who.process,
        }
        if caller.ppid is not None:
            process["parent"] = self._parent(host, caller.ppid, parent)
        fields = {
            "@timestamp": time,
            "ecs": _ECS,
            "event": {
                **_EVENT,
                "id": stable_id("event", host, event_id.time_ms, event_id.serial),
                "sequence": event_id.serial,
            },
            "host": present(
                {"os": {"type": "linux"}, "name": host, "hostname": host, "id": host_id}
            ),
            "process": process,
            "user": who.user,
            "group": who.group,
            "auditd": _auditd(deed, who),
            "related": _related(who.related, host),
        }
        return present(fields)

    def _parent(self, host: str | None, pid: int, entry: ProcessEntry | None) -> dict[str, Any]:
        if entry is None:
            return {"pid": pid}
        entity_id = _entity_id(host, entry.pid, entry.started_ms, entry.serial)
        if entry.fields is None:
            owner = self.processes.owner(entry)
            entry.fields = present(
                {
                    **_image_fields(Image() if entry.image is None else entry.image.told()),
                    "interactive": owner.interactive,
                    "user": account(owner.user_id, owner.user_name),
                    "group": account(owner.group_id, owner.group_name),
                }
            )
        return {"pid": pid, "entity_id": entity_id, **entry.fields}


@lru_cache(maxsize=16)
def _time(time_ms: int) -> str:
    return format_time(_EPOCH + timedelta(milliseconds=time_ms))


def _entity_id(host: str | None, pid: int, started_ms: int, serial: int) -> str:
    return stable_id("process", host, pid, started_ms, serial)


def _image_fields(image: Image) -> dict[str, Any]:
    return {
        "executable": image.executable,
        "name": image.name,
        "args": list(image.args) or None,
        "args_count": image.args_count,
        "command_line": " ".join(image.args) or None,
        "working_directory": image.working_directory,
    }


def _auditd(deed: Exec, who: Who) -> dict[str, Any]:
    caller = deed.caller
    exit_code = caller.exit
    return present(
        {
            "session": who.session,
            "user": who.login,
            "truncated": True if deed.truncated else None,
            "data": present(
                {
                    "syscall": caller.call_text,
                    "arch": caller.arch_text,
                    "exe": text(caller.exe),
                    "comm": text(caller.comm),
                    "key": text(caller.key),
                    "tty": who.tty,
                    "exit": None if exit_code is None else str(exit_code),
                    **caller.registers,
                }
            ),
        }
    )


def _related(names: tuple[str, ...], host: str | None) -> dict[str, Any] | None:
    related = {}
    if names:
        related["user"] = list(names)
    if host is not None:
        related["hosts"] = [host]
    return related or None
