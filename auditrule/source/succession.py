"""The way through a log's files: where to begin, and which file is opened after which."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import TYPE_CHECKING, Literal

from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.files import (
    FileIdentity,
    LogFile,
    list_files,
    list_settled,
    live_inode,
    open_regular,
    unreachable,
)
from auditrule.source.lines import LineSplitter
from auditrule.source.opened import given, last_line_start, start_reading
from auditrule.source.position import OlderFiles, Position
from auditrule.source.rotation import (
    Successor,
    bytes_after,
    find_copy,
    find_file,
    find_successor,
)

if TYPE_CHECKING:
    from pathlib import Path

    from auditrule.source.lines import LineCounts
    from auditrule.source.opened import OpenFile, PlainFile

# How long a hole between rotated files must stay to be taken for one: a renaming in progress,
# which looks the same, takes microseconds.
SETTLE = 0.5
# How often a look starts again because files were being renamed under it.
_TRIES = 20

Start = Literal["end", "beginning", "oldest"]


class _RenamedMeanwhileError(Exception):
    """Files were renamed between two looks at them."""


class _Awaited:
    """An empty file, held open."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        self.inode = (status.st_dev, status.st_ino)
        self.identity = FileIdentity(*self.inode, b"")

    @property
    def empty(self) -> bool:
        return os.fstat(self._fd).st_size == 0

    def close(self) -> None:
        os.close(self._fd)


def _held(own: OpenFile | None) -> FileIdentity | None:
    """Return what a file being read is known by, a first line that is not complete included."""
    if own is None:
        return None
    identity = own.identity()
    return FileIdentity(identity.device, identity.inode, own.key)


