"""The daemon as a system user who may read the log, as a member of its group, and nothing else."""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kill.guarded import USER, NotRootError, gid, guarded_folder, unprivileged
from kill.subject import Subject, WriterProcess, wait_for
from kill.verdict import compare
from kill.writer import WriterSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kill.subject import Folder

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

DENIED = "permission denied"


@pytest.fixture
def folder() -> Iterator[Folder]:
    """A folder with a log that only its group may read."""
    try:
        with guarded_folder() as folder:
            yield folder
    except NotRootError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must run as root: {error}")
        pytest.skip(str(error))


@pytest.fixture
def subject(folder: Folder) -> Iterator[Subject]:
    with Subject(folder, program=unprivileged(gid())) as subject:
        yield subject


@contextmanager
def writing(folder: Folder, *, size: int = 0) -> Iterator[WriterProcess]:
    settings = WriterSettings(
        str(folder.log), str(folder.expected), seed=3, rate=100.0, size=size, group=gid()
    )
    with WriterProcess(settings) as writer:
        yield writer


def assert_all_comes(folder: Folder, subject: Subject, writer: WriterProcess) -> None:
    writer.tell("finish")
    writer.tell("sentinel")
    expected = folder.expectations()
    subject.wait_until(
        lambda: not compare(folder.alerts, expected).lost, "all alerts are there", step=0.3
    )
    assert subject.stop() == 0
    verdict = compare(folder.alerts, expected)
    assert not verdict, str(verdict)


def test_a_user_of_the_logs_group_follows_it_through_rotations_and_kills(
    folder: Folder, subject: Subject
) -> None:
    subject.start()
    subject.wait_ready()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{subject.pid}/status").read_text().splitlines()
    )
    assert set(status["Uid"].split()) == {str(pwd.getpwnam(USER).pw_uid)}
    assert status["Groups"].split() == [str(gid())]
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    with writing(folder, size=60_000) as writer:
        for number in range(1, 4):
            rotated = folder.log.with_name(f"audit.log.{2 * number}")
            subject.wait_until(rotated.exists, "the log is rotated")
            subject.kill()
            subject.start()
        assert_all_comes(folder, subject, writer)
    owners = {path.stat().st_uid for path in folder.alerts.parent.iterdir()}
    assert owners == {pwd.getpwnam(USER).pw_uid}


def test_a_user_without_the_group_is_told_that_the_log_may_not_be_read(folder: Folder) -> None:
    with Subject(folder, program=unprivileged()) as subject:
        subject.start()
        wait_for(lambda: DENIED in subject.said, "it says so", lambda: subject.said)
        assert subject.stop() in (0, 1, -15)
        (line,) = [line for line in subject.said.splitlines() if DENIED in line]
        assert str(folder.log.parent) in line
        assert "log_group of /etc/audit/auditd.conf" in line
        assert "Traceback" not in subject.said


def test_a_log_that_becomes_unreadable_is_said_once_and_waited_for(
    folder: Folder, subject: Subject
) -> None:
    subject.start()
    subject.wait_ready()
    with writing(folder) as writer:
        subject.wait_until(lambda: folder.alerts.stat().st_size > 0, "an alert is there")
        writer.tell("pause")
        writer.tell("rotate")
        folder.log.chmod(0o600)
        writer.tell("go on")
        wait_for(lambda: folder.log.stat().st_size > 100_000, "the writer goes on")
        subject.wait_until_said(DENIED)
        wait_for(lambda: folder.log.stat().st_size > 300_000, "the writer goes on")
        assert subject.said.count(DENIED) == 1
        folder.log.chmod(0o640)
        assert_all_comes(folder, subject, writer)


def test_a_folder_that_becomes_unreadable_is_said_once_and_waited_for(
    folder: Folder, subject: Subject
) -> None:
    subject.start()
    subject.wait_ready()
    with writing(folder) as writer:
        subject.wait_until(lambda: folder.alerts.stat().st_size > 0, "an alert is there")
        folder.log.parent.chmod(0o700)
        writer.tell("rotate")
        subject.wait_until_said(DENIED)
        wait_for(lambda: folder.log.stat().st_size > 100_000, "the writer goes on")
        assert subject.said.count(DENIED) == 1
        folder.log.parent.chmod(0o750)
        assert_all_comes(folder, subject, writer)


def test_a_daemon_started_on_an_unreadable_log_that_it_knows_waits_for_it(
    folder: Folder, subject: Subject
) -> None:
    subject.start()
    subject.wait_ready()
    with writing(folder) as writer:
        subject.wait_until(lambda: folder.alerts.stat().st_size > 0, "an alert is there")
        subject.kill()
        folder.log.chmod(0o600)
        subject.start()
        wait_for(lambda: DENIED in subject.said, "it says so", lambda: subject.said)
        folder.log.chmod(0o640)
        wait_for(
            lambda: not subject.is_running or "following" in subject.said,
            "it follows the log, or ends",
        )
        if not subject.is_running:  # whoever looks after the service starts it again
            subject.start()
        assert_all_comes(folder, subject, writer)
