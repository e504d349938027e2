"""Elastic's own rules: not part of this project, read from a checkout where there is one."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from auditrule import eql

if TYPE_CHECKING:
    from pathlib import Path


def eql_queries(folder: Path) -> dict[str, str]:
    """Return the queries of the folder's EQL rules by their files' names."""
    queries = {}
    for path in sorted(folder.glob("*.toml")):
        rule = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
        if rule.get("language") == "eql":
            queries[path.name] = rule["query"]
    return queries


def test_each_query_compiles_or_names_what_is_not_supported(elastic_linux_rules: Path) -> None:
    compiled = 0
    for name, text in eql_queries(elastic_linux_rules).items():
        try:
            query = eql.compile(text)
        except eql.EqlUnsupportedError:
            continue
        except eql.EqlError as error:
            pytest.fail(f"{name}: {error}")
        assert eql.compile(str(query)).tree == query.tree, name
        assert query.matches({}) is False, name
        compiled += 1
    assert compiled > 150
