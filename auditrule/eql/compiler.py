"""From a tree to one function of an event.

What a comparison means, after Elasticsearch 8:

- An array holds if any of its elements does; `not` then says that none does. `!=` is `not ==` and
  `not in` is `not … in`, for arrays and for absent fields alike: `f != "x"` holds where no value of
  f is "x", also where f is absent.
- Elasticsearch has a third truth value, null, for a comparison with an absent field. In an event
  query on fields and literals it can be seen nowhere: such a comparison becomes a lookup in the
  index, which finds the event or does not, and `not` gives exactly the events that were not found.
  So here a comparison with an absent field is false and its `not` is true.
- `f == null` holds where f is absent, `f != null` where it is not.
- Elasticsearch knows each field's type from the index and refuses a literal of another. Here the
  literal tells the type: a string is compared with the value's text (4 and "4" are the same text,
  true is "true"), a number with its number ("4" is 4, "four" is none), a boolean with true and
  "true".
- Strings are ordered by code point. Nothing is ordered against a boolean.
- Elasticsearch does not index strings beyond a field's `ignore_above`, 1,024 characters for most,
  and so never finds them. Here they are matched.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from auditrule.eql.fields import Event, Reader, reader
from auditrule.eql.lexical import NUMBER
from auditrule.eql.tree import (
    And,
    Comparison,
    Condition,
    EventQuery,
    Field,
    Literal,
    Lookup,
    Not,
    Operand,
    Or,
    Scalar,
)
from auditrule.eql.wildcard import any_of, fold

Predicate: TypeAlias = Callable[[Event], bool]
ValueTest: TypeAlias = Callable[[object], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# Beyond these no field type of Elasticsearch has numbers, and CPython's conversions between text
# and int take quadratic time or raise.
_LARGEST = 2**64
_LONGEST_NUMBER = 64

_number = re.compile(rf"[+-]?{NUMBER}")


def compile_event_query(query: EventQuery, category_field: str) -> Predicate:
    """Return a function that tells whether an event is of the category and meets the condition."""
    condition = compile_condition(query.condition)
    if query.category is None:
        return condition
    category = compile_condition(
        Comparison(Field(category_field), "==", Literal(query.category)),
    )
    return lambda event: category(event) and condition(event)


def compile_condition(node: Condition) -> Predicate:
    """Return a function that tells whether the condition holds for an event."""
    match node:
        case Literal(value):
            return _constant(value is True)
        case Field(name):
            return _some(reader(name), lambda value: _as_boolean(value) is True)
        case Comparison(left, comparison, right):
            return _comparison(left, comparison, right)
        case Lookup(field, lookup, literals):
            values = [literal.value for literal in literals]
            return _some(reader(field.name), _lookup_test(lookup, values))
        case Not(operand):
            return _negation(compile_condition(operand))
        case And(operands):
            return _all(tuple(compile_condition(operand) for operand in operands))
        case Or(operands):
            return _any(tuple(compile_condition(operand) for operand in operands))


def fields_of(node: Condition) -> frozenset[str]:
    """Return the names of the fields that the condition reads."""
    match node:
        case Field(name):
            return frozenset({name})
        case Comparison(left, _, right):
            return fields_of(left) | fields_of(right)
        case Lookup(field):
            return frozenset({field.name})
        case Not(operand):
            return fields_of(operand)
        case And(operands) | Or(operands):
            return frozenset().union(*map(fields_of, operands))
        case Literal():
            return frozenset()


def _constant(holds: bool) -> Predicate:
    return lambda _event: holds


def _negation(predicate: Predicate) -> Predicate:
    return lambda event: not predicate(event)


# The loops below are not any() and all(): a generator costs more than most of what it would test.


def _all(predicates: tuple[Predicate, ...]) -> Predicate:
    def holds(event: Event) -> bool:
        for predicate in predicates:  # noqa: SIM110
            if not predicate(event):
                return False
        return True

    return holds


def _any(predicates: tuple[Predicate, ...]) -> Predicate:
    def holds(event: Event) -> bool:
        for predicate in predicates:  # noqa: SIM110
            if predicate(event):
                return True
        return False

    return holds


def _some(read: Reader, test: ValueTest) -> Predicate:
    def holds(event: Event) -> bool:
        for value in read(event):  # noqa: SIM110
            if test(value):
                return True
        return False

    return holds


def _comparison(left: Operand, comparison: str, right: Operand) -> Predicate:
    if isinstance(left, Literal):
        if isinstance(right, Literal):
            return _constant(_compare_literals(left.value, comparison, right.value))
        return _comparison(right, _MIRRORED[comparison], left)
    if isinstance(right, Field):
        raise TypeError(f"two fields: {left} {comparison} {right}")
    read, literal = reader(left.name), right.value
    if comparison == "!=":
        return _negation(_comparison(left, "==", right))
    if literal is None:
        return lambda event: not read(event)
    if comparison == "==":
        return _some(read, _equality_test([literal]))
    return _some(read, _order_test(comparison, literal))


def _compare_literals(left: Scalar, comparison: str, right: Scalar) -> bool:
    if comparison == "!=":
        return not _compare_literals(left, "==", right)
    if left is None or right is None:
        return comparison == "==" and left is right
    if comparison == "==":
        return _equality_test([right])(left)
    return _order_test(comparison, right)(left)


def _lookup_test(lookup: str, values: list[Scalar]) -> ValueTest:
    if lookup == "in":
        return _equality_test(values)
    texts = [value for value in values if isinstance(value, str)]
    if lookup == "in~":
        folded = frozenset(map(fold, texts))
        return _text_test(lambda text: fold(text) in folded)
    return _text_test(any_of(texts, ignore_case=lookup != "like"))


def _text_test(test: Callable[[str], bool]) -> ValueTest:
    def holds(value: object) -> bool:
        text = value if isinstance(value, str) else _as_text(value)
        return text is not None and test(text)

    return holds


def _equality_test(literals: Iterable[Scalar]) -> ValueTest:
    literals = list(literals)
    texts = frozenset(value for value in literals if isinstance(value, str))
    # bool is an int to Python, and True equals 1; to EQL they have nothing in common.
    booleans = frozenset(value for value in literals if isinstance(value, bool))
    numbers = frozenset(
        value
        for value in literals
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    if not numbers and not booleans:
        return _text_test(texts.__contains__)

    def holds(value: object) -> bool:
        return (
            (bool(texts) and _as_text(value) in texts)
            or (bool(numbers) and _as_number(value) in numbers)
            or (bool(booleans) and _as_boolean(value) in booleans)
        )

    return holds


def _order_test(comparison: str, literal: Scalar) -> ValueTest:
    order = _ORDER[comparison]
    view: Callable[[object], object] = _as_text if isinstance(literal, str) else _as_number

    def holds(value: object) -> bool:
        seen = view(value)
        return seen is not None and order(seen, literal)

    return holds


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value) if -_LARGEST <= value <= _LARGEST else None
    return float.__repr__(value) if isinstance(value, float) else None


def _as_number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _number.fullmatch(value):
        return int(value) if value.lstrip("+-").isdecimal() else float(value)
    return None


def _as_boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None
