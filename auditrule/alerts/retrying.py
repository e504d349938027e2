"""A sink that waits until what failed works again: back-pressure instead of loss."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditrule.alerts.sink import Sink, Writable

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0


class SinkStoppedError(Exception):
    """A document could not be kept, and it was asked to wait no longer; str() is the reason.

    What was being written is not in the sink, and what was being brought to the disk may not be
    on it: the checkpoint must stay where it was.
    """


class RetryingSink:
    """Tries again, with growing pauses, until the sink behind it takes a document.

    The sink behind must keep nothing of a document when it raises (auditrule.alerts.sink.Sink);
    then nothing is lost here and nothing is written twice. Each reason for failing is said once,
    and once that it goes on. `pause` waits for so many seconds, or less, and returns False when
    one should give up: SinkStoppedError then.

    A pipe whose reader is gone does not come back: that BrokenPipeError is handed on at once.

    A failed sync is tried again in the same way. The sink behind must then write anew what the
    failed one may have lost, as auditrule.alerts.appending does.
    """

    def __init__(
        self,
        sink: Sink,
        pause: Callable[[float], bool],
        *,
        name: object = "the alert sink",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take `pause`, and the sink's `name` for the log; `clock` is monotonic."""
        self._sink = sink
        self._pause = pause
        self._name = name
        self._clock = clock
        self._errors = 0
        self._failing_since: float | None = None
        self._reason: str | None = None
        self._said: set[str] = set()

    @property
    def errors(self) -> int:
        """How many attempts failed so far."""
        return self._errors

    @property
    def failing_since(self) -> float | None:
        """Since when, by the clock, nothing has worked; None while all is well."""
        return self._failing_since

    @property
    def reason(self) -> str | None:
        """Why it does not work now, None while all is well."""
        return self._reason

    def write(self, document: Writable, /) -> None:
        """Keep `document`, however long that takes. Raises SinkStoppedError."""
        self._insist(lambda: self._sink.write(document), "write")

    def sync(self) -> None:
        """Bring to the disk what was written, however long that takes. Raises SinkStoppedError."""
        self._insist(self._sink.sync, "bring to the disk")

    def tend(self) -> None:
        """Let the sink do what is due. What fails is noted, and tried again the next time."""
        try:
            self._sink.tend()
        except OSError as error:
            self._note(error, "tend")
        else:
            self._recover()

    def close(self) -> None:
        """Close the sink behind. Raises OSError where that does not work: it is not tried again."""
        self._sink.close()

    def _insist(self, attempt: Callable[[], None], what: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                attempt()
            except BrokenPipeError:
                self._errors += 1
                raise
            except OSError as error:
                self._note(error, what)
            else:
                self._recover()
                return
            if not self._pause(pause):
                raise SinkStoppedError(f"{self._name}: cannot {what}: {self._reason}")
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _note(self, error: OSError, what: str) -> None:
        reason = plain_reason(error)
        self._errors += 1
        if self._failing_since is None:
            self._failing_since = self._clock()
        self._reason = reason
        if reason not in self._said:
            self._said.add(reason)
            _log.error("%s: cannot %s: %s; waiting until it works", self._name, what, reason)

    def _recover(self) -> None:
        if self._failing_since is None:
            return
        seconds = self._clock() - self._failing_since
        self._failing_since = self._reason = None
        self._said.clear()
        _log.warning("%s: it works again after %.1f seconds", self._name, seconds)
