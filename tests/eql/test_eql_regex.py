"""Regular expressions as Lucene has them, run by RE2."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.eql.regex import PatternError, regex

# A pattern, values that it matches, and values that it does not.
PATTERNS: list[tuple[str, list[str], list[str]]] = [
    # The whole value, always: ^ and $ are characters.
    ("net", ["net"], ["net1", "subnet", "NET", "", "net\n"]),
    ("^net$", ["^net$"], ["net"]),
    ("", [""], ["x"]),
    # Any character, a line's end and one beyond U+FFFF too.
    ("n.t", ["net", "n\nt", "n😀t"], ["nt", "neet"]),
    (".*", ["", "x\ny", "\ud800"], []),
    # Repetitions, which repeat what stands directly before them, repetitions too.
    ("ab?", ["a", "ab"], ["abb"]),
    ("ab*", ["a", "abbb"], ["abab"]),
    ("ab+", ["ab", "abbb"], ["a"]),
    ("(ab)+", ["ab", "abab"], ["", "abb"]),
    ("a{2}", ["aa"], ["a", "aaa"]),
    ("a{2,}", ["aa", "aaaa"], ["a"]),
    ("a{1,2}", ["a", "aa"], ["", "aaa"]),
    ("a{0}", [""], ["a"]),
    (".*?net.*?", ["net", "a subnet b"], ["ne"]),
    ("a+?", ["", "aaa"], ["b"]),
    ("a**", ["", "aa"], ["b"]),
    # Alternatives and groups.
    ("net|user", ["net", "user"], ["netuser", "ne"]),
    ("a(b|cd)e", ["abe", "acde"], ["abcde", "ae"]),
    ("a()b", ["ab"], ["a b"]),
    # Classes.
    ("[abc]", ["a", "c"], ["d", "ab", ""]),
    ("[a-cx]", ["b", "x"], ["d", "-"]),
    ("[^a-c]", ["d", "\n", "É"], ["a"]),
    ("[-a]", ["-", "a"], ["b"]),
    (r"[a\-c]", ["-", "a"], ["b"]),
    ("[]a]", ["]", "a"], ["b"]),
    ("[^]a]", ["b"], ["]", "a"]),
    ("[a^]", ["^"], ["b"]),
    ('[.*+?(|)&~<@#"]', [".", "*", "|", "&", "~", "<", "@", "#", '"'], ["a"]),
    (r"[\]\\]", ["]", "\\"], ["["]),
    (r"[\d_]", ["4", "_"], ["x"]),
    (r"[^\w]", ["-"], ["x"]),
    ("[а-я]", ["я"], ["z"]),
    # Predefined classes know ASCII only.
    (r"\d\d", ["42"], ["4a", "٤٢"]),
    (r"\D", ["a"], ["4"]),
    (r"a\sb", ["a b", "a\tb"], ["ab", "a\u00a0b"]),
    (r"\S+", ["ab"], ["a b"]),
    (r"\w+", ["a_1"], ["a-1", "é"]),
    (r"\W", ["-"], ["x"]),
    # A backslash before any other character: the character.
    (r"a\.b", ["a.b"], ["axb"]),
    (r"C:\\x\*", ["C:\\x*"], ["C:xx"]),
    (r"\n\b\t", ["nbt"], ["\n\b\t"]),
    (r"\~\&\<\@\#\"", ['~&<@#"'], []),
    # Text in quotes, any text, and nothing at all.
    ('"a.b*"c*', ["a.b*", "a.b*cc"], ["axb"]),
    ('""x', ["x"], ['"x']),
    ("a@", ["a", "a\nb"], ["ba"]),
    ("#", [], ["", "#", "x"]),
    ("a#?", ["a"], ["a#"]),
    # Ordinary characters.
    ("a>b}c]d,e-f/g:h=i!j%k'l", ["a>b}c]d,e-f/g:h=i!j%k'l"], []),
    ("é😀", ["é😀"], ["e"]),
]

IGNORING_CASE: list[tuple[str, list[str], list[str]]] = [
    ("Net[a-c]", ["net" + "B", "NETc"], ["netd"]),
    ("[^a-c]", ["d", "1"], ["B", "b"]),
    ("[W-d]", ["w", "X", "z", "A", "D", "_"], ["e", "E"]),
    ('"Net"', ["nET"], ["nEx"]),
    (r"\w\N", ["An", "aN"], ["ab"]),
    # The letters of ASCII alone have two cases.
    ("É", ["É"], ["é"]),
    ("[à-ü]", ["é"], ["É"]),
    ("k", ["K"], ["\u212a"]),
    ("s", ["S"], ["\u017f"]),
]

WRONG = [
    ("(a", "a group of the regular expression is never closed"),
    ("a)", "')' of the regular expression closes nothing"),
    ("[a", "the regular expression ends too early"),
    ("[]", "the regular expression ends too early"),
    ("a\\", "the regular expression ends too early"),
    ("[a-]", r"the range a- of the regular expression has no end (\- is -)"),
    ("[z-a]", "the range z-a of the regular expression is empty"),
    ('"a', "a quoted part of the regular expression never ends"),
    ("*a", "there is nothing before * of the regular expression"),
    ("a|+", "there is nothing before + of the regular expression"),
    ("({2})", "there is nothing before {2} of the regular expression"),
    ("|a", "there is nothing before | of the regular expression"),
    ("a||b", "there is nothing before | of the regular expression"),
    ("a|", "there is nothing after | of the regular expression"),
    ("(a|)b", "there is nothing after | of the regular expression"),
    ("a{", "'{' of the regular expression is no repetition {n,m}"),
    ("a{,3}", "'{' of the regular expression is no repetition {n,m}"),
]

TOO_MUCH = [
    ("~a", r"the complement (~) of regular expressions is not supported (\~ is the character)"),
    ("a&b", r"the intersection (&) of regular expressions is not supported (\& is the character)"),
    ("<1-9>", r"the interval (<…>) of regular expressions is not supported (\< is the character)"),
    (r"[\D]", r"\D within a class is not supported"),
    ("a{1001}", "the regular expression is not run: invalid repetition size: {1001}"),
    ("((a{100}){100}){100}", "the regular expression is not run"),
]


@pytest.mark.parametrize(("pattern", "matched", "unmatched"), PATTERNS)
def test_a_pattern_matches_these_values_and_not_those(
    pattern: str, matched: list[str], unmatched: list[str]
) -> None:
    for ignore_case in (False, True):
        matches = regex(pattern, ignore_case=ignore_case)
        assert [value for value in matched if not matches(value)] == []
    matches = regex(pattern, ignore_case=False)
    assert [value for value in unmatched if matches(value)] == []


@pytest.mark.parametrize(("pattern", "matched", "unmatched"), IGNORING_CASE)
def test_a_pattern_that_ignores_case(
    pattern: str, matched: list[str], unmatched: list[str]
) -> None:
    matches = regex(pattern, ignore_case=True)
    assert [value for value in matched if not matches(value)] == []
    assert [value for value in unmatched if matches(value)] == []


@pytest.mark.parametrize(("pattern", "message"), WRONG)
def test_a_pattern_that_is_none_is_wrong(pattern: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        regex(pattern, ignore_case=False)
    assert str(caught.value) == message
    assert caught.value.wrong


@pytest.mark.parametrize(("pattern", "message"), TOO_MUCH)
def test_a_pattern_that_cannot_be_run_in_linear_time_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        regex(pattern, ignore_case=True)
    assert str(caught.value).startswith(message)
    assert not caught.value.wrong


# What Lucene, RE2 and Python's re write alike.
LETTERS = "abAB1 é"
characters = st.sampled_from(LETTERS)
classes = st.builds(
    lambda negated, members: f"[{'^' * negated}{''.join(members)}]",
    st.booleans(),
    st.lists(characters | st.sampled_from(["a-b", "A-b", "0-9", r"\d"]), min_size=1, max_size=3),
)
atoms = characters | classes | st.sampled_from([".", r"\d", r"\D", r"\.", r"\*"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])),
    ),
    max_leaves=8,
)


@given(patterns, st.text(LETTERS + "2.*\n", max_size=8))
def test_a_pattern_matches_what_it_matches_in_python(pattern: str, value: str) -> None:
    expected = re.fullmatch(pattern, value, re.DOTALL | re.ASCII) is not None
    assert regex(pattern.replace("(?:", "("), ignore_case=False)(value) is expected


@given(patterns, st.text(LETTERS, max_size=8))
def test_a_pattern_that_ignores_case_matches_what_python_does(pattern: str, value: str) -> None:
    expected = re.fullmatch(pattern, value, re.DOTALL | re.ASCII | re.IGNORECASE) is not None
    assert regex(pattern.replace("(?:", "("), ignore_case=True)(value) is expected


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        matches = regex(text, ignore_case=True)
    except PatternError:
        return
    matches(text)


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_text_whose_signs_are_escaped_matches_itself_alone(text: str, other: str) -> None:
    escaped = "".join(c if c.isalnum() else f"\\{c}" for c in text)
    matches = regex(escaped, ignore_case=False)
    assert matches(text)
    assert matches(other) is (other == text)


def test_every_sign_of_ascii_is_itself_after_a_backslash() -> None:
    for sign in string.punctuation:
        assert regex(f"\\{sign}", ignore_case=True)(sign)
