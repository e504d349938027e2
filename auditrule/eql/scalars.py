"""Expressions of functions and arithmetic, with a third truth value: null.

An expression is compiled to a function of its fields' values, one value for each field, None where
a field is absent. It gives a value, or None. A condition in it gives True, False or None, and is
joined with others as in SQL: null and false is false, null or true is true, not null is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from auditrule.eql.comparing import equals_one_of, looked_up, stands_in_order
from auditrule.eql.functions import FUNCTIONS, arithmetic, negate
from auditrule.eql.precedence import fields_in
from auditrule.eql.tree import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Expression,
    Field,
    Literal,
    Lookup,
    Negative,
    Not,
    Or,
    Scalar,
)
from auditrule.eql.values import as_boolean

Values: TypeAlias = Sequence[object]
Evaluate: TypeAlias = Callable[[Values], object]

# What a comparison is with its sides exchanged.
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def fold_constant(node: Expression) -> Scalar:
    """Return the value of an expression that reads no field."""
    value = compile_scalar(node, {})(())
    return value if isinstance(value, str | int | float | bool) else None


def compile_scalar(node: Expression, slots: Mapping[str, int]) -> Evaluate:
    """Return a function of the fields' values; `slots` are the fields' places among them."""
    match node:
        case Literal(value):
            return lambda _values: value
        case Field(name):
            slot = slots[name]
            return lambda values: values[slot]
        case Negative(operand):
            inner = compile_scalar(operand, slots)
            return lambda values: negate(inner(values))
        case Arithmetic(left, operator, right):
            return _applied(arithmetic(operator), (left, right), slots)
        case Call(name, arguments, ignore_case):
            function = FUNCTIONS[name]
            folded = function.folded if ignore_case else None
            return _applied(folded or function.evaluate, arguments, slots)
        case Comparison():
            return _compared(node, slots)
        case Lookup(subject, operator, literals):
            test = looked_up(operator, [literal.value for literal in literals])
            return _tested(compile_scalar(subject, slots), test)
        case Not(operand):
            truth = _truth(operand, slots)
            return lambda values: _not(truth(values))
        case And(operands):
            return _joined([_truth(operand, slots) for operand in operands], absorbing=False)
        case Or(operands):
            return _joined([_truth(operand, slots) for operand in operands], absorbing=True)


def _applied(
    function: Callable[..., object], arguments: tuple[Expression, ...], slots: Mapping[str, int]
) -> Evaluate:
    compiled = [compile_scalar(argument, slots) for argument in arguments]
    return lambda values: function(*[argument(values) for argument in compiled])


def _compared(node: Comparison, slots: Mapping[str, int]) -> Evaluate:
    """Return the comparison of an expression with a constant, which stands on either side."""
    left, operator, right = node.left, node.operator, node.right
    if any(fields_in(right)):
        left, operator, right = right, MIRRORED[operator], left
    constant = fold_constant(right)
    subject = compile_scalar(left, slots)
    if constant is None and not isinstance(right, Literal):
        # Only null itself asks for null; to compare with what happens to be null gives null.
        return lambda _values: None
    if operator == "!=":
        equal = _equal(subject, constant)
        return lambda values: _not(equal(values))
    if operator == "==":
        return _equal(subject, constant)
    return _tested(subject, stands_in_order(operator, constant))


def _equal(subject: Evaluate, constant: Scalar) -> Evaluate:
    if constant is None:
        return lambda values: subject(values) is None
    return _tested(subject, equals_one_of([constant]))


def _tested(subject: Evaluate, test: Callable[[object], bool]) -> Evaluate:
    def evaluate(values: Values) -> object:
        value = subject(values)
        return None if value is None else test(value)

    return evaluate


def _truth(node: Expression, slots: Mapping[str, int]) -> Callable[[Values], bool | None]:
    evaluate = compile_scalar(node, slots)
    return lambda values: as_boolean(evaluate(values))


def _not(value: object) -> object:
    return None if value is None else value is not True


def _joined(truths: list[Callable[[Values], bool | None]], *, absorbing: bool) -> Evaluate:
    def evaluate(values: Values) -> object:
        result: bool | None = not absorbing
        for truth in truths:
            value = truth(values)
            if value is absorbing:
                return absorbing
            if value is None:
                result = None
        return result

    return evaluate
