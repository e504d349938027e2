"""Facts in columns are the facts that they were made of, in parts or joined."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditrule.audit.fact import ASKED, END, EXEC, FORK, NOBODY, THREAD, Fact
from auditrule.audit.facts import Facts, Index, Mentions, among

if TYPE_CHECKING:
    from auditrule.audit.fact import Text

NUMBERS = st.integers(0, (1 << 62) - 1)
PLACES = st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 40))
FACTS = st.lists(
    st.builds(
        Fact,
        what=st.sampled_from([EXEC, FORK, THREAD, END, ASKED]),
        pid=st.integers(1, 9),
        ppid=st.integers(NOBODY, 9),
        child=st.integers(NOBODY, 9),
        ms=NUMBERS,
        serial=NUMBERS,
        text=st.binary(max_size=3) | PLACES,
        by=st.sampled_from([b"", b"one", b"another"]),
        chances=st.none() | st.tuples(st.integers(0, 1 << 80), st.none() | st.integers(0, 9)),
    ),
    max_size=12,
)


@given(FACTS)
def test_facts_are_sent_as_they_are(facts: list[Fact]) -> None:
    columns = Facts.of(facts)
    sent = Facts.from_parts(marshal.loads(marshal.dumps(columns.to_parts())))
    assert columns.rows() == sent.rows() == facts
    assert [sent.fact(n) for n in range(len(sent))] == facts


@given(st.lists(FACTS, max_size=4), st.data())
def test_some_of_them_joined_are_in_order(parts: list[list[Fact]], data: st.DataObject) -> None:
    every = [fact for part in parts for fact in part]
    joined = Facts.joined([Facts.of(part) for part in parts])
    assert joined.rows() == every
    which = sorted(data.draw(st.sets(st.integers(0, max(len(every) - 1, 0)))) if every else [])
    assert joined[np.array(which, np.int64)].rows() == [every[n] for n in which]
    begin = data.draw(st.integers(0, len(every)))
    assert joined[begin:].rows() == every[begin:]


@given(FACTS)
def test_texts_that_are_places_are_loaded(facts: list[Fact]) -> None:
    def load(place: Text) -> bytes:
        return str(place).encode()

    loaded = Facts.of(facts).loaded(load).rows()
    assert [fact.text for fact in loaded] == [
        fact.text if isinstance(fact.text, bytes) else load(fact.text) for fact in facts
    ]


@given(FACTS)
def test_an_index_tells_where_the_facts_of_each_process_are(facts: list[Fact]) -> None:
    columns = Facts.of(facts)
    sent = Mentions(columns).index(columns).to_parts()
    index = Index.from_parts(marshal.loads(marshal.dumps(sent)))
    told = {pid: index.mentions[begin:end].tolist() for pid, (begin, end) in index.bounds.items()}
    expected: dict[int, list[int]] = {}
    for n, fact in enumerate(facts):
        expected.setdefault(fact.pid, []).append(n)
        if fact.what == FORK:
            expected.setdefault(fact.child, []).append(n)
    assert told == expected


PIDS = st.integers(0, 9) | st.integers(0, 5_000_000) | st.integers(0, 1 << 40)


@given(st.lists(st.just(NOBODY) | PIDS), st.lists(PIDS))
def test_numbers_are_among_those_that_are_the_same(numbers: list[int], those: list[int]) -> None:
    found = among(np.array(numbers, np.int64), np.array(those, np.int64))
    assert found.tolist() == [number in those for number in numbers]


@given(FACTS, st.integers(0, 5), st.integers(0, 5))
def test_the_last_facts_are_as_many_as_there_is_room_for(
    facts: list[Fact], most: int, most_bytes: int
) -> None:
    sizes = [len(fact.text) if isinstance(fact.text, bytes) else 0 for fact in facts]
    fitting = [
        n for n in range(min(most, len(facts)) + 1) if sum(sizes[len(sizes) - n :]) <= most_bytes
    ]
    assert Facts.of(facts).last(most, most_bytes) == max(fitting)
