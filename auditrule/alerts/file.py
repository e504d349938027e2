"""The alert file: appended to, rotated, reopened when others move it, brought to the disk."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from auditrule.alerts.appending import LineFile, encode_line
from auditrule.alerts.opening import group_id, open_for_appending, remove_leftover
from auditrule.alerts.rotating import Rotation, open_regular, sync_folder
from auditrule.alerts.siblings import rotated_siblings
from auditrule.alerts.torn import BEGINNING, TIMESTAMP, repair
from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from auditrule.alerts.sink import Writable

_log = logging.getLogger(__name__)

# What is not known to be on the disk is held in memory, so there must be an end to it.
_MOST_UNSYNCED = 4 << 20
_HOUR = 3600.0
# A rotation that failed is tried again after so many seconds.
_ROTATION_PAUSE = 60.0


class AlertFile:
    """Appends documents to a file as NDJSON, one write(2) a line (auditrule.alerts.sink.Sink).

    The file at `path` is found again before each write: where it was moved, removed or replaced, a
    new one is opened. A folder that is gone is an OSError until it is there again. The last
    component of `path` must be no symbolic link: rotation would move the link, and a root daemon
    must not be led elsewhere. A pipe or a device is written to as it is.

    fsync: "always" brings each document to the disk before `write` returns; "interval" before the
    next document once `fsync_interval` seconds have passed, and in `sync` and `tend`; "never" not
    even in `sync`, so that a power failure may take alerts that the checkpoint takes for written.

    mode, group: those of the file, whatever the umask, but one that belongs to another user keeps
    its own. rotate_size (bytes): the file is rotated before a line would make it larger; 0 is
    never. A file always takes one line. rotate_age (hours): it is rotated at the first write, or
    `tend`, that finds its first line older. The age of a file from an earlier run counts from the
    timestamp of its first alert, or its last change if that is earlier or there is none. keep,
    compress: as auditrule.alerts.rotating says. A rotation that fails is logged and tried again a
    minute later; alerts do not wait for it.

    Raises OSError, from the constructor on.
    """

    def __init__(
        self,
        path: Path,
        *,
        fsync: Literal["always", "interval", "never"] = "interval",
        fsync_interval: float = 1.0,
        mode: int = 0o640,
        group: str | None = None,
        rotate_size: int = 0,
        rotate_age: float = 0.0,
        keep: int = 10,
        compress: bool = True,
        background: bool = True,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file, repairing what an earlier run left (auditrule.alerts.torn).

        background: compress in a thread of its own. clock gives seconds since the epoch.
        """
        self.path = path
        self._fsync = fsync
        self._fsync_interval = fsync_interval
        self._mode = mode
        self._group = None if group is None else group_id(group)
        self._rotate_size = rotate_size
        self._rotate_age = rotate_age * _HOUR
        self._compress = compress
        self._background = background
        self._clock = clock
        self._monotonic = monotonic
        self._rotation = Rotation(path, keep=keep, durable=fsync != "never")
        self._closing = threading.Event()
        self._compressor: threading.Thread | None = None
        self._folder_dirty = False
        self._began: float | None = None
        self._last_sync = monotonic()
        self._no_rotation_before = 0.0
        self._clean()
        self._repair_rotated()
        self._file = self._open()

    def write(self, document: Writable, /) -> None:
        """Append `document`. Raises OSError, and then nothing of it is in the file."""
        line = encode_line(document.to_json())
        file = self._file
        # The rest of a line belongs where its beginning is.
        if not file.is_torn:
            file = self._current()
            if self._is_sync_due():
                self._bring()
            if self._is_rotation_due(len(line)):
                file = self._rotate()
        is_first = file.regular and file.size == 0
        file.append(line)
        if is_first:
            self._began = self._clock()
        if self._fsync == "always":
            try:
                self._bring()
            except OSError:
                file.take_back_last()
                raise

    def sync(self) -> None:
        """Bring all that was written, and the file's name, to the disk, unless `fsync` is "never".

        Raises OSError; what may have been lost then is written anew, in its place, at the next try.
        """
        if self._fsync != "never":
            self._bring()

    def tend(self) -> None:
        """Do what is due without a write: the interval's sync, and rotation by age."""
        if self._is_sync_due():
            self._bring()
        if self._is_rotation_due(0) and not self._file.is_torn and not self._is_moved():
            self._rotate()

    def close(self) -> None:
        """Bring the file to the disk and close it; a compression under way is left for later."""
        self._closing.set()
        if self._compressor is not None:
            self._compressor.join()
        try:
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _current(self) -> LineFile:
        """Return the file that the path names now."""
        if self._is_moved():
            self._switch()
        return self._file

    def _is_moved(self) -> bool:
        if not self._file.regular:
            return False
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._file.identity

    def _switch(self) -> None:
        """Go on in the file that the path names now, made if need be."""
        new = self._open()
        old = self._file
        lines: tuple[bytes, ...] = ()
        if self._fsync != "never" and old.unsynced:
            try:
                old.bring()
            except OSError as error:
                lines = old.unsynced
                _log.error(
                    "%s was moved and cannot be brought to the disk: %s; its last %d alerts are"
                    " written again to the new one",
                    self.path,
                    plain_reason(error),
                    len(lines),
                )
        try:
            for line in lines:
                new.append(line)
        except OSError:
            new.close()
            raise
        self._file = new
        old.close()
        self._began = self._beginning(new)

    def _open(self) -> LineFile:
        fd, made = open_for_appending(self.path, mode=self._mode, group=self._group)
        self._folder_dirty = self._folder_dirty or made
        try:
            file = LineFile(fd, remember=self._fsync != "never")
            if file.regular:
                repair(fd, self.path)
        except OSError:
            os.close(fd)
            raise
        return file

    def _beginning(self, file: LineFile) -> float | None:
        """Return when the first line of a file was written, as far as the file tells."""
        if not file.regular or file.size == 0:
            return None
        changed = os.fstat(file.fd).st_mtime
        with contextlib.suppress(ValueError):
            return min(_timestamp(os.pread(file.fd, TIMESTAMP.stop, 0)), changed)
        return changed

    def _is_sync_due(self) -> bool:
        if self._fsync != "interval" or not self._file.unsynced_size:
            return False
        due = self._last_sync + self._fsync_interval
        return self._monotonic() >= due or self._file.unsynced_size > _MOST_UNSYNCED

    def _bring(self) -> None:
        self._file.bring()
        if self._folder_dirty:
            sync_folder(self.path.parent)
            self._folder_dirty = False
        self._last_sync = self._monotonic()

    def _is_rotation_due(self, more: int) -> bool:
        if not self._file.regular or not (self._rotate_size or self._rotate_age):
            return False
        if not (size := self._file.size):
            return False
        if self._began is None:
            self._began = self._beginning(self._file)
        too_large = self._rotate_size and size + more > self._rotate_size
        too_old = (
            self._rotate_age
            and self._began is not None
            and self._clock() - self._began >= self._rotate_age
        )
        if not (too_large or too_old) or self._monotonic() < self._no_rotation_before:
            return False
        return self._compressor is None or not self._compressor.is_alive()

    def _rotate(self) -> LineFile:
        """Rotate the file; where that is not possible, go on in it. Raises OSError."""
        try:
            self.sync()
            self._rotation.rotate()
        except OSError as error:
            self._no_rotation_before = self._monotonic() + _ROTATION_PAUSE
            _log.warning("%s cannot be rotated: %s", self.path, plain_reason(error))
        file = self._current()
        self._start_compressing()
        return file

    def _clean(self) -> None:
        remove_leftover(self.path)
        if not (self._rotate_size or self._rotate_age):
            return  # what else lies there is logrotate's
        try:
            self._rotation.clean()
        except OSError as error:
            _log.warning("%s: %s", self.path.parent, plain_reason(error))
        else:
            self._start_compressing()

    def _start_compressing(self) -> None:
        if not self._compress:
            return
        if not self._background:
            self._pack()
            return
        self._compressor = threading.Thread(target=self._pack, name="compress alerts", daemon=True)
        self._compressor.start()

    def _pack(self) -> None:
        try:
            self._rotation.compress(self._closing.is_set)
        except OSError as error:
            _log.warning("%s: %s", self.path.parent, plain_reason(error))

    def _repair_rotated(self) -> None:
        """Repair the file that was the alert file when it was moved after a crash."""
        for sibling in rotated_siblings(self.path)[:1]:
            if sibling.name.compressed:
                return
            try:
                with open_regular(sibling.path) as file:
                    size = os.fstat(file.fileno()).st_size
                    if not size or os.pread(file.fileno(), 1, size - 1) == b"\n":
                        return
                fd = os.open(sibling.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    repair(fd, sibling.path, only_ours=True)
                finally:
                    os.close(fd)
            except OSError as error:
                _log.warning("%s: %s", sibling.path, plain_reason(error))


def _timestamp(line: bytes) -> float:
    """Return the time of a document, seconds since the epoch. Raises ValueError."""
    if not line.startswith(BEGINNING):
        raise ValueError("not a document")
    return datetime.fromisoformat(line[TIMESTAMP].decode("ascii")).timestamp()
