"""Facts that wait are told in time: the process table answers as if it had been told of all."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from process_facts import FIRST_MS, AllTold, Teller, fact

from auditrule.audit.fact import ASKED, END, EXEC, FORK, THREAD, THREAD_END
from auditrule.audit.facts import Facts
from auditrule.ecs import sift
from auditrule.ecs.backlog import MOST_BYTES, Backlog
from auditrule.ecs.process import ProcessEntry
from auditrule.ecs.processes import FEW
from auditrule.finding import Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditrule.audit.fact import Fact

LATER = FIRST_MS + 10_000_000


# So many facts of a part tell when it began: none is out of order by as many.
BEGIN = 8


@pytest.fixture(autouse=True)
def parts_begin_soon() -> Iterator[None]:
    with patch.object(sift, "_FIRST", BEGIN):
        yield


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Return facts of a few processes that fork, run programs and end, some of them asked about.

    Times pass slowly and quickly, pids are used again, and the record of a call that returns may
    be behind later ones, such as a fork's behind those of the child. An end's is written at once.
    """
    facts: list[Fact] = []
    pids = range(2, draw(st.sampled_from([6, 12, 40])))
    parents = {2: 1, 3: 1}
    whats = draw(
        st.sampled_from(
            [
                [EXEC, ASKED, FORK, FORK, END, END, THREAD, THREAD_END],
                [EXEC, ASKED, FORK, FORK, FORK, FORK, FORK, END],
            ]
        )
    )
    ms = 0
    for serial in range(1, draw(st.integers(1, 90)) + 1):
        ms += draw(st.sampled_from([0, 1, 60, 150, 700, 3000]))
        pid = draw(st.sampled_from(sorted(parents)))
        ppid = parents[pid]
        what = draw(st.sampled_from(whats))
        free = sorted(set(pids) - parents.keys())
        if what == FORK and free:
            child = draw(st.sampled_from(free))
            parents[child] = pid
            by = draw(st.sampled_from([b"by", b"by", b"by", b"another"]))
            facts.append(fact(FORK, pid, serial, child=child, ppid=ppid, ms=ms)._replace(by=by))
        elif what == END and len(parents) > 1:
            del parents[pid]
            facts.append(fact(END, pid, serial, ppid=ppid, ms=ms))
        elif what not in (FORK, END):
            facts.append(fact(what, pid, serial, ppid=ppid, ms=ms))
    for n in draw(st.lists(st.integers(0, max(len(facts) - 2, 0)), max_size=4)):
        if facts[n : n + 1] and facts[n].what not in (END, THREAD_END):
            facts[n : n + 2] = facts[n : n + 2][::-1]
    return facts


def take(backlog: Backlog, facts: Sequence[Fact]) -> None:
    """Have facts taken as those of a part of a log that was looked through by itself."""
    found = Findings.of(Facts.of(facts), [], len(facts), 0)
    backlog.take(found.facts, found.mentions)


def note_all(backlog: Backlog, facts: Iterable[Fact]) -> None:
    for each in facts:
        backlog.note(each)


@settings(deadline=None, max_examples=400)
@given(lives(), st.data())
def test_whoever_is_asked_for_is_known_as_if_all_had_been_told(
    facts: list[Fact], data: st.DataObject
) -> None:
    teller, eager = Teller(), AllTold()
    backlog = Backlog(teller, most=data.draw(st.integers(16, 60)))
    begin = 0
    while begin < len(facts):
        end = data.draw(st.integers(begin + 1, len(facts)))
        part = facts[begin:end]
        begin = end
        at_once = data.draw(st.booleans())
        if at_once:
            take(backlog, part)
        for n, each in enumerate(part):
            if each.what == ASKED:
                if at_once:
                    backlog.reach(n)
                at_hand = teller.at_hand(each.ppid, backlog.last_exec(each.ppid, each.ms))
                assert at_hand in (None, eager.parent(each.ppid, each.ms))
                backlog.settle(each.ppid)
                assert teller.parent(each.ppid, each.ms) == eager.parent(each.ppid, each.ms)
            eager.take(each)
            if not at_once:
                backlog.note(each)
        backlog.end_part()
        now = max(each.ms for each in part) + data.draw(st.sampled_from([0, 50, 1000]))
        for pid in data.draw(st.lists(st.integers(2, 12), max_size=3)):
            backlog.settle(pid)
            assert teller.parent(pid, now) == eager.parent(pid, now)
        if data.draw(st.integers(0, 9)) == 0:
            backlog.load(lambda _: b"text")
    now = facts[-1].ms + 1000
    backlog.settle_all()
    for pid in range(2, 12):
        assert teller.parent(pid, now) == eager.parent(pid, now)
    assert len(teller.told) == len(set(teller.told))


