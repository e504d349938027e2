"""The layout of a block: where its lines and their words are, and what stands there.

To take each line into Python's hands costs a microsecond, and a log has ten thousand a second. With
an array of places, numpy looks at all lines in a hundredth of that. Whoever asks says what is to
stand at a place, and leaves any other line to those who read it by itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places: TypeAlias = NDArray[np.int64]
    Flags: TypeAlias = NDArray[np.bool_]
    Numbers: TypeAlias = NDArray[np.uint64]

_NEWLINE = ord("\n")
_SPACE = ord(" ")
WORD: Final = 8
"""So many bytes are looked at as one number, the first of them the lowest."""
MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(8)] + [(1 << 64) - 1], "<u8")
"""The first n bytes of such a number."""
_LAST: Final = np.array([0] + [(~0 << 8 * (WORD - n)) & (1 << 64) - 1 for n in range(1, 9)], "<u8")
_ZEROS: Final = int.from_bytes(b"0" * WORD, "little")
# The zeros that stand before n digits.
_BEFORE: Final = ~_LAST & np.uint64(_ZEROS)
_HIGH: Final = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES: Final = np.uint64(0x0606060606060606)
_SPACES: Final = np.uint64(0x2020202020202020)
_ONES: Final = np.uint64(0x0101010101010101)
_HIGHEST: Final = np.uint64(0x8080808080808080)
_BITS: Final = 64
_KEPT: Final = 31 << 20


class Layout:
    r"""The lines of block[start:end], each behind a b"\n": one stands at `start` and one at `end`.

    Lines are counted from 0; places are those in the block.
    """

    def __init__(self, block: bytes, start: int, end: int) -> None:
        self.block = block
        part = np.frombuffer(block, np.uint8)[start : end + 1]
        self.newlines = _set_in(part == _NEWLINE)
        """Where the newlines before the lines are, and that at the end."""
        self.newlines += start
        self.begins = self.newlines[:-1] + 1
        """Where the lines begin."""
        self.ends = self.newlines[1:]
        """Where they end."""
        self._views: dict[int, NDArray[np.void]] = {}

    def rows(self, at: Places, size: int) -> NDArray[np.uint8]:
        """Return the `size` bytes behind each place, a row each; 0 behind the end of the block."""
        try:
            view = self._views.get(size)
            if view is None:
                view = self._views[size] = _view(self.block, size)
            return _rows(view, at)
        except (IndexError, ValueError):
            # Some are too near to the end, or the block is too short.
            places = max(len(self.block) - size + 1, 0)
            late = at >= places
            rest = self.block[places:] + bytes(2 * size)
            found = np.empty((len(at), size), np.uint8)
            found[late] = _rows(_view(rest, size), np.minimum(at[late], len(self.block)) - places)
            if places:
                found[~late] = _rows(_view(self.block, size), at[~late])
            return found

    def words(self, at: Places, count: int) -> Numbers:
        """Return what stands there as `count` numbers each, a row each (WORD)."""
        return self.rows(at, count * WORD).view("<u8")

    def read(self, at: Places, size: int) -> Numbers:
        """Return the `size` bytes (1, 2, 4, 8) there as a number, of which the first is lowest."""
        found: Numbers = self.rows(at, size).view(f"<u{size}").reshape(-1)
        return found

    def holds(self, at: Places, text: bytes) -> Flags:
        """Tell of which places `text` stands there, in which no byte is 0."""
        pieces = [text[begin : begin + WORD] for begin in range(0, len(text), WORD)]
        words = self.words(at, len(pieces))
        found: Flags = words[:, -1] & MASKS[len(pieces[-1])] == as_number(pieces[-1])
        for n, piece in enumerate(pieces[:-1]):
            found &= words[:, n] == as_number(piece)
        return found

    def space_after(self, at: Places, size: int) -> tuple[Places, Flags]:
        """Return the first space of so many bytes, and where there is one."""
        is_space = self.rows(at, size) == _SPACE
        after: Places = is_space.argmax(1)
        return at + after, is_space[np.arange(len(at)), after]

    def between(self, begin: Places, end: Places) -> tuple[Places, Flags]:
        """Return the numbers that stand there, and where there are any: as `number` does.

        They have 8 digits at most. None is read that ends in the first 8 bytes of the block: there
        is a header before each.
        """
        size = end - begin
        good = (size > 0) & (size <= WORD) & (end >= WORD)
        number, are = digits(self.read(np.maximum(end - WORD, 0), WORD), np.clip(size, 0, WORD))
        good &= are
        return number, good & ((size == 1) | (self.read(begin, 1) != ord("0")))

    def number(self, at: Places) -> tuple[Places, Places, Flags]:
        """Return the numbers that stand there before a space, and that space, and where they do.

        They have 7 digits at most, and begin with 0 only if that is all.
        """
        word = self.read(at, WORD)
        # A byte that is a space is 0 now, and the highest bit of the first such is set then.
        others = word ^ _SPACES
        is_space = (others - _ONES) & ~others & _HIGHEST
        size = np.bitwise_count(is_space ^ (is_space - 1)).astype(np.int64) >> 3
        size -= 1
        number, good = digits(word << (_BITS - 8 * size).astype(np.uint64), size)
        good &= (size > 0) & (is_space != 0)
        good &= (size == 1) | (word & MASKS[1] != ord("0"))
        return number, at + size, good


def digits(word: Numbers, size: Places | int) -> tuple[Places, Flags]:
    """Return the number that the last `size` bytes (0 to 8) of a word spell, and if they do."""
    word = word & _LAST.take(size) | _BEFORE.take(size)
    good = (word & _HIGH) == _ZEROS
    good &= ((word + _SIXES) & _HIGH) == _ZEROS
    # Pairs of digits, then fours, then all.
    word &= np.uint64(0x0F0F0F0F0F0F0F0F)
    word *= np.uint64(10 << 8 | 1)
    word >>= np.uint64(8)
    word &= np.uint64(0x00FF00FF00FF00FF)
    word *= np.uint64(100 << 16 | 1)
    word >>= np.uint64(16)
    word &= np.uint64(0x0000FFFF0000FFFF)
    word *= np.uint64(10_000 << 32 | 1)
    word >>= np.uint64(32)
    return word.astype(np.int64), good


class Words:
    """The words from some places of a block on, as far as `size` bytes go: what spaces part.

    The size is a multiple of 64.
    A newline parts none: whoever asks looks whether the line has ended before.
    """

    def __init__(self, layout: Layout, at: Places, size: int) -> None:
        is_space = layout.rows(at, size) == _SPACE
        self._at = at
        # Those of all rows behind each other, and which is the first of each row.
        self._spaces: Places = is_space.reshape(-1).nonzero()[0]
        bits = np.packbits(is_space).view("<u8").reshape(-1, size // _BITS)
        count = np.bitwise_count(bits).sum(1)
        self._after: Places = np.cumsum(count)
        self._first: Places = self._after - count
        self._moved: Places = at - np.arange(len(at)) * size

    def begin(self, number: int) -> Places:
        """Return where a word of each begins; anywhere, where there is none."""
        return self.end(number - 1) + 1 if number else self._at

    def end(self, number: int) -> Places:
        """Return the space behind a word of each; anywhere, where there is none."""
        if not len(self._spaces):
            return self._at
        which = np.minimum(self._first + number, len(self._spaces) - 1)
        return self._spaces.take(which) + self._moved

    def has(self, number: int) -> Flags:
        """Tell which have a word of this number, and a space behind it."""
        return self._first + number < self._after


def as_number(text: bytes) -> int:
    """Return what Layout.words gives where so many bytes stand."""
    return int.from_bytes(text, "little")


def _view(block: bytes, size: int) -> NDArray[np.void]:
    """Return what stands in a block from each place on."""
    return np.ndarray((len(block) - size + 1,), f"V{size}", block, strides=(1,))


def _rows(view: NDArray[np.void], at: Places) -> NDArray[np.uint8]:
    return view[at].view(np.uint8).reshape(-1, view.itemsize)


@cache
def keep_freed_memory() -> None:
    """Have the C library keep freed memory, rather than have it again a page at a time.

    It keeps what is smaller than the largest block that it has seen freed (M_MMAP_THRESHOLD in
    mallopt(3)). That saves a third of all the time; none of the block is ever used.
    """
    np.empty(_KEPT, np.uint8)


def as_rows(*columns: NDArray[Any]) -> list[tuple[Any, ...]]:
    """Return columns as rows."""
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _set_in(flags: Flags) -> Places:
    """Return which flags are set, hardly any of which are."""
    # Eight at a time, it takes a third of the time.
    whole = len(flags) // WORD * WORD
    cells = flags[:whole].view("<u8")
    which = (cells != 0).nonzero()[0]
    found = cells[which]
    found -= 1
    if bool((cells[which] & found).any()):
        # Two are so close to each other that they are in the same.
        return flags.nonzero()[0]
    places = which * WORD + (np.bitwise_count(found) >> 3)
    return np.concatenate([places, flags[whole:].nonzero()[0] + whole])
