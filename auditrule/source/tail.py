"""Following a log that auditd is writing, through its rotations."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.lines import MAX_LINE, LineCounts, LineSplitter
from auditrule.source.rotation import (
    HEAD_SIZE,
    FileIdentity,
    Successor,
    bytes_after,
    find_successor,
    head_of,
    open_regular,
    read_start,
    rotated_files,
)
from auditrule.source.waiting import Waker
from auditrule.source.watch import FolderWatch, Means

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

# What one read() takes from the file at most, and so what its lines may hold.
_BLOCK_SIZE = 1 << 20
# An event that never comes (a network file system, a full inotify queue) costs this at most.
_RECHECK = 1.0
# How long a hole between rotated files must stay to be taken for one: a renaming in progress,
# which looks the same, takes microseconds.
_SETTLE = 0.5
# How many keys of older files are kept before those that are gone are forgotten.
_KNOWN = 64
# How often a look starts again because files were being renamed under it.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Position:
    """The place after the last line given: the file it is in, and the offset in bytes there."""

    path: Path
    file: FileIdentity
    offset: int


@dataclass(frozen=True, slots=True)
class TailStatus:
    """How a tail is doing.

    position: None while there is no file. lag: bytes written and not yet given as lines. means:
    what tells of changes. rotations, truncations: how many were followed. gaps: how often a file
    that should have come next was gone, so that lines may be missing. problem: why the log, which
    is there, cannot be opened just now; None when all is well.
    """

    path: Path
    position: Position | None
    lag: int
    means: Means
    rotations: int
    truncations: int
    gaps: int
    problem: str | None


class _RenamedMeanwhileError(Exception):
    """Files were renamed between two looks at them."""


class _OpenFile:
    """The file being read: its descriptor keeps it, whatever it is renamed to."""

    def __init__(self, fd: int, splitter: LineSplitter, offset: int = 0) -> None:
        self.fd = fd
        self.splitter = splitter
        self.offset = offset
        status = os.fstat(fd)
        self.inode = (status.st_dev, status.st_ino)
        self.start = read_start(fd)

    @property
    def given(self) -> int:
        """The offset after the last line given."""
        return self.offset - self.splitter.pending

    def identity(self) -> FileIdentity:
        if len(self.start) < HEAD_SIZE:
            self.start = read_start(self.fd)
        return FileIdentity(*self.inode, head_of(self.start))

    def was_rewritten(self) -> bool:
        """Whether the file was emptied since (copytruncate), even if it has grown again."""
        if os.fstat(self.fd).st_size < self.offset:
            return True
        start = read_start(self.fd)
        if not start.startswith(self.start):
            return True
        self.start = start
        return False

    def start_again(self) -> None:
        self.offset = 0
        self.start = read_start(self.fd)

    def read_lines(self) -> list[bytes]:
        """Return the next lines, at most one block's; [] at the end of what is written."""
        while block := os.pread(self.fd, _BLOCK_SIZE, self.offset):
            self.offset += len(block)
            if lines := self.splitter.feed(block):
                return lines
        return []


