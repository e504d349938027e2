"""What the daemon tells of itself, and what is made of it."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditrule.daemon.health import (
    Finding,
    Health,
    HealthError,
    HealthPosition,
    is_running,
    read_health,
    show_duration,
    verdict,
    write_health,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
LOG = "/var/log/audit/audit.log"


def healthy(**more: Any) -> Health:
    given = {
        "version": "1.2.3",
        "pid": 42,
        "started": NOW - timedelta(minutes=10),
        "updated": NOW - timedelta(seconds=2),
        "input": LOG,
        "means": "inotify",
        "position": HealthPosition(path=LOG, offset=7),
        "rules": 1,
        "records": 100,
    }
    return Health.model_validate(given | more)


def found(alive: bool = True, now: datetime = NOW, **more: Any) -> list[Finding]:
    return verdict(healthy(**more), now, alive)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    health = healthy(
        alerts_by_rule={"a": 1},
        last_alert=NOW,
        last_checkpoint=NOW,
        log_problem="gone",
        means="none",
    )
    write_health(tmp_path, health)
    assert read_health(tmp_path) == health


def test_the_file_is_not_for_everybody_and_alone(tmp_path: Path) -> None:
    was = os.umask(0)
    try:
        write_health(tmp_path, healthy())
    finally:
        os.umask(was)
    (file,) = tmp_path.iterdir()
    assert file.name == "status.json"
    assert file.stat().st_mode & 0o777 == 0o640


def test_writing_anew_never_shows_half_of_it(tmp_path: Path) -> None:
    write_health(tmp_path, healthy(records=1))
    with (tmp_path / "status.json").open() as before:
        write_health(tmp_path, healthy(records=2))
        assert json.load(before)["records"] == 1
    assert read_health(tmp_path).records == 2


def test_writing_into_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_health(tmp_path / "none", healthy())


def test_a_health_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        healthy().records = 2  # type: ignore[misc]


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    document = json.loads(healthy().model_dump_json()) | {"later": [1]}
    (tmp_path / "status.json").write_text(json.dumps(document))
    assert read_health(tmp_path) == healthy()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HealthError, match="none: no such folder; is it the one of"):
        read_health(tmp_path / "none")


def test_a_folder_where_no_daemon_ran_is_named(tmp_path: Path) -> None:
    with pytest.raises(HealthError, match="no daemon has run with this state folder yet"):
        read_health(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HealthError, match="not a directory"):
        read_health(tmp_path / "file")


def test_a_status_cut_at_any_length_is_a_clear_error(tmp_path: Path) -> None:
    write_health(tmp_path, healthy())
    data = (tmp_path / "status.json").read_bytes().rstrip()
    for length in range(len(data)):
        (tmp_path / "status.json").write_bytes(data[:length])
        with pytest.raises(HealthError, match=r"status\.json: damaged"):
            read_health(tmp_path)


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    document = json.loads(healthy().model_dump_json()) | {"records": "many"}
    (tmp_path / "status.json").write_text(json.dumps(document))
    with pytest.raises(HealthError, match="records: Input should be a valid integer"):
        read_health(tmp_path)


def test_a_daemon_runs_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        assert not is_running(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_running(tmp_path)
    assert not is_running(tmp_path)


def test_asking_whether_it_runs_leaves_the_lock_free(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        assert not is_running(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(HealthError, match="lock: too many symbolic links"):
        is_running(tmp_path)


def test_all_is_well() -> None:
    assert found() == [Finding("ok", "all is well")]


def test_all_is_well_with_a_stream() -> None:
    assert found(input="-", means="stream", position=None) == [Finding("ok", "all is well")]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"alive": False}, "the daemon is not running; it was last seen 2 s ago"),
        (
            {"now": NOW + timedelta(seconds=14)},
            "the daemon has not told of itself for 16 s: it hangs, or cannot write to its state "
            "folder",
        ),
        ({"log_problem": "permission denied"}, "the log cannot be read: permission denied"),
        ({"log_problem": "there is no such file"}, "the log cannot be read: there is no such file"),
        (
            {"broken_rules": 1},
            "1 rule file is broken or missing, and not run; auditrule rules check tells why",
        ),
        (
            {"broken_rules": 3},
            "3 rule files are broken or missing, and not run; auditrule rules check tells why",
        ),
        ({"rules": 0}, "no rule runs"),
        ({"sink_failing": "disk full"}, "alerts cannot be written, so reading waits: disk full"),
        ({"checkpoint_failing": "disk full"}, "the checkpoint cannot be written: disk full"),
        (
            {"last_reload_error": "a.toml: line 3"},
            "the last reload failed, what was set before goes on: a.toml: line 3",
        ),
        ({"lag_seconds": 600}, "reading is 10 min behind the log"),
    ],
)
def test_a_problem_is_told_in_a_sentence(fields: dict[str, Any], text: str) -> None:
    assert found(**fields) == [Finding("problem", text)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"now": NOW - timedelta(hours=1)},
            "the daemon's last sign is from the future: the clock was set back",
        ),
        ({"lag_seconds": 45}, "reading is 45 s behind the log"),
        (
            {"records": 0, "started": NOW - timedelta(hours=2)},
            "no record has come since the daemon started; does auditd run?",
        ),
        (
            {"means": "polling"},
            "the log is polled, which is slower: inotify is not available or at its limit",
        ),
        (
            {"needs_restart": ("log", "alerts")},
            "settings have changed that take a restart to hold: [log], [alerts]",
        ),
    ],
)
def test_a_warning_is_told_in_a_sentence(fields: dict[str, Any], text: str) -> None:
    assert found(**fields) == [Finding("warning", text)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"gaps": 2}, "gaps in the log, where lines were gone before they could be read: 2"),
        ({"lost_events": 1234}, "events that were lost before they reached the log: 1,234"),
        ({"rule_failures": {"b": 1, "a": 2}}, "failures of rules (a, b): 3"),
        ({"dropped_sequences": {"a": 2}}, "open sequences given up for want of room: 2"),
        ({"sink_errors": 2}, "errors in writing alerts, all made up for: 2"),
        ({"checkpoint_errors": 2}, "errors in writing checkpoints, the last went well: 2"),
    ],
)
def test_a_mishap_is_told_with_its_number(fields: dict[str, Any], text: str) -> None:
    assert found(**fields) == [Finding("warning", f"{text} since the daemon started")]


@pytest.mark.parametrize(
    "fields",
    [
        {"lag_seconds": 20, "lag_bytes": 10_000_000},
        {"records": 0},
        {"unparsed": 5, "overlong": 5, "truncated": 5, "rotations": 5, "truncations_of_log": 5},
        {"now": NOW + timedelta(seconds=13)},
        {"interval": 60.0, "now": NOW + timedelta(seconds=170)},
        {"reloads": 3, "failed_reloads": 2},
    ],
)
def test_what_is_usual_is_no_finding(fields: dict[str, Any]) -> None:
    assert found(**fields) == [Finding("ok", "all is well")]


def test_the_worst_comes_first() -> None:
    levels = [finding.level for finding in found(alive=False, gaps=1, rules=0)]
    assert levels == ["problem", "problem", "warning"]


def test_the_checkpoints_age_is_none_without_one_and_never_negative() -> None:
    assert healthy().checkpoint_age(NOW) is None
    assert healthy(last_checkpoint=NOW - timedelta(seconds=3)).checkpoint_age(NOW) == 3
    assert healthy(last_checkpoint=NOW + timedelta(seconds=3)).checkpoint_age(NOW) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400 * 3 + 7300, "3 d 2 h"),
    ],
)
def test_a_time_span_is_said_as_people_do(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.floats(min_value=-1e12, max_value=1e12))
def test_any_time_span_can_be_said(seconds: float) -> None:
    assert show_duration(seconds)
