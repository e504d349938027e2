"""The alert file's own rotation: when, to which names, and killed at any point."""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from alert_documents import SECONDS, Paper, dies_at, files_of, numbers_in

from auditrule.alerts.file import AlertFile
from auditrule.alerts.rotating import Rotation
from auditrule.alerts.written import written_since

# One paper is larger than this, so that each has a file of its own.
TINY = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.ndjson"


def alert_file(path: Path, **options: object) -> AlertFile:
    chosen = {"rotate_size": TINY, "keep": 99, "background": False, **options}
    return AlertFile(path, **chosen)  # type: ignore[arg-type]


def names(path: Path) -> list[str]:
    return sorted(each.name.removeprefix(path.name) for each in path.parent.iterdir())


def put(path: Path, suffix: str, number: int) -> Path:
    """Make a rotated file that holds one paper."""
    file = path.with_name(path.name + suffix)
    line = Paper(number).line
    file.write_bytes(gzip.compress(line) if suffix.endswith(".gz") else line)
    return file


def test_a_file_is_rotated_before_a_line_would_make_it_too_large(path: Path) -> None:
    size = len(Paper(0).line)
    with alert_file(path, rotate_size=3 * size, compress=False) as file:
        for number in range(7):
            file.write(Paper(number))
    assert [each.stat().st_size for each in files_of(path)] == [3 * size, 3 * size, size]
    assert numbers_in(path) == list(range(7))


def test_a_file_takes_one_line_however_large(path: Path) -> None:
    with alert_file(path, compress=False) as file:
        file.write(Paper(0, size=1000))
    assert names(path) == [""]


def test_the_newest_rotated_file_stays_plain_and_the_others_are_compressed(path: Path) -> None:
    with alert_file(path) as file:
        for number in range(5):
            file.write(Paper(number))
    assert names(path) == ["", ".1", ".2.gz", ".3.gz", ".4.gz"]
    assert numbers_in(path) == [0, 1, 2, 3, 4]


def test_compression_in_the_background_ends_in_the_same(path: Path) -> None:
    number = 0
    with alert_file(path, background=True) as file:
        while ".2.gz" not in names(path):
            assert number < 10_000
            file.write(Paper(number))
            number += 1
    assert numbers_in(path) == list(range(number))


def test_closing_does_not_wait_for_a_long_compression(path: Path) -> None:
    put(path, ".1", 7)
    with path.with_name(path.name + ".2").open("wb") as old:
        for _ in range(40):
            old.write(os.urandom(1 << 20))
    began = time.monotonic()
    alert_file(path, background=True).close()
    assert time.monotonic() - began < 1.0
    assert names(path) == ["", ".1", ".2"]


def test_a_compressed_file_keeps_mode_and_time(path: Path) -> None:
    old = put(path, ".2", 1)
    old.chmod(0o604)
    os.utime(old, (SECONDS, SECONDS))
    alert_file(path).close()
    status = path.with_name(path.name + ".2.gz").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o604, SECONDS)


def test_a_reader_of_a_file_reads_on_after_rotation_and_compression(path: Path) -> None:
    with alert_file(path, rotate_size=5 * len(Paper(0).line)) as file:
        file.write(Paper(0))
        with path.open("rb") as reader:
            assert reader.readline() == Paper(0).line
            for number in range(1, 30):
                file.write(Paper(number))
            assert reader.read() == b"".join(Paper(number).line for number in range(1, 5))


def test_so_many_rotated_files_are_kept(path: Path) -> None:
    with alert_file(path, keep=3) as file:
        for number in range(9):
            file.write(Paper(number))
    assert names(path) == ["", ".1", ".2.gz", ".3.gz"]
    assert numbers_in(path) == [5, 6, 7, 8]


def test_keeping_one_keeps_one(path: Path) -> None:
    with alert_file(path, keep=1) as file:
        for number in range(5):
            file.write(Paper(number))
    assert names(path) == ["", ".1"]


def test_files_from_a_time_when_more_were_kept_are_removed(path: Path) -> None:
    for number in range(1, 10):
        put(path, f".{number}.gz", 10 - number)
    with alert_file(path, keep=2) as file:
        file.write(Paper(10))
        file.write(Paper(11))
    assert numbers_in(path) == [9, 10, 11]


