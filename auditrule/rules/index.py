"""Which rules an event can match at all, found by looking up what it holds rather than asking each.

Most of what a rule asks is about one field: the name of a program, its path, its parent, its user.
A field takes few values on a host, and what a value means to all the rules is worked out once: a
set of the rules that it does not rule out, kept beside the value. An event's rules are then those
that none of its fields rules out. Arguments take many values, and are looked up one by one among
the literals that rules need.

A rule that is a choice (`or`) is split into its alternatives, and matches if one of them does. What
was looked up of an alternative is known to hold, so only the rest of it is left to ask, if there is
a rest. An alternative without anything that can be looked up is asked always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from auditrule.eql.compiler import Predicate, compile_condition, fields_of
from auditrule.eql.fields import nested, reader
from auditrule.eql.tree import (
    And,
    Comparison,
    Condition,
    EventQuery,
    Field,
    Literal,
    Lookup,
    Or,
)
from auditrule.eql.values import period
from auditrule.eql.wildcard import fold

Event = Mapping[str, object]

# Fields with about as many values as there are events, of which nothing is worth keeping.
_PLENTIFUL = frozenset(
    "args command_line pid entity_id start @timestamp id sequence a0 a1 a2 a3 exit".split()
)
_FEW = ("user.id", "group.id")
# The fields that rule out most come first, since nothing is read once no rule is left.
_TELLING = (
    "event.category",
    "process.name",
    "process.executable",
    "event.action",
    "process.parent.name",
    "process.parent.executable",
)
_MOST_ALTERNATIVES = 16
_MOST_VALUES = 4096
_LONGEST_VALUE = 1024
# Values that mean the same to every rule if they are equal and of one type. 0.0 and -0.0 do not,
# nor do the times of two zones.
_KEPT_TYPES = frozenset({str, int, bool})


@dataclass(frozen=True, slots=True)
class Needle:
    """A field of many values that has to hold one of some literals (case folded)."""

    field: str
    values: frozenset[str]

    def __str__(self) -> str:
        return f"{self.field} in~ ({', '.join(map(str, map(Literal, sorted(self.values))))})"


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way in which a query can match: all of this has to hold.

    `lookups` are about one field each, by its name; `needle` is a part of the `rest`.
    """

    lookups: Mapping[str, Condition]
    needle: Needle | None
    rest: tuple[Condition, ...]

    @property
    def key(self) -> str:
        """What is looked up, as EQL; empty where nothing is."""
        parts = [str(condition) for condition in self.lookups.values()]
        if self.needle is not None:
            parts.append(str(self.needle))
        return " and ".join(parts)


