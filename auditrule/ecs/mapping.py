"""From audit events to ECS documents: the one place where the audit log's names become ECS's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.audit.boot import BootWatch
from auditrule.audit.process import Exec, Exit, Fork, Start, basename, read_process_event
from auditrule.audit.text import decode_text
from auditrule.ecs.document import ECS_VERSION, Document, format_time
from auditrule.ecs.ids import stable_id
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.recorded import RecordedImage, image_of, text

if TYPE_CHECKING:
    from auditrule.audit.event import AuditEvent
    from auditrule.audit.process import Caller
    from auditrule.ecs.process_table import ProcessTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMM_BYTES = 15
# Hosts in one log whose boots are watched; a forged node= must not fill the memory.
_MAX_HOSTS = 10_000
_MOST_OWNERS = 1000
# Major numbers of terminals, and the minor of the first (Documentation/admin-guide/devices.txt).
_TERMINALS = ((re.compile(r"ttyS(\d{1,3})\Z"), 4, 64), (re.compile(r"tty(\d{1,2})\Z"), 4, 0))
_PTS = re.compile(r"pts(\d{1,7})\Z")
_PTS_MAJOR, _PTS_PER_MAJOR = 136, 256


class Names(Protocol):
    """Whoever can tell the names of a live host's users and groups."""

    def user(self, uid: int) -> str | None:
        """Return the name of user `uid`."""

    def group(self, gid: int) -> str | None:
        """Return the name of group `gid`."""


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