def test_a_name_that_is_free_ends_the_moving_of_names(path: Path) -> None:
    put(path, ".1", 3)
    put(path, ".3.gz", 2)
    path.write_bytes(Paper(4).line)
    Rotation(path, keep=10, durable=False).rotate()
    assert names(path) == [".1", ".2", ".3.gz"]
    assert numbers_in(path) == [2, 3, 4]


def test_other_files_of_the_folder_are_left_alone(path: Path) -> None:
    others = {".20231114", ".bak", "-20231114.gz", ".0", ".01", ".1.gz.old", "x.1"}
    for suffix in others:
        path.with_name(path.name + suffix).write_bytes(b"other")
    with alert_file(path, keep=1) as file:
        for number in range(4):
            file.write(Paper(number))
    assert others <= set(names(path))
    for suffix in others:
        assert path.with_name(path.name + suffix).read_bytes() == b"other"


def test_the_plain_form_is_removed_where_a_kill_left_both(path: Path) -> None:
    put(path, ".1", 3)
    put(path, ".2", 2)
    put(path, ".2.gz", 2)
    alert_file(path).close()
    assert names(path) == ["", ".1", ".2.gz"]


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_number_with_two_forms_that_differ_is_two_generations(path: Path, cut: int) -> None:
    put(path, ".1", 3)
    put(path, ".2", 2)
    packed = put(path, ".2.gz", 1)
    if cut:
        packed.write_bytes(gzip.compress(Paper(2).line)[:-cut])
    with alert_file(path) as file:
        file.write(Paper(4))
        file.write(Paper(5))
    assert names(path) == ["", ".1", ".2.gz", ".3", ".3.gz"]


def test_age_counts_from_the_first_line(path: Path) -> None:
    now = float(SECONDS)
    with alert_file(path, rotate_size=0, rotate_age=2, clock=lambda: now) as file:
        now += 100 * 3600  # an empty file does not age
        for number in range(3):
            file.write(Paper(number))
            now += 3600
        assert names(path) == ["", ".1"]
        assert path.read_bytes() == Paper(2).line
        file.tend()
        assert names(path) == ["", ".1"]
        now += 3600
        file.tend()
        assert names(path) == ["", ".1", ".2.gz"]
        assert path.read_bytes() == b""
        now += 100 * 3600
        file.tend()
        file.write(Paper(3))
        assert names(path) == ["", ".1", ".2.gz"]
    assert numbers_in(path) == [0, 1, 2, 3]


def test_age_survives_a_restart(path: Path) -> None:
    # A paper's timestamp is SECONDS.
    for hours in (0.0, 1.5, 1.9):
        now = SECONDS + hours * 3600
        with alert_file(path, rotate_size=0, rotate_age=2, clock=partial(float, now)) as file:
            file.write(Paper(0))
    assert names(path) == [""]
    with alert_file(path, rotate_size=0, rotate_age=2, clock=lambda: SECONDS + 7200.0) as file:
        file.write(Paper(1))
    assert names(path) == ["", ".1"]


def test_the_age_of_a_file_that_begins_with_something_else_is_that_of_its_last_change(
    path: Path,
) -> None:
    path.write_bytes(b"hello\n")
    os.utime(path, (SECONDS, SECONDS))
    with alert_file(path, rotate_size=0, rotate_age=1, clock=lambda: SECONDS + 3599.0) as file:
        file.write(Paper(0))
    assert names(path) == [""]
    os.utime(path, (SECONDS, SECONDS))
    with alert_file(path, rotate_size=0, rotate_age=1, clock=lambda: SECONDS + 3601.0) as file:
        file.write(Paper(1))
    assert names(path) == ["", ".1"]


def test_old_events_do_not_make_every_write_a_rotation(path: Path) -> None:
    # Catching up after a week: the alerts are a week older than the file.
    week = SECONDS + 7 * 86_400.0
    with alert_file(path, rotate_size=0, rotate_age=1, clock=lambda: week) as file:
        for number in range(5):
            file.write(Paper(number))
    assert names(path) == [""]


