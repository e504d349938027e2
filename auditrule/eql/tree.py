"""A query as a tree. `str()` of any node is EQL text that parses to an equal tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from auditrule.eql.lexical import is_plain_name, write_name, write_string

Scalar: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, boolean or null written in the query."""

    value: Scalar

    def __str__(self) -> str:
        if self.value is None:
            return "null"
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, str):
            return write_string(self.value)
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the event by its dotted name. As a condition: the field is true.

    `optional` (`?name`) says that an event store need not know the field. It changes nothing here,
    where every field may be absent.
    """

    name: str
    optional: bool = False

    def __str__(self) -> str:
        return ("?" if self.optional else "") + write_name(self.name)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`, where the operator is one of == != < <= > >=."""

    left: Operand
    operator: str
    right: Operand

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The field is, or is like, one of the values; the operator is in, in~, :, like or like~."""

    field: Field
    operator: str
    values: tuple[Literal, ...]

    def __str__(self) -> str:
        if len(self.values) == 1 and not self.operator.startswith("in"):
            return f"{self.field} {self.operator} {self.values[0]}"
        return f"{self.field} {self.operator} ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    operand: Condition

    def __str__(self) -> str:
        return f"not {_within(self.operand, (And, Or))}"


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the conditions (two at least) holds."""

    operands: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(_within(operand, (And, Or)) for operand in self.operands)


@dataclass(frozen=True, slots=True)
class Or:
    """One of the conditions (two at least) holds."""

    operands: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(_within(operand, (Or,)) for operand in self.operands)


@dataclass(frozen=True, slots=True)
class EventQuery:
    """`category where condition`; the category None is `any`."""

    category: str | None
    condition: Condition

    def __str__(self) -> str:
        return f"{self._category()} where {self.condition}"

    def _category(self) -> str:
        if self.category is None:
            return "any"
        return self.category if is_plain_name(self.category) else write_string(self.category)


Operand: TypeAlias = Field | Literal
Condition: TypeAlias = Field | Literal | Comparison | Lookup | Not | And | Or
Statement: TypeAlias = EventQuery


def _within(operand: Condition, grouped: tuple[type, ...]) -> str:
    return f"({operand})" if isinstance(operand, grouped) else str(operand)
