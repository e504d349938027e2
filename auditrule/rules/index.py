"""Which rules an event can match at all, found by looking up what it holds rather than asking each.

Most of what a rule asks is about one field: the name of a program, its path, its parent, its user.
A field takes few values on a host, and what a value means to all the rules is worked out once: a
set of the rules that it does not rule out, kept beside the value. An event's rules are then those
that none of its fields rules out. Arguments take many values, and are looked up one by one among
the texts that rules need: whole values, beginnings, or pieces of them.

A rule that is a choice (`or`) is split into its alternatives, and matches if one of them does. What
was looked up of an alternative is known to hold, so only the rest of it is left to ask, if there is
a rest. An alternative without anything that can be looked up is asked always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from auditrule.eql.compiler import Predicate, compile_condition, fields_of
from auditrule.eql.fields import absent, nested, reader
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
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Plan = tuple[tuple[int, Callable[[Event, int], int]], ...]

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
_MOST_KEPT = 4096
_LONGEST_VALUE = 1024
_SHORTEST_PIECE = 4
_wild = re.compile(r"[*?]")
# Values that mean the same to every rule if they are equal and of one type. 0.0 and -0.0 do not,
# nor do the times of two zones.
_KEPT_TYPES = frozenset({str, int, bool})


@dataclass(frozen=True, slots=True)
class Needle:
    """A field of many values, of which one has to be like one of some texts (case folded).

    A text is a whole value, or the beginning of one (``/tmp/*``), or a piece of one (``*curl*``).
    """

    field: str
    texts: frozenset[str]

    def __str__(self) -> str:
        operator = "like~" if any(map(_stars, self.texts)) else "in~"
        return f"{self.field} {operator} ({', '.join(map(str, map(Literal, sorted(self.texts))))})"


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
        tables = [_Lookup(field, lookups[field], self._all) for field in sorted(lookups, key=_rank)]
        self._telling: _Plan = tuple(
            (table.asking, table.left_by) for table in tables if table.field in _TELLING
        )
        self._others: list[_Lookup | _Needles] = [
            *(table for table in tables if table.field not in _TELLING),
            *(_Needles(field, found) for field, found in needles.items()),
        ]
        # What is left to look up for a set of alternatives, and what the set stands for: both for
        # the sets that came up.
        self._plans: dict[int, _Plan] = {}
        self._lists: dict[int, tuple[Candidate, ...]] = {}

    def candidates(self, event: Event) -> tuple[Candidate, ...]:
        """Return the alternatives that the event may meet, in the order of the rules."""
        left = self._all
        for asking, left_by in self._telling:
            if left & asking:
                left = left_by(event, left)
        plan = self._plans.get(left)
        for asking, left_by in self._plan(left, event) if plan is None else plan:
            if left & asking:
                left = left_by(event, left)
        found = self._lists.get(left)
        return self._list(left) if found is None else found

    def _plan(self, bits: int, event: Event) -> _Plan:
        """Return how to go on with a set, first with what rules out most for an event like this."""
        plan = []
        tables = [table.narrowed(bits) for table in self._others if table.asking & bits]
        left = bits
        while tables:
            _, _, n = min(
                (t.left_by(event, left).bit_count(), t.cost, n) for n, t in enumerate(tables)
            )
            table = tables.pop(n)
            left = table.left_by(event, left)
            plan.append((table.asking, table.left_by))
        return _keep(self._plans, bits, tuple(plan))

    def _list(self, bits: int) -> tuple[Candidate, ...]:
        found = tuple(self._candidates[n] for n in range(bits.bit_length()) if bits >> n & 1)
        return _keep(self._lists, bits, found)


def _joined(conditions: tuple[Condition, ...]) -> Predicate | None:
    if len(conditions) < 2:
        return compile_condition(conditions[0]) if conditions else None
    return compile_condition(And(conditions))


class _Lookup:
    """What the values of a field leave of the alternatives, worked out once for each value."""

    cost = 0

    def __init__(self, field: str, conditions: Sequence[tuple[int, Condition]], every: int) -> None:
        self.field = field
        self._read = reader(field)
        self._find = nested(field)
        self._is_nowhere = absent(field)
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

    def narrowed(self, _bits: int) -> _Lookup:
        """Return what tells of some of the alternatives alone."""
        return self

    def left_by(self, event: Event, left: int) -> int:
        """Return what the event's values leave of the alternatives that are left."""
        # Most values are one text or integer, met before: a third of the time of the others.
        value = self._find(event)
        if type(value) is list and len(value) == 1:
            value = value[0]
        if type(value) is str or type(value) is int:
            known = self._simple.get(value)
            return left & (self._look_up(event) if known is None else known)
        if value is None and self._is_nowhere(event):
            return left & self._absent
        return left & self._look_up(event)

    def _look_up(self, event: Event) -> int:
        values = self._read(event)
        if not values:
            return self._absent
        if not _KEPT_TYPES.issuperset(map(type, values)):
            return self._work_out(values)
        # 1 and true are equal to Python, and not to EQL.
        key = tuple((type(value), value) for value in values)
        known = self._known.get(key)
        return self._keep(key, self._work_out(values)) if known is None else known

    def _keep(self, key: tuple[tuple[type, object], ...], known: int) -> int:
        if sum(len(value) for _, value in key if isinstance(value, str)) <= _LONGEST_VALUE:
            _keep(self._known, key, known)
            kind, value = key[0]
            if len(key) == 1 and (kind is str or kind is int):
                _keep(self._simple, value, known)
        return known

    def _work_out(self, values: Sequence[object]) -> int:
        event = {self.field: list(values)}
        left = self._every
        for bits, holds in self._tests:
            if not holds(event):
                left &= ~bits
        return left


class _Needles:
    """What a field of many values leaves of the alternatives."""

    cost = 1

    def __init__(self, field: str, needles: Sequence[tuple[int, Needle]]) -> None:
        self._field = field
        self._needles = needles
        self._read = reader(field)
        self.asking = 0
        self._whole: dict[str, int] = {}
        beginnings: dict[str, int] = {}
        pieces: dict[str, int] = {}
        for bit, needle in needles:
            self.asking |= bit
            for text in needle.texts:
                known = (self._whole, beginnings, pieces)[_stars(text)]
                bare = text.strip("*") if _stars(text) else text
                known[bare] = known.get(bare, 0) | bit
        self._longest = max(map(len, self._whole), default=0)
        self._heads = tuple(beginnings)
        by_bits: dict[int, list[str]] = {}
        for head, bits in beginnings.items():
            by_bits.setdefault(bits, []).append(head)
        self._beginnings = tuple((tuple(heads), bits) for bits, heads in by_bits.items())
        self._pieces = tuple(pieces.items())

    def narrowed(self, bits: int) -> _Needles:
        """Return what tells of some of the alternatives alone."""
        return _Needles(self._field, [(bit, needle) for bit, needle in self._needles if bit & bits])

    def left_by(self, event: Event, left: int) -> int:
        """Return what the event's values leave of the alternatives that are left."""
        found = 0
        whole = self._whole
        for value in self._read(event):
            if not isinstance(value, str):
                # EQL compares other types by rules of its own.
                return left
            folded = value.lower() if value.isascii() else fold(value)
            if folded in whole:
                found |= whole[folded]
            if folded.startswith(self._heads):
                for heads, bits in self._beginnings:
                    if folded.startswith(heads):
                        found |= bits
            for piece, bits in self._pieces:
                if piece in folded:
                    found |= bits
        return left & (found | ~self.asking)


def _keep(known: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[key] = value
    return value


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
        if len(fields_of(conjunct)) == 1 and (texts := _needed(conjunct)):
            needles.append(Needle(field, texts))
    needle = min(needles, key=lambda each: _cost(each.texts), default=None)
    return Alternative(lookups, needle, tuple(rest))


def _needed(node: Condition) -> frozenset[str]:
    """Return the texts of which a field has to be like one for the condition on it to hold."""
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
            needed = map(fold, texts) if operator == "in~" else map(_loosened, map(fold, texts))
            return _usable(needed)
        case Or(operands):
            found = [_needed(operand) for operand in operands]
            return frozenset().union(*found) if all(found) else frozenset()
        case And(operands):
            return min(filter(None, map(_needed, operands)), key=_cost, default=frozenset())
        case _:
            return frozenset()


def _spelt_only(texts: Sequence[str]) -> frozenset[str]:
    """Return the texts folded; none if one is a date, which equals other spellings of its time."""
    if any(period(text) is not None for text in texts):
        return frozenset()
    return _usable(map(fold, texts))


def _loosened(pattern: str) -> str:
    """Return what every value has that a wildcard pattern matches: its beginning, or a piece."""
    head, *others = _wild.split(pattern)
    if not others:
        return head
    if len(head) >= _SHORTEST_PIECE:
        return f"{head}*"
    return f"*{max(others, key=len)}*"


def _usable(texts: Iterable[str]) -> frozenset[str]:
    """Return the texts; none if one is hardly anything, which most values would be like."""
    found = frozenset(texts)
    short = any(_stars(text) and len(text.strip("*")) < _SHORTEST_PIECE for text in found)
    return frozenset() if short else found


def _cost(texts: frozenset[str]) -> tuple[int, int]:
    """Return what sorts the cheap ones first: whole values are looked up, pieces searched for."""
    return max(map(_stars, texts)), len(texts)


def _stars(text: str) -> int:
    """Return 0 for a whole value, 1 for a beginning, 2 for a piece.

    A literal that is spelt like a piece is as good as one, since its values have that piece.
    """
    if not text.endswith("*"):
        return 0
    return 2 if text.startswith("*") else 1
