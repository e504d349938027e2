"""Wildcard patterns (`*` any run, `?` one character), matched in time linear in the value's length.

There is no escape: Elasticsearch has none either, so a literal `*` cannot be asked for in `:` and
`like`. Backslashes stand for themselves.

Case is folded as Elasticsearch (Lucene's case-insensitive automata) does: the 26 letters of ASCII
only. Folding more would match more, which under `not` means to miss: a path spelt with U+212A, the
Kelvin sign, would meet an exclusion that it does not meet in Elasticsearch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

Matcher: TypeAlias = Callable[[str], bool]


def fold(text: str) -> str:
    """Return the text with the letters A to Z in lower case, and all else as it is."""
    if text.isascii():
        return text.lower()
    # bytes.lower() knows ASCII only, and the bytes of other characters in UTF-8 are not ASCII.
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def any_of(patterns: Iterable[str], *, ignore_case: bool) -> Matcher:
    """Return a function that tells whether a value as a whole matches one of the patterns.

    The value's case is folded once for all patterns. Patterns without `?` that are literal, or have
    `*` at their ends only, are looked up together.
    """
    literals: set[str] = set()
    prefixes: list[str] = []
    suffixes: list[str] = []
    parts: list[str] = []
    others: list[Matcher] = []
    heads: list[str] = []
    for pattern in dict.fromkeys(fold(p) if ignore_case else p for p in patterns):
        head, star, tail = pattern.partition("*")
        if not head and tail.endswith("*") and tail.count("*") == 1 and "?" not in tail:
            parts.append(tail[:-1])
        elif "?" in pattern or "*" in tail or (star and head and tail):
            others.append(wildcard(pattern))
            heads.append(head.partition("?")[0])
        elif not star:
            literals.add(pattern)
        elif not tail:
            prefixes.append(head)
        else:
            suffixes.append(tail)
    ends = _at_the_ends(frozenset(literals), tuple(prefixes), tuple(suffixes))
    matches = ends
    if parts or others:
        matches = _within(ends, tuple(parts), tuple(others), tuple(heads))
    return (lambda value: matches(fold(value))) if ignore_case else matches


def _at_the_ends(
    literals: frozenset[str], prefixes: tuple[str, ...], suffixes: tuple[str, ...]
) -> Matcher:
    if not prefixes and not suffixes:
        return literals.__contains__
    return lambda value: value in literals or value.startswith(prefixes) or value.endswith(suffixes)


def _within(
    ends: Matcher, parts: tuple[str, ...], others: tuple[Matcher, ...], heads: tuple[str, ...]
) -> Matcher:
    """Return a matcher of the `ends`, or a part, or one of the others, which begin with `heads`."""

    def match(value: str) -> bool:
        if ends(value):
            return True
        # A generator would cost more than most of the matches.
        for part in parts:
            if part in value:
                return True
        if value.startswith(heads):
            for other in others:
                if other(value):
                    return True
        return False

    return match


def wildcard(pattern: str) -> Matcher:
    """Return a case-sensitive matcher of one pattern.

    The runs between the stars are sought from left to right, each at the first place after the one
    before, which never needs going back. Each is found by `str.find`, or, where it holds `?`, by an
    expression of fixed length without repetition: both look at a character of the value at most as
    often as the run is long.
    """
    head, *middle = pattern.split("*")
    if not middle:
        return _equals(head)
    tail = middle.pop()
    starts, ends = _at(head), _at(tail)
    seekers = [(_seek(run), len(run)) for run in middle if run]
    at_least = len(head) + len(tail)
    if not at_least:
        return _in_order(seekers)

    def match(value: str) -> bool:
        limit = len(value) - len(tail)
        if len(value) < at_least or not starts(value, 0) or not ends(value, limit):
            return False
        position = len(head)
        for seek, length in seekers:
            position = seek(value, position, limit)
            if position < 0:
                return False
            position += length
        return True

    return match


def _in_order(seekers: list[tuple[Callable[[str, int, int], int], int]]) -> Matcher:
    """Return a matcher of runs between stars alone; most values fail at the first run."""

    def match(value: str) -> bool:
        position, limit = 0, len(value)
        for seek, length in seekers:
            position = seek(value, position, limit)
            if position < 0:
                return False
            position += length
        return True

    return match


def _equals(run: str) -> Matcher:
    at, length = _at(run), len(run)
    return lambda value: len(value) == length and at(value, 0)


def _at(run: str) -> Callable[[str, int], bool]:
    """Return a function (value, position) that tells whether the run stands there."""
    if "?" not in run:
        return lambda value, position: value.startswith(run, position)
    match = _fixed_length(run).match
    return lambda value, position: match(value, position) is not None


def _seek(run: str) -> Callable[[str, int, int], int]:
    """Return a function (value, start, end) that finds the run there, or -1."""
    if "?" not in run:
        return lambda value, start, end: value.find(run, start, end)
    search = _fixed_length(run).search

    def seek(value: str, start: int, end: int) -> int:
        found = search(value, start, end)
        return found.start() if found else -1

    return seek


def _fixed_length(run: str) -> re.Pattern[str]:
    return re.compile("".join("." if c == "?" else re.escape(c) for c in run), re.DOTALL)
