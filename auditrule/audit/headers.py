"""The headers of a block's lines: of what type each is, and of which event.

All that stands before a record's body has its place, but for the serial, which grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from auditrule.audit.layout import MASKS, WORD, as_number, digits

if TYPE_CHECKING:
    from auditrule.audit.facts import Column
    from auditrule.audit.layout import Flags, Layout, Numbers, Places

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


_TYPE: Final = b"type=%s "
_TYPE_WORDS: Final = 3
_ID: Final = b"msg=audit("
_BITS: Final = 64
_SLOT_BITS: Final = 12
_SPREAD: Final = 0x9E3779B97F4A7C15

# Of msg=audit(1700000000.123:42): where the serial is, and what ends it.
_SERIAL = 25
_END: Final = b"): "
_END_NUMBER: Final = as_number(_END)
# The serial is a number of 32 bits (audit_serial, kernel/audit.c).
_MOST_DIGITS: Final = 10
_ID_WORDS: Final = 5
_SIZES: Final = np.arange(_MOST_DIGITS + 1) + _SERIAL + len(_END)
# Of each of its words, by the serial's digits, what belongs to it.
_ID_MASKS: Final = [MASKS[np.clip(_SIZES - n * WORD, 0, WORD)] for n in range(_ID_WORDS)]
# What each word of it holds where no digits are.
_FORM: Final = [
    (
        as_number(bytes(0xFF * (byte != ord("0")) for byte in piece)),
        as_number(piece.replace(b"0", b"\0")),
    )
    for piece in (b"msg=audi", b"t(000000", b"0000.000", b":")
]


class Headers(NamedTuple):
    """Of each line its type, and, if that is not OTHER, its event's time (in ms) and serial.

    And where its body begins.
    """

    kind: Column
    ms: Column
    serial: Column
    body: Places

    def same_event(
        self, lines: Places, others: Places, *, only: bool = False
    ) -> tuple[Places, Flags]:
        """Return for each line the first of `others` that is of the same event, if it comes later.

        It comes with whether there is one, and if it has to be the `only` one, no other with its
        serial; where there is none, it is any line.
        """
        if not len(others):
            return lines, np.zeros(len(lines), np.bool_)
        serials, wanted = self.serial.take(others), self.serial.take(lines)
        if bool((serials[1:] < serials[:-1]).any()):
            order = np.argsort(serials, kind="stable")
            serials, others = serials[order], others[order]
        at = np.searchsorted(serials, wanted)
        first = others.take(at, mode="clip")
        found = self.serial.take(first) == wanted
        found &= self.ms.take(first) == self.ms.take(lines)
        if only:
            found &= np.searchsorted(serials, wanted, "right") == at + 1
        return first, found & (first > lines)


def read_headers(layout: Layout, node: bytes | None) -> Headers:
    """Read the headers of all lines of a host, which they name as `node`, or not at all."""
    at = layout.begins
    good = np.ones(len(at), np.bool_)
    if node is not None:
        name = b"node=%s " % node
        good &= layout.holds(at, name)
        at = at + len(name)
    kind, size = _kinds(layout, at)
    at = at + size
    words = layout.words(at, _ID_WORDS)
    count = _serial_digits(words)
    ms, serial, are = _ids(words, count)
    kind[~(good & are)] = OTHER
    return Headers(kind, ms, serial, at + _SIZES.take(count))


def _serial_digits(words: Numbers) -> Places:
    """Return how many characters the serials in IDs have, whatever they are; 0 where none can be.

    In a part of a log nearly all have the same.
    """
    found = np.zeros(len(words), np.int64)
    likely = words[:1].tobytes().find(_END, _SERIAL) - _SERIAL
    left = np.arange(len(words))
    for count in sorted(range(1, _MOST_DIGITS + 1), key=likely.__ne__):
        ends = _behind_serial(words, count) & MASKS[len(_END)] == _END_NUMBER
        found[left[ends]] = count
        left, words = left[~ends], words[~ends]
        if not len(left):
            break
    return found


def _behind_serial(words: Numbers, count: int) -> Numbers:
    """Return what stands in IDs behind so many digits of the serial."""
    bits = 8 * (_SERIAL % WORD + count)
    if bits >= _BITS:
        return words[:, 4] >> np.uint64(bits - _BITS)
    return words[:, 3] >> np.uint64(bits) | words[:, 4] << np.uint64(_BITS - bits)


def _ids(words: Numbers, count: Places) -> tuple[Column, Column, Flags]:
    """Return the time and the serial in IDs, and which are such as the kernel writes them.

    Most lines are of the same event as the line before.
    """
    is_new = np.zeros(len(words), np.bool_)
    is_new[:1] = True
    for n in range(_ID_WORDS):
        word = words[:, n]
        if n >= _SERIAL // WORD:
            # Some of it is of the body.
            word = word & _ID_MASKS[n].take(count)
        is_new[1:] |= word[1:] != word[:-1]
    event = np.cumsum(is_new) - 1
    first = is_new.nonzero()[0]
    new, count = words.take(first, 0).T, count.take(first)
    good = count > 0
    for n, (mask, form) in enumerate(_FORM):
        good &= new[n] & mask == form
    # No number begins with 0.
    for n, at in ((1, 2), (3, 1)):
        good &= (new[n] >> np.uint64(8 * at)) & MASKS[1] != ord("0")
    # Of the seconds, six digits are in one word, and four in the next.
    high, are = digits(new[1], 6)
    good &= are
    low, are = digits(new[2] << np.uint64(32), 4)
    good &= are
    millis, are = digits(new[2], 3)
    good &= are
    serial, are = _serials(new, count)
    ms = (high * 10_000 + low) * 1000 + millis
    return ms.take(event), serial.take(event), (good & are).take(event)


def _serials(words: Numbers, count: Places) -> tuple[Column, Flags]:
    """Return the serials in IDs: seven digits are in one word, what is more in the next."""
    first = np.minimum(count, 7)
    number, good = digits(words[3] << (8 * (7 - first)).astype(np.uint64), first)
    if bool((count > 7).any()):
        more = count - first
        rest, are = digits(words[4] << (8 * (WORD - more)).astype(np.uint64), more)
        number = number * 10**more + rest
        good &= are
    return number, good


class _Kinds:
    """Types by the word that names them (type=PATH), looked up in a table for many at once."""

    def __init__(self) -> None:
        words = [_TYPE % name for name in _KINDS]
        size = _TYPE_WORDS * WORD
        # What follows is the same for all.
        padded = b"".join((word + _ID)[:size].ljust(size, b"\0") for word in words)
        table = np.frombuffer(padded, "<u8").reshape(-1, _TYPE_WORDS)
        self._words = [table[:, word].copy() for word in range(_TYPE_WORDS)]
        self._sizes = np.array([*map(len, words)])
        self._last = MASKS[np.clip([len(word) + len(_ID) - 2 * WORD for word in words], 0, WORD)]
        self._kinds = np.array([*_KINDS.values()])
        # Any factor will do by which each has a slot of its own.
        factors = range(_SPREAD, _SPREAD + (1 << 20), 2)
        self._factor = next(
            each for each in factors if len({*self._slot(table, each).tolist()}) == len(words)
        )
        self._slots = np.zeros(1 << _SLOT_BITS, np.int64)
        self._slots[self._slot(table, self._factor)] = np.arange(len(words))

    def read(self, layout: Layout, at: Places) -> tuple[Column, Column]:
        """Return the types that are named there, and the size of what names them."""
        words = layout.words(at, _TYPE_WORDS)
        which = self._slots.take(self._slot(words, self._factor))
        first, second, third = self._words
        good = words[:, 0] == first.take(which)
        good &= words[:, 1] == second.take(which)
        good &= words[:, 2] & self._last.take(which) == third.take(which)
        return self._kinds.take(which) * good, self._sizes.take(which)

    @staticmethod
    def _slot(words: Numbers, factor: int) -> Places:
        """Return the slot by the first two words: these are of no event yet."""
        found = words[:, 0] * np.uint64(31)
        found ^= words[:, 1]
        found *= np.uint64(factor)
        found >>= np.uint64(_BITS - _SLOT_BITS)
        return found.view(np.int64)


_kinds = _Kinds().read
