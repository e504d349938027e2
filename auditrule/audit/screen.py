"""The screen: what a block of the log says of processes, looked up in all of its lines at once.

Nine lines of ten can make no difference to a rule on processes. What the screen recognises is the
kernel's own form alone. Where anything else stands, or an event that is not all there, the screen
stops, and the line is read as any other would be: it may let too much through, never too little.
That it changes nothing is tested on every captured log, cut into blocks everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from auditrule.audit import calls, headers
from auditrule.audit.calls import CallReader, program_files
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
from auditrule.audit.layout import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditrule.audit.asked import Asked
    from auditrule.audit.calls import Calls
    from auditrule.audit.headers import Headers
    from auditrule.audit.layout import Flags, Places

# The kernel writes an exec's records at once, though others may come between them. One that is not
# complete by then is left to whoever reads line by line.
_FARTHEST_END: Final = 64 << 10
# Events whose seconds are farther apart are none that come between each other.
_CLOSE: Final = 1
_KEPT: Final = 31 << 20
_FIRST_PATH: Final = b"item=0 name="
# A longer one is looked at by itself.
_PATH_ROOM: Final = 128
# In numbers of auditrule.audit.calls.
_FACTS: Final = np.array([NOBODY, EXEC, FORK, FORK, END, THREAD_END])


Line: TypeAlias = tuple[int, bytes]
"""A line that is to be looked at by itself, and where it stands, as facts say AT."""


class Screening(NamedTuple):
    """What a part of a block says, up to `stop`: facts, and lines to be looked at by themselves.

    There are so many `records` in it, the lines not among them.
    """

    facts: Facts
    lines: list[Line]
    records: int
    stop: int


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
        self._seen: _Seen | None = None

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

    def _look(self, block: bytes, start: int, end: int) -> _Seen:
        _keep_freed_memory()
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
        self._ask(layout, header, told.some(execs), done[execs], columns[WHAT], execs)
        texts: dict[int, bytes] = {}
        for n in execs[done[execs] - begin[execs] > MIXED].tolist():
            texts[n] = own_records(block[begin[n] + 1 : done[n]])
            columns[[BEGIN, TEXT_END], n] = 0
        order = np.argsort(columns[AT], kind="stable")
        if texts:
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            texts = {int(place[n]): text for n, text in texts.items()}
        return _Seen(
            layout,
            (start, end),
            np.sort(np.concatenate(cuts)),
            Facts(columns[:, order], texts, makers),
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
        rows = _rows(told.whose - 1, layout.ends[told.line], told.number == CLONE3)
        block = layout.block
        return [maker(block[at:end], is_clone3=clone3) for at, end, clone3 in rows]

    def _ask(
        self,
        layout: Layout,
        header: Headers,
        told: Calls,
        done: Places,
        what: NDArray[np.int64],
        execs: Places,
    ) -> None:
        """Have `what` tell which of the `execs` that are `told` of somebody may ask about."""
        asked, block = self._asked, layout.block
        if asked is None:
            what[execs] = ASKED
            return
        called: list[tuple[int, tuple[bytes, ...]]] = []
        names = self._names(layout, header, told, done)
        for n, (known, exe, exe_end, path, path_end) in enumerate(names):
            if not known:
                what[execs[n]] = ASKED
            elif asked_names := asked.names_of(block[exe:exe_end], block[path:path_end]):
                called.append((n, asked_names))
        which = np.array([n for n, _ in called], np.int64)
        bodies = self._arguments(layout, header, told.line[which], done[which])
        for (n, asked_names), (plain, begin, end) in zip(called, bodies, strict=True):
            if not plain or asked.may_have(asked_names, block, begin, end):
                what[execs[n]] = ASKED

    def _names(
        self, layout: Layout, header: Headers, told: Calls, done: Places
    ) -> list[tuple[bool, int, int, int, int]]:
        """Return where execs name their file and their first path, and whether they do so there."""
        exe, exe_end, good = program_files(layout, told.whose, layout.ends[told.line])
        # The kernel writes them in order.
        paths = (header.kind == headers.PATH).nonzero()[0]
        line, found = _same_event(header, told.line, paths)
        body = header.body[line]
        good &= found & layout.holds(body, _FIRST_PATH)
        path = body + len(_FIRST_PATH)
        path_end, found = layout.space_after(path, _PATH_ROOM)
        good &= found & (path_end < layout.ends[line]) & (path_end < done)
        return _rows(good, exe, exe_end, path, path_end)

    def _arguments(
        self, layout: Layout, header: Headers, lines: Places, done: Places
    ) -> list[tuple[bool, int, int]]:
        """Return where execs tell their arguments, and whether they do so in one record there."""
        records = (header.kind == headers.EXECVE).nonzero()[0]
        record, found = _same_event(header, lines, records)
        serials = np.sort(header.serial[records])
        last = np.searchsorted(serials, header.serial[lines], "right")
        found &= last - np.searchsorted(serials, header.serial[lines]) == 1
        end = layout.ends[record]
        found &= end < done
        return _rows(found, header.body[record], end)


@cache
def _keep_freed_memory() -> None:
    """Have the C library keep freed memory, rather than have it again a page at a time.

    It keeps what is smaller than the largest block that it has seen freed (M_MMAP_THRESHOLD in
    mallopt(3)). That saves a third of all the time; none of the block is ever used.
    """
    np.empty(_KEPT, np.uint8)


def _rows(*columns: NDArray[Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


class _Seen:
    """What a block says, all of it: a part of that is what is asked for.

    `cuts` are the places that cannot be passed, in order. `begins` are where the records of the
    facts begin, `execs` where those of execs do, and where they end. `lines` are to be looked at
    by themselves.
    """

    def __init__(
        self,
        layout: Layout,
        bounds: tuple[int, int],
        cuts: Places,
        facts: Facts,
        begins: Places,
        execs: tuple[Places, Places],
        lines: Places,
    ) -> None:
        self._block = layout.block
        self._start, self._end = bounds
        self._newlines = layout.newlines
        self._cuts = cuts
        self._facts = facts
        self._begins = begins
        self._exec_begins, self._exec_ends = execs
        self._lines = lines

    def is_of(self, block: bytes, start: int, end: int) -> bool:
        """Tell whether it is a part of this that is asked for."""
        return block is self._block and end == self._end and start >= self._start

    def part(self, start: int, base: int) -> Screening:
        """Return what is said from `start` on, as Screen.read does."""
        stop = self._stop(start)
        first, last = np.searchsorted(self._newlines, (start, stop)).tolist()
        at = self._facts.columns[AT]
        begin, end = np.searchsorted(at, (start, stop)).tolist()
        facts = self._facts[begin:end]
        # Of an exec that began before, the rest has been looked at.
        whole = self._begins[begin:end] >= start
        if not whole.all():
            facts = facts[whole]
        # Whoever gets them may write to them.
        columns = facts.columns = facts.columns.copy()
        columns[AT] += base
        columns[[BEGIN, TEXT_END]] += np.where(columns[TEXT_END] > 0, base, 0)
        lines = self._lines_in(start, stop, base)
        return Screening(facts, lines, last - first - len(lines), stop)

    def _lines_in(self, start: int, stop: int, base: int) -> list[Line]:
        """Return the lines there that are to be looked at by themselves."""
        first, last = np.searchsorted(self._newlines[self._lines], (start, stop)).tolist()
        which = self._lines[first:last]
        bounds = _rows(self._newlines[which], self._newlines[which + 1])
        return [(begin + base, self._block[begin + 1 : end]) for begin, end in bounds]

    def _stop(self, start: int) -> int:
        """Return how far one may go from there: no exec is told in part."""
        n = int(np.searchsorted(self._cuts, start))
        if n == len(self._cuts):
            return self._end
        stop = int(self._cuts[n])
        first = int(np.searchsorted(self._exec_begins, max(start, stop - _FARTHEST_END)))
        while True:
            begins, ends = self._exec_begins[first:], self._exec_ends[first:]
            last = int(np.searchsorted(begins, stop))
            open_there = (ends[:last] >= stop).nonzero()[0]
            if not len(open_there):
                return stop
            stop = int(begins[open_there[0]])
            first = int(np.searchsorted(self._exec_begins, max(start, stop - _FARTHEST_END)))


def _ends(layout: Layout, header: Headers, told: Calls) -> tuple[Places, Flags]:
    """Return where execs are complete, and which calls are: any but an exec that ends nowhere."""
    is_last = (header.kind == headers.PROCTITLE) | (header.kind == headers.EOE)
    lasts = is_last.nonzero()[0]
    last, found = _same_event(header, told.line, lasts)
    done = layout.newlines[last]
    found &= header.kind[last] == headers.PROCTITLE
    found &= done - layout.newlines[told.line] <= _FARTHEST_END
    return done, found | (told.what != calls.EXEC)


def _same_event(header: Headers, lines: Places, others: Places) -> tuple[Places, Flags]:
    """Return for each line the first of `others` that is of the same event, if that comes later.

    It comes with whether there is one; where there is none, it is any line.
    """
    if not len(others):
        return lines, np.zeros(len(lines), np.bool_)
    serials = header.serial[others]
    order = np.argsort(serials, kind="stable")
    at = np.searchsorted(serials[order], header.serial[lines])
    first: Places = others[order[np.minimum(at, len(others) - 1)]]
    found = header.serial[first] == header.serial[lines]
    found &= header.ms[first] == header.ms[lines]
    return first, found & (first > lines)


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
