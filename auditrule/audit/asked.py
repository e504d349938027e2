"""Which programs somebody asks about, told by an exec's raw records, before they are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditrule.audit.process import may_be_called

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MOST_KNOWN = 10_000
# Arguments that are all there, all quoted, none in pieces: what they hold, these bytes hold.
_PLAIN_ARGUMENTS = re.compile(rb'argc=[0-9]+((?: a[0-9]+="[^"\n\x1d]*")*)\Z')


class Asked:
    """The programs that somebody asks about, by their names and their arguments.

    `programs` has the names, in lower case and ASCII, and of each the texts of which one argument
    at least has to be like one: a whole argument, the beginning of one (``/etc/*``), or a piece of
    one (``*curl*``), in any case; None where nothing is asked of the arguments.
    """

    def __init__(self, programs: Mapping[str, frozenset[str] | None]) -> None:
        self.programs = dict(programs)
        self.names = frozenset(name.encode("ascii") for name in programs)
        """The names, in lower case."""
        self._arguments = {
            name.encode("ascii"): None if texts is None else _like_one_of(texts)
            for name, texts in programs.items()
        }
        # By which names a program of two paths may be asked about.
        self._known: dict[tuple[bytes, bytes], tuple[bytes, ...]] = {}

    def names_of(self, programs: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, ...]]:
        """Return the names by which each program is asked about, by its file and its first path.

        They are spelt as the log does. Should it be a script, its first path is its name.
        """
        found = map(self._known.get, programs)
        return [
            self._look_at(*programs[n]) if names is None else names for n, names in enumerate(found)
        ]

    def may_have(self, names: Iterable[bytes], block: bytes, start: int, end: int) -> bool:
        """Tell whether a program of these names may be asked about; if in doubt, it may.

        The body of its one EXECVE record is in block[start:end].
        """
        match = _PLAIN_ARGUMENTS.match(block, start, end)
        if match is None:
            return True
        begin, end = match.span(1)
        return any(
            (like := self._arguments.get(name)) is None or like.search(block, begin, end)
            for name in names
        )

    def _look_at(self, exe: bytes, path: bytes) -> tuple[bytes, ...]:
        found = tuple(_name(token) for token in (exe, path) if self._may_be_called(token))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[exe, path] = found
        return found

    def _may_be_called(self, token: bytes) -> bool:
        quoted = len(token) > 1 and token[:1] == token[-1:] == b'"'
        return not quoted or may_be_called(token[1:-1], self.names)


def _name(token: bytes) -> bytes:
    return token.strip(b'"').rpartition(b"/")[2].lower()


def _like_one_of(texts: Iterable[str]) -> re.Pattern[bytes]:
    """Return what finds an argument that is like one of the texts, in a record's quotes."""
    return re.compile(b"|".join(sorted(map(_like, texts))), re.IGNORECASE)


def _like(text: str) -> bytes:
    bare = re.escape(text.strip("*").encode())
    if not text.endswith("*"):
        return b'="%s"' % re.escape(text.encode())
    return bare if text.startswith("*") else b'="%s' % bare
