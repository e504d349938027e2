"""A slow evaluator of EQL's conditions, which walks the tree and tries each value.

It is written from the language's description, and shares nothing with the engine but the tree.
"""

from __future__ import annotations

import ipaddress
import json
import operator
import re
from fractions import Fraction
from itertools import product
from math import trunc
from typing import Any

from auditrule.eql.tree import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Condition,
    Expression,
    Field,
    Literal,
    Lookup,
    Negative,
    Not,
    Or,
)

ORDER: dict[str, Any] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
INDEXED = ("startsWith", "endsWith", "stringContains", "cidrMatch")

Event = dict[str, Any]


def holds(node: Condition, event: Event, wanted: bool = True) -> bool:
    """Tell whether the condition holds for the event, or, unless `wanted`, its negation."""
    match node:
        case Not(operand):
            return holds(operand, event, not wanted)
        case And(operands):
            return all(holds(operand, event) for operand in operands) is wanted
        case Or(operands):
            return any(holds(operand, event) for operand in operands) is wanted
        case Literal(value):
            return (value is True) is wanted
        case Comparison(left, comparison, right):
            if names(right) and not names(left):
                return holds(Comparison(right, MIRRORED[comparison], left), event, wanted)
            if _compares_with_boolean(node):
                same = right == Literal(comparison == "==")
                return holds(left, event, wanted is same)  # type: ignore[arg-type]
            if isinstance(left, Field) and (literal := _constant(right)) is not None:
                return _found(left, comparison, literal, event) is wanted
            node = node if wanted else Comparison(left, OPPOSITE[comparison], right)
            return any(evaluate(node, chosen) is True for chosen in choices(node, event))
        case _ if _is_looked_up(node):
            found = any(boolean(evaluate(node, {n: v})) is True for n, v in _each(node, event))
            return found is wanted
        case _:
            return any(evaluate(node, chosen) is wanted for chosen in choices(node, event))


def _found(field: Field, comparison: str, literal: Literal, event: Event) -> bool:
    values = present(field, event)
    if comparison == "!=":
        return not _found(field, "==", literal, event)
    if literal.value is None:
        return not values
    return any(compare(value, comparison, literal.value) for value in values)


def _constant(node: Expression) -> Literal | None:
    if isinstance(node, Literal) or names(node):
        return node if isinstance(node, Literal) else None
    value = evaluate(node, {})
    return None if value is None else Literal(value)


def _compares_with_boolean(node: Comparison) -> bool:
    condition = isinstance(node.left, Comparison | Lookup | Not | And | Or)
    if isinstance(node.left, Call):
        condition = node.left.function in INDEXED
    is_boolean = isinstance(node.right, Literal) and isinstance(node.right.value, bool)
    return condition and is_boolean and node.operator in ("==", "!=")


def _is_looked_up(node: Condition) -> bool:
    match node:
        case Field() | Lookup(Field()):
            return True
        case Call(function, (Field(), *others)):
            return function in INDEXED and not any(map(names, others))
        case _:
            return False


def _each(node: Condition, event: Event) -> list[tuple[str, Any]]:
    [name] = names(node)
    return [(name, value) for value in present(Field(name), event)]


def choices(node: Expression, event: Event) -> list[Event]:
    """Return each way to take one value of each field; null stands for an absent one."""
    fields = sorted(names(node))
    columns = [present(Field(name), event) or [None] for name in fields]
    return [dict(zip(fields, values, strict=True)) for values in product(*columns)]


def names(node: Expression) -> set[str]:
    """Return the fields that an expression reads, found by their look in its printed form."""
    found: set[str] = set()
    pending: list[Any] = [node]
    while pending:
        match pending.pop():
            case Field(name):
                found.add(name)
            case Literal():
                pass
            case Comparison(left, _, right) | Arithmetic(left, _, right):
                pending += [left, right]
            case Call(_, several) | And(several) | Or(several):
                pending += several
            case Lookup(operand) | Not(operand) | Negative(operand):
                pending.append(operand)
    return found


