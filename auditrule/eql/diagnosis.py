"""Why a text is no query: what the grammar's failure at some place means to the query's author."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.eql import lexical
from auditrule.eql.errors import EqlError, EqlSyntaxError, EqlUnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parentheses and `not` within each other. The grammar recurses for each, 18 frames of Python deep.
# Elastic's own rules go ten deep.
DEEPEST = 32

_LOOKUPS = frozenset({"in", "in~", ":", "like", "like~"})
_NOT_NEGATED = frozenset({":", "like", "like~", "regex", "regex~"})
_OPERATORS = _LOOKUPS | {"==", "!=", "<", "<=", ">", ">="}
# Keywords that are no part of a condition, so that a field's name may be meant.
_RESERVED = lexical.KEYWORDS - {"and", "or", "not", "in", "like", "regex", "true", "false", "null"}

_token = re.compile(
    rf"(?P<comment>{lexical.COMMENT})"
    rf"|(?P<value>{lexical.RAW_STRING}|{lexical.STRING}|{lexical.NUMBER}[A-Za-z0-9_.]*)"
    rf"|(?P<name>\??{lexical.DOTTED_NAME}~?)"
    r"|(?P<sign>==|!=|<=|>=|/(?![/*])|[<>=:!+*%.,()\[\]|-])"
)
_space = re.compile(r"\s*")
_string_start = re.compile(rf'"(?:{lexical.ESCAPE}|[^\r\n"\\])*')
_LONGEST_QUOTED = 40


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def quoted(self) -> str:
        text = self.text if len(self.text) <= _LONGEST_QUOTED else self.text[:_LONGEST_QUOTED] + "…"
        return text if text.startswith(('"', "`")) else f"'{text}'"


def check_nesting(text: str) -> None:
    """Raise EqlUnsupportedError where conditions are nested more than DEEPEST deep."""
    opened: list[int] = []
    depth = pending = 0
    for token in _tokens(text):
        if token.text == "not":
            pending += 1
        elif token.text == "(":
            opened.append(pending + 1)
            depth += pending + 1
            pending = 0
        else:
            pending = 0
            if token.text == ")" and opened:
                depth -= opened.pop()
        if depth + pending > DEEPEST:
            raise EqlUnsupportedError(
                f"conditions nested more than {DEEPEST} deep are not supported",
                text,
                token.start,
                len(token.text),
            )


def explain(text: str, offset: int, expected: str) -> EqlError:
    """Return the error for a text in which the grammar expected something else at the offset."""
    before: list[_Token] = []
    tokens = _tokens(text)
    for token in tokens:
        if token.kind == "other" and token.start <= max(offset, _end(before, text)):
            return _lexical_error(text, token)
        if token.start >= offset:
            following = next(tokens, None)
            return _at_token(text, before, token, following, expected)
        before.append(token)
    return _at_end(text, before, expected)


def _end(before: list[_Token], text: str) -> int:
    """Return where the token after these would begin."""
    return _skip(text, before[-1].end if before else 0)


def _tokens(text: str) -> Iterator[_Token]:
    """Give the tokens but for comments; what is no token is one of kind "other", and the last."""
    position = _skip(text, 0)
    while position < len(text):
        match = _token.match(text, position)
        if match is None:
            yield _Token("other", text[position], position)
            return
        if match.lastgroup != "comment":
            yield _Token(str(match.lastgroup), match[0], position)
        position = _skip(text, match.end())


def _skip(text: str, position: int) -> int:
    match = _space.match(text, position)
    return match.end() if match else position


def _lexical_error(text: str, token: _Token) -> EqlSyntaxError:
    at = token.start
    if text.startswith('"""', at):
        return EqlSyntaxError("the raw string never ends on its line", text, at, 3)
    if token.text == '"':
        start = _string_start.match(text, at)
        end = start.end() if start else at + 1
        if text[end : end + 1] != "\\":
            return EqlSyntaxError("the string never ends on its line", text, at, end - at)
        return EqlSyntaxError(
            f"unknown escape {text[end : end + 2]} (a backslash is written \\\\)", text, end, 2
        )
    if token.text == "'":
        return EqlSyntaxError('strings stand in double quotes: "…"', text, at)
    if token.text == "`":
        return EqlSyntaxError("the back-quoted name is empty or never ends", text, at)
    if text.startswith("/*", at):
        return EqlSyntaxError("the comment never ends", text, at, 2)
    return EqlSyntaxError(f"unexpected character {token.text!r}", text, at)


