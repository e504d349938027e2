"""The catalogue says what documents can have, no more and no less."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from auditrule.ecs.catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


@pytest.fixture(scope="module")
def documents(fixtures: Path) -> list[dict[str, Any]]:
    found = []
    for golden in fixtures.glob("*/*.golden.json"):
        found += json.loads(golden.read_text(encoding="utf-8"))["documents"]
    return found


def test_every_field_of_every_document_is_in_it_with_one_of_its_values(
    documents: list[dict[str, Any]],
) -> None:
    fields = catalogue()
    for document in documents:
        for name, value in leaves(document):
            field = fields[name]
            for each in value if isinstance(value, list) else [value]:
                assert field.values is None or each in field.values
        names = {name for name, _ in leaves(document)}
        assert names >= {field.name for field in fields.values() if field.always}


def test_every_field_of_it_is_in_some_document(documents: list[dict[str, Any]]) -> None:
    seen = {name for document in documents for name, _ in leaves(document)}
    # host.id is told by a live host only.
    assert catalogue().keys() - seen == {"host.id"}


def test_it_names_only_audit_rules_that_the_operator_is_given(fixtures: Path) -> None:
    rules = (fixtures.parent / "config" / "audit.rules").read_text(encoding="utf-8")
    keys = set(re.findall(r"-F key=(\S+)", rules))
    for field in catalogue().values():
        assert set(field.recorded_by) <= keys


@pytest.mark.parametrize(
    ("name", "kind", "values", "always", "recorded_by"),
    [
        ("event.action", "keyword", ("exec",), True, ("auditrule-exec",)),
        ("host.os.type", "keyword", ("linux",), True, ("auditrule-exec",)),
        ("process.pid", "long", None, True, ("auditrule-exec",)),
        ("process.args", "keyword", None, False, ("auditrule-exec",)),
        ("@timestamp", "date", None, True, ("auditrule-exec",)),
        (
            "process.parent.executable",
            "keyword",
            None,
            False,
            ("auditrule-exec", "auditrule-fork"),
        ),
    ],
)
def test_a_field_has_its_type_its_values_and_what_records_it(
    name: str,
    kind: str,
    values: tuple[str, ...] | None,
    always: bool,
    recorded_by: tuple[str, ...],
) -> None:
    field = catalogue()[name]
    assert (field.type, field.values, field.always) == (kind, values, always)
    assert field.recorded_by == recorded_by
