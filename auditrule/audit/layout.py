"""The layout of a block: where its lines and their words are, and what stands there.

To take each line into Python's hands costs a microsecond, and a log has ten thousand a second. With
an array of places, numpy looks at all lines in a hundredth of that. A word is what spaces part, as
in the kernel's own records; whoever asks says what is to stand there, and leaves any other line to
those who read it by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places: TypeAlias = NDArray[np.int64]
    Flags: TypeAlias = NDArray[np.bool_]

_NEWLINE = ord("\n")
_SPACE = ord(" ")
_ZERO = ord("0")
_WORD = 8
# Of eight bytes as a number, which begins with the last one, the last n.
_LAST: Final = np.array([0] + [(~0 << 8 * (_WORD - n)) & (1 << 64) - 1 for n in range(1, 9)], "<u8")
_ZEROS: Final = int.from_bytes(b"0" * _WORD, "little")
_HIGH: Final = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES: Final = np.uint64(0x0606060606060606)
_FIRST: Final = np.array([(1 << 8 * n) - 1 for n in range(8)] + [(1 << 64) - 1], "<u8")
# The zeros that stand before n digits.
_BEFORE: Final = ~_LAST & np.uint64(_ZEROS)
_MOST_DIGITS: Final = 16
_LEAST: Final = 64


class Layout:
    r"""The lines of block[start:end], each behind a b"\n": one stands at `start` and one at `end`.

    Lines and words are counted from 0; places are those in the block.
    """

    def __init__(self, block: bytes, start: int, end: int) -> None:
        self.block = block
        self.bytes: NDArray[np.uint8] = np.frombuffer(block, np.uint8)
        part = self.bytes[start : end + 1]
        between = part == _SPACE
        between |= part == _NEWLINE
        # Of spaces and newlines.
        self._between: Places = between.nonzero()[0]
        self._between += start
        # Which of them are newlines.
        self._newlines: Places = (self.bytes[self._between] == _NEWLINE).nonzero()[0]
        self.newlines: Places = self._between[self._newlines]
        """Where the newlines before the lines are, and that at the end."""
        # Each view of it has some place at least.
        self._room = block.ljust(_LEAST, b"\0")
        self._views = {
            size: np.ndarray((len(self._room) - size + 1,), f"<u{size}", self._room, strides=(1,))
            for size in (1, 2, 4, 8)
        }

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.newlines) - 1

    def lines(self, which: Places | None = None) -> Lines:
        """Return the lines of these numbers; all, if none are given."""
        if which is None:
            return Lines(self, self._newlines[:-1], self._newlines[1:])
        return Lines(self, self._newlines[which], self._newlines[which + 1])

    def word(self, number: Places) -> Places:
        """Return where the words behind these newlines and spaces begin."""
        return self._between[np.minimum(number, len(self._between) - 1)] + 1

    def read(self, at: Places, size: int) -> NDArray[np.uint64]:
        """Return the `size` bytes (1, 2, 4, 8) that stand there as numbers; the first is lowest.

        What does not lie in the block is anything.
        """
        view = self._views[size]
        try:
            return view[at]
        except IndexError:
            return view[np.clip(at, 0, len(view) - 1)]

    def beginnings(self, at: Places, end: Places, words: int) -> NDArray[np.uint64]:
        """Return what is there before `end`, as so many numbers as `read` gives; 0 behind it.

        What does not lie in the block is anything.
        """
        width = words * _WORD
        count = len(self._room) - width + 1
        view: NDArray[np.void] = np.ndarray((count,), f"V{width}", self._room, strides=(1,))
        try:
            found = view[at]
        except IndexError:
            found = view[np.clip(at, 0, len(view) - 1)]
        table: NDArray[np.uint64] = found.view("<u8").reshape(-1, words)
        for word in range(words):
            left = end - at - word * _WORD
            if bool((left < _WORD).any()):
                table[:, word] &= _FIRST[np.clip(left, 0, _WORD)]
        return table

    def holds(self, at: Places, text: bytes) -> Flags:
        """Tell of which places `text` stands there."""
        found = np.ones(len(at), np.bool_)
        end = 0
        for begin in range(0, len(text), _WORD):
            piece = text[begin : begin + _WORD]
            size = 1 << (len(piece) - 1).bit_length()
            # Some that stands behind it may have been read, too.
            read = self.read(at + begin, size)
            if size > len(piece):
                read = read & np.uint64((1 << 8 * len(piece)) - 1)
            found &= read == int.from_bytes(piece, "little")
            end = begin + size
        # What was not in the block was anything.
        return found & (at + end <= len(self.block))

    def number(self, begin: Places, end: Places) -> tuple[NDArray[np.int64], Flags]:
        """Return the numbers that stand there, and where there are any: 1 to 16 digits.

        None is read that ends in the first 16 bytes of the block: there is a header before each.
        """
        size = end - begin
        good = (size > 0) & (size <= _MOST_DIGITS) & (end >= _MOST_DIGITS)
        low, are_low = self._digits(end, np.clip(size, 0, _WORD))
        good &= are_low
        if bool((size > _WORD).any()):
            high, are_high = self._digits(end - _WORD, np.clip(size - _WORD, 0, _WORD))
            low = low + high * 10**_WORD
            good &= are_high
        return low, good

    def _digits(self, end: Places, size: Places) -> tuple[NDArray[np.int64], Flags]:
        """Return what `size` digits before `end` are, up to 8 of them: all as one number."""
        word = self.read(end - _WORD, _WORD) & _LAST[size] | _BEFORE[size]
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


class Lines:
    """Some lines of a block, in order."""

    def __init__(self, layout: Layout, first: Places, last: Places) -> None:
        self._layout = layout
        self._first = first
        self._last = last

    def __len__(self) -> int:
        """Return how many they are."""
        return len(self._first)

    def __getitem__(self, which: Flags | Places) -> Lines:
        """Return some of them."""
        return Lines(self._layout, self._first[which], self._last[which])

    @property
    def begin(self) -> Places:
        """Where they begin."""
        return self._layout.word(self._first)

    @property
    def end(self) -> Places:
        """Where they end."""
        return self._layout.word(self._last) - 1

    def word(self, number: int | Places) -> Places:
        """Return where a word of each begins; anywhere, where there is none."""
        return self._layout.word(self._first + number)

    def has(self, number: int | Places) -> Flags:
        """Tell which have a word of this number, be it empty."""
        return self._first + number < self._last
