"""The reference in docs/eql.md: each of its examples is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditrule import eql
from auditrule.eql.functions import FUNCTIONS
from auditrule.eql.lexical import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "eql.md").read_text(encoding="utf-8")


def queries() -> list[str]:
    return re.findall(r"```eql\n(.*?)```", PAGE, re.DOTALL)


def tables() -> Iterator[list[list[str]]]:
    """Yield the page's tables, each as its rows of cells, the header first."""
    for lines in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        rows = [line.strip("|\n ").split(" | ") for line in lines.splitlines()]
        yield [[cell.strip(" `") for cell in row] for row in (rows[0], *rows[2:])]


def truths() -> Iterator[tuple[str, dict[str, object], bool]]:
    for (_, *values), *rows in (table for table in tables() if table[0][0] == "condition"):
        events = [{} if value == "absent" else {"f": json.loads(value)} for value in values]
        for condition, *answers in rows:
            for event, answer in zip(events, answers, strict=True):
                yield condition, event, {"yes": True, "no": False}[answer]


def results() -> Iterator[tuple[str, str]]:
    for header, *rows in tables():
        if header == ["example", "gives"]:
            yield from ((expression, value) for expression, value in rows)


@pytest.mark.parametrize("query", queries())
def test_each_query_of_the_page_compiles(query: str) -> None:
    assert eql.compile(str(eql.compile(query))).tree == eql.compile(query).tree


@pytest.mark.parametrize(("condition", "event", "answer"), [*truths()])
def test_each_answer_of_the_page_is_right(
    condition: str, event: dict[str, object], answer: bool
) -> None:
    assert eql.compile(f"any where {condition}").matches(event) is answer


@pytest.mark.parametrize(("expression", "value"), [*results()])
def test_each_result_of_the_page_is_right(expression: str, value: str) -> None:
    assert eql.compile(f"any where ({expression}) == {value}").matches({})


def test_the_page_has_examples_of_all_kinds() -> None:
    assert len(queries()) >= 10
    assert len(list(truths())) >= 100
    assert len(list(results())) >= 20


def test_the_page_names_every_function_and_every_keyword() -> None:
    assert [name for name in FUNCTIONS if f"`{name}" not in PAGE] == []
    named = re.search(r"need back quotes: `(.*?)`", PAGE, re.DOTALL)
    assert named is not None
    assert set(named[1].split()) == KEYWORDS
