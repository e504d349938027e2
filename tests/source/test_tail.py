"""Every line once and in order, whatever becomes of the file: stepped by hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditrule.source import succession
from auditrule.source import tail as tail_module
from auditrule.source.errors import SourceError
from auditrule.source.rotation import find_successor
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE = 60.0


class _Writer:
    """Appends to a log and rotates it in the order of steps that auditd takes (rotate_logs())."""

    def __init__(self, path: Path, num_logs: int = 99) -> None:
        self.path = path
        self.num_logs = num_logs
        self.reopen()

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def rename(self) -> None:
        os.close(self._fd)
        for number in range(self.num_logs - 1, 1, -1):
            if self.numbered(number - 1).exists():
                self.numbered(number - 1).rename(self.numbered(number))
        self.path.rename(self.numbered(1))

    def reopen(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def rotate(self) -> None:
        self.rename()
        self.reopen()

    def truncate(self) -> None:
        os.ftruncate(self._fd, 0)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwatched:
        means = "none"

        def __init__(self, log: Path, notify: Callable[[], None]) -> None: ...
        def ensure(self) -> None: ...
        def pause(self) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr(tail_module, "FolderWatch", Unwatched)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    return tmp_path / "audit" / "audit.log"


def _drain(tail: Tail) -> list[bytes]:
    lines = []
    while batch := tail.read(0):
        lines += batch
    return lines


def _wait_for(tail: Tail, count: int) -> list[bytes]:
    lines: list[bytes] = []
    while len(lines) < count:
        batch = tail.read(_MINUTE)
        assert batch
        lines += batch
    return lines


def test_following_begins_at_the_end_or_at_the_beginning(log: Path) -> None:
    log.write_bytes(b"old\n")
    with Tail(log) as at_end, Tail(log, start="beginning") as at_start:
        _Writer(log).write(b"new\n")
        assert _drain(at_end) == [b"new"]
        assert _drain(at_start) == [b"old", b"new"]


def test_a_line_that_is_being_written_at_the_start_is_given_whole(log: Path) -> None:
    log.write_bytes(b"old\nhalf")
    with Tail(log) as tail:
        assert _drain(tail) == []
        _Writer(log).write(b" and half\n")
        assert _drain(tail) == [b"half and half"]


def test_a_first_line_beyond_the_limit_is_not_searched_without_end(log: Path) -> None:
    log.write_bytes(b"x" * 300_000)
    with Tail(log, max_line=100) as tail:
        _Writer(log).write(b"\nnext\n")
        assert _drain(tail)[-1:] == [b"next"]


def test_a_log_that_is_not_there_yet_is_read_from_its_beginning(log: Path) -> None:
    with Tail(log) as tail:
        assert _drain(tail) == []
        assert (tail.position.file.head, tail.position.offset) == (b"", 0)
        _Writer(log).write(b"first\n")
        assert _drain(tail) == [b"first"]


def test_a_log_that_appeared_and_was_rotated_before_the_first_look_is_read(log: Path) -> None:
    old = log.with_name("audit.log.7")
    old.write_bytes(b"from before\n")
    with Tail(log) as tail:
        writer = _Writer(log)
        writer.write(b"one\n")
        writer.rotate()
        writer.write(b"two\n")
        assert _drain(tail) == [b"one", b"two"]


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "later" / "audit.log"
    with Tail(log) as tail:
        assert _drain(tail) == []
        log.parent.mkdir()
        log.write_bytes(b"first\n")
        assert _drain(tail) == [b"first"]


@pytest.mark.parametrize("rotations", [1, 2, 3, 12])
def test_rotations_between_two_looks_lose_nothing(log: Path, rotations: int) -> None:
    writer = _Writer(log)
    writer.write(b"0\n")
    with Tail(log, start="beginning") as tail:
        assert _drain(tail) == [b"0"]
        for number in range(rotations):
            writer.write(b"%d before\n" % number)
            writer.rotate()
            writer.write(b"%d after\n" % number)
        expected = [b"%d %b" % (n, w) for n in range(rotations) for w in (b"before", b"after")]
        assert _drain(tail) == expected
        assert tail.status().rotations == rotations
        assert tail.status().gaps == 0


def test_a_last_line_without_newline_at_the_end_of_a_rotated_file_is_a_line(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"one\ntorn")
        assert _drain(tail) == [b"one"]
        writer.rotate()
        writer.write(b"next\n")
        assert _drain(tail) == [b"torn", b"next"]


def test_a_writer_that_goes_on_in_the_renamed_file_is_followed_until_it_moves(log: Path) -> None:
    # logrotate's create, before its postrotate has told the writer to reopen.
    writer = _Writer(log)
    with Tail(log) as tail:
        log.rename(writer.numbered(1))
        log.touch()
        writer.write(b"late ")
        assert _drain(tail) == []
        writer.write(b"but here\n")
        assert _drain(tail) == [b"late but here"]
        writer.close()
        writer.reopen()
        writer.write(b"moved\n")
        assert _drain(tail) == [b"moved"]


def test_between_the_two_halves_of_a_rotation_nothing_is_lost(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"one\n")
        writer.rename()
        assert _drain(tail) == [b"one"]
        assert _drain(tail) == []
        writer.reopen()
        assert _drain(tail) == []
        writer.write(b"two\n")
        assert _drain(tail) == [b"two"]


def test_a_log_emptied_in_place_is_read_from_its_start(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"one, rather long\n")
        assert _drain(tail) == [b"one, rather long"]
        writer.truncate()
        writer.write(b"two\n")
        assert _drain(tail) == [b"two"]
        assert tail.status().truncations == 1


def test_a_log_emptied_and_grown_beyond_the_old_place_is_read_from_its_start(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"one\n")
        assert _drain(tail) == [b"one"]
        writer.truncate()
        writer.write(b"two\nthree\nfour\n")
        assert _drain(tail) == [b"two", b"three", b"four"]
        assert tail.status().truncations == 1


def test_what_was_rotated_before_the_start_is_never_read(log: Path) -> None:
    for number in (1, 2, 3):
        log.with_name(f"audit.log.{number}").write_bytes(b"ancient %d\n" % number)
    writer = _Writer(log, num_logs=3)
    with Tail(log) as tail:
        for number in range(10):
            writer.write(b"%d\n" % number)
            writer.rotate()
            assert _drain(tail) == [b"%d" % number]
        assert tail.status().gaps == 0


def test_rotated_away_for_good_is_said_and_the_oldest_that_is_left_comes_next(log: Path) -> None:
    writer = _Writer(log, num_logs=3)
    with Tail(log) as tail:
        writer.write(b"0\n")
        assert _drain(tail) == [b"0"]
        for number in range(1, 6):
            writer.rotate()
            writer.write(b"%d\n" % number)
        assert _wait_for(tail, 3) == [b"3", b"4", b"5"]
        assert tail.status().gaps == 1


def test_a_rotated_file_that_was_removed_is_said_and_passed_over(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        for number in range(4):
            writer.write(b"%d\n" % number)
            if number == 0:
                assert _drain(tail) == [b"0"]
            writer.rotate()
        writer.write(b"4\n")
        writer.numbered(3).unlink()
        assert _wait_for(tail, 3) == [b"2", b"3", b"4"]
        assert tail.status().gaps == 1


def test_a_rotation_in_full_swing_is_not_taken_for_a_removed_file(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        for number in range(3):
            writer.write(b"%d\n" % number)
            if number == 0:
                assert _drain(tail) == [b"0"]
            if number < 2:
                writer.rotate()
        # auditd begins with the highest number.
        writer.numbered(2).rename(writer.numbered(3))
        assert _drain(tail) == []
        writer.numbered(1).rename(writer.numbered(2))
        assert _drain(tail) == [b"1"]
        log.rename(writer.numbered(1))
        assert _drain(tail) == [b"2"]
        assert tail.status().gaps == 0


def test_a_line_written_just_before_the_new_file_was_seen_is_given_first(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]

        def rotate_first(*arguments: Any) -> Any:
            monkeypatch.setattr(succession, "find_successor", find_successor)
            writer.write(b"2\n")
            writer.rotate()
            writer.write(b"3\n")
            return find_successor(*arguments)

        monkeypatch.setattr(succession, "find_successor", rotate_first)
        assert _drain(tail) == [b"2", b"3"]


def test_a_copy_that_takes_the_place_of_the_file_read_is_not_read_again(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"1\n")
        assert _drain(tail) == [b"1"]
        shutil.copy(log, writer.numbered(1))
        log.unlink()
        _Writer(log).write(b"2\n")
        assert _wait_for(tail, 1) == [b"2"]


def test_names_with_dates_are_followed_too(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        for day in (1, 2, 3):
            writer.write(b"%d\n" % day)
            log.rename(log.with_name(f"audit.log-2024010{day}"))
            writer.close()
            writer.reopen()
        writer.write(b"4\n")
        assert _drain(tail) == [b"1", b"2", b"3", b"4"]
        assert tail.status().gaps == 0


def test_compressed_neighbours_are_left_alone(log: Path) -> None:
    writer = _Writer(log)
    writer.write(b"old\n")
    with Tail(log) as tail:
        writer.write(b"1\n")
        writer.rotate()
        log.with_name("audit.log.2.gz").write_bytes(b"\x1f\x8b rubbish\n")
        writer.write(b"2\n")
        assert _drain(tail) == [b"1", b"2"]


def test_a_replaced_folder_is_followed_from_its_beginning(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        writer.write(b"old folder\n")
        assert _drain(tail) == [b"old folder"]
        log.parent.rename(log.parent.with_name("moved-away"))
        assert _drain(tail) == []
        log.parent.mkdir()
        _Writer(log).write(b"new folder\n")
        assert _wait_for(tail, 1) == [b"new folder"]


def test_a_copied_folder_does_not_bring_old_lines_again(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log) as tail:
        for number in range(3):
            writer.write(b"%d\n" % number)
            writer.rotate()
        writer.write(b"3\n")
        assert len(_drain(tail)) == 4
        away = log.parent.with_name("moved-away")
        log.parent.rename(away)
        shutil.copytree(away, log.parent)
        log.unlink()
        _Writer(log).write(b"4\n")
        assert _wait_for(tail, 1) == [b"4"]


def test_a_log_that_cannot_be_opened_at_first_is_an_error(log: Path) -> None:
    log.mkdir()
    with pytest.raises(SourceError, match="is a directory"):
        Tail(log)
    log.rmdir()
    os.mkfifo(log)
    with pytest.raises(SourceError, match="not a regular file"):
        Tail(log)


def test_a_new_log_that_may_not_be_read_yet_is_a_problem_and_not_a_loss(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _Writer(log)
    writer.write(b"before\n")
    with Tail(log) as tail:
        writer.write(b"one\n")
        writer.rotate()
        writer.write(b"two\n")
        with monkeypatch.context() as refusing:

            def refuse(path: Path) -> int:
                raise PermissionError(13, "Permission denied")

            refusing.setattr(succession, "open_regular", refuse)
            assert _drain(tail) == [b"one"]
            assert tail.status().problem == "permission denied"
        assert _drain(tail) == [b"two"]
        assert tail.status().problem is None


def test_a_failing_disk_is_the_one_error(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"one\n")
    with Tail(log, start="beginning") as tail:

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(SourceError, match="input/output error"):
            tail.read(0)


def test_position_and_lag_count_what_is_not_given_yet(log: Path) -> None:
    writer = _Writer(log)
    writer.write(b"old\n")
    with Tail(log) as tail:
        writer.write(b"one\nha")
        assert tail.status().lag == 6
        assert _drain(tail) == [b"one"]
        position = tail.position
        assert (position.path, position.offset) == (log, 8)
        assert (position.file.inode, position.file.head) == (log.stat().st_ino, b"old")
        assert tail.status().lag == 2
        writer.rotate()
        writer.write(b"12345\n")
        writer.rotate()
        writer.write(b"1234567\n")
        assert tail.status().lag == 2 + 6 + 8
        _drain(tail)
        assert tail.status().lag == 0


def test_one_read_takes_a_bounded_batch_and_the_next_one_does_not_wait(log: Path) -> None:
    line = b"x" * 99 + b"\n"
    log.write_bytes(line * 50_000)
    with Tail(log, start="beginning") as tail:
        batches = []
        while batch := tail.read(0):
            batches.append(len(batch))
        assert sum(batches) == 50_000
        assert max(batches) * len(line) <= (1 << 20) + len(line)


def test_overlong_lines_are_counted_across_files(log: Path) -> None:
    writer = _Writer(log)
    with Tail(log, max_line=5) as tail:
        writer.write(b"too long\nok\n")
        writer.rotate()
        writer.write(b"too long again\nfine\n")
        assert _drain(tail) == [b"ok", b"fine"]
        assert (tail.counts.lines, tail.counts.overlong) == (2, 2)


def test_a_closed_tail_gives_its_descriptors_back_and_reads_no_more(log: Path) -> None:
    log.touch()
    tail = Tail(log)
    tail.close()
    tail.wake()
    with pytest.raises(ValueError, match="closed"):
        tail.read(0)
    del tail
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        Tail(log).close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_is_known_of_older_files_does_not_grow_with_the_rotations(log: Path) -> None:
    writer = _Writer(log, num_logs=3)
    with Tail(log) as tail:
        for number in range(500):
            writer.write(b"%d\n" % number)
            writer.rotate()
            tail.read(0)
        assert len(tail._files.older) < 200


_STEPS = st.lists(
    st.sampled_from(
        ["line", "line", "lines", "part", "rotate", "rename", "look", "drain", "empty"]
    ),
    max_size=40,
)


class _Story:
    """A writer's deeds, the lines that they must give, and a tail that looks now and then."""

    def __init__(self, log: Path) -> None:
        self.writer = _Writer(log)
        self.tail = Tail(log)
        self.expected: list[bytes] = []
        self.given: list[bytes] = []
        self._unfinished = b""
        self._renamed = False
        self._number = 0

    def run(self, step: str) -> None:
        if self._renamed and step not in ("look", "drain"):
            self.writer.reopen()
            self._renamed = False
        getattr(self, step)()

    def part(self) -> None:
        self._number += 1
        piece = b"<%d>" % self._number
        self.writer.write(piece)
        self._unfinished += piece

    def line(self) -> None:
        self.part()
        self.writer.write(b"\n")
        self._finish()

    def lines(self) -> None:
        for _ in range(3):
            self.line()

    def _finish(self) -> None:
        if self._unfinished:
            self.expected.append(self._unfinished)
        self._unfinished = b""

    def rename(self) -> None:
        self.writer.rename()
        self._renamed = True
        self._finish()

    def rotate(self) -> None:
        self.rename()
        self.writer.reopen()
        self._renamed = False

    def look(self) -> None:
        self.given += self.tail.read(0)

    def drain(self) -> None:
        self.given += _drain(self.tail)

    def empty(self) -> None:
        # What was not read before is lost with the file: no tail can help that.
        self.line()
        self.drain()
        self.writer.truncate()

    def end(self) -> None:
        self.run("line")
        self.drain()
        self.tail.close()
        self.writer.close()


@settings(max_examples=300, deadline=None)
@given(steps=_STEPS)
def test_every_line_comes_once_and_in_order_in_every_story(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = _Story(Path(folder) / "audit.log")
        for step in steps:
            story.run(step)
        story.end()
        assert story.given == story.expected
        assert story.tail._gaps == 0


def test_a_tail_is_drained_when_all_that_is_written_was_given(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"1\n2\n")
    with Tail(log, start="beginning") as tail:
        states = [tail.is_drained]
        assert tail.read(0) == [b"1", b"2"]
        states.append(tail.is_drained)
        with log.open("ab") as file:
            file.write(b"half a line")
        assert tail.read(0) == []
        states.append(tail.is_drained)
    assert states == [False, True, False]


def test_a_tail_whose_place_is_not_found_yet_is_not_drained(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"1\n")
    with Tail(log, start="beginning") as tail:
        tail.read(0)
        position = tail.position
    log.unlink()
    with Tail(log, resume=position) as tail:
        assert tail.read(0) == []
        assert not tail.is_drained
