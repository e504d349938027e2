"""The index of rules: what it finds is what the rules find by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eql_trees import Words, trees
from hypothesis import given, settings
from hypothesis import strategies as st

import auditrule
from auditrule import eql
from auditrule.eql.tree import EventQuery
from auditrule.rules import Detector, Rule, index, load_rules
from auditrule.rules.index import alternatives
from auditrule.rules.model import RuleFile

if TYPE_CHECKING:
    from collections.abc import Mapping

# Fields of few values and of many, one by which the index asks first, one that holds numbers too.
NAMES = ["process.name", "process.args", "process.pid", "user.id", "event.action", "a"]
texts = st.text("aAb1*", max_size=2) | st.sampled_from(["chmod", "CHMOD", "true"])
numbers = st.integers(0, 2) | st.sampled_from([1.0, 0.5])
words = Words(st.sampled_from(NAMES), texts, numbers)
queries = st.builds(
    EventQuery, st.none() | st.sampled_from(["process", "file"]), trees(words).conditions
)
scalars = texts | numbers | st.booleans() | st.none()
values = scalars | st.lists(scalars, max_size=3) | st.just({"of": "objects"})
events = st.builds(
    lambda fields, categories: {**fields, "event.category": categories},
    st.dictionaries(st.sampled_from(NAMES), values),
    st.sampled_from(["process", "file", ["process"], ["process", "file"], [], None, 1, "x"]),
)


def make_rule(name: str, query: str, category_field: str = "event.category") -> Rule:
    body = {"rule_id": name, "name": name, "description": "A rule.", "severity": "low"}
    body |= {"type": "eql", "language": "eql", "query": query}
    file = RuleFile.model_validate({"rule": {**body, "risk_score": 1}})
    return Rule(Path(name), file, eql.compile(query, category_field=category_field))


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


def found(detector: Detector, event: Mapping[str, object]) -> list[str]:
    return [detection.rule.id for detection in detector.detect(event)]


def expected(rules: list[Rule], event: Mapping[str, object]) -> list[str]:
    return [rule.id for rule in rules if rule.query.matches(event)]


@settings(max_examples=400)
@given(st.lists(queries, min_size=1, max_size=5), st.lists(events, min_size=1, max_size=4))
def test_the_index_changes_nothing_in_what_matches(
    trees_of_rules: list[EventQuery], stream: list[dict[str, object]]
) -> None:
    rules = [make_rule(str(n), str(tree)) for n, tree in enumerate(trees_of_rules)]
    rules.append(make_rule("other field", "chmod where a != null", category_field="process.name"))
    detector = Detector(rules)
    # Twice: the second time it knows the values.
    for event in (*stream, *stream):
        for form in (event, nested(event)):
            assert found(detector, form) == expected(rules, form)
    assert detector.failures == {}


def test_values_that_python_takes_for_the_same_are_kept_apart() -> None:
    rules = [
        make_rule("one", "any where a == 1"),
        make_rule("true", "any where a == true"),
        make_rule("text", 'any where a == "1"'),
    ]
    detector = Detector(rules)
    for value in (1, True, 1.0, "1", [1], [True], [1, True], 0, False, "true"):
        event = {"a": value}
        assert found(detector, event) == expected(rules, event), value
        assert found(detector, event) == expected(rules, event), value


def test_more_values_than_are_kept_and_values_too_long_to_keep_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index, "_MOST_VALUES", 3)
    rules = [make_rule("five", 'any where a == "5"'), make_rule("long", 'any where a : "x*y"')]
    detector = Detector(rules)
    long = "x" * 5000 + "y"
    for value in [*map(str, range(10)), long, "5", long]:
        assert found(detector, {"a": value}) == expected(rules, {"a": value})


def test_a_sequence_is_found_as_without_the_index() -> None:
    query = """sequence by user.id with maxspan=10s
      [process where process.name == "a"]
      [any where process.args : ("x", "y") or process.name : "c*"]
      until [process where process.name == "end"]"""
    rule = make_rule("sequence", query)
    detector, matcher = Detector([rule]), rule.query.matcher()
    names = ["a", "b", "cd", "end", "a", "b", "x", "a", "cd"]
    total = 0
    for second in range(40):
        event = {
            "@timestamp": f"2026-11-24T00:00:{second:02}Z",
            "event.category": "process",
            "user.id": str(second % 2),
            "process.name": names[second % len(names)],
            "process.args": ["x"] if second % 7 == 0 else [],
        }
        wanted = [match.events for match in matcher.push(event)]
        assert [detection.events for detection in detector.detect(event)] == wanted
        total += len(wanted)
    assert total > 3


def test_steps_that_python_takes_for_the_same_are_kept_apart() -> None:
    rule = make_rule("pair", "sequence [any where a == 1] [any where a == true]")
    detector = Detector([rule])
    assert found(detector, {"a": 1}) == []
    assert found(detector, {"a": True}) == ["pair"]


def keys(query: str) -> list[str]:
    tree = eql.compile(query).event_query
    assert tree is not None
    return [alternative.key for alternative in alternatives(tree)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # What is about one field is looked up, whatever it is.
        ('process.name == "x"', ['process.name == "x"']),
        ('process.name : "x*" and a != "y"', ['process.name : "x*" and a != "y"']),
        ('not process.name in ("x", "y")', ['not process.name in ("x", "y")']),
        # A choice between fields is split.
        ('process.name == "x" or a == "y"', ['process.name == "x"', 'a == "y"']),
        (
            '(process.name == "x" or a == "y") and user.id == "0"',
            ['process.name == "x" and user.id == "0"', 'a == "y" and user.id == "0"'],
        ),
        # Of a field with many values, a literal is looked up.
        ('process.args == "-X"', ['process.args in~ ("-x")']),
        ('process.args : ("a", "b")', ['process.args in~ ("a", "b")']),
        # What is neither is asked of every event.
        ('process.args : "a*"', [""]),
        ("process.pid > 1", [""]),
        ("true", [""]),
    ],
)
def test_the_key_of_a_rule_is_what_is_looked_up(condition: str, expected: list[str]) -> None:
    assert keys(f"process where {condition}") == expected


def test_a_rule_of_very_many_alternatives_is_not_split_into_all_of_them() -> None:
    choice = '(process.name == "x" or a == "y")'
    assert len(keys(f"any where {' and '.join([choice] * 20)}")) <= 16


def test_elastics_rules_find_in_the_fixtures_what_they_find_without_the_index(
    elastic_linux_rules: Path, fixtures: Path
) -> None:
    rules = [
        rule
        for rule in load_rules([elastic_linux_rules]).rules
        if rule.query.event_query is not None
    ]
    detector = Detector(rules)
    matches = 0
    for document in auditrule.read_events(fixtures / "logs"):
        event = document.to_dict()
        wanted = expected(rules, event)
        assert found(detector, event) == wanted
        matches += len(wanted)
    assert matches > 100
