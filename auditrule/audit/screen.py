"""The screen: what a block of the log says of processes, looked up in all of its lines at once.

Nine lines of ten can make no difference to a rule on processes. What the screen recognises is the
kernel's own form alone. Where anything else stands, or an event that is not all there, the screen
stops, and the line is read as any other would be: it may let too much through, never too little.
That it changes nothing is tested on every captured log, cut into blocks everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from auditrule.audit import calls, headers
from auditrule.audit.asking import may_be_asked
from auditrule.audit.calls import CallReader
from auditrule.audit.fact import (
    ASKED,
    CLONE3,
    END,
    EXEC,
    FORK,
    MIXED,
    NOBODY,
    THREAD,
    THREAD_END,
    maker,
    own_records,
)
from auditrule.audit.facts import (
    AT,
    BEGIN,
    BY,
    CHANCES,
    CHILD,
    COLUMNS,
    MS,
    PID,
    PPID,
    REPEATS,
    SERIAL,
    WHAT,
    Facts,
)
from auditrule.audit.facts import END as TEXT_END
from auditrule.audit.headers import read_headers
from auditrule.audit.layout import Layout, as_rows, keep_freed_memory
from auditrule.audit.seen import FARTHEST_END, Seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditrule.audit.asked import Asked
    from auditrule.audit.calls import Calls
    from auditrule.audit.headers import Headers
    from auditrule.audit.layout import Flags, Places
    from auditrule.audit.seen import Screening

# Events whose seconds are farther apart are none that come between each other.
_CLOSE: Final = 1
# In numbers of auditrule.audit.calls.
_FACTS: Final = np.array([NOBODY, EXEC, FORK, FORK, END, THREAD_END])


class Screen:
    """Reads blocks of the log of one host (`node`, None where the log names none) and `arch`.

    `arch` is spelt as the log does, in hexadecimal, and one of auditrule.audit.syscalls. Programs
    that may be among those `asked` about are told so; with None, all are.
    """

    def __init__(self, *, node: bytes | None, arch: bytes, asked: Asked | None) -> None:
        self.node = None if node is None else node.decode("latin-1")
        """Whose log it is."""
        self._node = node
        self._calls = CallReader(arch)
        self._asked = asked
        self._seen: Seen | None = None
        keep_freed_memory()

    def read(self, block: bytes, start: int, end: int, base: int = 0) -> Screening:
        r"""Return what block[start:end] says, in order, as far as that holds.

        The block holds whole lines, each behind a b"\n": one stands at `start` and one at `end`.
        What follows the place where it stops is to be read line by line, at least the first line.
        Facts name their records by their place, but for long ones: in the block, or in the file in
        which that begins at `base`.
        """
        seen = self._seen
        if seen is None or not seen.is_of(block, start, end):
            seen = self._seen = self._look(block, start, end)
        found = seen.part(start, base)
        if found.stop == end:
            self._seen = None
        return found

    def _look(self, block: bytes, start: int, end: int) -> Seen:
        layout = Layout(block, start, end)
        header = read_headers(layout, self._node)
        lines = (header.kind == headers.SYSCALL).nonzero()[0]
        told, odd = self._calls.read(layout, lines, header.body[lines])
        cuts = [layout.newlines[odd]]
        done, good = _ends(layout, header, told)
        cuts.append(layout.newlines[told.line[~good]])
        told, done = told.some(good), done[good]
        begin = layout.newlines[told.line]
        execs = (told.what == calls.EXEC).nonzero()[0]
        cuts.append(_meeting(header, told, begin, done, execs))
        places, cut = _lines_to_look_at(layout, header, begin[execs], done[execs])
        cuts.append(cut)
        columns, makers = self._columns(layout, header, told, begin, done)
        asked = may_be_asked(self._asked, layout, header, told.some(execs), done[execs])
        columns[WHAT, execs[asked]] = ASKED
        texts: dict[int, bytes] = {}
        for n in execs[done[execs] - begin[execs] > MIXED].tolist():
            texts[n] = own_records(block[begin[n] + 1 : done[n]])
            columns[[BEGIN, TEXT_END], n] = 0
        order = np.argsort(columns[AT], kind="stable")
        if texts:
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            texts = {int(place[n]): text for n, text in texts.items()}
        return Seen(
            layout,
            (start, end),
            np.sort(np.concatenate(cuts)),
            Facts(columns.take(order, 1), texts, makers),
            begin[order],
            (begin[execs], done[execs]),
            places,
        )

    def _columns(
        self, layout: Layout, header: Headers, told: Calls, begin: Places, done: Places
    ) -> tuple[NDArray[np.int64], list[bytes]]:
        """Return the facts that calls are, and what forks were made by."""
        columns = np.empty((COLUMNS, len(begin)), np.int64)
        is_exec, is_end = told.what == calls.EXEC, told.what >= calls.EXIT
        what = _FACTS[told.what]
        what[told.is_thread] = THREAD
        line_end = layout.ends[told.line]
        columns[AT] = np.where(is_exec, done, begin)
        columns[WHAT] = what
        columns[PID], columns[PPID], columns[CHILD] = told.pid, told.ppid, told.child
        columns[MS], columns[SERIAL] = header.ms[told.line], header.serial[told.line]
        columns[BEGIN] = np.where(is_end, 0, begin + 1)
        columns[TEXT_END] = np.where(is_end, 0, np.where(is_exec, done, line_end))
        columns[BY] = columns[CHANCES] = -1
        columns[REPEATS] = 0
        forks = (what == FORK).nonzero()[0]
        makers: dict[bytes, int] = {}
        columns[BY, forks] = [
            makers.setdefault(each, len(makers)) for each in self._makers(layout, told.some(forks))
        ]
        return columns, list(makers)

    def _makers(self, layout: Layout, told: Calls) -> list[bytes]:
        """Return what forks were made by."""
        block, places = layout.block, as_rows(told.whose - 1, layout.ends[told.line])
        made = [block[begin:end] for begin, end in places]
        for n in (told.number == CLONE3).nonzero()[0].tolist():
            made[n] = maker(made[n], is_clone3=True)
        return made


def _ends(layout: Layout, header: Headers, told: Calls) -> tuple[Places, Flags]:
    """Return where execs are complete, and which calls are: any but an exec that ends nowhere."""
    is_last = (header.kind == headers.PROCTITLE) | (header.kind == headers.EOE)
    lasts = is_last.nonzero()[0]
    last, found = header.same_event(told.line, lasts)
    done = layout.newlines[last]
    found &= header.kind[last] == headers.PROCTITLE
    found &= done - layout.newlines[told.line] <= FARTHEST_END
    return done, found | (told.what != calls.EXEC)


def _meeting(header: Headers, told: Calls, begin: Places, done: Places, execs: Places) -> Places:
    """Return which calls may end an exec whose records they stand between (Reassembler)."""
    # Of each exec, the calls behind it that begin before it ends.
    count = np.searchsorted(begin, done[execs]) - execs - 1
    one = np.repeat(execs, count)
    first = np.cumsum(count) - count
    other = one + 1 + np.arange(len(one)) - np.repeat(first, count)
    ms, serial = header.ms[told.line], header.serial[told.line]
    meets = (told.pid[one] == told.pid[other]) | (told.pid[one] == told.ppid[other])
    meets |= (ms[one] == ms[other]) & (serial[one] == serial[other])
    meets |= np.abs(ms[one] // 1000 - ms[other] // 1000) > _CLOSE
    places: Places = begin[other[meets]]
    return places


def _lines_to_look_at(
    layout: Layout, header: Headers, begins: Places, ends: Places
) -> tuple[Places, Places]:
    """Return which lines are to be looked at by themselves, and which places are not to be passed.

    The latter are those of calls, and between the records of execs, which begin and end there.
    """
    lines = (header.kind == headers.OTHER).nonzero()[0]
    if not len(lines):
        return lines, layout.newlines[lines]
    at = layout.newlines[lines]
    before = np.searchsorted(begins, at)
    until = np.concatenate([[-1], np.maximum.accumulate(ends)])[before]
    passes = until <= at
    block = layout.block
    for n, (begin, end) in enumerate(zip(at.tolist(), layout.ends[lines].tolist(), strict=True)):
        if block.find(b"SYSCALL", begin, end) >= 0:
            passes[n] = False
    return lines[passes], at[~passes]
