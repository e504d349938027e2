"""The system calls that tell of processes, of all in a block.

In the kernel's record of a call each word has its place (audit_log_exit, kernel/auditsc.c). A call
that does not return, such as exit_group(2), has neither success nor exit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from auditrule.audit.fact import NOBODY
from auditrule.audit.layout import Words
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
# Where words are, from the first argument on,
_NAMES: Final = (b"a0=", b"a1=", b"a2=", b"a3=", b"items=", b"ppid=", b"pid=", b"auid=")
_A0, _A1, _PPID, _PID, _AUID = 0, 1, 5, 6, 7
# and from auid= on.
_EXE = 12
_SUCCESS: Final = b"success=yes exit="
_FAILURE: Final = b"success=no exit="
# All of these, with arguments of 16 digits.
_ARGUMENTS_ROOM: Final = 128
# From auid= to the program's file, where that has no longer a name than usual.
_WHOSE_ROOM: Final = 320
_HEX: Final = np.isin(np.arange(256), list(b"0123456789abcdef"))
_MOST_HEX: Final = 16
# In which digit of the flags, from behind, the flag is, and as which bit.
_FLAG_DIGIT, _FLAG_BIT = divmod(THREAD_FLAG.bit_length() - 1, 4)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that tell of processes, in columns.

    They say in which `line` each stands, its `number`, `what` it is, the pid and ppid of who makes
    it, and of a fork the child (else NOBODY), and whether that is a thread. From `whose` on (auid=)
    a record tells more of who makes the call.
    """

    line: Places
    number: Column
    what: Column
    pid: Column
    ppid: Column
    child: Column
    is_thread: Flags
    whose: Places

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
            self.whose[which],
        )


class CallReader:
    """Reads calls of an architecture, spelt as the log does, in hexadecimal."""

    def __init__(self, arch: bytes) -> None:
        self._begin = b"arch=%s syscall=" % arch
        self._what = np.zeros(_MOST_CALLS + 1, np.int64)
        self._what[_MOST_CALLS] = _UNKNOWN
        for number, name in calls_of(int(arch, 16)).items():
            what = deed(name)
            if what is not None and number < _MOST_CALLS:
                self._what[number] = CLONE if name == "clone" else _DEEDS[what]
        self._flags = _A1 if clone_flags_argument(int(arch, 16)) == "a1" else _A0

    def read(self, layout: Layout, which: Places, body: Places) -> tuple[Calls, Places]:
        """Read the lines of these numbers, which are records of calls, and begin there.

        They come with the lines of those that may tell of processes, and are not what the kernel
        writes of such.
        """
        number, number_end, good = layout.number(body + len(self._begin))
        good &= layout.holds(body, self._begin) & (number_end < layout.ends[which])
        what = np.where(good, self._what.take(np.minimum(number, _MOST_CALLS)), _UNKNOWN)
        odd = what == _UNKNOWN
        told = (what > 0).nonzero()[0]
        success_at, what = number_end[told] + 1, what[told]
        ends = what >= EXIT
        succeeds = ~ends & layout.holds(success_at, _SUCCESS)
        is_told = ends | succeeds
        odd[told] = ~is_told & ~layout.holds(success_at, _FAILURE)
        told, what, success_at = told[is_told], what[is_told], success_at[is_told]
        calls, are = self._read(layout, which[told], number[told], what, success_at)
        odd[told] = ~are
        return calls.some(are), which[odd]

    def _read(
        self, layout: Layout, which: Places, number: Column, what: Column, at: Places
    ) -> tuple[Calls, Flags]:
        """Return calls, of which is told more from there on, and which are the kernel's."""
        returns = what < EXIT
        result, result_end, good = layout.number(at + len(_SUCCESS))
        good &= ((result > 0) | (what == EXEC)) & ((result == 0) | (what != EXEC))
        good |= ~returns
        words = Words(layout, np.where(returns, result_end + 1, at), _ARGUMENTS_ROOM)
        # All of it is in the line.
        good &= words.has(_PID) & (words.end(_PID) < layout.ends[which])
        for place, name in enumerate(_NAMES):
            good &= layout.holds(words.begin(place), name)
        ppid, pid, are = _parent_and_own(layout, words)
        good &= are & (pid > 0)
        whose = words.begin(_AUID)
        clones = (what == CLONE).nonzero()[0]
        flags_at = words.begin(self._flags)[clones] + len(b"a0=")
        is_thread = np.zeros(len(which), np.bool_)
        are, is_thread[clones] = _thread_flags(layout, flags_at, words.end(self._flags)[clones])
        good[clones] &= are
        child = np.where((what == CLONE) | (what == FORK), result, NOBODY)
        return Calls(which, number, what, pid, ppid, child, is_thread, whose), good


def program_files(layout: Layout, whose: Places, line_ends: Places) -> tuple[Places, Places, Flags]:
    """Return where calls name the program's file, and which do so, from auid= on."""
    words = Words(layout, whose, _WHOSE_ROOM)
    begin, end = words.begin(_EXE), words.end(_EXE)
    good = words.has(_EXE) & (end < line_ends) & layout.holds(begin, b"exe=")
    return begin + len(b"exe="), end, good


def _parent_and_own(layout: Layout, words: Words) -> tuple[Column, Column, Flags]:
    """Return the numbers of the parent and of the process, and where there are both."""
    begins = [words.begin(place) + len(_NAMES[place]) for place in (_PPID, _PID)]
    ends = [words.end(place) for place in (_PPID, _PID)]
    # All at once, it takes half the time.
    number, good = layout.between(np.concatenate(begins), np.concatenate(ends))
    ppid, pid = np.split(number, 2)
    return ppid, pid, np.logical_and(*np.split(good, 2))


def _thread_flags(layout: Layout, begin: Places, end: Places) -> tuple[Flags, Flags]:
    """Tell which are hexadecimal numbers, and which have the flag of threads."""
    size = end - begin
    good = (size > 0) & (size <= _MOST_HEX)
    chars = layout.rows(end - _MOST_HEX, _MOST_HEX)
    before = np.arange(_MOST_HEX) < (_MOST_HEX - size)[:, None]
    good &= (_HEX[chars] | before).all(1)
    char = chars[:, -1 - _FLAG_DIGIT]
    value = np.where(char >= ord("a"), char - ord("a") + 10, char - ord("0"))
    return good, (size > _FLAG_DIGIT) & ((value >> _FLAG_BIT) & 1 == 1)
