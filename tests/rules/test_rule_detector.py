import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_making import make_rule

from auditrule.eql.compiler import Predicate, compile_condition
from auditrule.eql.tree import Condition
from auditrule.rules import Detection, Detector, index, load_rules

VALID = Path(__file__).parents[2] / "fixtures/rules/valid"


def ids(detections: list[Detection]) -> list[str]:
    return [detection.rule.id for detection in detections]


@pytest.fixture(scope="module")
def fixtures() -> Detector:
    return Detector(load_rules([VALID]).rules)


KEYS_WRITTEN = {
    "event": {"category": ["file"], "type": ["change"]},
    "file": {"path": "/home/alice/.ssh/authorized_keys"},
    "process": {"name": "vi"},
}
SHELL = {
    "event": {"category": ["process"], "type": ["start"]},
    "process": {
        "name": "bash",
        "args": ["bash", "-c", "id"],
        "args_count": 3,
        "parent": {"name": "NGINX"},
    },
    "user": {"name": "www-data"},
}
ROOT = {"user": {"id": "0", "name": "Root"}, "process": {"interactive": True}}
LOGIN = {"event": {"action": "logged-in", "outcome": "failure"}}


def changed(document: Mapping[str, object], **fields: object) -> dict[str, object]:
    """The document, dotted, with fields (``process__name``) set to other values."""
    flat: dict[str, object] = {}

    def flatten(part: Mapping[str, object], prefix: str) -> None:
        for key, value in part.items():
            if isinstance(value, dict):
                flatten(value, f"{prefix}{key}.")
            else:
                flat[prefix + key] = value

    flatten(document, "")
    return flat | {name.replace("__", "."): value for name, value in fields.items()}


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (KEYS_WRITTEN, ["Authorized Keys Written"]),
        (
            changed(KEYS_WRITTEN, file__path="/root/.ssh/authorized_keys2"),
            ["Authorized Keys Written"],
        ),
        (changed(KEYS_WRITTEN, file__path="/root/.ssh/authorized_keys"), []),
        (changed(KEYS_WRITTEN, file__path="/HOME/alice/.ssh/authorized_keys"), []),
        (changed(KEYS_WRITTEN, process__name="sshd"), []),
        (changed(KEYS_WRITTEN, event__category=["process"]), []),
        (SHELL, ["Shell from a Web Server"]),
        (changed(SHELL, process__name="DASH"), ["Shell from a Web Server"]),
        (changed(SHELL, process__name="python"), []),
        (changed(SHELL, process__args_count=1), []),
        (changed(SHELL, process__args_count=100), []),
        (changed(SHELL, process__args=None), []),
        (changed(SHELL, process__args=["bash", 'a "HEALTHCHECK" b']), []),
        (changed(SHELL, process__tty="pts0"), []),
        (changed(SHELL, user__name="root"), []),
        (ROOT, ["Interactive Root"]),
        (changed(ROOT, process__interactive=None), []),
        (changed(ROOT, user__id="1000"), []),
        (LOGIN, ["Login Failed"]),
        (changed(LOGIN, event__action="logged-out"), []),
        (changed(LOGIN, event__outcome="success"), []),
        ({}, []),
    ],
)
def test_the_fixtures_rules_match_what_they_say(
    fixtures: Detector, event: Mapping[str, object], names: list[str]
) -> None:
    assert [detection.rule.name for detection in fixtures.detect(event)] == names


def test_an_event_gives_all_its_rules_in_the_order_of_the_rules() -> None:
    queries = {
        "1": "process where true",
        "2": "any where true",
        "3": "file where true",
        "4": "any where false",
        "5": "process where true",
    }
    detector = Detector(make_rule(*each) for each in queries.items())
    assert ids(detector.detect({"event": {"category": ["process"]}})) == ["1", "2", "5"]
    assert ids(detector.detect({"event": {"category": ["file", "process"]}})) == [
        "1",
        "2",
        "3",
        "5",
    ]
    assert ids(detector.detect({"event.category": "file"})) == ["2", "3"]
    assert ids(detector.detect({"event": {"category": ["network"]}})) == ["2"]
    assert ids(detector.detect({})) == ["2"]


def test_no_rules_match_nothing() -> None:
    assert Detector([]).detect(SHELL) == []


