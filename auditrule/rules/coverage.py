"""How far a rule can run on what documents can have: the rules' linter against the catalogue.

A rule's condition is evaluated with what is known of the fields: one that no document has is
absent, one that has a few values takes each of them, any other may be anything. A comparison, a
branch, a rule that cannot come true that way will never match.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from auditrule.ecs.catalogue import CatalogueField
from auditrule.eql import Query
from auditrule.eql.compiler import compile_condition, fields_of
from auditrule.eql.tree import (
    And,
    Condition,
    EventQuery,
    Not,
    Or,
    Piped,
    SampleQuery,
    SequenceQuery,
    Statement,
    Step,
)
from auditrule.rules.rule import Rule

_BOTH = frozenset({True, False})
# A comparison of so many fields that their values multiply beyond this may be anything.
_MAX_COMBINATIONS = 256


class Status(StrEnum):
    """How far a rule runs."""

    FULL = "full"
    PARTIAL = "partial"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a rule runs, which of its fields no document has, and why it is not full."""

    status: Status
    missing_fields: tuple[str, ...] = ()
    reason: str | None = None


def cover(query: Query, catalogue: Mapping[str, CatalogueField]) -> Coverage:
    """Return how far `query` runs on documents with the fields of `catalogue`."""
    missing = tuple(sorted(query.fields - catalogue.keys()))
    judge = _Judge(query.category_field, catalogue)
    obstacle, gaps = judge.verdict(query.tree)
    if obstacle is not None:
        return Coverage(Status.UNSUPPORTED, missing, obstacle)
    if missing:
        gaps = [f"no document has {', '.join(missing)}", *gaps]
    if gaps:
        return Coverage(Status.PARTIAL, missing, "; ".join(gaps))
    return Coverage(Status.FULL)


def able_to_match(
    rules: Iterable[Rule], catalogue: Mapping[str, CatalogueField]
) -> tuple[Rule, ...]:
    """Return the rules that can match documents with the fields of `catalogue` at all."""
    return tuple(
        rule for rule in rules if cover(rule.query, catalogue).status is not Status.UNSUPPORTED
    )


class _Judge:
    def __init__(self, category_field: str, catalogue: Mapping[str, CatalogueField]) -> None:
        self._category_field = category_field
        self._catalogue = catalogue

    def verdict(self, tree: Statement) -> tuple[str | None, list[str]]:
        """Return why nothing can ever match, if so, and what of the statement never will."""
        match tree:
            case EventQuery():
                return self.obstacle(tree), self._gaps(tree)
            case Piped(source):
                return self.verdict(source)
            case SequenceQuery() | SampleQuery():
                return self._verdict_of_steps(tree)

    def _verdict_of_steps(self, tree: SequenceQuery | SampleQuery) -> tuple[str | None, list[str]]:
        gaps: list[str] = []
        for number, step in enumerate(tree.steps, 1):
            lacking = self._lacking(tree, step) or self.obstacle(step.query)
            if lacking is None:
                gaps += (f"event {number}: {gap}" for gap in self._gaps(step.query))
            elif step.missing:
                gaps.append(f"event {number} is always missing: {lacking}")
            else:
                return f"event {number} never comes: {lacking}", []
        until = tree.until if isinstance(tree, SequenceQuery) else None
        if until is not None:
            lacking = self._lacking(tree, until) or self.obstacle(until.query)
            if lacking is not None:
                gaps.append(f"until never comes: {lacking}")
        return None, gaps

    def _lacking(self, tree: SequenceQuery | SampleQuery, step: Step) -> str | None:
        keys = (key.name for key in (*tree.keys, *step.keys) if not key.optional)
        lacking = [name for name in keys if name not in self._catalogue]
        return f"it is joined by {', '.join(lacking)}" if lacking else None

    def _gaps(self, query: EventQuery) -> list[str]:
        dead = self.dead_branches(query.condition)
        return [f"this branch never holds: {_shown(branch)}" for branch in dead]

    def obstacle(self, query: EventQuery) -> str | None:
        """Return why no document can match `query`, None where one can."""
        known = self._catalogue.get(self._category_field)
        if query.category is not None and (
            known is None or (known.values is not None and query.category not in known.values)
        ):
            return f"there are no events of the category {query.category}"
        if True in self._outcomes(query.condition):
            return None
        for needed in _conjuncts(query.condition):
            if True not in self._outcomes(needed):
                return self._why_never(needed)
        return "its condition contradicts itself"

    def dead_branches(self, node: Condition) -> Iterator[Condition]:
        """Yield the alternatives in `node` that cannot come true."""
        match node:
            case And(operands):
                for operand in operands:
                    yield from self.dead_branches(operand)
            case Or(operands):
                for operand in operands:
                    if True in self._outcomes(operand):
                        yield from self.dead_branches(operand)
                    else:
                        yield operand
            case _:
                return

    def _why_never(self, node: Condition) -> str:
        missing = sorted(fields_of(node) - self._catalogue.keys())
        if missing:
            return f"it needs {', '.join(missing)}"
        return f"this never holds: {_shown(node)}"

    def _outcomes(self, node: Condition) -> frozenset[bool]:
        match node:
            case Not(operand):
                return frozenset(not outcome for outcome in self._outcomes(operand))
            case And(operands):
                return self._combined(operands, absorbing=False)
            case Or(operands):
                return self._combined(operands, absorbing=True)
            case _:
                return self._leaf(node)

    def _combined(self, operands: tuple[Condition, ...], *, absorbing: bool) -> frozenset[bool]:
        each = [self._outcomes(operand) for operand in operands]
        if any(outcomes == {absorbing} for outcomes in each):
            return frozenset({absorbing})
        possible = set()
        if any(absorbing in outcomes for outcomes in each):
            possible.add(absorbing)
        if all((not absorbing) in outcomes for outcomes in each):
            possible.add(not absorbing)
        return frozenset(possible)

    def _leaf(self, node: Condition) -> frozenset[bool]:
        choices: list[list[tuple[str, str | None]]] = []
        for name in sorted(fields_of(node)):
            known = self._catalogue.get(name)
            if known is None:
                choices.append([(name, None)])
            elif known.values is None:
                return _BOTH
            else:
                absent = [] if known.always else [(name, None)]
                choices.append([*absent, *((name, value) for value in known.values)])
        holds = compile_condition(node)
        combinations = list(product(*choices))
        if len(combinations) > _MAX_COMBINATIONS:
            return _BOTH
        return frozenset(
            holds({name: value for name, value in combination if value is not None})
            for combination in combinations
        )


def _conjuncts(node: Condition) -> Iterator[Condition]:
    if isinstance(node, And):
        for operand in node.operands:
            yield from _conjuncts(operand)
    else:
        yield node


def _shown(node: Condition) -> str:
    text = str(node)
    return text if len(text) <= 100 else text[:99] + "…"
