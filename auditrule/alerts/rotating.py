"""Rotation of an alert file: which name becomes which, and when a file is compressed.

The names are those of logrotate with delaycompress: ``alerts.ndjson`` becomes ``.1``, which stays
plain, so that a shipper that still has it open under either name can finish it; ``.1`` becomes
``.2`` and is then compressed.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import re
import zlib
from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_PLAIN, _PACKED = "", ".gz"
_CHUNK = 1 << 18
_GZIP_LEVEL = 6


class Rotation:
    """The generations of one alert file, of which `keep` are kept.

    Killed at any point, it leaves each line in some file: names are moved by rename(2) alone, from
    the oldest on and into free names only, and a file is removed only when its compressed form is
    complete, on the disk and has its name. What a kill can leave behind, `clean` removes: a
    temporary file, and a plain file beside its own compressed form.
    """

    def __init__(self, path: Path, *, keep: int, durable: bool) -> None:
        self._path = path
        self._keep = keep
        self._durable = durable
        self._temporary = path.with_name(f".{path.name}.gz.tmp")
        self._pattern = re.compile(re.escape(path.name) + r"\.([1-9]\d{0,4})(\.gz)?")

    def rotate(self) -> None:
        """Free the alert file's name, moving what has it to ``.1``. Raises OSError.

        No `compress` may be under way.
        """
        used = self._generations()
        free = next(number for number in count(1) if number not in used)
        # Where every number is taken, the oldest goes; where fewer are kept than were, several.
        while free > self._keep:
            free -= 1
            for suffix in used[free]:
                self._name(free, suffix).unlink()
        for number in range(free - 1, 0, -1):
            for suffix in sorted(used[number]):
                self._name(number, suffix).rename(self._name(number + 1, suffix))
        self._path.rename(self._name(1, _PLAIN))
        if self._durable:
            sync_folder(self._path.parent)

    def compress(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Compress the plain files from ``.2`` on, until `is_stopped`; problems are logged."""
        generations = self._generations()
        for number in sorted(generations, reverse=True):
            if number > 1 and generations[number] == {_PLAIN} and not is_stopped():
                try:
                    self._compress(number, is_stopped)
                except OSError as error:
                    self._log_failure("compress", self._name(number, _PLAIN), error)
                    return

    def clean(self) -> None:
        """Remove what an interrupted compression left behind; problems are logged."""
        try:
            self._temporary.unlink(missing_ok=True)
        except OSError as error:
            self._log_failure("remove", self._temporary, error)
        for number, suffixes in self._generations().items():
            if suffixes != {_PLAIN, _PACKED}:
                continue
            plain, packed = self._name(number, _PLAIN), self._name(number, _PACKED)
            try:
                # Two files that differ are two generations, whoever named them so: both stay.
                if _is_packed_form(plain, packed):
                    plain.unlink()
            except OSError as error:
                self._log_failure("remove", plain, error)

    def _compress(self, number: int, is_stopped: Callable[[], bool]) -> None:
        plain, packed = self._name(number, _PLAIN), self._name(number, _PACKED)
        self._temporary.unlink(missing_ok=True)
        try:
            with open_regular(plain) as source:
                if not self._pack(source, is_stopped) or not _is_same(plain, source):
                    return
                self._temporary.rename(packed)
                sync_folder(packed.parent)
                # Whatever the policy: the one form goes only when the other is there to stay.
                if _is_same(plain, source):
                    plain.unlink()
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _pack(self, source: BinaryIO, is_stopped: Callable[[], bool]) -> bool:
        """Write the compressed form to the temporary file; tell whether it is complete."""
        status = os.fstat(source.fileno())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._temporary, flags, 0o600)
        with os.fdopen(fd, "wb") as target:
            with gzip.GzipFile(
                filename="",
                mode="wb",
                compresslevel=_GZIP_LEVEL,
                fileobj=target,
                mtime=int(status.st_mtime),
            ) as packer:
                while chunk := source.read(_CHUNK):
                    if is_stopped():
                        return False
                    packer.write(chunk)
            target.flush()
            with contextlib.suppress(PermissionError):
                os.fchown(fd, status.st_uid, status.st_gid)
            os.fchmod(fd, status.st_mode & 0o7777)
            os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(fd)
        return source.tell() == os.fstat(source.fileno()).st_size

    def _generations(self) -> dict[int, set[str]]:
        """Return the numbers in use, with the suffixes of each. Raises OSError."""
        found: dict[int, set[str]] = {}
        with os.scandir(self._path.parent) as entries:
            for entry in entries:
                if match := self._pattern.fullmatch(entry.name):
                    found.setdefault(int(match[1]), set()).add(match[2] or _PLAIN)
        return found

    def _name(self, number: int, suffix: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{suffix}")

    def _log_failure(self, what: str, path: Path, error: OSError) -> None:
        _log.warning("cannot %s %s: %s", what, path, plain_reason(error))


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, if it may be read. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, without ever waiting for it or following a link at its end."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
    return os.fdopen(fd, "rb", buffering=0)


def _is_same(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still names the open `file`."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(file.fileno()))


def _is_packed_form(plain: Path, packed: Path) -> bool:
    with open_regular(plain) as left, open_regular(packed) as source:
        try:
            with gzip.GzipFile(fileobj=source, mode="rb") as right:
                while expected := left.read(_CHUNK):
                    if right.read(len(expected)) != expected:
                        return False
                return not right.read(1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
