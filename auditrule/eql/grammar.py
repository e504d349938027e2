"""The grammar of EQL: text in, tree out.

The grammar itself stands at the end of the file; above it is what its parts become. Elasticsearch's
EQL parser (8.x) is the model, and what it refuses is refused here: `=`, strings in single quotes,
`not like`, a list after `==`, numbers after `:`, comparing two fields. Which operator has which
operands `precedence` finds out, what sequences and pipes may be made of `statements` knows, and
what a failure means to the query's author `diagnosis` tells.
"""

from __future__ import annotations

from dataclasses import replace
from math import isinf
from typing import Any

import pyparsing as pp

from auditrule.eql import lexical, statements
from auditrule.eql.diagnosis import explain
from auditrule.eql.errors import EqlError, EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.functions import FUNCTIONS, Kind, network
from auditrule.eql.nesting import check_nesting
from auditrule.eql.precedence import Operand, Operator, kind_of, require_condition, resolve
from auditrule.eql.regex import PatternError, regex
from auditrule.eql.statements import Word
from auditrule.eql.tokens import blanked, length_at
from auditrule.eql.tree import (
    Call,
    Condition,
    EventQuery,
    Expression,
    Field,
    Filter,
    Head,
    JoinKey,
    Literal,
    Lookup,
    Not,
    Pipe,
    Statement,
    Step,
    Tail,
    Unique,
)

# Elasticsearch takes functions' names in whatever case; Elastic's rules have cidrmatch, too.
_FUNCTIONS = {name.lower(): function for name, function in FUNCTIONS.items()}
# What stands for those of python-eql that Elasticsearch does not have.
_INSTEAD = {
    "arraycontains": "==, in and : look at every element of an array",
    "match": "use regex~",
    "matchlite": "use regex~",
    "wildcard": "use : or like",
}

# A longer run of digits is a decimal number to Elasticsearch too, whose integers have 64 bits.
_LONGEST_INTEGER = 19


def parse(text: str) -> Statement:
    """Return the tree of a query; EqlSyntaxError or EqlUnsupportedError where there is none."""
    check_nesting(text)
    try:
        # To have pyparsing pass over comments takes twice as long.
        statement: Statement = _statement.parse_string(blanked(text), parse_all=True)[0]
    except EqlError as error:
        raise type(error)(error.message, text, error.offset, error.length) from None
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
    if len(written) <= _LONGEST_INTEGER and written.isdecimal():
        return Literal(int(written))
    number = float(written)
    if isinf(number):
        raise EqlSyntaxError("the number is too large", text, at, len(written))
    return Literal(number)


def _read_signed_number(found: pp.ParseResults) -> Literal:
    sign, literal = found
    return literal if sign == "+" else Literal(-literal.value)


def _read_field(found: pp.ParseResults) -> Field:
    name: str = found[0]
    return Field(lexical.read_name(name.removeprefix("?")), optional=name.startswith("?"))


def _read_call(text: str, at: int, found: pp.ParseResults) -> Operand:
    (_, written), *arguments = found
    called = written.removesuffix("~")
    ignores_case = called != written
    function = _FUNCTIONS.get(called.lower())
    if function is None:
        hint = _INSTEAD.get(called.lower())
        message = f"there is no function {called}" + (f": {hint}" if hint else "")
        raise EqlUnsupportedError(message, text, at, len(written))
    name = function.name
    if ignores_case and function.folded is None:
        raise EqlSyntaxError(f"{name} has no form that ignores case", text, at, len(written))
    most = function.most
    if len(arguments) < function.fewest or (most is not None and len(arguments) > most):
        raise EqlSyntaxError(
            f"{name} takes {_range(function.fewest, most)}, not {len(arguments)}",
            text,
            at,
            len(written),
        )
    for position, argument in enumerate(arguments):
        _check_argument(text, name, function.parameter(position), argument)
        if name == "cidrMatch" and position > 0:
            _check_block(text, argument)
    nodes = tuple(argument.node for argument in arguments)
    return Operand(at, len(written), Call(name, nodes, ignores_case))


def _range(fewest: int, most: int | None) -> str:
    if most == fewest:
        return f"{fewest} argument{'s' * (fewest > 1)}"
    return f"{fewest} or more arguments" if most is None else f"{fewest} to {most} arguments"


def _check_argument(text: str, name: str, wanted: Kind, argument: Operand) -> None:
    node = argument.node
    if wanted is not Kind.ANY and kind_of(node) not in (wanted, Kind.ANY, Kind.NULL):
        message = f"{name} takes a {wanted} here, and {node} is a {kind_of(node)}"
        raise EqlSyntaxError(message, text, argument.at, argument.length)


def _check_block(text: str, argument: Operand) -> None:
    node = argument.node
    if isinstance(node, Literal) and isinstance(node.value, str):
        try:
            network(node.value)
        except ValueError:
            message = f"{node} is neither an IP address nor a block of them in CIDR notation"
            raise EqlSyntaxError(message, text, argument.at, argument.length) from None