def _at_end(text: str, before: list[_Token], expected: str) -> EqlError:
    if not before:
        return EqlSyntaxError("the query is empty", text, 0)
    last = before[-1]
    unclosed = _unclosed(before)
    if unclosed and (last.kind == "value" or last.text == ")" or _is_field(last)):
        return EqlSyntaxError("'(' is never closed", text, unclosed[-1].start)
    return EqlSyntaxError(f"expected {expected} after {last.quoted}", text, last.end)


def _at_token(
    text: str, before: list[_Token], token: _Token, following: _Token | None, expected: str
) -> EqlError:
    if not before:
        if token.text in ("sequence", "sample", "join"):
            return _refusal(text, token, f"a {token.text}")
        return _syntax(text, token, f"expected {expected}, found {token.quoted}")
    last = before[-1]
    if expected == "'where'" and token.kind == "sign":
        message = "an event category of more than letters, digits and _ stands in double quotes"
        return _syntax(text, token, message)
    error = _unsupported(text, last, token) or _mistaken_word(text, last, token, following)
    if error is not None:
        return error
    if token.text == ")" and not _unclosed(before):
        return _syntax(text, token, "')' closes nothing")
    if token.text in _RESERVED and expected == "a condition":
        message = f"{token.quoted} is a keyword: the field of that name is written `{token.text}`"
        return _syntax(text, token, message)
    if token.text == "," and expected == "')'":
        return _syntax(text, token, "expected one value: a list goes with in, : or like")
    if expected == "end of text":
        expected = "an operator" if _is_field(last) else "'and', 'or' or the end"
    return _syntax(text, token, f"expected {expected} after {last.quoted}, found {token.quoted}")


def _unsupported(text: str, last: _Token, token: _Token) -> EqlUnsupportedError | None:
    """Return the error for the parts of EQL that the grammar does not have, else None."""
    follows_field = _is_field(last)
    if token.text == "(" and follows_field and last.end == token.start:
        return _refusal(text, last, f"the function {last.text}")
    if token.text in ("regex", "regex~"):
        return _refusal(text, token, token.text)
    if token.text in ("+", "-", "*", "/", "%"):
        return _refusal(text, token, f"arithmetic ({token.text})")
    if token.text == "of" and follows_field:
        return _refusal(text, last, f"{last.text} of")
    if token.text == "[" and follows_field:
        return _refusal(text, token, "an index into an array")
    if token.text == "|":
        return _refusal(text, token, "a pipe")
    if token.text in _OPERATORS and last.text == ")":
        return _refusal(text, token, "comparing what stands in parentheses")
    return None


def _mistaken_word(
    text: str, last: _Token, token: _Token, following: _Token | None
) -> EqlSyntaxError | None:
    """Return the error for a word of another language or of another place, else None."""
    word = token.text
    lower = word.lower()
    if word == "=":
        return _syntax(text, token, "unknown operator '=': use == or :")
    if word == "!":
        return _syntax(text, token, "unknown operator '!': use not, or != for not equal")
    if word != lower and lower.rstrip("~") in lexical.KEYWORDS:
        return _syntax(text, token, f"keywords are in lower case: {lower}")
    if word == "not" and following is not None and following.text in _NOT_NEGATED:
        message = f"'not' stands before the field: not … {following.text} …"
        return _syntax(text, token, message)
    if word in _LOOKUPS and last.kind == "value":
        return _syntax(text, last, f"expected a field before {token.quoted}")
    return None


def _syntax(text: str, token: _Token, message: str) -> EqlSyntaxError:
    return EqlSyntaxError(message, text, token.start, len(token.text))


def _refusal(text: str, token: _Token, construct: str) -> EqlUnsupportedError:
    return EqlUnsupportedError(f"{construct} is not supported", text, token.start, len(token.text))


def _unclosed(tokens: list[_Token]) -> list[_Token]:
    opened: list[_Token] = []
    for token in tokens:
        if token.text == "(":
            opened.append(token)
        elif token.text == ")" and opened:
            opened.pop()
    return opened


def _is_field(token: _Token) -> bool:
    return token.kind == "name" and token.text not in lexical.KEYWORDS
