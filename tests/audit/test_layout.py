"""What stands in a block is read for many places at once as it would be for each."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.audit.layout import Layout, Words, digits

LINES = st.lists(st.text("ab =0\x1d\x00", max_size=12).map(str.encode), min_size=1, max_size=40)


def layout_of(lines: list[bytes]) -> Layout:
    block = b"\n%s\n" % b"\n".join(lines)
    return Layout(block, 0, len(block) - 1)


@given(LINES)
def test_lines_are_what_newlines_part(lines: list[bytes]) -> None:
    layout = layout_of(lines)
    bounds = zip(layout.begins.tolist(), layout.ends.tolist(), strict=True)
    assert [layout.block[begin:end] for begin, end in bounds] == lines


def test_a_part_of_a_block_is_read_at_its_places_in_the_block() -> None:
    block = b"\none two\nthree four\nfive\n"
    layout = Layout(block, 8, 19)
    assert layout.begins.tolist() == [9]
    assert layout.ends.tolist() == [19]
    assert layout.newlines.tolist() == [8, 19]


@given(st.binary(max_size=70), st.lists(st.integers(0, 90), max_size=5), st.integers(1, 64))
def test_rows_are_the_bytes_behind_places_and_nothing_behind_the_block(
    block: bytes, places: list[int], size: int
) -> None:
    layout = Layout(b"\n" + block, 0, 0)
    rows = layout.rows(np.array(places, np.int64), size)
    found = [row.tobytes() for row in rows]
    assert found == [(b"\n" + block)[at : at + size].ljust(size, b"\0") for at in places]


@given(
    st.binary(min_size=1, max_size=40),
    st.binary(min_size=1, max_size=20).map(lambda text: text.replace(b"\0", b"x")),
    st.integers(0, 39),
)
def test_a_text_stands_where_it_stands(block: bytes, text: bytes, at: int) -> None:
    at = min(at, len(block) - 1)
    layout = Layout(block, 0, 0)
    for wanted in (text, block[at : at + len(text)].replace(b"\0", b"x")):
        (holds,) = layout.holds(np.array([at]), wanted).tolist()
        assert holds is block.startswith(wanted, at)


def test_what_reaches_beyond_the_block_stands_nowhere() -> None:
    layout = Layout(b"\nabcabc\n", 0, 7)
    assert layout.holds(np.array([1, 4, 5, 7]), b"abc\n").tolist() == [False, True, False, False]
    assert layout.holds(np.array([6, 90]), b"c\n").tolist() == [True, False]


@given(st.lists(st.text("019/:af \xff", max_size=10), min_size=1, max_size=6))
def test_numbers_are_read_where_digits_stand_before_a_space(texts: list[str]) -> None:
    words = [text.encode("latin-1") for text in texts]
    block = b" ".join(words)
    begins = np.cumsum([0] + [len(word) + 1 for word in words[:-1]])
    numbers, ends, are = Layout(block, 0, 0).number(begins)
    for begin, number, end, is_number in zip(
        begins.tolist(), numbers.tolist(), ends.tolist(), are.tolist(), strict=True
    ):
        match = re.match(rb"(0|[1-9][0-9]{0,6}) ", block[begin:])
        assert is_number is (match is not None)
        if match is not None:
            assert (number, end) == (int(match[1]), begin + len(match[1]))


@given(st.lists(st.text("0189/:af-", max_size=10), min_size=1, max_size=6))
def test_numbers_are_read_between_places(texts: list[str]) -> None:
    block = b"\n" * 8 + "".join(texts).encode()
    ends = np.cumsum([*map(len, texts)]) + 8
    numbers, are = Layout(block, 0, 0).between(ends - np.array([*map(len, texts)]), ends)
    expected = [re.fullmatch("0|[1-9][0-9]{0,7}", text) is not None for text in texts]
    assert are.tolist() == expected
    for text, number, is_number in zip(texts, numbers.tolist(), expected, strict=True):
        assert not is_number or number == int(text)


@given(st.lists(st.text("0189/:af-", max_size=8), min_size=1, max_size=6))
def test_digits_are_read_as_one_number_and_nothing_else_is(texts: list[str]) -> None:
    words = np.frombuffer(b"".join(text.rjust(8, "x").encode() for text in texts), "<u8")
    numbers, are = digits(words, np.array([*map(len, texts)]))
    assert are.tolist() == [re.fullmatch("[0-9]*", text) is not None for text in texts]
    for text, number, is_number in zip(texts, numbers.tolist(), are.tolist(), strict=True):
        assert not is_number or number == int(text or "0")


@given(st.text("ab ", min_size=1, max_size=90).map(str.encode), st.integers(1, 40))
def test_the_next_space_is_found_if_it_is_near_enough(text: bytes, size: int) -> None:
    found, is_found = Layout(text, 0, 0).space_after(np.arange(len(text)), size)
    for at, (place, is_there) in enumerate(zip(found.tolist(), is_found.tolist(), strict=True)):
        expected = text.find(b" ", at, at + size)
        assert (place if is_there else -1) == expected


@pytest.mark.parametrize("size", [64, 192])
@given(texts=st.lists(st.text("ab ", max_size=100).map(str.encode), min_size=1, max_size=4))
def test_words_are_what_spaces_part(size: int, texts: list[bytes]) -> None:
    block = b"".join(text.ljust(size, b"x") for text in texts) + b"x" * size
    begins = np.arange(len(texts)) * size
    words = Words(Layout(block, 0, 0), begins, size)
    for number in range(5):
        has, at, end = words.has(number), words.begin(number), words.end(number)
        for n, begin in enumerate(begins.tolist()):
            expected = block[begin : begin + size].split(b" ")[:-1]
            assert bool(has[n]) is (number < len(expected))
            if has[n]:
                assert block[at[n] : end[n]] == expected[number]
