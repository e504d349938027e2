"""A query cut into its tokens, for what the grammar does not tell: how deep it nests, why it fails.

The grammar reads the text by itself; this cuts any text, also one that is no query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.eql import lexical

if TYPE_CHECKING:
    from collections.abc import Iterator

_token = re.compile(
    rf"(?P<comment>{lexical.COMMENT})"
    rf"|(?P<value>{lexical.RAW_STRING}|{lexical.STRING}|{lexical.NUMBER}[A-Za-z0-9_.]*)"
    rf"|(?P<name>\??{lexical.DOTTED_NAME}~?)"
    r"|(?P<sign>==|!=|<=|>=|/(?![/*])|[<>=:!+*%.,()|\[\]-])"
)
_space = re.compile(r"\s*")
_LONGEST_QUOTED = 40


@dataclass(frozen=True, slots=True)
class Token:
    """A value, a name (or keyword), a sign, or what is none of them ("other")."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)

    @property
    def quoted(self) -> str:
        """The token as messages show it."""
        text = self.text if len(self.text) <= _LONGEST_QUOTED else self.text[:_LONGEST_QUOTED] + "…"
        return text if text.startswith(('"', "`")) else f"'{text}'"

    @property
    def is_field(self) -> bool:
        """Whether it may be a field's name."""
        return self.kind == "name" and self.text not in lexical.KEYWORDS


def tokens(text: str) -> Iterator[Token]:
    """Give the tokens but for comments; what is no token is one of kind "other", and the last."""
    position = skip(text, 0)
    while position < len(text):
        match = _token.match(text, position)
        if match is None:
            yield Token("other", text[position], position)
            return
        if match.lastgroup != "comment":
            yield Token(str(match.lastgroup), match[0], position)
        position = skip(text, match.end())


def blanked(text: str) -> str:
    """Return the text with blanks in place of comments, as far as it consists of tokens."""
    parts: list[str] = []
    position = 0
    while position < len(text) and (match := _token.match(text, begin := skip(text, position))):
        parts.append(text[position:begin])
        parts.append(" " * len(match[0]) if match.lastgroup == "comment" else match[0])
        position = match.end()
    return "".join(parts) + text[position:]


def skip(text: str, position: int) -> int:
    """Return where the white space that begins at a position ends."""
    match = _space.match(text, position)
    return match.end() if match else position


def length_at(text: str, position: int) -> int:
    """Return how long the token is that begins at a position."""
    match = _token.match(text, position)
    return match.end() - position if match else 1
