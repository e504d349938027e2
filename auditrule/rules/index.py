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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from auditrule.eql.compiler import Predicate, compile_condition, conjuncts, fields_of
from auditrule.eql.fields import absent, nested, reader
from auditrule.eql.tree import (
    And,
    Comparison,
    Condition,
    EventQuery,
    Field,
    Literal,
    Or,
)
from auditrule.rules.needles import Needle, Needles, cost_of, is_whole, needed

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
# What an exec tells by itself, and what it tells as its children's parent (auditrule.ecs.mapping).
_OWN = ("event.", "host.os.", "process.", "user.", "group.")
_TOLD_LATER = (
    "event.id",
    "event.sequence",
    "process.entity_id",
    "process.parent.",
    "process.pid",
    "process.start",
)
_IMAGE = ("executable", "name", "args", "args_count", "command_line", "working_directory")
_OF_PARENT = frozenset(f"process.parent.{name}" for name in _IMAGE)
_PROGRAM_NAME, _ARGUMENTS = "process.name", "process.args"
_MOST_ALTERNATIVES = 16
_MOST_KEPT = 4096
_LONGEST_VALUE = 1024
# Values that mean the same to every rule if they are equal and of one type. 0.0 and -0.0 do not,
# nor do the times of two zones.
_KEPT_TYPES = frozenset({str, int, bool})


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
        rests: list[tuple[int, tuple[Condition, ...]]] = []
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
                    if not _asks_for_a_parent(alternative):
                        rests.append((bit, _own(alternative.rest)))
                    if alternative.needle is not None:
                        found = needles.setdefault(alternative.needle.field, [])
                        found.append((bit, alternative.needle))
        self._all = (1 << len(self._candidates)) - 1
        self.programs = _programs(
            [
                alternative
                for _, queries in rules
                for query in queries
                for alternative in alternatives(query)
            ]
        )
        """The programs that rules are about, as auditrule.audit.asked wants them; None if any."""
        tables = [_Lookup(field, lookups[field], self._all) for field in sorted(lookups, key=_rank)]
        searches = [Needles(field, found) for field, found in needles.items()]
        self._of_all = _Tables(tables, searches)
        self._of_own = _Tables(
            [table for table in tables if is_own(table.field)],
            [search for search in searches if is_own(search.field)],
            # Most of the others do not get so far.
            rests,
        )
        self._of_parents = _Tables(
            [table for table in tables if is_of_parent(table.field)],
            [search for search in searches if is_of_parent(search.field)],
        )
        # What a set stands for, of the sets that came up.
        self._lists: dict[int, tuple[Candidate, ...]] = {}

    def candidates(self, event: Event) -> tuple[Candidate, ...]:
        """Return the alternatives that the event may meet, in the order of the rules."""
        left = self._of_all.left_by(event, self._all)
        found = self._lists.get(left)
        return self._list(left) if found is None else found

    def left_by_own(self, event: Event) -> int:
        """Return what is left of the alternatives by the fields that `is_own` names.

        It is a set of alternatives, a bit for each; 0 where none is left.
        """
        return self._of_own.left_by(event, self._all)

    def left_by_parent(self, event: Event) -> int:
        """Return what is left of the alternatives by the fields that `is_of_parent` names."""
        return self._of_parents.left_by(event, self._all)

    def _list(self, bits: int) -> tuple[Candidate, ...]:
        found = tuple(self._candidates[n] for n in range(bits.bit_length()) if bits >> n & 1)
        return _keep(self._lists, bits, found)


def _programs(found: Iterable[Alternative]) -> dict[str, frozenset[str] | None] | None:
    programs: dict[str, frozenset[str] | None] = {}
    for alternative in found:
        condition = alternative.lookups.get(_PROGRAM_NAME)
        names = frozenset() if condition is None else needed(condition)
        if not names or not all(is_whole(name) and name.isascii() for name in names):
            return None
        needle = alternative.needle
        texts = None if needle is None or needle.field != _ARGUMENTS else needle.texts
        for name in names:
            known = programs.get(name, frozenset())
            programs[name] = None if texts is None or known is None else known | texts
    return programs


def _asks_for_a_parent(alternative: Alternative) -> bool:
    """Tell whether few parents can meet an alternative, so that to look these up rules it out."""
    needle = alternative.needle
    return (needle is not None and is_of_parent(needle.field)) or any(
        is_of_parent(field) and needed(condition)
        for field, condition in alternative.lookups.items()
    )


def _own(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return the conditions that are about an event's own fields alone."""
    return tuple(each for each in conditions if all(map(is_own, fields_of(each))))


def _joined(conditions: tuple[Condition, ...]) -> Predicate | None:
    if len(conditions) < 2:
        return compile_condition(conditions[0]) if conditions else None
    return compile_condition(And(conditions))


def is_own(field: str) -> bool:
    """Tell whether a field is told by a program's start alone, whoever its parent is."""
    return field.startswith(_OWN) and not field.startswith(_TOLD_LATER)


def is_of_parent(field: str) -> bool:
    """Tell whether a field is told by what the parent runs, whoever runs it."""
    return field in _OF_PARENT


class _Tables:
    """Looks up what fields leave of alternatives, with the fields first that leave least.

    What is left is asked for its `rest` in the end, if that is given.
    """

    def __init__(
        self,
        lookups: Sequence[_Lookup],
        needles: Sequence[Needles],
        rests: Iterable[tuple[int, tuple[Condition, ...]]] = (),
    ) -> None:
        self._holds = {bit: holds for bit, rest in rests if (holds := _joined(rest)) is not None}
        self._with_rest = sum(self._holds)
        self._telling: _Plan = tuple(
            (table.asking, table.left_by) for table in lookups if table.field in _TELLING
        )
        self._others: list[_Lookup | Needles] = [
            *(table for table in lookups if table.field not in _TELLING),
            *needles,
        ]
        # What is left to look up for a set of alternatives, for the sets that came up.
        self._plans: dict[int, _Plan] = {}

    def left_by(self, event: Event, left: int) -> int:
        """Return what the event leaves of the alternatives that are left."""
        for asking, left_by in self._telling:
            if left & asking:
                left = left_by(event, left)
        plan = self._plans.get(left)
        for asking, left_by in self._plan(left, event) if plan is None else plan:
            if left & asking:
                left = left_by(event, left)
        unasked = left & self._with_rest
        while unasked:
            bit = unasked & -unasked
            unasked ^= bit
            if not self._holds[bit](event):
                left ^= bit
        return left

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
    parts = conjuncts(node)
    if len(parts) > 1:
        node = And(parts)
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
        if len(fields_of(conjunct)) == 1 and (texts := needed(conjunct)):
            needles.append(Needle(field, texts))
    needle = min(needles, key=lambda each: cost_of(each.texts), default=None)
    return Alternative(lookups, needle, tuple(rest))
