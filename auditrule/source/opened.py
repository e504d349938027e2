"""A log's file while it is being read: what was given of it, and whether it still is the same."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Protocol

from auditrule.source.archive import LogStream
from auditrule.source.errors import SourceError
from auditrule.source.files import FileIdentity, LogFile, head_of, key_of, read_start

if TYPE_CHECKING:
    from auditrule.source.lines import LineSplitter

# What one read takes from the file at most, and so what its lines may hold.
BLOCK_SIZE = 1 << 20


class EmptiedError(Exception):
    """The file was emptied in place, and may have been filled anew."""


class OpenFile(Protocol):
    """A file that is read line by line; its descriptor keeps it, whatever becomes of its name.

    splitter: holds the line that has no newline yet.
    """

    splitter: LineSplitter

    @property
    def lost(self) -> bool:
        """Whether it held more than can be read."""

    @property
    def key(self) -> bytes:
        """Its first line as far as it goes."""

    @property
    def end(self) -> int:
        """How far it was read: the offset, decompressed, behind the last byte taken."""

    @property
    def unread(self) -> int:
        """How many bytes, as stored, are left."""

    def identity(self) -> FileIdentity:
        """Tell what it is known by."""

    def read_lines(self) -> list[bytes]:
        """Return the next lines, about BLOCK_SIZE bytes at most; [] at the end of what is written.

        Raises OSError or SourceError where the disk fails, EmptiedError where what it had given is
        there no more.
        """

    def close(self) -> None:
        """Let go of it."""


def given(file: OpenFile) -> int:
    """Return the offset after the last line given."""
    return file.end - file.splitter.pending


class PlainFile:
    """An OpenFile that is not compressed, and may grow.

    start: its first bytes. seen, seen_at: how long it was, and when, when it last was the same.
    """

    def __init__(
        self, fd: int, file: LogFile, splitter: LineSplitter, offset: int, at_least: int
    ) -> None:
        self.splitter = splitter
        self.fd = fd
        self._identity = FileIdentity(file.device, file.inode, b"")
        self.start = file.start or b""
        self.seen = os.fstat(fd).st_size
        self.seen_at = time.monotonic()
        self._at_least = at_least if offset < at_least else 0
        # A copy may be shorter than what was read of the original; a crash may have cut the log.
        self.end = min(offset, self.seen)

    @property
    def lost(self) -> bool:
        """Whether it held more than can be read."""
        return self.end < self._at_least

    @property
    def key(self) -> bytes:
        """Its first line as far as it goes."""
        return key_of(self.start)

    @property
    def unread(self) -> int:
        """How many bytes, as stored, are left."""
        return max(0, os.fstat(self.fd).st_size - given(self))

    def identity(self) -> FileIdentity:
        """Tell what it is known by."""
        if not self._identity.head:
            own = self._identity
            self._identity = FileIdentity(own.device, own.inode, head_of(self.start))
        return self._identity

    def read_lines(self) -> list[bytes]:
        """Return the next lines, as OpenFile says."""
        while True:
            block = os.pread(self.fd, BLOCK_SIZE, self.end)
            # After the read: whatever it has read was still the old content.
            self._check()
            if not block:
                return []
            self.end += len(block)
            if lines := self.splitter.feed(block):
                return lines

    def _check(self) -> None:
        size = os.fstat(self.fd).st_size
        start = read_start(self.fd)
        if not start.startswith(self.start):
            raise EmptiedError
        if size < self.end:
            # Cut short, not emptied: its writer goes on at the new end.
            self.splitter.finish()
            self.end = size
        self.start = start
        self.seen = size
        self.seen_at = time.monotonic()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class PackedFile:
    """An OpenFile that is compressed, and so is whole and never changes."""

    def __init__(
        self, fd: int, file: LogFile, splitter: LineSplitter, offset: int, at_least: int
    ) -> None:
        self.splitter = splitter
        self._key = file.key
        # Whoever opened it closes it where this fails.
        self._fd = fd
        self._stream = LogStream(file.path, io.FileIO(fd, closefd=False))
        self._size = file.size
        self._identity = FileIdentity(file.device, file.inode, head_of(file.start or b""))
        self._at_least = at_least if offset < at_least else 0
        self._damaged = self._stream.codec is None
        self.end = 0
        while self.end < offset and (block := self._take(min(BLOCK_SIZE, offset - self.end))):
            self.end += len(block)

    @property
    def key(self) -> bytes:
        """Its first line as far as it goes."""
        return self._key

    @property
    def lost(self) -> bool:
        """Whether it held more than can be read."""
        return self._damaged or self.end < self._at_least

    @property
    def unread(self) -> int:
        """How many bytes, as stored, are left."""
        return max(0, self._size - self._stream.consumed)

    def identity(self) -> FileIdentity:
        """Tell what it is known by."""
        return self._identity

    def read_lines(self) -> list[bytes]:
        """Return the next lines, as OpenFile says."""
        while block := self._take(BLOCK_SIZE):
            self.end += len(block)
            if lines := self.splitter.feed(block):
                return lines
        return []

    def _take(self, size: int) -> bytes:
        if self._damaged:
            return b""
        try:
            return self._stream.read(size)
        except SourceError as error:
            if isinstance(error.__cause__, OSError):
                raise
            self._damaged = True
            return b""

    def close(self) -> None:
        """Let go of it."""
        self._stream.close()
        os.close(self._fd)


def start_reading(
    fd: int, file: LogFile, splitter: LineSplitter, offset: int, at_least: int
) -> OpenFile:
    """Return a file to be read from an offset on; the descriptor is the OpenFile's from then on.

    at_least: how long it is known to have been, where it is a copy; the rest is lost if it is
    shorter.
    """
    if file.packed:
        return PackedFile(fd, file, splitter, offset, at_least)
    return PlainFile(fd, file, splitter, offset, at_least)


def last_line_start(fd: int, max_line: int) -> int:
    """Return where the line begins that has no newline yet, else the file's end."""
    size = end = os.fstat(fd).st_size
    while end > 0 and size - end <= max_line:
        begin = max(0, end - (64 << 10))
        newline = os.pread(fd, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return end
