"""Which programs somebody asks about, told by an exec's raw records, before they are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditrule.audit.process import may_be_called

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_KNOWN = 10_000
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
        # What is known of paths: whether a program that has it may be one of these.
        self._known: dict[bytes, bool] = {}

    def may_be(self, text: bytes, at_id: bytes) -> bool:
        """Tell whether the exec with these records may be one of the programs; if in doubt, it may.

        The first is its SYSCALL record; other events' may stand between the others. `at_id` is the
        event's id as the log spells it.
        """
        begin = text.rfind(b" exe=", 0, text.find(b"\n")) + 5
        exe = text[begin : text.find(b" ", begin)]
        # Should it be a script, its first path is its name.
        begin = text.find(b"(%s): item=0 name=" % at_id) + len(at_id) + 16
        path = text[begin : text.find(b" ", begin)]
        if not (self._knows(exe) or self._knows(path)):
            return False
        arguments = _arguments(text, at_id)
        if arguments is None:
            return True
        return any(self._may_have(arguments, token) for token in (exe, path) if self._knows(token))

    def _may_have(self, arguments: bytes, token: bytes) -> bool:
        name = token.strip(b'"').rpartition(b"/")[2].lower()
        like = self._arguments.get(name)
        return like is None or like.search(arguments) is not None

    def _knows(self, token: bytes) -> bool:
        known = self._known.get(token)
        if known is None:
            quoted = len(token) > 1 and token[:1] == token[-1:] == b'"'
            known = not quoted or may_be_called(token[1:-1], self.names)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[token] = known
        return known


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
