"""A last line that a crash, a full disk or a power failure left without its newline."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

# Every document begins so: the timestamp is the first field of the models.
BEGINNING = b'{"@timestamp":"'
# 2026-01-31T23:59:59.999Z behind it.
TIMESTAMP = slice(len(BEGINNING), len(BEGINNING) + 24)
_BLOCK = 64 << 10
# A longer last line is looked at no further: an alert has a few megabytes at most.
_LONGEST = 256 << 20
_SHOWN_BYTES = 80


def end_last_line(path: Path, fd: int) -> None:
    """Write a newline to `fd`, which appends to `path`, if the file does not end in one.

    Raises OSError.
    """
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            os.write(fd, b"\n")


def repair(fd: int, name: object, *, only_ours: bool = False) -> None:
    """Make the file at `fd` (read and append mode) end in a whole line, or be empty.

    A fragment that begins as our lines do, or that is nothing but the NULs of a power failure, is
    cut off unless it is a whole JSON object: the checkpoint precedes it, so that its document will
    come again. All else keeps its bytes and gets its newline, unless it is `only_ours` that may be
    touched. `name` is the file's for the log. Raises OSError.
    """
    size = os.fstat(fd).st_size
    fragment = _last_line(fd, size)
    if fragment == b"":
        return
    ours = fragment is not None and _is_ours(fragment)
    if only_ours and not ours:
        return
    if fragment is not None and ours and not is_json_object(fragment):
        try:
            os.ftruncate(fd, size - len(fragment))
        except PermissionError:  # the append-only attribute, chattr(1)
            pass
        else:
            _log.warning(
                "%s: cut off the last line, which was torn: %d bytes, %r",
                name,
                len(fragment),
                fragment[:_SHOWN_BYTES],
            )
            return
    os.write(fd, b"\n")
    _log.warning("%s: the last line had no newline and was given one", name)


def is_json_object(line: bytes) -> bool:
    """Tell whether `line` is a whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _is_ours(fragment: bytes) -> bool:
    return (
        fragment.startswith(BEGINNING)
        or BEGINNING.startswith(fragment.rstrip(b"\0"))
        or not fragment.strip(b"\0")
    )


def _last_line(fd: int, size: int) -> bytes | None:
    """Return what follows the last newline, None where it is longer than any of ours."""
    blocks: list[bytes] = []
    end = size
    while end > 0:
        if size - end > _LONGEST:
            return None
        start = max(0, end - _BLOCK)
        block = os.pread(fd, end - start, start)
        _, newline, rest = block.rpartition(b"\n")
        blocks.append(rest)
        if newline:
            break
        end = start
    return b"".join(reversed(blocks))
