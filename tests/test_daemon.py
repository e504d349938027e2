"""``auditrule run``, as a process of its own on a real file or pipe."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from daemon_process import DEADLINE, running
from kernel_format import ExecOnKernel


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


def test_alerts_go_to_the_file_of_the_settings(tmp_path: Path) -> None:
    alerts = tmp_path / "new" / "alerts.ndjson"
    settings = tmp_path / "auditrule.toml"
    settings.write_text(f'[alerts]\npath = "{alerts}"\n')
    options = ["--config", str(settings), "--input", "-"]
    command = [sys.executable, "-m", "auditrule", "run", *options]
    subprocess.run(command, input=attack(1), check=True, capture_output=True, timeout=DEADLINE)
    assert len(alerts.read_text().splitlines()) == 1


def test_a_log_that_may_not_be_read_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auditrule", "run", "--input", str(tmp_path), "-o", "-"]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE, text=True)
    assert done.returncode == 1
    assert f"{tmp_path}: is a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "auditrule", "run", "--input", "-", "-o", "/dev/full"]
    done = subprocess.run(command, input=attack(1), capture_output=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert b"/dev/full: no space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
