"""Replay: rules over archived logs."""

from __future__ import annotations

import logging
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from auditrule.audit.reassembly import Reassembler
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.pipeline import Counts, DocumentReader, conclude, detect
from auditrule.source.archive import open_log
from auditrule.source.errors import SourceError
from auditrule.source.lines import LineCounts, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditrule.alerts.model import Alert
    from auditrule.pipeline import Fields
    from auditrule.rules.detector import Detector
    from auditrule.source.logset import LogSet, LogSets

_log = logging.getLogger(__name__)


class Replay:
    """Reads sets of archived logs once, from their start to their end.

    Each set is a host's log of its own: its processes are nobody else's parents. `host` names the
    host where the log does not. Documents outside of `since` (included) to `until` (excluded) are
    left out, yet known as parents. With `exhaustive`, the grammar reads every record, which gives
    the same and takes ten times as long. `on_progress` is told how many stored bytes have been
    read.

    A file that cannot be read, or only in part, does not keep the others from being read: it is
    in `problems`. `counts` and `overlong` (lines over the limit of length, passed over) grow as
    the documents are taken.
    """

    def __init__(
        self,
        logs: LogSets,
        *,
        host: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        exhaustive: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._logs = logs
        self._host = host
        self._since = since
        self._until = until
        self._exhaustive = exhaustive
        self._on_progress = on_progress
        self._bytes_done = 0
        self._lines = LineCounts()
        self.counts = Counts()
        self.problems: list[SourceError] = []

    @property
    def overlong(self) -> int:
        """How many lines were passed over because they are longer than a record can be."""
        return self._lines.overlong

    def documents(self) -> Iterator[Document]:
        """Yield the document of each program that started."""
        for log in self._logs.sets:
            yield from map(Document.model_validate, self._documents_of(log))

    def alerts(self, detector: Detector) -> Iterator[Alert]:
        """Yield the alerts, each once even where files overlap.

        What one host did is not taken as part of another's sequence.
        """
        seen: set[str] = set()
        for log in self._logs.sets:
            documents = self._documents_of(log, detector.program_names)
            for alert in chain(detect(documents, detector), conclude(detector)):
                if alert.id not in seen:
                    seen.add(alert.id)
                    self.counts.alerts += 1
                    yield alert

    def _documents_of(self, log: LogSet, names: frozenset[bytes] | None = None) -> Iterator[Fields]:
        reader = DocumentReader(
            reassembler=Reassembler(),
            mapper=DocumentMapper(table=ProcessTable(), host=HostIdentity(name=self._host)),
            names=None if self._exhaustive else names,
            exhaustive=self._exhaustive,
        )
        try:
            for document in self._read(log, reader):
                if self._is_asked_for(document):
                    yield document
        finally:
            self.counts.add(reader.counts)

    def _read(self, log: LogSet, reader: DocumentReader) -> Iterator[Fields]:
        for file in log.files:
            try:
                with open_log(file.path) as stream:
                    for lines in read_lines(stream, counts=self._lines):
                        yield from reader.read(lines)
                        self._tell_progress(self._bytes_done + stream.consumed)
            except SourceError as error:
                self.problems.append(error)
                _log.error("%s", error)
            self._bytes_done += file.size
        yield from reader.finish()

    def _tell_progress(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(done)

    def _is_asked_for(self, document: Fields) -> bool:
        if self._since is None and self._until is None:
            return True
        time = datetime.fromisoformat(document["@timestamp"])
        if self._since is not None and time < self._since:
            return False
        return self._until is None or time < self._until
