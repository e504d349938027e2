"""Facts that wait are told in time: the process table answers as if it had been told of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule.audit.fact import CHILD, END, EXEC, FORK, PID, SERIAL, THREAD, THREAD_END, WHAT
from auditrule.ecs.backlog import FEW, MOST_BYTES, Backlog
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.process_table import ProcessTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.audit.fact import Fact
    from auditrule.ecs.backlog import Logged

# More than an ended process is remembered as a parent.
STEP_MS = 1000


def fact(what: int, pid: int, at: int, *, child: int = 0, ppid: int = 1) -> Fact:
    return (0, what, b"%d" % pid, b"%d" % ppid, b"%d" % child if child else b"", at, b"text", b"by")


class Teller:
    """Tells a process table; what ran is known by the serial of its exec."""

    def __init__(self) -> None:
        self.table = ProcessTable()
        self.told: list[int] = []

    def tell(self, fact: Fact, logged: Logged) -> None:
        self.told.append(fact[SERIAL])
        table, pid, at = self.table, int(fact[PID]), STEP_MS * fact[SERIAL]
        table.set_logged(None, forks=logged[0], ends=logged[1])
        if fact[WHAT] == EXEC:
            image = Image(name=f"exec {fact[SERIAL]}", exe="/x")
            table.exec(None, ProcessEntry(pid, image, Owner(), at, fact[SERIAL], 1))
        elif fact[WHAT] == FORK:
            caller = ProcessEntry(pid, Image(exe="/x"), Owner(), at, fact[SERIAL], 1)
            child = int(fact[CHILD])
            table.fork(None, parent=caller, child=child, may_be_thread=False, exe="/x")
        elif fact[WHAT] == THREAD:
            table.thread_made(None, pid)
        else:
            table.exit(None, pid, at, thread_only=fact[WHAT] == THREAD_END)

    def end(self, used: Iterable[int], ended: Iterable[int]) -> None:
        self.table.end(None, used, ended)

    def knows(self, pid: int, serial: int) -> tuple[str | None, int] | None:
        entry = self.table.parent(None, pid, STEP_MS * serial)
        if entry is None:
            return None
        return None if entry.image is None else entry.image.told().name, entry.started_ms


def all_told(facts: list[Fact]) -> Teller:
    teller = Teller()
    forks = ends = False
    for each in facts:
        forks, ends = forks or each[WHAT] == FORK, ends or each[WHAT] == END
        teller.tell(each, (forks, ends))
    return teller


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Return facts of a few processes, each of which is made, runs programs, forks and ends."""
    facts: list[Fact] = []
    living = {2, 3}
    for serial in range(1, draw(st.integers(1, 60)) + 1):
        pid = draw(st.sampled_from(sorted(living)))
        what = draw(st.sampled_from([EXEC, EXEC, FORK, FORK, FORK, END, THREAD, THREAD_END]))
        free = sorted(set(range(2, 12)) - living)
        if what == FORK and free:
            child = draw(st.sampled_from(free))
            living.add(child)
            facts.append(fact(FORK, pid, serial, child=child))
        elif what == END and len(living) > 1:
            living.remove(pid)
            facts.append(fact(END, pid, serial))
        elif what not in (FORK, END):
            facts.append(fact(what, pid, serial))
    return facts


@settings(deadline=None, max_examples=400)
@given(lives(), st.data())
def test_whoever_is_asked_for_is_known_as_if_all_had_been_told(
    facts: list[Fact], data: st.DataObject
) -> None:
    teller = Teller()
    backlog = Backlog(teller, most=data.draw(st.integers(16, 30)))
    begin, serial = 0, 1
    while begin < len(facts):
        end = data.draw(st.integers(begin + 1, len(facts)))
        backlog.note(facts[begin:end])
        begin = end
        eager = all_told(facts[:end])
        serial = facts[end - 1][SERIAL] + 1
        for pid in data.draw(st.lists(st.integers(2, 12), max_size=3)):
            backlog.settle(pid)
            assert teller.knows(pid, serial) == eager.knows(pid, serial)
    backlog.settle_all()
    for pid in range(2, 12):
        assert teller.knows(pid, serial) == eager.knows(pid, serial)
    assert len(teller.told) == len(set(teller.told))


def test_processes_that_nobody_asks_about_are_never_told() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    facts = [fact(EXEC, 2, 1)]
    for serial in range(2, 2 * FEW, 3):
        child = 10 + serial
        facts += [
            fact(FORK, 2, serial, child=child),
            fact(EXEC, child, serial + 1, ppid=2),
            fact(END, child, serial + 2, ppid=2),
        ]
    backlog.note(facts)
    # The shell, and each time its last fork, as that tells what it runs.
    assert len(teller.told) <= 5
    assert len(backlog) < FEW
    backlog.settle(2)
    assert teller.knows(2, 3 * FEW) == ("exec 1", STEP_MS)


def test_where_ends_are_not_logged_all_are_known() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    backlog.note([fact(EXEC, pid, pid) for pid in range(2, 2 * FEW)])
    backlog.settle(2)
    assert teller.knows(2, 3 * FEW) == ("exec 2", 2 * STEP_MS)


def test_many_forks_deep_is_no_depth() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    facts = [fact(EXEC, 2, 1)]
    facts += [fact(FORK, pid, pid, child=pid + 1) for pid in range(2, 5000)]
    backlog.note(facts)
    backlog.settle(5000)
    known = teller.knows(5000, 6000)
    assert known is not None
    assert known[0] == "exec 1"


def test_long_records_do_not_wait() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    size = MOST_BYTES // 4
    for pid in range(2, 12):
        backlog.note([(*fact(EXEC, pid, pid)[:6], b"x" * size, b"")])
        assert len(backlog) <= 4
    assert teller.told