class Succession:
    """Opens the files of a log one after another, each once, none that is older than the first.

    older: the files never to be opened. resume: the position to go on from, until its file, or a
    younger one in its place, was entered. problem: why the next file, which is there, cannot be
    opened; None when all is well.
    """

    def __init__(
        self, log: Path, resume: Position | None, max_line: int, counts: LineCounts
    ) -> None:
        self.older = OlderFiles(resume.older if resume is not None else ())
        self.resume = resume
        self.problem: str | None = None
        self._log = log
        self._max_line = max_line
        self._counts = counts
        self._doubt: tuple[Successor, float] | None = None
        # The log before anything was in it.
        self._awaited: _Awaited | None = None
        # Between the files that were there at the start, holes are no loss of this reader.
        self._retained: frozenset[bytes] = frozenset()

    @property
    def patience(self) -> float | None:
        """How long to wait with the next look where a file seems to be missing, else None."""
        return SETTLE if self._doubt is not None else None

    def first(self, start: Start) -> OpenFile | None:
        """Return the file to begin with if it is the log itself, else None: next() will tell.

        Raises SourceError where there is a log that cannot be opened.
        """
        try:
            os.close(self._open_checked(self._log))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise SourceError.from_os(self._log, error) from error
        for _ in range(_TRIES if self.resume is None else 0):
            with contextlib.suppress(_RenamedMeanwhileError):
                return self._begin(start)
        return None

    def _begin(self, start: Start) -> OpenFile | None:
        files = list_settled(self._log)
        if start == "oldest":
            self._retained = frozenset(file.key for file in files)
            return None
        live = files.pop() if files and files[-1].live else None
        opened = None
        if live is not None and not live.empty:
            try:
                opened = self._open(live, to_end=start == "end")
            except OSError as error:
                raise SourceError.from_os(self._log, error) from error
        for file in files:
            # A copy of the log that is being made, or was given up, is no older file.
            if live is None or file.key != live.key:
                self.older.add(file.key)
        if opened is None:
            self._hold_awaited()
        return opened

    def next(self, own: OpenFile | None) -> tuple[OpenFile, bool] | None:
        """Return the file after own, and whether lines may be missing between the two.

        None where there is none yet, or none that is certain, or that can be opened.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(_RenamedMeanwhileError):
                try:
                    if self.resume is not None and (file := self._open_resumed(self.resume)):
                        return file, False
                    return self._open_successor(own)
                except OSError as error:
                    self.problem = plain_reason(error)
                    return None
        return None

    def copy_of(self, emptied: PlainFile) -> OpenFile | None:
        """Return the copy of a log that was emptied in place, read as far as the log was."""
        for _ in range(_TRIES):
            copy = find_copy(self._log, emptied.identity(), emptied.start, self.older)
            if copy is None:
                return None
            with contextlib.suppress(OSError, _RenamedMeanwhileError):
                return self._open(copy, given(emptied), at_least=emptied.seen)
        return None

    def enter(self, file: OpenFile) -> None:
        """Take note that a file that next() gave is the one being read."""
        self._doubt = None
        self.close()
        if self.resume is not None:
            # It is the position's file or, behind a gap, a younger one.
            if self.resume.file.head != file.identity().head:
                self.older.add(self.resume.file.head)
            self.resume = None

    def leave(self, file: OpenFile) -> None:
        """Take note that all of a file was read."""
        self.older.add(file.key)
        if self.older.full:
            self.older.forget_all_but(other.key for other in list_files(self._log))

    def _hold_awaited(self) -> None:
        """Keep the log, in which nothing to be read is yet, from giving its inode to another."""
        inode = live_inode(self._log)
        if inode is None or (self._awaited is not None and inode == self._awaited.inode):
            return
        self.close()
        with contextlib.suppress(OSError):
            self._awaited = _Awaited(open_regular(self._log))

    def hold_emptied(self, file: PlainFile) -> None:
        """Go on at the start of a file that was emptied."""
        self.close()
        self._awaited = _Awaited(os.dup(file.fd))

    def awaited(self) -> Position:
        """Return the position from which all goes on while no file is being read."""
        if self.resume is not None:
            return self.resume
        if self._awaited is not None:
            file = self._awaited.identity
        else:
            file = FileIdentity(*(live_inode(self._log) or (0, 0)), b"")
        return Position(self._log, file, 0, self.older.newest)

    def lag(self, own: OpenFile | None) -> int:
        """Return how many bytes, as stored, are not given as lines yet."""
        unread = own.unread if own is not None else 0
        return unread + bytes_after(self._log, _held(own), self.older)

    def close(self) -> None:
        """Let go of what is held open."""
        if self._awaited is not None:
            self._awaited.close()
            self._awaited = None

    def _open_resumed(self, position: Position) -> OpenFile | None:
        """Return the position's file where it is found, read up to the position."""
        if not position.file.head:
            return None
        found, before = find_file(self._log, position.file)
        if found is None:
            return None
        file = self._open(found, position.offset)
        for older in before:
            self.older.add(older.key)
        self.older.discard(position.file.head)
        self.problem = None
        return file

    def _open_successor(self, own: OpenFile | None) -> tuple[OpenFile, bool] | None:
        identity = _held(own)
        found = find_successor(self._log, identity, self.older)
        if found is None:
            self._doubt = None
            self.problem = unreachable(self._log)
            if own is None and self.resume is None:
                self._hold_awaited()
            return None
        sure = self._is_sure(found, own)
        if not sure and not self._has_settled(found):
            return None
        file = self._open(found.file)
        self.problem = None
        if find_successor(self._log, identity, self.older) != found:
            file.close()
            raise _RenamedMeanwhileError
        return file, not sure

    def _is_sure(self, found: Successor, own: OpenFile | None) -> bool:
        """Whether nothing can be missing before the file that was found."""
        if own is not None:
            return found.link == "next" or found.file.key in self._retained
        if self.resume is None:
            awaited = self._awaited
            return (
                awaited is None
                or found.link == "next"
                or any(f.is_inode(*awaited.inode) for f in (found.file, *found.passed))
                or (found.alone and awaited.empty)
            )
        file = self.resume.file
        # The position's own file is gone, and nobody knows what it held behind the position.
        if file.head:
            return False
        # Nothing was read of it. It is what was found if that is next to what is older, or if
        # nothing was ever rotated; its inode alone may be another file's by now.
        return found.link == "next" or (
            found.alone and (file.inode == 0 or found.file.is_inode(file.device, file.inode))
        )

    def _has_settled(self, found: Successor) -> bool:
        now = time.monotonic()
        if self._doubt is None or self._doubt[0] != found:
            self._doubt = (found, now)
        return now - self._doubt[1] >= SETTLE

    def _open(
        self, file: LogFile, offset: int = 0, *, at_least: int = 0, to_end: bool = False
    ) -> OpenFile:
        """Open a file that was found; raises OSError where it cannot be read."""
        try:
            fd = self._open_checked(file.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _RenamedMeanwhileError from error
        try:
            status = os.fstat(fd)
            if not file.is_inode(status.st_dev, status.st_ino):
                raise _RenamedMeanwhileError
            offset = last_line_start(fd, self._max_line) if to_end else offset
            lines = LineSplitter(self._max_line, self._counts)
            return start_reading(fd, file, lines, offset, at_least)
        except BaseException:
            os.close(fd)
            raise

    @staticmethod
    def _open_checked(path: Path) -> int:
        """Open a regular file; raises OSError for anything else."""
        fd = open_regular(path)
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            os.close(fd)
            raise OSError("is a directory" if stat.S_ISDIR(mode) else "not a regular file")
        return fd
