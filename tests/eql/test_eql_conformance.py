"""Elasticsearch's own test queries: not part of this project, read from a checkout if there is one.

EQL_TEST_QUERIES names a folder such as x-pack/plugin/eql/qa/common/src/main/resources of
Elasticsearch (8.x). It holds

- `test_data.json`: an array of events, each a flat object. `event_type` is its category,
  `timestamp` its time as Windows counts it (in 100 ns since 1601), `serial_event_id` its number, by
  which the events are ordered;
- `test_queries.toml`, `additional_test_queries.toml`, `test_queries_date.toml`, or some of them:
  tables `[[queries]]` with a `name`, a `query`, and `expected_event_ids`, the numbers of the events
  found, those of one sequence after those of another.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from auditrule import eql

FILES = ("test_queries.toml", "additional_test_queries.toml", "test_queries_date.toml")
# From 1601 to 1970.
WINDOWS_EPOCH_MS = 11_644_473_600_000


@pytest.fixture(scope="module")
def published() -> Path:
    folder = os.environ.get("EQL_TEST_QUERIES")
    if folder is None:
        pytest.skip("EQL_TEST_QUERIES names no folder of Elasticsearch's test queries")
    return Path(folder)


def read_events(folder: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads((folder / "test_data.json").read_bytes())
    for event in events:
        event["@timestamp"] = event["timestamp"] // 10_000 - WINDOWS_EPOCH_MS
    return events


def read_queries(folder: Path) -> list[dict[str, Any]]:
    found = [folder / name for name in FILES if (folder / name).exists()]
    assert found, f"EQL_TEST_QUERIES: {folder} has none of {', '.join(FILES)}"
    return [query for path in found for query in tomllib.loads(path.read_text())["queries"]]


def test_each_published_query_finds_the_events_that_it_should(published: Path) -> None:
    events = read_events(published)
    wrong = []
    for case in read_queries(published):
        query = eql.compile(case["query"], category_field="event_type")
        found = [
            event["serial_event_id"] for match in query.search(events) for event in match.events
        ]
        if found != case["expected_event_ids"]:
            wrong.append((case.get("name"), case["query"], case["expected_event_ids"], found))
    assert wrong == []
