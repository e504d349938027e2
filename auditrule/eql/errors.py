"""What a query's author is told: the message, the place, and the line with a caret under it."""

from __future__ import annotations

import unicodedata

_LONGEST_LINE = 160
_BEFORE_CARET = 100


class EqlError(ValueError):
    """A query that cannot be run.

    `message` is one sentence without the place. `text` is the whole query, `line` and `column`
    count from 1 and name the character where the offending text begins, `offset` counts from 0 over
    the whole query, and `length` is how many characters are meant. `str()` shows message, place and
    line, with carets under the offending text.
    """

    def __init__(self, message: str, text: str, offset: int, length: int = 1) -> None:
        self.message = message
        self.text = text
        self.offset = max(0, min(offset, len(text)))
        self.length = max(1, length)
        self.line = text.count("\n", 0, self.offset) + 1
        self.column = self.offset - (text.rfind("\n", 0, self.offset) + 1) + 1
        super().__init__(message, text, offset, length)

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: {self.message}"
        source = self.text.split("\n")[self.line - 1].rstrip("\r")
        start = self.column - 1
        shown, caret = _excerpt(source, start, start + self.length)
        return f"{place}\n  {shown}\n  {caret}"


class EqlSyntaxError(EqlError):
    """The text is not EQL."""


class EqlUnsupportedError(EqlError):
    """The text is (or may be) EQL, but uses a part of the language that is not run here."""


def _excerpt(source: str, start: int, end: int) -> tuple[str, str]:
    """Cut the line to a readable width around the caret; give it and the line of carets."""
    mark = ""
    if len(source) > _LONGEST_LINE:
        first = max(0, start - _BEFORE_CARET)
        last = first + _LONGEST_LINE
        mark = "…" if first else ""
        tail = "…" if last < len(source) else ""
        source, start, end = source[first:last] + tail, start - first, end - first
    padding = "".join(_blank(character) for character in mark + source[:start])
    width = sum(len(_blank(character)) for character in source[start:end])
    return mark + source, padding + "^" * max(1, width)


def _blank(character: str) -> str:
    """Return the white space that is as wide on a terminal as the character."""
    if character == "\t":
        return "\t"
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
