"""The pipeline: lines of the audit log in, ECS documents and alerts out.

Replay and daemon share it; what differs between them, where lines come from and when pending
events are given up, stays with them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from auditrule.alerts.model import build_alert
from auditrule.audit.grammar import RecordError
from auditrule.audit.quick import match_header, type_of
from auditrule.audit.record import EventId, Record, event_id_of
from auditrule.audit.relevance import begins, quick_begins
from auditrule.audit.serials import TELLING
from auditrule.ecs.document import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditrule.alerts.model import Alert
    from auditrule.audit.event import AuditEvent
    from auditrule.audit.reassembly import Reassembler
    from auditrule.audit.serials import SerialWatch
    from auditrule.ecs.mapping import DocumentMapper
    from auditrule.rules.detection import Detection
    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)
_SHOWN_BYTES = 80
_NO_EVENT = EventId(None, 0, 0, 0)

Fields: TypeAlias = dict[str, Any]
"""A document as plain JSON types, nested, absent fields left out."""


@dataclass(slots=True)
class Counts:
    """What went through a pipeline.

    `records` are the lines that are audit records, `unparsed` those that are none. `events` are
    those that tell of processes, `execs` the programs that started, `truncated` those of the
    documents that lack arguments.
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

    They come as plain fields (Document.to_dict), which Document.model_validate makes models of.

    No line stops it: one that is no record is counted and passed over, and the first of them is
    said in the log. Records that do not tell of processes (auditrule.audit.relevance) are counted,
    and not looked at further. `serials`, if given, is told of every event, to know what the log
    should hold besides.

    `names`, if not None, are those of the programs that somebody asks about, in lower case: others
    are known as parents, and give no document. With `exhaustive`, every record is read by the
    grammar; the documents are the same.
    """

    def __init__(
        self,
        *,
        reassembler: Reassembler,
        mapper: DocumentMapper,
        serials: SerialWatch | None = None,
        names: frozenset[bytes] | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._reassembler = reassembler
        self._mapper = mapper
        self._exhaustive = exhaustive
        self.counts = Counts()
        self.serials = serials
        self.names = names
        # The event of the newest record, and how its line spells it: most records are of the same.
        self._event_id = _NO_EVENT
        self._event: tuple[bytes | None, ...] | None = None

    @property
    def pending(self) -> int:
        """The number of events that wait for records."""
        return len(self._reassembler)

    def read(self, lines: Iterable[bytes]) -> Iterator[Fields]:
        """Take `lines`, without newlines; yield the documents that they complete."""
        counts, reassembler, serials = self.counts, self._reassembler, self.serials
        for line in lines:
            match = None if self._exhaustive else match_header(line)
            if match is not None:
                counts.records += 1
                kind, event = match[2], match.group(1, 3, 4, 5)
                is_first = event != self._event
                if is_first:
                    self._event, self._event_id = event, event_id_of(match)
                matters = quick_begins(kind, line, match.end())
                is_told = serials is not None and (is_first or kind in TELLING)
                if matters is False and not is_told and not reassembler:
                    continue
                if line.endswith(b"\r"):
                    line = line[:-1]
                record = Record(line, type_of(kind), self._event_id, match.end())
                if serials is not None and is_told:
                    serials.take(record)
            else:
                try:
                    record = Record.parse(line, exhaustive=self._exhaustive)
                except RecordError as error:
                    self._pass_over(line, error)
                    continue
                counts.records += 1
                self._event, self._event_id = None, record.event_id
                if serials is not None:
                    serials.take(record)
                matters = None
            if matters or record.event_id in reassembler or (matters is None and begins(record)):
                yield from self._documents(reassembler.push(record))

    def pass_time(self) -> Iterator[Fields]:
        """Yield the documents of events that no records will come for, as the newest one tells.

        A log that is being written may for long have nothing that tells of processes.
        """
        last = self.last
        if last is not None and self._reassembler:
            yield from self._documents(self._reassembler.pass_time(last.time_ms))

    @property
    def last(self) -> EventId | None:
        """The event of the newest record, None before the first."""
        return None if self._event_id is _NO_EVENT else self._event_id

    def snapshot(self) -> dict[str, Any]:
        """Return all that is remembered of the log so far, as JSON values."""
        return {
            "last": self.last,
            "serials": None if self.serials is None else self.serials.snapshot(),
            "reassembly": self._reassembler.snapshot(),
            "mapping": self._mapper.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        if self.serials is not None:
            self.serials.restore(state["serials"])
        self._reassembler.restore(state["reassembly"])
        self._mapper.restore(state["mapping"])
        self._event = None
        self._event_id = _NO_EVENT if state["last"] is None else EventId(*state["last"])

    @property
    def mapper(self) -> DocumentMapper:
        """What turns events into documents, and remembers the processes."""
        return self._mapper

    def finish(self) -> Iterator[Fields]:
        """Yield the documents of the events that were still waiting for records."""
        yield from self._documents(self._reassembler.flush())

    def _documents(self, events: Iterable[AuditEvent]) -> Iterator[Fields]:
        for event in events:
            for each in (*self._reassembler.over_before(event), event):
                self.counts.events += 1
                fields = self._mapper.fields(each, self.names)
                if fields is not None:
                    self.counts.execs += 1
                    if fields:
                        self.counts.truncated += "truncated" in fields["auditd"]
                        yield fields

    def _pass_over(self, line: bytes, error: RecordError) -> None:
        self.counts.unparsed += 1
        if self.counts.unparsed == 1:
            _log.warning(
                "a line is %s; it is passed over, as are others like it: %r",
                error,
                line[:_SHOWN_BYTES],
            )


def detect(documents: Iterable[Fields], detector: Detector) -> Iterator[Alert]:
    """Yield an alert for each rule of `detector` that documents match, alone or with earlier."""
    for document in documents:
        for detection in detector.detect(document):
            yield from _alerts(detection)


def conclude(detector: Detector) -> Iterator[Alert]:
    """Yield the alerts that the end of the documents completes; `detector` then starts anew."""
    for detection in detector.finish():
        yield from _alerts(detection)


def _alerts(detection: Detection) -> Iterator[Alert]:
    """Yield the alert of a detection.

    Events from a checkpoint of another version may be no documents of this one: an alert does
    without them, as long as any is left.
    """
    documents = []
    for event in detection.events:
        try:
            documents.append(Document.model_validate(event))
        except ValidationError:
            _log.warning(
                "rule %s: an event that another version kept cannot be shown", detection.rule.id
            )
    if documents:
        yield build_alert(documents, detection.rule, detection.join_keys)
