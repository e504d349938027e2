"""A log and its writer, rotated step by step in the ways that auditd and logrotate have."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


class RotatingLog:
    """Writes to a log and rotates it; num_logs counts the log itself, as auditd.conf(5) has it.

    dated: rotated files get a date instead of a number. Archives are rotated like the others.
    """

    def __init__(self, path: Path, *, num_logs: int = 99, dated: bool = False) -> None:
        self.path = path
        self.num_logs = num_logs
        self.dated = dated
        self._day = 0
        self.reopen()

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def reopen(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        os.close(self._fd)

    def numbered(self, number: int, suffix: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    def rotated(self) -> list[Path]:
        """Return the rotated files, the newest first."""
        if self.dated:
            return sorted(self.path.parent.glob(f"{self.path.name}-*"), reverse=True)
        return [
            path
            for number in range(1, 200)
            for suffix in ("", *PACKERS)
            if (path := self.numbered(number, suffix)).exists()
        ]

    def _make_room(self) -> Path:
        """Return the name for the next rotated file, which is free."""
        if self.dated:
            self._day += 1
            for old in self.rotated()[max(0, self.num_logs - 2) :]:
                old.unlink()
            return self.path.with_name(
                f"{self.path.name}-2024{self._day // 28 + 1:02}{self._day % 28 + 1:02}"
            )
        for number in range(self.num_logs - 1, 0, -1):
            for suffix in ("", *PACKERS):
                old = self.numbered(number, suffix)
                if old.exists():
                    if number == self.num_logs - 1:
                        old.unlink()
                    else:
                        old.rename(self.numbered(number + 1, suffix))
        return self.numbered(1)

    def rename(self) -> None:
        """The first half of auditd's rotation; reopen() is the second."""
        self.close()
        self.path.rename(self._make_room())

    def rotate(self) -> None:
        self.rename()
        self.reopen()

    def create(self) -> None:
        """logrotate's create: the writer goes on in the old file until it is told to reopen."""
        self.path.rename(self._make_room())
        self.path.touch()

    def move(self) -> None:
        self.close()
        self.reopen()

    def copy(self) -> Path:
        copied = self._make_room()
        shutil.copyfile(self.path, copied)
        return copied

    def truncate(self) -> None:
        os.ftruncate(self._fd, 0)

    def copytruncate(self) -> None:
        self.copy()
        self.truncate()

    def compress(self, place: int = 0, suffix: str = ".gz") -> None:
        """Compress the rotated file at this place, 0 the newest, unless it is already."""
        plain = [path for path in self.rotated() if path.suffix not in PACKERS]
        if plain:
            path = plain[place % len(plain)]
            path.with_name(path.name + suffix).write_bytes(PACKERS[suffix](path.read_bytes()))
            path.unlink()