def alternatives(query: EventQuery) -> tuple[Alternative, ...]:
    """Return the ways in which a query can match: its condition holds if one of them does."""
    return tuple(_alternative(conjuncts) for conjuncts in _expand(query.condition))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An alternative of a rule that an event may meet; `holds` is what is left to ask of it."""

    rule: int
    holds: Predicate | None


class RuleIndex:
    """Finds, among rules by their number, those that an event may meet.

    Each rule comes as the name of its category field and its event queries, of which the event has
    to meet one.
    """

    def __init__(self, rules: Sequence[tuple[str, Sequence[EventQuery]]]) -> None:
        # Each alternative of each rule is a bit of a number, which is a set of them.
        self._candidates: list[Candidate] = []
        lookups: dict[str, list[tuple[int, Condition]]] = {}
        needles: dict[str, list[tuple[int, Needle]]] = {}
        for rule, (category_field, queries) in enumerate(rules):
            for query in queries:
                for alternative in alternatives(query):
                    bit = 1 << len(self._candidates)
                    self._candidates.append(Candidate(rule, _joined(alternative.rest)))
                    if query.category is not None:
                        asked = Comparison(Field(category_field), "==", Literal(query.category))
                        lookups.setdefault(category_field, []).append((bit, asked))
                    for field, condition in alternative.lookups.items():
                        lookups.setdefault(field, []).append((bit, condition))
                    if alternative.needle is not None:
                        found = needles.setdefault(alternative.needle.field, [])
                        found.append((bit, alternative.needle))
        self._all = (1 << len(self._candidates)) - 1
        tables: list[_Lookup | _Needles] = [
            *(_Lookup(field, lookups[field], self._all) for field in sorted(lookups, key=_rank)),
            *(_Needles(field, found, self._all) for field, found in needles.items()),
        ]
        self._tables = [(table.asking, table.left_by) for table in tables]
        # What a set stands for, for the sets that came up.
        self._lists: dict[int, tuple[Candidate, ...]] = {}

    def candidates(self, event: Event) -> tuple[Candidate, ...]:
        """Return the alternatives that the event may meet, in the order of the rules."""
        left = self._all
        for asking, left_by in self._tables:
            # Most tables have nothing to say of the few alternatives that the first ones left.
            if left & asking:
                left &= left_by(event)
        found = self._lists.get(left)
        return self._list(left) if found is None else found

    def _list(self, bits: int) -> tuple[Candidate, ...]:
        found = tuple(self._candidates[n] for n in range(bits.bit_length()) if bits >> n & 1)
        if len(self._lists) >= _MOST_VALUES:
            self._lists.clear()
        self._lists[bits] = found
        return found


def _joined(conditions: tuple[Condition, ...]) -> Predicate | None:
    if len(conditions) < 2:
        return compile_condition(conditions[0]) if conditions else None
    return compile_condition(And(conditions))


class _Lookup:
    """What the values of a field leave of the alternatives, worked out once for each value."""

    def __init__(self, field: str, conditions: Sequence[tuple[int, Condition]], every: int) -> None:
        self._field = field
        self._read = reader(field)
        self._find = nested(field)
        by_condition: dict[Condition, int] = {}
        for bit, condition in conditions:
            by_condition[condition] = by_condition.get(condition, 0) | bit
        self._tests: list[tuple[int, Predicate]] = [
            (bits, compile_condition(condition)) for condition, bits in by_condition.items()
        ]
        self.asking = 0
        for bits in by_condition.values():
            self.asking |= bits
        self._every = every
        self._known: dict[tuple[tuple[type, object], ...], int] = {}
        self._simple: dict[object, int] = {}
        self._absent = self._work_out(())

    def left_by(self, event: Event) -> int:
        """Return the alternatives that the event's values do not rule out."""
        # Most values are one text or integer, met before: a third of the time of the others.
        value = self._find(event)
        if type(value) is list and len(value) == 1:
            value = value[0]
        known = self._simple.get(value) if type(value) is str or type(value) is int else None
        return self._look_up(event) if known is None else known

    def _look_up(self, event: Event) -> int:
        values = self._read(event)
        if not values:
            return self._absent
        if not _KEPT_TYPES.issuperset(map(type, values)):
            return self._work_out(values)
        # 1 and true are equal to Python, and not to EQL.
        key = tuple((type(value), value) for value in values)
        known = self._known.get(key)
        if known is None:
            known = self._work_out(values)
            self._keep(key, known)
        return known

    def _keep(self, key: tuple[tuple[type, object], ...], known: int) -> None:
        if len(self._known) >= _MOST_VALUES:
            self._known.clear()
            self._simple.clear()
        if sum(len(value) for _, value in key if isinstance(value, str)) > _LONGEST_VALUE:
            return
        self._known[key] = known
        kind, value = key[0]
        if len(key) == 1 and (kind is str or kind is int):
            self._simple[value] = known

    def _work_out(self, values: Sequence[object]) -> int:
        event = {self._field: list(values)}
        left = self._every
        for bits, holds in self._tests:
            if not holds(event):
                left &= ~bits
        return left


