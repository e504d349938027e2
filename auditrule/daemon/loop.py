"""The daemon: follows a live log and writes alerts as they come."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from auditrule.pipeline import detect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.alerts.sink import Sink
    from auditrule.ecs.document import Document
    from auditrule.pipeline import Counts, DocumentReader
    from auditrule.rules.detector import Detector
    from auditrule.source.waiting import LineSource

_log = logging.getLogger(__name__)

# The longest wait for lines when nothing is pending. A source looks for what its notifications
# may have missed at each return, so this is the most that a lost notification costs.
_IDLE_SECONDS = 2.0


class Daemon:
    """Reads lines as they are written, until the source ends or `stop` is called.

    An alert is handed to the sink before the next lines are read. Events whose end the log does
    not tell are given up when the log has been quiet for `max_age` seconds. On the way out, all
    that is written already is read, and every pending event is finished: nothing is lost.
    """

    def __init__(
        self,
        *,
        source: LineSource,
        reader: DocumentReader,
        detector: Detector,
        sink: Sink,
        max_age: float,
    ) -> None:
        self._source = source
        self._reader = reader
        self._detector = detector
        self._sink = sink
        self._max_age = max_age
        self._stopping = False

    @property
    def counts(self) -> Counts:
        """What went through so far."""
        return self._reader.counts

    def stop(self) -> None:
        """End `run` soon; safe in a signal handler and from other threads."""
        self._stopping = True
        self._source.wake()

    def run(self) -> None:
        """Run until the end. Raises OSError where the sink cannot take an alert."""
        while not self._stopping:
            if not self._step(time.monotonic()):
                break
        while lines := self._source.read(0):
            self._alert(self._reader.read(lines))
        self._alert(self._reader.finish())

    def _step(self, began: float) -> bool:
        """Read once; tell whether there may be more to read."""
        wait = self._max_age if self._reader.pending else _IDLE_SECONDS
        lines = self._source.read(wait)
        if lines is None:
            return False
        if lines:
            self._alert(self._reader.read(lines))
        elif self._reader.pending and time.monotonic() - began >= self._max_age:
            self._alert(self._reader.finish())
        return True

    def _alert(self, documents: Iterable[Document]) -> None:
        for alert in detect(documents, self._detector):
            self._sink.write(alert)
            self._reader.counts.alerts += 1
            _log.info("alert %s: %s", alert.id, alert.message)
