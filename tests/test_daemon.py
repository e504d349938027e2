"""``auditrule run``, as a process of its own on a real file or pipe."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon_process import DEADLINE, running
from kernel_format import ExecOnKernel

from auditrule.resources import bundled_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def attack(serial: int, **more: Any) -> bytes:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], serial=serial, **more)
    return b"\n".join(deed.lines()) + b"\n"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_an_alert_is_out_while_the_daemon_runs(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(attack(1))
    with running(tmp_path, "--input", str(log)) as daemon:
        append(log, attack(2))
        alert = daemon.alert()
        assert alert["event"]["sequence"] == 2
        assert alert["host"]["name"] == socket.gethostname()
        assert daemon.stop() == []


def test_the_whole_log_is_read_where_the_settings_say_so(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(attack(1))
    (tmp_path / "auditrule.toml").write_text('[log]\nstart = "beginning"\n')
    with running(tmp_path, "--input", str(log)) as daemon:
        assert daemon.alert()["event"]["sequence"] == 1


def test_an_event_is_whole_however_its_lines_are_cut(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    data = attack(2)
    with running(tmp_path, "--input", str(log)) as daemon:
        for start in range(0, len(data), 50):
            append(log, data[start : start + 50])
        assert daemon.alert()["event"]["sequence"] == 2


def test_rotation_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    with running(tmp_path, "--input", str(log)) as daemon:
        first, second = attack(1).splitlines(keepends=True), attack(2)
        append(log, b"".join(first[:3]))
        log.rename(tmp_path / "audit.log.1")
        append(log, b"".join(first[3:]) + second)
        assert daemon.alert()["event"]["sequence"] == 1
        assert daemon.alert()["event"]["sequence"] == 2
        assert daemon.stop() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_that_was_written_looked_at(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    with running(tmp_path, "--input", str(log)) as daemon:
        append(log, b"".join(attack(n) for n in range(200)) + attack(200, proctitle=False))
        alerts = daemon.stop(number)
        assert [alert["event"]["sequence"] for alert in alerts] == list(range(201))
        assert "stopped after" in daemon.log


def test_an_event_that_no_record_ends_is_looked_at_when_the_log_is_quiet(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    (tmp_path / "auditrule.toml").write_text("[reassembly]\nmax_age = 0.2\n")
    with running(tmp_path, "--input", str(log)) as daemon:
        append(log, attack(2, proctitle=False))
        assert daemon.alert()["event"]["sequence"] == 2


def test_auditds_stream_on_standard_input_is_read_to_its_end(tmp_path: Path) -> None:
    with running(tmp_path, "--input", "-", stdin=subprocess.PIPE) as daemon:
        assert daemon.process.stdin is not None
        daemon.process.stdin.write(attack(1))
        daemon.process.stdin.flush()
        assert daemon.alert()["event"]["sequence"] == 1
        daemon.process.stdin.write(attack(2).rstrip(b"\n"))
        daemon.process.stdin.close()
        assert [alert["event"]["sequence"] for alert in daemon.rest()] == [2]


def test_a_hostile_log_stops_nothing_and_fills_no_journal(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    with running(tmp_path, "--input", str(log)) as daemon:
        append(log, os.urandom(300_000) + b"\n" + b"\0" * 3_000_000 + b"\n" + attack(2))
        assert daemon.alert()["event"]["sequence"] == 2
        assert len(daemon.log) < 10_000


def test_the_parent_is_asked_of_proc_while_it_lives(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    with (
        subprocess.Popen(["sleep", "60"]) as sleeper,
        running(tmp_path, "--input", str(log)) as daemon,
    ):
        now = time.time()
        deed = {"seconds": int(now), "millis": int(now * 1000) % 1000, "ppid": sleeper.pid}
        append(log, attack(2, **deed))
        parent = daemon.alert()["process"]["parent"]
        sleeper.kill()
    assert parent["pid"] == sleeper.pid
    assert parent["args"] == ["sleep", "60"]
    assert Path(parent["executable"]).name in ("sleep", "coreutils")


class Files:
    """A daemon's folders below one, and its runs there: each to the end of what is written."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "audit.log"
        self.log.touch()
        self.alerts = folder / "new" / "alerts.ndjson"
        self.state = folder / "state"
        self.settings = folder / "files.toml"
        self.settings.write_text(
            f'[log]\npath = "{self.log}"\nstart = "beginning"\n'
            f'[alerts]\npath = "{self.alerts}"\n[state]\npath = "{self.state}"\ninterval = 0\n'
        )

    @contextmanager
    def start(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "auditrule", "run", "--config", str(self.settings)]
        with subprocess.Popen(
            [*command, *options], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def documents(self) -> list[dict[str, Any]]:
        if not self.alerts.exists():
            return []
        lines = self.alerts.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def serials(self) -> list[int]:
        return [
            document["event"]["sequence"]
            for document in self.documents()
            if document["event"]["kind"] == "alert"
        ]

    def checkpoint(self) -> bytes:
        # What is being written, under another name, may be gone by the time it is read.
        whole = "checkpoint-????????????"
        return b"".join(path.read_bytes() for path in self.state.glob(whole))

    def run_until(self, count: int, number: signal.Signals = signal.SIGTERM) -> None:
        """Run until there are so many alerts, and end it."""
        with self.start() as process:
            try:
                until(lambda: len(self.serials()) >= count, process)
            finally:
                process.send_signal(number)
                _, said = process.communicate(timeout=DEADLINE)
        assert b"Traceback" not in said


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_alerts_go_to_the_file_of_the_settings(files: Files) -> None:
    with files.start("--input", "-") as process:
        process.communicate(attack(1), timeout=DEADLINE)
    assert process.returncode == 0
    assert files.serials() == [1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_goes_on_where_the_one_before_ended(files: Files, number: signal.Signals) -> None:
    append(files.log, attack(1) + attack(2))
    files.run_until(2, number)
    first, second = attack(3).splitlines(keepends=True), attack(4)
    append(files.log, b"".join(first[:2]))
    files.run_until(2, number)
    append(files.log, b"".join(first[2:]) + second)
    files.run_until(4, number)
    assert files.serials() == [1, 2, 3, 4]


def test_an_event_that_was_half_read_is_whole_in_the_next_run(files: Files) -> None:
    lines = attack(1).splitlines(keepends=True)
    append(files.log, b"".join(lines[:-2]))
    with files.start() as process:
        until(lambda: b"type=EXECVE" in files.checkpoint(), process)
        process.terminate()
        process.communicate(timeout=DEADLINE)
    assert files.serials() == []
    append(files.log, b"".join(lines[-2:]))
    files.run_until(1)
    assert files.serials() == [1]


def test_without_its_state_a_run_goes_on_behind_the_newest_alert(files: Files) -> None:
    append(files.log, attack(1) + attack(2))
    files.run_until(2)
    shutil.rmtree(files.state)
    append(files.log, attack(3))
    files.run_until(3)
    assert files.serials() == [1, 2, 3]


def test_a_second_daemon_with_the_same_state_is_refused(files: Files) -> None:
    with files.start() as process:
        until(lambda: files.checkpoint() != b"", process)
        with files.start() as other:
            _, said = other.communicate(timeout=DEADLINE)
        assert other.returncode == 1
        assert f"is used by another daemon, process {process.pid}".encode() in said
        process.terminate()
        process.communicate(timeout=DEADLINE)


def test_a_log_that_was_removed_unread_is_told_among_the_alerts(files: Files) -> None:
    append(files.log, attack(1))
    files.run_until(1)
    files.log.unlink()
    append(files.log, attack(9))
    files.run_until(2)
    found = files.documents()
    assert [each["event"]["kind"] for each in found] == ["alert", "pipeline_error", "alert"]
    assert found[1]["auditd"]["gap"]["before"]["sequence"] == 1
    assert found[1]["auditd"]["gap"]["after"]["sequence"] == 9


def test_rules_and_settings_are_read_again_at_a_hangup(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    rules = tmp_path / "rules"
    rules.mkdir(mode=0o755)
    bundled = next(bundled_rules().glob("*.toml")).read_text()
    (rules / "one.toml").write_text(bundled)
    settings = tmp_path / "auditrule.toml"
    settings.write_text(f'[rules]\npaths = ["{rules}"]\n')
    with running(tmp_path, "--input", str(log)) as daemon:
        (rules / "bad.toml").write_text("[rule]\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "not reloaded" in daemon.log, daemon.process)
        append(log, attack(1))
        assert daemon.alert()["event"]["sequence"] == 1
        (rules / "bad.toml").write_text(bundled.replace('rule_id = "', 'rule_id = "second-'))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "rules: 2 run" in daemon.log, daemon.process)
        append(log, attack(2))
        ids = {daemon.alert()["rule"]["id"] for _ in range(2)}
        assert {rule_id.startswith("second-") for rule_id in ids} == {False, True}
        assert daemon.stop() == []


def test_a_log_that_may_not_be_read_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auditrule", "run", "--input", str(tmp_path), "-o", "-"]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE, text=True)
    assert done.returncode == 1
    assert f"{tmp_path}: is a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_is_full_is_said_once_and_waited_for(files: Files) -> None:
    with files.start("--input", "-", "-o", "/dev/full") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(attack(1) + attack(2))
        process.stdin.flush()
        while b"/dev/full: cannot write: no space left on device" not in process.stderr.readline():
            assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert said.count(b"cannot write") == 1
    assert b"stopped while alerts could not be written" in said
    assert b"Traceback" not in said


def test_a_log_that_is_not_there_or_was_removed_is_said(files: Files) -> None:
    append(files.log, attack(1))
    with files.start() as process:
        until(lambda: files.serials() == [1], process)
        files.log.unlink()
        assert process.stderr is not None
        while b"there is no such file; waiting" not in process.stderr.readline():
            assert process.poll() is None
        append(files.log, attack(2))
        until(lambda: files.serials() == [1, 2], process)
        process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize(("option", "redirection"), [("--input", "<&-"), ("--output", ">&-")])
def test_a_closed_stream_is_one_clear_line(files: Files, option: str, redirection: str) -> None:
    command = shlex.join(
        [sys.executable, "-m", "auditrule", "run", "--config", str(files.settings)]
    )
    done = subprocess.run(
        ["sh", "-c", f"{command} {option} - {redirection}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 1
    assert f"ERROR: standard {option[2:]} is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_on_another_log_costs_the_service_nothing(files: Files, tmp_path: Path) -> None:
    files.settings.write_text(files.settings.read_text().replace('"beginning"', '"end"'))
    with files.start() as process:
        until(lambda: files.checkpoint() != b"", process)
        append(files.log, attack(1))
        until(lambda: files.serials() == [1], process)
        process.terminate()
        process.communicate(timeout=DEADLINE)
    append(files.log, attack(2))
    other = tmp_path / "other.log"
    other.write_bytes(attack(7))
    with files.start("--input", str(other), "-o", str(tmp_path / "other.ndjson")) as process:
        until(lambda: len(list(files.state.glob("checkpoint-*"))) == 2, process)
        process.terminate()
        process.communicate(timeout=DEADLINE)
    files.run_until(2)
    assert files.serials() == [1, 2]


def test_another_name_of_the_host_does_not_silence_the_daemon(files: Files) -> None:
    append(files.log, attack(1))
    files.run_until(1)
    shutil.rmtree(files.state)
    with files.settings.open("a") as file:
        file.write('[host]\nname = "renamed"\n')
    append(files.log, attack(2))
    with files.start() as process:
        until(lambda: 2 in files.serials(), process)
        process.terminate()
        process.communicate(timeout=DEADLINE)


def test_a_second_daemon_with_the_same_alert_file_is_refused(files: Files, tmp_path: Path) -> None:
    with files.start() as process:
        until(lambda: files.checkpoint() != b"", process)
        with files.start("--state", str(tmp_path / "another")) as other:
            _, said = other.communicate(timeout=DEADLINE)
        assert other.returncode == 1
        assert b"another daemon writes it" in said
        process.terminate()
        process.communicate(timeout=DEADLINE)
