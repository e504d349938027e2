"""Which of a block's execs somebody may ask about, by the names and arguments that they tell.

Where a name or the arguments are not told as the kernel usually does, somebody may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from auditrule.audit import headers
from auditrule.audit.calls import program_files
from auditrule.audit.layout import as_rows

if TYPE_CHECKING:
    from auditrule.audit.asked import Asked
    from auditrule.audit.calls import Calls
    from auditrule.audit.headers import Headers
    from auditrule.audit.layout import Flags, Layout, Places

_ITEM: Final = b"item="
_FIRST_PATH: Final = b"item=0 name="
# A longer one is looked at by itself.
_PATH_ROOM: Final = 128


def may_be_asked(
    asked: Asked | None, layout: Layout, header: Headers, told: Calls, done: Places
) -> Flags:
    """Tell about which of the execs that are `told` somebody may ask; with None, about all.

    Their records end where they are `done`.
    """
    if asked is None:
        return np.ones(len(told.line), np.bool_)
    block = layout.block
    is_named, places = _names(layout, header, told, done)
    found = ~is_named
    programs = [(block[exe:exe_end], block[path:end]) for exe, exe_end, path, end in places]
    names = asked.names_of(programs)
    called = [n for n, known in enumerate(names) if known]
    which = is_named.nonzero()[0][called]
    bodies = _arguments(layout, header, told.line[which], done[which])
    found[which] = [
        not is_plain or asked.may_have(names[n], block, begin, end)
        for n, (is_plain, begin, end) in zip(called, bodies, strict=True)
    ]
    return found


def _names(
    layout: Layout, header: Headers, told: Calls, done: Places
) -> tuple[Flags, list[tuple[int, int, int, int]]]:
    """Return which execs name their file and their first path as usual, and where these do."""
    exe, exe_end, good = program_files(layout, told.whose, layout.ends[told.line])
    paths = (header.kind == headers.PATH).nonzero()[0]
    body = header.body.take(paths)
    is_first = layout.holds(body, _FIRST_PATH)
    line, found = header.same_event(told.line, paths[is_first], only=True)
    good &= found
    others, body = paths[~is_first], body[~is_first]
    number = layout.read(body + len(_ITEM), 1)
    is_later = layout.holds(body, _ITEM) & (number > ord("0")) & (number <= ord("9"))
    if not is_later.all():
        good &= ~np.isin(header.serial[told.line], header.serial[others[~is_later]])
    path = header.body[line] + len(_FIRST_PATH)
    path_end, found = layout.space_after(path, _PATH_ROOM)
    good &= found & (path_end < layout.ends[line]) & (path_end < done)
    return good, as_rows(exe[good], exe_end[good], path[good], path_end[good])


def _arguments(
    layout: Layout, header: Headers, lines: Places, done: Places
) -> list[tuple[bool, int, int]]:
    """Return whether execs tell their arguments in one record, and where."""
    records = (header.kind == headers.EXECVE).nonzero()[0]
    record, found = header.same_event(lines, records, only=True)
    end = layout.ends[record]
    return as_rows(found & (end < done), header.body[record], end)
