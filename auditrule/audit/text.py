r"""Text from the bytes of the audit log, without loss.

File names and arguments on Linux are bytes. Most are UTF-8; what is not must neither raise nor
vanish, and must stay valid Unicode, because JSON readers refuse lone surrogates. So a byte that is
not part of valid UTF-8 becomes U+FFFD, the replacement character, followed by the byte as two
lower-case hex digits: ``b"caf\xe9"`` reads ``caf�e9``. A genuine U+FFFD in the data is written
the same way, byte by byte, so the escape is reversible and no other text is touched.
"""

from __future__ import annotations

import re

_MARK = "\ufffd"
_MARK_BYTES = _MARK.encode()
_MARK_ESCAPED = "".join(f"{_MARK}{byte:02x}" for byte in _MARK_BYTES)
_ESCAPE = re.compile(f"{_MARK}([0-9a-f]{{2}})")
# What "surrogateescape" makes of each byte that is not part of valid UTF-8.
_OF_SURROGATES = {0xDC00 + byte: f"{_MARK}{byte:02x}" for byte in range(0x80, 0x100)}


def decode_text(data: bytes) -> str:
    """Return `data` as text: UTF-8, with the module's escape for bytes that are not."""
    if _MARK_BYTES not in data:
        return _decode(data)
    # UTF-8 synchronises itself: the three bytes are U+FFFD wherever they stand.
    return _MARK_ESCAPED.join(map(_decode, data.split(_MARK_BYTES)))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Ten times as fast as an error handler of our own, on megabytes that an attacker chose.
        return data.decode("utf-8", "surrogateescape").translate(_OF_SURROGATES)


def encode_text(text: str) -> bytes:
    """Return the bytes that `decode_text` made `text` of."""
    parts = _ESCAPE.split(text)
    return b"".join(
        bytes([int(part, 16)]) if position % 2 else part.encode("utf-8")
        for position, part in enumerate(parts)
    )
