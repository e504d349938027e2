"""Generated queries: they print to text that parses to themselves, and a slow evaluator agrees.

There is no deadline: on a busy machine a large tree takes long to parse.
"""

from __future__ import annotations

from eql_evaluator import holds
from eql_trees import Words, statements, trees
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule import eql
from auditrule.eql.tree import Condition, EventQuery, Not, Statement

# Few fields and short values of few letters, so that queries often match.
NAMES = ["a", "b.c", "b.d", "b.d e", "any"]
texts = st.text('aAb*?İi"\\\n', max_size=3)
numbers = st.integers(-3, 3) | st.sampled_from([0.5, -1.0, 2.0])
few = Words(st.sampled_from(NAMES), texts | st.sampled_from(["1", "true", "0x1"]), numbers)

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
any_words = Words(
    st.sampled_from(NAMES) | st.text(min_size=1, max_size=8),
    texts | st.text(max_size=6),
    numbers | st.integers(-(10**18), 10**18) | finite,
)

special = st.sampled_from(["1", "true", "2.0", "10.1.2.3", "-1", "0x1", "aAaA"])
scalars = texts | numbers | st.booleans() | st.none() | special
# Two fields that are always there, and whose texts have much in common with those of queries.
two = Words(st.sampled_from(["a", "b"]), st.sampled_from(["a", "aA", "b", "", "1"]), numbers)
longer = st.text("aAb", min_size=1, max_size=6) | special | st.integers(-3, 12) | st.just(1.5)
full_events = st.fixed_dictionaries(
    {"a": longer | st.lists(longer, min_size=1, max_size=2), "b": longer | st.none()}
)

events = st.dictionaries(st.sampled_from(NAMES), scalars | st.lists(scalars, max_size=3))


@settings(max_examples=300, deadline=None)
@given(statements(any_words))
def test_a_tree_prints_to_text_that_parses_to_the_tree(tree: Statement) -> None:
    assert repr(eql.compile(str(tree)).tree) == repr(tree)


@settings(max_examples=500, deadline=None)
@given(trees(few).conditions, events)
def test_a_compiled_query_agrees_with_the_slow_evaluator(
    condition: Condition, event: dict[str, object]
) -> None:
    expected = holds(condition, event)
    query = eql.compile(str(EventQuery(None, condition)))
    assert query.matches(event) is expected
    assert query.matches(nested(event)) is expected


@settings(max_examples=200, deadline=None)
@given(trees(two).on_functions, full_events)
def test_a_condition_on_functions_agrees_with_the_slow_evaluator(
    condition: Condition, event: dict[str, object]
) -> None:
    for node in (condition, Not(condition)):
        query = eql.compile(str(EventQuery(None, node)))
        assert query.matches(event) is holds(node, event)


def nested(event: dict[str, object]) -> dict[str, object]:
    """Return the event with the fields below b as a mapping of their own."""
    below = {name[2:]: value for name, value in event.items() if name.startswith("b.")}
    return {"b": below} | {
        name: value for name, value in event.items() if not name.startswith("b.")
    }


@settings(deadline=None)
@given(statements(few), st.lists(events, max_size=4))
def test_no_statement_raises_for_an_event(
    statement: Statement, stream: list[dict[str, object]]
) -> None:
    list(eql.compile(str(statement)).search(stream))
