"""A tiny disk that can be filled and freed; needs root and the right to mount."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILLER = ".filler"
_CHUNK = 1 << 16


class NoMountError(Exception):
    """Nothing may be mounted here; the text is what mount(8) said."""


class TinyDisk:
    """A file system of a few megabytes at `path`, all of which but what is used can be taken."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Take all that is free, to the last byte."""
        size = _CHUNK
        with (self.path / _FILLER).open("ab", buffering=0) as file:
            while size:
                try:
                    size = file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        (self.path / _FILLER).unlink()


@contextmanager
def tiny_disk(path: Path, size: str = "16m") -> Iterator[TinyDisk]:
    """Mount a tmpfs(5) at `path` for a while. Raises NoMountError."""
    path.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoMountError(done.stderr.strip())
    try:
        yield TinyDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
