"""How deep a query nests, told before it is parsed: Python's stack has an end, a query need not."""

from __future__ import annotations

from dataclasses import dataclass

from auditrule.eql.errors import EqlUnsupportedError
from auditrule.eql.tokens import tokens

# For each level the parser goes up to 21 frames of Python deep, of 1,000, and printing, compiling
# and evaluating less. Elastic's own rules go ten levels deep.
DEEPEST = 32

_DEEPENING = frozenset({"not", "+", "-", "*", "/", "%"})
# Of what these join, and of two steps or two pipes, neither side is deeper for the other.
_JOINING = frozenset({"and", "or", ",", "where", "|"})


@dataclass(slots=True)
class _Level:
    """What stands between a parenthesis and its end: operands that `and`, `or` or commas join.

    `operators` are those of the latest operand, and `inner` is how deep its parentheses go.
    `deepest` is how deep the operands before it went.
    """

    outer: int = 0
    operators: int = 0
    inner: int = 0
    deepest: int = 0

    @property
    def depth(self) -> int:
        return max(self.deepest, self.inner + self.operators)


def check_nesting(text: str) -> None:
    """Raise EqlUnsupportedError where conditions are nested more than DEEPEST deep.

    Parentheses, calls, brackets, `not`, signs and arithmetic nest: `a + b + c` is `(a + b) + c`.
    """
    level, open_levels = _Level(), list[_Level]()
    for token in tokens(text):
        if token.text in _DEEPENING:
            level.operators += 1
        elif token.text in _JOINING:
            level.deepest = level.depth
            level.operators = level.inner = 0
        elif token.text in ("(", "["):
            open_levels.append(level)
            level = _Level(level.outer + level.operators + 1)
        elif token.text in (")", "]") and open_levels:
            inner = level.depth + 1
            level = open_levels.pop()
            level.inner = max(level.inner, inner)
        if level.outer + level.operators + level.inner > DEEPEST:
            raise EqlUnsupportedError(
                f"conditions nested more than {DEEPEST} deep are not supported",
                text,
                token.start,
                len(token.text),
            )
