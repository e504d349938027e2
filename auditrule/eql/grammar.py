"""The grammar of EQL: text in, tree out.

The grammar itself stands at the end of the file; above it is what its parts become. Elasticsearch's
EQL parser (8.x) is the model, and what it refuses is refused here: `=`, strings in single quotes,
`not like`, a list after `==`, numbers after `:`, comparing two fields. The grammar has only what
this engine runs; what the rest of EQL is called, so as to refuse it by name, `diagnosis` knows.
"""

from __future__ import annotations

from math import isinf
from typing import TypeAlias

import pyparsing as pp

from auditrule.eql import lexical
from auditrule.eql.diagnosis import check_nesting, explain
from auditrule.eql.errors import EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.tree import (
    And,
    Comparison,
    Condition,
    EventQuery,
    Field,
    Literal,
    Lookup,
    Not,
    Operand,
    Or,
    Statement,
)

# A longer run of digits is a decimal number to Elasticsearch too, whose integers have 64 bits.
_LONGEST_INTEGER = 19

_Placed: TypeAlias = tuple[int, Literal]


def parse(text: str) -> Statement:
    """Return the tree of a query; EqlSyntaxError or EqlUnsupportedError where there is none."""
    check_nesting(text)
    try:
        statement: Statement = _query.parse_string(text, parse_all=True)[0]
    except pp.ParseBaseException as failure:
        raise explain(text, failure.loc, str(failure.msg).removeprefix("Expected ")) from None
    except RecursionError:
        raise EqlUnsupportedError("the query is nested too deeply", text, 0) from None
    return statement


def _read_string(text: str, at: int, found: pp.ParseResults) -> Literal:
    try:
        return Literal(lexical.read_string(found[0]))
    except ValueError as error:
        raise EqlSyntaxError(str(error), text, at, len(found[0])) from None


def _read_number(text: str, at: int, found: pp.ParseResults) -> Literal:
    written: str = found[0]
    digits = written.lstrip("+-")
    if len(digits) <= _LONGEST_INTEGER and digits.isdecimal():
        return Literal(int(written))
    number = float(written)
    if isinf(number):
        raise EqlSyntaxError("the number is too large", text, at, len(written))
    return Literal(number)


def _read_field(found: pp.ParseResults) -> Field:
    name: str = found[0]
    return Field(lexical.read_name(name.removeprefix("?")), optional=name.startswith("?"))


def _read_comparison(text: str, _at: int, found: pp.ParseResults) -> Comparison:
    (_, left), (at, operator), (right_at, right) = found
    if isinstance(left, Field) and isinstance(right, Field):
        message = "comparing two fields is not supported (nor is it in Elasticsearch)"
        raise EqlUnsupportedError(message, text, right_at, len(str(right)))
    for operand in (left, right):
        if operator not in ("==", "!=") and _is_unordered(operand):
            message = f"{operand} has no order: use == or !="
            raise EqlSyntaxError(message, text, at, len(operator))
    return Comparison(left, operator, right)


def _is_unordered(operand: Operand) -> bool:
    return isinstance(operand, Literal) and isinstance(operand.value, bool | None)


def _read_lookup(text: str, _at: int, found: pp.ParseResults) -> Condition:
    (_, field), operator, *values = found
    name = operator.removeprefix("not ")
    for value in values:
        _check_value(text, name, value)
    lookup = Lookup(field, name, tuple(literal for _, literal in values))
    return lookup if name == operator else Not(lookup)


def _check_value(text: str, operator: str, value: _Placed) -> None:
    at, literal = value
    if literal.value is None:
        message = "null is neither in a list nor like a pattern: use == null"
        raise EqlSyntaxError(message, text, at, len("null"))
    if operator != "in" and not isinstance(literal.value, str):
        use = "in" if operator == "in~" else "=="
        message = f"{operator!r} takes strings only: use {use} with {literal}"
        raise EqlSyntaxError(message, text, at, len(str(literal)))


