"""A sink that waits for what failed."""

import errno
import logging

import pytest
from alert_documents import Paper

from auditrule.alerts.retrying import RetryingSink, SinkStoppedError
from auditrule.alerts.sink import Writable

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


class Flaky:
    """Fails with `faults`, one a call, before it works."""

    def __init__(self, *faults: OSError) -> None:
        self.faults = list(faults)
        self.written: list[str] = []
        self.syncs = 0
        self.closed = False

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def write(self, document: Writable, /) -> None:
        self._fail()
        self.written.append(document.to_json())

    def sync(self) -> None:
        self._fail()
        self.syncs += 1

    def tend(self) -> None:
        self._fail()

    def close(self) -> None:
        self.closed = True


class Time:
    """A clock that pauses move; `patience` pauses until one should give up."""

    def __init__(self, patience: int = 10_000) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self._patience = patience

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return len(self.pauses) < self._patience


def test_a_document_is_written_once_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    behind, time = Flaky(FULL, FULL, FULL), Time()
    sink = RetryingSink(behind, time.pause, name="alerts.ndjson", clock=lambda: time.now)
    sink.write(Paper(0))
    sink.write(Paper(1))
    assert behind.written == [Paper(0).to_json(), Paper(1).to_json()]
    assert sink.errors == 3
    assert caplog.messages == [
        "alerts.ndjson: cannot write: no space left on device; waiting until it works",
        "alerts.ndjson: it works again after 0.7 seconds",
    ]


def test_pauses_grow_up_to_half_a_minute_and_begin_anew_after_success() -> None:
    behind, time = Flaky(*[FULL] * 12), Time()
    sink = RetryingSink(behind, time.pause)
    sink.write(Paper(0))
    assert time.pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert time.pauses[-4:] == [25.6, 30.0, 30.0, 30.0]
    behind.faults = [FULL]
    sink.write(Paper(1))
    assert time.pauses[-1] == 0.1


def test_what_is_wrong_can_be_seen_while_it_is(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, float | None, str | None]] = []

    def pause(_: float) -> bool:
        seen.append((sink.errors, sink.failing_since, sink.reason))
        return True

    sink = RetryingSink(Flaky(FULL, BROKEN, FULL), pause, clock=lambda: 5.0)
    assert (sink.errors, sink.failing_since, sink.reason) == (0, None, None)
    sink.write(Paper(0))
    assert seen == [
        (1, 5.0, "no space left on device"),
        (2, 5.0, "input/output error"),
        (3, 5.0, "no space left on device"),
    ]
    assert (sink.errors, sink.failing_since, sink.reason) == (3, None, None)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2 + [logging.WARNING]


def test_it_gives_up_when_told(caplog: pytest.LogCaptureFixture) -> None:
    behind, time = Flaky(*[FULL] * 9), Time(patience=4)
    sink = RetryingSink(behind, time.pause, name="alerts.ndjson")
    with pytest.raises(SinkStoppedError, match=r"alerts\.ndjson: cannot write: no space left"):
        sink.write(Paper(0))
    assert len(time.pauses) == 4
    assert behind.written == []
    assert sink.failing_since is not None


def test_a_failed_sync_is_tried_again_too() -> None:
    behind, time = Flaky(BROKEN, BROKEN), Time()
    sink = RetryingSink(behind, time.pause)
    sink.sync()
    assert (behind.syncs, sink.errors, len(time.pauses)) == (1, 2, 2)
    behind.faults = [BROKEN]
    with pytest.raises(SinkStoppedError, match="bring to the disk"):
        RetryingSink(behind, lambda _: False).sync()


def test_what_is_due_and_fails_is_noted_and_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind, time = Flaky(FULL, FULL), Time()
    sink = RetryingSink(behind, time.pause, name="alerts.ndjson")
    sink.tend()
    sink.tend()
    assert (sink.errors, sink.reason, time.pauses) == (2, "no space left on device", [])
    sink.tend()
    assert sink.reason is None
    assert len(caplog.messages) == 2


def test_a_pipe_without_reader_is_not_waited_for() -> None:
    sink = RetryingSink(Flaky(BrokenPipeError(errno.EPIPE, "Broken pipe")), Time().pause)
    with pytest.raises(BrokenPipeError):
        sink.write(Paper(0))
    assert sink.errors == 1


def test_closing_closes_what_is_behind() -> None:
    behind = Flaky()
    RetryingSink(behind, Time().pause).close()
    assert behind.closed
