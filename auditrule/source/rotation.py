"""Which file comes after the one that was read, when a log is rotated by renaming.

auditd closes the log, renames .N-1 to .N from the highest down, then the log to .1, and opens a
new one (rotate_logs() in its src/auditd-event.c). So a file's number only grows, and at each
moment everything younger than a file has a smaller number than it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule.source.names import LogName, parse_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

HEAD_SIZE = 512


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What a file is known by: device, inode, and its first line (at most HEAD_SIZE bytes of it).

    The inode alone is not enough: the file that a rotation creates often gets the number of the
    file that the same rotation removed. head is b"" while the first line is not complete.
    """

    device: int
    inode: int
    head: bytes

    @property
    def key(self) -> bytes | tuple[int, int]:
        """What stays the same: the head, which a copy shares; for a file without one, the inode."""
        return self.head or (self.device, self.inode)


@dataclass(frozen=True, slots=True)
class Successor:
    """The file to read next. live: it is the log itself. sure: nothing can lie between."""

    path: Path
    device: int
    inode: int
    live: bool
    sure: bool


@dataclass(frozen=True, slots=True)
class _Sibling:
    path: str
    name: LogName
    device: int
    inode: int


def open_regular(path: Path) -> int:
    """Open a file for reading without ever waiting for it; raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def identify(fd: int) -> FileIdentity:
    """Tell an open file's identity."""
    status = os.fstat(fd)
    return FileIdentity(status.st_dev, status.st_ino, head_of(read_start(fd)))


def read_start(fd: int) -> bytes:
    """Return an open file's first HEAD_SIZE bytes."""
    return os.pread(fd, HEAD_SIZE, 0)


def head_of(start: bytes) -> bytes:
    """Return the first line, cut at HEAD_SIZE, or b"" while it is not complete."""
    line, newline, _ = start.partition(b"\n")
    return line if newline or len(start) == HEAD_SIZE else b""


def rotated_files(log: Path) -> Iterator[tuple[Path, FileIdentity, int]]:
    """Yield path, identity and size of the log's rotated, uncompressed files, oldest first."""
    for sibling in _siblings(log):
        with contextlib.suppress(OSError):
            path = Path(sibling.path)
            fd = open_regular(path)
            try:
                yield path, identify(fd), os.fstat(fd).st_size
            finally:
                os.close(fd)


def find_successor(
    log: Path, own: FileIdentity | None, known: Collection[bytes | tuple[int, int]]
) -> Successor | None:
    """Say which file follows `own`, as things look now.

    own: None where nothing was read yet. known: the keys of files that are older than own. None
    where own still is the log, or nothing has followed yet. A renaming in progress may show
    through: an answer is to be trusted only if asking again after opening the file gives the same,
    and one that is not sure only if it stays for a while.
    """
    live = _live(log)
    if own is not None and live is not None and _is_inode(live, own):
        return None
    siblings = _siblings(log)
    places = [i for i, other in enumerate(siblings) if own is not None and _is_inode(other, own)]
    if not places:
        older = {*known, own.key} if own is not None else known
        unread = [(p, i) for p, i, _ in rotated_files(log) if i.key not in older]
        if unread:
            path, identity = unread[0]
            return Successor(path, identity.device, identity.inode, live=False, sure=own is None)
        if live is None:
            return None
        return Successor(log, live.device, live.inode, live=True, sure=own is None)
    this = siblings[places[-1]]
    later = siblings[places[-1] + 1 :]
    if not later and live is None:
        return None
    following = later[0] if later else live
    if following is None:
        return None
    return Successor(
        Path(following.path),
        following.device,
        following.inode,
        live=not later,
        sure=_adjacent(this.name, following.name),
    )


def bytes_after(log: Path, own: tuple[int, int]) -> int:
    """Return how many bytes lie in the files after the one with the device and inode `own`."""
    live = _live(log)
    if live is None or own == (live.device, live.inode):
        return 0
    sizes = [((i.device, i.inode), size) for _, i, size in rotated_files(log)]
    places = [index for index, (key, _) in enumerate(sizes) if key == own]
    later = sizes[places[-1] + 1 :] if places else []
    with contextlib.suppress(OSError):
        return sum(size for _, size in later) + log.stat().st_size
    return 0


def _is_inode(file: _Sibling, own: FileIdentity) -> bool:
    return (file.device, file.inode) == (own.device, own.inode)


def _adjacent(older: LogName, newer: LogName) -> bool:
    """Whether no number is missing between two names; dates leave no gap to be seen."""
    if older.number is None or older.date:
        return True
    return (newer.number or 0) == older.number - 1


def _live(log: Path) -> _Sibling | None:
    try:
        status = log.stat()
    except OSError:
        return None
    return _Sibling(str(log), LogName(log.name), status.st_dev, status.st_ino)


@lru_cache(maxsize=4096)
def _parse_suffix(suffix: str) -> LogName:
    return parse_name("log" + suffix)


def _siblings(log: Path) -> list[_Sibling]:
    """Return the rotated, uncompressed files of a log, oldest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(log.parent) as entries:
        for entry in entries:
            if not entry.name.startswith((log.name + ".", log.name + "-")):
                continue
            # The suffix alone: the log's own name may look like a rotated one's.
            name = _parse_suffix(entry.name.removeprefix(log.name))
            if name.stem != "log" or name.compressed:
                continue
            with contextlib.suppress(OSError):
                # Not entry.inode(): it is that of the moment the folder was read.
                status = os.stat(entry.path)  # noqa: PTH116 - there may be a thousand of them
                if stat.S_ISREG(status.st_mode):
                    found.append(_Sibling(entry.path, name, status.st_dev, status.st_ino))
    return sorted(found, key=lambda sibling: sibling.name.age)
