"""Facts that wait are told in time: the process table answers as if it had been told of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from process_facts import FIRST_MS, AllTold, Teller, fact

from auditrule.audit.fact import END, EXEC, FORK, ID, THREAD, THREAD_END, time_of, with_text
from auditrule.ecs.backlog import FEW, MOST_BYTES, Backlog

if TYPE_CHECKING:
    from auditrule.audit.fact import Fact

LATER = FIRST_MS + 10_000_000


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
    begin, now = 0, 0
    while begin < len(facts):
        end = data.draw(st.integers(begin + 1, len(facts)))
        backlog.note(facts[begin:end])
        begin = end
        eager = AllTold()
        for each in facts[:end]:
            eager.take(each)
        now = time_of(facts[end - 1][ID]) + 1000
        for pid in data.draw(st.lists(st.integers(2, 12), max_size=3)):
            backlog.settle(pid)
            assert teller.parent(pid, now) == eager.parent(pid, now)
    backlog.settle_all()
    for pid in range(2, 12):
        assert teller.parent(pid, now) == eager.parent(pid, now)
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
    assert teller.parent(2, LATER) == ("exec 1", FIRST_MS + 1000)


def test_where_ends_are_not_logged_all_are_known() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    backlog.note([fact(EXEC, pid, pid) for pid in range(2, 2 * FEW)])
    backlog.settle(2)
    assert teller.parent(2, LATER) == ("exec 2", FIRST_MS + 2000)


def test_many_forks_deep_is_no_depth() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    facts = [fact(EXEC, 2, 1)]
    facts += [fact(FORK, pid, pid, child=pid + 1) for pid in range(2, 5000)]
    backlog.note(facts)
    backlog.settle(5000)
    known = teller.parent(5000, LATER)
    assert known is not None
    assert known[0] == "exec 1"


def test_long_records_do_not_wait() -> None:
    teller = Teller()
    backlog = Backlog(teller)
    size = MOST_BYTES // 4
    for pid in range(2, 12):
        backlog.note([with_text(fact(EXEC, pid, pid), b"x" * size)])
        assert len(backlog) <= 4
    assert teller.told


def test_who_has_just_ended_is_not_known_by_what_it_ran_before() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=32)
    facts = [fact(EXEC, 2, 1, ms=0), fact(FORK, 2, 2, child=4, ms=0), fact(EXEC, 2, 3, ms=0)]
    facts += [fact(END, 2, 4, ms=0), *(fact(EXEC, 3, serial, ms=0) for serial in range(5, 40))]
    backlog.note(facts)
    assert len(backlog) < len(facts)
    backlog.settle(2)
    assert teller.parent(2, FIRST_MS + 50) == ("exec 3", FIRST_MS)
    backlog.settle(4)
    assert teller.parent(4, FIRST_MS + 50) == ("exec 1", FIRST_MS)


@given(st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_there_is_room_again_whatever_waits(forks: int, execs: int, ends: bool) -> None:
    """Processes that are never heard of again keep those waiting that they come from."""
    teller = Teller()
    backlog = Backlog(teller, most=64)
    facts: list[Fact] = []
    for pid in range(2, 3000, 4):
        facts += [fact(EXEC, pid, len(facts) + n) for n in range(execs)]
        facts += [fact(FORK, pid, len(facts) + n, child=pid + 1 + n) for n in range(forks)]
        facts += [fact(END, pid, len(facts))] if ends else []
    for each in facts:
        backlog.note([each])
    assert teller.parts <= 1 + len(facts) / 16
