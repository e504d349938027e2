"""Elastic's own rules: not part of this project, read from a checkout where there is one."""

from __future__ import annotations

import os
import time
import tomllib
from pathlib import Path

import pytest

from auditrule import eql

CHECKOUT = os.environ.get("AUDITRULE_ELASTIC_RULES")

pytestmark = pytest.mark.skipif(
    CHECKOUT is None,
    reason="AUDITRULE_ELASTIC_RULES names no checkout of github.com/elastic/detection-rules",
)


def eql_queries() -> dict[str, str]:
    """Return the queries of the checkout's EQL rules for Linux by their files' names."""
    queries = {}
    for path in sorted(Path(CHECKOUT or "", "rules", "linux").glob("*.toml")):
        rule = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
        if rule.get("language") == "eql":
            queries[path.name] = rule["query"]
    return queries


def test_each_query_compiles_or_names_what_is_not_supported() -> None:
    compiled = 0
    for name, text in eql_queries().items():
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


def test_the_largest_query_compiles_within_a_tenth_of_a_second() -> None:
    largest = max(eql_queries().values(), key=len)
    times = []
    for _ in range(5):
        start = time.process_time()
        try:
            eql.compile(largest)
        except eql.EqlUnsupportedError:
            pytest.skip("the largest query uses what is not supported")
        times.append(time.process_time() - start)
    assert min(times) < 0.1
