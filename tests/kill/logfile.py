"""A log that is written and rotated as auditd and logrotate do it."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Style = Literal["rename", "compress", "delaycompress", "copytruncate"]
_PIECE = 4096


class RotatedLog:
    """An append-only log, and its rotated siblings, none of which is ever removed.

    "rename" is auditd's rotation, and "compress" and "delaycompress" logrotate's, which compresses
    what was rotated last or the one before that. "copytruncate" is logrotate's for a writer that
    cannot reopen; as nothing is written between the copy and the truncation, nothing is lost by it.
    """

    def __init__(self, path: Path, style: Style, group: int = -1) -> None:
        self.path = path
        self.rotations = 0
        self._style = style
        self._group = group
        self._open()

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append with one call to the kernel."""
        assert os.write(self._fd, data) == len(data)

    def rotate(self) -> None:
        if self._style == "copytruncate":
            self._shift(1)
            shutil.copyfile(self.path, self._old(1))
            os.ftruncate(self._fd, 0)
        else:
            self._shift(1)
            self.path.rename(self._old(1))
            os.close(self._fd)
            self._open()
            if self._style == "compress":
                self._compress(1)
            elif self._style == "delaycompress":
                self._compress(2)
        self.rotations += 1

    def _open(self) -> None:
        # auditd makes it unreadable to the group at first.
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, 0o640)
        os.fchown(self._fd, -1, self._group)

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _shift(self, first: int) -> None:
        pattern = re.compile(re.escape(self.path.name) + r"\.(\d+)(\.gz)?")
        found = [
            (int(match[1]), match[2] or "")
            for path in self.path.parent.iterdir()
            if (match := pattern.fullmatch(path.name))
        ]
        for number, suffix in sorted(found, reverse=True):
            if number >= first:
                source = self.path.with_name(f"{self.path.name}.{number}{suffix}")
                source.rename(self.path.with_name(f"{self.path.name}.{number + 1}{suffix}"))

    def _compress(self, number: int) -> None:
        source = self._old(number)
        if not source.exists():
            return
        with source.open("rb") as plain, gzip.open(f"{source}.gz", "wb", 6) as packed:
            while piece := plain.read(_PIECE):
                packed.write(piece)
        source.unlink()