def _read_negation(found: pp.ParseResults) -> Condition:
    *negations, condition = found
    negated: Condition = condition
    for _ in negations:
        negated = Not(negated)
    return negated


def _read_conjunction(found: pp.ParseResults) -> Condition:
    return found[0] if len(found) == 1 else And(tuple(found))


def _read_disjunction(found: pp.ParseResults) -> Condition:
    return found[0] if len(found) == 1 else Or(tuple(found))


def _read_event_query(found: pp.ParseResults) -> EventQuery:
    category, condition = found
    if isinstance(category, Literal):
        return EventQuery(str(category.value), condition)
    return EventQuery(None if category == "any" else category, condition)


def _placed(token: pp.ParserElement) -> pp.ParserElement:
    """Match a single token and give it as a pair with its place, for errors that come up later."""
    return token.copy().add_parse_action(lambda _text, at, found: [(at, found[0])])


def _word(*words: str) -> pp.ParserElement:
    """Match a keyword, and not the beginning of a longer word."""
    return pp.Regex(f"(?:{'|'.join(words)})(?![A-Za-z0-9_~])").set_name(
        " or ".join(map(repr, words))
    )


_WORDS = {"null": None, "true": True, "false": False}
_NO_KEYWORD = rf"(?!(?:{'|'.join(sorted(lexical.KEYWORDS))})(?![A-Za-z0-9_]))"

# --- the grammar -----------------------------------------------------------------------------

_open, _close, _comma = (pp.Suppress(sign).set_name(repr(sign)) for sign in "(),")
_where, _and, _or = (_word(word).suppress().set_name(repr(word)) for word in ("where", "and", "or"))
_not = _word("not")

_string = pp.Regex(f"{lexical.RAW_STRING}|{lexical.STRING}").add_parse_action(_read_string)
_number = pp.Regex(rf"[+-]?{lexical.NUMBER}(?![A-Za-z0-9_.])").add_parse_action(_read_number)
_boolean = _word("true", "false").add_parse_action(lambda found: Literal(_WORDS[found[0]]))
_null = _word("null").add_parse_action(lambda: Literal(None))
_value = pp.MatchFirst(map(_placed, (_string, _number, _boolean, _null))).set_name("a value")

_name = pp.Regex(rf"\??{_NO_KEYWORD}{lexical.DOTTED_NAME}").add_parse_action(_read_field)
_field = _placed(_name).set_name("a field")

_one_value = (_value | _field | _open + _value - _close).set_name("a value")
_list = (_open + _value + pp.ZeroOrMore(_comma - _value) - _close).set_name("a list: (…, …)")
_one_or_more = (_value | _list).set_name("a value")

_compare = _placed(pp.Regex("==|!=|<=|>=|<|>")).set_name("an operator")
_like = pp.Literal(":") | _word("like", "like~")
_not_in = (_not + _word("in", "in~")).add_parse_action(lambda found: " ".join(found))
_in = _word("in", "in~") | _not_in

_comparison = ((_field | _value) + _compare - _one_value).add_parse_action(_read_comparison)
_lookup = (_field + (_like - _one_or_more | _in - _list)).add_parse_action(_read_lookup)

_condition = pp.Forward()
_group = _open + _condition - _close
_term = (_group | _lookup | _comparison | _name | _boolean).set_name("a condition")
_negation = (pp.ZeroOrMore(_not) + _term).add_parse_action(_read_negation)
_conjunction = (_negation + pp.ZeroOrMore(_and - _negation)).add_parse_action(_read_conjunction)
_condition <<= (_conjunction + pp.ZeroOrMore(_or - _conjunction)).add_parse_action(
    _read_disjunction
)

_category = (pp.Regex(_NO_KEYWORD + lexical.NAME) | _word("any") | _string).set_name(
    "an event category or any"
)
_query = (_category - _where - _condition).add_parse_action(_read_event_query)
_query.ignore(pp.Regex(lexical.COMMENT)).parse_with_tabs()
