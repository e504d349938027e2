"""What stands in a block is read for many places at once as it would be for each."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.audit.layout import Layout

LINES = st.lists(st.text("ab =0\x1d\x00", max_size=12).map(str.encode), min_size=1, max_size=8)


def layout_of(lines: list[bytes]) -> Layout:
    block = b"\n%s\n" % b"\n".join(lines)
    return Layout(block, 0, len(block) - 1)


@given(LINES)
def test_lines_and_their_words_are_those_between_newlines_and_spaces(lines: list[bytes]) -> None:
    layout = layout_of(lines)
    found = layout.lines()
    bounds = zip(found.begin.tolist(), found.end.tolist(), strict=True)
    assert [layout.block[begin:end] for begin, end in bounds] == lines
    for number in range(4):
        has, at = found.has(number).tolist(), found.word(number).tolist()
        for line, known, place in zip(lines, has, at, strict=True):
            words = line.split(b" ")
            assert known is (number < len(words))
            if known:
                assert layout.block.startswith(words[number], place)


def test_a_part_of_a_block_is_read_at_its_places_in_the_block() -> None:
    block = b"\none two\nthree four\nfive\n"
    layout = Layout(block, 8, 19)
    lines = layout.lines()
    assert lines.begin.tolist() == [9]
    assert lines.word(1).tolist() == [15]
    assert layout.newlines.tolist() == [8, 19]


@given(
    st.binary(min_size=1, max_size=40),
    st.binary(min_size=1, max_size=12),
    st.integers(0, 39),
)
def test_a_text_stands_where_it_stands(block: bytes, text: bytes, at: int) -> None:
    at = min(at, len(block) - 1)
    layout = Layout(block + b"\n" * 32, 0, 0)
    for wanted in (text, block[at : at + len(text)]):
        (holds,) = layout.holds(np.array([at]), wanted).tolist()
        assert holds is layout.block.startswith(wanted, at)


def test_what_reaches_beyond_the_block_stands_nowhere() -> None:
    layout = Layout(b"\nabcabc\n", 0, 7)
    assert layout.holds(np.array([1, 4, 5, 7]), b"abc\n").tolist() == [False, True, False, False]
    assert layout.holds(np.array([6, 90, -3]), b"c\n").tolist() == [True, False, False]


@given(st.lists(st.text("0189/:af-", max_size=18), min_size=1, max_size=6))
def test_numbers_are_read_where_digits_stand_and_nothing_else(words: list[str]) -> None:
    words = " ".join(words).split(" ")
    block = b"\n" * 16 + " ".join(words).encode() + b"\n"
    layout = Layout(block, 0, len(block) - 1)
    begins = np.cumsum([16] + [len(word) + 1 for word in words[:-1]])
    ends = begins + np.array([*map(len, words)])
    numbers, are = layout.number(begins, ends)
    expected = [bool(re.fullmatch("[0-9]{1,16}", word)) for word in words]
    assert are.tolist() == expected
    for word, number, is_number in zip(words, numbers.tolist(), expected, strict=True):
        assert not is_number or number == int(word)


@pytest.mark.parametrize("words", [1, 2, 5])
@given(data=st.data())
def test_beginnings_are_the_bytes_before_the_end(words: int, data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
    block = b"".join(texts) + b"x" * 40
    layout = Layout(block, 0, 0)
    ends = np.cumsum([*map(len, texts)])
    begins = ends - np.array([*map(len, texts)])
    found = layout.beginnings(begins, ends, words)
    for text, row in zip(texts, found, strict=True):
        assert row.astype("<u8").tobytes() == text[: 8 * words].ljust(8 * words, b"\0")