def present(field: Field, event: Event) -> list[Any]:
    """Return the field's values."""
    found = event.get(field.name)
    return [value for value in (found if isinstance(found, list) else [found]) if value is not None]


def evaluate(node: Expression, values: Event) -> Any:
    """Return an expression's value, None for null."""
    match node:
        case Literal(value):
            return value
        case Field(name):
            return values[name]
        case Negative(operand):
            inner = number(evaluate(operand, values))
            return None if inner is None else 0 - inner
        case Arithmetic(left, sign, right):
            return calculate(sign, evaluate(left, values), evaluate(right, values))
        case Call(function, arguments, ignore_case):
            return call(function, [evaluate(a, values) for a in arguments], ignore_case)
        case Comparison(left, comparison, right):
            return _evaluate_comparison(left, comparison, right, values)
        case Lookup(subject, lookup, literals):
            value = evaluate(subject, values)
            if value is None:
                return None
            return any(looks_like(value, lookup, literal.value) for literal in literals)
        case Not(operand):
            value = boolean(evaluate(operand, values))
            return None if value is None else not value
        case And(operands) | Or(operands):
            seen = [boolean(evaluate(operand, values)) for operand in operands]
            absorbing = isinstance(node, Or)
            return absorbing if absorbing in seen else (None if None in seen else not absorbing)


def _evaluate_comparison(
    left: Expression, comparison: str, right: Expression, values: Event
) -> bool | None:
    if names(right):
        left, comparison, right = right, MIRRORED[comparison], left
    value, literal = evaluate(left, values), evaluate(right, {})
    if literal is None:
        if right != Literal(None):
            return None
        return (value is None) is (comparison == "==")
    if value is None:
        return None
    if comparison == "!=":
        return not compare(value, "==", literal)
    return compare(value, comparison, literal)


# --- values ------------------------------------------------------------------------------------


def text(value: Any) -> str | None:
    """Return what JSON writes."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def number(value: Any) -> Any:
    """Return the number that a value is or writes in digits."""
    written = text(value)
    if isinstance(value, bool) or written is None:
        return None
    if re.fullmatch(r"[+-]?\d+", written, re.ASCII):
        return int(written)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?", written, re.ASCII):
        return float(written)
    return None


def boolean(value: Any) -> bool | None:
    """Return the boolean that a value is or names."""
    return {"true": True, "false": False}.get(text(value) or "")


def compare(value: Any, comparison: str, literal: Any) -> bool:
    """Compare a value, read as the literal's type, with the literal."""
    read: Any = number(value)
    if isinstance(literal, str):
        read = text(value)
    elif isinstance(literal, bool):
        read = boolean(value)
    if read is None:
        return False
    if comparison == "==":
        return bool(read == literal)
    return not isinstance(literal, bool) and bool(ORDER[comparison](read, literal))


