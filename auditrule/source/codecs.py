"""How each kind of archive is recognised and undone, a bounded piece at a time.

Every decoder here does one frame (a gzip member, a bzip2 or xz stream, a zstd frame); putting
frames after one another is the archive's work. Formats: RFC 1952 (gzip), the xz file format,
RFC 8878 (zstd, skippable frames in §3.1.2).
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

# An xz file names the memory that its decoder must take; -9 needs 65 MiB, a hostile file may
# ask for gigabytes.
XZ_MEMORY_LIMIT = 128 << 20


class FrameDecoder(Protocol):
    """One frame, decoded step by step.

    feed() takes compressed bytes and returns about `limit` decoded bytes at most. While `hungry`
    is false it wants to be fed b"" for what it still holds. After `eof`, `unused` has the
    bytes behind the frame.
    """

    hungry: bool

    @property
    def eof(self) -> bool:
        """Whether the frame is complete."""

    @property
    def unused(self) -> bytes:
        """What was fed and lies behind the frame."""

    def feed(self, data: bytes, limit: int, /) -> bytes:
        """Decode the next bytes; raises the codec's errors."""


@dataclass(frozen=True, slots=True)
class Codec:
    """A kind of archive: its name, its magic, a decoder for a frame of it.

    input_size: how many compressed bytes are fed at once; what bounds memory where a decoder
    knows no limit for its output. errors: what the decoder raises on bytes that are not its own.
    """

    name: str
    magic: re.Pattern[bytes]
    decoder: Callable[[], FrameDecoder]
    input_size: int
    errors: tuple[type[Exception], ...]


class _Gzip:
    def __init__(self) -> None:
        # 31: a window of 15 bits, and the gzip wrapper with its checksum (zlib.h, inflateInit2).
        self._inflate = zlib.decompressobj(31)
        self._held = b""
        self.hungry = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused(self) -> bytes:
        return self._inflate.unused_data

    def feed(self, data: bytes, limit: int, /) -> bytes:
        out = self._inflate.decompress(self._held + data, limit)
        self._held = self._inflate.unconsumed_tail
        self.hungry = not self._held and len(out) < limit
        return out


class _Limited:
    """bz2 and lzma: the standard library gives both the same face."""

    def __init__(self, decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decompressor = decompressor
        self.hungry = True

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    @property
    def unused(self) -> bytes:
        return self._decompressor.unused_data

    def feed(self, data: bytes, limit: int, /) -> bytes:
        out = self._decompressor.decompress(data, limit)
        self.hungry = self._decompressor.eof or self._decompressor.needs_input
        return out


class _Zstd:
    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()
        self.hungry = True

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    @property
    def unused(self) -> bytes:
        return self._decompressor.unused_data

    def feed(self, data: bytes, _limit: int, /) -> bytes:
        return self._decompressor.decompress(data)


CODECS = (
    Codec("gzip", re.compile(rb"\x1f\x8b"), _Gzip, 16 << 10, (zlib.error,)),
    Codec(
        "bzip2",
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        lambda: _Limited(bz2.BZ2Decompressor()),
        16 << 10,
        (OSError, ValueError),
    ),
    Codec(
        "xz",
        re.compile(rb"\xfd7zXZ\x00"),
        lambda: _Limited(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT)),
        16 << 10,
        (lzma.LZMAError,),
    ),
    # A zstd block of 4 bytes may stand for 128 KiB, so little is fed at once.
    Codec(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
        _Zstd,
        512,
        (zstandard.ZstdError,),
    ),
)

MAGIC_SIZE = 10


def recognise(head: bytes) -> Codec | None:
    """Return the kind of archive that starts with these (up to MAGIC_SIZE) bytes, if any."""
    return next((codec for codec in CODECS if codec.magic.match(head)), None)
