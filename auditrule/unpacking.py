"""Unpacking an archive in a process of its own, while this one looks at what has come of it."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from auditrule.parallel import in_order
from auditrule.source.archive import open_log
from auditrule.source.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Buffer

_BLOCK_SIZE = 256 << 10

_Block = tuple[bytes, int]
"""Bytes, and how many stored ones they came of so far; or, in place of these, a reason and -1."""


class UnpackedLog(io.RawIOBase):
    """The bytes of an archive (auditrule.source.archive.LogStream), to be read once.

    Raises SourceError as the archive itself would. `consumed` counts bytes as they are stored.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.consumed = 0
        self._path = path
        self._rest = memoryview(b"")
        self._blocks = in_order([partial(_blocks, path)], 1)

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Let go of the archive, and end the process."""
        self._blocks.close()
        super().close()

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as what has come goes; return how far, 0 at the end."""
        if not self._rest:
            _, (data, consumed) = next(self._blocks, (0, (b"", self.consumed)))
            if consumed < 0:
                raise SourceError(self._path, data.decode())
            self._rest, self.consumed = memoryview(data), consumed
        view = memoryview(buffer)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _blocks(path: Path) -> Iterator[_Block]:
    try:
        with open_log(path) as stream:
            while block := stream.read(_BLOCK_SIZE):
                yield block, stream.consumed
    except SourceError as error:
        yield error.reason.encode(), -1
