"""What functions and arithmetic give: a table that can be read as documentation of the language."""

from __future__ import annotations

import pytest

from auditrule import eql

EVENT = {
    "name": "Explorer.exe",
    "path": "C:\\Windows\\System32\\Explorer.exe",
    "greek": "ΣΊΣΥΦΟΣ",
    "emoji": "a😀b",
    "lone": "\ud83dx",
    "empty": "",
    "count": 7,
    "negative": -7,
    "half": 0.5,
    "huge": 2**63 - 1,
    "beyond": 10**5000,
    "infinite": float("inf"),
    "nan": float("nan"),
    "digits": "42",
    "yes": True,
    "list": ["chmod", "+x", "/etc/init.d/evil"],
    "numbers": [1, 2, 30],
    "ipv4": "10.6.48.157",
    "ipv6": "2001:db8::5",
    "mapped": "::ffff:10.6.48.157",
    "addresses": ["fe80::1", "192.168.7.1"],
}

# An expression of the event's fields, and its value; null is None. `absent` is no field of it.
VALUES = [
    # add, subtract, multiply, divide, modulo and the operators that they are.
    ("add(count, 3)", 10),
    ("count + 3", 10),
    ("add(1.5, half)", 2.0),
    ("subtract(count, 10)", -3),
    ("10 - count - 1", 2),
    ("multiply(count, -2)", -14),
    ("2 * half", 1.0),
    ("1 + 2 * count", 15),
    ("(1 + 2) * count", 21),
    ("-count", -7),
    ("- -count", 7),
    ("+count", 7),
    ("-(count + 1) * 2", -16),
    # Two whole numbers divide to a whole number, cut towards zero; a remainder has the sign of what
    # is divided.
    ("divide(count, 2)", 3),
    ("negative / 2", -3),
    ("count / -2", -3),
    ("count / 2.0", 3.5),
    ("half / 2", 0.25),
    ("modulo(count, 4)", 3),
    ("negative % 4", -3),
    ("count % -4", 3),
    ("7.5 % 2", 1.5),
    ("8 / 2 / 2", 2),
    ("7 % 4 * 2", 6),
    # Text that writes a number is one; what is no number gives null.
    ("digits + 1", 43),
    ("name + 1", None),
    ("yes + 1", None),
    ("absent + 1", None),
    ("count * null", None),
    ("-absent", None),
    ("-name", None),
    # So do a division by zero and what has no place in 64 bits.
    ("count / 0", None),
    ("count % 0", None),
    ("half / 0", None),
    ("half % 0.0", None),
    ("divide(count, count - 7)", None),
    ("huge + 0", 2**63 - 1),
    ("huge + 1", None),
    ("huge * huge", None),
    ("beyond + 1", None),
    ("beyond / 2.0", None),
    ("infinite % 2", None),
    # length
    ("length(name)", 12),
    ("length(empty)", 0),
    ("length(emoji)", 3),
    ("length(lone)", 2),
    ("length(count)", 1),
    ("length(yes)", 4),
    ("length(absent)", None),
    ("length(null)", None),
    # substring(text, start, end): as Python slices; what is beyond the text is cut.
    ("substring(name, 8)", ".exe"),
    ("substring(name, 0, 2)", "Ex"),
    ("substring(name, -4)", ".exe"),
    ("substring(name, -4, -1)", ".ex"),
    ("substring(name, 3, 2)", ""),
    ("substring(name, 50)", ""),
    ("substring(name, -50, 2)", "Ex"),
    ("substring(name, 8, 9223372036854775807)", ".exe"),
    ("substring(name, 8, beyond)", ".exe"),
    ("substring(name, infinite)", None),
    ("substring(name, null)", "Explorer.exe"),
    ("substring(name, null, 2)", "Explorer.exe"),
    ("substring(name, 8, null)", ".exe"),
    ("substring(name, 1.9, 3)", "xp"),
    ("substring(name, path)", None),
    ("substring(name, infinite)", None),
    ("substring(absent, 1)", None),
    ("substring(emoji, 2)", "b"),
    # indexOf(text, part, start)
    ('indexOf(name, "r")', 5),
    ('indexOf(name, "R")', None),
    ('indexOf~(name, "R")', 5),
    ('indexOf~(name, ".EXE")', 8),
    ('indexOf(name, "r", 6)', 7),
    ('indexOf(name, "r", -3)', 5),
    ('indexOf(name, "r", null)', 5),
    ('indexOf(name, "r", 50)', None),
    ('indexOf(name, "")', 0),
    ('indexOf(name, "", 50)', 12),
    ("indexOf(path, name)", 20),
    ("indexOf(name, absent)", None),
    ('indexOf(absent, "x")', None),
    ('indexOf(emoji, "b")', 2),
    # between(text, left, right, greedy)
    ('between(path, "\\\\", "\\\\")', "Windows"),
    ('between(path, "\\\\", "\\\\", false)', "Windows"),
    ('between(path, "\\\\", "\\\\", true)', "Windows\\System32"),
    ('between(path, "\\\\", "\\\\", null)', "Windows"),
    ('between(path, "WINDOWS", ".EXE")', ""),
    ('between~(path, "WINDOWS\\\\", ".EXE")', "System32\\Explorer"),
    ('between~(path, "c:", "w", true)', "\\Windo"),
    ('between(path, "x", "x")', "plorer.e"),
    ('between(path, "e", "W", true)', ""),
    ('between(path, "nothing", "e")', ""),
    ('between(path, "W", "nothing")', ""),
    # Where one of them is empty there is nothing to look for, and the text is given whole.
    ('between(name, "", ".")', "Explorer.exe"),
    ('between(name, "E", "")', "Explorer.exe"),
    ('between(empty, "a", "b")', ""),
    ('between(absent, "a", "b")', None),
    ('between(name, absent, "b")', None),
    ('between(name, "a", null)', None),
    # concat(…)
    ('concat(count, ":", name)', "7:Explorer.exe"),
    ("concat(yes, half, digits)", "true0.542"),
    ("concat(name)", "Explorer.exe"),
    ("concat(name, absent)", None),
    ("concat(name, null)", None),
    # string(value)
    ("string(count)", "7"),
    ("string(half)", "0.5"),
    ("string(yes)", "true"),
    ("string(name)", "Explorer.exe"),
    ("string(count > 5)", "true"),
    ("string(beyond)", None),
    ("string(absent)", None),
    # number(text, base)
    ("number(digits)", 42),
    ('number("-3.5")', -3.5),
    ('number("+3")', 3),
    ('number("0x1f")', 31),
    ('number("0x1f", 16)', 31),
    ('number("1f", 16)', 31),
    ('number("-1F", 16)', -31),
    ('number("777", 8)', 511),
    ('number("zz", 36)', 1295),
    ("number(digits, 5)", 22),
    ("number(digits, null)", 42),
    ("number(digits, 10)", 42),
    ("number(digits, 3)", None),
    ("number(digits, 1)", None),
    ("number(digits, 37)", None),
    ("number(name)", None),
    ("number(empty)", None),
    ('number("1_000", 16)', None),
    ('number("0b1", 2)', None),
    ('number("0x1f", 10)', None),
    ('number(" 5", 16)', None),
    ('number("8000000000000000", 16)', None),
    ("number(yes)", None),
    ("number(count)", 7),
    ("number(absent)", None),
    # The names' case does not matter.
    ("LENGTH(name)", 12),
    ('indexof~(name, "EXP")', 0),
]