class _Needles:
    """What a field of many values leaves of the alternatives."""

    def __init__(self, field: str, needles: Sequence[tuple[int, Needle]], every: int) -> None:
        self._read = reader(field)
        self._every = every
        self._indifferent = every
        self._by_value: dict[str, int] = {}
        for bit, needle in needles:
            self._indifferent &= ~bit
            for value in needle.values:
                self._by_value[value] = self._by_value.get(value, 0) | bit

        self.asking = every & ~self._indifferent
        self._longest = max(map(len, self._by_value))

    def left_by(self, event: Event) -> int:
        """Return the alternatives that the event's values do not rule out."""
        left = self._indifferent
        for value in self._read(event):
            if not isinstance(value, str):
                # EQL compares other types by rules of its own.
                return self._every
            if len(value) <= self._longest:
                left |= self._by_value.get(fold(value), 0)
        return left


def _rank(field: str) -> tuple[int, str]:
    return (_TELLING.index(field) if field in _TELLING else len(_TELLING), field)


def _is_plentiful(field: str) -> bool:
    return field.rpartition(".")[2] in _PLENTIFUL and not field.endswith(_FEW)


def _expand(node: Condition) -> list[tuple[Condition, ...]]:
    """Return the alternatives of a condition, each as what has to hold together."""
    if len(fields_of(node)) < 2:
        return [(node,)]
    match node:
        case Or(operands):
            expanded = [each for operand in operands for each in _expand(operand)]
            return expanded if len(expanded) <= _MOST_ALTERNATIVES else [(node,)]
        case And(operands):
            choices: list[list[tuple[Condition, ...]]] = []
            count = 1
            for operand in operands:
                choice = _expand(operand)
                if count * len(choice) > _MOST_ALTERNATIVES:
                    choice = [(operand,)]
                count *= len(choice)
                choices.append(choice)
            return [
                tuple(part for parts in combined for part in parts)
                for combined in product(*choices)
            ]
        case _:
            return [(node,)]


def _alternative(conjuncts: Iterable[Condition]) -> Alternative:
    lookups: dict[str, Condition] = {}
    needles: list[Needle] = []
    rest: list[Condition] = []
    for conjunct in conjuncts:
        field = min(fields_of(conjunct), default="")
        if len(fields_of(conjunct)) == 1 and not _is_plentiful(field):
            known = lookups.get(field)
            lookups[field] = conjunct if known is None else And((known, conjunct))
            continue
        rest.append(conjunct)
        if len(fields_of(conjunct)) == 1 and (values := _literals(conjunct)):
            needles.append(Needle(field, values))
    needle = min(needles, key=lambda each: len(each.values), default=None)
    return Alternative(lookups, needle, tuple(rest))


def _literals(node: Condition) -> frozenset[str]:
    """Return the texts of which a field has to be one for the condition on it to hold, folded."""
    match node:
        case Comparison(Field(), "==", Literal(str(value))) | Comparison(
            Literal(str(value)), "==", Field()
        ):
            return _spelt_only([value])
        case Lookup(Field(), operator, literals) if not operator.startswith("regex"):
            texts = [literal.value for literal in literals if isinstance(literal.value, str)]
            if len(texts) < len(literals):
                return frozenset()
            if operator == "in":
                return _spelt_only(texts)
            wild = operator != "in~" and any("*" in t or "?" in t for t in texts)
            return frozenset() if wild else frozenset(map(fold, texts))
        case Or(operands):
            found = [_literals(operand) for operand in operands]
            return frozenset().union(*found) if all(found) else frozenset()
        case And(operands):
            return min(filter(None, map(_literals, operands)), key=len, default=frozenset())
        case _:
            return frozenset()


def _spelt_only(texts: Sequence[str]) -> frozenset[str]:
    """Return the texts folded; none if one is a date, which equals other spellings of its time."""
    if any(period(text) is not None for text in texts):
        return frozenset()
    return frozenset(map(fold, texts))
