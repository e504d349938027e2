"""Where alerts are kept."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from auditrule.alerts.appending import LineFile, encode_line
from auditrule.alerts.torn import end_last_line

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Writable(Protocol):
    """What a sink takes: an alert, or a problem of the pipeline itself."""

    def to_json(self) -> str:
        """Return the document as one line of JSON."""


class Sink(Protocol):
    """Takes documents, one by one; when `write` has returned, the document is out."""

    def write(self, document: Writable, /) -> None:
        """Keep `document`. Raises OSError where that is not possible, and keeps nothing of it."""

    def sync(self) -> None:
        """Bring to the disk what was written, as far as there is one. Raises OSError."""

    def tend(self) -> None:
        """Do what time alone makes due, at once if nothing is. Raises OSError."""

    def close(self) -> None:
        """Release what the sink holds."""


class FileSink:
    """Appends documents to a file as NDJSON, one a line.

    A line is written with one call to the kernel, so a reader, or another writer, never sees half
    of it but where the disk fills; what a failed call wrote is taken back. The file is made with
    mode 0640; a last line without its newline is ended before the first document.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` for appending. Raises OSError where that is not possible."""
        self.path = path
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if path.is_file():
                end_last_line(path, fd)
            self._file = LineFile(fd, remember=False)
        except OSError:
            os.close(fd)
            raise

    def write(self, document: Writable, /) -> None:
        """Append `document`; it is in the kernel's hands when this returns."""
        self._file.append(encode_line(document.to_json()))

    def sync(self) -> None:
        """Bring the file to the disk."""
        self._file.bring()

    def tend(self) -> None:
        """Do nothing: time makes nothing due."""

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        try:
            self._file.bring()
        finally:
            self._file.close()

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
    """Writes documents to a text stream, standard output if not told, as NDJSON and flushed.

    Where the stream has a descriptor, lines go straight to it, one call a line, and a failed write
    leaves nothing of its line in a buffer.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        try:
            self._file: LineFile | None = LineFile(self._stream.fileno(), remember=False)
        except OSError:  # io.UnsupportedOperation is one
            self._file = None

    def write(self, document: Writable, /) -> None:
        """Write `document` as a line and flush it."""
        if self._file is None:
            self._stream.write(document.to_json() + "\n")
            self._stream.flush()
        else:
            self._stream.flush()
            self._file.append(encode_line(document.to_json()))

    def sync(self) -> None:
        """Do nothing: each write is flushed, and a stream's disk is its owner's."""

    def tend(self) -> None:
        """Do nothing: time makes nothing due."""

    def close(self) -> None:
        """Leave the stream open: it is its owner's."""
