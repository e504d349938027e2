"""Where alerts are kept."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol, Self, TextIO

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from auditrule.alerts.model import Alert


class Sink(Protocol):
    """Takes alerts, one by one; when `write` has returned, the alert is out."""

    def write(self, alert: Alert) -> None:
        """Keep `alert`. Raises OSError where that is not possible."""

    def close(self) -> None:
        """Release what the sink holds."""


class FileSink:
    """Appends alerts to a file as NDJSON, one line an alert.

    A line is written with one call to the kernel, so a reader, or another writer, never sees half
    of it but where the disk fills. The file is made with mode 0640; a last line that a crash left
    without its newline is ended before the first alert.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` for appending. Raises OSError where that is not possible."""
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if _lacks_newline(path):
                _write_all(self._file, b"\n")
        except OSError:
            os.close(self._file)
            raise

    def write(self, alert: Alert) -> None:
        """Append `alert`; it is in the kernel's hands when this returns."""
        _write_all(self._file, alert.to_json().encode() + b"\n")

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        try:
            os.fsync(self._file)
        except OSError:  # a pipe or a terminal device has nothing to bring
            pass
        finally:
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


class StreamSink:
    """Writes alerts to a text stream, standard output if not told, as NDJSON and flushed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout

    def write(self, alert: Alert) -> None:
        """Write `alert` as a line and flush it."""
        self._stream.write(alert.to_json() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is its owner's."""


def _lacks_newline(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
