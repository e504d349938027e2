"""A query as a tree. `str()` of any node is EQL text that parses to an equal tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from auditrule.eql.lexical import is_plain_name, write_name, write_string

Scalar: TypeAlias = "str | int | float | bool | None"

# The units of a time, the largest first, in milliseconds.
UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

# How tightly operators bind; the larger the tighter.
PRECEDENCE = {"or": 1, "and": 2, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
PRECEDENCE |= {"+": 5, "-": 5, "*": 6, "/": 6, "%": 6}
NOT = 3
SIGN = 7
_LOOKUP = 8
_PRIMARY = 9


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A string, number, boolean or null written in the query."""

    value: Scalar

    def __eq__(self, other: object) -> bool:
        # 1 and true are equal to Python, and not to EQL; the texts of 0.0 and -0.0 differ.
        return isinstance(other, Literal) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[type, str]:
        return type(self.value), repr(self.value)

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
class Call:
    """`function(argument, …)`, or `function~(…)`, which ignores case."""

    function: str
    arguments: tuple[Expression, ...]
    ignore_case: bool = False

    def __str__(self) -> str:
        tilde = "~" if self.ignore_case else ""
        return f"{self.function}{tilde}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right`, where the operator is one of + - * / %."""

    left: Expression
    operator: str
    right: Expression

    def __str__(self) -> str:
        own = PRECEDENCE[self.operator]
        left = _bound(self.left, own)
        # Operators of one rank go from left to right.
        return f"{left} {self.operator} {_bound(self.right, own + 1)}"


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`, for any but a number written in the query, which has its sign itself."""

    operand: Expression

    def __str__(self) -> str:
        return f"-{_bound(self.operand, SIGN)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`, where the operator is one of == != < <= > >=."""

    left: Expression
    operator: str
    right: Expression

    def __str__(self) -> str:
        own = PRECEDENCE[self.operator] + 1
        return f"{_bound(self.left, own)} {self.operator} {_bound(self.right, own)}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """The subject is, or is like, one of the values.

    The operator is one of in, in~, :, like, like~, regex, regex~.
    """

    subject: Expression
    operator: str
    values: tuple[Literal, ...]

    def __str__(self) -> str:
        subject = _bound(self.subject, _PRIMARY)
        if len(self.values) == 1 and not self.operator.startswith("in"):
            return f"{subject} {self.operator} {self.values[0]}"
        return f"{subject} {self.operator} ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    operand: Condition

    def __str__(self) -> str:
        return f"not {_bound(self.operand, NOT)}"


@dataclass(frozen=True, slots=True)
class And:
    """Every one of the conditions (two at least) holds."""

    operands: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(_bound(operand, NOT) for operand in self.operands)


@dataclass(frozen=True, slots=True)
class Or:
    """One of the conditions (two at least) holds."""

    operands: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(_bound(operand, PRECEDENCE["and"]) for operand in self.operands)


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


@dataclass(frozen=True, slots=True)
class JoinKey:
    """A field whose values the events of a sequence or sample share.

    An event that lacks it takes no part, unless the key is `optional` (`?name`): then absence is a
    value like any other.
    """

    name: str
    optional: bool = False

    def __str__(self) -> str:
        return ("?" if self.optional else "") + write_name(self.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a sequence or sample: `[category where condition] by keys with runs=N`.

    `missing` (`![…]`) asks that no such event occurs at this place of the sequence. `keys` are
    those of this step alone, after `by`; the statement's own keys come before them. `runs` is how
    often the event has to occur in a row.
    """

    query: EventQuery
    keys: tuple[JoinKey, ...] = ()
    missing: bool = False
    runs: int = 1

    def __str__(self) -> str:
        text = f"{'!' if self.missing else ''}[{self.query}]{_by(self.keys)}"
        return text if self.runs == 1 else f"{text} with runs={self.runs}"


@dataclass(frozen=True, slots=True)
class SequenceQuery:
    """`sequence by keys with maxspan=… [step] [step] … until [step]`.

    `maxspan_ms` is the longest time from the first event to the last, in milliseconds; None is any.
    """

    steps: tuple[Step, ...]
    keys: tuple[JoinKey, ...] = ()
    maxspan_ms: int | None = None
    until: Step | None = None

    def __str__(self) -> str:
        head = f"sequence{_by(self.keys)}"
        if self.maxspan_ms is not None:
            head += f" with maxspan={_span(self.maxspan_ms)}"
        until = () if self.until is None else (f"until {self.until}",)
        return "\n  ".join((head, *map(str, self.steps), *until))


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """`sample by keys [step] [step] …`: events that share the keys, in whatever order."""

    steps: tuple[Step, ...]
    keys: tuple[JoinKey, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join((f"sample{_by(self.keys)}", *map(str, self.steps)))


@dataclass(frozen=True, slots=True)
class Head:
    """`| head count`: the first matches only."""

    count: int

    def __str__(self) -> str:
        return f"head {self.count}"


@dataclass(frozen=True, slots=True)
class Tail:
    """`| tail count`: the last matches only."""

    count: int

    def __str__(self) -> str:
        return f"tail {self.count}"


@dataclass(frozen=True, slots=True)
class Filter:
    """`| filter condition`: the matched events that meet the condition, too."""

    condition: Condition

    def __str__(self) -> str:
        return f"filter {self.condition}"


@dataclass(frozen=True, slots=True)
class Unique:
    """`| unique field, …`: the first match for each combination of the fields' values."""

    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return f"unique {', '.join(map(str, self.fields))}"


@dataclass(frozen=True, slots=True)
class Piped:
    """A statement whose matches go through pipes, the first pipe first."""

    source: EventQuery | SequenceQuery | SampleQuery
    pipes: tuple[Pipe, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, (self.source, *self.pipes)))


Condition: TypeAlias = Field | Literal | Call | Comparison | Lookup | Not | And | Or
Expression: TypeAlias = Condition | Arithmetic | Negative
Pipe: TypeAlias = Head | Tail | Filter | Unique
Statement: TypeAlias = EventQuery | SequenceQuery | SampleQuery | Piped


def _span(milliseconds: int) -> str:
    unit = next(unit for unit, size in UNITS.items() if milliseconds % size == 0)
    return f"{milliseconds // UNITS[unit]}{unit}"


def _by(keys: tuple[JoinKey, ...]) -> str:
    return f" by {', '.join(map(str, keys))}" if keys else ""


def _bound(node: Expression, at_least: int) -> str:
    """Return the node's text, in parentheses where it binds less than what stands around it."""
    return str(node) if _rank(node) >= at_least else f"({node})"


def _rank(node: Expression) -> int:
    match node:
        case Or():
            return PRECEDENCE["or"]
        case And():
            return PRECEDENCE["and"]
        case Not():
            return NOT
        case Comparison(operator=operator) | Arithmetic(operator=operator):
            return PRECEDENCE[operator]
        case Lookup():
            return _LOOKUP
        case Negative():
            return SIGN
        case Literal(int() | float() as number) if str(number).startswith("-"):
            return SIGN
        case _:
            return _PRIMARY
