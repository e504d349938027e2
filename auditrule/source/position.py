"""A place in a log that outlives the process, and which files are older than it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule.source.files import HEAD_SIZE, FileIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

# How many older files a position names. One that is still there is enough to tell what is older.
_NAMED = 16
# How many keys are remembered before those of files that are gone are forgotten.
_REMEMBERED = 128
_DIGEST_SIZE = 12


@dataclass(frozen=True, slots=True)
class Position:
    """The place after the last line given: the file it is in, and the offset in bytes there.

    The offset is where a line begins, counted in decompressed bytes. A file whose head is b"" had
    no complete line yet, so its offset is 0; device and inode are 0 where there was no file at all.
    older: digests of the newest files that are older than this one, the newest last.
    """

    path: Path
    file: FileIdentity
    offset: int
    older: tuple[str, ...] = ()

    def to_state(self) -> dict[str, object]:
        """Return it as JSON values, at most 2 kB."""
        return {
            "path": str(self.path),
            "device": self.file.device,
            "inode": self.file.inode,
            "head": self.file.head.hex(),
            "offset": self.offset,
            "older": list(self.older),
        }

    @classmethod
    def from_state(cls, state: object) -> Self:
        """Return what to_state() was asked of; ValueError on anything else."""
        if not isinstance(state, dict):
            raise ValueError("a position is an object")
        if unknown := state.keys() - {"path", "device", "inode", "head", "offset", "older"}:
            raise ValueError(f"a position has no {min(map(str, unknown))}")
        head = bytes.fromhex(_text(state, "head"))
        offset = _count(state, "offset")
        if len(head) > HEAD_SIZE or b"\n" in head or (offset and not head):
            raise ValueError("a position's head is the first line of its file")
        older = state.get("older")
        if not isinstance(older, list):
            raise ValueError("a position's older is a list")
        for digest in older:
            if not isinstance(digest, str) or len(bytes.fromhex(digest)) != _DIGEST_SIZE:
                raise ValueError("a position's older is a list of digests")
        file = FileIdentity(_count(state, "device"), _count(state, "inode"), head)
        return cls(Path(_text(state, "path")), file, offset, tuple(older))


def _text(state: dict[str, object], name: str) -> str:
    value = state.get(name)
    if not isinstance(value, str):
        raise ValueError(f"a position's {name} is text")
    return value


def _count(state: dict[str, object], name: str) -> int:
    value = state.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a position's {name} is a number")
    return value


class OlderFiles:
    """The files that are older than the present one, by key: never to be read again.

    Remembers all that are still there, and a few more.
    """

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._digests = dict.fromkeys(digests)
        self._limit = _REMEMBERED
        self._newest: tuple[str, ...] | None = None

    def __contains__(self, key: bytes) -> bool:
        return bool(key) and _digest(key) in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def newest(self) -> tuple[str, ...]:
        """The digests of the newest few, the newest last."""
        if self._newest is None:
            self._newest = tuple(self._digests)[-_NAMED:]
        return self._newest

    @property
    def full(self) -> bool:
        """Whether it is time to forget."""
        return len(self._digests) > self._limit

    def add(self, key: bytes) -> None:
        """Take the next file, which is younger than those before; an empty key means nothing."""
        if key:
            digest = _digest(key)
            self._digests.pop(digest, None)
            self._digests[digest] = None
            self._newest = None

    def discard(self, key: bytes) -> None:
        """Forget a file."""
        self._digests.pop(_digest(key), None)
        self._newest = None

    def forget_all_but(self, keys: Iterable[bytes]) -> None:
        """Forget the files that are not among `keys`, except for the newest."""
        kept = {_digest(key) for key in keys}.union(self.newest)
        self._digests = {digest: None for digest in self._digests if digest in kept}
        self._limit = 2 * len(self._digests) + _REMEMBERED


def _digest(key: bytes) -> str:
    return hashlib.blake2b(key, digest_size=_DIGEST_SIZE).hexdigest()
