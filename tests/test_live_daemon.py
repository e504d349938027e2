"""The daemon under a real auditd, with load: rotation, restarts, plugin mode; all is accounted for.

Runs a private auditd with the rules of config/audit.rules; needs root and a kernel audit that
nobody uses. In CI (``CI`` is set) a machine without them is a failure, elsewhere a skip.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kill.guarded import GROUP, gid, guarded_folder, unprivileged
from kill.subject import Folder, Subject, wait_for
from kill.traffic import LABELLED
from kill.verdict import alert_files, read_alert_file
from private_auditd import AuditUnavailableError, PrivateAuditd, check_available

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent
RULES = ROOT / "config" / "audit.rules"
SHELLS = 3
# Each exec is written by the kernel as some 1,500 bytes.
LOOP = "i=0; while [ $i -lt $2 ]; do chmod +x /srv/kill/$1-$i; i=$((i+1)); done"


@pytest.fixture(autouse=True, scope="module")
def _kernel_audit() -> None:
    try:
        check_available()
    except AuditUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the live tests must run in CI: {error}")
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.configure(interval=0.1)
    return folder


@pytest.fixture
def subject(folder: Folder) -> Iterator[Subject]:
    with Subject(folder) as subject:
        yield subject


class Load:
    """Shells that run labelled commands as fast as they can."""

    def __init__(self, name: str, commands: int) -> None:
        self.labels = [
            f"/srv/kill/{name}{shell}-{number}"
            for shell in range(SHELLS)
            for number in range(commands)
        ]
        self._shells = [
            subprocess.Popen(
                ["/bin/sh", "-c", LOOP, "sh", f"{name}{shell}", str(commands)],
                stderr=subprocess.DEVNULL,
            )
            for shell in range(SHELLS)
        ]

    @property
    def is_running(self) -> bool:
        return any(shell.poll() is None for shell in self._shells)

    def wait(self) -> None:
        for shell in self._shells:
            shell.wait(120)


def found(folder: Folder) -> Counter[str]:
    """Return how often each label has been alerted."""
    labels: Counter[str] = Counter()
    for path in alert_files(folder.alerts):
        # The last line may just be written.
        whole, _, _ = read_alert_file(path).rpartition(b"\n")
        for line in whole.splitlines():
            document = json.loads(line)
            if document["event"]["kind"] == "alert" and document["rule"]["uuid"] == LABELLED:
                labels[document["process"]["args"][-1]] += 1
    return labels


def reports(folder: Folder) -> list[str]:
    """Return what the daemon reports of itself beside the alerts."""
    return [
        document["message"]
        for path in alert_files(folder.alerts)
        for document in map(json.loads, read_alert_file(path).splitlines())
        if document["event"]["kind"] != "alert"
    ]


def assert_each_once(folder: Folder, subject: Subject, labels: list[str]) -> None:
    wanted = set(labels)
    subject.wait_until(lambda: wanted <= found(folder).keys(), "all alerts are there", step=0.3)
    assert subject.stop() == 0
    assert found(folder) == Counter(labels)


def test_rotation_on_demand_and_kills_under_load_lose_nothing(
    folder: Folder, subject: Subject
) -> None:
    with PrivateAuditd(folder.path, RULES, num_logs=99) as auditd:
        subject.start()
        subject.wait_ready()
        load = Load("a", 400)
        rounds = 0
        while load.is_running or rounds < 4:
            inode = auditd.log.stat().st_ino
            os.kill(auditd.pid, signal.SIGUSR1)
            wait_for(
                lambda inode=inode: auditd.log.exists() and auditd.log.stat().st_ino != inode,  # type: ignore[misc]
                "the log is rotated",
            )
            if rounds % 2:
                subject.kill()
                subject.start()
            rounds += 1
        load.wait()
        auditd.settle()
        assert auditd.lost == 0
        assert_each_once(folder, subject, load.labels)
        assert reports(folder) == []


def test_rotation_by_size_under_load_loses_nothing(folder: Folder, subject: Subject) -> None:
    with PrivateAuditd(folder.path, RULES, max_log_file=1, num_logs=3) as auditd:
        subject.start()
        subject.wait_ready()
        loads = []
        oldest = folder.log.with_name("audit.log.2")
        for number in range(20):
            loads.append(Load(f"b{number}", 100))
            loads[-1].wait()
            # No faster than the daemon reads: three files of one megabyte are not much.
            wanted = set(loads[-1].labels)
            subject.wait_until(lambda w=wanted: w <= found(folder).keys(), "it keeps up", step=0.1)  # type: ignore[misc]
            if oldest.exists() and number > 5:
                break
        assert oldest.exists()
        assert auditd.lost == 0
        assert_each_once(folder, subject, [label for load in loads for label in load.labels])
        assert reports(folder) == []


def test_auditd_may_be_restarted_under_a_running_daemon(folder: Folder, subject: Subject) -> None:
    labels = []
    for number in range(3):
        with PrivateAuditd(folder.path, RULES) as auditd:
            if not number:
                subject.start()
                subject.wait_ready()
            load = Load(f"c{number}", 100)
            load.wait()
            auditd.settle()
            labels += load.labels
        if number == 1:
            subject.kill()
            subject.start()
    assert_each_once(folder, subject, labels)


class GroupAuditd(PrivateAuditd):
    """An auditd whose log is for a group to read."""

    def _write_config(self) -> Path:
        config = super()._write_config()
        path = config / "auditd.conf"
        path.write_text(path.read_text().replace("log_group = root", f"log_group = {GROUP}"))
        return config


def test_a_user_of_the_logs_group_follows_a_real_auditd() -> None:
    with guarded_folder() as folder, Subject(folder, program=unprivileged(gid())) as subject:
        folder.log.unlink()
        with GroupAuditd(folder.path, RULES) as auditd:
            subject.start()
            subject.wait_ready()
            status = Path(f"/proc/{subject.pid}/status").read_text()
            assert "\nCapEff:\t0000000000000000\n" in status
            loads = [Load("d", 100)]
            loads[0].wait()
            auditd.rotate()
            subject.kill()
            subject.start()
            loads.append(Load("e", 100))
            loads[1].wait()
            auditd.rotate()
            auditd.settle()
            assert auditd.log.stat().st_mode & 0o007 == 0
            assert_each_once(folder, subject, [label for load in loads for label in load.labels])


def test_auditds_plugin_keeps_up_reloads_with_it_and_ends_with_it(folder: Folder) -> None:
    program = folder.path / "plugin"
    said = folder.path / "plugin.log"
    command = [sys.executable, "-m", "auditrule", "run"]
    command += ["--config", str(folder.config), "--input", "-"]
    program.write_text(
        f"#!/bin/sh\necho $$ >>{folder.path}/pids\nexec {shlex.join(command)} 2>>{said}\n"
    )
    program.chmod(0o750)
    plugin = f"active = yes\ndirection = out\npath = {program}\ntype = always\nformat = string\n"
    with PrivateAuditd(folder.path, RULES, plugins={"auditrule.conf": plugin}) as auditd:
        wait_for(lambda: said.exists() and "following" in said.read_text(), "the plugin runs")
        # More than auditd's queue of 2,000 records would hold by itself.
        before = Load("f", 400)
        before.wait()
        auditd.settle()
        broken = folder.rules / "broken.toml"
        broken.write_text("[rule]\nthis is no TOML")
        os.kill(auditd.pid, signal.SIGHUP)
        wait_for(
            lambda: "broken.toml" in said.read_text(), "the rules are read again", said.read_text
        )
        after = Load("g", 400)
        after.wait()
        auditd.settle()
        assert auditd.lost == 0
        labels = before.labels + after.labels
        wait_for(lambda: set(labels) <= found(folder).keys(), "all alerts are there", step=0.3)
        (pid,) = folder.path.joinpath("pids").read_text().split()
        assert Path(f"/proc/{pid}").exists()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the plugin ends with auditd")
    assert "stopped after" in said.read_text()
    assert found(folder) == Counter(labels)
    assert reports(folder) == []