def _read_operand(text: str, _at: int, found: pp.ParseResults) -> Operand:
    """Give the operand, with the signs and `not`s before it and what is looked up of it."""
    *prefixes, subject, lookup = found
    operand: Operand = subject if lookup is None else _read_lookup(text, subject, lookup)
    return replace(operand, prefixes=tuple(prefixes))


def _read_lookup(text: str, subject: Operand, lookup: list[Any]) -> Operand:
    (_, operator), *values = lookup
    name = operator.removeprefix("not ")
    for value in values:
        _check_value(text, name, value)
    tree = Lookup(subject.node, name, tuple(literal for _, literal in values))
    return replace(subject, node=tree if name == operator else Not(tree))


def _check_value(text: str, operator: str, value: tuple[int, Literal]) -> None:
    at, literal = value
    if literal.value is None:
        message = "null is neither in a list nor like a pattern: use == null"
        raise EqlSyntaxError(message, text, at, len("null"))
    if operator != "in" and not isinstance(literal.value, str):
        use = "in" if operator == "in~" else "=="
        message = f"{operator!r} takes strings only: use {use} with {literal}"
        raise EqlSyntaxError(message, text, at, len(str(literal)))
    if operator.startswith("regex"):
        try:
            regex(str(literal.value), ignore_case=operator == "regex~")
        except PatternError as error:
            kind = EqlSyntaxError if error.wrong else EqlUnsupportedError
            raise kind(str(error), text, at, len(str(literal))) from None


def _read_group(found: pp.ParseResults) -> Operand:
    (at, _), inner = found
    return Operand(at, 1, inner.node)


def _read_condition(text: str, _at: int, found: pp.ParseResults) -> Condition:
    return require_condition(text, found[0])


def _read_event_query(found: pp.ParseResults) -> EventQuery:
    category, condition = found
    if isinstance(category, Literal):
        return EventQuery(str(category.value), condition)
    return EventQuery(None if category == "any" else category, condition)


def _read_step(text: str, _at: int, found: pp.ParseResults) -> tuple[Word, Step]:
    opening, query, keys, runs = found
    return opening, statements.read_step(text, opening, query, keys, runs)


def _read_counted(text: str, _at: int, found: pp.ParseResults) -> tuple[Word, Pipe]:
    name, count = found
    kind = Head if name.text == "head" else Tail
    return name, kind(statements.read_count(text, count))


def _refuse_pipe(text: str, _at: int, found: pp.ParseResults) -> None:
    raise statements.unknown_pipe(text, found[0])


def _placed(token: pp.ParserElement) -> pp.ParserElement:
    """Match a single token and give it as a pair with its place, for errors that come up later."""
    return token.copy().add_parse_action(lambda _text, at, found: [(at, found[0])])


def _operand(token: pp.ParserElement) -> pp.ParserElement:
    """Match a token that stands for a value, and give it with its place."""

    def read(text: str, at: int, found: pp.ParseResults) -> Operand:
        node: Expression = found[0]
        return Operand(at, length_at(text, at), node)

    return token.copy().add_parse_action(read)


def _as_word(token: pp.ParserElement) -> pp.ParserElement:
    """Match a token and give its text with its place."""
    return token.copy().add_parse_action(lambda _text, at, found: Word(at, found[0]))


def _operator(*words: str) -> pp.ParserElement:
    return pp.Regex("|".join(words)).add_parse_action(
        lambda _text, at, found: Operator(at, found[0])
    )


def _word(*words: str) -> pp.ParserElement:
    """Match a keyword, and not the beginning of a longer word."""
    return pp.Regex(f"(?:{'|'.join(words)})(?![A-Za-z0-9_~])").set_name(
        " or ".join(map(repr, words))
    )


def _sign(sign: str) -> pp.ParserElement:
    return pp.Suppress(sign).set_name(repr(sign))


def _list(element: pp.ParserElement) -> pp.ParserElement:
    return element + pp.ZeroOrMore(_comma - element)


_WORDS = {"null": None, "true": True, "false": False}
_NO_KEYWORD = rf"(?!(?:{'|'.join(sorted(lexical.KEYWORDS))})(?![A-Za-z0-9_]))"
_BLANK = rf"(?:\s|{lexical.COMMENT})*"

# --- the grammar: an expression ----------------------------------------------------------------

_open, _close, _comma = map(_sign, "(),")
_where, _by, _with, _until = (
    _word(word).suppress().set_name(repr(word)) for word in ("where", "by", "with", "until")
)
_not = _word("not")

