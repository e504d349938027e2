"""From audit events to ECS documents: the one place where the audit log's names become ECS's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.audit.boot import BootWatch
from auditrule.audit.process import Exec, Exit, Fork, basename, read_process_event
from auditrule.audit.text import decode_text
from auditrule.ecs.document import (
    Account,
    ActingAccount,
    Auditd,
    AuditData,
    AuditUser,
    CharDevice,
    Document,
    Event,
    Host,
    ParentProcess,
    Process,
    RealAccount,
    Related,
    Tty,
)
from auditrule.ecs.ids import stable_id
from auditrule.ecs.process import Image, Owner, ProcessEntry

if TYPE_CHECKING:
    from auditrule.audit.event import AuditEvent
    from auditrule.audit.process import Caller
    from auditrule.audit.record import EventId
    from auditrule.ecs.process_table import ProcessTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMM_BYTES = 15
# Hosts in one log whose boots are watched; a forged node= must not fill the memory.
_MAX_HOSTS = 10_000
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
        self._look_for_boot(event)
        deed = read_process_event(event)
        if isinstance(deed, Exec):
            return self._exec(deed)
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

    def _table_key(self, deed: Exec | Fork | Exit | AuditEvent) -> str | None:
        """Return whose processes the event is about; None is the host that `host` names."""
        node = deed.id.node
        return None if self._host.is_meant_by(node) else node

    def _exec(self, deed: Exec) -> Document:
        caller, host_key = deed.caller, self._table_key(deed)
        image = Image(
            executable=_text(deed.executable),
            name=_text(deed.name),
            args=tuple(decode_text(value) for value in deed.arguments.values),
            args_count=deed.arguments.count,
            working_directory=_text(deed.directory),
            exe=_text(caller.exe),
        )
        entry = ProcessEntry(
            caller.pid, image, self._owner(caller), deed.id.time_ms, deed.id.serial, caller.ppid
        )
        parent = None
        if caller.ppid:
            parent = self._table.parent(host_key, caller.ppid, deed.id.time_ms)
        document = self._document(deed, entry, parent)
        self._table.exec(host_key, entry)
        return document

    def _fork(self, deed: Fork) -> None:
        caller = deed.caller
        if deed.is_thread:
            self._table.thread_made(self._table_key(deed), caller.pid)
            return
        image = None
        # The record tells what the caller's exe is, which is its image unless that is a script:
        # then comm is the script's name, cut, and not the interpreter's.
        if caller.exe is not None and basename(caller.exe)[:_COMM_BYTES] == caller.comm:
            exe = _text(caller.exe)
            image = Image(executable=exe, name=_text(basename(caller.exe)), exe=exe)
        parent = ProcessEntry(
            caller.pid, image, self._owner(caller), deed.id.time_ms, deed.id.serial, caller.ppid
        )
        self._table.fork(
            self._table_key(deed),
            parent=parent,
            child=deed.child,
            may_be_thread=deed.is_thread is None,
            exe=_text(caller.exe),
        )

    def _owner(self, caller: Caller) -> Owner:
        user, group = caller.ids["euid"], caller.ids["egid"]
        return Owner(
            user_id=user,
            user_name=self._user_name(user, caller.names.get("euid")),
            group_id=group,
            group_name=self._group_name(group, caller.names.get("egid")),
            interactive=caller.tty is not None,
        )

    def _document(self, deed: Exec, entry: ProcessEntry, parent: ProcessEntry | None) -> Document:
        caller, event_id = deed.caller, deed.id
        host = Host(
            name=event_id.node or self._host.name,
            hostname=event_id.node or self._host.name,
            id=self._host.id if self._host.is_meant_by(event_id.node) else None,
        )
        time = _EPOCH + timedelta(milliseconds=event_id.time_ms)
        users = {field: self._user(caller, field) for field in ("auid", "uid", "euid", "suid")}
        groups = {field: self._group(caller, field) for field in ("gid", "egid", "sgid")}
        parent_fields = None
        if caller.ppid is not None:
            parent_fields = _parent(host.name, caller.ppid, parent)
        image = entry.image or Image()
        process = Process(
            pid=entry.pid,
            entity_id=_entity_id(host.name, entry),
            start=time,
            interactive=entry.owner.interactive,
            tty=_tty(caller.tty),
            user=users["euid"],
            real_user=users["uid"],
            saved_user=users["suid"],
            group=groups["egid"],
            real_group=groups["gid"],
            saved_group=groups["sgid"],
            parent=parent_fields,
            **_image_fields(image),
        )
        return Document(
            timestamp=time,
            event=Event(
                category=("process",),
                type=("start",),
                action="exec",
                outcome="success",
                id=_event_id(host.name, event_id),
                sequence=event_id.serial,
            ),
            host=host,
            process=process,
            user=_acting(users["euid"], users["uid"]),
            group=_acting(groups["egid"], groups["gid"]),
            auditd=_auditd(deed, users["auid"]),
            related=_related(list(users.values()), host.name),
        )

    def _user(self, caller: Caller, field: str) -> Account | None:
        uid = caller.ids[field]
        if uid is None:
            return None
        return Account(id=str(uid), name=self._user_name(uid, caller.names.get(field)))

    def _group(self, caller: Caller, field: str) -> Account | None:
        gid = caller.ids[field]
        if gid is None:
            return None
        return Account(id=str(gid), name=self._group_name(gid, caller.names.get(field)))

    def _user_name(self, uid: int | None, said: str | None) -> str | None:
        if said is not None or uid is None or self._names is None:
            return said
        return self._names.user(uid)

    def _group_name(self, gid: int | None, said: str | None) -> str | None:
        if said is not None or gid is None or self._names is None:
            return said
        return self._names.group(gid)


def _text(data: bytes | None) -> str | None:
    return decode_text(data) if data else None


def _event_id(host: str | None, event_id: EventId) -> str:
    return stable_id("event", host, event_id.time_ms, event_id.serial)


def _entity_id(host: str | None, entry: ProcessEntry) -> str:
    return stable_id("process", host, entry.pid, entry.started_ms, entry.serial)


def _image_fields(image: Image) -> dict[str, object]:
    return {
        "executable": image.executable,
        "name": image.name,
        "args": image.args or None,
        "args_count": image.args_count,
        "command_line": " ".join(image.args) or None,
        "working_directory": image.working_directory,
    }


def _parent(host: str | None, pid: int, entry: ProcessEntry | None) -> ParentProcess:
    if entry is None:
        return ParentProcess(pid=pid)
    owner = entry.owner
    return ParentProcess(
        pid=pid,
        entity_id=_entity_id(host, entry),
        interactive=owner.interactive,
        user=_account(owner.user_id, owner.user_name),
        group=_account(owner.group_id, owner.group_name),
        **_image_fields(entry.image or Image()),
    )


def _account(number: int | None, name: str | None) -> Account | None:
    return None if number is None else Account(id=str(number), name=name)


def _acting(effective: Account | None, real: Account | None) -> ActingAccount | None:
    if effective is None:
        return None
    extension = None if real is None else RealAccount(real=real)
    return ActingAccount(id=effective.id, name=effective.name, Ext=extension)


def _tty(tty: bytes | None) -> Tty | None:
    """Return a terminal's device numbers, which its name tells for the usual kinds."""
    if tty is None:
        return None
    name = decode_text(tty)
    if match := _PTS.match(name):
        slave = int(match[1])
        major, minor = _PTS_MAJOR + slave // _PTS_PER_MAJOR, slave % _PTS_PER_MAJOR
        return Tty(char_device=CharDevice(major=major, minor=minor))
    for pattern, major, first in _TERMINALS:
        if match := pattern.match(name):
            return Tty(char_device=CharDevice(major=major, minor=first + int(match[1])))
    return None


def _auditd(deed: Exec, login: Account | None) -> Auditd:
    caller = deed.caller
    return Auditd(
        session=None if caller.session is None else str(caller.session),
        user=None if login is None else AuditUser(audit=login),
        truncated=True if deed.truncated else None,
        data=AuditData(
            syscall=caller.call_text,
            arch=caller.arch_text,
            exe=_text(caller.exe),
            comm=_text(caller.comm),
            key=_text(caller.key),
            tty=_text(caller.tty),
            exit=None if caller.exit is None else str(caller.exit),
            **caller.registers,
        ),
    )


def _related(users: list[Account | None], host: str | None) -> Related | None:
    names = {user.name for user in users if user is not None and user.name is not None}
    if not names and host is None:
        return None
    return Related(user=tuple(sorted(names)) or None, hosts=None if host is None else (host,))