def lower(value: str) -> str:
    """Fold the letters of ASCII."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in value)


def looks_like(value: Any, lookup: str, literal: Any) -> bool:
    """Tell whether a value is in, or like, one literal."""
    if lookup == "in":
        return compare(value, "==", literal)
    seen, pattern = str(text(value)), str(literal)
    if lookup not in ("like", "regex"):
        seen, pattern = lower(seen), pattern if lookup == "regex~" else lower(pattern)
    if lookup == "in~":
        return seen == pattern
    if lookup.startswith("regex"):
        # Of these patterns only \d must not be folded.
        pattern = (
            re.sub(r"[A-Z]", lambda found: found[0].lower(), pattern) if "~" in lookup else pattern
        )
        expression = pattern.replace("@", "(?s:.*)").replace('"*"', r"\*")
    else:
        expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, seen, re.DOTALL | re.ASCII) is not None


# --- functions ---------------------------------------------------------------------------------

NAMED = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "modulo": "%"}
LARGEST = 2**63 - 1


def calculate(sign: str, left: Any, right: Any) -> Any:
    """Return what the operator gives, with whole numbers as Java has them."""
    first, second = number(left), number(right)
    if first is None or second is None or (sign in "/%" and second == 0):
        return None
    whole = isinstance(first, int) and isinstance(second, int)
    if sign in "+-*":
        result = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](first, second)
        return None if whole and abs(result) > LARGEST else result
    quotient = Fraction(first) / Fraction(second)
    if sign == "%":
        rest = Fraction(first) - Fraction(second) * trunc(quotient)
        return int(rest) if whole else float(rest)
    return trunc(quotient) if whole else first / second


def call(function: str, arguments: list[Any], ignore_case: bool) -> Any:
    """Return what the function gives."""
    if function in NAMED:
        return calculate(NAMED[function], *arguments)
    if function == "number":
        return _number(*arguments)
    if function == "cidrMatch":
        return _in_blocks(*arguments)
    if function == "concat":
        parts = [text(argument) for argument in arguments]
        return None if None in parts else "".join(map(str, parts))
    first = text(arguments[0])
    if function == "string" or first is None:
        return first
    if function == "length":
        return len(list(first))
    if function == "substring":
        return _substring(first, *arguments[1:])
    part = text(arguments[1])
    if part is None:
        return None
    if function == "between":
        return _between(first, part, text(arguments[2]), arguments[3:] == [True], ignore_case)
    start = arguments[2] if len(arguments) > 2 else None
    return _sought(
        function, *((lower(first), lower(part)) if ignore_case else (first, part)), start
    )


def _sought(function: str, first: str, part: str, start: Any) -> bool | int | None:
    places = [at for at in range(len(first) + 1) if first[at : at + len(part)] == part]
    if function == "indexOf":
        earliest = 0 if start is None else _whole(start)
        if earliest is None:
            return None
        # Beyond the end is the end.
        return next((at for at in places if at >= min(earliest, len(first))), None)
    if function == "stringContains":
        return bool(places)
    return (0 if function == "startsWith" else len(first) - len(part)) in places


def _whole(value: Any) -> int | None:
    read = number(value)
    return None if read is None else trunc(read)


def _substring(source: str, start: Any, end: Any = None) -> str | None:
    if start is None:
        return source
    first, last = _whole(start), len(source) if end is None else _whole(end)
    if first is None or last is None:
        return None
    first += len(source) if first < 0 else 0
    last += len(source) if last < 0 else 0
    return "".join(c for at, c in enumerate(source) if first <= at < last)


def _between(
    source: str, left: str, right: str | None, greedy: bool, ignore_case: bool
) -> str | None:
    if right is None:
        return None
    if not left or not right:
        return source
    run = ".*" if greedy else ".*?"
    pattern = f".*?{re.escape(left)}(?P<found>{run}){re.escape(right)}"
    flags = re.DOTALL | re.ASCII | (re.IGNORECASE if ignore_case else 0)
    first = re.match(f".*?{re.escape(left)}", source, flags)
    found = re.compile(f"({run}){re.escape(right)}", flags)
    if first is None or (match := found.match(source, first.end())) is None:
        return ""
    assert re.match(pattern, source, flags)
    return match[1]


def _number(value: Any, base: Any = None) -> Any:
    written = text(value)
    if written is None:
        return None
    prefixed = written.startswith("0x")
    base = (16 if prefixed else 10) if base is None else base
    if base == 10:
        return number(written)
    digits = written[2:] if prefixed and base == 16 else written
    sign, digits = (digits[:1], digits[1:]) if digits[:1] in ("+", "-") else ("", digits)
    letters = "0123456789abcdefghijklmnopqrstuvwxyz"[:base]
    if base < 2 or not digits or any(c not in letters for c in lower(digits)):
        return None
    total = 0
    for c in lower(digits):
        total = total * base + letters.index(c)
    return -total if sign == "-" else total


def _in_blocks(address: Any, *blocks: str) -> bool | None:
    if address is None:
        return None
    try:
        bits = f"{int(ipaddress.IPv4Address(address)):032b}" if isinstance(address, str) else ""
    except ValueError:
        bits = ""
    for block in blocks:
        start, _, length = block.partition("/")
        wanted = f"{int(ipaddress.IPv4Address(start)):032b}"[: int(length or 32)]
        if bits and bits.startswith(wanted):
            return True
    return None if address is not None and not isinstance(address, str) else False
