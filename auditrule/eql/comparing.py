"""Tests of one value that comparisons and look-ups make: what `== "x"` or `: "a*"` asks of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from auditrule.eql.regex import regex
from auditrule.eql.values import as_boolean, as_number_or_time, as_text, epoch_ms, period
from auditrule.eql.wildcard import any_of, fold

if TYPE_CHECKING:
    from auditrule.eql.tree import Scalar

ValueTest: TypeAlias = Callable[[object], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def equals_one_of(literals: Iterable[Scalar]) -> ValueTest:
    """Return a test for being the same as one of the literals; null is the same as nothing."""
    literals = list(literals)
    texts = frozenset(value for value in literals if isinstance(value, str))
    # bool is an int to Python, and True equals 1; to EQL they have nothing in common.
    booleans = frozenset(value for value in literals if isinstance(value, bool))
    numbers = frozenset(
        value
        for value in literals
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    periods = [named for text in texts if (named := period(text)) is not None]
    if not numbers and not booleans and not periods:
        return _of_text(texts.__contains__)

    def holds(value: object) -> bool:
        return (
            (bool(texts) and as_text(value) in texts)
            or (bool(numbers) and as_number_or_time(value) in numbers)
            or (bool(booleans) and as_boolean(value) in booleans)
            or (bool(periods) and _is_within(epoch_ms(value), periods))
        )

    return holds


def _is_within(moment: int | None, periods: list[tuple[int, int]]) -> bool:
    return moment is not None and any(first <= moment <= last for first, last in periods)


def stands_in_order(comparison: str, literal: Scalar) -> ValueTest:
    """Return a test for standing before or after the literal: one of < <= > >=."""
    order = _ORDER[comparison]
    if isinstance(literal, str):
        return _ordered_text(comparison, literal)
    if literal is None or isinstance(literal, bool):
        return lambda _value: False

    def holds(value: object) -> bool:
        number = as_number_or_time(value)
        return number is not None and order(number, literal)

    return holds


def looked_up(lookup: str, values: list[Scalar]) -> ValueTest:
    """Return a test for what follows in, in~, :, like, like~, regex or regex~."""
    if lookup == "in":
        return equals_one_of(values)
    texts = [value for value in values if isinstance(value, str)]
    if lookup == "in~":
        folded = frozenset(map(fold, texts))
        return _of_text(lambda text: fold(text) in folded)
    if lookup in ("regex", "regex~"):
        matchers = [regex(text, ignore_case=lookup == "regex~") for text in texts]
        return _of_text(lambda text: any(matches(text) for matches in matchers))
    return _of_text(any_of(texts, ignore_case=lookup != "like"))


def _of_text(test: Callable[[str], bool]) -> ValueTest:
    def holds(value: object) -> bool:
        text = value if isinstance(value, str) else as_text(value)
        return text is not None and test(text)

    return holds


def _ordered_text(comparison: str, literal: str) -> ValueTest:
    """Compare points in time where both are such, and texts by code point otherwise."""
    order, named = _ORDER[comparison], period(literal)
    if named is None:
        return _of_text(lambda text: order(text, literal))
    # Before a day is before its beginning, after it is after its end.
    moment = named[0] if comparison in ("<", ">=") else named[1]

    def holds(value: object) -> bool:
        other = epoch_ms(value)
        if other is not None:
            return order(other, moment)
        text = as_text(value)
        return text is not None and order(text, literal)

    return holds
