"""From the user's LOG arguments to the files to read, and in which order."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule.source.archive import STDIN, open_log
from auditrule.source.errors import SourceError
from auditrule.source.names import parse_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROBE_SIZE = 64 << 10

# The time is absent where ausearch -i has written the record; it is an audit log all the same.
_RECORD = re.compile(
    rb"^(?:node=\S+ )?type=[\w\[\]]+ msg=audit\((?:(?P<time>\d+\.\d+):\d+\))?", re.MULTILINE
)

NO_RECORDS = "holds no audit records"
"""The reason of a file that was passed over because it is no audit log."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file to read. size: bytes as stored. first_time: its first record's, epoch seconds."""

    path: Path
    size: int
    first_time: float | None


@dataclass(frozen=True, slots=True)
class LogSet:
    """The files of one rotated log, the oldest first: one host's records, in order."""

    folder: Path
    stem: str
    files: tuple[LogFile, ...]

    @property
    def size(self) -> int:
        """Bytes as stored."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder met in a searched folder and passed over, with the reason.

    `unreadable` tells that it could not be read, so that a log may be missing.
    """

    path: Path
    reason: str
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class LogSets:
    """All that the arguments mean. The sets are independent of each other."""

    sets: tuple[LogSet, ...]
    skipped: tuple[Skipped, ...]

    @property
    def size(self) -> int:
        """Bytes as stored, of all sets."""
        return sum(logs.size for logs in self.sets)


def find_logs(arguments: Iterable[str | Path]) -> LogSets:
    """Turn files, directories and "-" (standard input) into ordered sets of files.

    A named file always belongs. A directory is searched with all below it (links to directories
    are not followed), and a file in it belongs if one of the lines in its first 64 KiB,
    decompressed, begins like an audit record. Each file is there once, whatever the number of
    names it has. Raises SourceError where an argument is missing or not to be read; what cannot
    be read inside a directory is among the skipped.
    """
    finder = _Finder()
    for argument in arguments:
        finder.add(Path(argument))
    return finder.result()


class _Finder:
    def __init__(self) -> None:
        self._sets: dict[tuple[Path, str], list[LogFile]] = {}
        self._skipped: list[Skipped] = []
        self._seen: set[tuple[int, int]] = set()

    def result(self) -> LogSets:
        sets = tuple(
            LogSet(folder, stem, _in_order(files)) for (folder, stem), files in self._sets.items()
        )
        return LogSets(sets, tuple(self._skipped))

    def add(self, path: Path) -> None:
        if path == STDIN:
            if (Path(), "-") not in self._sets:
                self._sets[Path(), "-"] = [LogFile(STDIN, 0, None)]
            return
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError.from_os(path, error) from error
        if stat.S_ISDIR(status.st_mode):
            self._search(path)
        elif self._is_new(status):
            # A pipe, such as a shell's <(...), can be read once only: it is not looked into.
            regular = stat.S_ISREG(status.st_mode)
            self._belongs(path, status, _probe(path).time if regular else None)

    def _search(self, top: Path) -> None:
        for path, problem in _walk(top):
            try:
                if problem is not None:
                    raise SourceError.from_os(path, problem) from problem
                self._consider(path)
            except SourceError as error:
                if path == top:
                    raise
                unreadable = isinstance(error.__cause__, OSError)
                self._skipped.append(Skipped(path, error.reason, unreadable))

    def _consider(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError.from_os(path, error) from error
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(path, "a link to a directory")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(path, "not a regular file")
        if (status.st_dev, status.st_ino) in self._seen:
            return
        probe = _probe(path)
        if not probe.is_audit:
            raise SourceError(path, probe.problem or NO_RECORDS)
        self._is_new(status)
        self._belongs(path, status, probe.time)

    def _is_new(self, status: os.stat_result) -> bool:
        """Whether this file was not met before, under this or another name."""
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True

    def _belongs(self, path: Path, status: os.stat_result, first_time: float | None) -> None:
        key = (path.parent.resolve(), parse_name(path.name).stem)
        file = LogFile(path, status.st_size, first_time)
        self._sets.setdefault(key, []).append(file)


@dataclass(frozen=True, slots=True)
class _Probe:
    is_audit: bool
    time: float | None = None
    problem: str | None = None


def _probe(path: Path) -> _Probe:
    """Look at a file's start. Damage found on the way is no error yet: reading will tell."""
    head = b""
    problem = None
    with open_log(path) as log:
        try:
            while len(head) < PROBE_SIZE and (data := log.read(PROBE_SIZE - len(head))):
                head += data
        except SourceError as error:
            problem = error.reason
    if match := _RECORD.search(head):
        return _Probe(True, float(match["time"]) if match["time"] else None)
    return _Probe(False, None, problem or (None if head else "empty"))


def _in_order(files: list[LogFile]) -> tuple[LogFile, ...]:
    """Sort by first record; a file without one stays next to its older neighbour by name."""
    by_name = sorted(files, key=lambda file: parse_name(file.path.name).age)
    times: list[float] = []
    for file in by_name:
        before = times[-1] if times else float("-inf")
        times.append(before if file.first_time is None else file.first_time)
    order = sorted(range(len(by_name)), key=lambda index: times[index])
    return tuple(by_name[index] for index in order)


def _walk(top: Path) -> Iterator[tuple[Path, OSError | None]]:
    """Yield all below a folder, real files before links, and the folders that cannot be read."""
    problems: list[OSError] = []
    for folder, subfolders, names in os.walk(top, onerror=problems.append):
        yield from ((Path(problem.filename), problem) for problem in problems)
        problems.clear()
        subfolders.sort()
        here = Path(folder)
        links = [name for name in subfolders if (here / name).is_symlink()]
        yield from (
            (here / name, None)
            for name in sorted([*names, *links], key=lambda n: ((here / n).is_symlink(), n))
        )
    yield from ((Path(problem.filename), problem) for problem in problems)