def test_rules_with_another_category_field_stand_beside_the_others() -> None:
    detector = Detector(
        [
            make_rule("action", "exec where true", category_field="event.action"),
            make_rule("category", "process where true"),
            make_rule("any", "any where true", category_field="event.action"),
        ]
    )
    both = {"event": {"category": ["process"], "action": "exec"}}
    assert ids(detector.detect(both)) == ["action", "category", "any"]
    assert ids(detector.detect({"event": {"category": ["exec"], "action": "process"}})) == ["any"]


def test_two_rules_of_one_id_are_refused() -> None:
    twins = [make_rule("a", "any where true"), make_rule("a", "any where false")]
    with pytest.raises(ValueError, match=r"'a' is in a\.toml"):
        Detector(twins)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from(["process", "file", "1", "true", "Process", "", "any"]),
)
_CATEGORIES = st.recursive(
    _VALUES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", ""]), inner, max_size=1)
    ),
    max_leaves=5,
)


@given(
    category=_CATEGORIES,
    dotted=st.booleans(),
)
def test_grouping_by_category_changes_nothing_in_what_matches(
    category: object, dotted: bool
) -> None:
    queries = ["process where true", '"1" where true', '"true" where true', "any where true"]
    rules = [make_rule(query, query) for query in queries]
    document: dict[str, object] = (
        {"event.category": category} if dotted else {"event": {"category": category}}
    )
    wanted = [rule.id for rule in rules if rule.query.matches(document)]
    assert ids(Detector(rules).detect(document)) == wanted


def test_a_rule_whose_evaluation_fails_is_logged_once_and_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_to_fail(condition: Condition) -> Predicate:
        def fail(event: Mapping[str, object]) -> bool:
            raise RuntimeError("a fault in the engine")

        return fail if "boom" in str(condition) else compile_condition(condition)

    monkeypatch.setattr(index, "compile_condition", compile_to_fail)
    detector = Detector(
        [
            make_rule("first", "any where true"),
            make_rule("broken", 'any where concat(process.args, "boom") != "x"'),
            make_rule("last", "any where true"),
        ]
    )
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert ids(detector.detect({})) == ["first", "last"]
    assert detector.failures == {"broken": 3}
    [logged] = caplog.records
    assert "broken.toml" in logged.getMessage()
    assert logged.exc_info is not None
    assert logged.exc_info[0] is RuntimeError


def test_rules_are_evaluated_one_by_one_where_the_index_fails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector([make_rule("a", "process where true"), make_rule("b", "file where true")])

    def fail(event: Mapping[str, object]) -> None:
        raise RuntimeError("a fault in the index")

    monkeypatch.setattr(detector._index, "candidates", fail)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert ids(detector.detect({"event.category": "process"})) == ["a"]
    assert len(caplog.records) == 1


def event(category: str, seconds: int, **fields: object) -> dict[str, object]:
    time = f"2026-11-24T00:00:{seconds:02}.000Z"
    return {"@timestamp": time, "event.category": category, "host.name": "web1", **fields}


def test_a_sequence_is_detected_with_its_events_and_its_join_keys() -> None:
    query = "sequence by host.id, user with maxspan=10s [a where true] [b where true]"
    detector = Detector([make_rule("pair", query), make_rule("single", "b where true")])
    first, second = event("a", 1, user="ann"), event("b", 2, user="ann")
    assert detector.detect(first) == []
    assert detector.detect(event("b", 2, user="bob")) != []
    pair, single = detector.detect(second)
    assert (pair.rule.id, pair.events, pair.join_keys) == ("pair", (first, second), ("web1", "ann"))
    assert (single.rule.id, single.events) == ("single", (second,))


def test_a_missing_event_is_known_to_be_so_when_events_of_no_rule_have_passed_the_time() -> None:
    query = "sequence with maxspan=5s [a where true] ![b where true]"
    detector = Detector([make_rule("lonely", query)])
    first = event("a", 1)
    assert detector.detect(first) == []
    assert detector.detect(event("x", 6)) == []
    [found] = detector.detect(event("x", 7))
    assert found.events == (first,)


def test_the_end_of_the_events_completes_what_waits_for_nothing_and_forgets_the_rest() -> None:
    rules = [
        make_rule("lonely", "sequence with maxspan=5s [a where true] ![b where true]"),
        make_rule("pair", "sequence [a where true] [b where true]"),
    ]
    detector = Detector(rules)
    assert detector.detect(event("a", 1)) == []
    assert ids(detector.finish()) == ["lonely"]
    assert detector.finish() == []
    assert detector.detect(event("b", 2)) == []


