"""The index of rules: what it finds is what the rules find by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from eql_trees import Words, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_making import make_rule, nested

import auditrule
from auditrule import eql
from auditrule.eql.tree import EventQuery
from auditrule.rules import Detector, Rule, index, load_rules, needles
from auditrule.rules.index import alternatives

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Fields of few values and of many, one by which the index asks first, one that holds numbers too.
NAMES = ["process.name", "process.args", "process.pid", "process.start", "user.id", "a"]
# A day, and other spellings of times within it, which are equal to the day.
DAY = "2026-11-24"
WITHIN_DAY = [f"{DAY}T05:00:00Z", f"{DAY}T05:00:00.000Z", f"{DAY} 06:00:00+01:00", "1795496400000"]
FIVE = datetime(2026, 11, 24, 5, tzinfo=UTC)
texts = st.text("aAb1*", max_size=2) | st.sampled_from(["chmod", "CHMOD", "true", DAY, *WITHIN_DAY])
numbers = st.integers(0, 2) | st.sampled_from([1.0, 0.5])
words = Words(st.sampled_from(NAMES), texts, numbers)
queries = st.builds(
    EventQuery, st.none() | st.sampled_from(["process", "file"]), trees(words).conditions
)
# Values that Python takes for equal and EQL does not, and such as no JSON has.
odd = st.sampled_from(
    [-0.0, 0.0, float("nan"), 10**400, b"a", FIVE, FIVE.astimezone(timezone(timedelta(hours=1)))]
)
scalars = texts | numbers | st.booleans() | st.none() | odd
values = st.one_of(
    scalars,
    st.lists(scalars | st.lists(scalars, max_size=2), max_size=3),
    st.lists(scalars, max_size=3).map(tuple),
    st.just({"of": "objects"}),
    st.just([MappingProxyType({"of": 1}), "a"]),
)
events = st.builds(
    lambda fields, categories: {**fields, "event.category": categories},
    st.dictionaries(st.sampled_from(NAMES), values),
    st.sampled_from(["process", "file", ["process"], ["process", "file"], [], None, 1, "x"]),
)


def found(detector: Detector, event: Mapping[str, object]) -> list[str]:
    return [detection.rule.id for detection in detector.detect(event)]


def expected(rules: list[Rule], event: Mapping[str, object]) -> list[str]:
    return [rule.id for rule in rules if rule.query.matches(event)]


@settings(max_examples=600, deadline=None)
@given(
    st.lists(queries, min_size=1, max_size=5),
    st.lists(events, min_size=1, max_size=4),
    st.sampled_from([(4096, 1024, 1), (1, 1024, 4), (4096, 1, 1)]),
)
def test_the_index_changes_nothing_in_what_matches(
    trees_of_rules: list[EventQuery], stream: list[dict[str, object]], kept: tuple[int, int, int]
) -> None:
    rules = [make_rule(str(n), str(tree)) for n, tree in enumerate(trees_of_rules)]
    rules.append(make_rule("other field", "chmod where a != null", category_field="process.name"))
    detector = Detector(rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_MOST_KEPT", kept[0])
        patch.setattr(index, "_LONGEST_VALUE", kept[1])
        patch.setattr(needles, "_SHORTEST_PIECE", kept[2])
        # Twice: the second time it knows the values.
        for event in (*stream, *stream):
            for form in (event, nested(event)):
                assert found(detector, form) == expected(rules, form)
    assert detector.failures == {}


@pytest.mark.parametrize("field", ["process.start", "process.args", "@timestamp", "process.name"])
@pytest.mark.parametrize(
    "condition", [f'`{{}}` == "{DAY}"', f'"{DAY}" == `{{}}`', f'`{{}}` in ("x", "{DAY}")']
)
def test_a_date_is_found_in_every_spelling_of_its_time(field: str, condition: str) -> None:
    rule = make_rule("day", f"any where {condition.format(field)}")
    detector = Detector([rule])
    for value in [DAY, *WITHIN_DAY]:
        for event in ({field: value}, {field: ["y", value]}):
            assert found(detector, event) == ["day"] == expected([rule], event)
    assert found(detector, {field: "2026-11-25"}) == []


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ('process.args : "aB"', "Ab"),
        ('process.args in~ ("aB")', "AB"),
        ('process.args : ("x", "é*B")', "é*b"),
        ('process.args : "/TMP/*.sh"', "/tmp/a.SH"),
        ('process.args like ("x", "*beGin?end*")', "a-beGin-end"),
        ('process.args like~ "?eGin*"', "begin"),
        ('process.args in ("*curl*")', "*curl*"),
        ('process.args == "/tmp/*"', "/tmp/*"),
        ('process.args == "1"', 1),
        ('process.args in ("1.5", "x")', 1.5),
        ('process.args : "TRUE"', True),
        ('process.args == ""', ""),
    ],
)
def test_an_argument_is_looked_up_as_the_rule_reads_it(condition: str, value: object) -> None:
    rule = make_rule("argument", f"any where {condition}")
    detector = Detector([rule])
    for event in ({"process.args": value}, {"process": {"args": ["no such", value]}}):
        assert found(detector, event) == ["argument"] == expected([rule], event)
    assert found(detector, {"process.args": ["no such"]}) == []


def test_equal_numbers_and_times_of_other_texts_are_kept_apart() -> None:
    rules = [
        make_rule("minus", 'any where string(a) == "-0.0"'),
        make_rule("zone", 'any where string(a) : "*+01:00"'),
    ]
    detector = Detector(rules)
    in_zone = FIVE.astimezone(timezone(timedelta(hours=1)))
    for value, wanted in [(0.0, []), (-0.0, ["minus"]), (0.0, []), (FIVE, []), (in_zone, ["zone"])]:
        assert found(detector, {"a": value}) == wanted == expected(rules, {"a": value})


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
    monkeypatch.setattr(index, "_MOST_KEPT", 3)
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


CONDITIONS = [
    'process.name == "a"',
    'process.name : ("A", "b*")',
    'process.args == "x"',
    'process.args : "x*" or process.name == "c"',
    'not process.args == "x"',
    f'process.start == "{DAY}"',
    'process.pid > 1 and process.name != "a"',
]
steps = st.builds(
    "[{} where {}]".format,
    st.sampled_from(["process", "process", "any", "file"]),
    st.sampled_from(CONDITIONS),
)


@st.composite
def sequences(draw: st.DrawFn) -> str:
    by = draw(st.sampled_from(["", " by user.id", " by host.id", " by ?user.id, host.id"]))
    events = draw(st.lists(steps, min_size=2, max_size=3))
    if by and draw(st.integers(0, 4)) == 0:
        return "\n".join((f"sample{by}", *events))
    shape = draw(st.sampled_from(["", "span", "runs", "first", "between", "last"]))
    if shape == "runs":
        events[-1] += " with runs=2"
    absent = {"first": 0, "between": 1, "last": len(events)}.get(shape)
    if absent is not None:
        events.insert(absent, "!" + draw(steps))
    if draw(st.booleans()):
        events.append("until " + draw(steps))
    span = " with maxspan=3s" if shape else ""
    return "\n".join((f"sequence{by}{span}", *events))


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, object]]:
    """Events in order of time, some at the same, of few keys."""
    stream: list[dict[str, object]] = []
    second = 0
    for _ in range(draw(st.integers(2, 14))):
        second += draw(st.sampled_from([0, 1, 1, 2, 5]))
        event: dict[str, object] = {
            "@timestamp": f"{DAY}T05:{second // 60:02}:{second % 60:02}Z",
            "event.category": draw(st.sampled_from(["process"] * 5 + ["file"])),
            "process.name": draw(st.sampled_from("aAbcd")),
            "process.args": draw(st.lists(st.sampled_from(["x", "X", "xy", 1]), max_size=2)),
            "process.pid": draw(st.integers(0, 3)),
            "host.name": draw(st.sampled_from(["web1", "web1", "web1", "web2"])),
        }
        event |= draw(st.sampled_from([{}, {"process.start": WITHIN_DAY[0]}]))
        event |= draw(st.sampled_from([{}, {"user.id": "0"}, {"user.id": "0"}, {"user.id": "1"}]))
        stream.append(event)
    return stream


def matches_of(rule: Rule, stream: list[dict[str, object]], max_open: int) -> list[list[Any]]:
    """Return what each event completes, and then the end, if every event is pushed."""
    matcher = rule.query.matcher(key_fallbacks={"host.id": "host.name"}, max_open=max_open)
    pushed = [[(m.events, m.join_keys) for m in matcher.push(event)] for event in stream]
    return [*pushed, [(m.events, m.join_keys) for m in matcher.finish()]]


@settings(max_examples=600, deadline=None)
@given(st.lists(sequences(), min_size=1, max_size=3), streams(), st.sampled_from([10_000, 2]))
def test_sequences_and_samples_are_found_as_if_every_event_were_pushed(
    texts_of_rules: list[str], stream: list[dict[str, object]], max_open: int
) -> None:
    rules = [make_rule(str(n), text) for n, text in enumerate(texts_of_rules)]
    detector = Detector(rules, max_open=max_open)
    detected = [*map(detector.detect, stream), detector.finish()]
    for rule in rules:
        mine = [[(d.events, d.join_keys) for d in each if d.rule is rule] for each in detected]
        assert mine == matches_of(rule, stream, max_open)
    assert detector.failures == {}


def test_an_event_that_no_step_asks_for_tells_a_sequence_the_time() -> None:
    rule = make_rule(
        "missing",
        """sequence by user.id with maxspan=3s
          [process where process.name == "a"] ![process where process.name == "b"]""",
    )
    detector = Detector([rule])
    stream: list[dict[str, object]] = [
        {
            "@timestamp": f"{DAY}T05:00:0{second}Z",
            "event.category": "process",
            "user.id": "0",
            "process.name": name,
        }
        for second, name in [(0, "a"), (3, "c"), (4, "c"), (5, "c")]
    ]
    assert [len(detector.detect(event)) for event in stream] == [0, 0, 1, 0]
    assert detector.finish() == []


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
        # What none of may hold is looked up one by one.
        (
            'not (process.name == "x" or user.id == "0")',
            ['not process.name == "x" and not user.id == "0"'],
        ),
        # Of a field with many values, a literal is looked up.
        ('process.args == "-X"', ['process.args in~ ("-x")']),
        ('process.args : ("a", "b")', ['process.args in~ ("a", "b")']),
        ('process.args in~ ("A*b", "b")', ['process.args in~ ("a*b", "b")']),
        ('process.args == "a" and process.args == "b"', ['process.args in~ ("a")']),
        ('process.args == "a" or process.args : "B"', ['process.args in~ ("a", "b")']),
        (
            'process.name == "x" and process.args : ("b", "a")',
            ['process.name == "x" and process.args in~ ("a", "b")'],
        ),
        # So is the beginning of a pattern, or a piece of it, where whole values are not enough.
        ('process.args : ("/tmp/*.SH", "x")', ['process.args like~ ("/tmp/*", "x")']),
        ('process.args like "a*longer?piece"', ['process.args like~ ("*longer*")']),
        ('process.args : "/tmp/*" and process.args : ("b", "c")', ['process.args in~ ("b", "c")']),
        ('process.args : "/tmp/*" and process.args : "*piece*"', ['process.args like~ ("/tmp/*")']),
        # A date equals other texts, too, but is one text to what takes patterns.
        (f'process.start == "{DAY}"', [""]),
        (f'process.args in ("x", "{DAY}")', [""]),
        (f'process.args : "{DAY}"', [f'process.args in~ ("{DAY}")']),
        # What is neither is asked of every event.
        ('process.args in ("a", 1)', [""]),
        ('process.args == "a" or process.args : "b*"', [""]),
        ('process.args == "a" or process.args : "*?*"', [""]),
        ('not process.args == "a"', [""]),
        ('process.args != "a"', [""]),
        ("process.args == true", [""]),
        ('process.args regex "a"', [""]),
        ('process.args : "a*"', [""]),
        ("process.pid > 1", [""]),
        ("true", [""]),
    ],
)
def test_the_key_of_a_rule_is_what_is_looked_up(condition: str, expected: list[str]) -> None:
    assert keys(f"process where {condition}") == expected


@pytest.mark.parametrize("by_itself", ["length(a) == 3", "not length(a) == 3"])
def test_a_function_of_an_absent_field_is_as_it_was_among_what_may_not_hold(by_itself: str) -> None:
    event = {"event.category": "process", "process.name": "y"}
    for condition in (f"not ({by_itself})", f'not (process.name == "x" or {by_itself})'):
        rule = make_rule("r", f"process where {condition}")
        assert found(Detector([rule]), event) == expected([rule], event)


def test_a_rule_of_very_many_alternatives_is_not_split_into_all_of_them() -> None:
    choice = '(process.name == "x" or a == "y")'
    assert len(keys(f"any where {' and '.join([choice] * 20)}")) <= 16


def logs_of(fixtures: Path) -> list[Path]:
    return [fixtures / "demo", *sorted(fixtures.glob("logs/*.log"))]


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
    for document in auditrule.read_events([*logs_of(fixtures), fixtures / "handwritten"]):
        event = document.to_dict()
        wanted = expected(rules, event)
        assert found(detector, event) == wanted
        matches += len(wanted)
    assert matches > 100


@pytest.mark.timeout(600)
def test_elastics_sequences_find_in_the_fixtures_what_they_find_without_the_index(
    elastic_linux_rules: Path, fixtures: Path
) -> None:
    rules = [
        rule for rule in load_rules([elastic_linux_rules]).rules if rule.query.event_query is None
    ]
    assert len(rules) > 50
    detector = Detector(rules)
    for log in logs_of(fixtures):
        stream = [document.to_dict() for document in auditrule.read_events(log)]
        detected = [*map(detector.detect, stream), detector.finish()]
        for rule in rules:
            mine = [[(d.events, d.join_keys) for d in each if d.rule is rule] for each in detected]
            assert mine == matches_of(rule, stream, 10_000), log
