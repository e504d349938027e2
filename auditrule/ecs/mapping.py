"""From audit events to ECS documents: the one place where the audit log's names become ECS's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.audit.boot import BootWatch
from auditrule.audit.fact import (
    ASKED,
    CHILD,
    EXEC,
    FORK,
    PID,
    PPID,
    SERIAL,
    TEXT,
    THREAD,
    THREAD_END,
    WHAT,
    event_of,
    fact_of,
    time_of,
)
from auditrule.audit.process import (
    Exec,
    Fork,
    Start,
    basename,
    quick_caller,
    read_process_event,
)
from auditrule.audit.text import decode_text
from auditrule.ecs.backlog import FEW, Backlog
from auditrule.ecs.document import ECS_VERSION, Document, format_time
from auditrule.ecs.ids import stable_id
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.recorded import RecordedImage, image_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.event import AuditEvent
    from auditrule.audit.fact import Fact, Text
    from auditrule.audit.process import Caller
    from auditrule.ecs.backlog import Logged
    from auditrule.ecs.process_table import ProcessTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMM_BYTES = 15
# Hosts in one log whose boots are watched; a forged node= must not fill the memory.
_MAX_HOSTS = 10_000
_MOST_KNOWN = 1000
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


_ECS = {"version": ECS_VERSION}
_EVENT = {
    "kind": "event",
    "category": ["process"],
    "type": ["start"],
    "action": "exec",
    "outcome": "success",
    "module": "auditd",
}


@dataclass(frozen=True, slots=True)
class _Who:
    """Whose a process is: what documents say of its users, its session and its terminal.

    Nobody changes these: they are parts of many documents.
    """

    owner: Owner
    process: dict[str, Any]
    user: dict[str, Any] | None
    group: dict[str, Any] | None
    login: dict[str, Any] | None
    session: str | None
    tty: str | None
    related: tuple[str, ...]


class _Teller:
    """Tells the process table of a host's facts."""

    def __init__(self, mapper: DocumentMapper, host: str | None) -> None:
        self._mapper = mapper
        self._host = host

    def tell(self, fact: Fact, logged: Logged) -> None:
        self._mapper.tell(self._host, fact, logged)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self._mapper.processes.end(self._host, used, ended)


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
        self._table = table
        self._host = host or HostIdentity()
        self._names = names
        self._boots: dict[str | None, BootWatch] = {}
        self._backlogs: dict[str | None, Backlog] = {}
        self.load_text: Callable[[Text], bytes] = _refuse
        """Loads the records that facts name by their place."""
        table.before_asking = self._settle
        self._exhaustive = exhaustive
        self._most_waiting = most_waiting
        # Few users run all programs.
        self._known: dict[tuple[bytes, bytes], _Who] = {}
        self._lookups = 0

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
        for backlog in self._backlogs.values():
            backlog.shrink()
            backlog.settle_all()
        return {
            "processes": self._table.snapshot(),
            "boots": [[host, watch.snapshot()] for host, watch in self._boots.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        self._table.restore(state["processes"])
        self._backlogs.clear()
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
        host = self._host_key(event.id.node)
        if self._boot_watch(host).is_boot(event):
            self._forget(host)
        deed = read_process_event(event, names)
        if deed is None:
            return None
        fields: dict[str, Any] | None = None
        if isinstance(deed, Exec):
            fields = self._document(deed, self._parent_of(host, deed))
        elif isinstance(deed, Start):
            fields = {}
        self._backlog(host).note([fact_of(deed, event)])
        return fields

    def note(self, node: str | None, facts: Sequence[Fact]) -> None:
        """Take the facts that come next of the host that the log names `node`.

        It is the same as to take their events by `fields`, if none of them is asked about.
        """
        host = self._host_key(node)
        watch = self._boot_watch(host)
        serials = [fact[SERIAL] for fact in facts]
        begin = 0
        while (boot := watch.first_boot(serials[begin:])) is not None:
            self._backlog(host).note(facts[begin : begin + boot])
            self._forget(host)
            self._backlog(host).note(facts[begin + boot : begin + boot + 1])
            begin += boot + 1
        self._backlog(host).note(facts[begin:] if begin else facts)

    def text_of(self, fact: Fact) -> bytes:
        """Return the records of a fact."""
        text = fact[TEXT]
        return text if isinstance(text, bytes) else self.load_text(text)

    def load(self) -> None:
        """Load the records that facts name by their place: the file is to be closed."""
        for backlog in self._backlogs.values():
            backlog.load(self.load_text)

    def _host_key(self, node: str | None) -> str | None:
        """Return whose processes an event is about; None is the host that `host` names."""
        return None if self._host.is_meant_by(node) else node

    def _boot_watch(self, host: str | None) -> BootWatch:
        watch = self._boots.get(host)
        if watch is None:
            if len(self._boots) >= _MAX_HOSTS:
                gone = next(iter(self._boots))
                del self._boots[gone]
                self._forget(gone)
                self._backlogs.pop(gone, None)
            watch = self._boots[host] = BootWatch()
        return watch

    def _backlog(self, host: str | None) -> Backlog:
        backlog = self._backlogs.get(host)
        if backlog is None:
            teller = _Teller(self, host)
            logged = self._table.logged(host)
            backlog = self._backlogs[host] = Backlog(teller, logged, most=self._most_waiting)
            for each in self._backlogs.values():
                each.share = len(self._backlogs)
        return backlog

    def _forget(self, host: str | None) -> None:
        if host in self._backlogs:
            self._backlogs[host].clear()
        self._table.forget(host)

    def _settle(self, host: str | None, pid: int) -> None:
        if host in self._backlogs:
            self._backlogs[host].settle(pid)

    def _parent_of(self, host: str | None, deed: Exec) -> ProcessEntry | None:
        ppid = deed.caller.ppid
        return self._table.parent(host, ppid, deed.id.time_ms) if ppid else None

    def tell(self, host: str | None, fact: Fact, logged: Logged) -> None:
        """Tell the process table of a fact."""
        table, pid = self._table, int(fact[PID])
        text = self.text_of(fact)
        forks, ends = logged
        table.set_logged(host, forks=forks, ends=ends)
        what = fact[WHAT]
        if what in (EXEC, ASKED):
            image = RecordedImage(text, exhaustive=self._exhaustive)
            ppid = int(fact[PPID]) if fact[PPID] else None
            table.exec(host, ProcessEntry(pid, image, None, time_of(text), fact[SERIAL], ppid))
        elif what == FORK:
            self._tell_fork(host, fact, text)
        elif what == THREAD:
            table.thread_made(host, pid)
        else:
            table.exit(host, pid, time_of(text), thread_only=what == THREAD_END)

    def _tell_fork(self, host: str | None, fact: Fact, record: bytes) -> None:
        forker = None if self._exhaustive else quick_caller(record)
        who = None if forker is None else self._known.get(forker.spelling)
        if forker is not None and who is not None:
            owner, time_ms = who.owner, forker.time_ms
            exe, image = _forking(forker.exe, forker.comm)
            may_be_thread = forker.call == "clone3"
        else:
            deed = read_process_event(event_of(record, exhaustive=self._exhaustive))
            if not isinstance(deed, Fork):
                return
            owner, time_ms = self._who(deed.caller).owner, deed.id.time_ms
            exe, image = _forking(deed.caller.exe, deed.caller.comm)
            may_be_thread = deed.is_thread is None
        ppid = int(fact[PPID]) if fact[PPID] else None
        parent = ProcessEntry(int(fact[PID]), image, owner, time_ms, fact[SERIAL], ppid)
        self._table.fork(
            host,
            parent=parent,
            child=int(fact[CHILD]),
            may_be_thread=may_be_thread,
            exe=exe,
        )

    def _who(self, caller: Caller) -> _Who:
        """Return whose process it is."""
        spelling = caller.spelling
        if spelling is not None and (known := self._known.get(spelling)) is not None:
            return known
        lookups = self._lookups
        who = self._read_who(caller)
        # The host's own names of users may change; those of the record do not.
        if spelling is not None and lookups == self._lookups and len(self._known) < _MOST_KNOWN:
            self._known[spelling] = who
        return who

    def _read_who(self, caller: Caller) -> _Who:
        real_user, real_group = self._user(caller, "uid"), self._group(caller, "gid")
        user, group = self._user(caller, "euid"), self._group(caller, "egid")
        saved_user, saved_group = self._user(caller, "suid"), self._group(caller, "sgid")
        login, tty, session = self._user(caller, "auid"), caller.tty, caller.session
        return _Who(
            owner=Owner(
                user_id=caller.id("euid"),
                user_name=None if user is None else user.get("name"),
                group_id=caller.id("egid"),
                group_name=None if group is None else group.get("name"),
                interactive=tty is not None,
            ),
            process=_present(
                {
                    "interactive": tty is not None,
                    "user": user,
                    "group": group,
                    "tty": _tty(tty),
                    "real_user": real_user,
                    "saved_user": saved_user,
                    "real_group": real_group,
                    "saved_group": saved_group,
                }
            ),
            user=_acting(user, real_user),
            group=_acting(group, real_group),
            login=None if login is None else {"audit": login},
            session=None if session is None else str(session),
            tty=text(tty),
            related=_names_of(login, real_user, user, saved_user),
        )

    def _document(self, deed: Exec, parent: ProcessEntry | None) -> dict[str, Any]:
        caller, event_id, who = deed.caller, deed.id, self._who(deed.caller)
        host = event_id.node or self._host.name
        host_id = self._host.id if self._host.is_meant_by(event_id.node) else None
        time = _time(event_id.time_ms)
        process = {
            "pid": caller.pid,
            "entity_id": _entity_id(host, caller.pid, event_id.time_ms, event_id.serial),
            "start": time,
            **_present(_image_fields(image_of(deed))),
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
            "host": _present(
                {"os": {"type": "linux"}, "name": host, "hostname": host, "id": host_id}
            ),
            "process": process,
            "user": who.user,
            "group": who.group,
            "auditd": _auditd(deed, who),
            "related": _related(who.related, host),
        }
        return _present(fields)

    def _parent(self, host: str | None, pid: int, entry: ProcessEntry | None) -> dict[str, Any]:
        if entry is None:
            return {"pid": pid}
        if entry.fields is None:
            owner = self._owner(entry)
            entry.fields = _present(
                {
                    "pid": pid,
                    "entity_id": _entity_id(host, entry.pid, entry.started_ms, entry.serial),
                    **_image_fields(Image() if entry.image is None else entry.image.told()),
                    "interactive": owner.interactive,
                    "user": _account(owner.user_id, owner.user_name),
                    "group": _account(owner.group_id, owner.group_name),
                }
            )
        return entry.fields

    def _owner(self, entry: ProcessEntry) -> Owner:
        """Return whom a process runs as."""
        if entry.owner is None:
            entry.owner = Owner()
            if isinstance(entry.image, RecordedImage):
                entry.owner = self._who(entry.image.caller()).owner
        return entry.owner

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
        self._lookups += 1
        return self._names.user(uid)

    def _group_name(self, gid: int | None, said: str | None) -> str | None:
        if said is not None or gid is None or self._names is None:
            return said
        self._lookups += 1
        return self._names.group(gid)


@lru_cache(maxsize=1000)
def _forking(exe: bytes | None, comm: bytes | None) -> tuple[str | None, Image | None]:
    """Return a forking process's file, and its image where the fork's record tells it.

    It is the file, unless that is a script's interpreter: then comm is the script's name, cut.
    """
    path = text(exe)
    if exe is None or basename(exe)[:_COMM_BYTES] != comm:
        return path, None
    return path, Image(executable=path, name=text(basename(exe)), exe=path)


def _refuse(place: Text) -> bytes:
    if isinstance(place, bytes):
        return place
    raise TypeError("no file is open whose records a fact could name")


@lru_cache(maxsize=16)
def _time(time_ms: int) -> str:
    return format_time(_EPOCH + timedelta(milliseconds=time_ms))


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


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


def _auditd(deed: Exec, who: _Who) -> dict[str, Any]:
    caller = deed.caller
    exit_code = caller.exit
    return _present(
        {
            "session": who.session,
            "user": who.login,
            "truncated": True if deed.truncated else None,
            "data": _present(
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


def _names_of(*users: dict[str, Any] | None) -> tuple[str, ...]:
    names = {user["name"] for user in users if user is not None and "name" in user}
    return tuple(sorted(names))


def _related(names: tuple[str, ...], host: str | None) -> dict[str, Any] | None:
    related = {}
    if names:
        related["user"] = list(names)
    if host is not None:
        related["hosts"] = [host]
    return related or None
