"""From a tree to one function of an event.

What a comparison means, after Elasticsearch 8:

- An array holds if any of its elements does; `not` then says that none does. `!=` is `not ==` and
  `not in` is `not … in`, for arrays and for absent fields alike: `f != "x"` holds where no value of
  f is "x", also where f is absent. `not f > 5` does so too; it is not `f <= 5` (Elasticsearch 7.15
  gave that up with PR 76610).
- Elasticsearch has a third truth value, null, for a comparison with an absent field. In a condition
  on fields and literals it can be seen nowhere: such a comparison becomes a lookup in the index,
  which finds the event or does not, and `not` gives exactly the events that were not found.
  startsWith, endsWith, stringContains and cidrMatch of a field and literals are such lookups, too.
- Of all other functions, and of arithmetic, Elasticsearch makes a script, in which null is seen: a
  function of an absent field is null, what compares it is, and so is the `not` of that, which
  therefore finds nothing. `not length(f) == 3` holds only where f is there. `f(x) == null` asks for
  null itself.
- A script is evaluated for each element of an array, for each combination of elements where it
  reads several fields, and holds if it does for one; `!=` and `not` included, so that
  `length(f) != 3` holds if one element is of another length. Of very many combinations only the
  first are tried (MOST_COMBINATIONS).
- `f == null` holds where f is absent, `f != null` where it is not.
- The literal tells how a value is read (see `auditrule.eql.values`). Strings are ordered by code
  point, those that are dates in ISO 8601 by the time that they name. Nothing is ordered against a
  boolean.
- Elasticsearch does not index strings beyond a field's `ignore_above`, 1,024 characters for most,
  and so never finds them. Here they are matched.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, product
from typing import TypeAlias

from auditrule.eql.comparing import ValueTest, equals_one_of, looked_up, stands_in_order
from auditrule.eql.fields import Event, Reader, reader
from auditrule.eql.functions import FUNCTIONS
from auditrule.eql.precedence import fields_in, is_condition
from auditrule.eql.scalars import MIRRORED, compile_scalar, fold_constant
from auditrule.eql.tree import (
    And,
    Call,
    Comparison,
    Condition,
    EventQuery,
    Expression,
    Field,
    Literal,
    Lookup,
    Not,
    Or,
    Scalar,
)
from auditrule.eql.values import as_boolean

Predicate: TypeAlias = Callable[[Event], bool]

# An attacker who chooses two arrays must not choose the time that they take.
MOST_COMBINATIONS = 10_000

_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}

# Functions that Elasticsearch looks up in the index.
_INDEXED = frozenset({"startsWith", "endsWith", "stringContains", "cidrMatch"})


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
    return _compile(simplify(node))


def fields_of(node: Expression) -> frozenset[str]:
    """Return the names of the fields that the expression reads."""
    return frozenset(fields_in(node))


def simplify(node: Condition) -> Condition:
    """Return the condition without a double `not`, and with literals on the right.

    Comparisons with true and false are undone. Elasticsearch does the same before it decides what
    it looks up and what it evaluates in a script.
    """
    match node:
        case And(operands):
            return And(tuple(map(simplify, operands)))
        case Or(operands):
            return Or(tuple(map(simplify, operands)))
        case Not(operand):
            return _negated(simplify(operand))
        case Comparison(left, operator, right):
            if any(fields_in(right)) and not any(fields_in(left)):
                left, operator, right = right, MIRRORED[operator], left
            return _without_boolean(Comparison(left, operator, right))
        case _:
            return node


def _without_boolean(node: Comparison) -> Condition:
    match node:
        case Comparison(Field() | Literal()):
            return node
        case Comparison(left, "==" | "!=" as operator, Literal(bool(value))) if is_condition(left):
            inner = simplify(left)
            return inner if value is (operator == "==") else _negated(inner)
        case _:
            return node


def _negated(node: Condition) -> Condition:
    """Return the opposite of a simplified condition, simplified."""
    match node:
        case Not(operand):
            return operand
        case Comparison(left, operator, right) if operator in ("==", "!=") or _is_script(node):
            return Comparison(left, _OPPOSITE[operator], right)
        case Literal(value):
            return Literal(value is not True)
        case _:
            return Not(node)


def conjuncts(node: Condition) -> tuple[Condition, ...]:
    """Return conditions that all hold if this one does, and only then: `not a` of `not (a or …)`.

    What is a test in a script stays together, as `not` on one by itself asks that nothing be null.
    """
    match node:
        case And(operands):
            return tuple(each for operand in operands for each in conjuncts(operand))
        case Not(operand) if isinstance(refuted := simplify(operand), Or):
            scripts = tuple(filter(_may_be_null, refuted.operands))
            others = [Not(each) for each in refuted.operands if not _may_be_null(each)]
            rest = (Not(Or(scripts)),) if scripts else ()
            return (*(each for other in others for each in conjuncts(other)), *rest)
        case _:
            return (node,)


def _may_be_null(node: Condition) -> bool:
    return _is_script(node) or (isinstance(node, Not) and _is_script(node.operand))


def _refuted(node: Condition) -> Condition | None:
    """Return the condition that must not hold for this one to hold, if that is how it works."""
    match node:
        case Not(operand) if not _is_script(operand):
            return operand
        case Comparison(Field() as field, "!=", right) if _is_value(right):
            return Comparison(field, "==", right)
        case _:
            return None


def _is_script(node: Condition) -> bool:
    """Tell whether a simplified condition is a test that Elasticsearch makes in a script."""
    match node:
        case Comparison(left, _, right):
            return not (isinstance(left, Field) and _is_value(right))
        case Lookup(subject):
            return not isinstance(subject, Field)
        case Call():
            return not _is_indexed(node)
        case _:
            return False


def _compile(node: Condition) -> Predicate:
    if (refuted := _refuted(node)) is not None:
        found = _compile(refuted)
        return lambda event: not found(event)
    match node:
        case Literal(value):
            return _constant(value is True)
        case Field(name):
            return _some(reader(name), lambda value: as_boolean(value) is True)
        case Comparison(Field() as field, comparison, right) if _is_value(right):
            return _comparison(field, comparison, fold_constant(right))
        case Lookup(Field(name), operator, literals):
            values = [literal.value for literal in literals]
            return _some(reader(name), looked_up(operator, values))
        case Call(function, (Field(name), *others)) if _is_indexed(node):
            return _some(reader(name), _call_test(function, others, node.ignore_case))
        case And(operands):
            wanted, unwanted = _split(operands)
            return _all(tuple(map(_compile, wanted)), tuple(map(_compile, unwanted)))
        case Or(operands):
            return _any(tuple(map(_compile, operands)))
        case _:
            return _script(node)


def _constant(holds: bool) -> Predicate:
    return lambda _event: holds


# The loops below are not any() and all(): a generator costs more than most of what it would test.


def _split(operands: tuple[Condition, ...]) -> tuple[list[Condition], list[Condition]]:
    """Return what must hold, and what must not, for all of the conditions to hold.

    Whether one holds is yes or no here, whatever is null in it, so that `and` and `not (… or …)` in
    an `and` are of no account. Rules are full of them, and each would be a call.
    """
    wanted: list[Condition] = []
    unwanted: list[Condition] = []
    for operand in operands:
        refuted = _refuted(operand)
        if isinstance(operand, And):
            inner = _split(operand.operands)
            wanted += inner[0]
            unwanted += inner[1]
        elif refuted is None:
            wanted.append(operand)
        else:
            unwanted += refuted.operands if isinstance(refuted, Or) else (refuted,)
    return wanted, unwanted


def _all(wanted: tuple[Predicate, ...], unwanted: tuple[Predicate, ...]) -> Predicate:
    def holds(event: Event) -> bool:
        for predicate in wanted:
            if not predicate(event):
                return False
        for predicate in unwanted:  # noqa: SIM110
            if predicate(event):
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


def _is_value(node: Expression) -> bool:
    """Tell whether an expression reads no field and is not null by accident, as 1 / 0 is."""
    if isinstance(node, Literal):
        return True
    return not any(fields_in(node)) and fold_constant(node) is not None


def _comparison(field: Field, comparison: str, constant: Scalar) -> Predicate:
    read = reader(field.name)
    if comparison != "==":
        return _some(read, stands_in_order(comparison, constant))
    if constant is None:
        return lambda event: not read(event)
    return _some(read, equals_one_of([constant]))


def _is_indexed(node: Expression) -> bool:
    match node:
        case Call(function, (Field(), *others)):
            return function in _INDEXED and not any(any(fields_in(other)) for other in others)
        case _:
            return False


def _call_test(function: str, arguments: list[Expression], ignore_case: bool) -> ValueTest:
    known = FUNCTIONS[function]
    evaluate = (known.folded if ignore_case else None) or known.evaluate
    constants = [fold_constant(argument) for argument in arguments]
    return lambda value: evaluate(value, *constants) is True


def _script(node: Condition) -> Predicate:
    """Return a function that tells whether the condition is true, and not null, for some values."""
    names = sorted(fields_of(node))
    readers = [reader(name) for name in names]
    evaluate = compile_scalar(node, {name: slot for slot, name in enumerate(names)})

    def holds(event: Event) -> bool:
        # An absent field is null, and so one value like any other.
        columns = [read(event) or (None,) for read in readers]
        for values in islice(product(*columns), MOST_COMBINATIONS):
            if evaluate(values) is True:
                return True
        return False

    return holds