def literal(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\") + '"'
    return str(value)


@pytest.mark.parametrize(("expression", "value"), VALUES)
def test_the_expression_has_the_value(expression: str, value: object) -> None:
    is_null = eql.compile(f"any where {expression} == null")
    assert is_null.matches(EVENT) is (value is None)
    if value is not None:
        assert eql.compile(f"any where {expression} == {literal(value)}").matches(EVENT)
        assert eql.compile(f"any where {literal(value)} == {expression}").matches(EVENT)
        assert not eql.compile(f"any where {expression} != {literal(value)}").matches(EVENT)
    else:
        assert not eql.compile(f'any where {expression} == ""').matches(EVENT)
        assert not eql.compile(f'any where {expression} != ""').matches(EVENT)


# Functions that are conditions, and whether they hold; None is null, of which neither it nor its
# negation holds.
CONDITIONS = [
    ('startsWith(name, "Exp")', True),
    ('startsWith(name, "exp")', False),
    ('startsWith~(name, "eXP")', True),
    ('startsWith(name, "")', True),
    ('startsWith("Explorer.exe.bak", name)', True),
    ("startsWith(path, name)", False),
    ("startsWith(name, absent)", None),
    ('startsWith(list, "+")', True),
    ('startsWith(list, "-")', False),
    ("startsWith(count, digits)", False),
    ('endsWith(name, ".exe")', True),
    ('endsWith(name, ".EXE")', False),
    ('endsWith~(name, ".EXE")', True),
    ("endsWith(path, name)", True),
    ('endsWith~("x", absent)', None),
    ('endsWith(list, "evil")', True),
    ('stringContains(name, "plor")', True),
    ('stringContains(name, "PLOR")', False),
    ('stringContains~(name, "PLOR")', True),
    ("stringContains(path, name)", True),
    ('stringContains("ABCExplorer.exeDEF", name)', True),
    ('stringContains(list, "init.d")', True),
    ("stringContains(absent, name)", None),
    # The case of ASCII's letters only is ignored.
    ('startsWith~(greek, "σίσ")', False),
    ('startsWith~(greek, "ΣΊΣ")', True),
    ('stringContains~("\u212aelvin", "k")', False),
    # cidrMatch(address, block, …)
    ('cidrMatch(ipv4, "10.0.0.0/8")', True),
    ('cidrMatch(ipv4, "10.6.48.157/8")', True),
    ('cidrMatch(ipv4, "10.6.48.157")', True),
    ('cidrMatch(ipv4, "192.168.0.0/16")', False),
    ('cidrMatch(ipv4, "192.168.0.0/16", "10.0.0.0/8")', True),
    ('cidrMatch(ipv4, "0.0.0.0/0")', True),
    ('cidrMatch(ipv4, "2001:db8::/32")', False),
    ('cidrMatch(ipv6, "2001:db8::/32")', True),
    ('cidrMatch(ipv6, "10.0.0.0/8", "2001:DB8::/32")', True),
    ('cidrMatch(ipv6, "::/0")', True),
    ('cidrMatch(ipv6, "0.0.0.0/0")', False),
    ('cidrMatch(mapped, "10.0.0.0/8")', True),
    ('cidrMatch(addresses, "192.168.0.0/16")', True),
    ('cidrMatch(addresses, "10.0.0.0/8")', False),
    ('cidrMatch(name, "0.0.0.0/0", "::/0")', False),
    ('cidrMatch(count, "0.0.0.0/0")', False),
    ("cidrMatch(ipv4, ipv4)", True),
    ("cidrMatch(ipv4, name)", False),
    ("cidrMatch(ipv4, absent)", None),
    ('cidrMatch(ipv4, absent, "10.0.0.0/8")', True),
    ('cidrmatch(ipv4, "10.0.0.0/8")', True),
    # Of a field and literals these are looked up, and what is absent is not found.
    ('startsWith(absent, "x")', False),
    ('endsWith~(absent, "x")', False),
    ('stringContains(absent, "x")', False),
    ('cidrMatch(absent, "::/0")', False),
    # Functions in one another, compared and looked up.
    ('length(between(path, "\\\\", "\\\\")) == 7', True),
    ('substring(path, indexOf(path, "Sys")) : "SYSTEM*"', True),
    ('substring(name, -4) in (".com", ".exe")', True),
    ('substring(name, -4) in (".COM", ".EXE")', False),
    ('substring(name, -4) in~ (".COM", ".EXE")', True),
    ('substring(name, -4) not in (".exe")', False),
    ('substring(name, -4) like ".e?e"', True),
    ('substring(name, -4) like~ (".E*", "x")', True),
    ('string(count) regex "[0-9]"', True),
    ('string(absent) regex "[0-9]"', None),
    ("length(name) > 11 and length(name) <= 12", True),
    ("12 > length(name)", False),
    ("numbers * 2 == 60", True),
    ("numbers * 2 == 61", False),
    # Several fields: one combination of elements is enough.
    ('concat(list, numbers) == "+x30"', True),
    ("numbers + count == 37", True),
    ("concat(list, absent) == null", True),
    # Three-valued logic within an expression.
    ("string(length(absent) > 1 or true) == string(true)", True),
    ('string(length(absent) > 1 and false) == "false"', True),
    ("(length(absent) > 1 and count == 7) == null", True),
    ("(length(absent) > 1 or count == 8) == null", True),
    ("(not length(absent) > 1) == null", True),
]


@pytest.mark.parametrize(("condition", "outcome"), CONDITIONS)
def test_the_condition_has_the_outcome(condition: str, outcome: bool | None) -> None:
    assert eql.compile(f"any where {condition}").matches(EVENT) is (outcome is True)


@pytest.mark.parametrize(
    ("condition", "outcome"), [(c, o) for c, o in CONDITIONS if "numbers" not in c]
)
def test_the_negation_has_the_opposite_outcome_and_null_has_none(
    condition: str, outcome: bool | None
) -> None:
    assert eql.compile(f"any where not ({condition})").matches(EVENT) is (outcome is False)


@pytest.mark.parametrize("function", ["startsWith", "endsWith", "stringContains"])
@pytest.mark.parametrize("value", [None, 5, True, [], {}, b"x", object(), float("nan"), "\ud800"])
def test_no_value_makes_a_function_raise(function: str, value: object) -> None:
    event = {"a": value, "b": value}
    for condition in (
        f'{function}(a, "x")',
        f"{function}~(a, b)",
        f'{function}("x", b)',
        'between(a, "x", b) == "x" or concat(a, b) : "*" or number(a, b) == 1',
        'indexOf(a, "x", b) > 1 or substring(a, b, b) == "x" or cidrMatch(a, b, "::/0")',
        "a + b > 1 or a / b > 1 or a % b > 1 or -a * b > 1 or length(a) > 1 or string(b) == null",
    ):
        eql.compile(f"any where {condition}").matches(event)


def test_two_long_arrays_are_not_tried_in_each_combination() -> None:
    event = {"a": ["x"] * 5000, "b": ["y"] * 5000}
    query = eql.compile('any where concat(a, b) == "z"')
    assert not query.matches(event)
    assert query.matches({"a": ["x", "z"], "b": [""] * 5000})