def test_open_sequences_are_bounded_and_those_given_up_are_counted() -> None:
    query = "sequence by n [a where true] [b where true]"
    detector = Detector([make_rule("pair", query)], max_open=2)
    for number in range(3):
        detector.detect(event("a", 1, n=number))
    assert detector.dropped == {"pair": 1}
    assert [ids(detector.detect(event("b", 2, n=number))) for number in range(3)] == [
        [],
        ["pair"],
        ["pair"],
    ]


A_DAY_LATER = event("x", 0) | {"@timestamp": "2026-11-25T00:00:00.000Z"}


def test_one_event_out_of_its_time_does_not_clear_what_is_open() -> None:
    query = "sequence by n with maxspan=1h [a where true] [b where true]"
    for position in range(1000):
        detector = Detector([make_rule("pair", query), make_rule("any", "x where true")])
        detector.detect(event("a", 1, n=1))
        for number in range(1000):
            detector.detect(A_DAY_LATER if number == position else event("x", 2))
        assert ids(detector.detect(event("b", 3, n=1))) == ["pair"], position


def test_sequences_whose_time_has_run_out_are_cleared_without_an_event_of_theirs() -> None:
    query = "sequence with maxspan=1h [a where true] [b where true]"
    detector = Detector([make_rule("pair", query), make_rule("any", "x where true")])
    detector.detect(event("a", 1))
    assert detector.open == 1
    for _ in range(1000):
        detector.detect(A_DAY_LATER)
    assert detector.open == 0


@pytest.mark.parametrize(
    ("queries", "names"),
    [
        (['process where process.name == "chmod"'], {b"chmod"}),
        (
            ['process where process.name in~ ("Chmod", "a") or process.name : "b"'],
            {b"chmod", b"a", b"b"},
        ),
        (['process where process.name == "a"', 'process where process.name == "b"'], {b"a", b"b"}),
        (
            ['sequence [process where process.name == "a"] [process where process.name == "b"]'],
            {b"a", b"b"},
        ),
        (['process where process.name == "a" and process.args == "x"'], {b"a"}),
        (['process where process.name == "a"', 'process where process.args == "x"'], None),
        (['process where process.name == "a" or process.args == "x"'], None),
        (['process where process.name : "a*"'], None),
        (['process where process.name != "a"'], None),
        (['process where not process.name == "a"'], None),
        (["process where process.name == null"], None),
        (['process where process.name == "\u00e9"'], None),
        (['sequence [process where process.name == "a"] [any where true]'], None),
        (
            [
                'sequence with maxspan=1m [process where process.name == "a"] '
                '![process where process.name == "b"]'
            ],
            None,
        ),
    ],
)
def test_the_programs_that_rules_ask_about_are_known_where_all_name_some(
    queries: list[str], names: set[bytes] | None
) -> None:
    detector = Detector([make_rule(str(n), query) for n, query in enumerate(queries)])
    asked = None if detector.prospects is None else detector.prospects.asked
    assert (None if asked is None else asked.names) == names


@pytest.mark.parametrize(
    ("queries", "programs"),
    [
        (['process.name == "A" and process.args : "/etc/*"'], {"a": {"/etc/*"}}),
        (['process.name == "a" and process.args in ("x", "Y")'], {"a": {"x", "y"}}),
        # Either of the two may match; of b nothing is asked but its name.
        (
            [
                'process.name == "a" and process.args : ("/etc/*", "*curl*")',
                'process.name in ("a", "b") and process.args == "z"',
                'process.name == "b"',
            ],
            {"a": {"/etc/*", "*curl*", "z"}, "b": None},
        ),
        # What may be absent, or is only one of several ways, is not asked for.
        (['process.name == "a" and not process.args : "/etc/*"'], {"a": None}),
        (['process.name == "a" and (process.args : "/etc/*" or user.id == "0")'], {"a": None}),
    ],
)
def test_what_rules_need_of_arguments_is_asked_for(
    queries: list[str], programs: dict[str, set[str] | None]
) -> None:
    rules = [make_rule(str(n), f"process where {query}") for n, query in enumerate(queries)]
    prospects = Detector(rules).prospects
    assert prospects is not None
    assert prospects.asked is not None
    assert prospects.asked.programs == programs


def test_nothing_has_failed_where_all_is_well(fixtures: Detector) -> None:
    fixtures.detect(SHELL)
    assert fixtures.failures == {}