class Tail:
    """A LineSource over a log file: every line once and in order, across rename rotation.

    start: "end" gives what is written from now on, beginning with the line that is being
    written; "beginning" the whole file as well. A file that is not there yet is waited for, and
    given from its beginning. A rotated file is read to its end, its last line given even without
    a newline, then the files between, then the new one; a file emptied in place (copytruncate)
    from its start. The lines of one read() are of one file, about 1 MiB at most.

    Raises SourceError where the file cannot be opened at first, and where reading fails. Later, a
    log that cannot be opened is tried again each second: auditd creates it with mode 0600 and
    only then gives it to the log's group.

    Only one thread may read, ask for status() and close().
    """

    def __init__(
        self,
        path: Path,
        *,
        start: Literal["end", "beginning"] = "end",
        max_line: int = MAX_LINE,
        counts: LineCounts | None = None,
    ) -> None:
        self.path = path
        self.counts = counts if counts is not None else LineCounts()
        self._max_line = max_line
        self._waker = Waker()
        self._woken = False
        self._closed = False
        self._file: _OpenFile | None = None
        # Keys of files older than the present one: never to be read, wherever they turn up.
        self._known: set[bytes | tuple[int, int]] = set()
        self._known_limit = _KNOWN
        self._doubt: tuple[Successor, float] | None = None
        self._problem: str | None = None
        self._rotations = self._truncations = self._gaps = 0
        self._watch = FolderWatch(path, self._waker.set)
        self._open_first(start)

    def _open_first(self, start: Literal["end", "beginning"]) -> None:
        self._known.update(identity.key for _, identity, _ in rotated_files(self.path))
        try:
            fd = open_regular(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise SourceError.from_os(self.path, error) from error
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            os.close(fd)
            kind = "is a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise SourceError(self.path, kind)
        self._file = self._begin(fd, self._last_line_start(fd) if start == "end" else 0)

    def _begin(self, fd: int, offset: int = 0) -> _OpenFile:
        return _OpenFile(fd, LineSplitter(self._max_line, self.counts), offset)

    def _last_line_start(self, fd: int) -> int:
        """Return where the line begins that has no newline yet, else the file's end."""
        size = end = os.fstat(fd).st_size
        while end > 0 and size - end <= self._max_line:
            begin = max(0, end - (64 << 10))
            newline = os.pread(fd, end - begin, begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
        return end

    def read(self, timeout: float) -> list[bytes]:
        """Return the next lines, as LineSource says; never None."""
        deadline = time.monotonic() + timeout
        while True:
            if self._closed:
                raise ValueError("the tail is closed")
            # Cleared before the look: whatever is written after the look sets it again, and the
            # wait below ends at once.
            self._waker.clear()
            try:
                lines = self._look()
            except OSError as error:
                raise SourceError.from_os(self.path, error) from error
            if lines:
                return lines
            if self._woken:
                self._woken = False
                return []
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            self._waker.wait(min(remaining, _RECHECK if self._doubt is None else _SETTLE))

    def wake(self) -> None:
        """Make read() return, as LineSource says."""
        self._woken = True
        self._waker.set()

    def close(self) -> None:
        """Let go of the file and of the watching thread."""
        self._closed = True
        self._watch.close()
        if self._file is not None:
            os.close(self._file.fd)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> Position | None:
        """Where the next line begins; None while there is no file."""
        if self._file is None:
            return None
        return Position(self.path, self._file.identity(), self._file.given)

    def status(self) -> TailStatus:
        """Tell how the tail is doing; costs a few system calls."""
        lag = 0
        if self._file is not None:
            unread = os.fstat(self._file.fd).st_size - self._file.given
            lag = max(0, unread) + bytes_after(self.path, self._file.inode)
        return TailStatus(
            self.path,
            self.position,
            lag,
            self._watch.means,
            self._rotations,
            self._truncations,
            self._gaps,
            self._problem,
        )

    def _look(self) -> list[bytes]:
        # Before the look: what is written between the two is seen by it.
        self._watch.ensure()
        while True:
            if self._file is not None and (lines := self._read_on(self._file)):
                return lines
            following = self._next_file()
            if following is None:
                return []
            # The writer has moved on by now, so this is the old file's end.
            if self._file is not None and (lines := self._read_on(self._file)):
                os.close(following)
                return lines
            if lines := self._switch(following):
                return lines

    def _read_on(self, file: _OpenFile) -> list[bytes]:
        if file.was_rewritten():
            self._truncations += 1
            fragment = file.splitter.finish()
            file.start_again()
            if fragment:
                return fragment
        return file.read_lines()

    def _next_file(self) -> int | None:
        """Return the next file, open, where the present one is finished."""
        for _ in range(_TRIES):
            with contextlib.suppress(_RenamedMeanwhileError):
                return self._open_successor()
        return None

    def _open_successor(self) -> int | None:
        own = self._file.identity() if self._file is not None else None
        found = find_successor(self.path, own, self._known)
        if found is None:
            self._doubt = self._problem = None
            return None
        if not found.sure and not self._has_settled(found):
            return None
        try:
            fd = open_regular(found.path)
        except OSError as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise _RenamedMeanwhileError from error
            self._problem = plain_reason(error)
            return None
        status = os.fstat(fd)
        is_it = (status.st_dev, status.st_ino) == (found.device, found.inode)
        usable = stat.S_ISREG(status.st_mode)
        # Whoever renames may write on into the old file until told to reopen (logrotate's
        # postrotate), and does not while the new one is empty.
        begun = own is None or not found.live or status.st_size > 0
        self._problem = None if usable else "not a regular file"
        still = is_it and find_successor(self.path, own, self._known) == found
        if still and usable and begun:
            self._gaps += not found.sure
            return fd
        os.close(fd)
        if not still:
            raise _RenamedMeanwhileError
        return None

    def _has_settled(self, found: Successor) -> bool:
        now = time.monotonic()
        if self._doubt is None or self._doubt[0] != found:
            self._doubt = (found, now)
        return now - self._doubt[1] >= _SETTLE

    def _switch(self, fd: int) -> list[bytes]:
        """Leave the present file for the next; return its last line where it had no newline."""
        old, self._file = self._file, self._begin(fd)
        self._doubt = None
        if old is None:
            return []
        self._rotations += 1
        self._known.add(old.identity().key)
        if len(self._known) > self._known_limit:
            self._known &= {identity.key for _, identity, _ in rotated_files(self.path)}
            self._known_limit = 2 * len(self._known) + _KNOWN
        os.close(old.fd)
        return old.splitter.finish()
