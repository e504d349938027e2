"""What does not matter is told from what does: that of whoever has come and gone."""

from __future__ import annotations

import numpy as np
import pytest
from process_facts import FIRST_MS, fact

from auditrule.audit.fact import END, EXEC, FORK, THREAD_END, Fact
from auditrule.audit.facts import Facts, Mentions
from auditrule.ecs.sift import repeated, that_matter

# So many facts tell when a part began.
BEGIN = [fact(EXEC, 9, 1, ms=0)] * 64


def matter(facts: list[Fact], living: list[int], since: int = FIRST_MS + 10**9) -> list[int]:
    columns = Facts.of(facts)
    return that_matter(columns, Mentions(columns), np.array(living), since)


def repeats(facts: list[Fact]) -> list[int]:
    """Return the serials of the forks that tell nothing new."""
    columns = Facts.of([*BEGIN, *facts])
    which = repeated(columns, Mentions(columns)).nonzero()[0].tolist()
    return [columns.fact(n).serial for n in which]


def test_of_processes_that_come_and_go_nothing_is_left() -> None:
    facts = [fact(EXEC, 2, 1)]
    for serial in range(2, 302, 3):
        child = 10 + serial
        facts += [
            fact(FORK, 2, serial, child=child),
            fact(EXEC, child, serial + 1, ppid=2),
            fact(END, child, serial + 2, ppid=2),
        ]
    # The shell's exec, and its first fork, as that tells that it lives.
    assert matter(facts, [2]) == [0, 1]
    assert matter(facts, []) == []


def test_whoever_lives_comes_from_those_that_made_it() -> None:
    facts = [
        fact(EXEC, 2, 1),
        fact(FORK, 2, 2, child=3),
        fact(EXEC, 3, 3),
        fact(FORK, 3, 4, child=4),
        fact(EXEC, 3, 5),
        fact(END, 2, 6),
        fact(END, 3, 7),
    ]
    assert matter(facts, [4]) == [2, 3]


def test_of_whoever_has_just_ended_it_is_known_what_it_was() -> None:
    facts = [fact(EXEC, 2, 1, ms=0), fact(EXEC, 2, 2, ms=10), fact(END, 2, 3, ms=20)]
    assert matter(facts, [2], FIRST_MS + 20) == [2]
    assert matter(facts, [2], FIRST_MS + 19) == [1, 2]


@pytest.mark.parametrize(
    ("between", "tells_anew"),
    [
        ([], False),
        ([fact(EXEC, 3, 5, ms=2000)], False),
        ([fact(EXEC, 2, 5, ms=2000)], True),
        ([fact(THREAD_END, 2, 5, ms=2000)], True),
        ([fact(FORK, 3, 5, child=2, ms=2000)], True),
        ([fact(FORK, 2, 5, child=8, ms=2000)._replace(by=b"another")], True),
    ],
    ids=["nothing", "another's exec", "its exec", "a thread's end", "it is made", "another maker"],
)
def test_a_fork_repeats_the_one_before_unless_something_is_told_between(
    between: list[Fact], tells_anew: bool
) -> None:
    first, second = fact(FORK, 2, 4, child=6, ms=1000), fact(FORK, 2, 6, child=7, ms=3000)
    assert (6 not in repeats([first, *between, second])) is tells_anew


def test_a_fork_of_an_earlier_time_or_right_behind_an_end_tells_something() -> None:
    forks = [fact(FORK, 2, serial, child=serial, ms=ms) for serial, ms in ((4, 2000), (6, 1000))]
    assert repeats(forks) == []
    # Of the end that comes later, one that is told before may be too late.
    forks = [fact(FORK, 2, serial, child=serial, ms=1000 * serial) for serial in (4, 6, 8)]
    assert repeats(forks) == [6, 8]
    assert repeats([*forks, fact(END, 2, 9, ms=5000)]) == [8]
