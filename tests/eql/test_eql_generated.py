"""Generated queries: they print to text that parses to themselves, and a slow evaluator agrees."""

from __future__ import annotations

import operator
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule import eql
from auditrule.eql.tree import (
    And,
    Comparison,
    Condition,
    EventQuery,
    Field,
    Literal,
    Lookup,
    Not,
    Or,
    Scalar,
)

ORDER: dict[str, Any] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

# Few fields and short values of few letters, so that queries often match.
NAMES = ["a", "b.c", "b.d", "b.d e", "any"]
texts = st.text('aAb*?İi"\\\n', max_size=3)
any_texts = texts | st.text(max_size=6)
numbers = st.integers(-3, 3) | st.sampled_from([0.5, -1.0, 2.0])
any_numbers = numbers | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, width=64)
finite_numbers = any_numbers.filter(lambda number: abs(number) != float("inf"))


def conditions(
    names: st.SearchStrategy[str],
    strings: st.SearchStrategy[str],
    reals: st.SearchStrategy[Any],
) -> st.SearchStrategy[Condition]:
    fields = st.builds(Field, names, st.booleans())
    literal_texts = st.builds(Literal, strings)
    ordered = st.builds(Literal, strings | reals)
    literals = st.builds(Literal, strings | reals | st.booleans() | st.none())
    listed = st.builds(Literal, strings | reals | st.booleans())
    equal, unequal = st.sampled_from(["==", "!="]), st.sampled_from(sorted(ORDER))
    in_, like = st.just("in"), st.sampled_from([":", "like", "like~", "in~"])
    leaves: st.SearchStrategy[Condition] = st.one_of(
        fields,
        st.builds(Literal, st.booleans()),
        st.builds(Comparison, fields, equal, literals),
        st.builds(Comparison, literals, equal, fields | literals),
        st.builds(Comparison, fields, unequal, ordered),
        st.builds(Comparison, ordered, unequal, fields | ordered),
        st.builds(Lookup, fields, in_, st.lists(listed, min_size=1, max_size=4).map(tuple)),
        st.builds(Lookup, fields, like, st.lists(literal_texts, min_size=1, max_size=4).map(tuple)),
    )

    def combine(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=2, max_size=4).map(tuple)
        return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)

    return st.recursive(leaves, combine, max_leaves=8)


scalars = texts | numbers | st.booleans() | st.none() | st.sampled_from(["1", "true", "2.0"])
events = st.dictionaries(st.sampled_from(NAMES), scalars | st.lists(scalars, max_size=3))
event_queries = st.builds(
    EventQuery,
    st.none() | st.sampled_from(["process", "any", "not"]) | st.text(max_size=5),
    conditions(st.sampled_from(NAMES) | st.text(min_size=1, max_size=8), any_texts, finite_numbers),
)


@given(event_queries)
def test_a_tree_prints_to_text_that_parses_to_the_tree(tree: EventQuery) -> None:
    assert repr(eql.compile(str(tree)).tree) == repr(tree)


@settings(max_examples=500)
@given(conditions(st.sampled_from(NAMES), texts, numbers), events)
def test_a_compiled_query_agrees_with_the_slow_evaluator(
    condition: Condition, event: dict[str, object]
) -> None:
    expected = evaluate(condition, event)
    query = eql.compile(str(EventQuery(None, condition)))
    assert query.matches(event) is expected
    assert query.matches(nested(event)) is expected


def nested(event: dict[str, object]) -> dict[str, object]:
    """Return the event with the fields below b as a mapping of their own."""
    below = {name[2:]: value for name, value in event.items() if name.startswith("b.")}
    return {"b": below} | {
        name: value for name, value in event.items() if not name.startswith("b.")
    }


def evaluate(condition: Condition, event: dict[str, object]) -> bool:
    """Evaluate by walking the tree and trying each value with each literal."""
    match condition:
        case Literal(value):
            return value is True
        case Field():
            return any(same(value, True) for value in values(condition, event))
        case Not(operand):
            return not evaluate(operand, event)
        case And(operands):
            return all(evaluate(operand, event) for operand in operands)
        case Or(operands):
            return any(evaluate(operand, event) for operand in operands)
        case Comparison(left, "!=", right):
            return not evaluate(Comparison(left, "==", right), event)
        case Comparison(Literal(None), "==", other) | Comparison(other, "==", Literal(None)):
            return not values(other, event)
        case Comparison(left, comparison, Literal(literal)):
            return any(compare(value, comparison, literal) for value in values(left, event))
        case Comparison(Literal(literal), comparison, right):
            mirrored = comparison.translate(str.maketrans("<>", "><"))
            return any(compare(value, mirrored, literal) for value in values(right, event))
        case Lookup(field, lookup, literals):
            return any(
                looks_like(value, lookup, literal.value)
                for value in values(field, event)
                for literal in literals
            )
    raise AssertionError(condition)


def values(operand: Field | Literal, event: dict[str, object]) -> list[object]:
    found = operand.value if isinstance(operand, Literal) else event.get(operand.name)
    listed = found if isinstance(found, list) else [found]
    return [value for value in listed if value is not None]


def same(value: object, literal: Scalar) -> bool:
    seen = seen_as(value, literal)
    return seen is not None and seen == literal


def compare(value: object, comparison: str, literal: Scalar) -> bool:
    if comparison == "==":
        return same(value, literal)
    seen = seen_as(value, literal)
    return seen is not None and bool(ORDER[comparison](seen, literal))


def seen_as(value: object, literal: Scalar) -> Any:
    """Read the value as the literal's type, by way of its text as JSON would give it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(literal, str):
        return text
    if isinstance(literal, bool):
        return {"true": True, "false": False}.get(text)
    return None if isinstance(value, bool) or not is_number(text) else float(text)


def is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?", text) is not None


def looks_like(value: object, lookup: str, literal: Scalar) -> bool:
    if lookup == "in":
        return same(value, literal)
    text, pattern = seen_as(value, ""), str(literal)
    if lookup != "like":
        text, pattern = simple_lower(text), simple_lower(pattern)
    if lookup == "in~":
        return bool(text == pattern)
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def simple_lower(text: str) -> str:
    return "".join(character.lower()[0] for character in text)
