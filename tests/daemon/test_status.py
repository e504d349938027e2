"""`auditrule status` as people and scripts use it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditrule.daemon.health import Health, HealthPosition, write_health

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = "/var/log/audit/audit.log"


def healthy(**more: Any) -> Health:
    now = datetime.now(UTC)
    given = {
        "version": "1.2.3",
        "pid": 42,
        "started": now - timedelta(hours=3),
        "updated": now,
        "interval": 600,
        "input": LOG,
        "means": "inotify",
        "position": HealthPosition(path=LOG, offset=7),
        "rules": 153,
        "records": 1_234_567,
    }
    return Health.model_validate(given | more)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state folder of a daemon that runs."""
    folder = tmp_path / "state"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def status(*arguments: str | Path, **more: Any) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "auditrule", "status", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_daemon_that_is_well_is_shown_in_ten_lines_and_the_exit_code_is_0(state: Path) -> None:
    now = datetime.now(UTC)
    write_health(
        state,
        healthy(
            alerts=12,
            alerts_by_rule={"first": 2, "second": 10},
            last_alert=now - timedelta(minutes=5),
            last_alert_rule="Executable Bit Set",
            last_checkpoint=now,
        ),
    )
    code, text = status("--state", state)
    assert code == 0
    assert len(text.splitlines()) == 10
    assert text.startswith("auditrule 1.2.3: running for 3 h, pid 42\n")
    assert f"log         {LOG} (inotify), all read\n" in text
    assert "1,234,567 records" in text
    assert (
        "alerts      12, the last 5 min ago (Executable Bit Set); most by second 10, first 2\n"
        in (text.replace("5 min 1 s", "5 min"))
    )
    assert text.endswith("\nok: all is well\n")


def test_a_daemon_that_is_behind_says_how_far(state: Path) -> None:
    write_health(state, healthy(lag_bytes=12_345_678, lag_seconds=45))
    code, text = status("--state", state)
    assert code == 0
    assert "(inotify), 12.3 MB and 45 s behind\n" in text
    assert text.endswith("\nwarning: reading is 45 s behind the log\n")


@pytest.mark.parametrize(
    "trouble",
    [
        {"sink_failing": "no space left on device"},
        {"log_problem": "permission denied"},
        {"checkpoint_failing": "no space left on device"},
        {"updated": datetime(2026, 1, 1, tzinfo=UTC), "started": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_daemon_in_trouble_makes_the_exit_code_1(state: Path, trouble: dict[str, Any]) -> None:
    write_health(state, healthy(**trouble))
    code, text = status("--state", state)
    assert code == 1
    assert "\nproblem: " in text


def test_a_daemon_that_was_killed_is_not_running_whoever_has_its_pid_now(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{os.getpid()}\n")
    write_health(tmp_path, healthy(pid=os.getpid()))
    code, text = status("--state", tmp_path)
    assert code == 1
    assert text.startswith("auditrule 1.2.3: not running\n")
    assert "problem: the daemon is not running; it was last seen " in text


def test_a_folder_without_a_daemon_is_one_clear_line(tmp_path: Path) -> None:
    assert status("--state", tmp_path) == (
        1,
        f"problem: {tmp_path}: no daemon has run with this state folder yet\n",
    )


def test_the_settings_name_the_folder(state: Path, tmp_path: Path) -> None:
    write_health(state, healthy())
    settings = tmp_path / "auditrule.toml"
    settings.write_text(f'[state]\npath = "{state}"\n')
    code, text = status("--config", settings)
    assert code == 0
    assert "ok: all is well" in text


def test_settings_that_cannot_be_read_are_one_clear_line(tmp_path: Path) -> None:
    assert status("--config", tmp_path / "none.toml") == (
        1,
        f"problem: {tmp_path / 'none.toml'}: no such file\n",
    )


def test_json_has_all_of_it(state: Path) -> None:
    health = healthy(gaps=1, sink_failing="disk full")
    write_health(state, health)
    code, text = status("--state", state, "--format", "json")
    assert code == 1
    document = json.loads(text)
    assert document.pop("health") == health.model_dump(mode="json")
    assert document == {
        "well": False,
        "running": True,
        "findings": [
            {
                "level": "problem",
                "text": "alerts cannot be written, so reading waits: disk full",
            },
            {
                "level": "warning",
                "text": "gaps in the log, where lines were gone before they could be read: 1 "
                "since the daemon started",
            },
        ],
    }


def test_json_says_too_that_there_is_nothing(tmp_path: Path) -> None:
    code, text = status("--state", tmp_path / "none", "--format", "json")
    assert code == 1
    document = json.loads(text)
    assert document["well"] is document["running"] is False
    assert document["health"] is None
    assert "no such folder" in document["findings"][0]["text"]


def test_another_format_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "auditrule", "status", "--format", "xml"], capture_output=True
    )
    assert done.returncode == 2


def test_what_the_daemon_met_cannot_steer_the_terminal(state: Path) -> None:
    write_health(state, healthy(log_problem="\x1b[2J\nok: all is well", last_alert_rule="\x9b"))
    code, text = status("--state", state)
    assert code == 1
    assert all(line.isprintable() for line in text.splitlines())
    assert "\nok: " not in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_read_the_folder_is_told_so(state: Path) -> None:
    write_health(state, healthy())
    state.chmod(0o700)
    # The interpreter may be where only root gets to, so the process is another user only later.
    script = (
        "import os, sys; from auditrule.cli.status import show_status; from pathlib import Path\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"sys.exit(not show_status(None, state=Path({str(state)!r}), as_json=False))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == (
        f"problem: {state / 'status.json'}: permission denied; "
        "ask as root, or as the user that the daemon runs as\n"
    )
