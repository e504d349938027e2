"""The headers of a block's lines: of what type each is, and of which event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditrule.audit.facts import Column
    from auditrule.audit.layout import Flags, Layout, Places

OTHER: Final = 0
"""Any type that has no number, or no header that the kernel or auditd writes."""
SYSCALL, EXECVE, PATH, PROCTITLE, EOE, IDLE = range(1, 7)
"""The types that somebody asks about who asks about processes; IDLE are those of no use to them.

Of a type that is not named here, each line is to be looked at by itself.
"""
_IDLE_NAMES: Final = (
    "CWD BPRM_FCAPS SOCKADDR MMAP FD_PAIR SECCOMP NETFILTER_CFG AVC LOGIN CRED_ACQ CRED_DISP"
    " CRED_REFR SERVICE_START SERVICE_STOP USER_ACCT USER_AUTH USER_CMD USER_END USER_ERR"
    " USER_LOGIN USER_LOGOUT USER_START"
)
_KINDS: Final = {
    b"SYSCALL": SYSCALL,
    b"EXECVE": EXECVE,
    b"PATH": PATH,
    b"PROCTITLE": PROCTITLE,
    b"EOE": EOE,
    **dict.fromkeys(_IDLE_NAMES.encode().split(), IDLE),
}
_TYPE: Final = b"type="
_WORD: Final = 8
_WORDS: Final = 5
_TYPE_WORDS: Final = 3
_SLOT_BITS: Final = 12
_SPREAD: Final = 0x9E3779B97F4A7C15

# Of a word msg=audit(1700000000.123:42): where its parts are.
_SECONDS, _POINT, _MILLIS, _COLON, _SERIAL = 10, 20, 21, 24, 25
_END: Final = b"):"


class Headers(NamedTuple):
    """Of each line its type, and, if that is not OTHER, its event's time (in ms) and serial."""

    kind: Column
    ms: Column
    serial: Column


def read_headers(layout: Layout, node: bytes | None) -> Headers:
    """Read the headers of all lines of a host, which they name as `node`, or not at all."""
    lines = layout.lines()
    before = 0 if node is None else 1
    kind_at, id_at = lines.word(before), lines.word(before + 1)
    kind_end, id_end = id_at - 1, lines.word(before + 2) - 1
    good = lines.has(before + 1)
    if node is not None:
        good &= layout.holds(lines.begin, b"node=%s " % node)
    kind = _kinds(layout, kind_at, kind_end)
    group, are, ms, serial = _ids(layout, id_at, id_end)
    good &= are[group]
    kind[~good] = OTHER
    return Headers(kind, ms[group], serial[group])


def _ids(layout: Layout, begin: Places, end: Places) -> tuple[Places, Flags, Column, Column]:
    """Return which event each line is of, by the word with its ID.

    They are counted from 0, and are new wherever the word is not that of the line before. Of each
    it is told whether it is such a word as the kernel writes, and if so, its time and serial.
    """
    words = layout.beginnings(begin, end, _WORDS)
    anew = np.ones(len(begin), np.bool_)
    size = end - begin
    # Only so much has been looked at.
    anew[1:] = (size[1:] != size[:-1]) | (size[1:] > _WORDS * _WORD)
    anew |= begin + _WORDS * _WORD > len(layout.block)
    for word in range(_WORDS):
        anew[1:] |= words[1:, word] != words[:-1, word]
    begin, end = begin[anew], end[anew]
    good = layout.holds(begin, b"msg=audit(")
    good &= layout.holds(begin + _POINT, b".") & layout.holds(begin + _COLON, b":")
    good &= layout.holds(end - len(_END), _END)
    seconds, are = layout.number(begin + _SECONDS, begin + _POINT)
    good &= are & (layout.read(begin + _SECONDS, 1) != ord("0"))
    millis, are = layout.number(begin + _MILLIS, begin + _COLON)
    good &= are
    serial, are = layout.number(begin + _SERIAL, end - len(_END))
    good &= are & (layout.read(begin + _SERIAL, 1) != ord("0"))
    return np.cumsum(anew) - 1, good, seconds * 1000 + millis, serial


class _Kinds:
    """Types by the word that names them (type=PATH), looked up in a table for many at once."""

    def __init__(self) -> None:
        words = [_TYPE + name for name in _KINDS]
        padded = b"".join(word.ljust(_TYPE_WORDS * _WORD, b"\0") for word in words)
        self._words = np.frombuffer(padded, "<u8").reshape(-1, _TYPE_WORDS)
        self._sizes = np.array([*map(len, words)])
        self._kinds = np.array([*_KINDS.values()])
        # Any factor will do by which each has a slot of its own.
        self._factor = next(filter(self._is_good, range(_SPREAD, _SPREAD + (1 << 20), 2)))
        self._slots = np.zeros(1 << _SLOT_BITS, np.int64)
        self._slots[self._slot(self._words, self._factor)] = np.arange(len(words))

    def read(self, layout: Layout, begin: Places, end: Places) -> Column:
        """Return the types that words name."""
        words = layout.beginnings(begin, end, _TYPE_WORDS)
        which = self._slots[self._slot(words, self._factor)]
        good = self._sizes[which] == end - begin
        for word in range(_TYPE_WORDS):
            good &= self._words[which, word] == words[:, word]
        return np.where(good, self._kinds[which], OTHER)

    def _is_good(self, factor: int) -> bool:
        return len(np.unique(self._slot(self._words, factor))) == len(self._words)

    @staticmethod
    def _slot(words: NDArray[np.uint64], factor: int) -> NDArray[np.uint64]:
        found = words[:, 0].copy()
        for word in range(1, words.shape[1]):
            found *= np.uint64(31)
            found ^= words[:, word]
        found *= np.uint64(factor)
        found >>= np.uint64(64 - _SLOT_BITS)
        return found


_kinds = _Kinds().read