def test_what_runs_is_at_hand_unless_more_was_told_of_it() -> None:
    started = [fact(EXEC, 5, 1), fact(THREAD, 5, 2), fact(FORK, 5, 3, child=6)]
    for more, of_5, of_6 in (
        ([], [3], [3]),
        ([fact(FORK, 5, 4, child=7)], [4, 3], [3]),
        ([fact(FORK, 6, 4, child=7)], [3], [4, 3]),
        ([fact(END, 6, 4)], [3], None),
        ([fact(END, 5, 4)], None, [3]),
        ([fact(THREAD_END, 5, 4)], None, [3]),
        ([fact(FORK, 9, 4, child=5)], None, [3]),
        ([fact(FORK, 9, 4, child=6)], [3], None),
        ([fact(EXEC, 5, 4)], [], [3]),
        ([fact(EXEC, 6, 4)], [3], []),
        ([fact(FORK, 5, 4, child=7, ms=1)], None, [3]),
        ([fact(FORK, 6, 4, child=7, ms=1)], [3], None),
    ):
        backlog = Backlog(Teller(), most=FEW)
        facts = [*started, *more]
        take(backlog, facts)
        backlog.reach(len(facts))
        for pid, forks in ((5, of_5), (6, of_6)):
            found = backlog.last_exec(pid, LATER)
            assert (None if found is None else [each.serial for each in found[1]]) == forks
            assert found is None or found[0].what == EXEC
            assert backlog.last_exec(pid, FIRST_MS) is None


def test_what_has_not_happened_or_was_told_is_not_at_hand() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=FEW)
    take(backlog, [fact(EXEC, 5, 1), fact(FORK, 5, 2, child=6), fact(EXEC, 7, 3)])
    assert backlog.last_exec(5, LATER) is None
    backlog.reach(1)
    assert backlog.last_exec(5, LATER) is not None
    assert backlog.last_exec(6, LATER) is None
    backlog.end_part()
    # An older life of 6 might not have ended.
    teller.table.exec(None, ProcessEntry(6, None, None, FIRST_MS, 1))
    assert backlog.last_exec(6, LATER) is None
    backlog.settle(5)
    assert backlog.last_exec(5, LATER) is None
    assert backlog.last_exec(7, LATER) is not None


def test_processes_that_nobody_asks_about_are_never_told() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=FEW)
    facts = [fact(EXEC, 2, 1)]
    for serial in range(2, 2 * FEW, 3):
        child = 10 + serial
        facts += [
            fact(FORK, 2, serial, child=child),
            fact(EXEC, child, serial + 1, ppid=2),
            fact(END, child, serial + 2, ppid=2),
        ]
    note_all(backlog, facts)
    # The shell, and each time its last fork, as that tells what it runs.
    assert len(teller.told) <= 5
    assert len(backlog) < 2 * FEW
    backlog.settle(2)
    assert teller.parent(2, LATER) == ("exec 1", FIRST_MS + 1000)


def test_where_ends_are_not_logged_all_are_known() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=FEW)
    note_all(backlog, [fact(EXEC, pid, pid) for pid in range(2, 2 * FEW)])
    backlog.settle(2)
    assert teller.parent(2, LATER) == ("exec 2", FIRST_MS + 2000)


def test_many_forks_deep_is_no_depth() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=FEW)
    facts = [fact(EXEC, 2, 1)]
    facts += [fact(FORK, pid, pid, child=pid + 1) for pid in range(2, 5000)]
    note_all(backlog, facts)
    backlog.settle(5000)
    known = teller.parent(5000, LATER)
    assert known is not None
    assert known[0] == "exec 1"


def test_long_records_do_not_wait() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=FEW)
    size = MOST_BYTES // 4
    for pid in range(2, 12):
        backlog.note(fact(EXEC, pid, pid)._replace(text=b"x" * size))
        assert len(backlog) <= 4
    assert teller.told


def test_who_has_just_ended_is_not_known_by_what_it_ran_before() -> None:
    teller = Teller()
    backlog = Backlog(teller, most=32)
    facts = [fact(EXEC, 2, 1, ms=0), fact(FORK, 2, 2, child=4, ms=0), fact(EXEC, 2, 3, ms=0)]
    facts += [fact(END, 2, 4, ms=0), *(fact(EXEC, 3, serial, ms=0) for serial in range(5, 40))]
    note_all(backlog, facts)
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
    note_all(backlog, facts)
    assert teller.parts <= 1 + len(facts) / 16
