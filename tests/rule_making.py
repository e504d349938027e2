"""Rules made of nothing but a query, and events for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditrule import eql
from auditrule.rules import Rule
from auditrule.rules.model import RuleFile

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_rule(rule_id: str, query: str, category_field: str = "event.category") -> Rule:
    """Return a rule whose id is its name, too."""
    body = {"rule_id": rule_id, "name": rule_id, "description": "A rule.", "severity": "low"}
    body |= {"type": "eql", "language": "eql", "query": query}
    file = RuleFile.model_validate({"rule": {**body, "risk_score": 1}})
    return Rule(Path(f"{rule_id}.toml"), file, eql.compile(query, category_field=category_field))


def nested(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with its dotted names as mappings in mappings."""
    whole: dict[str, Any] = {}
    for name, value in event.items():
        *parts, last = name.split(".")
        node = whole
        for part in parts:
            node = node.setdefault(part, {})
        node[last] = value
    return whole
