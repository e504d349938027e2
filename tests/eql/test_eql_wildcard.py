from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule.eql.wildcard import any_of, fold, wildcard

LETTERS = "aAbBσΣςİiß\n*?\\"
values = st.text(LETTERS.replace("*", ""), max_size=12)
patterns = st.text("ab*?", max_size=8) | st.text(LETTERS, max_size=8)


def reference(pattern: str, value: str) -> bool:
    """Keep a table of which beginnings of the value the pattern so far matches."""
    reached = [True] + [False] * len(value)
    for sign in pattern:
        following = [False] * (len(value) + 1)
        if sign == "*":
            any_before = False
            for end in range(len(value) + 1):
                any_before = any_before or reached[end]
                following[end] = any_before
        else:
            for end in range(1, len(value) + 1):
                following[end] = reached[end - 1] and sign in ("?", value[end - 1])
        reached = following
    return reached[-1]


def fold_by_character(text: str) -> str:
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


@given(patterns, values)
def test_a_pattern_matches_what_the_reference_matches(pattern: str, value: str) -> None:
    assert wildcard(pattern)(value) is reference(pattern, value)


@settings(max_examples=1000)
@given(
    st.lists(st.text("ab?", max_size=3), min_size=2, max_size=5).map("*".join),
    st.text("ab", max_size=12),
)
def test_a_pattern_of_several_runs_matches_what_the_reference_matches(
    pattern: str, value: str
) -> None:
    assert wildcard(pattern)(value) is reference(pattern, value)


@given(st.lists(patterns, max_size=5), values, st.booleans())
def test_a_list_of_patterns_matches_what_one_of_them_matches(
    listed: list[str], value: str, ignore_case: bool
) -> None:
    normal = fold_by_character if ignore_case else str
    expected = any(reference(normal(pattern), normal(value)) for pattern in listed)
    assert any_of(listed, ignore_case=ignore_case)(value) is expected


def test_folding_case_keeps_every_character_one_character() -> None:
    for code in range(sys.maxunicode + 1):
        assert len(fold(chr(code))) == 1


@given(st.text(), st.text())
def test_folding_case_looks_at_each_character_by_itself(left: str, right: str) -> None:
    assert fold(left + right) == fold(left) + fold(right)
    assert fold(fold(left)) == fold(left)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("ΟΔΟΣ", "οδος", False),
        ("é*", "É", False),
        ("é*x", "éAX", True),
        ("/var/lib/dpkg/*", "/var/lib/dp\u212ag/x", False),
        ("İ", "i", False),
        ("?", "ß", True),
        ("?", "😀", True),
        ("?", "\n", True),
        ("?", "", False),
        ("*", "", True),
        ("**", "x", True),
        ("a*a", "a", False),
        ("*ab*b*", "ab", False),
        ("*ab*b*", "abb", True),
        ("*aa*aa*", "aaa", False),
        ("ab*ba", "aba", False),
        ("*?*", "", False),
        ("[a-c]", "b", False),
        ("a.c", "abc", False),
    ],
)
def test_a_pattern_that_ignores_case(pattern: str, value: str, expected: bool) -> None:
    assert any_of([pattern], ignore_case=True)(value) is expected


class CountingText(str):
    """A value that counts how often it is searched."""

    __slots__ = ("searches",)

    def find(self, *arguments: object) -> int:
        self.searches = getattr(self, "searches", 0) + 1
        return super().find(*arguments)  # type: ignore[arg-type]


def test_a_value_is_searched_once_for_each_run_of_the_pattern_however_often_runs_occur() -> None:
    value = CountingText("ab" * 10_000)
    assert not wildcard("*a*b*ab*ba*abab*x*a*")(value)
    assert value.searches == 6


SIZE = 2_000_000


# Each of these nearly matches everywhere, and is over in a fraction of a second; what takes
# quadratic time would take hours.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "pattern",
    [
        "*a*b*c*d*",
        "*a*b*c*d*e",
        "*a*a*a*a*a*z*",
        "*" + "a" * 50 + "z*",
        "*" + "a" * 500 + "z*",
        "*z" + "a" * 500 + "*",
        "*aab?aaz*",
        "*a?c?z*",
        "*?b?*b*z",
        "*" + "a?" * 20 + "z*",
        "*" + "?" * 50 + "z*",
        "*" + "*".join("a" * 30) + "z",
        "a*" * 1000 + "z*",
    ],
    ids=range(13),
)
@pytest.mark.parametrize(
    "value",
    ["a" * SIZE, "A" * SIZE, "aaab" * (SIZE // 4), "abc" * (SIZE // 3), "Éa" * (SIZE // 2)],
    ids=["a", "A", "aaab", "abc", "Éa"],
)
def test_two_megabytes_that_nearly_match_everywhere_are_done_at_once(
    pattern: str, value: str
) -> None:
    assert not any_of([pattern], ignore_case=True)(value)
    assert any_of([pattern, "*" + value[-1]], ignore_case=True)(value)
