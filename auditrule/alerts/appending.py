"""Appending whole lines to an open file, and bringing them to the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def encode_line(json: str) -> bytes:
    """Return one line of NDJSON. A lone surrogate, which UTF-8 has no form for, is escaped."""
    return json.encode("utf-8", "backslashreplace") + b"\n"


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes that one call wrote: where they stand in the file."""

    start: int
    end: int


class LineFile:
    """An open file that whole lines are appended to.

    When `append` raises, nothing of the line is in the file: what a call wrote before the disk was
    full is cut off again, or blanked out where another writer has appended behind it. Where neither
    is possible (a pipe, a file with the append-only attribute), the next call for the same line
    writes its rest alone, and one for another line ends the torn one first.

    Lines are remembered until `bring` has brought them to the disk, if `remember` is true: after a
    failed fsync the kernel takes the pages for clean and another fsync says that all is well
    (fsync(2), "the fsyncgate"), so what is not known to be on the disk is written anew, each line
    in its place, before the next fsync.
    """

    def __init__(self, fd: int, *, remember: bool) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.regular = stat.S_ISREG(status.st_mode)
        self.identity = (status.st_dev, status.st_ino)
        self._remember = remember and self.regular
        self._unsynced: list[tuple[int, bytes]] = []
        self._suspect = False
        self._last: tuple[_Piece, bytes, int] | None = None
        self._torn: tuple[bytes, int] | None = None
        self.unsynced_size = 0

    @property
    def size(self) -> int:
        """The file's size now, in bytes."""
        return os.fstat(self.fd).st_size

    @property
    def is_torn(self) -> bool:
        """Whether it ends in a part of a line that could not be taken back."""
        return self._torn is not None

    @property
    def unsynced(self) -> tuple[bytes, ...]:
        """The lines that are not known to be on the disk, where they are remembered."""
        return tuple(line for _, line in self._unsynced)

    def append(self, line: bytes) -> None:
        """Append `line`, which ends in a newline. Raises OSError."""
        line_done, data = 0, line
        if self._torn is not None:
            torn, line_done = self._torn
            if torn == line:
                data = line[line_done:]
            else:
                line_done, data = -1, b"\n" + line
        pieces: list[_Piece] = []
        try:
            self._write(data, pieces)
        except OSError:
            written = sum(piece.end - piece.start for piece in pieces)
            if written and not self._take_back(pieces):
                done = line_done + written
                self._torn = (line, done) if done > 0 else None
            raise
        self._torn = None
        if self.regular and pieces:
            start, end = pieces[0].start, pieces[-1].end
            self._last = (_Piece(start + (line_done < 0), end), line, max(line_done, 0))
            self._note(start, data)

    def take_back_last(self) -> None:
        """Take back the line that was just appended; where that fails, it counts as torn."""
        if self._last is None:
            return
        piece, line, done = self._last
        if not self._take_back([piece]):
            self._torn = (line, len(line))
            return
        self._last = None
        self._torn = (line, done) if done else None
        if self._unsynced:
            self.unsynced_size -= len(self._unsynced.pop()[1])

    def bring(self) -> None:
        """Bring what was appended to the disk, again if that had failed. Raises OSError."""
        if not self.regular:
            return
        try:
            if self._suspect:
                self._write_anew()
            os.fsync(self.fd)
        except OSError:
            self._suspect = True
            raise
        self._suspect = False
        self._unsynced.clear()
        self.unsynced_size = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def _write(self, data: bytes, pieces: list[_Piece]) -> None:
        """Write all of `data`, noting the pieces: one, unless the disk is filling."""
        view = memoryview(data)
        while view:
            written = os.write(self.fd, view)
            # In append mode the kernel leaves the position behind what it wrote.
            end = os.lseek(self.fd, 0, os.SEEK_CUR) if self.regular else written
            torn_apart = bool(pieces) and self.regular and pieces[-1].end != end - written
            pieces.append(_Piece(end - written, end))
            if torn_apart:
                raise OSError(errno.EAGAIN, "another program wrote into the midst of a line")
            view = view[written:]

    def _take_back(self, pieces: list[_Piece]) -> bool:
        if not self.regular:
            return False
        try:
            for piece in reversed(pieces):
                size = self.size
                if size == piece.end:
                    os.ftruncate(self.fd, piece.start)
                    os.lseek(self.fd, piece.start, os.SEEK_SET)
                elif size > piece.end:
                    blank = b" " * (piece.end - piece.start - 1) + b"\n"
                    with self._overwriting():
                        _write_at(self.fd, blank, piece.start)
        except OSError:
            return False
        return True

    def _note(self, start: int, data: bytes) -> None:
        if not self._remember:
            return
        if self._unsynced and start < self._unsynced[-1][0] + len(self._unsynced[-1][1]):
            # Cut by another, as logrotate's copytruncate does: what stood there is in the copy.
            self._unsynced.clear()
            self.unsynced_size = 0
        self._unsynced.append((start, data))
        self.unsynced_size += len(data)

    def _write_anew(self) -> None:
        size = self.size
        with self._overwriting():
            for start, data in self._unsynced:
                if start + len(data) <= size:
                    _write_at(self.fd, data, start)

    @contextmanager
    def _overwriting(self) -> Iterator[None]:
        """Leave append mode for a while: in it, Linux appends wherever pwrite(2) is to write."""
        flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, flags & ~os.O_APPEND)
        try:
            yield
        finally:
            fcntl.fcntl(self.fd, fcntl.F_SETFL, flags)


def _write_at(fd: int, data: bytes, start: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], start + done)
