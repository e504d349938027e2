"""A disk that is full stops nothing for good: all alerts come, once, when there is room again."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from kill.disk import NoMountError, TinyDisk, tiny_disk
from kill.subject import Folder, Subject, WriterProcess
from kill.verdict import alert_files, compare, read_alert_file
from kill.writer import WriterSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

FULL = "no space left on device"
# What a service manager waits for, and less, before it kills.
SECONDS_TO_END = 10.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A daemon whose alerts and state are each on a tiny disk of their own, and a writer."""

    folder: Folder
    subject: Subject
    alert_disk: TinyDisk
    state_disk: TinyDisk
    writer: WriterProcess

    def times_said(self) -> int:
        """How often the daemon has said one and the same of a full disk."""
        lines = [
            line.split(maxsplit=1)[1] for line in self.subject.said.splitlines() if FULL in line
        ]
        return max(Counter(lines).values(), default=0)

    def wait_until_said(self) -> None:
        self.subject.wait_until_said(FULL)

    def wait_for_log(self, growth: int = 200_000) -> None:
        """Return when the writer has written so many more bytes."""
        wanted = self.folder.log.stat().st_size + growth
        self.subject.wait_until(
            lambda: self.folder.log.stat().st_size >= wanted, "the writer goes on"
        )

    def alert_bytes(self) -> int:
        while True:
            # A file that is being rotated or compressed has another name meanwhile.
            with suppress(FileNotFoundError):
                return sum(len(read_alert_file(path)) for path in alert_files(self.folder.alerts))

    def wait_for_alerts(self) -> None:
        """Return when another alert has been written."""
        before = self.alert_bytes()
        self.subject.wait_until(lambda: self.alert_bytes() > before, "alerts go on")

    def assert_all_comes(self) -> None:
        """Let all be written and read; then nothing is lost, repeated or otherwise wrong."""
        self.writer.tell("finish")
        self.writer.tell("sentinel")
        expected = self.folder.expectations()
        assert expected
        self.subject.wait_until(
            lambda: not compare(self.folder.alerts, expected).lost, "all alerts are there", step=0.3
        )
        assert self.subject.stop() == 0
        verdict = compare(self.folder.alerts, expected)
        assert not verdict, str(verdict)


