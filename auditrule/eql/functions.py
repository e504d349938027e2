"""The functions of EQL, after Elasticsearch 8's "EQL function reference".

A function of null is null, but for what is optional: `start`, `end`, `base`, `greedy` may be null
and then take their defaults. Where Elasticsearch refuses to go on, for a text that is no number, a
division by zero, a number beyond 64 bits, there is null here. Numbers divide as they do in Java:
two integers give an integer, cut towards zero, and a remainder has its dividend's sign.

Positions and lengths count Unicode characters. Elasticsearch counts UTF-16 units, which differs
for characters beyond U+FFFF. `name~` folds the case of ASCII's letters. `between` gives the empty
text where it finds nothing, and the whole text where `left` or `right` is empty.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from auditrule.eql.values import as_boolean, as_number, as_text
from auditrule.eql.wildcard import fold

Number: TypeAlias = int | float
Evaluate: TypeAlias = Callable[..., object]

_LARGEST_INTEGER = 2**63 - 1
_LONGEST_ADDRESS = 64
_LONGEST_NUMBER = 64
_RADIXES = range(2, 37)


class Kind(StrEnum):
    """What an expression gives; a field may give anything."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    STRING = "string"
    NULL = "null"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Function:
    """A function: what it takes, what it gives, and how.

    `parameters` are the kinds of its arguments; the last repeats without end if `variadic`. Of them
    `required` must be given. `evaluate` takes the arguments' values and may return None; `folded`
    is the same with case ignored, None where there is no `name~`.
    """

    name: str
    parameters: tuple[Kind, ...]
    returns: Kind
    evaluate: Evaluate
    folded: Evaluate | None = None
    required: int = -1
    variadic: bool = False

    @property
    def fewest(self) -> int:
        """How many arguments it takes at least."""
        return len(self.parameters) if self.required < 0 else self.required

    @property
    def most(self) -> int | None:
        """How many arguments it takes at most; None is any number."""
        return None if self.variadic else len(self.parameters)

    def parameter(self, position: int) -> Kind:
        """Return what kind the argument at a position has to be."""
        return self.parameters[min(position, len(self.parameters) - 1)]


# --- arithmetic --------------------------------------------------------------------------------


def arithmetic(operator: str) -> Evaluate:
    """Return the function behind one of + - * / %."""
    return _ARITHMETIC[operator]


def negate(value: object) -> object:
    """Return the number with its sign changed; None where it is none."""
    number = as_number(value)
    return None if number is None else -number


def _numeric(calculate: Callable[[Number, Number], Number | None]) -> Evaluate:
    def evaluate(left: object, right: object) -> object:
        first, second = as_number(left), as_number(right)
        if first is None or second is None:
            return None
        try:
            result = calculate(first, second)
        except (ArithmeticError, ValueError):
            return None
        too_large = isinstance(result, int) and abs(result) > _LARGEST_INTEGER
        return None if too_large else result

    return evaluate


def _divide(dividend: Number, divisor: Number) -> Number:
    if isinstance(dividend, int) and isinstance(divisor, int):
        quotient = abs(dividend) // abs(divisor)
        return quotient if (dividend < 0) == (divisor < 0) else -quotient
    return dividend / divisor


def _modulo(dividend: Number, divisor: Number) -> Number:
    if isinstance(dividend, int) and isinstance(divisor, int):
        remainder = abs(dividend) % abs(divisor)
        return -remainder if dividend < 0 else remainder
    return math.fmod(dividend, divisor)


_ARITHMETIC = {
    "+": _numeric(lambda left, right: left + right),
    "-": _numeric(lambda left, right: left - right),
    "*": _numeric(lambda left, right: left * right),
    "/": _numeric(_divide),
    "%": _numeric(_modulo),
}


# --- text --------------------------------------------------------------------------------------


def _texts(evaluate: Callable[[str, str], object], *, ignore_case: bool) -> Evaluate:
    """Return a function of two texts, of which it folds the case if it ignores it."""

    def checked(first: object, second: object) -> object:
        text, part = as_text(first), as_text(second)
        if text is None or part is None:
            return None
        return evaluate(fold(text), fold(part)) if ignore_case else evaluate(text, part)

    return checked


def _text_pair(name: str, evaluate: Callable[[str, str], object]) -> Function:
    return Function(
        name,
        (Kind.STRING, Kind.STRING),
        Kind.BOOLEAN,
        _texts(evaluate, ignore_case=False),
        _texts(evaluate, ignore_case=True),
    )


