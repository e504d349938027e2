"""From operands and operators in a row to a tree: which operator has which operands.

From the loosest to the tightest: `or`, `and`, `not`, the comparisons (which do not chain), `+ -`,
`* / %`, a sign. The last of one rank takes what stands before it. What is no condition (a string, a
number) cannot be and-ed, what is none cannot be counted with: that is checked here, too, where the
place in the text is still known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from auditrule.eql.errors import EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.functions import FUNCTIONS, Kind
from auditrule.eql.tree import (
    NOT,
    PRECEDENCE,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ARITHMETIC = frozenset("+-*/%")
_ORDERED = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Operator:
    """`and`, `==`, `+`, `not`, a sign …, and where it stands."""

    at: int
    word: str


@dataclass(frozen=True, slots=True)
class Operand:
    """What operators join, where it stands, and the `not`s and signs before it."""

    at: int
    length: int
    node: Expression
    prefixes: tuple[Operator, ...] = ()


def resolve(text: str, parts: Sequence[Any]) -> Operand:
    """Return the tree that the parts make: an operand, an operator, an operand and so on."""
    return _Row(text, parts[0::2], parts[1::2]).resolve(0)


def kind_of(node: Expression) -> Kind:
    """Return what an expression gives, as far as its text tells."""
    match node:
        case Field():
            return Kind.ANY
        case Literal(None):
            return Kind.NULL
        case Literal(bool()):
            return Kind.BOOLEAN
        case Literal(str()):
            return Kind.STRING
        case Literal() | Arithmetic() | Negative():
            return Kind.NUMBER
        case Call(name):
            return FUNCTIONS[name].returns
        case _:
            return Kind.BOOLEAN


def is_condition(node: Expression) -> TypeGuard[Condition]:
    """Tell whether an expression can be true or false; a field can."""
    return kind_of(node) in (Kind.BOOLEAN, Kind.ANY)


def require_condition(text: str, operand: Operand) -> Condition:
    """Return the operand's node; EqlSyntaxError if it cannot be true or false."""
    node = operand.node
    if not is_condition(node):
        message = f"{_named(node)} is no condition: compare it"
        raise EqlSyntaxError(message, text, operand.at, operand.length)
    return node


def fields_in(node: Expression) -> Iterable[str]:
    """Yield the names of the fields that the expression reads, each as often as it stands there."""
    match node:
        case Field(name):
            yield name
        case Literal():
            return
        case Comparison(left, _, right) | Arithmetic(left, _, right):
            yield from fields_in(left)
            yield from fields_in(right)
        case Lookup(operand) | Not(operand) | Negative(operand):
            yield from fields_in(operand)
        case Call(_, operands) | And(operands) | Or(operands):
            for operand in operands:
                yield from fields_in(operand)


class _Row:
    """Precedence climbing over operands and operators, which it takes from the left."""

    def __init__(self, text: str, operands: Iterable[Operand], operators: Iterable[Operator]):
        self._text = text
        self._operands = deque(operands)
        self._operators = deque(operators)

    def resolve(self, loosest: int) -> Operand:
        """Take an operand and all that binds to it at least as tightly as `loosest`."""
        left = self._prefixed(loosest)
        while self._operators and PRECEDENCE[self._operators[0].word] >= loosest:
            operator = self._operators.popleft()
            if operator.word in ("and", "or"):
                left = self._joined(left, operator.word)
                continue
            left = self._binary(left, operator, self.resolve(PRECEDENCE[operator.word] + 1))
            if operator.word not in _ARITHMETIC:
                self._refuse_chain()
        return left

    def _prefixed(self, loosest: int) -> Operand:
        operand = self._operands.popleft()
        if not operand.prefixes:
            return operand
        prefix, *others = operand.prefixes
        self._operands.appendleft(replace(operand, prefixes=tuple(others)))
        if prefix.word != "not":
            signed = self._prefixed(NOT + 1)
            self._require_number(signed)
            return self._made(prefix, _signed(prefix.word, signed.node))
        if loosest > NOT:
            message = "'not' stands before the whole comparison, or in parentheses"
            raise EqlSyntaxError(message, self._text, prefix.at, len("not"))
        return self._made(prefix, Not(require_condition(self._text, self.resolve(NOT))))

    def _made(self, first: Operator, node: Expression) -> Operand:
        return Operand(first.at, len(first.word), node)

    def _joined(self, first: Operand, word: str) -> Operand:
        """Take all of the operands that a run of `and`s, or of `or`s, joins."""
        operands = [first, self.resolve(PRECEDENCE[word] + 1)]
        while self._operators and self._operators[0].word == word:
            self._operators.popleft()
            operands.append(self.resolve(PRECEDENCE[word] + 1))
        conditions = tuple(require_condition(self._text, operand) for operand in operands)
        return replace(first, node=And(conditions) if word == "and" else Or(conditions))

    def _binary(self, left: Operand, operator: Operator, right: Operand) -> Operand:
        if operator.word not in _ARITHMETIC:
            self._check_comparison(left, operator, right)
            return replace(left, node=Comparison(left.node, operator.word, right.node))
        self._require_number(left)
        self._require_number(right)
        return replace(left, node=Arithmetic(left.node, operator.word, right.node))

    def _check_comparison(self, left: Operand, operator: Operator, right: Operand) -> None:
        if any(fields_in(left.node)) and any(fields_in(right.node)):
            raise self._two_fields(right)
        for operand in (left, right):
            kind = kind_of(operand.node)
            if operator.word in _ORDERED and kind in (Kind.BOOLEAN, Kind.NULL):
                message = f"{_named(operand.node)} has no order: use == or !="
                raise EqlSyntaxError(message, self._text, operator.at, len(operator.word))

    def _two_fields(self, right: Operand) -> EqlSyntaxError | EqlUnsupportedError:
        node = right.node
        if isinstance(node, Field) and node.name.lower() in ("null", "true", "false"):
            message = f"keywords are in lower case: {node.name.lower()}"
            return EqlSyntaxError(message, self._text, right.at, right.length)
        message = "comparing two fields is not supported (nor is it in Elasticsearch)"
        return EqlUnsupportedError(message, self._text, right.at, right.length)

    def _require_number(self, operand: Operand) -> None:
        if kind_of(operand.node) not in (Kind.NUMBER, Kind.ANY, Kind.NULL):
            message = f"{_named(operand.node)} is no number"
            raise EqlSyntaxError(message, self._text, operand.at, operand.length)

    def _refuse_chain(self) -> None:
        following = self._operators[0] if self._operators else None
        if following is not None and PRECEDENCE[following.word] == PRECEDENCE["=="]:
            message = f"comparisons do not chain: write … and … {following.word} …"
            raise EqlSyntaxError(message, self._text, following.at, len(following.word))


def _signed(sign: str, node: Expression) -> Expression:
    if sign == "+":
        return node
    if isinstance(node, Literal) and isinstance(node.value, int | float):
        return Literal(-node.value)
    return Negative(node)


def _named(node: Expression) -> str:
    return node.function + "()" if isinstance(node, Call) else str(node)
