"""The system calls that tell of processes, of all in a block.

In the kernel's record of a call each word has its place (audit_log_exit, kernel/auditsc.c). A call
that does not return, such as exit_group(2), has neither success nor exit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from auditrule.audit.fact import NOBODY
from auditrule.audit.process import THREAD_FLAG
from auditrule.audit.syscalls import Deed, calls_of, clone_flags_argument, deed

if TYPE_CHECKING:
    from auditrule.audit.facts import Column
    from auditrule.audit.layout import Flags, Layout, Places

EXEC, CLONE, FORK, EXIT, EXIT_THREAD = range(1, 6)
"""What a call is; 0 is any other."""
_DEEDS: Final = {
    Deed.EXEC: EXEC,
    Deed.FORK: FORK,
    Deed.EXIT: EXIT,
    Deed.EXIT_THREAD: EXIT_THREAD,
}
# Calls of higher numbers (those of x32) are looked at by themselves.
_MOST_CALLS: Final = 8192
_UNKNOWN: Final = -1
_TYPE, _ID, _ARCH, _CALL, _SUCCESS, _RESULT, _A0, _A1, _A2, _A3, _ITEMS, _PPID, _PID = range(13)
_AUID, _EXE = 13, 25
# A call that does not return is shorter by success and exit.
_SHORTER: Final = 2
_HEX: Final = np.isin(np.arange(256), list(b"0123456789abcdef"))
_MOST_HEX: Final = 16
# In which digit of the flags, from behind, the flag is, and as which bit.
_FLAG_DIGIT, _FLAG_BIT = divmod(THREAD_FLAG.bit_length() - 1, 4)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that tell of processes, in columns.

    They say in which `line` each stands, its `number`, `what` it is, whose it is, and of a fork the
    child (else NOBODY), and whether that is a thread.
    """

    line: Places
    number: Column
    what: Column
    pid: Column
    ppid: Column
    child: Column
    is_thread: Flags

    def some(self, which: Flags | Places) -> Calls:
        """Return some of them."""
        return Calls(
            self.line[which],
            self.number[which],
            self.what[which],
            self.pid[which],
            self.ppid[which],
            self.child[which],
            self.is_thread[which],
        )


