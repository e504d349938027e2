"""Small files that others read while the daemon writes them anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Put `data` at `path` with `mode`, whatever the umask; a reader sees the old or the new file.

    The data is not brought to the disk: for what is written every few seconds, a power cut may cost
    the file. Meanwhile `.NAME.new` lies beside it. Raises OSError; nothing is left behind then.
    """
    fresh = path.with_name(f".{path.name}.new")
    # One that a kill left, or a link that somebody put there.
    fresh.unlink(missing_ok=True)
    file = os.open(
        fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
