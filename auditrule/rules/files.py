"""Which files a path of rules stands for."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from auditrule.rules.archives import is_archive, rule_members
from auditrule.rules.ruleset import RuleError, SkippedFile


@dataclass(frozen=True, slots=True)
class RuleFileFound:
    """A file to read; ``named`` if it was asked for by its own name, not met in a tree.

    A file in an archive has its bytes in ``data``, and a ``path`` that goes on into the archive.
    """

    path: Path
    named: bool
    data: bytes | None = None


def find_rule_files(paths: Iterable[Path]) -> Iterator[RuleFileFound | SkippedFile | RuleError]:
    """Yield the files that the paths stand for, and what was passed over or cannot be reached.

    A path that is no folder stands for itself, whatever its name and kind (a pipe will do), but a
    zip or tar stands for the files ``*.toml`` in it. A folder stands for the regular files
    ``*.toml`` in it and below, in the order of their paths; hidden files and folders (``.git``)
    are passed over. Symbolic links are followed, also to folders; a file that is met twice counts
    once, as what it was met as first.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            yield reach_problem(path, error)
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _in_tree(path, seen)
        elif _first_time(status, seen):
            if is_archive(path):
                yield from _in_archive(path)
            else:
                yield RuleFileFound(path, named=True)


def _in_archive(path: Path) -> Iterator[RuleFileFound | RuleError]:
    for member in rule_members(path):
        place = path / member.name.lstrip("/")
        if member.problem is not None:
            yield RuleError(place, "", member.problem)
        else:
            yield RuleFileFound(place, named=False, data=member.data)


def reach_problem(path: Path, error: OSError) -> RuleError:
    """Return the error of a file or folder that the system does not let us read."""
    return RuleError(path, "", f"cannot be read: {error.strerror or error}")


def _in_tree(
    root: Path, seen: set[tuple[int, int]]
) -> Iterator[RuleFileFound | SkippedFile | RuleError]:
    # A stack and no recursion: a path may have more levels than Python's stack.
    waiting = [root]
    while waiting:
        path = waiting.pop()
        hidden = path != root and path.name.startswith(".")
        is_toml = path.name.endswith(".toml")
        try:
            status = path.stat()
        except OSError as error:
            # A link to nothing is nobody's rule unless its name says so.
            if not hidden and (is_toml or not isinstance(error, FileNotFoundError)):
                yield reach_problem(path, error)
            continue
        if stat.S_ISDIR(status.st_mode):
            if hidden:
                yield SkippedFile(path, "a hidden folder")
            elif _first_time(status, seen):
                try:
                    waiting += sorted(path.iterdir(), reverse=True)
                except OSError as error:
                    yield reach_problem(path, error)
            continue
        if not is_toml:
            continue
        if hidden:
            yield SkippedFile(path, "a hidden file")
        elif not stat.S_ISREG(status.st_mode):
            yield SkippedFile(path, "not a regular file")
        elif _first_time(status, seen):
            yield RuleFileFound(path, named=False)


def _first_time(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True
