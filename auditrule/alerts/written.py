"""What an alert file proves: which documents were written already."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from auditrule.alerts.rotating import open_regular
from auditrule.alerts.siblings import rotated_siblings
from auditrule.alerts.torn import BEGINNING, TIMESTAMP
from auditrule.audit.record import EventId
from auditrule.source.archive import LogStream
from auditrule.source.errors import SourceError, plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_IDS = 500_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CHUNK = 1 << 20
# A longer line is not parsed: its beginning, which has all that is asked, is looked at alone.
_LONGEST = 16 << 20
_HEAD = 64 << 10
_LONGEST_ID = 128
# Whoever renames files all the time is not waited for.
_MOST_RENAMINGS = 1000
_EVENT = re.compile(rb'"event":(?=\{)')


@dataclass(frozen=True, slots=True)
class WrittenAlert:
    """An alert of the file: its own id (``event.hash``), and its event, without a node."""

    id: str
    event: EventId


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to an alert file and its rotated siblings.

    newest: the last alert in writing order. ids: those of all documents, alerts and problems of
    the pipeline, behind the one that was asked about; of all there are where it was not found, the
    newest of them if they are too many. found: whether it was, and `ids` are all. unreadable: how
    many lines are no document of ours. problems: the files that could not be read, or not to their
    end, and why.
    """

    newest: WrittenAlert | None
    ids: frozenset[str]
    found: bool
    unreadable: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    """A line without its newline; of one that is too long (`cut`), the first and last bytes."""

    data: bytes
    cut: bool = False


@dataclass(slots=True)
class _Scan:
    """What one file holds."""

    ids: deque[str]
    newest: WrittenAlert | None = None
    found: bool = False
    dropped: bool = False
    unreadable: int = 0


@dataclass(slots=True)
class _Search:
    """The search through the files, from the newest on."""

    last_id: str | None
    most: int
    ids: set[str] = field(default_factory=set)
    newest: WrittenAlert | None = None
    found: bool = False
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        enough = self.found or len(self.ids) >= self.most
        return enough and self.newest is not None

    def take(self, scan: _Scan) -> None:
        if not self.found:
            room = self.most - len(self.ids)
            self.ids.update(list(scan.ids)[-room:] if room > 0 else ())
        self.found = self.found or (scan.found and not scan.dropped)
        self.newest = self.newest or scan.newest
        self.unreadable += scan.unreadable


def written_since(path: Path, last_id: str | None, *, most: int = MOST_IDS) -> Written:
    """Return what the alert file `path` and its rotated siblings hold behind document `last_id`.

    The files are read from the newest back, until `last_id` or `most` ids are found; with None as
    `last_id`, `most` ids. Others may rename and compress them meanwhile: each is known by its
    inode, and the names are looked up anew for each. Compressed ones are read as they are. Memory
    is bounded whatever the files hold. Nothing raises: without a file, nothing was written.

    A last line without its newline counts if it is whole: auditrule.alerts.torn ends it.
    """
    search = _Search(last_id, most)
    seen: set[tuple[int, int]] = set()
    _try(path, None, search, seen)
    for _ in range(_MOST_RENAMINGS):
        if not _read_rotated(path, search, seen):
            break
    return Written(
        search.newest,
        frozenset(search.ids),
        search.found,
        search.unreadable,
        tuple(search.problems),
    )


def _read_rotated(path: Path, search: _Search, seen: set[tuple[int, int]]) -> bool:
    """Read the rotated files that were not seen; tell whether their names must be looked up anew.

    That is so until a look finds nothing new: a file may have been moved to where it is looked for
    only after that.
    """
    unread = [file for file in rotated_siblings(path) if file.identity not in seen]
    for sibling in unread:
        if search.is_done:
            return False
        if not _try(sibling.path, sibling.identity, search, seen):
            return True
    return bool(unread)


def _try(
    path: Path, identity: tuple[int, int] | None, search: _Search, seen: set[tuple[int, int]]
) -> bool:
    """Read the file `path`, which is to have that identity; False if it is another one by now."""
    try:
        with open_regular(path) as raw:
            status = os.fstat(raw.fileno())
            found = (status.st_dev, status.st_ino)
            if identity not in (None, found):
                return False
            seen.add(found)
            if stat.S_ISREG(status.st_mode):
                _read(path, raw, search)
    except FileNotFoundError:
        return False
    except OSError as error:
        if identity is not None:
            seen.add(identity)
        search.problems.append(f"{path}: {plain_reason(error)}")
    return True


def _read(path: Path, raw: BinaryIO, search: _Search) -> None:
    scan = _Scan(deque(maxlen=max(search.most - len(search.ids), 0)))
    try:
        for line in _lines(LogStream(path, raw)):
            _look_at(line, scan, search.last_id)
    except SourceError as error:
        search.problems.append(str(error))
    search.take(scan)


def _look_at(line: _Line, scan: _Scan, last_id: str | None) -> None:
    data = line.data.strip(b"\0 \t\r")
    if not data:
        return
    document = _parse(data, cut=line.cut)
    event = document.get("event")
    if not isinstance(event, dict):
        event = {}
    identifier, kind = event.get("hash"), event.get("kind")
    if (
        kind not in ("alert", "pipeline_error")
        or not isinstance(identifier, str)
        or len(identifier) > _LONGEST_ID
    ):
        scan.unreadable += 1
        return
    event_id = _event_id(document.get("@timestamp"), event.get("sequence"))
    if kind == "alert" and event_id is not None:
        scan.newest = WrittenAlert(identifier, event_id)
    if identifier == last_id:
        scan.ids.clear()
        scan.found, scan.dropped = True, False
    else:
        scan.dropped = scan.dropped or len(scan.ids) == scan.ids.maxlen
        scan.ids.append(identifier)


def _parse(data: bytes, *, cut: bool) -> dict[str, Any]:
    """Return the document of a line, or what is asked of it; {} where it is none."""
    if not (data.startswith(b"{") and data.endswith(b"}")):
        return {}
    try:
        if cut:
            match = _EVENT.search(data)
            if match is None or not data.startswith(BEGINNING):
                return {}
            event, _ = json.JSONDecoder().raw_decode(data[match.end() : _HEAD].decode("latin-1"))
            return {"@timestamp": data[TIMESTAMP].decode("ascii"), "event": event}
        document = json.loads(data) if b'"hash"' in data else {}
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _event_id(timestamp: object, serial: object) -> EventId | None:
    if not isinstance(timestamp, str) or not isinstance(serial, int):
        return None
    try:
        time = datetime.fromisoformat(timestamp)
        millis = (time - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        return None
    return EventId(None, *divmod(millis, 1000), serial)


def _lines(stream: LogStream) -> Iterator[_Line]:
    """Yield the lines of a stream, bounded in memory. Raises SourceError after what can be read."""
    held: list[bytes] = []
    size = 0
    cut = False
    while chunk := stream.read(_CHUNK):
        first, *others = chunk.split(b"\n")
        held.append(first)
        size += len(first)
        if others:
            yield _join(held, cut=cut)
            *whole, last = others
            for data in whole:
                yield _Line(data)
            held, size, cut = [last], len(last), False
        if size > _LONGEST:
            head = b"".join(held)
            held, size, cut = [head[:_HEAD], head[-_HEAD:]], 2 * _HEAD, True
    if size:
        yield _join(held, cut=cut)


def _join(held: list[bytes], *, cut: bool) -> _Line:
    return _Line(b"".join(held), cut=cut)
