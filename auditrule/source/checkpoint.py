"""The daemon's memory on disk: a checkpoint, written so that a crash leaves the old or the new.

Each input has a checkpoint of its own, so that a run on another one costs nothing. It is a line of
JSON that tells the format's version, the length and the SHA-256 of what follows, and the state as
JSON. It replaces the one before by rename(2), after fsync(2); the folder is brought to the disk
behind it. Whoever may write the folder could make the daemon pass over events, so it is nobody
else's (mode 0700), and of one daemon at a time (flock(2)).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

_FORMAT = "auditrule checkpoint"
_VERSION = 2
_NAME = "checkpoint"
_LOCK = "lock"
_LONGEST_HEADER = 1000
_AT_ONCE = 1000
_TRIES = 20
_PAUSE = 0.05


class StateError(Exception):
    """The state folder cannot be used; the text is one line: `PATH: REASON`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class DamagedError(ValueError):
    """What is kept is no checkpoint, or not the one that was written; the text says why."""


class StateFolder:
    """A folder that holds checkpoints, and is this process's alone while it is open.

    `source` names the input that a checkpoint is of.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder if need be, and take it.

        Whoever asks whether a daemon runs (`auditrule status`) holds the lock for a moment; that is
        waited for.

        Raises StateError where it cannot be made, is another user's or used by another daemon.
        """
        self.path = path
        try:
            self._lock = self._take()
        except OSError as error:
            raise StateError(path, plain_reason(error)) from error

    def _take(self) -> int:
        """Make the folder and take its lock. Raises OSError, and StateError if it is another's."""
        path = self.path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = _take_lock(path / _LOCK)
        except BlockingIOError:
            raise StateError(path, f"is used by another daemon{_holder(path / _LOCK)}") from None
        try:
            status = path.stat()
            if status.st_uid not in (os.geteuid(), 0):
                raise StateError(path, f"belongs to user {status.st_uid}")
            if status.st_mode & 0o077 and status.st_uid == os.geteuid():
                path.chmod(0o700)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _take_again(self) -> None:
        """Take the folder again if it was removed, and its lock with it."""
        own = os.fstat(self._lock)
        try:
            there = (self.path / _LOCK).stat()
            if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino):
                return
        except FileNotFoundError:
            pass
        lock = self._take()
        os.close(self._lock)
        self._lock = lock

    def file(self, source: str) -> Path:
        """Return where the checkpoint of an input is."""
        digest = hashlib.sha256(os.fsencode(source)).hexdigest()
        return self.path / f"{_NAME}-{digest[:12]}"

    def has_others(self, source: str) -> bool:
        """Tell whether there are checkpoints of other inputs."""
        own = self.file(source).name
        return any(not path.name.startswith(own) for path in self.path.glob(f"{_NAME}-*"))

    def load(self, source: str) -> dict[str, Any] | None:
        """Return the state that was saved last, None if none ever was.

        Raises DamagedError where it is not what was saved, and StateError where it cannot be read.
        """
        file = self.file(source)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(file, plain_reason(error)) from error
        return _unpack(data)

    def set_aside(self, source: str) -> Path:
        """Move a checkpoint that is of no use out of the way, and return where it is now.

        Raises StateError where that is not possible.
        """
        file = self.file(source)
        aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        try:
            file.rename(aside)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StateError(file, plain_reason(error)) from error
        return aside

    def save(self, source: str, state: Mapping[str, Any]) -> None:
        """Keep `state`, JSON values, in place of the one before. Raises OSError.

        When it returns, the state is on the disk; when it raises, the one before is kept. A folder
        that was removed meanwhile is made anew; StateError if another daemon has taken it.
        """
        self._take_again()
        file = self.file(source)
        new = file.with_name(f"{file.name}.new")
        pieces = _pack(state)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        new.rename(file)
        _sync_folder(self.path)

    def close(self) -> None:
        """Let the next daemon have the folder."""
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take_lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_PAUSE)
        # A full disk must not keep the daemon from starting: the number is for people.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(fd)
        raise
    return fd


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return f", process {text}" if text.isdecimal() else ""


def _pack(state: Mapping[str, Any]) -> list[bytes]:
    pieces = list(_pieces(state))
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "bytes": sum(map(len, pieces)),
        "sha256": digest.hexdigest(),
    }
    return [json.dumps(header).encode("ascii") + b"\n", *pieces]


def _pieces(value: Any) -> Iterator[bytes]:
    """Give a value as JSON, in pieces: written at once, ten megabytes take thirty meanwhile."""
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        before = b"{"
        for name, each in value.items():
            yield before + json.dumps(name).encode("ascii") + b":"
            yield from _pieces(each)
            before = b","
        yield b"}" if value else b"{}"
    elif isinstance(value, list) and len(value) > _AT_ONCE:
        before = b"["
        for begin in range(0, len(value), _AT_ONCE):
            part = json.dumps(value[begin : begin + _AT_ONCE], separators=(",", ":"))
            yield before + part[1:-1].encode("ascii")
            before = b","
        yield b"]"
    else:
        yield json.dumps(value, separators=(",", ":")).encode("ascii")


def _unpack(data: bytes) -> dict[str, Any]:
    line, _, payload = data.partition(b"\n")
    try:
        header = json.loads(line) if len(line) < _LONGEST_HEADER else None
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise DamagedError("no checkpoint")
    if header.get("version") != _VERSION:
        raise DamagedError(f"of version {header.get('version')!r}, not {_VERSION}")
    if header.get("bytes") != len(payload):
        raise DamagedError(f"{len(payload)} bytes of {header.get('bytes')!r}")
    if header.get("sha256") != hashlib.sha256(payload).hexdigest():
        raise DamagedError("its checksum is wrong")
    state = json.loads(payload)
    if not isinstance(state, dict):
        raise DamagedError("no object")
    return state


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some file systems have nothing to do for a folder, and say so.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
