"""The processes of all hosts: what the log says of them, until somebody asks for a parent."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from auditrule.audit.boot import BootWatch
from auditrule.audit.fact import (
    ASKED,
    EXEC,
    FORK,
    NOBODY,
    THREAD,
    THREAD_END,
    event_of,
)
from auditrule.audit.process import Fork, basename, quick_caller, read_process_event
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.recorded import RecordedImage, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditrule.audit.event import AuditEvent
    from auditrule.audit.fact import Fact, Text
    from auditrule.audit.facts import Facts, Index
    from auditrule.ecs.backlog import Backlog
    from auditrule.ecs.process_table import Logged, ProcessTable
    from auditrule.ecs.who import WhoReader

FEW: Final = 1024
"""How many facts wait where nobody is to wait for them to be told."""
MANY: Final = 16 << 10
"""How many wait where time does not matter, but work: the more of them have ended together."""
_COMM_BYTES = 15
# Hosts in one log whose boots are watched; a forged node= must not fill the memory.
_MAX_HOSTS = 10_000
_MOST_FORKERS = 10_000


class _Teller:
    """Tells the process table of a host's facts."""

    def __init__(self, processes: Processes, host: str | None) -> None:
        self._processes = processes
        self._host = host

    def tell(self, fact: Fact, logged: Logged) -> None:
        self._processes.tell(self._host, fact, logged)

    def known(self) -> list[int]:
        return self._processes.table.known(self._host)

    def knows(self, pid: int) -> bool:
        return self._processes.table.knows(self._host, pid)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self._processes.table.end(self._host, used, ended)


class _Forker(NamedTuple):
    """Who makes a fork: the file, the image if that is known by it, the owner.

    `may_make_thread` tells that the fork's record does not tell whether it made one.
    """

    exe: str | None
    image: Image | None
    owner: Owner
    may_make_thread: bool


