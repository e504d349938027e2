"""The files of one log as they lie in its folder: the log, rotated ones, compressed or not."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from auditrule.source.archive import LogStream
from auditrule.source.codecs import MAGIC_SIZE, recognise
from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.names import LogName, parse_name

HEAD_SIZE = 512
# How often a listing starts again because a file in it was renamed or removed meanwhile.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file is known by: device, inode, and its first line (at most HEAD_SIZE bytes of it).

    The inode alone is not enough: the file that a rotation creates often gets the number of the
    file that the same rotation removed. It is not needed either where there is a head: the first
    record's time and serial are like no other file's, and a copy or an archive has them too. head
    is b"" while the first line is not complete.
    """

    device: int
    inode: int
    head: bytes


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of a log.

    start: its first HEAD_SIZE bytes, decompressed; None where they cannot be read. size: bytes as
    stored. live: it is the log itself. packed: compressed. Two are equal if they are the same file
    under the same name, grown or not.
    """

    path: Path
    name: LogName
    device: int
    inode: int
    live: bool
    packed: bool
    start: bytes | None = field(compare=False)
    size: int = field(compare=False)

    @property
    def key(self) -> bytes:
        """The first line, complete or not; b"" where the file is empty or cannot be read."""
        return key_of(self.start or b"")

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it to be read."""
        return self.size == 0 or self.start == b""

    def is_inode(self, device: int, inode: int) -> bool:
        """Whether it has this device and inode just now."""
        return (self.device, self.inode) == (device, inode)


def open_regular(path: Path) -> int:
    """Open a file for reading without ever waiting for it; raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def read_start(fd: int) -> bytes:
    """Return an open file's first HEAD_SIZE bytes."""
    return os.pread(fd, HEAD_SIZE, 0)


def head_of(start: bytes) -> bytes:
    """Return the first line, cut at HEAD_SIZE, or b"" while it is not complete."""
    line, newline, _ = start.partition(b"\n")
    return line if newline or len(start) == HEAD_SIZE else b""


def key_of(start: bytes) -> bytes:
    """Return the first line as far as it goes: what stays the same for a file that has ended."""
    return start.partition(b"\n")[0]


def list_files(log: Path) -> list[LogFile]:
    """Return the files of a log, the oldest first, the log itself last.

    It is no snapshot: a renaming in progress may hide a file. Where a name and its archive are both
    there, the archive comes first.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _list(log, strict=True)
    return _list(log, strict=False)


def list_settled(log: Path) -> list[LogFile]:
    """Return the files of a log as list_files() does, at a moment when none was being renamed."""
    files = list_files(log)
    for _ in range(_TRIES):
        before, files = files, list_files(log)
        if files == before:
            break
    return files


def live_inode(log: Path) -> tuple[int, int] | None:
    """Return the log's device and inode, None where it is not there."""
    try:
        status = log.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def unreachable(log: Path) -> str | None:
    """Return why nobody can tell whether the log is there, None where it can be told."""
    try:
        log.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return plain_reason(error)
    return None


def _list(log: Path, *, strict: bool) -> list[LogFile]:
    files = []
    for path, name in _rotated_names(log):
        try:
            file = _examine(Path(path), name, live=False)
        except OSError:
            if strict:
                raise
            continue
        if file is not None:
            files.append(file)
    files.sort(key=lambda file: (file.name.age, not file.packed))
    with contextlib.suppress(OSError):
        live = _examine(log, LogName(log.name), live=True)
        if live is not None:
            files.append(live)
    return files


@lru_cache(maxsize=4096)
def _parse_suffix(suffix: str) -> LogName:
    return parse_name("log" + suffix)


def _rotated_names(log: Path) -> list[tuple[str, LogName]]:
    try:
        with os.scandir(log.parent) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return []
    found = []
    for name in names:
        if name.startswith((log.name + ".", log.name + "-")):
            # The suffix alone: the log's own name may look like a rotated one's.
            parsed = _parse_suffix(name.removeprefix(log.name))
            if parsed.stem == "log":
                found.append((os.path.join(log.parent, name), parsed))  # noqa: PTH118 - many
    return found


# What was found at the start of rotated files: by device, inode, size and time of change. One that
# has changed so shortly before that the clock of the file system may not tell it from its like
# (an inode is given away again at once) is not remembered.
_starts: dict[tuple[int, int, int, int], tuple[bool, bytes | None]] = {}
_STARTS = 4096
_OLD_ENOUGH = 2_000_000_000


def _examine(path: Path, name: LogName, *, live: bool) -> LogFile | None:
    """Look at a file; None for a rotated one that is not regular. Raises OSError if it is gone."""
    status = path.stat()
    found: tuple[bool, bytes | None] | None = None
    if not live:
        if not stat.S_ISREG(status.st_mode):
            return None
        found = _starts.get(_stamp(status))
    if found is None:
        found = name.compressed, None
        if stat.S_ISREG(status.st_mode):
            try:
                fd = open_regular(path)
            except (FileNotFoundError, NotADirectoryError):
                raise
            except OSError:
                fd = -1
            if fd >= 0:
                try:
                    status = os.fstat(fd)
                    with contextlib.suppress(OSError):
                        found = _look_into(path, fd, named=name.compressed)
                        _remember(status, found)
                finally:
                    os.close(fd)
    packed, start = found
    return LogFile(path, name, status.st_dev, status.st_ino, live, packed, start, status.st_size)


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _remember(status: os.stat_result, found: tuple[bool, bytes | None]) -> None:
    if time.time_ns() - status.st_mtime_ns > _OLD_ENOUGH:
        if len(_starts) >= _STARTS:
            _starts.clear()
        _starts[_stamp(status)] = found


def _look_into(path: Path, fd: int, *, named: bool) -> tuple[bool, bytes | None]:
    """Return whether a file is compressed (`named`: its name says so), and its start."""
    start = read_start(fd)
    if recognise(start[:MAGIC_SIZE]):
        return True, _unpacked_start(path, fd)
    # An archive that is just being begun.
    if named and len(start) < MAGIC_SIZE:
        return True, None
    return False, start


def _unpacked_start(path: Path, fd: int) -> bytes | None:
    start = b""
    try:
        with LogStream(path, io.FileIO(os.dup(fd))) as stream:
            while len(start) < HEAD_SIZE and (data := stream.read(HEAD_SIZE - len(start))):
                start += data
    except SourceError:
        # Damaged, or still being written.
        return start if head_of(start) else None
    return start
