"""What queries match: a table that can be read as documentation of the language."""

from __future__ import annotations

import doctest
from types import MappingProxyType

import pytest

from auditrule import eql

EVENT = {
    "event": {"category": ["process"], "type": ["start"], "code": 4},
    "process": {
        "name": "chmod",
        "args": ["chmod", "+x", "/etc/init.d/Evil"],
        "args_count": 3,
        "interactive": True,
        "pid": 100,
        "command_line": "chmod +x\n/etc/init.d/Evil",
        "parent": {"name": "bash"},
        "score": 1.5,
    },
    "host.os.type": "linux",
    "note": "C:\\temp\\50%_*",
    "empty": [],
    "nothing": None,
    "flags": [True, "false"],
    "port": "443",
}

HOLDS = [
    # Equality is literal and knows upper from lower case.
    'process.name == "chmod"',
    '"chmod" == process.name',
    'process.name == ("chmod")',
    'not process.name == "Chmod"',
    'not process.name == "chm*"',
    'not process.name == "chmod "',
    r'not process.name == "it\'s"',
    "process.pid == 100",
    "process.pid == 100.0",
    "process.score == 1.5",
    "process.interactive == true",
    "not process.interactive == false",
    # A condition may be a boolean alone.
    "true",
    "not false",
    "process.interactive",
    "?process.interactive",
    "not process.name",
    "not absent.field",
    # Order: numbers as numbers, strings by code point.
    "process.pid > 99 and process.pid >= 100 and process.pid < 101 and process.pid <= 100",
    "99 < process.pid and 101 > process.pid",
    "process.score > 1",
    'process.name > "Chmod" and process.name < "chmoe"',
    "not process.name > 5",
    # `:` ignores case, knows wildcards, and spans the whole value.
    'process.name : "CHMOD"',
    'process.name:"ch*"',
    'process.name : "?hmo?"',
    'not process.name : "chm"',
    'not process.name : "?chmod"',
    'process.name : "*"',
    'process.command_line : "CHMOD*evil"',
    'process.command_line : "chmod +x?/etc/*"',
    'process.args : "/ETC/*"',
    'process.args : ("/usr/*", "/opt/*", "*evil")',
    'not process.args : ("/usr/*", "/opt/*")',
    # like knows case, like~ does not; both know wildcards.
    'process.args like "/etc/*Evil"',
    'not process.args like "/etc/*evil"',
    'process.args like~ ("x", "/ETC/*evil")',
    # There is no escape for wildcards, and a backslash is a character like any other.
    r'note : "c:\\temp\\50%_?"',
    r'note : "c:\\temp\\50%_\u{2a}"',
    r'not note : "c:\\temp\\50%_\\*"',
    '''note like """C:\\temp\\*"""''',
    # in is literal, in~ ignores case and is literal too.
    'process.name in ("chown", "chmod")',
    'process.name not in ("chown", "Chmod")',
    'process.name in~ ("CHMOD")',
    'process.name not in~ ("ch*")',
    'process.args in ("+x")',
    'process.args not in ("-x", "+X")',
    "process.pid in (1, 100)",
    'process.pid in ("x", 100)',
    # Arrays: any element does; not, != and not in say that none does.
    'process.args == "+x"',
    'not process.args != "+x"',
    'process.args != "-x"',
    'process.args == "chmod" and process.args == "+x"',
    "flags == true and flags == false",
    # A comparison with an absent field is false, what negates it is true.
    'not absent == "x"',
    'absent != "x"',
    "not absent > 1 and not absent <= 1",
    'absent not in ("x")',
    'not absent : "*"',
    'not ?process.parent.executable : "/var/lib/dpkg/*"',
    # null asks for absence; an empty array, null and an object are absent.
    "absent == null and null == absent",
    "process.name != null and null != process.name",
    "empty == null and nothing == null",
    "process.parent == null",
    "process.args != null",
    "null == null and not null != null",
    # The literal's type tells how a value is read.
    'event.code == "4" and event.code : "?"',
    'process.interactive == "true"',
    "port == 443 and port > 80",
    "not process.name == 0",
    "not process.interactive == 1 and not process.pid == true",
    "not flags == 1",
    # Literals with literals.
    '1 == 1 and "a" != "b" and not "a" == 1 and 1 < 2',
    # Precedence: not before and before or.
    "true or false and false",
    "not (true or false) or true",
    "not false and true",
    "not not true",
    "not (process.pid == 1 or process.pid == 2)",
    # Spellings of fields.
    '`process.name` == "chmod" and `process`.`name` == "chmod"',
    'host.os.type == "linux"',
    # Comments and white space.
    'process.name == // the "name"\n "chmod" /* and\n * so on */ and\ttrue',
    'process.name=="chmod"and(true)',
]


@pytest.mark.parametrize("condition", HOLDS)
def test_the_condition_holds_and_its_negation_does_not(condition: str) -> None:
    assert eql.compile(f"process where {condition}").matches(EVENT)
    assert not eql.compile(f"process where not ({condition})").matches(EVENT)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("process where true", True),
        ('"process" where true', True),
        ('"""process""" where true', True),
        ("any where true", True),
        ("file where true", False),
        ("Process where true", False),
        ('"any" where true', False),
        ("any where false", False),
    ],
)
def test_a_query_wants_its_category(query: str, expected: bool) -> None:
    assert eql.compile(query).matches(EVENT) is expected