class DocumentMapper:
    """Turns audit events into ECS documents, remembering processes on the way.

    `map` takes events in the order of their completion and returns the document of each program
    that started; forks and exits go to the process table only. A `node=` in the log names the
    host; without one, `host` does. Names of users come from an ENRICHED log, else from `names`.
    """

    def __init__(
        self,
        *,
        table: ProcessTable,
        host: HostIdentity | None = None,
        names: Names | None = None,
    ) -> None:
        self._table = table
        self._host = host or HostIdentity()
        self._names = names
        self._boots: dict[str | None, BootWatch] = {}
        # Few users run all programs.
        self._owners: dict[tuple[str | None, ...], Owner] = {}

    @property
    def processes(self) -> ProcessTable:
        """The processes that are remembered."""
        return self._table

    @property
    def host(self) -> HostIdentity:
        """Whose log this is."""
        return self._host

    def snapshot(self) -> dict[str, Any]:
        """Return what is remembered as JSON values."""
        return {
            "processes": self._table.snapshot(),
            "boots": [[host, watch.snapshot()] for host, watch in self._boots.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        self._table.restore(state["processes"])
        self._boots.clear()
        for host, boot in state["boots"]:
            self._boots.setdefault(host, BootWatch()).restore(boot)

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
        self._look_for_boot(event)
        deed = read_process_event(event, names)
        if isinstance(deed, Exec | Start):
            return self._exec(deed, event)
        if isinstance(deed, Fork):
            self._fork(deed)
        elif isinstance(deed, Exit):
            self._table.exit(
                self._table_key(deed),
                deed.caller.pid,
                deed.id.time_ms,
                thread_only=deed.thread_only,
            )
        return None

    def _look_for_boot(self, event: AuditEvent) -> None:
        host = self._table_key(event)
        if host not in self._boots and len(self._boots) >= _MAX_HOSTS:
            self._boots.pop(next(iter(self._boots)))
        if self._boots.setdefault(host, BootWatch()).is_boot(event):
            self._table.forget(host)

    def _table_key(self, deed: Exec | Start | Fork | Exit | AuditEvent) -> str | None:
        """Return whose processes the event is about; None is the host that `host` names."""
        node = deed.id.node
        return None if self._host.is_meant_by(node) else node

    def _exec(self, deed: Exec | Start, event: AuditEvent) -> dict[str, Any]:
        caller, host_key = deed.caller, self._table_key(deed)
        entry = ProcessEntry(
            caller.pid,
            RecordedImage.of(event.records, text(caller.exe)),
            self._owner(caller),
            deed.id.time_ms,
            deed.id.serial,
            caller.ppid,
        )
        parent = None
        if caller.ppid:
            # One that has a child stays in the table, whoever asks.
            parent = self._table.parent(host_key, caller.ppid, deed.id.time_ms)
        fields = {}
        if isinstance(deed, Exec):
            fields = self._document(deed, entry, image_of(deed), parent)
        self._table.exec(host_key, entry)
        return fields

    def _fork(self, deed: Fork) -> None:
        caller = deed.caller
        if deed.is_thread:
            self._table.thread_made(self._table_key(deed), caller.pid)
            return
        image = None
        # The record tells what the caller's exe is, which is its image unless that is a script:
        # then comm is the script's name, cut, and not the interpreter's.
        if caller.exe is not None and basename(caller.exe)[:_COMM_BYTES] == caller.comm:
            exe = text(caller.exe)
            image = Image(executable=exe, name=text(basename(caller.exe)), exe=exe)
        parent = ProcessEntry(
            caller.pid, image, self._owner(caller), deed.id.time_ms, deed.id.serial, caller.ppid
        )
        self._table.fork(
            self._table_key(deed),
            parent=parent,
            child=deed.child,
            may_be_thread=deed.is_thread is None,
            exe=text(caller.exe),
        )

    def _owner(self, caller: Caller) -> Owner:
        """Return whom a process runs as."""
        spelling = caller.spelling
        known = self._owners.get(spelling)
        if known is not None:
            return known
        owner = self._read_owner(caller)
        # The host's own names of users may change; those of the record do not.
        is_sure = self._names is None or None not in spelling[-2:]
        if is_sure and len(self._owners) < _MOST_OWNERS:
            self._owners[spelling] = owner
        return owner

    def _read_owner(self, caller: Caller) -> Owner:
        user, group = caller.id("euid"), caller.id("egid")
        return Owner(
            user_id=user,
            user_name=self._user_name(user, caller.name("euid")),
            group_id=group,
            group_name=self._group_name(group, caller.name("egid")),
            interactive=caller.tty is not None,
        )

    def _document(
        self, deed: Exec, entry: ProcessEntry, image: Image, parent: ProcessEntry | None
    ) -> dict[str, Any]:
        caller, event_id, owner = deed.caller, deed.id, entry.owner
        host = event_id.node or self._host.name
        host_id = self._host.id if self._host.is_meant_by(event_id.node) else None
        time = _time(event_id.time_ms)
        user = _account(owner.user_id, owner.user_name)
        group = _account(owner.group_id, owner.group_name)
        real_user, saved_user = self._user(caller, "uid"), self._user(caller, "suid")
        real_group, saved_group = self._group(caller, "gid"), self._group(caller, "sgid")
        login = self._user(caller, "auid")
        tty = caller.tty
        return _present(
            {
                "@timestamp": time,
                "ecs": {"version": ECS_VERSION},
                "event": {
                    "kind": "event",
                    "category": ["process"],
                    "type": ["start"],
                    "action": "exec",
                    "outcome": "success",
                    "module": "auditd",
                    "id": stable_id("event", host, event_id.time_ms, event_id.serial),
                    "sequence": event_id.serial,
                },
                "host": _present(
                    {"os": {"type": "linux"}, "name": host, "hostname": host, "id": host_id}
                ),
                "process": _present(
                    {
                        "pid": entry.pid,
                        "entity_id": _entity_id(host, entry),
                        **_image_fields(image),
                        "interactive": owner.interactive,
                        "user": user,
                        "group": group,
                        "start": time,
                        "tty": _tty(tty),
                        "real_user": real_user,
                        "saved_user": saved_user,
                        "real_group": real_group,
                        "saved_group": saved_group,
                        "parent": _parent(host, caller.ppid, parent),
                    }
                ),
                "user": _acting(user, real_user),
                "group": _acting(group, real_group),
                "auditd": _auditd(deed, login, tty),
                "related": _related((login, real_user, user, saved_user), host),
            }
        )

    def _user(self, caller: Caller, field: str) -> dict[str, Any] | None:
        uid = caller.id(field)
        if uid is None:
            return None
        return _account(uid, self._user_name(uid, caller.name(field)))

    def _group(self, caller: Caller, field: str) -> dict[str, Any] | None:
        gid = caller.id(field)
        if gid is None:
            return None
        return _account(gid, self._group_name(gid, caller.name(field)))

    def _user_name(self, uid: int | None, said: str | None) -> str | None:
        if said is not None or uid is None or self._names is None:
            return said
        return self._names.user(uid)

    def _group_name(self, gid: int | None, said: str | None) -> str | None:
        if said is not None or gid is None or self._names is None:
            return said
        return self._names.group(gid)


def _time(time_ms: int) -> str:
    return format_time(_EPOCH + timedelta(milliseconds=time_ms))


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _entity_id(host: str | None, entry: ProcessEntry) -> str:
    return stable_id("process", host, entry.pid, entry.started_ms, entry.serial)


def _image_fields(image: Image) -> dict[str, Any]:
    return {
        "executable": image.executable,
        "name": image.name,
        "args": list(image.args) or None,
        "args_count": image.args_count,
        "command_line": " ".join(image.args) or None,
        "working_directory": image.working_directory,
    }


def _parent(host: str | None, pid: int | None, entry: ProcessEntry | None) -> dict[str, Any] | None:
    if pid is None:
        return None
    if entry is None:
        return {"pid": pid}
    owner = entry.owner
    return _present(
        {
            "pid": pid,
            "entity_id": _entity_id(host, entry),
            **_image_fields(Image() if entry.image is None else entry.image.told()),
            "interactive": owner.interactive,
            "user": _account(owner.user_id, owner.user_name),
            "group": _account(owner.group_id, owner.group_name),
        }
    )


def _account(number: int | None, name: str | None) -> dict[str, Any] | None:
    if number is None:
        return None
    return {"id": str(number)} if name is None else {"id": str(number), "name": name}


def _acting(effective: dict[str, Any] | None, real: dict[str, Any] | None) -> dict[str, Any] | None:
    if effective is None or real is None:
        return effective
    return {**effective, "Ext": {"real": real}}


def _tty(tty: bytes | None) -> dict[str, Any] | None:
    """Return a terminal's device numbers, which its name tells for the usual kinds."""
    if tty is None:
        return None
    name = decode_text(tty)
    if match := _PTS.match(name):
        slave = int(match[1])
        major, minor = _PTS_MAJOR + slave // _PTS_PER_MAJOR, slave % _PTS_PER_MAJOR
        return {"char_device": {"major": major, "minor": minor}}
    for pattern, major, first in _TERMINALS:
        if match := pattern.match(name):
            return {"char_device": {"major": major, "minor": first + int(match[1])}}
    return None


def _auditd(deed: Exec, login: dict[str, Any] | None, tty: bytes | None) -> dict[str, Any]:
    caller = deed.caller
    session, exit_code = caller.session, caller.exit
    return _present(
        {
            "session": None if session is None else str(session),
            "user": None if login is None else {"audit": login},
            "truncated": True if deed.truncated else None,
            "data": _present(
                {
                    "syscall": caller.call_text,
                    "arch": caller.arch_text,
                    "exe": text(caller.exe),
                    "comm": text(caller.comm),
                    "key": text(caller.key),
                    "tty": text(tty),
                    "exit": None if exit_code is None else str(exit_code),
                    **caller.registers,
                }
            ),
        }
    )


def _related(users: tuple[dict[str, Any] | None, ...], host: str | None) -> dict[str, Any] | None:
    names = {user["name"] for user in users if user is not None and "name" in user}
    if not names and host is None:
        return None
    related: dict[str, Any] = {}
    if names:
        related["user"] = sorted(names)
    if host is not None:
        related["hosts"] = [host]
    return related
