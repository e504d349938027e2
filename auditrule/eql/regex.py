r"""Lucene's regular expressions, run by RE2 in time linear in the value's length.

`regex` matches the whole value. What Lucene's `RegExp` (9.x) has: `.` (any character, a line's end
too), `|`, `?`, `*`, `+`, `{n}`, `{n,}`, `{n,m}`, groups, classes with ranges, `\d \D \s \S \w \W`,
`"…"` (the text as it stands), `@` (any text), `#` (nothing at all), and a backslash before any
other character to take it as itself. `^` and `$` are characters like any other, for a pattern is
anchored anyway. What RE2 cannot do in linear time is refused: `~` (not), `&` (and), `<1-9>`.

`regex~` folds case for the letters of ASCII only, in classes too (as Lucene does from 10 on).

Source: the documentation of Elasticsearch's "Regular expression syntax" and Lucene's RegExp class.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Matcher = Callable[[str], bool]

_CLASSES = {
    "d": "0-9",
    "D": r"^0-9",
    "s": r" \t\n\r",
    "S": r"^ \t\n\r",
    "w": "A-Za-z0-9_",
    "W": "^A-Za-z0-9_",
}
_NEGATED_CLASSES = frozenset("DSW")
_REFUSED = {"~": "the complement (~)", "&": "the intersection (&)", "<": "the interval (<…>)"}
_NOTHING = r"[^\x{0}-\x{10FFFF}]"
_repeat = re.compile(r"\{[0-9]{1,9}(?:,[0-9]{0,9})?\}")
_MOST_MEMORY = 1 << 24


class PatternError(ValueError):
    """A pattern that is not run: because it is `wrong`, or because it asks for too much."""

    def __init__(self, message: str, *, wrong: bool = True) -> None:
        self.wrong = wrong
        super().__init__(message)


@cache
def _re2() -> Any:
    """Import RE2 where a query needs it: few do, and it costs a tenth of a second."""
    import re2

    return re2


def regex(pattern: str, *, ignore_case: bool) -> Matcher:
    """Return a function that tells whether a value as a whole matches the pattern.

    Raises PatternError where the pattern is none, or is more than RE2 can run.
    """
    re2 = _re2()
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    translation = _Translation(pattern, ignore_case)
    try:
        compiled = re2.compile(translation.result, options)
    except re2.error as error:
        text = error.args[0]
        reason = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise PatternError(f"the regular expression is not run: {reason}", wrong=False) from None
    # RE2's Set would take half the time, but finds nothing where its memory does not suffice.
    full: Callable[[str], object] = compiled.fullmatch
    needed = tuple(sorted(translation.needed))

    def match(value: str) -> bool:
        # Calling RE2 takes twenty times as long as this, which most values do not pass.
        for character in needed:
            if character not in value:
                return False
        try:
            return full(value) is not None
        except UnicodeEncodeError:
            # Half a surrogate pair, which JSON can hold and UTF-8 cannot.
            sound = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return full(sound) is not None

    return match


class _Translation:
    """The pattern in RE2's syntax, read from left to right.

    `_parts` is what the innermost open group holds so far, a string for each thing that a
    repetition after it would repeat; `_outer` is the same of the groups around it. `needed` are
    characters that every value that matches holds.
    """

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._pattern = pattern
        self._ignore_case = ignore_case
        self._at = 0
        self._parts: list[str] = []
        self._outer: list[list[str]] = []
        # What stands for one character alone, by what became of it.
        self._plain: dict[str, str] = {}
        while self._at < len(pattern):
            self._next()
        if self._outer:
            raise PatternError("a group of the regular expression is never closed")
        self._end_alternative()
        plain = {self._plain[part] for part in self._parts if part in self._plain}
        self.needed = set() if "|" in self._parts else plain
        self.result = "".join(self._parts)

    def _take(self) -> str:
        if self._at >= len(self._pattern):
            raise PatternError("the regular expression ends too early")
        character = self._pattern[self._at]
        self._at += 1
        return character

    def _next(self) -> None:
        character = self._take()
        if character in _REFUSED:
            message = f"{_REFUSED[character]} of regular expressions is not supported"
            raise PatternError(f"{message} (\\{character} is the character)", wrong=False)
        match character:
            case "(":
                self._outer.append(self._parts)
                self._parts = []
            case ")":
                if not self._outer:
                    raise PatternError("')' of the regular expression closes nothing")
                self._end_alternative()
                group = f"(?:{''.join(self._parts)})"
                self._parts = [*self._outer.pop(), group]
            case "|":
                if not self._parts or self._parts[-1] == "|":
                    raise PatternError("there is nothing before | of the regular expression")
                self._parts.append("|")
            case "?" | "*" | "+":
                self._repeat(character)
            case "{":
                self._repeat(self._count())
            case _:
                self._parts.append(self._one(character))

    def _end_alternative(self) -> None:
        if self._parts and self._parts[-1] == "|":
            raise PatternError("there is nothing after | of the regular expression")

    def _repeat(self, how: str) -> None:
        if not self._parts or self._parts[-1] == "|":
            raise PatternError(f"there is nothing before {how} of the regular expression")
        # In a group of its own, so that a second repetition repeats the first.
        self._parts[-1] = f"(?:{self._parts[-1]}{how})"

    def _count(self) -> str:
        match = _repeat.match(self._pattern, self._at - 1)
        if match is None:
            raise PatternError("'{' of the regular expression is no repetition {n,m}")
        self._at = match.end()
        return match[0]

    def _one(self, character: str) -> str:
        match character:
            case ".":
                return character
            case "@":
                return "(?:.*)"
            case "#":
                return _NOTHING
            case "[":
                return self._class()
            case '"':
                return self._quoted()
            case "\\":
                escaped = self._take()
                if escaped in _CLASSES:
                    return f"[{_CLASSES[escaped]}]"
                return self._character(escaped)
            case _:
                return self._character(character)

    def _quoted(self) -> str:
        end = self._pattern.find('"', self._at)
        if end < 0:
            raise PatternError("a quoted part of the regular expression never ends")
        text = self._pattern[self._at : end]
        self._at = end + 1
        return f"(?:{''.join(map(self._character, text))})"

    def _character(self, character: str) -> str:
        if self._ignore_case and character.isascii() and character.isalpha():
            return f"[{character.lower()}{character.upper()}]"
        literal = _literal(character)
        self._plain[literal] = character
        return literal

    def _class(self) -> str:
        negated = self._pattern.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        # As the first of a class, ']' is a character.
        while (character := self._take()) != "]" or not parts:
            if character != "\\":
                parts.append(self._range(character))
                continue
            escaped = self._take()
            if escaped in _NEGATED_CLASSES:
                message = f"\\{escaped} within a class is not supported"
                raise PatternError(message, wrong=False)
            parts.append(_CLASSES.get(escaped) or self._range(escaped))
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _range(self, first: str) -> str:
        if not self._pattern.startswith("-", self._at):
            return self._members(first, first)
        self._at += 1
        last = self._take()
        if last == "\\":
            last = self._take()
        elif last == "]":
            raise PatternError(
                f"the range {first}- of the regular expression has no end (\\- is -)"
            )
        if last < first:
            raise PatternError(f"the range {first}-{last} of the regular expression is empty")
        return self._members(first, last)

    def _members(self, first: str, last: str) -> str:
        parts = [_span(first, last)]
        if self._ignore_case:
            for low, high in (("A", "Z"), ("a", "z")):
                start, end = max(first, low), min(last, high)
                if start <= end:
                    parts.append(_span(start.swapcase(), end.swapcase()))
        return "".join(parts)


def _literal(character: str) -> str:
    return character if character.isalnum() else rf"\x{{{ord(character):x}}}"


def _span(first: str, last: str) -> str:
    return _literal(first) if first == last else f"{_literal(first)}-{_literal(last)}"