_string = pp.Regex(f"{lexical.RAW_STRING}|{lexical.STRING}").add_parse_action(_read_string)
_number = pp.Regex(rf"{lexical.NUMBER}(?![A-Za-z0-9_.])").add_parse_action(_read_number)
_boolean = _word("true", "false").add_parse_action(lambda found: Literal(_WORDS[found[0]]))
_null = _word("null").add_parse_action(lambda: Literal(None))
_literal = _string | _number | _boolean | _null
_signed = (pp.one_of("+ -") + _number).add_parse_action(_read_signed_number)
_value = pp.MatchFirst(map(_placed, (_string, _number, _signed, _boolean, _null))).set_name(
    "a value"
)
_values = (_open + _list(_value) - _close).set_name("a list: (…, …)")

_name = pp.Regex(rf"\??{_NO_KEYWORD}{lexical.DOTTED_NAME}").set_name("a field")
_field = _name.copy().add_parse_action(_read_field)

_like = _word("like~", "like", "regex~", "regex") | pp.Literal(":")
_not_in = (_not + _word("in~", "in")).add_parse_action(" ".join)
_in = _word("in~", "in") | _not_in
_lookup = pp.Group(
    _placed(_like) - (_value | _values).set_name("a value") | _placed(_in) - _values, aslist=True
)

_expression = pp.Forward()
_call = (
    _placed(pp.Regex(rf"{_NO_KEYWORD}{lexical.NAME}~?(?={_BLANK}\()"))
    + _open
    - pp.Opt(_list(_expression))
    - _close
).add_parse_action(_read_call)
_group = (_placed(pp.Literal("(")) + _expression - _close).add_parse_action(_read_group)
_subject = (_group | _call | _operand(_field) | _operand(_literal)).set_name("an operand")
_prefix = _operator(r"not(?![A-Za-z0-9_~])", "[+-]")
_term = pp.ZeroOrMore(_prefix) + _subject + pp.Opt(_lookup, default=None)
_term.add_parse_action(_read_operand)
_binary = _operator(r"(?:and|or)(?![A-Za-z0-9_~])", "==|!=|<=|>=|<|>", r"[+*%-]|/(?![/*])")
_expression <<= _term + pp.ZeroOrMore(_binary - _term)
_expression.add_parse_action(lambda text, _at, found: resolve(text, found))
_condition = _expression.copy().add_parse_action(_read_condition).set_name("a condition")

# --- the grammar: a statement ------------------------------------------------------------------

_category = (pp.Regex(_NO_KEYWORD + lexical.NAME) | _word("any") | _string).set_name(
    "an event category or any"
)
_event_query = (_category - _where - _condition).add_parse_action(_read_event_query)

_key = _field.copy().add_parse_action(lambda found: JoinKey(found[0].name, found[0].optional))
_keys = pp.Group(pp.Opt(_by - _list(_key.set_name("a field"))), aslist=True)
_number_word = _as_word(pp.Regex(r"[0-9]+(?![A-Za-z0-9_.])").set_name("a whole number"))
_span = _as_word(pp.Regex(r"[0-9][0-9.]*(?:\s*[A-Za-z]+)?").set_name("a time, such as 5m"))
_maxspan = (_with + _word("maxspan").suppress() - _sign("=") - _span).add_parse_action(
    lambda text, _at, found: statements.read_maxspan(text, found[0])
)
_runs = _with - _word("runs").suppress() - _sign("=") - _number_word
_opening = _as_word(pp.Regex(r"!?\[").set_name("'['"))
_step = (
    _opening - _event_query - _sign("]") - _keys - pp.Opt(_runs, default=None)
).add_parse_action(_read_step)
_steps = pp.Group(_step - pp.ZeroOrMore(_step), aslist=True)
_sequence = (
    _as_word(_word("sequence"))
    - _keys
    - pp.Opt(_maxspan, default=None)
    - _steps
    - pp.Opt(_until - _step, default=None)
).add_parse_action(lambda text, _at, found: statements.read_sequence(text, *found))
_sample = (_as_word(_word("sample")) - _keys - _steps).add_parse_action(
    lambda text, _at, found: statements.read_sample(text, *found)
)

_counted = (_as_word(_word("head", "tail")) - _number_word).add_parse_action(_read_counted)
_filter = (_as_word(_word("filter")) - _condition).add_parse_action(
    lambda found: (found[0], Filter(found[1]))
)
_unique = (_as_word(_word("unique")) - _list(_field)).add_parse_action(
    lambda found: (found[0], Unique(tuple(found[1:])))
)
_other = _as_word(pp.Regex(lexical.NAME).set_name("a pipe")).add_parse_action(_refuse_pipe)
_pipe = _sign("|") - (_counted | _filter | _unique | _other).set_name("a pipe")

_source = (_sequence | _sample | _event_query).set_name("an event category or any")
_statement = _source + pp.Group(pp.ZeroOrMore(_pipe), aslist=True)
_statement.add_parse_action(lambda text, _at, found: statements.read_piped(text, *found))
_statement.parse_with_tabs()