class CallReader:
    """Reads calls of an architecture, spelt as the log does, in hexadecimal.

    `before` words stand before the record's first.
    """

    def __init__(self, arch: bytes, before: int) -> None:
        self.before = before
        self._arch = b"arch=%s " % arch
        self._what = np.zeros(_MOST_CALLS + 1, np.int64)
        self._what[_MOST_CALLS] = _UNKNOWN
        for number, name in calls_of(int(arch, 16)).items():
            what = deed(name)
            if what is not None and number < _MOST_CALLS:
                self._what[number] = CLONE if name == "clone" else _DEEDS[what]
        self._flags = _A1 if clone_flags_argument(int(arch, 16)) == "a1" else _A0

    def read(self, layout: Layout, which: Places) -> tuple[Calls, Places]:
        """Read the lines of these numbers, which are records of calls.

        They come with the lines of those that may tell of processes, and are not what the kernel
        writes of such.
        """
        lines, first = layout.lines(which), self.before
        call_at = lines.word(first + _CALL)
        success_at = lines.word(first + _SUCCESS)
        good = layout.holds(lines.word(first + _ARCH), self._arch)
        good &= layout.holds(call_at, b"syscall=") & lines.has(first + _RESULT)
        number, are = layout.number(call_at + len(b"syscall="), success_at - 1)
        good &= are
        what = self._what[np.minimum(number, _MOST_CALLS)]
        is_bare = layout.holds(success_at, b"a0=")
        has_result = layout.holds(lines.word(first + _RESULT), b"exit=")
        is_success = has_result & layout.holds(success_at, b"success=yes ")
        is_failure = has_result & layout.holds(success_at, b"success=no ")
        returns = (what == EXEC) | (what == CLONE) | (what == FORK)
        ends = (what == EXIT) | (what == EXIT_THREAD)
        idle = good & (returns & is_failure | (what == 0) & (is_success | is_failure | is_bare))
        told = (good & (returns & is_success | ends & is_bare)).nonzero()[0]
        odd = ~idle
        odd[told] = False
        calls, are = self._read(layout, which[told], number[told], what[told])
        odd[told[~are]] = True
        return calls.some(are), which[odd]

    def _read(
        self, layout: Layout, which: Places, number: Column, what: Column
    ) -> tuple[Calls, Flags]:
        """Return calls, and which of them are as the kernel writes them."""
        lines = layout.lines(which)
        shift = self.before - np.where(what >= EXIT, _SHORTER, 0)

        def word(place: int) -> Places:
            return lines.word(shift + place)

        good = lines.has(shift + _PID + 1)
        for place, text in ((_A0, b"a0="), (_A1, b"a1="), (_A2, b"a2="), (_A3, b"a3=")):
            good &= layout.holds(word(place), text)
        good &= layout.holds(word(_ITEMS), b"items=")
        pid, are = _number(layout, word(_PID), word(_PID + 1), b"pid=")
        good &= are & (pid > 0)
        ppid, are = _number(layout, word(_PPID), word(_PID), b"ppid=")
        good &= are
        child, are = _number(layout, lines.word(self.before + _RESULT), word(_A0), b"exit=")
        is_clone = what == CLONE
        is_fork = is_clone | (what == FORK)
        good &= ~is_fork | (are & (child > 0))
        good &= (what != EXEC) | (are & (child == 0))
        clones = is_clone.nonzero()[0]
        flags = lines[clones]
        at = flags.word(self.before + self._flags) + len(b"a0=")
        is_thread = is_clone.copy()
        are, is_thread[clones] = _thread_flags(
            layout, at, flags.word(self.before + self._flags + 1) - 1
        )
        good[clones] &= are
        child = np.where(is_fork, child, NOBODY)
        return Calls(which, number, what, pid, ppid, child, is_thread), good

    def whose(self, layout: Layout, which: Places) -> Places:
        """Return from where on calls that return tell who makes them: from ' auid='.

        Where that is not where the kernel writes it, from the beginning.
        """
        lines = layout.lines(which)
        begin = lines.word(self.before + _AUID)
        return np.where(layout.holds(begin, b"auid="), begin - 1, lines.begin)

    def exe(self, layout: Layout, which: Places) -> tuple[Places, Places, Flags]:
        """Return where calls that return name the program's file, and which do so."""
        lines = layout.lines(which)
        begin, end = lines.word(self.before + _EXE), lines.word(self.before + _EXE + 1) - 1
        good = layout.holds(begin, b"exe=") & lines.has(self.before + _EXE + 1)
        return begin + len(b"exe="), end, good


def _number(layout: Layout, at: Places, after: Places, name: bytes) -> tuple[Column, Flags]:
    """Return the numbers of words that begin with `name`: as the log writes those of processes."""
    begin, end = at + len(name), after - 1
    number, good = layout.number(begin, end)
    good &= layout.holds(at, name)
    good &= (end - begin == 1) | (layout.read(begin, 1) != ord("0"))
    return number, good & (number < 10**9)


def _thread_flags(layout: Layout, begin: Places, end: Places) -> tuple[Flags, Flags]:
    """Tell which are hexadecimal numbers, and which have the flag of threads."""
    size = end - begin
    good = (size > 0) & (size <= _MOST_HEX)
    found = np.zeros(len(size), np.bool_)
    for digit in range(min(_MOST_HEX, int(size.max(initial=0)))):
        char = layout.read(end - 1 - digit, 1)
        good &= (digit >= size) | _HEX[char]
        if digit == _FLAG_DIGIT:
            value = np.where(char >= ord("a"), char - ord("a") + 10, char - ord("0"))
            found = (digit < size) & ((value >> _FLAG_BIT) & 1 == 1)
    return good, found
