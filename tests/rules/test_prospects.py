"""What is said of a program by itself, and by its parent, hides nothing that a rule matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eql_trees import Words, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_making import make_rule, nested

from auditrule.eql.tree import EventQuery
from auditrule.rules import Detector
from auditrule.rules.index import is_of_parent, is_own
from auditrule.rules.prospects import ANY

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [
    "process.name",
    "process.args",
    "process.pid",
    "user.id",
    "process.parent.name",
    "process.parent.args",
    "process.parent.pid",
    "host.name",
]
texts = st.text("aB*", max_size=2) | st.sampled_from(["chmod", "CHMOD", "longer piece"])
numbers = st.integers(0, 2)
words = Words(st.sampled_from(NAMES), texts, numbers)
values = texts | numbers | st.none() | st.lists(texts | numbers, max_size=3)


def part(fields: dict[str, Any], about: Callable[[str], bool]) -> dict[str, Any]:
    return nested({name: value for name, value in fields.items() if about(name)})


@settings(max_examples=800, deadline=None)
@given(
    st.builds(EventQuery, st.just("process"), trees(words).conditions),
    st.lists(st.dictionaries(st.sampled_from(NAMES), values), min_size=1, max_size=6),
)
def test_what_matches_is_left_by_both(tree: EventQuery, events: list[dict[str, Any]]) -> None:
    detector = Detector([make_rule("r", str(tree))])
    prospects = detector.prospects
    assert prospects is not None
    for fields in events:
        event = {**fields, "event.category": "process"}
        if detector.detect(nested(event)):
            left = prospects.of(part(event, is_own))
            assert left & prospects.of_children(part(event, is_of_parent))


CHMOD = {"event.category": "process", "process.name": "chmod", "process.args": ["chmod", "+x", "a"]}


@pytest.mark.parametrize(
    ("condition", "is_left", "parents"),
    [
        ('process.name == "chmod" and process.parent.name == "x"', True, {"x"}),
        ('process.name == "other" and process.parent.name == "x"', False, {"x"}),
        # What is left to ask of the program itself is asked, but where a parent is asked for.
        ('process.args regex "y+"', False, {"x", "z", None}),
        ('process.args regex "y+" and process.parent.name == "x"', True, {"x"}),
        ('process.args regex "y+" and process.parent.name != "x"', False, {"z", None}),
        # What is only known later rules out nothing.
        ("process.pid == 5", True, {"x", "z", None}),
        ('process.parent.pid == 5 or process.name == "no"', True, {"x", "z", None}),
        ('process.name : "chm*" and not process.parent.executable == null', True, set()),
    ],
)
def test_what_is_left_of_a_rule(condition: str, is_left: bool, parents: set[str | None]) -> None:
    prospects = Detector([make_rule("r", f"process where {condition}")]).prospects
    assert prospects is not None
    assert bool(prospects.of(nested(CHMOD))) is is_left
    left = {
        name
        for name in ("x", "z", None)
        if prospects.of_children({"process": {"parent": {"name": name} if name else {}}})
    }
    assert left == parents


def test_an_index_that_fails_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector = Detector([make_rule("r", 'process where process.name == "x"')])
    prospects = detector.prospects
    assert prospects is not None

    def fail(_self: object, _event: object) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr("auditrule.rules.index.RuleIndex.left_by_own", fail)
    monkeypatch.setattr("auditrule.rules.index.RuleIndex.left_by_parent", fail)
    assert prospects.of({}) == prospects.of_children({}) == ANY
    assert caplog.text.count("the index of rules failed") == 1


def test_a_sequence_that_waits_for_time_wants_to_see_all() -> None:
    query = (
        'sequence with maxspan=1m [process where process.name == "a"] '
        '![process where process.name == "b"]'
    )
    assert Detector([make_rule("r", query)]).prospects is None
