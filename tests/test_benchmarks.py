"""The benchmarks run, and measure what they say: on a small size, whatever tools are there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from benchmarks import competitors
from benchmarks.cli import main
from benchmarks.comparison import GOALS
from benchmarks.contents import Contents
from benchmarks.running import Command, FailedError
from benchmarks.workload import Shape, Workload, write_log

from auditrule.api import read_events, replay
from auditrule.audit.record import EventId, Record

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 600_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workload") / "audit.log"
    write_log(path, SIZE, Shape(execs_per_match=20))
    return path


@pytest.fixture(scope="module")
def records(log: Path) -> list[Record]:
    return [Record.parse(line) for line in log.read_bytes().splitlines()]


def test_a_log_is_of_the_size_and_the_share_of_execs_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for records_per_exec in (8.5, 24.7, 200):
        written = write_log(path, SIZE, Shape(records_per_exec=records_per_exec))
        assert SIZE <= path.stat().st_size == written.size < SIZE + 40_000
        assert written.records / written.execs == pytest.approx(records_per_exec, rel=0.1)
        found = Contents.count(path)
        assert (found.size, found.records, found.execs) == (
            written.size,
            written.records,
            written.execs,
        )
        assert found.records / found.seconds == pytest.approx(Shape().rate, rel=0.1)


def test_a_log_is_the_same_for_the_same_seed() -> None:
    same, again, other = (b"".join(Workload(Shape(seed=seed)).chunks(SIZE)) for seed in (1, 1, 2))
    assert same == again
    assert same != other


def test_every_record_reads_as_a_captured_one_does(records: list[Record]) -> None:
    kinds = Counter(record.type for record in records)
    assert {"SYSCALL", "EXECVE", "CWD", "PATH", "PROCTITLE", "SOCKADDR", "USER_START"} <= set(kinds)
    for record in records:
        assert record.fields
        assert b"%" not in record.line
        assert "" not in [field.name for field in record.fields]


def test_every_event_is_whole_and_has_a_serial_of_its_own(records: list[Record]) -> None:
    by_serial: dict[int, set[EventId]] = defaultdict(set)
    by_event: dict[EventId, list[str]] = defaultdict(list)
    for record in records:
        by_serial[record.event_id.serial].add(record.event_id)
        by_event[record.event_id].append(record.type)
    assert all(len(events) == 1 for events in by_serial.values())
    for kinds in by_event.values():
        if "SYSCALL" in kinds:
            assert (kinds[0], kinds[-1]) == ("SYSCALL", "PROCTITLE")
        if "EXECVE" in kinds:
            assert {"CWD", "PATH"} <= set(kinds)


def test_events_of_several_programs_interleave(records: list[Record]) -> None:
    changes = sum(before.event_id != after.event_id for before, after in pairwise(records))
    assert changes > len({record.event_id for record in records})


def test_the_times_rise_with_the_serials_but_for_late_records_of_forks(
    records: list[Record],
) -> None:
    calls = {"56": "clone", "57": "fork", "58": "vfork", "435": "clone3"}
    latest = late = 0
    firsts = {record.event_id.serial: record for record in reversed(records)}
    for _, record in sorted(firsts.items()):
        time_ms = record.event_id.time_ms
        if time_ms < latest:
            assert record.token("syscall") in calls
            late += 1
        latest = max(latest, time_ms)
    assert 0 < late < len(firsts) / 20


def test_a_copy_has_pids_of_its_own_that_fit_together(log: Path) -> None:
    known = Counter(document.process.parent is not None for document in read_events(log))
    pids = [document.process.pid for document in read_events(log)]
    assert known[True] > 5 * known[False]
    assert len(set(pids)) > 0.6 * len(pids)


@pytest.mark.parametrize("records_per_exec", [8, 24.7])
def test_the_bundled_rule_tells_as_many_execs_as_was_asked_for(
    tmp_path: Path, records_per_exec: float
) -> None:
    path = tmp_path / "audit.log"
    shape = Shape(records_per_exec=records_per_exec, execs_per_match=15)
    written = write_log(path, SIZE, shape)
    assert written.matches == pytest.approx(written.execs / 15, abs=1)
    assert written.matches > 3
    assert len(list(replay(path))) == written.matches


def test_without_matches_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    write_log(path, SIZE, Shape(execs_per_match=0))
    assert list(replay(path)) == []


def test_a_comparison_prints_our_rows_and_judges_the_goals(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--log", str(log), "--runs", "1", "--folder", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    for name in (competitors.REPLAY, competitors.REPLAY_GZ, competitors.GREP):
        assert re.search(rf"^\| {re.escape(name)} \| [0-9.]+ \|", table, re.MULTILINE), table
    goal = next(goal for goal in GOALS if goal.fast == competitors.GREP)
    assert re.search(rf"^\| {goal.what} \|.* (yes|no) \|$", table, re.MULTILINE)
    for name, tool in ((competitors.LAUREL, "laurel"), (competitors.AUSEARCH, "ausearch")):
        assert (f"| {name} |" in table) != bool(re.search(rf"not installed: .*{tool}", table))
    assert list(tmp_path.iterdir()) == []


def test_what_a_command_takes_is_its_own(tmp_path: Path) -> None:
    burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done"
    taken = Command("burn", ("/bin/sh", "-c", burn), tmp_path / "scratch").run()
    assert 0 < taken.cpu < taken.wall + 0.05
    assert taken.peak < 20_000_000
    assert (tmp_path / "scratch" / "output").read_bytes() == b"done\n"


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    command = Command("bad", ("/bin/sh", "-c", "echo why >&2; exit 3"), tmp_path / "scratch")
    with pytest.raises(FailedError, match="bad failed: why"):
        command.run()


def test_starts_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["startup", "--runs", "1", "--folder", str(tmp_path)]) == 0
    assert "`auditrule --version` |" in capsys.readouterr().out


def test_growth_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "scaling --sizes 0.1 0.2 --shares 8 30 --rates 500 --counts 1 3 --size 0.1 --runs 1"
    assert main([*words.split(), "--folder", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    for row in ("0.1 MB |", "0.2 MB |", "500 |", "1, 1 of", "3, 3 of"):
        assert f"\n| {row}" in table


@pytest.mark.long
def test_the_live_daemon_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "live --rates 50 --seconds 2 --matches 20 --idle 1"
    assert main([*words.split(), "--folder", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "| alerts lost | 0 |" in table
    assert "| alerts | 41 |" in table


def test_what_many_rules_cost_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--runs", "1"]) == 0
    assert "| many rules |" in capsys.readouterr().out
