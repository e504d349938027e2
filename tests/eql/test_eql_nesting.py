"""How deep a query may nest: as deep as said, wherever the caller stands, and no deeper."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from auditrule import eql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What nests, as a function of how deep it does.
NESTS: dict[str, Callable[[int], str]] = {
    "parentheses": lambda depth: "(" * depth + "a == 1" + ")" * depth,
    "not": lambda depth: "not " * depth + "a == 1",
    "not and parentheses": lambda depth: "not (" * (depth // 2) + "a == 1" + ")" * (depth // 2),
    "or and and": lambda depth: "(b == 2 or c == 2 and " * depth + "a == 1" + ")" * depth,
    "signs": lambda depth: "- " * depth + "a == 1",
    "arithmetic": lambda depth: "a" + " + 1" * depth + " > 1",
    "arithmetic in parentheses": lambda depth: (
        "(" * (depth // 2) + "a" + " + 1)" * (depth // 2) + " > 1"
    ),
    "arithmetic before parentheses": lambda depth: (
        "1 + (" * (depth // 2) + "a" + ")" * (depth // 2) + " > 1"
    ),
    "calls": lambda depth: "string(" * depth + "a" + ")" * depth + ' == "1"',
    "calls of conditions": lambda depth: (
        "string(b == 2 or c == 2 and " * depth + "a == 1" + ') == "true"' * depth
    ),
    "comparisons with true": lambda depth: "(" * depth + "a == 1" + ") == true" * depth,
}
DEEPEST = 32


@pytest.fixture
def deep_caller() -> Iterator[None]:
    """Leave Python's stack as if the caller were some hundred frames deep already."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit - 200)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("deep_caller")
@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
def test_what_nests_as_deep_as_may_be_is_parsed_printed_and_run(nest: Callable[[int], str]) -> None:
    for text in (
        f"any where {nest(DEEPEST)}",
        f"sequence by d [any where {nest(DEEPEST - 1)}] [any where true] | head 1",
    ):
        query = eql.compile(text)
        assert eql.compile(str(query)).tree == query.tree
        for event in ({"a": 1, "b": 3}, {"a": [1, 2], "c": 2}, {}):
            query.matcher().push(event)


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
@pytest.mark.parametrize("depth", [DEEPEST + 2, 5000])
def test_what_nests_deeper_is_refused_and_does_not_overflow(
    nest: Callable[[int], str], depth: int
) -> None:
    for text in (f"any where {nest(depth)}", f"any where b == 2 and not {nest(depth)} or c == 2"):
        with pytest.raises(eql.EqlUnsupportedError, match="nested more than 32 deep"):
            eql.compile(text)


@pytest.mark.parametrize("text", ["(" * 5000, "a : (" * 5000, "length(" * 5000, "- (" * 5000])
def test_what_is_never_closed_does_not_overflow_either(text: str) -> None:
    with pytest.raises(eql.EqlUnsupportedError, match="nested more than 32 deep"):
        eql.compile(f"any where {text}")


@pytest.mark.parametrize(
    "condition",
    [
        "(a == 1) and " * 1000 + "a == 1",
        "not a == 2 or " * 1000 + "a == 1",
        "a + 1 == 2 and " * 1000 + "a == 1",
        "a in (" + "-1, " * 1000 + "1)",
        "(b == 3 and not " * 16 + "a == 1" + ")" * 16 + ' or a : ("1")',
    ],
    ids=["parentheses", "not", "arithmetic", "a list", "by turns"],
)
def test_what_stands_in_a_row_does_not_nest(condition: str) -> None:
    query = eql.compile(f"any where {condition}")
    assert query.matches({"a": 1, "b": 2})
    assert eql.compile(str(query)).tree == query.tree


def test_printing_takes_no_longer_for_what_is_nested() -> None:
    # Each sign once took twice as long as the one before it.
    assert (
        str(eql.compile("any where " + "-" * 32 + "a == 1")) == "any where " + "-" * 32 + "a == 1"
    )
