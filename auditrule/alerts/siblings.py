"""The files that rotation made of an alert file: its own, and logrotate's."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from auditrule.source.names import LogName, parse_name


@dataclass(frozen=True, slots=True)
class Sibling:
    """A rotated file, and the device and inode that its name stood for."""

    path: Path
    name: LogName
    identity: tuple[int, int]


def rotated_siblings(path: Path) -> list[Sibling]:
    """Return the rotated files of the alert file `path`, the newest first.

    They are known by their names: ``.N``, ``-YYYYMMDD`` and what else logrotate appends, with or
    without the suffix of a compression. Of a plain and a compressed file of one name, the plain
    one comes first. What is no regular file is left out; a folder that cannot be read has none.
    """
    found = []
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if not entry.name.startswith((path.name + ".", path.name + "-")):
                continue
            name = _parse_suffix(entry.name.removeprefix(path.name))
            if name.stem != "log":
                continue
            with contextlib.suppress(OSError):
                # Not entry.inode(): it is that of the moment the folder was read.
                status = os.lstat(entry.path)
                if stat.S_ISREG(status.st_mode):
                    identity = (status.st_dev, status.st_ino)
                    found.append(Sibling(Path(entry.path), name, identity))
    return sorted(found, key=lambda file: (*file.name.age, not file.name.compressed), reverse=True)


@lru_cache(maxsize=4096)
def _parse_suffix(suffix: str) -> LogName:
    # The suffix alone: the file's own name may look like a rotated one's.
    return parse_name("log" + suffix)
