"""Facts of processes made up, and a process table that is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditrule.audit.fact import (
    ASKED,
    END,
    EXEC,
    FORK,
    NOBODY,
    THREAD,
    THREAD_END,
    Fact,
)
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.process_table import Logged, ProcessTable

if TYPE_CHECKING:
    from collections.abc import Iterable


FIRST_MS = 1_700_000_000_000


def fact(
    what: int, pid: int, serial: int, *, child: int = 0, ppid: int = 1, ms: int | None = None
) -> Fact:
    """Return a fact, so many milliseconds after the first; a second for each serial if not told."""
    at = FIRST_MS + (1000 * serial if ms is None else ms)
    return Fact(what, pid, ppid, child or NOBODY, at, serial, b"text", b"by")


class Teller:
    """Tells a process table; what ran is known by the serial of its exec."""

    def __init__(self) -> None:
        self.table = ProcessTable()
        self.told: list[int] = []
        self.parts = 0

    def tell(self, fact: Fact, logged: Logged) -> None:
        serial, at, pid, ppid = fact.serial, fact.ms, fact.pid, fact.ppid
        self.told.append(serial)
        table = self.table
        table.set_logged(None, logged)
        if fact.what in (EXEC, ASKED):
            image = Image(name=f"exec {serial}", exe="/x")
            table.exec(None, ProcessEntry(pid, image, Owner(), at, serial, ppid))
        elif fact.what == FORK:
            caller = ProcessEntry(pid, Image(exe="/x"), Owner(), at, serial, ppid)
            table.fork(None, parent=caller, child=fact.child, may_be_thread=False, exe="/x")
        elif fact.what == THREAD:
            table.thread_made(None, pid)
        else:
            table.exit(None, pid, at, thread_only=fact.what == THREAD_END)

    def known(self) -> list[int]:
        return self.table.known(None)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self.parts += 1
        self.table.end(None, used, ended)

    def at_hand(
        self, pid: int, found: tuple[Fact, list[Fact]] | None
    ) -> tuple[str | None, int] | None:
        """Return the same, of which a backlog says that it needs no telling; None if it does."""
        if found is None:
            return None
        start, forks = found
        made_ms = [fork.ms for fork in forks if fork.child == pid]
        return f"exec {start.serial}", made_ms[0] if made_ms else start.ms

    def knows(self, pid: int) -> bool:
        return self.table.knows(None, pid)

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
        self._forks = self._forks or fact.what == FORK
        self._ends = self._ends or fact.what == END
        self.tell(fact, Logged(self._forks, self._ends))
