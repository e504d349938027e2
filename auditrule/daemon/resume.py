"""Where a run begins: behind the one before, as well as what is left of it can tell."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditrule.alerts.written import written_since
from auditrule.audit.grammar import RecordError, parse_header
from auditrule.audit.record import EventId
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditrule.alerts.written import Written, WrittenAlert
    from auditrule.daemon.memory import Memory, Recollection
    from auditrule.pipeline import DocumentReader
    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)

Start = Literal["end", "beginning", "oldest"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run begins.

    `recollection` is what the run before left in its checkpoint; without one the log is read from
    `start` on. `written` are the ids of alerts that may be made again and are there, `last` that of
    the last one. Up to the event `awaited`, nothing is new. `behind` is the last event that is
    known to have been read, where what comes first is not known to follow it.
    """

    start: Start
    recollection: Recollection | None = None
    written: frozenset[str] = frozenset()
    last: str | None = None
    awaited: str | None = None
    behind: EventId | None = None


def take_up(
    memory: Memory | None,
    detector: Detector,
    make_reader: Callable[[bool], DocumentReader],
    *,
    log: Path | None,
    alerts: Path | None,
    start: Start,
) -> tuple[Beginning, DocumentReader]:
    """Return how to begin, and the reader to begin with; it and the detector know what was known.

    `make_reader` is told whether the reader has to ask the host for its processes, which no run
    before has seen.
    """
    beginning = find_beginning(memory, log=log, alerts=alerts, start=start)
    recollection = beginning.recollection
    if memory is None or recollection is None:
        return beginning, make_reader(True)
    reader = make_reader(False)
    try:
        reader.restore(recollection.reader)
        left = detector.restore(recollection.rules)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        memory.set_aside(f"{type(error).__name__}: {error}")
        detector.forget()
        beginning = find_beginning(memory, log=log, alerts=alerts, start=start, is_damaged=True)
        return beginning, make_reader(True)
    for rule_id in left:
        _log.warning("rule %s is gone or another now; its open sequences are dropped", rule_id)
    return beginning, reader


def find_beginning(
    memory: Memory | None,
    *,
    log: Path | None,
    alerts: Path | None,
    start: Start,
    is_damaged: bool = False,
) -> Beginning:
    """Return how to begin with `log` (None for a stream) and the file of `alerts`, if it is one.

    A checkpoint tells it all. Where there is none, the newest alert proves how far the log was
    read, and the log is read again up to there, to know its processes and open sequences; if that
    place is gone, all that is left is new. Without any alert, or where the run before read another
    log, this is the first run of this one: `start` says.
    """
    if memory is None:
        return Beginning(start)
    recalled = memory.recall()
    recollection = recalled.recollection
    is_damaged = is_damaged or recalled.is_damaged
    if recollection is not None:
        known = recollection.written
        if alerts is None:
            return Beginning(start, recollection, known, recollection.last_alert)
        since = _written(alerts, recollection.last_alert)
        last = since.newest.id if since.newest is not None else recollection.last_alert
        return Beginning(start, recollection, known | since.ids, last)
    written = None if alerts is None else _written(alerts, None)
    if written is None or written.newest is None or log is None:
        # A run that had a checkpoint has been here: all of what it has not seen is in the log.
        return Beginning("oldest" if is_damaged and log is not None else start)
    newest = written.newest
    if recalled.is_foreign:
        return Beginning(start, None, written.ids, newest.id)
    if _holds(log, newest):
        _log.warning(
            "there is no checkpoint; reading %s again up to the event of the newest alert", log
        )
        return Beginning("oldest", None, written.ids, newest.id, newest.event_id)
    _log.warning(
        "there is no checkpoint, and %s does not hold the event of the newest alert; "
        "all of it is taken as new",
        log,
    )
    return Beginning("oldest", None, written.ids, newest.id, behind=_event_of(newest))


def _written(alerts: Path, last: str | None) -> Written:
    written = written_since(alerts, last)
    for problem in written.problems:
        _log.warning("%s; alerts that are there may be written again", problem)
    return written


def _event_of(alert: WrittenAlert) -> EventId | None:
    """Return the event of an alert; None where its mark is no event's."""
    try:
        header = parse_header(b"type=ALERT msg=" + alert.stamp + b":")
    except RecordError:
        return None
    return EventId(header.node, header.seconds, header.millis, header.serial)


def _holds(log: Path, alert: WrittenAlert) -> bool:
    """Tell whether a log, with its rotated files, has the event of an alert."""
    mark = alert.stamp
    with Tail(log, start="oldest") as tail:
        while lines := tail.read(0):
            if any(mark in line for line in lines):
                return True
    return False
