"""Facts of processes made up, and a process table that is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditrule.audit.fact import (
    ASKED,
    CHILD,
    END,
    EXEC,
    FORK,
    ID,
    PID,
    PPID,
    THREAD,
    THREAD_END,
    WHAT,
    serial_of,
    time_of,
)
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.process_table import ProcessTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.audit.fact import Fact
    from auditrule.ecs.backlog import Logged

FIRST_MS = 1_700_000_000_000


def fact(
    what: int, pid: int, serial: int, *, child: int = 0, ppid: int = 1, ms: int | None = None
) -> Fact:
    """Return a fact, so many milliseconds after the first; a second for each serial if not told."""
    seconds, millis = divmod(FIRST_MS + (1000 * serial if ms is None else ms), 1000)
    at_id = b"%d.%03d:%d" % (seconds, millis, serial)
    number = b"%d" % child if child else b""
    return (serial, what, b"%d" % pid, b"%d" % ppid, number, at_id, b"text", b"by", None)


class Teller:
    """Tells a process table; what ran is known by the serial of its exec."""

    def __init__(self) -> None:
        self.table = ProcessTable()
        self.told: list[int] = []
        self.parts = 0

    def tell(self, fact: Fact, logged: Logged) -> None:
        serial, at, pid = serial_of(fact[ID]), time_of(fact[ID]), int(fact[PID])
        self.told.append(serial)
        table = self.table
        table.set_logged(None, forks=logged[0], ends=logged[1])
        if fact[WHAT] in (EXEC, ASKED):
            image = Image(name=f"exec {serial}", exe="/x")
            table.exec(None, ProcessEntry(pid, image, Owner(), at, serial, int(fact[PPID])))
        elif fact[WHAT] == FORK:
            caller = ProcessEntry(pid, Image(exe="/x"), Owner(), at, serial, int(fact[PPID]))
            child = int(fact[CHILD])
            table.fork(None, parent=caller, child=child, may_be_thread=False, exe="/x")
        elif fact[WHAT] == THREAD:
            table.thread_made(None, pid)
        else:
            table.exit(None, pid, at, thread_only=fact[WHAT] == THREAD_END)

    def knows(self, pid: int) -> bool:
        return self.table.knows(None, pid)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self.parts += 1
        self.table.end(None, used, ended)

    def parent(self, pid: int, at_ms: int) -> tuple[str | None, int] | None:
        """Return what the parent runs that had `pid` then, and since when."""
        entry = self.table.parent(None, pid, at_ms)
        if entry is None:
            return None
        return None if entry.image is None else entry.image.told().name, entry.started_ms


class AllTold(Teller):
    """A table that is told of each fact at once."""

    def __init__(self) -> None:
        super().__init__()
        self._forks = self._ends = False

    def take(self, fact: Fact) -> None:
        self._forks = self._forks or fact[WHAT] == FORK
        self._ends = self._ends or fact[WHAT] == END
        self.tell(fact, (self._forks, self._ends))
