"""Rotations under a running tail: copies, archives, holes, and what may never be read again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from rotating_log import PACKERS, RotatingLog

from auditrule.source import files, opened, succession
from auditrule.source import tail as tail_module
from auditrule.source.files import list_files
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    class Unwatched:
        means = "none"

        def __init__(self, log: Path, notify: Callable[[], None]) -> None: ...
        def ensure(self) -> None: ...
        def pause(self) -> None: ...
        def close(self) -> None: ...

    time = _Clock()
    monkeypatch.setattr(tail_module, "FolderWatch", Unwatched)
    for module in (tail_module, succession, opened):
        monkeypatch.setattr(module, "time", time)
    return time


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    return tmp_path / "audit" / "audit.log"


def _drain(tail: Tail) -> list[bytes]:
    lines = []
    while batch := tail.read(0):
        lines += batch
    return lines


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("dated", [False, True])
def test_oldest_reads_all_that_is_retained_and_then_the_log(
    log: Path, suffix: str, dated: bool
) -> None:
    writer = RotatingLog(log, dated=dated)
    for number in range(4):
        writer.write(b"%d\n" % number)
        writer.rotate()
    writer.compress(3, suffix)
    writer.compress(2, suffix)
    writer.write(b"4\n")
    with Tail(log, start="oldest") as tail:
        assert _drain(tail) == [b"0", b"1", b"2", b"3", b"4"]
        writer.write(b"5\n")
        assert _drain(tail) == [b"5"]
        assert tail.gaps == 0


def test_oldest_without_a_log_gives_the_rotated_files(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    writer.rename()
    with Tail(log, start="oldest") as tail:
        assert _drain(tail) == [b"1"]
        writer.reopen()
        writer.write(b"2\n")
        assert _drain(tail) == [b"2"]


def test_holes_between_files_that_were_there_at_the_start_are_no_gaps(log: Path) -> None:
    writer = RotatingLog(log)
    for number in range(5):
        writer.write(b"%d\n" % number)
        writer.rotate()
    writer.numbered(3).unlink()
    writer.write(b"5\n")
    with Tail(log, start="oldest") as tail:
        assert _drain(tail) == [b"0", b"1", b"3", b"4", b"5"]
        assert tail.gaps == 0


def test_a_log_that_holds_its_one_line_twice_as_a_copy_and_live_is_read_once(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    writer.copy()
    writer.write(b"2\n")
    with Tail(log, start="oldest") as tail:
        assert _drain(tail) == [b"1", b"2"]
        writer.copytruncate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"3"]
        assert tail.gaps == 0


@pytest.mark.parametrize("suffix", ["", *PACKERS])
@pytest.mark.parametrize("rotations", [1, 2, 3])
@pytest.mark.parametrize("way", ["rotate", "copytruncate"])
def test_several_rotations_between_two_looks_compressed_meanwhile(
    log: Path, rotations: int, suffix: str, way: str
) -> None:
    writer = RotatingLog(log)
    writer.write(b"old\n")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == [b"old"]
        expected = []
        for number in range(rotations):
            writer.write(b"%d\n" % number)
            expected.append(b"%d" % number)
            getattr(writer, way)()
            if suffix:
                writer.compress(suffix=suffix)
        writer.write(b"now, and longer than anything before\n")
        assert _drain(tail) == [*expected, b"now, and longer than anything before"]
        assert tail.gaps == 0
        assert tail.position.offset == log.stat().st_size


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_rest_of_half_a_line_at_the_cut_is_in_the_copy(log: Path, suffix: str) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\nha")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == [b"1"]
        writer.write(b"lf\n2\n")
        writer.copytruncate()
        if suffix:
            writer.compress(suffix=suffix)
        writer.write(b"3\n")
        assert _drain(tail) == [b"half", b"2", b"3"]
        assert (tail.status().truncations, tail.status().rotations, tail.gaps) == (1, 0, 0)


def test_a_file_without_a_whole_line_is_found_in_its_copy(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"old\n")
    writer.rotate()
    writer.write(b"ha")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == []
        writer.write(b"lf\n2\n")
        writer.copytruncate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"half", b"2", b"3"]
        assert tail.gaps == 0


def test_an_empty_log_that_was_filled_and_copied_unseen_is_read_from_the_copies(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"older\n")
    writer.copytruncate()
    with Tail(log) as tail:
        assert _drain(tail) == []
        for number in range(3):
            writer.write(b"%d\n" % number)
            writer.copytruncate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"0", b"1", b"2", b"3"]


def test_what_was_read_before_copytruncate_lost_it_is_not_read_twice(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        writer.copy()
        writer.write(b"2, which the copy has not\n")
        assert _drain(tail) == [b"2, which the copy has not"]
        writer.truncate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"3"]
        assert tail.gaps == 0


def _backlog(writer: RotatingLog) -> list[bytes]:
    """Write more than one read takes, and return it."""
    lines = [b"%06d" % number for number in range(200_000)]
    writer.write(b"\n".join(lines) + b"\n")
    return lines


def test_a_rest_that_was_seen_and_that_the_copy_has_not_is_a_gap(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"older\n")
    writer.copytruncate()
    with Tail(log) as tail:
        lines = _backlog(writer)
        copied = writer.copy()
        first = tail.read(0)
        copied.write_bytes(copied.read_bytes()[: 7 * len(first) + 14])
        writer.truncate()
        writer.write(b"after\n")
        assert tail.read(0) == lines[len(first) : len(first) + 2]
        assert tail.gaps == 0
        assert tail.read(0) == [b"after"]
        assert tail.gaps == 1


def test_a_rest_that_was_seen_and_is_in_no_copy_is_a_gap(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        _backlog(writer)
        tail.read(0)
        writer.truncate()
        writer.write(b"after\n")
        before = tail.read(0)
        # Half a line was taken with the first block; it is from before the gap.
        assert b"after" not in before
        assert tail.gaps == 0
        assert tail.read(0) == [b"after"]
        assert tail.gaps == 1


def test_a_log_emptied_long_after_it_was_last_looked_at_is_a_gap(log: Path, clock: _Clock) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        clock.now += 60
        writer.truncate()
        writer.write(b"2\n")
        assert tail.read(0) == [b"2"]
        assert tail.gaps == 1


def test_a_log_emptied_just_after_all_was_read_is_no_gap(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        writer.truncate()
        assert _drain(tail) == []
        writer.write(b"2\n")
        assert _drain(tail) == [b"2"]
        assert tail.gaps == 0


def test_an_empty_log_whose_first_lines_were_copied_away_for_good_is_a_gap(
    log: Path, clock: _Clock
) -> None:
    writer = RotatingLog(log, num_logs=2)
    with Tail(log) as tail:
        assert _drain(tail) == []
        for number in range(3):
            writer.write(b"%d\n" % number)
            writer.copytruncate()
        writer.write(b"3\n")
        assert (tail.read(0), tail.gaps) == ([], 0)
        clock.now += succession.SETTLE
        assert (tail.read(0), tail.gaps) == ([b"2"], 1)
        assert (_drain(tail), tail.gaps) == ([b"3"], 1)


def test_a_copy_of_an_empty_log_that_was_filled_unseen_is_read_before_the_renamed_log(
    log: Path,
) -> None:
    writer = RotatingLog(log)
    writer.write(b"older\n")
    writer.copytruncate()
    with Tail(log) as tail:
        assert _drain(tail) == []
        writer.write(b"1\n")
        writer.copytruncate()
        writer.write(b"2\n")
        writer.rotate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"1", b"2", b"3"]
        assert tail.gaps == 0


def test_after_copytruncate_a_log_made_anew_does_not_bring_old_files_again(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        for number in range(3):
            writer.write(b"%d\n" % number)
            assert _drain(tail) == [b"%d" % number]
            writer.copytruncate()
        writer.write(b"3\n")
        assert _drain(tail) == [b"3"]
        log.unlink()
        writer.move()
        writer.write(b"4\n")
        assert _drain(tail) == [b"4"]
        assert tail.gaps == 0


def test_after_a_copy_was_left_unseen_a_log_made_anew_does_not_bring_it(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"older\n")
    writer.copytruncate()
    with Tail(log) as tail:
        writer.write(b"1\n")
        writer.copytruncate()
        assert _drain(tail) == [b"1"]
        log.unlink()
        writer.move()
        writer.write(b"2\n")
        assert _drain(tail) == [b"2"]


def test_an_archive_in_the_making_is_not_read_beside_its_original(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"0\n")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == [b"0"]
        for number in range(1, 3):
            writer.rotate()
            writer.write(b"%d\n" % number)
        whole = PACKERS[".gz"](writer.numbered(1).read_bytes())
        for size in (0, 1, 9, 12, len(whole) - 3, len(whole)):
            writer.numbered(1, ".gz").write_bytes(whole[:size])
            assert [f.path.name for f in list_files(log) if not f.packed] == [
                "audit.log.2",
                "audit.log.1",
                "audit.log",
            ]
        writer.numbered(1, ".gz").write_bytes(whole[:12])
        assert _drain(tail) == [b"1", b"2"]
        assert tail.gaps == 0


def test_a_damaged_archive_gives_what_it_has_and_is_a_gap(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"0\n")
        assert _drain(tail) == [b"0"]
        writer.rotate()
        _backlog(writer)
        writer.rotate()
        writer.write(b"after\n")
        packed = PACKERS[".gz"](writer.numbered(1).read_bytes())
        writer.numbered(1).unlink()
        writer.numbered(1, ".gz").write_bytes(packed[: len(packed) // 2])
        lines: list[bytes] = []
        while (batch := tail.read(0)) != [b"after"]:
            assert batch
            assert tail.gaps == 0
            lines += batch
        assert lines[:3] == [b"000000", b"000001", b"000002"]
        assert tail.gaps == 1


def test_an_archive_that_is_none_is_a_gap(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"0\n")
        assert _drain(tail) == [b"0"]
        writer.rotate()
        writer.write(b"1\n")
        writer.rotate()
        writer.numbered(1).unlink()
        writer.numbered(1, ".gz").write_bytes(b"\x1f\x8b rubbish")
        writer.write(b"2\n")
        assert _drain(tail) == [b"2"]
        assert tail.gaps == 1


def test_a_gap_is_counted_in_the_read_that_gives_the_first_line_behind_it(
    log: Path, clock: _Clock
) -> None:
    writer = RotatingLog(log, num_logs=3)
    with Tail(log) as tail:
        writer.write(b"0\ntorn")
        assert tail.read(0) == [b"0"]
        for number in range(1, 6):
            writer.rotate()
            writer.write(b"%d\n" % number)
        # It might be a renaming in progress.
        assert (tail.read(0), tail.gaps) == ([], 0)
        clock.now += succession.SETTLE
        # The end of what is gone is from before the gap.
        assert (tail.read(0), tail.gaps) == ([b"torn"], 0)
        assert (tail.read(0), tail.gaps) == ([b"3"], 1)
        assert (_drain(tail), tail.gaps) == ([b"4", b"5"], 1)


def test_an_old_file_restored_among_the_younger_ones_is_not_read(log: Path) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"0\n")
        assert _drain(tail) == [b"0"]
        writer.rotate()
        old = writer.numbered(1).read_bytes()
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        writer.rotate()
        writer.write(b"2\n")
        writer.rotate()
        shutil.move(writer.numbered(1), writer.numbered(1).with_name("audit.log.0"))
        writer.numbered(1).write_bytes(old)
        writer.write(b"3\n")
        assert _drain(tail) == [b"2", b"3"]


def test_an_empty_rotated_file_is_passed_over(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"0\n")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == [b"0"]
        writer.rotate()
        writer.rotate()
        writer.rotate()
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        assert tail.gaps == 0


def test_a_log_truncated_between_the_look_and_the_reading_is_not_mixed_up(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RotatingLog(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        read = os.pread

        def truncate_first(fd: int, size: int, offset: int) -> bytes:
            monkeypatch.setattr(os, "pread", read)
            writer.write(b"2\n")
            writer.copytruncate()
            writer.write(b"3, which begins elsewhere\n")
            return read(fd, size, offset)

        monkeypatch.setattr(os, "pread", truncate_first)
        assert _drain(tail) == [b"2", b"3, which begins elsewhere"]


def test_a_listing_starts_again_when_a_file_in_it_is_compressed_meanwhile(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    writer.rotate()
    examine = files._examine

    def compress_first(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(files, "_examine", examine)
        writer.compress()
        return examine(*arguments, **more)

    monkeypatch.setattr(files, "_examine", compress_first)
    assert [(file.path.name, file.key) for file in list_files(log)] == [
        ("audit.log.1.gz", b"1"),
        ("audit.log", b""),
    ]


def test_an_archive_is_decoded_once_for_its_first_line(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    writer.rotate()
    writer.compress(suffix=".bz2")
    os.utime(writer.numbered(1, ".bz2"), (1e9, 1e9))
    before = list_files(log)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(files, "LogStream", refuse)
    assert list_files(log) == before
    assert list_files(log)[0].key == b"1"
