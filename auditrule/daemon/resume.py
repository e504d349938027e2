"""Where a run begins: behind the one before, as well as what is left of it can tell."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditrule.alerts.written import written_since

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditrule.alerts.written import Written
    from auditrule.audit.record import EventId
    from auditrule.daemon.memory import Memory, Recollection
    from auditrule.reader import DocumentReader
    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)

Start = Literal["end", "beginning", "oldest"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run begins.

    `recollection` is what the run before left in its checkpoint; without one the log is read from
    `start` on. `written` are the ids of alerts that may be made again and are there, `last` that of
    the last one. `known` is the event up to which alerts are old (auditrule.daemon.outlet).
    """

    start: Start
    recollection: Recollection | None = None
    written: frozenset[str] = frozenset()
    last: str | None = None
    known: EventId | None = None


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
    read; all of the log is read again, to know its processes and open sequences, and what is older
    is not news. Without any alert, or where there are checkpoints of other inputs alone, nobody has
    read this one: `start` says.
    """
    if memory is None:
        return Beginning(start)
    recalled = memory.recall()
    recollection = recalled.recollection
    if recollection is not None:
        known = recollection.written
        if alerts is None:
            last = recollection.last_alert
            return Beginning(start, recollection, known, last, recollection.known)
        since = _written(alerts, recollection.last_alert)
        last = since.newest.id if since.newest is not None else recollection.last_alert
        return Beginning(start, recollection, known | since.ids, last, recollection.known)
    is_damaged = is_damaged or recalled.is_damaged
    written = None if alerts is None else _written(alerts, None)
    if written is None or written.newest is None or log is None:
        # A run that had a checkpoint has been here: all of what it has not seen is in the log.
        return Beginning("oldest" if is_damaged and log is not None else start)
    newest = written.newest
    if recalled.is_foreign and not is_damaged:
        return Beginning(start, None, written.ids, newest.id)
    _log.warning(
        "there is no checkpoint; reading all of %s again, where what is older than the newest "
        "alert is not news",
        log,
    )
    return Beginning("oldest", None, written.ids, newest.id, newest.event)


def _written(alerts: Path, last: str | None) -> Written:
    written = written_since(alerts, last)
    for problem in written.problems:
        _log.warning("%s; alerts that are there may be written again", problem)
    return written
