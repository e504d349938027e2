"""What does not matter is left out: whoever is asked about is known as if it had not been."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from process_facts import FIRST_MS, AllTold, Teller, fact

from auditrule.audit.fact import (
    ASKED,
    END,
    EXEC,
    FORK,
    ID,
    PPID,
    THREAD,
    THREAD_END,
    WHAT,
    time_of,
)
from auditrule.ecs.backlog import Backlog
from auditrule.ecs.sift import sift

if TYPE_CHECKING:
    from auditrule.audit.fact import Fact

PIDS = range(2, 12)


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Return facts of a few processes that fork, run programs and end, some of them asked about.

    Times pass slowly and quickly, pids are used again, and the record of a call that returns may
    be behind later ones, such as a fork's behind those of the child. An end's is written at once.
    """
    facts: list[Fact] = []
    parents = {2: 1, 3: 1}
    ms = 0
    for serial in range(1, draw(st.integers(1, 60)) + 1):
        ms += draw(st.sampled_from([0, 1, 60, 150, 700, 3000]))
        pid = draw(st.sampled_from(sorted(parents)))
        ppid = parents[pid]
        what = draw(st.sampled_from([EXEC, ASKED, FORK, FORK, END, END, THREAD, THREAD_END]))
        free = sorted(set(PIDS) - parents.keys())
        if what == FORK and free:
            child = draw(st.sampled_from(free))
            parents[child] = pid
            facts.append(fact(FORK, pid, serial, child=child, ppid=ppid, ms=ms))
        elif what == END and len(parents) > 1:
            del parents[pid]
            facts.append(fact(END, pid, serial, ppid=ppid, ms=ms))
        elif what not in (FORK, END):
            facts.append(fact(what, pid, serial, ppid=ppid, ms=ms))
    for n in draw(st.lists(st.integers(0, max(len(facts) - 2, 0)), max_size=4)):
        if facts[n : n + 1] and facts[n][WHAT] not in (END, THREAD_END):
            facts[n : n + 2] = facts[n : n + 2][::-1]
    return facts


@settings(deadline=None, max_examples=400)
@given(lives(), st.data())
def test_whoever_is_asked_about_is_known_as_if_nothing_were_left_out(
    facts: list[Fact], data: st.DataObject
) -> None:
    teller, eager = Teller(), AllTold()
    backlog = Backlog(teller)
    begin = 0
    while begin < len(facts):
        end = data.draw(st.integers(begin + 1, len(facts)))
        part = facts[begin:end]
        begin = end
        answers = {}
        for each in part:
            if each[WHAT] == ASKED:
                answers[each[ID]] = eager.parent(int(each[PPID]), time_of(each[ID]))
            eager.take(each)
        newest = max(each[ID] for each in part)
        kept, gone = sift(part, newest)
        for each in kept:
            if each[WHAT] == ASKED:
                backlog.settle(int(each[PPID]))
                known = teller.parent(int(each[PPID]), time_of(each[ID]))
                assert known == answers.pop(each[ID])
            backlog.note([each])
        assert not answers
        backlog.note_gone(gone)
        now = time_of(newest)
        for pid in data.draw(st.lists(st.sampled_from(PIDS), max_size=3)):
            backlog.settle(pid)
            assert teller.parent(pid, now) == eager.parent(pid, now)


def test_of_processes_that_come_and_go_nothing_is_left() -> None:
    facts = [fact(EXEC, 2, 1)]
    for serial in range(2, 302, 3):
        child = 10 + serial
        facts += [
            fact(FORK, 2, serial, child=child),
            fact(EXEC, child, serial + 1, ppid=2),
            fact(END, child, serial + 2, ppid=2),
        ]
    facts.append(fact(EXEC, 3, 400))
    kept, gone = sift(facts, facts[-1][ID])
    # The shell and its first fork, which tell what it runs, that ends are logged, and the last.
    assert [(each[WHAT], each[ID]) for each in kept] == [
        (facts[n][WHAT], facts[n][ID]) for n in (0, 1, 3, -1)
    ]
    assert [pid for pid, _ in gone] == [b"%d" % (10 + serial) for serial in range(2, 302, 3)]


def test_what_has_just_ended_is_left_as_it_is() -> None:
    facts = [fact(EXEC, 2, 1, ms=0), fact(END, 2, 2, ms=10), fact(EXEC, 3, 3, ms=1010)]
    assert len(sift(facts, facts[-1][ID]).gone) == 1
    facts[-1] = fact(EXEC, 3, 3, ms=1009)
    kept, gone = sift(facts, facts[-1][ID])
    assert (kept, gone) == (facts, [])
    assert time_of(facts[0][ID]) == FIRST_MS
