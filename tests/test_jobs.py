"""Several processes give what one gives."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import auditrule
from auditrule import replaying, screening
from auditrule.parallel import TaskError, in_order, in_turns
from auditrule.replaying import Replay
from auditrule.resources import bundled_rules
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.screening import ScreenedFile
from auditrule.source.logset import find_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIXTURES = Path(__file__).parent.parent / "fixtures"
REPLAY = [sys.executable, "-m", "auditrule", "replay", str(FIXTURES / "demo")]


def of(task: int, count: int = 3) -> Callable[[], Iterator[tuple[int, int, int]]]:
    def results() -> Iterator[tuple[int, int, int]]:
        for number in range(count):
            yield task, number, os.getpid()

    return results


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    found = list(in_order([of(task) for task in range(5)], jobs))
    assert [(n, result[:2]) for n, result in found] == [
        (task, (task, number)) for task in range(5) for number in range(3)
    ]
    pids = {result[2] for _, result in found}
    assert len(pids) == 5
    assert os.getpid() not in pids


def test_results_come_by_turns_until_one_has_no_more() -> None:
    found = list(in_turns([of(0, 2), of(1, 1), of(2, 3)]))
    assert [result[:2] for result in found] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert len({result[2] for result in found}) == 3


def test_whoever_takes_no_more_leaves_no_process_behind() -> None:
    results = in_order([of(0, 1_000_000), of(1, 1_000_000)], 2)
    children = {next(results)[1][2]}
    results.close()
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_ends_before_its_time_is_an_error() -> None:
    def ends() -> Iterator[int]:
        yield 1
        os._exit(3)

    results = in_order([ends], 2)
    assert next(results) == (0, 1)
    with pytest.raises(TaskError):
        next(results)


def alerts_and_counts(logs: list[Path], jobs: int) -> tuple[list[str], str, list[str]]:
    replay = Replay(find_logs(logs), jobs=jobs)
    alerts = [
        alert.to_json() for alert in replay.alerts(Detector(load_rules([bundled_rules()]).rules))
    ]
    return alerts, f"{replay.counts} {replay.overlong}", [str(each) for each in replay.problems]


def test_logs_of_several_hosts_give_the_same_in_the_same_order(tmp_path: Path) -> None:
    for host, name in (("a", "dpkg"), ("b", "parents"), ("c", "chmod"), ("d", "scripts")):
        (tmp_path / host).mkdir()
        shutil.copy(FIXTURES / "logs" / f"{name}.enriched.clone.log", tmp_path / host / "audit.log")
    # One that is cut off, and the same twice.
    packed = gzip.compress((FIXTURES / "logs" / "crond.enriched.clone.log").read_bytes())
    (tmp_path / "b" / "audit.log.1.gz").write_bytes(packed[: len(packed) // 2])
    shutil.copytree(tmp_path / "c", tmp_path / "e")
    one = alerts_and_counts([tmp_path], 1)
    assert len(one[0]) > 10
    assert one[2]
    for jobs in (2, 8):
        assert alerts_and_counts([tmp_path], jobs) == one


def test_the_api_takes_a_number_of_processes() -> None:
    alerts = [list(auditrule.replay(FIXTURES / "logs", jobs=jobs)) for jobs in (1, 3)]
    assert len(alerts[0]) > 100
    assert alerts[0] == alerts[1]


def in_parts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def screened(*args: object, **more: object) -> ScreenedFile:
        return ScreenedFile(*args, part_size=size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(replaying, "_LARGE", 0)
    monkeypatch.setattr(screening, "ScreenedFile", screened)


@pytest.mark.parametrize("size", [100, 5000, 1 << 20])
def test_a_line_that_is_too_long_and_one_without_its_newline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    log = tmp_path / "audit.log"
    good = (FIXTURES / "logs" / "parents.enriched.clone.log").read_bytes()
    log.write_bytes(good + b"type=" + b"x" * (3 << 20) + b"\n\n" + good[:-1])
    one = alerts_and_counts([log], 1)
    assert one[1].endswith(" 1")
    in_parts(monkeypatch, size)
    for jobs in (2, 5):
        assert alerts_and_counts([log], jobs) == one


@pytest.mark.parametrize("size", [1.0, 0.9])
def test_an_archive_is_unpacked_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: float
) -> None:
    good = (FIXTURES / "logs" / "dpkg.enriched.clone.log").read_bytes()
    packed = gzip.compress(good)
    (tmp_path / "audit.log.gz").write_bytes(packed[: int(size * len(packed))])
    one = alerts_and_counts([tmp_path / "audit.log.gz"], 1)
    assert one[0]
    assert bool(one[2]) is (size < 1)
    monkeypatch.setattr(replaying, "_LARGE_ARCHIVE", 0)
    assert alerts_and_counts([tmp_path / "audit.log.gz"], 2) == one


def test_an_empty_log_has_no_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"")
    in_parts(monkeypatch, 1000)
    assert alerts_and_counts([log], 2) == alerts_and_counts([log], 1)


@pytest.mark.parametrize("option", ["--jobs=1", "-j3"])
def test_the_command_takes_a_number_of_processes(tmp_path: Path, option: str) -> None:
    command = [*REPLAY, option]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count('"kind":"alert"') == 5
    assert "5 alerts" in done.stderr


def test_no_number_of_processes_is_an_error() -> None:
    command = [*REPLAY, "--jobs", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--jobs" in done.stderr
