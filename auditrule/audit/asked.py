"""Which programs somebody asks about, told by an exec's raw records, before they are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditrule.audit.process import may_be_called

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_KNOWN = 10_000
_EXE_SIZE = len(" exe=")
_BEHIND_ID = len("): item=0 name=")
# Arguments that are all there, all quoted, none in pieces: what they hold, these bytes hold.
_PLAIN_ARGUMENTS = re.compile(rb'argc=[0-9]+((?: a[0-9]+="[^"\n\x1d]*")*)(?=\n|\Z)')


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

    def may_be(self, block: bytes, start: int, end: int, at_id: bytes) -> bool:
        """Tell whether an exec may be one of the programs; if in doubt, it may.

        Its records are in block[start:end]. The first is its SYSCALL record; other events' may
        stand between the others. `at_id` is the event's id as the log spells it.
        """
        line_end = block.find(b"\n", start, end)
        exe_at = block.rfind(b" exe=", start, line_end) + _EXE_SIZE
        exe_end = block.find(b" ", exe_at, line_end)
        # Should it be a script, its first path is its name.
        path_at = block.find(at_id + b"): item=0 name=", line_end, end) + len(at_id) + _BEHIND_ID
        path_end = block.find(b" ", path_at, end)
        if exe_at < start or exe_end < 0 or path_at < line_end or path_end < 0:
            return True
        exe, path = block[exe_at:exe_end], block[path_at:path_end]
        programs = self._known.get((exe, path))
        if programs is None:
            programs = self._look_at(exe, path)
        if not programs:
            return False
        arguments = _arguments(block[start:end], at_id)
        return arguments is None or any(self._may_have(arguments, name) for name in programs)

    def _look_at(self, exe: bytes, path: bytes) -> tuple[bytes, ...]:
        """Return the names by which a program of these paths may be asked about."""
        found = tuple(_name(token) for token in (exe, path) if self._may_be_called(token))
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[exe, path] = found
        return found

    def _may_have(self, arguments: bytes, name: bytes) -> bool:
        like = self._arguments.get(name)
        return like is None or like.search(arguments) is not None

    def _may_be_called(self, token: bytes) -> bool:
        quoted = len(token) > 1 and token[:1] == token[-1:] == b'"'
        return not quoted or may_be_called(token[1:-1], self.names)


def _name(token: bytes) -> bytes:
    return token.strip(b'"').rpartition(b"/")[2].lower()


def _arguments(text: bytes, at_id: bytes) -> bytes | None:
    """Return a program's arguments as its record has them, None where that may not be all."""
    before = b"type=EXECVE msg=audit(%s): " % at_id
    begin = text.find(before)
    match = None if begin < 0 else _PLAIN_ARGUMENTS.match(text, begin + len(before))
    if match is None or text.find(before, match.end()) >= 0:
        return None
    return match[1]


def _like_one_of(texts: Iterable[str]) -> re.Pattern[bytes]:
    """Return what finds an argument that is like one of the texts, in a record's quotes."""
    return re.compile(b"|".join(sorted(map(_like, texts))), re.IGNORECASE)


def _like(text: str) -> bytes:
    bare = re.escape(text.strip("*").encode())
    if not text.endswith("*"):
        return b'="%s"' % re.escape(text.encode())
    return bare if text.startswith("*") else b'="%s' % bare