@pytest.fixture(params=[0, 30_000], ids=["one alert file", "alert files rotated"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    folder = Folder(tmp_path)
    folder.configure(interval=0.1, fsync="interval", rotate_size=request.param, compress=True)
    folder.log.touch()
    with ExitStack() as stack:
        try:
            alert_disk = stack.enter_context(tiny_disk(folder.alerts.parent))
            state_disk = stack.enter_context(tiny_disk(folder.state))
        except NoMountError as error:
            if os.environ.get("CI"):
                pytest.fail(f"a tmpfs must be mounted in CI: {error}")
            pytest.skip(f"no tmpfs can be mounted: {error}")
        subject = stack.enter_context(Subject(folder))
        subject.start()
        subject.wait_ready()
        settings = WriterSettings(str(folder.log), str(folder.expected), seed=1, rate=100.0)
        writer = stack.enter_context(WriterProcess(settings))
        yield Stage(folder, subject, alert_disk, state_disk, writer)


def test_alerts_wait_for_room_and_none_is_lost_or_repeated(stage: Stage) -> None:
    for number in (1, 2):
        stage.wait_for_alerts()
        stage.alert_disk.fill()
        stage.subject.wait_until(lambda n=number: stage.times_said() >= n, "it says so")  # type: ignore[misc]
        stage.wait_for_log()
        stage.alert_disk.free()
        stage.wait_for_alerts()
        assert stage.times_said() == number, stage.subject.said
    stage.assert_all_comes()


def test_the_daemon_ends_when_asked_while_the_disk_is_full(stage: Stage) -> None:
    stage.wait_for_alerts()
    stage.alert_disk.fill()
    stage.wait_until_said()
    stage.wait_for_log()
    began = time.monotonic()
    status = stage.subject.stop()
    assert time.monotonic() - began < SECONDS_TO_END
    assert status in (0, 1)
    assert "Traceback" not in stage.subject.said
    stage.alert_disk.free()
    stage.subject.start()
    stage.assert_all_comes()


def test_a_daemon_killed_and_started_on_a_full_disk_goes_on_when_there_is_room(
    stage: Stage,
) -> None:
    stage.wait_for_alerts()
    stage.alert_disk.fill()
    stage.wait_until_said()
    stage.subject.kill()
    stage.subject.start()
    stage.subject.wait_ready()
    stage.wait_for_log()
    stage.alert_disk.free()
    stage.assert_all_comes()


def test_the_state_waits_for_room_while_alerts_go_on(stage: Stage) -> None:
    stage.wait_for_alerts()
    stage.state_disk.fill()
    stage.wait_until_said()
    stage.wait_for_log()
    stage.wait_for_alerts()
    assert stage.times_said() == 1, stage.subject.said
    stage.subject.kill()
    stage.subject.start()
    stage.wait_until_said()
    stage.wait_for_alerts()
    assert stage.times_said() == 1, stage.subject.said
    stage.state_disk.free()
    stage.assert_all_comes()


def test_the_daemon_ends_when_asked_while_the_state_cannot_be_kept(stage: Stage) -> None:
    stage.wait_for_alerts()
    stage.state_disk.fill()
    stage.wait_until_said()
    stage.wait_for_alerts()
    began = time.monotonic()
    status = stage.subject.stop()
    assert time.monotonic() - began < SECONDS_TO_END
    assert status in (0, 1)
    stage.state_disk.free()
    stage.subject.start()
    stage.assert_all_comes()


class Carrier:
    """Moves alert files from their disk to another folder, as somebody does who makes room."""

    def __init__(self, alerts: Path, to: Path) -> None:
        self._alerts = alerts
        self._to = to
        self._carried = 0

    def all_but(self, keep: int) -> None:
        for path in reversed(alert_files(self._alerts)[keep:]):
            self._carried += 1
            with suppress(FileNotFoundError):  # renamed meanwhile: the next time, then
                shutil.move(path, self._to / f"{self._alerts.name}.{100_000 - self._carried}")


def test_alert_files_may_be_carried_away_to_make_room(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    folder = Folder(tmp_path / "run")
    folder.configure(rotate_size=50_000)
    folder.log.touch()
    with ExitStack() as stack:
        try:
            stack.enter_context(tiny_disk(folder.alerts.parent, "300k"))
        except NoMountError as error:
            if os.environ.get("CI"):
                pytest.fail(f"a tmpfs must be mounted in CI: {error}")
            pytest.skip(f"no tmpfs can be mounted: {error}")
        subject = stack.enter_context(Subject(folder))
        subject.start()
        subject.wait_ready()
        settings = WriterSettings(str(folder.log), str(folder.expected), seed=2, rate=200.0)
        writer = stack.enter_context(WriterProcess(settings))
        carry = Carrier(folder.alerts, saved)
        for number in range(1, 4):
            subject.wait_until(lambda n=number: subject.said.count(FULL) >= n, "full")  # type: ignore[misc]
            carry.all_but(1)
        writer.tell("finish")
        writer.tell("sentinel")
        expected = folder.expectations()
        last = expected[-1].label.encode()

        def is_last_there() -> bool:
            if folder.alerts.exists() and last in folder.alerts.read_bytes():
                return True
            carry.all_but(2)
            return any(last in path.read_bytes() for path in saved.iterdir())

        subject.wait_until(is_last_there, "the last alert is there", step=0.1)
        assert subject.stop() == 0
        carry.all_but(0)
    verdict = compare(saved / folder.alerts.name, expected)
    assert not verdict, str(verdict)
