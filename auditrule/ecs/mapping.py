"""From audit events to ECS documents: the one place where the audit log's names become ECS's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.audit.fact import NOBODY, fact_of
from auditrule.audit.process import Exec, Start, read_process_event
from auditrule.ecs.document import ECS_VERSION, Document, format_time, present
from auditrule.ecs.ids import stable_id
from auditrule.ecs.process import Image
from auditrule.ecs.processes import FEW, Processes
from auditrule.ecs.recorded import image_of, text
from auditrule.ecs.who import WhoReader, account

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditrule.audit.event import AuditEvent
    from auditrule.audit.fact import Fact
    from auditrule.audit.facts import Facts, Index
    from auditrule.ecs.backlog import Backlog
    from auditrule.ecs.process import ProcessEntry
    from auditrule.ecs.process_table import ProcessTable
    from auditrule.ecs.recorded import RecordedImage
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
_HOST = {"os": {"type": "linux"}}
_EVENT = {
    "kind": "event",
    "category": ["process"],
    "type": ["start"],
    "action": "exec",
    "outcome": "success",
    "module": "auditd",
}


class Outlook(Protocol):
    """Whoever tells which rules, each a bit of a number, a program's start may meet."""

    names: frozenset[bytes] | None
    """The names of the programs that may meet any, in lower case; None if all may."""

    def of(self, deed: Exec, own: Mapping[str, Any]) -> int:
        """Return those that it, and its own fields (own_fields), leave."""

    def of_children(self, image: Image | RecordedImage | None) -> int:
        """Return those that its parent leaves by what that runs, None where that is not known."""


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
        self.who = WhoReader(names)
        """Whose the processes are."""
        self.processes = Processes(
            table, self.who, exhaustive=exhaustive, most_waiting=most_waiting
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
        self, event: AuditEvent, outlook: Outlook | None = None, *, is_taken: bool = False
    ) -> dict[str, Any] | None:
        """Take `event` as `map` does, and return what the document's `to_dict` would.

        It takes a third of the time, and only few documents are ever looked at as models. With
        an `outlook`, there are fields only of a program that may meet a rule; of another there are
        none: an empty mapping. `is_taken` tells that it is among the facts that were taken.
        """
        host = self._host_key(event.id.node)
        self.processes.look_for_boot(host, event)
        deed = read_process_event(event, None if outlook is None else outlook.names)
        if deed is None:
            return None
        fields: dict[str, Any] | None = None
        if isinstance(deed, Exec):
            fields = self._fields(host, deed, outlook)
        elif isinstance(deed, Start):
            fields = {}
        if not is_taken:
            self.processes.note(host, fact_of(deed, event))
        return fields

    def _fields(self, host: str | None, deed: Exec, outlook: Outlook | None) -> dict[str, Any]:
        who = self.who.read(deed.caller)
        own = own_fields(image_of(deed), who)
        chances = 0 if outlook is None else outlook.of(deed, own)
        if outlook is not None and not chances:
            return {}
        parent = self.processes.parent(host, deed.caller.ppid, deed.id.time_ms)
        if outlook is not None and not chances & outlook.of_children(
            None if parent is None else parent.image
        ):
            return {}
        return self._document(deed, who, own, parent)

    def parent(self, node: str | None, fact: Fact) -> ProcessEntry | None:
        """Return the parent of the program whose start a fact is, as far as it is known."""
        if fact.ppid == NOBODY:
            return None
        return self.processes.parent(self._host_key(node), fact.ppid, fact.ms)

    def image_at_hand(self, node: str | None, fact: Fact) -> RecordedImage | None:
        """Return what that parent runs where it is at hand, None where it has to be asked for."""
        if fact.ppid <= 0:
            return None
        return self.processes.image_at_hand(self._host_key(node), fact.ppid, fact.ms)

    def note(self, node: str | None, fact: Fact) -> None:
        """Take the fact that comes next of the host that the log names `node`."""
        self.processes.note(self._host_key(node), fact)

    def look_for_boot_at(self, node: str | None, fact: Fact) -> None:
        """Take notice that a fact comes next: the processes are others if the host has booted."""
        self.processes.look_for_boot_at(self._host_key(node), fact.serial)

    def take(self, node: str | None, facts: Facts, index: Index) -> Backlog | None:
        """Take the facts that come next, as they are reached; None if there may be a boot."""
        host = self._host_key(node)
        if len(facts) and not self.processes.pass_over(host, *facts.serials):
            return None
        return self.processes.take(host, facts, index)

    def _host_key(self, node: str | None) -> str | None:
        """Return whose processes an event is about; None is the host that `host` names."""
        return None if self._host.is_meant_by(node) else node

    def _document(
        self, deed: Exec, who: Who, own: dict[str, Any], parent: ProcessEntry | None
    ) -> dict[str, Any]:
        caller, event_id = deed.caller, deed.id
        host = event_id.node or self._host.name
        host_id = self._host.id if self._host.is_meant_by(event_id.node) else None
        time = _time(event_id.time_ms)
        process = {
            "pid": caller.pid,
            "entity_id": _entity_id(host, caller.pid, event_id.time_ms, event_id.serial),
            "start": time,
            **own["process"],
        }
        if caller.ppid is not None:
            process["parent"] = self._parent(host, caller.ppid, parent)
        fields = {
            "@timestamp": time,
            "ecs": _ECS,
            "event": {
                **own["event"],
                "id": stable_id("event", host, event_id.time_ms, event_id.serial),
                "sequence": event_id.serial,
            },
            "host": present({**own["host"], "name": host, "hostname": host, "id": host_id}),
            "process": process,
            "user": own["user"],
            "group": own["group"],
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


def own_fields(image: Image, who: Who) -> dict[str, Any]:
    """Return the part of a document that a program's start tells by itself.

    The fields are those that it has in the whole document, but for what is only known of it there:
    ids, times, and numbers of the process and of the event.
    """
    return {
        "event": _EVENT,
        "host": _HOST,
        "process": {**present(_image_fields(image)), **who.process},
        "user": who.user,
        "group": who.group,
    }


def parent_fields(image: Image) -> dict[str, Any]:
    """Return the part of a document that what the parent runs tells by itself."""
    return {"process": {"parent": present(_image_fields(image))}}


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
