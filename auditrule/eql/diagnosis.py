"""Why a text is no query: what the grammar's failure at some place means to the query's author.

The grammar says what it expected, by the names that it gives its elements, and where. The tokens
around that place tell what the author may have had in mind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditrule.eql import lexical
from auditrule.eql.errors import EqlError, EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.functions import FUNCTIONS
from auditrule.eql.tokens import Token, skip, tokens

_LIKE = frozenset({":", "like", "like~", "regex", "regex~"})
_LOOKUPS = _LIKE | {"in", "in~"}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
# Keywords that are no part of a condition, so that a field's name may be meant.
_RESERVED = lexical.KEYWORDS - {"and", "or", "not", "in", "true", "false", "null"}
# After these a condition begins, after any other operator a value.
_BEFORE_CONDITION = frozenset({"where", "filter", "and", "or", "not"})
# What ends an operand, values and fields aside.
_ENDING = frozenset({")", "]", "true", "false", "null"})
_OF_SEQUENCES = frozenset({"by", "with", "until"})

_FUNCTIONS = frozenset(name.lower() for name in FUNCTIONS)

# What other languages write, and what EQL does.
_OTHER_SIGNS = {
    "=": "unknown operator '=': use == or :",
    "!": "unknown operator '!': use not, or != for not equal",
    "&": "unknown operator '&': use and",
    "~": "unknown operator '~': use :, like~ or regex~",
    "'": 'strings stand in double quotes: "…"',
    ";": "a query ends without ';'",
}
_OTHER_WORDS = {
    "is": "unknown operator 'is': use == null or != null",
    "contains": "unknown operator 'contains': use : \"*…*\" or stringContains(…)",
    "matches": "unknown operator 'matches': use : or regex",
}

_string_start = re.compile(rf'"(?:{lexical.ESCAPE}|[^\r\n"\\])*')


def explain(text: str, offset: int, expected: str) -> EqlError:
    """Return the error for a text in which the grammar expected something else at the offset."""
    before: list[Token] = []
    ahead = tokens(text)
    for token in ahead:
        if token.kind == "other" and token.start <= max(offset, skip(text, _end(before))):
            return _lexical_error(text, token)
        if token.start >= offset:
            return _Failure(text, before, token, next(ahead, None), expected).error()
        before.append(token)
    return _at_end(text, before, expected)


def _end(before: list[Token]) -> int:
    return before[-1].end if before else 0


def _lexical_error(text: str, token: Token) -> EqlSyntaxError:
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
    if text.startswith(('?"', "?'"), at):
        return EqlSyntaxError('a raw string is written """…"""', text, at, 2)
    if token.text == "?":
        return EqlSyntaxError("'?' stands directly before an optional field's name", text, at)
    if token.text == "`":
        return EqlSyntaxError("the back-quoted name is empty or never ends", text, at)
    if text.startswith("/*", at):
        return EqlSyntaxError("the comment never ends", text, at, 2)
    message = _OTHER_SIGNS.get(token.text, f"unexpected character {token.text!r}")
    return EqlSyntaxError(message, text, at)


def _at_end(text: str, before: list[Token], expected: str) -> EqlError:
    if not before:
        return EqlSyntaxError("the query is empty", text, 0)
    last = before[-1]
    unclosed = _unclosed(before)
    if unclosed and (last.kind == "value" or last.text in _ENDING or last.is_field):
        return _never_closed(text, before[unclosed[-1]])
    named = _named(expected, before)
    return EqlSyntaxError(f"expected {named} after {last.quoted}", text, last.end)


def _never_closed(text: str, opening: Token) -> EqlSyntaxError:
    return EqlSyntaxError(f"'{opening.text}' is never closed", text, opening.start)


def _named(expected: str, before: list[Token]) -> str:
    """Return the name of what the grammar expected, as it is to be called at this place."""
    if expected == "end of text":
        return _continuation(before)
    last = before[-1] if before else None
    if last is None or (expected != "an operand" and not (expected == "')'" and last.text == "(")):
        return expected
    if last.text in _BEFORE_CONDITION:
        return "a condition"
    if last.text != "(" or len(before) < 2:
        return "a value"
    # What stands before the parenthesis tells whether it is a group of conditions.
    opened = before[-2]
    return "a condition" if opened.text in (*_BEFORE_CONDITION, "(") else "a value"


def _continuation(before: list[Token]) -> str:
    """Return what may stand where the query could also end."""
    if _pipe(before) in ("head", "tail", "unique"):
        return "'|' or the end"
    if _is_sequence(before) and _pipe(before) is None:
        return "'[', '|' or the end"
    return "an operator" if before[-1].is_field else "'and', 'or' or the end"


def _is_sequence(before: list[Token]) -> bool:
    return bool(before) and before[0].text in ("sequence", "sample")


def _pipe(before: list[Token]) -> str | None:
    """Return the name of the pipe that the tokens end in, None where they end in none."""
    for place in range(len(before) - 1, 0, -1):
        if before[place - 1].text == "|":
            return before[place].text
    return None


def _unclosed(before: list[Token]) -> list[int]:
    """Return the places of the parentheses and brackets that are open."""
    opened: list[int] = []
    for place, token in enumerate(before):
        if token.text in ("(", "["):
            opened.append(place)
        elif token.text in (")", "]") and opened:
            opened.pop()
    return opened


@dataclass(frozen=True, slots=True)
class _Failure:
    """The tokens before the place where the grammar failed, and the one and the next there."""

    text: str
    before: list[Token]
    token: Token
    following: Token | None
    expected: str

    def error(self) -> EqlError:
        """Return the error, of the first kind that it is."""
        for known in (
            self._beginning,
            self._foreign_construct,
            self._foreign_operator,
            self._misplaced_word,
            self._misplaced_list,
        ):
            if (error := known()) is not None:
                return error
        if self.token.text == ")" and not _unclosed(self.before):
            return self._syntax("')' closes nothing")
        after = f" after {self.before[-1].quoted}" if self.before else ""
        named = _named(self.expected, self.before)
        return self._syntax(f"expected {named}{after}, found {self.token.quoted}{self._hint()}")

    @property
    def _last(self) -> Token | None:
        return self.before[-1] if self.before else None

    def _syntax(self, message: str) -> EqlSyntaxError:
        return EqlSyntaxError(message, self.text, self.token.start, len(self.token.text))

    def _unsupported(self, construct: str, token: Token) -> EqlUnsupportedError:
        message = f"{construct} is not supported (nor is it in Elasticsearch)"
        return EqlUnsupportedError(message, self.text, token.start, len(token.text))

    def _beginning(self) -> EqlError | None:
        """Return the error where the statement's beginning is wrong."""
        last, token = self._last, self.token
        if last is None:
            return self._unsupported("a join", token) if token.text == "join" else None
        if self.expected != "'where'":
            return None
        if token.text in _COMPARISONS | _LOOKUPS:
            field = last.text
            message = f"a query begins with its event category: any where {field} {token.text} …"
            return self._syntax(message)
        if token.text in (",", "or", "and"):
            return self._syntax('several categories are any where event.category in ("…", "…")')
        if token.text in ("-", "."):
            message = "an event category of more than letters, digits and _ stands in double quotes"
            return self._syntax(message)
        return None

    def _foreign_construct(self) -> EqlError | None:
        """Return the error for what EQL was meant to have, and neither Elasticsearch has."""
        last, token = self._last, self.token
        if last is None or not last.is_field:
            return None
        if token.text == "of":
            return self._unsupported(f"{last.text} of", last)
        if token.text == "[" and token.start == last.end:
            return self._unsupported("an index into an array", token)
        if token.text == "(" and self.expected == "'['":
            return self._syntax("a join key is a field, not a function")
        if token.text == "(" and _pipe(self.before) == "unique":
            return self._syntax("unique takes fields, not functions")
        return None

    def _foreign_operator(self) -> EqlError | None:
        """Return the error for an operator of another language, or written wrongly."""
        token = self.token
        word, lower = token.text, token.text.lower()
        last = self._last.text if self._last else ""
        if word == "|" and last == "|":
            return self._syntax("unknown operator '||': use or")
        if word == ">" and last == "<":
            return self._syntax("unknown operator '<>': use !=")
        if word == ".":
            return self._syntax("a field's name neither begins nor ends with a dot")
        following = self.following.text if self.following else ""
        if word == "!" and following == "[":
            return self._syntax("a missing event is written ![…], without a blank")
        if word in _OTHER_SIGNS:
            return self._syntax(_OTHER_SIGNS[word])
        if word != lower and lower.rstrip("~") in lexical.KEYWORDS:
            return self._syntax(f"keywords are in lower case: {lower}")
        if word == "not" and (following in _LIKE or following in _COMPARISONS):
            return self._syntax(f"'not' stands before the field: not … {following} …")
        if self.expected != "end of text" or token.kind != "name":
            return None
        name = word.removesuffix("~")
        if name.lower() in _FUNCTIONS:
            return self._syntax(f"{name} is a function: {name}(…)")
        return self._syntax(_OTHER_WORDS[name]) if name in _OTHER_WORDS else None

    def _misplaced_word(self) -> EqlError | None:
        """Return the error for a keyword that stands elsewhere."""
        word, expected = self.token.text, self.expected
        if word in _RESERVED and expected == "an operand":
            if word in _LOOKUPS:
                return self._syntax(f"expected a field before {self.token.quoted}")
            message = f"'{word}' is a keyword: the field of that name is written `{word}`"
            return self._syntax(message)
        if word in _OF_SEQUENCES and expected == "end of text" and not _is_sequence(self.before):
            return self._syntax(f"'{word}' belongs to a sequence or a sample")
        if word == "until" and _is_sequence(self.before) and self.before[0].text == "sample":
            return self._syntax("a sample has no until")
        if expected == "'['" and word == "by":
            return self._syntax("'by' stands before 'with'")
        if expected == "'['" and word == "with":
            return self._misplaced_with()
        if expected == "'runs'" and word == "maxspan":
            return self._syntax(
                "'with maxspan' stands before the first event: … with maxspan=… […]"
            )
        return None

    def _misplaced_with(self) -> EqlError:
        if self.following is not None and self.following.text == "runs":
            return self._syntax("'with runs' stands after its event: […] with runs=…")
        if self.before[0].text == "sample":
            return self._syntax("a sample has no maxspan")
        return self._syntax("expected 'with maxspan=…' or '['")

    def _misplaced_list(self) -> EqlError | None:
        last, token = self._last, self.token
        if last is None:
            return None
        if token.text == "," and self.expected == "')'" and last.text != "(":
            return self._syntax("expected one value: a list goes with in, :, like or regex")
        if token.text == "[" and self.expected == "']'":
            return _never_closed(self.text, self.before[_unclosed(self.before)[-1]])
        if token.text == "[" and last.text in _LOOKUPS | _COMPARISONS:
            return self._syntax("a list stands in parentheses: (…, …)")
        return None

    def _hint(self) -> str:
        """Return what to add to a message where a string may be meant."""
        wants_string = self.expected == "a value" and self._last is not None
        is_bare = self.token.is_field or self.token.text in ("*", "/", "%")
        return ": strings stand in double quotes" if wants_string and is_bare else ""
