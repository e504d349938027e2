"""The one error of this station."""

from __future__ import annotations

import errno
from pathlib import Path

_PLAIN_REASONS = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "a part of the path is not a directory",
    errno.ELOOP: "too many symbolic links",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this host",
    errno.EIO: "input/output error",
}


class SourceError(Exception):
    """Bytes that should be there cannot be read; str() is one line: `PATH: REASON`.

    path: the file as the caller named it. reason: plain words, no trailing stop.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    @classmethod
    def from_os(cls, path: str | Path, error: OSError) -> SourceError:
        """Say in plain words why the system refused."""
        return cls(path, plain_reason(error))


def plain_reason(error: OSError) -> str:
    """Say what an OSError means to a person, such as "permission denied"."""
    known = _PLAIN_REASONS.get(error.errno) if error.errno is not None else None
    return known or (error.strerror or str(error) or type(error).__name__).lower()
