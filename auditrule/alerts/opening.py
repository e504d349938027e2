"""Opening the alert file, and making it with the mode and group that it is to have."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ATTEMPTS = 20
# A file system that knows no locks says one of these, flock(2), or no hard links, link(2).
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def group_id(name: str) -> int:
    """Return a group's number, given its name or number. Raises OSError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if name.isascii() and name.isdigit():
            return int(name)
        raise OSError(f"no such group: {name}") from None


def open_for_appending(path: Path, *, mode: int, group: int | None) -> tuple[int, bool]:
    """Open `path`, made if it is not there; tell whether it was made.

    It gets `mode` and `group`, but a file that belongs to another user keeps its own. A regular
    file is opened to be read too. A pipe is not waited for: without a reader it is an error. Raises
    OSError, for a symbolic link too.
    """
    made = False
    for _ in range(_ATTEMPTS):
        try:
            status = path.lstat()
        except FileNotFoundError:
            _make(path, mode, group)
            made = True
            continue
        if stat.S_ISLNK(status.st_mode):
            raise OSError("a symbolic link; name the file that it points to")
        regular = stat.S_ISREG(status.st_mode)
        # A pipe must have a reader that is not this process.
        access = os.O_RDWR if regular else os.O_WRONLY | os.O_NONBLOCK
        flags = os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
        try:
            fd = os.open(path, access | flags)
        except FileNotFoundError:
            continue
        if os.path.samestat(os.fstat(fd), status):
            if regular:
                _claim(fd)
                _adjust(fd, status, mode, group)
            os.set_blocking(fd, True)
            return fd, made
        os.close(fd)
    raise OSError(errno.EAGAIN, "others keep replacing the file")


def _claim(fd: int) -> None:
    """Take the file for this process (flock(2)): two daemons would write each alert twice.

    Closes it, and raises OSError, where another one has it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise OSError("another daemon writes it") from None
    except OSError as error:
        # A file system without locks.
        if error.errno not in _NO_LOCKS:
            os.close(fd)
            raise


def _adjust(fd: int, status: os.stat_result, mode: int, group: int | None) -> None:
    """Give a file of this user its mode and group. Closes it, and raises OSError, if it cannot."""
    if status.st_uid != os.geteuid():
        return
    if stat.S_IMODE(status.st_mode) == mode and group in (None, status.st_gid):
        return
    try:
        _give(fd, mode, group)
    except OSError:
        os.close(fd)
        raise


def _give(fd: int, mode: int, group: int | None) -> None:
    if group is not None:
        try:
            os.fchown(fd, -1, group)
        except OSError as error:
            raise OSError(error.errno, f"group {group} is none of this user's groups") from error
    # Behind it, as a change of the group may take from the mode, chown(2).
    os.fchmod(fd, mode)


def remove_leftover(path: Path) -> None:
    """Remove what a kill left behind as the file was made, if it can be removed."""
    with contextlib.suppress(OSError):
        _unfinished(path).unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _make(path: Path, mode: int, group: int | None) -> None:
    """Make the file under another name, and give it its own when it is as it should be."""
    new = _unfinished(path)
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(new, flags, 0o600)
    try:
        _give(fd, mode, group)
        with contextlib.suppress(FileExistsError):
            _give_name(new, path)
    finally:
        os.close(fd)
        remove_leftover(path)


def _give_name(new: Path, path: Path) -> None:
    try:
        path.hardlink_to(new)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Second best: it would replace a file that another made just now.
        new.rename(path)
