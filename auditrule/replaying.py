"""Replay: rules over archived logs."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from auditrule.audit.reassembly import Reassembler
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.ecs.processes import MANY
from auditrule.pipeline import conclude, detect
from auditrule.reader import Counts, DocumentReader
from auditrule.source.archive import STDIN, LogStream, open_log
from auditrule.source.blocks import BLOCK_SIZE, read_blocks
from auditrule.source.errors import SourceError
from auditrule.source.lines import LineCounts
from auditrule.source.logset import LogSets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from auditrule.alerts.model import Alert
    from auditrule.reader import Fields
    from auditrule.rules.detector import Detector
    from auditrule.rules.prospects import Prospects
    from auditrule.source.logset import LogFile, LogSet

# A smaller file is read before others could be of help.
_LARGE = 16 << 20
_LARGE_ARCHIVE = 1 << 20
# More takes memory, and less takes time.
_BLOCK = 2 << 20
# One takes what these find as fast as they find it; more would only take memory.
_MOST_HELPERS = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How the reading of a set ended in a process of its own."""

    counts: Counts
    problems: list[tuple[Path, str]]
    overlong: int
    dropped: Counter[str]
    size: int


class Replay:
    """Reads sets of archived logs once, from their start to their end.

    Each set is a host's log of its own: its processes are nobody else's parents. `host` names the
    host where the log does not. Documents outside of `since` (included) to `until` (excluded) are
    left out, yet known as parents. With `exhaustive`, the grammar reads every record, which gives
    the same and takes many times as long. Up to `jobs` processes read sets, or, where there is one
    set, screen its large files and unpack its archives. `on_progress` is told how many stored
    bytes have been read.

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
        jobs: int = 1,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._logs = logs
        self._host = host
        self._since = since
        self._until = until
        self._exhaustive = exhaustive
        self._jobs = jobs
        self._on_progress = on_progress
        self._bytes_done = 0
        self._lines = LineCounts()
        self.counts = Counts()
        self.problems: list[SourceError] = []
        self.dropped: Counter[str] = Counter()
        """How many open sequences were given up, by the rule's id."""

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
        for alert in self._all_alerts(detector):
            if alert.id not in seen:
                seen.add(alert.id)
                self.counts.alerts += 1
                yield alert

    def _all_alerts(self, detector: Detector) -> Iterator[Alert]:
        sets = self._logs.sets
        if self._jobs > 1 and len(sets) > 1:
            yield from self._alerts_of_processes(detector)
            return
        for log in sets:
            documents = self._documents_of(log, detector.prospects)
            yield from detect(documents, detector)
            yield from conclude(detector)
        self.dropped += Counter(detector.dropped)

    def _alerts_of_processes(self, detector: Detector) -> Iterator[Alert]:
        """Yield the alerts of each set, which a process of its own reads, in the sets' order."""
        # What only several processes need is not loaded for one.
        from auditrule.parallel import in_order

        tasks = [partial(self._in_process, log, detector) for log in self._logs.sets]
        for _, result in in_order(tasks, self._jobs):
            if isinstance(result, _Outcome):
                self.counts.add(result.counts)
                self.problems += [SourceError(path, reason) for path, reason in result.problems]
                self._lines.overlong += result.overlong
                self.dropped += result.dropped
                self._bytes_done += result.size
                self._tell_progress(self._bytes_done)
            else:
                yield result

    def _in_process(self, log: LogSet, detector: Detector) -> Iterator[Alert | _Outcome]:
        alone = Replay(
            LogSets((log,), ()),
            host=self._host,
            since=self._since,
            until=self._until,
            exhaustive=self._exhaustive,
        )
        yield from alone.alerts(detector)
        counts = replace(alone.counts, alerts=0)
        problems = [(error.path, error.reason) for error in alone.problems]
        yield _Outcome(counts, problems, alone.overlong, alone.dropped, log.size)

    def _documents_of(self, log: LogSet, prospects: Prospects | None = None) -> Iterator[Fields]:
        reader = DocumentReader(
            reassembler=Reassembler(),
            mapper=DocumentMapper(
                table=ProcessTable(),
                host=HostIdentity(name=self._host),
                exhaustive=self._exhaustive,
                most_waiting=MANY,
            ),
            prospects=None if self._exhaustive else prospects,
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
                    if self._may_be_unpacked(file, stream):
                        yield from self._read_unpacked(file, reader)
                    else:
                        if self._may_be_screened(stream):
                            yield from self._read_screened(stream, reader)
                        yield from self._read_rest(stream, reader)
            except SourceError as error:
                self.problems.append(error)
                _log.error("%s", error)
            self._bytes_done += file.size
        yield from reader.finish()

    def _read_rest(self, stream: LogStream, reader: DocumentReader) -> Iterator[Fields]:
        # Whoever writes to standard input may want to see what comes of it.
        size, fills = (BLOCK_SIZE, False) if stream.path == STDIN else (_BLOCK, True)
        blocks = read_blocks(stream, block_size=size, fills=fills, counts=self._lines)
        for block, begin, end in blocks:
            yield from reader.read_block(block, begin, end)
            self._tell_progress(self._bytes_done + stream.consumed)

    def _may_be_unpacked(self, file: LogFile, stream: LogStream) -> bool:
        is_large = stream.codec is not None and file.size >= _LARGE_ARCHIVE
        return is_large and self._jobs > 1 and not self._exhaustive

    def _read_unpacked(self, file: LogFile, reader: DocumentReader) -> Iterator[Fields]:
        """Read an archive that other processes unpack."""
        from auditrule.unpacking import UnpackedLog

        log = UnpackedLog(file.path, reader.finder_for, block_size=_BLOCK, counts=self._lines)
        with closing(log.parts()) as parts:
            for block, part in parts:
                end = len(block) - 1
                if part is None:
                    yield from reader.read_block(block, 0, end)
                else:
                    yield from reader.read_screened(part, 0, end)
                self._tell_progress(self._bytes_done + log.consumed)

    def _may_be_screened(self, stream: LogStream) -> bool:
        return stream.size >= _LARGE and not self._exhaustive

    def _read_screened(self, stream: LogStream, reader: DocumentReader) -> Iterator[Fields]:
        """Read what can be screened of a file in parts; the stream is left behind it."""
        from auditrule.screening import ScreenedFile, text_from

        finder = reader.finder_for(stream.peek())
        if finder is None:
            return
        fd, done = stream.fileno(), 0
        helpers = min(self._jobs, _MOST_HELPERS)
        reader.mapper.processes.load_text = partial(text_from, fd)
        try:
            screened = ScreenedFile(fd, stream.size, finder=finder, jobs=helpers)
            with closing(screened.parts()) as parts:
                for begin, end, part in parts:
                    yield from reader.read_screened(part, begin, end)
                    done = end + 1
                    self._tell_progress(self._bytes_done + done)
        finally:
            reader.mapper.processes.load()
        stream.skip_to(done)

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
