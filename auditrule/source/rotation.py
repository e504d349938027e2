"""Which file comes after the one that was read, however a log is rotated.

auditd closes the log, renames .N-1 to .N from the highest down, then the log to .1, and opens a
new one (rotate_logs() in its src/auditd-event.c). logrotate renames in the same order, or appends
a date; with copytruncate it copies the log to .1 and empties it; it may compress what is rotated,
at once or a rotation later (logrotate(8)). So a file's number only grows, and at each moment
everything younger than a file has a smaller number than it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditrule.source.files import (
    FileIdentity,
    LogFile,
    list_files,
    list_settled,
    live_inode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditrule.source.position import OlderFiles

Link = Literal["next", "hole", "unknown"]


@dataclass(frozen=True, slots=True)
class Successor:
    """The file to read next.

    link: "next" if nothing can lie between, as the names tell; "hole" if a number is missing;
    "unknown" where nothing that is older is there any more. alone: no other
    file holds anything. passed: the files before it that hold nothing to be read.
    """

    file: LogFile
    link: Link
    alone: bool
    passed: tuple[LogFile, ...]


def find_successor(
    log: Path,
    own: FileIdentity | None,
    older: OlderFiles,
) -> Successor | None:
    """Say which file follows `own`, as things look now.

    own: the file being read, held open, its head as far as it goes; None where none is. older: the
    files that are older than it. None where own still is the log, or nothing has followed yet; a
    file without content does not follow, as its writer may not have moved on to it. A renaming in
    progress may show through: an answer is to be trusted only if asking again after opening the
    file gives the same, and one whose link is not "next" only if it stays for a while.
    """
    if own is not None and live_inode(log) == (own.device, own.inode):
        return None
    files = list_files(log)
    begin = _begin(files, own, older)
    for index in _unread(files, begin + 1, own, older):
        way = files[begin : index + 1] if begin >= 0 else []
        alone = sum(not file.empty for file in files) == 1
        return Successor(files[index], _link(way), alone, tuple(files[begin + 1 : index]))
    return None


def bytes_after(log: Path, own: FileIdentity | None, older: OlderFiles) -> int:
    """Return how many bytes, as stored, lie in the files after `own`."""
    if own is not None and live_inode(log) == (own.device, own.inode):
        return 0
    files = list_files(log)
    return sum(files[i].size for i in _unread(files, _begin(files, own, older) + 1, own, older))


def find_file(log: Path, own: FileIdentity) -> tuple[LogFile | None, list[LogFile]]:
    """Return the file that is, or holds what was in, `own`, and all that are older than it.

    own has a head. Of several (a copy that is being made, an archive whose original is still there)
    it is the youngest, which is complete. A file that cannot be read is known by its inode.
    """
    files = list_settled(log)
    places = [
        index
        for index, file in enumerate(files)
        if file.key == own.head or (file.start is None and file.is_inode(own.device, own.inode))
    ]
    return (files[places[-1]], files[: places[-1]]) if places else (None, [])


def find_copy(log: Path, own: FileIdentity, start: bytes, older: OlderFiles) -> LogFile | None:
    """Return the copy of a log that was emptied in place since; None if there is none.

    own, start: what it was known by, and its first bytes. Where they held no complete line, the
    copy is the first file that is not older, if it begins with them.
    """
    rotated = [f for f in list_settled(log) if not f.live and not f.is_inode(own.device, own.inode)]
    if own.head:
        copies = [f for f in rotated if f.key == own.head]
        return copies[-1] if copies else None
    for index in _unread(rotated, _begin(rotated, None, older) + 1, None, older):
        first = rotated[index]
        return first if start and (first.start or b"").startswith(start) else None
    return None


def _begin(files: list[LogFile], own: FileIdentity | None, older: OlderFiles) -> int:
    """Return the place of own, or else of the newest file that is older; -1 without any."""
    places = [index for index, file in enumerate(files) if own is not None and _is(file, own)]
    return places[-1] if places else _newest(files, older)


def _newest(files: list[LogFile], older: OlderFiles) -> int:
    return max((index for index, file in enumerate(files) if file.key in older), default=-1)


def _is(file: LogFile, own: FileIdentity) -> bool:
    # own is held open, so that no other file can have got its inode.
    return file.is_inode(own.device, own.inode) or (bool(own.head) and file.key == own.head)


def _unread(
    files: list[LogFile], begin: int, own: FileIdentity | None, older: OlderFiles
) -> Iterator[int]:
    """Yield the places of the files to be read, from the one at `begin` on."""
    own_key = own.head if own is not None else b""
    for index in range(begin, len(files)):
        file = files[index]
        done = bool(file.key) and (file.key == own_key or file.key in older)
        if not (done or file.empty or any(_is_repeated(file, o) for o in files[index + 1 :])):
            yield index


def _is_repeated(file: LogFile, later: LogFile) -> bool:
    """Whether what a file holds is there again in a later one, and more complete."""
    if file.key and later.key == file.key:
        return True
    in_progress = file.packed and not later.packed and later.name.age == file.name.age
    return in_progress and (later.start or b"").startswith(file.start or b"")


def _link(way: list[LogFile]) -> Link:
    if not way:
        return "unknown"
    return "next" if all(map(_adjacent, way, way[1:])) else "hole"


def _adjacent(older: LogFile, newer: LogFile) -> bool:
    """Whether no number is missing between two names; dates leave no gap to be seen."""
    if older.name.number is None or older.name.date:
        return True
    return older.name.number - (newer.name.number or 0) in (0, 1)
