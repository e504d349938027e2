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
    "sizes": [1, 9],
    "@timestamp": "2024-05-01T10:20:30.123Z",
    "created": 1714558830123,
    "local": "2024-05-01T12:20:30.123+02:00",
    "day": "2024-05-01",
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
    'port < "5" and port > 5',
    "process.pid > -1 and -1 < process.pid and process.pid > 9.99e1",
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
    'absent not in ("x")',
    'not absent : "*"',
    'not absent > 1 and not absent <= 1 and not absent <= "x"',
    "not process.name > 5 and not process.interactive < 1",
    "not (absent > 1 or absent < 1) and not (absent > 1 and process.pid == 100)",
    # And so it is where they are joined: not sees only whether the whole holds.
    "not (length(absent) > 3 and process.pid == 100)",
    "sizes > 5 and sizes <= 5",
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
    "process.pid == 99 + 1 and process.pid > 99 * 1.0 and -process.pid == -100",
    # Dates: a date is a point in time, however it is written.
    '@timestamp == "2024-05-01T10:20:30.123Z"',
    '@timestamp == "2024-05-01T12:20:30.123+02:00" and local == "2024-05-01T10:20:30.123Z"',
    '@timestamp == "2024-05-01 10:20:30.123" and "2024-05-01T10:20:30.123" == @timestamp',
    "@timestamp == 1714558830123 and @timestamp > 1714558830122",
    'created == "2024-05-01T10:20:30.123Z" and created < "2024-05-01T10:20:31Z"',
    '@timestamp > "2024-05-01T11:20:30+02:00" and not @timestamp > "2024-05-01T12:20:31+01:00"',
    # A date of less precision is all of the day, hour, minute or second that it names.
    '@timestamp == "2024-05-01" and @timestamp == "2024-05-01T10" and @timestamp : "2024-05-01*"',
    '@timestamp == "2024-05-01T10:20Z" and @timestamp == "2024-05-01T10:20:30"',
    '@timestamp != "2024-05-02" and @timestamp in ("2024-04-30", "2024-05-01")',
    '@timestamp >= "2024-05-01" and @timestamp <= "2024-05-01"',
    'not @timestamp > "2024-05-01" and not @timestamp < "2024-05-01"',
    'day == "2024-05-01T00:00:00Z" and day < "2024-05-01T00:00:01Z"',
    # Literals with literals.
    '1 == 1 and "a" != "b" and not "a" == 1 and 1 < 2',
    '"a" in ("a", "b") and 2 not in (1, 3) and "ABC" : "a*" and not "ABC" like "a*"',
    '1 + 1 == 2 and 1 / 0 == null and concat("a", null) == null',
    # Conditions may be compared with true and false, and with null.
    "(process.pid == 100) == true and true == (process.pid == 100)",
    "(process.pid == 1) == false and (process.pid == 1) != true",
    '(process.name : "ch*" and process.pid > 1) == true',
    '(absent == 1) == false and (absent : "*") != true',
    'not (startsWith(process.name, "x") == true)',
    "(absent > 1) == null and (process.pid > 1) != null and null == (1 > absent)",
    '(process.pid == 100) in (true) and string(process.name : "C*") == "true"',
    # not goes to what stands in the parentheses.
    "not (length(absent) > 3 and process.pid == 1)",
    "not (process.pid > 100 or process.pid < 100)",
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


NEITHER_HOLDS = [
    # Functions of an absent field and arithmetic with it are null, and so is what compares them.
    "length(absent) > 1",
    "length(absent) == 1",
    "length(absent) != 1",
    "absent + 1 == 2",
    "process.name + 1 == 2",
    'string(absent) : "*"',
    "startsWith(process.name, absent)",
    'endsWith("x", absent)',
    # What is null by accident does not ask for absence.
    "absent == 1 / 0",
    "process.pid == 1 / 0",
    'process.name != concat("a", null)',
]

# Of an array, one element may meet a condition and another its opposite.
BOTH_HOLD = [
    "length(process.args) > 2",
    "length(process.args) == 2",
    "length(process.args) != 2",
    "sizes + 1 == 2",
    'substring(process.args, 0, 2) : "ch"',
    "startsWith(process.command_line, process.args)",
]


@pytest.mark.parametrize("condition", NEITHER_HOLDS)
def test_neither_the_condition_nor_its_negation_holds(condition: str) -> None:
    assert not eql.compile(f"process where {condition}").matches(EVENT)
    assert not eql.compile(f"process where not ({condition})").matches(EVENT)


@pytest.mark.parametrize("condition", BOTH_HOLD)
def test_the_condition_and_its_negation_hold(condition: str) -> None:
    assert eql.compile(f"process where {condition}").matches(EVENT)
    assert eql.compile(f"process where not ({condition})").matches(EVENT)


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
    assert query.event_query is not None
    assert query.event_query.category == "process"
    assert eql.compile("any where true").fields == frozenset()


def test_a_query_of_several_events_reads_join_keys_and_the_fields_of_pipes_too() -> None:
    query = eql.compile(
        "sequence by a, ?b [any where c == 1] by d [any where length(e) > 1] by g"
        ' until [any where startsWith~("x", h)] by i'
    )
    assert query.fields == {"a", "b", "c", "d", "e", "g", "h", "i"}
    assert query.event_query is None
    assert eql.compile("any where a | filter b | unique c, d | head 1").fields == {*"abcd"}
    assert eql.compile("sample by a [any where b] [any where c] | tail 1").fields == {*"abc"}


def test_only_a_query_of_single_events_tells_whether_an_event_matches() -> None:
    query = eql.compile("any where true | head 1")
    with pytest.raises(TypeError, match="one event alone"):
        query.matches({})


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
