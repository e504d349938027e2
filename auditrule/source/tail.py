"""Following a log that auditd is writing, through its rotations and over restarts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.source.errors import SourceError
from auditrule.source.files import FileIdentity
from auditrule.source.lines import MAX_LINE, LineCounts
from auditrule.source.opened import EmptiedError, OpenFile, PlainFile, given
from auditrule.source.position import Position
from auditrule.source.succession import Start, Succession
from auditrule.source.waiting import Waker
from auditrule.source.watch import FolderWatch, Means

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

__all__ = ["FileIdentity", "Position", "Start", "Tail", "TailStatus"]

# An event that never comes (a network file system, a full inotify queue) costs this at most.
_RECHECK = 1.0
# A look costs about as much as an event. While the log grows, the next one comes so much later,
# with all that was written meanwhile. After so many that have found something, being told of each
# write costs more than it tells: until the log has been quiet for so long, it is looked at unasked.
# Not so a short one, which could be emptied (copytruncate) and be as long again at the next look.
_SPACING = 0.004
# The more comes at once, the less of it costs each line: so the work on what a look has found is
# not to take more than this share of the time until the next, unless that were later than so.
_SHARE = 0.25
_MOST_SPACING = 0.012
_SHORT = 64 << 10
_BUSY_LOOKS = 100
_QUIET_SECONDS = 1.0
# A log that was emptied without a copy had nothing unread if all of it was read so shortly before.
_FRESH = 3.0


@dataclass(frozen=True, slots=True)
class TailStatus:
    """How a tail is doing.

    position: where the next line begins. lag: bytes written and not yet given as lines, as they
    are stored. means: what tells of changes. rotations, truncations: how many were followed. gaps:
    as Tail.gaps. problem: why the log, which is there, cannot be opened just now; None when all is
    well.
    """

    path: Path
    position: Position
    lag: int
    means: Means
    rotations: int
    truncations: int
    gaps: int
    problem: str | None


class Tail:
    """A LineSource over a log file: every line once and in order, whatever rotation does.

    start: "end" gives what is written from now on, beginning with the line that is being
    written; "beginning" the whole file as well; "oldest" all rotated files before it. resume: go
    on behind that position instead, wherever its file is by now: renamed, copied, compressed. A
    log or folder that is not there yet is waited for, and the log given from its beginning.

    A rotated file is read to its end, its last line given even without a newline, then the files
    between, compressed or not, then the new one. Of a log that was emptied in place (copytruncate)
    the unread rest is read from its copy. Files that are older than what was given are never read,
    wherever they turn up; where a younger one is missing, or a rest, that is counted in `gaps`.
    The lines of one read() are of one file and one side of a gap, about 1 MiB at most.

    Raises SourceError where the file cannot be opened at first, and where reading fails. Later, a
    log that cannot be opened is tried again each second: auditd creates it with mode 0600 and
    only then gives it to the log's group.

    Only one thread may read, ask for position and status() and close().
    """

    def __init__(
        self,
        path: Path,
        *,
        start: Start = "end",
        resume: Position | None = None,
        max_line: int = MAX_LINE,
        counts: LineCounts | None = None,
    ) -> None:
        self.path = path
        self.counts = counts if counts is not None else LineCounts()
        self._waker = Waker()
        self._woken = False
        self._closed = False
        self._files = Succession(path, resume, max_line, self.counts)
        # The end of the file before the present one, where that is a position to go on from.
        self._before = resume if resume is not None and resume.file.head else None
        self._rotations = self._truncations = self._gaps = 0
        self._in_copy = self._gap_to_tell = False
        self._last_lines = -_QUIET_SECONDS
        self._looks_with_lines = 0
        self._file = self._files.first(start)
        self._watch = FolderWatch(path, self._waker.set)

    def read(self, timeout: float) -> list[bytes]:
        """Return the next lines, as LineSource says; never None."""
        deadline = time.monotonic() + timeout
        if timeout > 0 and not self._woken and not self._is_short:
            self._space_looks()
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
            self._note_how_busy(found_lines=bool(lines))
            if lines:
                return lines
            if self._woken:
                self._woken = False
                return []
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            often = _SPACING if self._is_busy else _RECHECK
            self._waker.wait(min(remaining, self._files.patience or often, often))

    def _space_looks(self) -> None:
        # All that has been done since then is the work on these lines.
        worked = time.monotonic() - self._last_lines
        pause = min(max(_SPACING, worked / _SHARE), _MOST_SPACING) - worked
        if pause > 0:
            time.sleep(pause)

    @property
    def _is_short(self) -> bool:
        return self._file is None or given(self._file) < _SHORT

    @property
    def _is_busy(self) -> bool:
        return self._looks_with_lines >= _BUSY_LOOKS

    def _note_how_busy(self, *, found_lines: bool) -> None:
        now = time.monotonic()
        if now - self._last_lines > _QUIET_SECONDS or self._is_short:
            self._looks_with_lines = 0
        if found_lines:
            self._last_lines = now
            self._looks_with_lines += 1
            if self._looks_with_lines == _BUSY_LOOKS:
                self._watch.pause()

    def wake(self) -> None:
        """Make read() return, as LineSource says."""
        self._woken = True
        self._waker.set()

    def close(self) -> None:
        """Let go of the file and of the watching thread."""
        if not self._closed:
            self._last = self.position
        self._closed = True
        self._watch.close()
        self._files.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def gaps(self) -> int:
        """How often lines may be missing, as what should have come next is gone for good.

        A gap is counted before the first line behind it is returned, in the same read() or earlier.
        """
        return self._gaps

    @property
    def position(self) -> Position:
        """Where the next line begins: a tail resumed there gives the same lines as this one will.

        Cheap enough to be asked for after every read(), and known after close() too.
        """
        if self._closed:
            return self._last
        if self._file is not None:
            identity = self._file.identity()
            # Before its first line is complete, a file is better known by the one before it.
            if identity.head or self._before is None:
                return Position(self.path, identity, given(self._file), self._files.older.newest)
        if self._before is not None:
            return self._before
        return self._files.awaited()

    @property
    def is_drained(self) -> bool:
        """Whether all that is written was given as lines; costs a few system calls."""
        files = self._files
        return files.resume is None and files.problem is None and files.lag(self._file) == 0

    def status(self) -> TailStatus:
        """Tell how the tail is doing; costs a few system calls."""
        return TailStatus(
            self.path,
            self.position,
            self._files.lag(self._file),
            self._watch.means,
            self._rotations,
            self._truncations,
            self._gaps,
            self._files.problem,
        )

    def _look(self) -> list[bytes]:
        # Before the look: what is written between the two is seen by it.
        if not self._is_busy:
            self._watch.ensure()
        if self._gap_to_tell:
            self._gap_to_tell = False
            self._gaps += 1
        while True:
            try:
                if self._file is not None and (lines := self._file.read_lines()):
                    return lines
                found = self._files.next(self._file)
                if found is None:
                    return []
                following, gap = found
                # The writer has moved on by now, so this is the old file's end.
                try:
                    lines = self._file.read_lines() if self._file is not None else []
                except BaseException:
                    following.close()
                    raise
                if lines:
                    following.close()
                    return lines
                lines = self._switch(following, gap=gap)
            except EmptiedError:
                lines = self._go_on_in_copy()
            if lines:
                return lines

    def _switch(self, following: OpenFile, *, gap: bool) -> list[bytes]:
        """Leave the present file for the next; return its last line where it had no newline."""
        old, self._file = self._file, following
        self._files.enter(following)
        if old is None:
            self._gaps += gap
            return []
        self._rotations += not self._in_copy
        self._in_copy = False
        return self._leave(old, gap=gap or old.lost)

    def _leave(self, old: OpenFile, *, gap: bool) -> list[bytes]:
        """Close a file; return its last line, which is before the gap, if there is any."""
        last = old.splitter.finish()
        identity = old.identity()
        self._before = None
        if identity.head:
            self._before = Position(self.path, identity, old.end, self._files.older.newest)
        self._files.leave(old)
        old.close()
        if last:
            self._gap_to_tell = gap
        else:
            self._gaps += gap
        return last

    def _go_on_in_copy(self) -> list[bytes]:
        """Go on in the copy of the log that was emptied; without one, return its last line."""
        old = self._file
        if not isinstance(old, PlainFile):
            return []
        self._truncations += 1
        copy = self._files.copy_of(old)
        if copy is not None:
            self._file = copy
            self._in_copy = True
            old.close()
            return []
        self._file = None
        lost = old.seen > old.end or time.monotonic() - old.seen_at > _FRESH
        self._files.hold_emptied(old)
        last = self._leave(old, gap=lost)
        # What comes next is the emptied log, and the old end can be found nowhere.
        self._before = None
        return last