def test_a_file_that_others_put_in_its_place_has_an_age_of_its_own(path: Path) -> None:
    now = float(SECONDS)
    with alert_file(path, rotate_size=0, rotate_age=1, clock=lambda: now) as file:
        file.write(Paper(0))
        now += 3000
        path.unlink()
        path.write_bytes(Paper(1).line.replace(b"22:13:20", b"23:03:20"))
        file.write(Paper(2))
        now += 3000
        file.write(Paper(3))
        assert names(path) == [""]
        now += 600
        file.write(Paper(4))
        assert names(path) == ["", ".1"]


def test_copytruncate_makes_a_file_young(path: Path) -> None:
    now = float(SECONDS)
    with alert_file(path, rotate_size=0, rotate_age=1, clock=lambda: now) as file:
        file.write(Paper(0))
        now += 3000
        os.truncate(path, 0)
        file.write(Paper(1))
        now += 3000
        file.write(Paper(2))
        assert names(path) == [""]


def test_alerts_do_not_wait_for_a_rotation_that_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with alert_file(path, monotonic=lambda: now) as file:
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", refuse)
            for number in range(5):
                file.write(Paper(number))
        assert names(path) == [""]
        assert [record.message.partition(": ")[2] for record in caplog.records] == [
            "permission denied"
        ]
        now = 60.0
        file.write(Paper(5))
        assert names(path) == ["", ".1"]
    assert numbers_in(path) == list(range(6))


def start_with_history(path: Path, *, both: bool) -> int:
    """Make some rotated files, as a run that was killed may have left them."""
    suffixes = [".5.gz", ".4.gz", ".3", ".2", ".1", ""]
    for number, suffix in enumerate(suffixes):
        put(path, suffix, number)
    if both:
        put(path, ".3.gz", 2)
        path.with_name(f".{path.name}.gz.tmp").write_bytes(b"half")
    return len(suffixes)


def work(path: Path, first: int, done: int) -> None:
    """Write papers, telling in a file of their own descriptor which were taken."""
    write = os.write
    with alert_file(path, fsync="always") as file:
        for number in range(first, first + 3):
            file.write(Paper(number, size=20))
            write_uncounted(write, done, number)


def write_uncounted(write: Callable[[int, bytes], int], done: int, number: int) -> None:
    write(done, b"%d\n" % number)


@pytest.mark.parametrize("both", [False, True])
def test_killed_at_any_step_every_line_is_there_once(
    tmp_path: Path, both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before its n-th call to the kernel, and the next one in its beginning."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill is no power failure
    step = 0
    died = True
    while died:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / "alerts.ndjson"
        first = start_with_history(path, both=both)
        taken = folder / "taken"
        done = os.open(taken, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        died = dies_at(step, partial(work, path, first, done))
        dies_at(step % 23 + 1, partial(alert_file, path))
        expected = [*range(first), *map(int, taken.read_text().split())]
        known = written_since(path, None)
        assert {Paper(number).id for number in expected} <= known.ids
        with alert_file(path) as file:
            found = numbers_in(path)
            # A line that was written may not have been told as such; nothing else differs.
            assert found[: len(expected)] == expected, step
            assert found[len(expected) :] in ([], [len(expected)]), step
            assert known.ids == {Paper(number).id for number in found}
            for number in range(len(found), first + 5):
                file.write(Paper(number))
        assert numbers_in(path) == list(range(first + 5)), step
        os.close(done)
    assert step > 50


WRITER = """
import sys
from pathlib import Path
from alert_documents import Paper
from auditrule.alerts.file import AlertFile
with AlertFile(Path(sys.argv[1]), rotate_size=3000, keep=9999, fsync="never") as file:
    for number in range(int(sys.argv[2]), 10**9):
        file.write(Paper(number))
        print(number, flush=True)
"""


def test_killed_at_random_every_line_is_there_once(path: Path) -> None:
    tests = str(Path(__file__).parent.parent)
    first = 0
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(path), str(first)]
        environment = {**os.environ, "PYTHONPATH": tests}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(150)]
            process.send_signal(signal.SIGKILL)
            told += map(int, process.stdout.read().split(b"\n")[:-1])
        assert process.returncode == -signal.SIGKILL
        AlertFile(path, rotate_size=3000, compress=False).close()
        found = numbers_in(path)
        assert found == list(range(len(found)))
        assert len(found) in (told[-1] + 1, told[-1] + 2)
        first = len(found)