class Processes:
    """Keeps what is said of processes, and tells a process table of those that are asked for.

    A host is told by its name, None being the one whose log this is. `most_waiting` facts wait to
    be asked for (auditrule.ecs.backlog). With `exhaustive`, the grammar reads their records.
    """

    def __init__(
        self, table: ProcessTable, who: WhoReader, *, exhaustive: bool, most_waiting: int
    ) -> None:
        self.table = table
        self._who = who
        self._exhaustive = exhaustive
        self._most_waiting = most_waiting
        self._boots: dict[str | None, BootWatch] = {}
        self._backlogs: dict[str | None, Backlog] = {}
        self.load_text: Callable[[Text], bytes] = _refuse
        """Loads the records that facts name by their place."""
        self._forkers: dict[bytes, _Forker] = {}
        table.before_asking = self._settle

    def look_for_boot(self, host: str | None, event: AuditEvent) -> None:
        """Take the next event of a host: its processes are others if it has booted."""
        if self._boot_watch(host).is_boot(event):
            self._forget(host)

    def look_for_boot_at(self, host: str | None, serial: int) -> None:
        """Do so with the next system call's event, by its serial."""
        if self._boot_watch(host).first_boot([serial]) is not None:
            self._forget(host)

    def pass_over(self, host: str | None, lowest: int, highest: int) -> bool:
        """Take the serials of events that come next, if there is no boot among them; tell so."""
        return self._boot_watch(host).pass_over(lowest, highest)

    def note(self, host: str | None, fact: Fact) -> None:
        """Take the fact of an event, the next one."""
        self._backlog(host).note(fact)

    def take(self, host: str | None, facts: Facts, index: Index) -> Backlog:
        """Take the facts of events that come next, as they are reached."""
        backlog = self._backlog(host)
        backlog.take(facts, index)
        return backlog

    def parent(self, host: str | None, ppid: int | None, at_ms: int) -> ProcessEntry | None:
        """Return the process that was a parent, as ProcessTable.parent does."""
        return self.table.parent(host, ppid, at_ms) if ppid else None

    def image_at_hand(self, host: str | None, pid: int, at_ms: int) -> RecordedImage | None:
        """Return what a process runs that was a parent then, where that takes no telling.

        It is what the parent's entry would have, and None where only that tells.
        """
        backlog = self._backlogs.get(host)
        if backlog is None or (self.table.is_live and host is None):
            return None
        found = backlog.last_exec(pid, at_ms)
        if found is None:
            return None
        start, forks = found
        image = RecordedImage(self.text_of(start), exhaustive=self._exhaustive)
        for fork in forks:
            # Its maker would be known by it, if it were not of what runs (ProcessTable.fork).
            forker = self._forkers.get(fork.by) or self._forker(fork)
            if forker is None or not image.is_of(forker.exe):
                return None
        if start.chances is not None:
            image.chances = start.chances[1]
        return image if start.ms > 0 else None

    def owner(self, entry: ProcessEntry) -> Owner:
        """Return whom a process runs as."""
        if entry.owner is None:
            entry.owner = Owner()
            if isinstance(entry.image, RecordedImage):
                entry.owner = self._who.read(entry.image.caller()).owner
        return entry.owner

    def text_of(self, fact: Fact) -> bytes:
        """Return the records of a fact."""
        return fact.text if isinstance(fact.text, bytes) else self.load_text(fact.text)

    def forget_chances(self) -> None:
        """Take notice that the rules are others."""
        for backlog in self._backlogs.values():
            backlog.forget_chances()
        self.table.forget_chances()

    def load(self) -> None:
        """Load the records that facts name by their place: the file is to be closed."""
        for backlog in self._backlogs.values():
            backlog.load(self.load_text)

    def snapshot(self) -> dict[str, Any]:
        """Return what is remembered as JSON values."""
        for backlog in self._backlogs.values():
            backlog.shrink()
            backlog.settle_all()
        return {
            "processes": self.table.snapshot(),
            "boots": [[host, watch.snapshot()] for host, watch in self._boots.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        self.table.restore(state["processes"])
        self._backlogs.clear()
        self._boots.clear()
        for host, boot in state["boots"]:
            self._boots.setdefault(host, BootWatch()).restore(boot)

    def tell(self, host: str | None, fact: Fact, logged: Logged) -> None:
        """Tell the process table of a fact."""
        table, pid = self.table, fact.pid
        table.set_logged(host, logged)
        what = fact.what
        if what in (EXEC, ASKED):
            image = RecordedImage(self.text_of(fact), exhaustive=self._exhaustive)
            image.chances = None if fact.chances is None else fact.chances[1]
            ppid = _told(fact.ppid)
            table.exec(host, ProcessEntry(pid, image, None, fact.ms, fact.serial, ppid))
        elif what == FORK:
            self._tell_fork(host, fact)
        elif what == THREAD:
            table.thread_made(host, pid)
        else:
            table.exit(host, pid, fact.ms, thread_only=what == THREAD_END)

    def _tell_fork(self, host: str | None, fact: Fact) -> None:
        forker = self._forkers.get(fact.by) or self._forker(fact)
        if forker is None:
            return
        pid, ms, serial, ppid = fact.pid, fact.ms, fact.serial, _told(fact.ppid)
        self.table.fork(
            host,
            parent=ProcessEntry(pid, forker.image, forker.owner, ms, serial, ppid),
            child=fact.child,
            may_be_thread=forker.may_make_thread,
            exe=forker.exe,
        )

    def _forker(self, fact: Fact) -> _Forker | None:
        """Return who makes a fork, which the same BY tells again, once its owner is known."""
        record = self.text_of(fact)
        quick = None if self._exhaustive else quick_caller(record)
        who = None if quick is None else self._who.known(quick.spelling)
        if quick is not None and who is not None:
            forker = _Forker(*_forking(quick.exe, quick.comm), who.owner, quick.call == "clone3")
            if fact.by and len(self._forkers) < _MOST_FORKERS:
                self._forkers[fact.by] = forker
            return forker
        deed = read_process_event(event_of(record, exhaustive=self._exhaustive))
        if not isinstance(deed, Fork):
            return None
        owner = self._who.read(deed.caller).owner
        return _Forker(*_forking(deed.caller.exe, deed.caller.comm), owner, deed.is_thread is None)

    def _boot_watch(self, host: str | None) -> BootWatch:
        watch = self._boots.get(host)
        if watch is None:
            if len(self._boots) >= _MAX_HOSTS:
                gone = next(iter(self._boots))
                del self._boots[gone]
                self._backlogs.pop(gone, None)
                self.table.drop_host(gone)
            watch = self._boots[host] = BootWatch()
        return watch

    def _backlog(self, host: str | None) -> Backlog:
        backlog = self._backlogs.get(host)
        if backlog is None:
            # It takes long to load, and a log may be empty.
            from auditrule.ecs.backlog import Backlog

            teller = _Teller(self, host)
            backlog = Backlog(
                teller,
                self.table.logged(host),
                most=self._most_waiting,
                share=self._backlogs.__len__,
            )
            self._backlogs[host] = backlog
        return backlog

    def _forget(self, host: str | None) -> None:
        if host in self._backlogs:
            self._backlogs[host].clear()
        self.table.forget(host)

    def _settle(self, host: str | None, pid: int) -> None:
        if host in self._backlogs:
            self._backlogs[host].settle(pid)


@lru_cache(maxsize=1000)
def _forking(exe: bytes | None, comm: bytes | None) -> tuple[str | None, Image | None]:
    """Return a forking process's file, and its image where the fork's record tells it.

    It is the file, unless that is a script's interpreter: then comm is the script's name, cut.
    """
    path = text(exe)
    if exe is None or basename(exe)[:_COMM_BYTES] != comm:
        return path, None
    return path, Image(executable=path, name=text(basename(exe)), exe=path)


def _told(pid: int) -> int | None:
    return None if pid == NOBODY else pid


def _refuse(place: Text) -> bytes:
    if isinstance(place, bytes):
        return place
    raise TypeError("no file is open whose records a fact could name")
