"""Texts of which one must be like a value of a field, for a rule to match: for arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from auditrule.eql.fields import reader
from auditrule.eql.tree import And, Comparison, Condition, Field, Literal, Lookup, Or
from auditrule.eql.values import period
from auditrule.eql.wildcard import fold

Event = Mapping[str, object]

_SHORTEST_PIECE = 4
_wild = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class Needle:
    """A field of many values, of which one has to be like one of some texts (case folded).

    A text is a whole value, or the beginning of one (``/tmp/*``), or a piece of one (``*curl*``).
    """

    field: str
    texts: frozenset[str]

    def __str__(self) -> str:
        operator = "like~" if any(map(_stars, self.texts)) else "in~"
        return f"{self.field} {operator} ({', '.join(map(str, map(Literal, sorted(self.texts))))})"


class Needles:
    """What a field of many values leaves of the alternatives."""

    cost = 1

    def __init__(self, field: str, needles: Sequence[tuple[int, Needle]]) -> None:
        self.field = field
        self._needles = needles
        self._read = reader(field)
        self.asking = 0
        self._whole: dict[str, int] = {}
        beginnings: dict[str, int] = {}
        pieces: dict[str, int] = {}
        for bit, needle in needles:
            self.asking |= bit
            for text in needle.texts:
                known = (self._whole, beginnings, pieces)[_stars(text)]
                bare = text.strip("*") if _stars(text) else text
                known[bare] = known.get(bare, 0) | bit
        self._longest = max(map(len, self._whole), default=0)
        self._heads = tuple(beginnings)
        by_bits: dict[int, list[str]] = {}
        for head, bits in beginnings.items():
            by_bits.setdefault(bits, []).append(head)
        self._beginnings = tuple((tuple(heads), bits) for bits, heads in by_bits.items())
        self._pieces = tuple(pieces.items())

    def narrowed(self, bits: int) -> Needles:
        """Return what tells of some of the alternatives alone."""
        return Needles(self.field, [(bit, needle) for bit, needle in self._needles if bit & bits])

    def left_by(self, event: Event, left: int) -> int:
        """Return what the event's values leave of the alternatives that are left."""
        found = 0
        whole = self._whole
        for value in self._read(event):
            if not isinstance(value, str):
                # EQL compares other types by rules of its own.
                return left
            folded = value.lower() if value.isascii() else fold(value)
            if folded in whole:
                found |= whole[folded]
            if folded.startswith(self._heads):
                for heads, bits in self._beginnings:
                    if folded.startswith(heads):
                        found |= bits
            for piece, bits in self._pieces:
                if piece in folded:
                    found |= bits
        return left & (found | ~self.asking)


def needed(node: Condition) -> frozenset[str]:
    """Return the texts of which a field has to be like one for the condition on it to hold."""
    match node:
        case Comparison(Field(), "==", Literal(str(value))) | Comparison(
            Literal(str(value)), "==", Field()
        ):
            return _spelt_only([value])
        case Lookup(Field(), operator, literals) if not operator.startswith("regex"):
            texts = [literal.value for literal in literals if isinstance(literal.value, str)]
            if len(texts) < len(literals):
                return frozenset()
            if operator == "in":
                return _spelt_only(texts)
            folded = map(fold, texts)
            return _usable(folded if operator == "in~" else map(_loosened, folded))
        case Or(operands):
            found = [needed(operand) for operand in operands]
            return frozenset().union(*found) if all(found) else frozenset()
        case And(operands):
            return min(filter(None, map(needed, operands)), key=cost_of, default=frozenset())
        case _:
            return frozenset()


def _spelt_only(texts: Sequence[str]) -> frozenset[str]:
    """Return the texts folded; none if one is a date, which equals other spellings of its time."""
    if any(period(text) is not None for text in texts):
        return frozenset()
    return _usable(map(fold, texts))


def _loosened(pattern: str) -> str:
    """Return what every value has that a wildcard pattern matches: its beginning, or a piece."""
    head, *others = _wild.split(pattern)
    if not others:
        return head
    if len(head) >= _SHORTEST_PIECE:
        return f"{head}*"
    return f"*{max(others, key=len)}*"


def _usable(texts: Iterable[str]) -> frozenset[str]:
    """Return the texts; none if one is hardly anything, which most values would be like."""
    found = frozenset(texts)
    short = any(_stars(text) and len(text.strip("*")) < _SHORTEST_PIECE for text in found)
    return frozenset() if short else found


def is_whole(text: str) -> bool:
    """Tell whether a text of `needed` is a whole value, rather than a beginning or a piece."""
    return not _stars(text)


def cost_of(texts: frozenset[str]) -> tuple[int, int]:
    """Return what sorts the cheap ones first: whole values are looked up, pieces searched for."""
    return max(map(_stars, texts)), len(texts)


def _stars(text: str) -> int:
    """Return 0 for a whole value, 1 for a beginning, 2 for a piece.

    A literal that is spelt like a piece is as good as one, since its values have that piece.
    """
    if not text.endswith("*"):
        return 0
    return 2 if text.startswith("*") else 1
