"""The pipeline: lines of the audit log in, ECS documents and alerts out.

Replay and daemon share it; what differs between them, where lines come from and when pending
events are given up, stays with them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from auditrule.alerts.model import build_alert
from auditrule.audit.grammar import RecordError
from auditrule.audit.record import EventId, Record
from auditrule.audit.serials import SerialWatch
from auditrule.ecs.document import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditrule.alerts.model import Alert
    from auditrule.audit.event import AuditEvent
    from auditrule.audit.reassembly import Reassembler
    from auditrule.ecs.mapping import DocumentMapper
    from auditrule.rules.detection import Detection
    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)
_SHOWN_BYTES = 80


@dataclass(slots=True)
class Counts:
    """What went through a pipeline.

    `records` are the lines that are audit records, `unparsed` those that are none. `events` are
    what the records made, `execs` the programs that started, `truncated` those of them that lack
    arguments.
    """

    records: int = 0
    unparsed: int = 0
    events: int = 0
    execs: int = 0
    truncated: int = 0
    alerts: int = 0

    def add(self, other: Counts) -> None:
        """Add `other` to these."""
        for field in fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


class DocumentReader:
    """Makes ECS documents of one log's lines, in order of their events' completion.

    No line stops it: one that is no record is counted and passed over, and the first of them is
    said in the log. `last` is the event of the newest record, None before the first; `serials`
    knows what the log should hold besides.
    """

    def __init__(self, *, reassembler: Reassembler, mapper: DocumentMapper) -> None:
        self._reassembler = reassembler
        self._mapper = mapper
        self.counts = Counts()
        self.serials = SerialWatch()
        self.last: EventId | None = None

    @property
    def pending(self) -> int:
        """The number of events that wait for records."""
        return len(self._reassembler)

    def read(self, lines: Iterable[bytes]) -> Iterator[Document]:
        """Take `lines`, without newlines; yield the documents that they complete."""
        for line in lines:
            try:
                record = Record.parse(line)
            except RecordError as error:
                self._pass_over(line, error)
                continue
            self.counts.records += 1
            self.last = record.event_id
            self.serials.take(record)
            yield from self._documents(self._reassembler.push(record))

    def snapshot(self) -> dict[str, Any]:
        """Return all that is remembered of the log so far, as JSON values."""
        return {
            "last": self.last,
            "serials": self.serials.snapshot(),
            "reassembly": self._reassembler.snapshot(),
            "mapping": self._mapper.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        self.serials.restore(state["serials"])
        self._reassembler.restore(state["reassembly"])
        self._mapper.restore(state["mapping"])
        self.last = None if state["last"] is None else EventId(*state["last"])

    @property
    def mapper(self) -> DocumentMapper:
        """What turns events into documents, and remembers the processes."""
        return self._mapper

    def finish(self) -> Iterator[Document]:
        """Yield the documents of the events that were still waiting for records."""
        yield from self._documents(self._reassembler.flush())

    def _documents(self, events: Iterable[AuditEvent]) -> Iterator[Document]:
        for event in events:
            for each in (*self._reassembler.over_before(event), event):
                self.counts.events += 1
                document = self._mapper.map(each)
                if document is not None:
                    self.counts.execs += 1
                    self.counts.truncated += document.auditd.truncated is not None
                    yield document

    def _pass_over(self, line: bytes, error: RecordError) -> None:
        self.counts.unparsed += 1
        if self.counts.unparsed == 1:
            _log.warning(
                "a line is %s; it is passed over, as are others like it: %r",
                error,
                line[:_SHOWN_BYTES],
            )


def detect(documents: Iterable[Document], detector: Detector) -> Iterator[Alert]:
    """Yield an alert for each rule of `detector` that documents match, alone or with earlier."""
    for document in documents:
        event = document.to_dict()
        for detection in detector.detect(event):
            yield from _alerts(detection, {id(event): document})


def conclude(detector: Detector) -> Iterator[Alert]:
    """Yield the alerts that the end of the documents completes; `detector` then starts anew."""
    for detection in detector.finish():
        yield from _alerts(detection, {})


def _alerts(detection: Detection, known: Mapping[int, Document]) -> Iterator[Alert]:
    """Yield the alert of a detection; the documents of the events at hand are `known`.

    Events from a checkpoint of another version may be no documents of this one: an alert does
    without them, as long as any is left.
    """
    documents = []
    for event in detection.events:
        document = known.get(id(event))
        if document is None:
            try:
                document = Document.model_validate(event)
            except ValidationError:
                _log.warning(
                    "rule %s: an event that another version kept cannot be shown", detection.rule.id
                )
                continue
        documents.append(document)
    if documents:
        yield build_alert(documents, detection.rule, detection.join_keys)