def test_any_matches_an_event_that_has_no_category() -> None:
    assert eql.compile('any where a == "x"').matches({"a": "x"})
    assert not eql.compile('process where a == "x"').matches({"a": "x"})


def test_the_field_of_the_category_can_be_chosen() -> None:
    query = eql.compile("process where true", category_field="kind")
    assert query.matches({"kind": "process"})
    assert not query.matches({"event": {"category": "process"}})


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"\"\\\n\t\r\b\f"', '"\\\n\t\r\b\f'),
        (r'"\u{e9}\u{1F600}"', "é😀"),
        ('"é 😀"', "é 😀"),
        ('"// no comment /* here */"', "// no comment /* here */"),
        ('""', ""),
        ('"""C:\\new "quoted" \\u{41}"""', 'C:\\new "quoted" \\u{41}'),
        ('"""ends in a quote""""', 'ends in a quote"'),
        ('""""""', ""),
    ],
)
def test_a_string_stands_for_its_value(literal: str, value: str) -> None:
    query = eql.compile(f"any where a == {literal}")
    assert query.matches({"a": value})
    assert not query.matches({"a": value + "x"})


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("1.25", 1.25),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e3", -1500),
        ("1e-2", 0.01),
        ("9223372036854775807", 9223372036854775807),
        ("-9223372036854775808", -9223372036854775808),
    ],
)
def test_a_number_stands_for_its_value(literal: str, value: float) -> None:
    query = eql.compile(f"any where a == {literal}")
    assert query.matches({"a": value})
    assert not query.matches({"a": value + 1024})


@pytest.mark.parametrize(
    "event",
    [
        {"process": {"parent": {"name": "bash"}}},
        {"process.parent.name": "bash"},
        {"process": {"parent.name": "bash"}},
        {"process.parent": {"name": "bash"}},
        {"process": {"parent": {"name": ["zsh", ["bash"]]}}},
        {"process": {"parent": [{"name": "zsh"}, {"pid": 1}, {"name": "bash"}]}},
        {"process": {"parent": {"pid": 1}}, "process.parent.name": "bash"},
        {"process": None, "process.parent.name": ("bash",)},
        MappingProxyType({"process": MappingProxyType({"parent.name": "bash"})}),
    ],
)
def test_a_field_is_found_however_the_event_is_nested(event: dict[str, object]) -> None:
    assert eql.compile('any where process.parent.name == "bash"').matches(event)
    assert not eql.compile("any where process.parent.name == null").matches(event)


@pytest.mark.parametrize(
    "event",
    [{}, {"a": {}}, {"a": []}, {"a": [None]}, {"a": {"b": [[]]}}, {"a": "text"}, {"a": {"b": {}}}],
)
def test_a_field_without_a_value_is_absent(event: dict[str, object]) -> None:
    assert eql.compile("any where a.b == null").matches(event)


def test_of_two_spellings_in_one_event_the_nested_one_counts() -> None:
    event = {"a": {"b": "nested"}, "a.b": "dotted"}
    assert eql.compile('any where a.b == "nested" and a.b != "dotted"').matches(event)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"x", id="bytes"),
        pytest.param(object(), id="object"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param(-(10**5000), id="a huge number"),
        pytest.param("9" * 5000, id="the text of a huge number"),
        pytest.param({1, 2}, id="a set of other numbers"),
        pytest.param({"b": {"c": "x"}}, id="a mapping"),
    ],
)
def test_values_that_no_literal_can_name_match_nothing_and_raise_nothing(value: object) -> None:
    query = eql.compile('any where a == "x" or a == 5 or a > 5 and a < 6 or a : "x*" or a == true')
    assert not query.matches({"a": value})


def test_a_query_tells_the_fields_that_its_condition_reads() -> None:
    query = eql.compile(
        'process where a.b == 1 and not (?c : "x" or "y" == `d e`) and f and a.b > 0'
    )
    assert query.fields == {"a.b", "c", "d e", "f"}
    assert query.category == "process"
    assert eql.compile("any where true").fields == frozenset()
    assert eql.compile("any where true").category is None


def test_search_yields_a_match_for_each_event_that_matches_in_order() -> None:
    events = [{"n": number} for number in (1, 5, 2, 7)]
    matches = list(eql.compile("any where n > 3").search(iter(events)))
    assert matches == [eql.Match(events=(events[1],)), eql.Match(events=(events[3],))]
    assert matches[0].join_keys == ()


def test_search_reads_no_further_than_it_is_asked() -> None:
    events = iter([{"n": 1}, {"n": 2}])
    search = eql.compile("any where true").search(events)
    next(search)
    assert next(events) == {"n": 2}


def test_the_example_of_the_package_is_true() -> None:
    results = doctest.testmod(eql)
    assert results.attempted > 0
    assert results.failed == 0


def test_a_query_prints_itself_in_canonical_form() -> None:
    text = 'process  where (not(a:("x"))and b in("y",1)) or /* c */ ?`d e`=="\t"'
    assert str(eql.compile(text)) == (
        'process where not a : "x" and b in ("y", 1) or ?`d e` == "\\t"'
    )
