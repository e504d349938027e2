"""Opening a log as it lies on disk: plain, or compressed with gzip, bzip2, xz or zstd.

What a file is, its first bytes say; its name says nothing.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from auditrule.source.codecs import MAGIC_SIZE, Codec, FrameDecoder, recognise
from auditrule.source.errors import SourceError

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDIN = Path("-")
_PEEKED = 64 << 10


class _Raw(Protocol):
    def read(self, size: int, /) -> bytes | None: ...
    def seek(self, offset: int, /) -> int: ...
    def seekable(self) -> bool: ...


class _DamageError(Exception):
    """The archive cannot be read further; str() is the reason."""


class _Input:
    """The stored bytes, taken in order, counted, with room to put some back."""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw
        self._held = b""
        self.offset = 0

    def peek(self, size: int) -> bytes:
        while len(self._held) < size:
            more = self._raw.read(size - len(self._held))
            if not more:
                break
            self._held += more
        return self._held[:size]

    def take(self, size: int) -> bytes:
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
        else:
            data = self._raw.read(size) or b""
        self.offset += len(data)
        return data

    def take_into(self, view: memoryview) -> int:
        if self._held or not isinstance(self._raw, io.RawIOBase):
            data = self.take(len(view))
            view[: len(data)] = data
            return len(data)
        size = self._raw.readinto(view) or 0
        self.offset += size
        return size

    def put_back(self, data: bytes) -> None:
        self._held = data + self._held
        self.offset -= len(data)

    def go_back_to(self, offset: int) -> bool:
        if not self._raw.seekable():
            return False
        self._raw.seek(offset)
        self._held = b""
        self.offset = offset
        return True


class _Frames:
    """The decoded bytes of an archive, frame after frame."""

    def __init__(self, source: _Input, codec: Codec) -> None:
        self._source = source
        self._codec = codec
        self._frame: FrameDecoder | None = codec.decoder()
        self._frame_at = 0
        self._frame_given = 0
        self._piece_at = 0
        self._ready = b""
        self._damage: _DamageError | None = None

    def read(self, size: int) -> bytes:
        while not self._ready:
            if self._damage is not None:
                raise self._damage
            if self._frame is None and not self._next_frame():
                return b""
            self._step(size)
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def _next_frame(self) -> bool:
        """Begin the next frame; False at the archive's end. NUL padding between frames is usual."""
        while (head := self._source.peek(MAGIC_SIZE)) and head[0] == 0:
            self._source.take(len(head) - len(head.lstrip(b"\0")))
        if not head:
            return False
        if not self._codec.magic.match(head):
            raise _DamageError(f"what follows the {self._codec.name} archive is no part of it")
        self._frame = self._codec.decoder()
        self._frame_at = self._source.offset
        self._frame_given = 0
        return True

    def _step(self, limit: int) -> None:
        if self._frame is None:
            return
        data = b""
        if self._frame.hungry:
            self._piece_at = self._source.offset
            data = self._source.take(self._codec.input_size)
            if not data:
                self._damage = _DamageError(f"the {self._codec.name} archive is cut off")
                return
        try:
            self._ready = self._frame.feed(data, limit)
        except self._codec.errors as error:
            self._damage = _DamageError(f"the {self._codec.name} archive is damaged: {error}")
            self._ready = self._salvage()
            return
        self._frame_given += len(self._ready)
        if self._frame.eof:
            self._source.put_back(self._frame.unused)
            self._frame = None

    def _salvage(self) -> bytes:
        """Return what the frame holds up to the damage and was not given yet.

        A decoder that meets damage throws away what that very call had decoded, for a small log
        all of it. So the frame is decoded again, its last piece byte by byte.
        """
        damage_at = self._source.offset
        if not self._source.go_back_to(self._frame_at):
            return b""
        frame = self._codec.decoder()
        decoded = 0
        kept: list[bytes] = []
        try:
            while not frame.eof and (self._source.offset < damage_at or not frame.hungry):
                whole = min(self._piece_at - self._source.offset, self._codec.input_size)
                data = self._source.take(max(whole, 1)) if frame.hungry else b""
                out = frame.feed(data, 1 << 16)
                already = max(0, min(len(out), self._frame_given - decoded))
                decoded += len(out)
                kept.append(out[already:])
        except self._codec.errors:
            pass
        return b"".join(kept)


class _StandardInput:
    """sys.stdin's bytes as they come, without waiting for a full block."""

    def __init__(self) -> None:
        self._buffer = sys.stdin.buffer

    def read(self, size: int, /) -> bytes:
        read1 = getattr(self._buffer, "read1", self._buffer.read)
        data: bytes = read1(size)
        return data

    def seek(self, _offset: int, /) -> int:
        raise io.UnsupportedOperation("seek")

    def seekable(self) -> bool:
        return False


class LogStream(io.RawIOBase):
    """The bytes of one log, decompressed, to be read once from start to end.

    read() returns at most `size` bytes, b"" at the end. A damaged or cut-off archive gives all
    that could be decoded and raises SourceError after it; so does a failing disk. `consumed`
    counts bytes as they are stored, to be set against the file's size.
    """

    def __init__(self, path: Path, raw: _Raw, *, close_raw: bool = True) -> None:
        super().__init__()
        self.path = path
        self._raw = raw
        self._close_raw = close_raw
        self._source = _Input(raw)
        try:
            self.codec = recognise(self._source.peek(MAGIC_SIZE))
        except OSError as error:
            self.close()
            raise SourceError.from_os(path, error) from error
        self._frames = _Frames(self._source, self.codec) if self.codec else None

    @property
    def consumed(self) -> int:
        """How many stored bytes were taken so far."""
        return self._source.offset

    @property
    def size(self) -> int:
        """The size of a plain file that can be read anywhere; 0 for any other input."""
        if self._frames is not None or not isinstance(self._raw, io.FileIO):
            return 0
        status = os.fstat(self._raw.fileno())
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def fileno(self) -> int:
        """Return the descriptor of a file that is not compressed."""
        if not isinstance(self._raw, io.FileIO):
            raise io.UnsupportedOperation("fileno")
        return self._raw.fileno()

    def peek(self) -> bytes:
        """Return the bytes that come next, a few of them."""
        return self._source.peek(_PEEKED)

    def skip_to(self, offset: int) -> None:
        """Go on with what is at an offset of a plain file."""
        self._source.go_back_to(offset)

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all there are for -1, b"" at the end."""
        self._checkClosed()
        if size < 0:
            return self.readall()
        try:
            return self._frames.read(size) if self._frames else self._source.take(size)
        except OSError as error:
            raise SourceError.from_os(self.path, error) from error
        except _DamageError as error:
            raise SourceError(self.path, str(error)) from error

    def readall(self) -> bytes:
        """Return the rest."""
        return b"".join(iter(lambda: self.read(1 << 20), b""))

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as one read goes."""
        view = memoryview(buffer).cast("B")
        if self._frames is None and not self.closed:
            try:
                return self._source.take_into(view)
            except OSError as error:
                raise SourceError.from_os(self.path, error) from error
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the file; standard input stays open."""
        if not self.closed and self._close_raw and isinstance(self._raw, io.IOBase):
            self._raw.close()
        super().close()


def open_log(path: Path) -> LogStream:
    """Open a log for reading; a context manager. STDIN (`-`) is standard input.

    Raises SourceError with the reason where the file is missing, a folder, or not to be read.
    """
    if path == STDIN:
        return LogStream(path, _StandardInput(), close_raw=False)
    try:
        raw = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError.from_os(path, error) from error
    return LogStream(path, raw)
