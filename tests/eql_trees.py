"""Strategies for EQL's trees: expressions, conditions and whole statements, as the parser has them.

What the parser never makes is not made here: the sign of a number is part of the literal, nothing
is counted with that is no number, only one side of a comparison reads fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import strategies as st

from auditrule.eql.precedence import fields_in
from auditrule.eql.tree import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Condition,
    EventQuery,
    Expression,
    Field,
    Filter,
    Head,
    JoinKey,
    Literal,
    Lookup,
    Negative,
    Not,
    Or,
    Piped,
    SampleQuery,
    SequenceQuery,
    Statement,
    Step,
    Tail,
    Unique,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Expressions: TypeAlias = st.SearchStrategy[Expression]
Conditions: TypeAlias = st.SearchStrategy[Condition]

BLOCKS = ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "192.168.0.0/16"]
PATTERNS = ["a", "a*", "[ab]+", ".?a|b", "(aA){1,2}", r"\d+", "@", '"*"']


@dataclass(frozen=True)
class Words:
    """What the leaves of a tree are made of."""

    names: st.SearchStrategy[str]
    texts: st.SearchStrategy[str]
    numbers: st.SearchStrategy[Any]


@dataclass(frozen=True)
class Trees:
    """Strategies for conditions of any kind, and for those on functions and arithmetic."""

    conditions: Conditions
    on_functions: Conditions


def trees(words: Words) -> Trees:
    """Return strategies for conditions of the words."""
    fields = st.builds(Field, words.names, st.booleans())
    texts = st.builds(Literal, words.texts)
    numbers = st.builds(Literal, words.numbers)
    null = st.just(Literal(None))
    simple_text, simple_number = fields | texts, fields | numbers | null
    text: Expressions = _brief(
        lambda: simple_text | simple_text | _text_calls(text, number, condition)
    )
    number: Expressions = _brief(
        lambda: simple_number | simple_number | _number_calls(text, number)
    )
    condition: Conditions = _brief(lambda: leaves | leaves | _joined(condition))
    on_functions = _brief(lambda: _tests(text, number, condition))
    leaves = _leaves(words, fields, texts, numbers) | on_functions
    return Trees(condition, on_functions)


def _brief(define: Callable[[], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return a strategy that may be defined by itself, and says little of itself in errors."""
    strategy = st.deferred(define)

    @st.composite
    def brief(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return brief()


def _leaves(words: Words, fields: Any, texts: Any, numbers: Any) -> Conditions:
    booleans = st.builds(Literal, st.booleans())
    literals = texts | numbers | booleans | st.just(Literal(None))
    equal, unequal = st.sampled_from(["==", "!="]), st.sampled_from(["<", "<=", ">", ">="])
    return st.one_of(
        fields,
        booleans,
        st.builds(Comparison, fields, equal, literals),
        st.builds(Comparison, literals, equal, fields | literals),
        st.builds(Comparison, fields, unequal, texts | numbers),
        st.builds(Comparison, texts | numbers, unequal, fields | texts | numbers),
        _lookups(words, fields),
    )


def _lookups(words: Words, subjects: Expressions) -> st.SearchStrategy[Lookup]:
    texts = st.builds(Literal, words.texts)
    patterns = st.builds(Literal, st.sampled_from(PATTERNS))
    listed = texts | st.builds(Literal, words.numbers | st.booleans())
    like, regex = (
        st.sampled_from([":", "like", "like~", "in~"]),
        st.sampled_from(["regex", "regex~"]),
    )
    return st.one_of(
        st.builds(Lookup, subjects, st.just("in"), _several(listed, 1)),
        st.builds(Lookup, subjects, like, _several(texts, 1)),
        st.builds(Lookup, subjects, regex, _several(patterns, 1)),
    )


def _text_calls(text: Expressions, number: Expressions, condition: Conditions) -> Expressions:
    greedy = st.booleans().map(Literal) | st.just(Literal(None))
    return st.one_of(
        _call("substring", text, number),
        _call("substring", text, number, number),
        _call("between", text, text, text, case=True),
        _call("between", text, text, text, greedy, case=True),
        _call("concat", text | number | condition),
        _call("concat", text, number, text),
        _call("string", text | number | condition),
    )


def _number_calls(text: Expressions, number: Expressions) -> Expressions:
    bases = st.sampled_from([None, 2, 10, 16, 36, 1]).map(Literal)
    pair = (number, number)
    return st.one_of(
        st.builds(Arithmetic, number, st.sampled_from("+-*/%"), number),
        number.filter(lambda node: not isinstance(node, Literal) or node.value is None).map(
            Negative
        ),
        *(_call(name, *pair) for name in ("add", "subtract", "multiply", "divide", "modulo")),
        _call("length", text),
        _call("indexOf", text, text, case=True),
        _call("indexOf", text, text, number, case=True),
        _call("number", text),
        _call("number", text, bases),
    )


def _tests(text: Expressions, number: Expressions, condition: Conditions) -> Conditions:
    equal, unequal = st.sampled_from(["==", "!="]), st.sampled_from(["<", "<=", ">", ">="])
    boolean = st.booleans().map(Literal)
    block = st.sampled_from(BLOCKS).map(Literal)
    words = Words(st.nothing(), st.sampled_from(["a", "A*", "?b", "1"]), st.integers(-2, 9))
    return st.one_of(
        st.builds(Comparison, text, equal | unequal, text).filter(_reads_one_side),
        st.builds(Comparison, number, equal, number).filter(_reads_one_side),
        st.builds(Comparison, number, unequal, number).filter(_is_ordered),
        st.builds(Comparison, condition, equal, boolean),
        st.builds(Comparison, boolean | st.just(Literal(None)), equal, condition),
        *(
            _call(name, text, text, case=True)
            for name in ("startsWith", "endsWith", "stringContains")
        ),
        _call("cidrMatch", text, block),
        _call("cidrMatch", text, block, block),
        _lookups(words, text | number),
    )


def _reads_one_side(node: Comparison) -> bool:
    return not (any(fields_in(node.left)) and any(fields_in(node.right)))


def _is_ordered(node: Comparison) -> bool:
    return _reads_one_side(node) and Literal(None) not in (node.left, node.right)


def _joined(condition: Conditions) -> Conditions:
    return st.one_of(
        st.builds(Not, condition),
        st.builds(And, _several(condition, 2)),
        st.builds(Or, _several(condition, 2)),
    )


def _call(name: str, *arguments: Expressions, case: bool = False) -> st.SearchStrategy[Call]:
    ignore_case = st.booleans() if case else st.just(False)
    return st.builds(Call, st.just(name), st.tuples(*arguments), ignore_case)


def _several(elements: st.SearchStrategy[Any], least: int) -> st.SearchStrategy[Any]:
    return st.lists(elements, min_size=least, max_size=3).map(tuple)


def statements(words: Words) -> st.SearchStrategy[Statement]:
    """Return a strategy for statements of all kinds."""
    condition = trees(words).conditions
    categories = st.none() | st.sampled_from(["process", "any", "not"]) | st.text(max_size=5)
    events = _brief(lambda: st.builds(EventQuery, categories, condition))
    keys = st.builds(JoinKey, words.names, st.booleans())
    counted = st.builds(Head, st.integers(0, 10**8)) | st.builds(Tail, st.integers(0, 10**8))
    fields = st.builds(Field, words.names, st.booleans())
    filtering = st.builds(Filter, condition) | st.builds(Unique, _several(fields, 1))
    counts = st.integers(0, 2)
    sequences = _brief(lambda: counts.flatmap(lambda count: _sequences(events, keys, count)))
    samples = _brief(lambda: counts.flatmap(lambda count: _samples(events, keys, count)))
    return st.one_of(
        events,
        sequences,
        samples,
        st.builds(Piped, events, _several(counted | filtering, 1)),
        st.builds(Piped, sequences | samples, _several(counted, 1)),
    )


def _steps(events: Any, keys: Any, count: int, **more: Any) -> st.SearchStrategy[Step]:
    own = st.lists(keys, min_size=count, max_size=count).map(tuple)
    return st.builds(Step, events, own, **more)


def _sequences(events: Any, keys: Any, count: int) -> st.SearchStrategy[SequenceQuery]:
    present = _steps(events, keys, count, runs=st.integers(1, 3))
    missing = _steps(events, keys, count, missing=st.just(True))
    spans = st.integers(1, 10**8) | st.sampled_from([60_000, 3_600_000, 5 * 86_400_000])
    until = st.none() | _steps(events, keys, count)
    own = st.lists(keys, max_size=2).map(tuple)
    with_span = st.builds(
        lambda first, others, own, span, until: SequenceQuery((*others, first), own, span, until),
        present,
        _several(present | missing, 1),
        own,
        spans,
        until,
    )
    without_span = st.builds(SequenceQuery, _several(present, 2), own, st.none(), until)
    return with_span | without_span


def _samples(events: Any, keys: Any, count: int) -> st.SearchStrategy[SampleQuery]:
    own = st.lists(keys, min_size=0 if count else 1, max_size=2).map(tuple)
    return st.builds(SampleQuery, _several(_steps(events, keys, count), 1), own)