def _between(*, ignore_case: bool) -> Evaluate:
    def evaluate(source: object, left: object, right: object, greedy: object = None) -> object:
        text, before, after = as_text(source), as_text(left), as_text(right)
        if text is None or before is None or after is None:
            return None
        if not before or not after:
            return text
        if ignore_case:
            searched, before, after = fold(text), fold(before), fold(after)
        else:
            searched = text
        found = searched.find(before)
        if found < 0:
            return ""
        start = found + len(before)
        find = searched.rfind if as_boolean(greedy) else searched.find
        end = find(after, start)
        return text[start:end] if end >= 0 else ""

    return evaluate


def _concat(*values: object) -> object:
    texts = [as_text(value) for value in values]
    known = [text for text in texts if text is not None]
    return "".join(known) if len(known) == len(texts) else None


def _index_of(*, ignore_case: bool) -> Evaluate:
    def evaluate(source: object, part: object, start: object = None) -> object:
        text, searched = as_text(source), as_text(part)
        first = _position(start, 0)
        if text is None or searched is None or first is None:
            return None
        if ignore_case:
            text, searched = fold(text), fold(searched)
        found = text.find(searched, min(max(first, 0), len(text)))
        return found if found >= 0 else None

    return evaluate


def _length(value: object) -> object:
    text = as_text(value)
    return None if text is None else len(text)


def _substring(source: object, start: object, end: object = None) -> object:
    text = as_text(source)
    if text is None or start is None:
        return text
    first, last = _position(start, 0), _position(end, len(text))
    return None if first is None or last is None else text[first:last]


def _position(value: object, default: int) -> int | None:
    """Return the position that an optional argument says, None where it says none."""
    if value is None:
        return default
    number = as_number(value)
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    return int(number)


def _number(value: object, base: object = None) -> object:
    text = as_text(value)
    if text is None or len(text) > _LONGEST_NUMBER:
        return None
    prefixed = text.startswith("0x")
    radix = _position(base, 16 if prefixed else 10)
    if radix == 10:
        return as_number(text)
    if radix is None or radix not in _RADIXES:
        return None
    digits = text[2:] if prefixed and radix == 16 else text
    # int() takes more than Java's parseLong: blanks, underscores, prefixes.
    if not digits.lstrip("+-").isalnum() or digits.lower()[:2] in ("0b", "0o", "0x"):
        return None
    try:
        number = int(digits, radix)
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST_INTEGER else None


# --- addresses ---------------------------------------------------------------------------------

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1024)
def network(block: str) -> _Network:
    """Return the addresses of a CIDR block, or of an address alone; ValueError if it is neither."""
    if len(block) > _LONGEST_ADDRESS:
        raise ValueError("too long")
    return ipaddress.ip_network(block, strict=False)


def _cidr_match(address: object, *blocks: object) -> object:
    if not isinstance(address, str):
        return None
    if len(address) > _LONGEST_ADDRESS:
        return False
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    known = (ip,) if mapped is None else (ip, mapped)
    missing = False
    for block in blocks:
        if not isinstance(block, str):
            missing = True
            continue
        try:
            addresses = network(block)
        except ValueError:
            continue
        if any(candidate in addresses for candidate in known):
            return True
    return None if missing else False


# --- the table ---------------------------------------------------------------------------------


def _operation(name: str, operator: str) -> Function:
    return Function(name, (Kind.NUMBER, Kind.NUMBER), Kind.NUMBER, arithmetic(operator))


def _as_string(value: object) -> object:
    return as_text(value)


FUNCTIONS = {
    function.name: function
    for function in (
        _operation("add", "+"),
        _operation("subtract", "-"),
        _operation("multiply", "*"),
        _operation("divide", "/"),
        _operation("modulo", "%"),
        _text_pair("startsWith", str.startswith),
        _text_pair("endsWith", str.endswith),
        _text_pair("stringContains", str.__contains__),
        Function(
            "between",
            (Kind.STRING, Kind.STRING, Kind.STRING, Kind.BOOLEAN),
            Kind.STRING,
            _between(ignore_case=False),
            _between(ignore_case=True),
            required=3,
        ),
        Function("concat", (Kind.ANY,), Kind.STRING, _concat, variadic=True),
        Function(
            "indexOf",
            (Kind.STRING, Kind.STRING, Kind.NUMBER),
            Kind.NUMBER,
            _index_of(ignore_case=False),
            _index_of(ignore_case=True),
            required=2,
        ),
        Function("length", (Kind.STRING,), Kind.NUMBER, _length),
        Function(
            "substring",
            (Kind.STRING, Kind.NUMBER, Kind.NUMBER),
            Kind.STRING,
            _substring,
            required=2,
        ),
        Function("string", (Kind.ANY,), Kind.STRING, _as_string),
        Function("number", (Kind.STRING, Kind.NUMBER), Kind.NUMBER, _number, required=1),
        Function("cidrMatch", (Kind.STRING, Kind.STRING), Kind.BOOLEAN, _cidr_match, variadic=True),
    )
}
