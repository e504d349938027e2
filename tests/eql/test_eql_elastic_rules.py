"""Elastic's own rules: not part of this project, read from a checkout where there is one."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from auditrule import eql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def eql_queries(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of the EQL rules' files below the folder, and their queries."""
    for path in sorted(folder.rglob("*.toml")):
        rule = tomllib.loads(path.read_text(encoding="utf-8")).get("rule", {})
        if rule.get("language") == "eql":
            yield path.name, rule["query"]


def refused(folder: Path) -> list[str]:
    """Return what is said of the queries that do not compile."""
    found = []
    for name, text in eql_queries(folder):
        try:
            eql.compile(text)
        except eql.EqlError as error:
            found.append(f"{name}: {error}")
    return found


def test_each_query_for_linux_compiles(elastic_linux_rules: Path) -> None:
    assert refused(elastic_linux_rules) == []
    assert sum(1 for _ in eql_queries(elastic_linux_rules)) > 200


def test_each_query_for_linux_prints_to_text_that_says_the_same(elastic_linux_rules: Path) -> None:
    for name, text in eql_queries(elastic_linux_rules):
        query = eql.compile(text)
        assert eql.compile(str(query)).tree == query.tree, name


def test_no_query_for_linux_matches_an_empty_event(elastic_linux_rules: Path) -> None:
    for name, text in eql_queries(elastic_linux_rules):
        assert list(eql.compile(text).search([{}, {}, {}])) == [], name


def test_each_query_for_any_other_system_compiles(elastic_linux_rules: Path) -> None:
    assert refused(elastic_linux_rules.parent) == []
