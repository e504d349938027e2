"""The processes of all hosts: what the log says of them, until somebody asks for a parent."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from auditrule.audit.boot import BootWatch
from auditrule.audit.fact import (
    ASKED,
    CHANCES,
    CHILD,
    EXEC,
    FORK,
    ID,
    PID,
    PPID,
    TEXT,
    THREAD,
    THREAD_END,
    WHAT,
    event_of,
    serial_of,
    time_of,
)
from auditrule.audit.process import Fork, basename, quick_caller, read_process_event
from auditrule.ecs.backlog import Backlog
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.recorded import RecordedImage, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditrule.audit.event import AuditEvent
    from auditrule.audit.fact import Fact, Text
    from auditrule.ecs.backlog import Logged
    from auditrule.ecs.process_table import ProcessTable
    from auditrule.ecs.who import WhoReader

_COMM_BYTES = 15
# Hosts in one log whose boots are watched; a forged node= must not fill the memory.
_MAX_HOSTS = 10_000


class _Teller:
    """Tells the process table of a host's facts."""

    def __init__(self, processes: Processes, host: str | None) -> None:
        self._processes = processes
        self._host = host

    def tell(self, fact: Fact, logged: Logged) -> None:
        self._processes.tell(self._host, fact, logged)

    def knows(self, pid: int) -> bool:
        return self._processes.table.knows(self._host, pid)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self._processes.table.end(self._host, used, ended)


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
        table.before_asking = self._settle

    def look_for_boot(self, host: str | None, event: AuditEvent) -> None:
        """Take the next event of a host: its processes are others if it has booted."""
        if self._boot_watch(host).is_boot(event):
            self._forget(host)

    def look_for_boot_at(self, host: str | None, at_id: bytes) -> None:
        """Do so with the next system call's event, by its ID."""
        if self._boot_watch(host).first_boot([serial_of(at_id)]) is not None:
            self._forget(host)

    def note(self, host: str | None, fact: Fact) -> None:
        """Take the fact of an event that was looked at."""
        self._backlog(host).note([fact])

    def pass_over(self, host: str | None, lowest: int, highest: int) -> bool:
        """Take the serials of events that come next, if there is no boot among them; tell so."""
        return self._boot_watch(host).pass_over(lowest, highest)

    def note_gone(self, host: str | None, gone: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the ends of processes that are left out of the facts before (ecs.sift)."""
        self._backlog(host).note_gone(gone)

    def note_all(self, host: str | None, facts: Sequence[Fact], *, may_boot: bool = True) -> None:
        """Take the facts of a host that come next, and look for boots among them, if need be."""
        if not may_boot:
            self._backlog(host).note(facts)
            return
        watch = self._boot_watch(host)
        serials = [serial_of(fact[ID]) for fact in facts]
        begin = 0
        while (boot := watch.first_boot(serials[begin:])) is not None:
            self._backlog(host).note(facts[begin : begin + boot])
            self._forget(host)
            self._backlog(host).note(facts[begin + boot : begin + boot + 1])
            begin += boot + 1
        self._backlog(host).note(facts[begin:] if begin else facts)

    def parent(self, host: str | None, ppid: int | None, at_ms: int) -> ProcessEntry | None:
        """Return the process that was a parent, as ProcessTable.parent does."""
        return self.table.parent(host, ppid, at_ms) if ppid else None

    def owner(self, entry: ProcessEntry) -> Owner:
        """Return whom a process runs as."""
        if entry.owner is None:
            entry.owner = Owner()
            if isinstance(entry.image, RecordedImage):
                entry.owner = self._who.read(entry.image.caller()).owner
        return entry.owner

    def text_of(self, fact: Fact) -> bytes:
        """Return the records of a fact."""
        text = fact[TEXT]
        return text if isinstance(text, bytes) else self.load_text(text)

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
        table, pid = self.table, int(fact[PID])
        forks, ends = logged
        table.set_logged(host, forks=forks, ends=ends)
        what = fact[WHAT]
        if what in (EXEC, ASKED):
            image = RecordedImage(self.text_of(fact), exhaustive=self._exhaustive)
            ppid = int(fact[PPID]) if fact[PPID] else None
            image.chances = None if fact[CHANCES] is None else fact[CHANCES][1]
            at_id = fact[ID]
            table.exec(host, ProcessEntry(pid, image, None, time_of(at_id), serial_of(at_id), ppid))
        elif what == FORK:
            self._tell_fork(host, fact, self.text_of(fact))
        elif what == THREAD:
            table.thread_made(host, pid)
        else:
            table.exit(host, pid, time_of(fact[ID]), thread_only=what == THREAD_END)

    def _tell_fork(self, host: str | None, fact: Fact, record: bytes) -> None:
        forker = None if self._exhaustive else quick_caller(record)
        who = None if forker is None else self._who.known(forker.spelling)
        if forker is not None and who is not None:
            owner = who.owner
            exe, image = _forking(forker.exe, forker.comm)
            may_be_thread = forker.call == "clone3"
        else:
            deed = read_process_event(event_of(record, exhaustive=self._exhaustive))
            if not isinstance(deed, Fork):
                return
            owner = self._who.read(deed.caller).owner
            exe, image = _forking(deed.caller.exe, deed.caller.comm)
            may_be_thread = deed.is_thread is None
        ppid = int(fact[PPID]) if fact[PPID] else None
        at_id = fact[ID]
        parent = ProcessEntry(int(fact[PID]), image, owner, time_of(at_id), serial_of(at_id), ppid)
        self.table.fork(
            host,
            parent=parent,
            child=int(fact[CHILD]),
            may_be_thread=may_be_thread,
            exe=exe,
        )

    def _boot_watch(self, host: str | None) -> BootWatch:
        watch = self._boots.get(host)
        if watch is None:
            if len(self._boots) >= _MAX_HOSTS:
                gone = next(iter(self._boots))
                del self._boots[gone]
                self._backlogs.pop(gone, None)
            watch = self._boots[host] = BootWatch()
        return watch

    def _backlog(self, host: str | None) -> Backlog:
        backlog = self._backlogs.get(host)
        if backlog is None:
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


def _refuse(place: Text) -> bytes:
    if isinstance(place, bytes):
        return place
    raise TypeError("no file is open whose records a fact could name")
