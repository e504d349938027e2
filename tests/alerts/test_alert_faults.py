"""The alert file on a disk that is full, that fails, or that others write to."""

import contextlib
import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alert_documents import Paper, numbers_in

from auditrule.alerts.file import AlertFile
from auditrule.alerts.retrying import RetryingSink
from auditrule.alerts.sink import FileSink, StreamSink
from auditrule.alerts.written import written_since

DISK = 512 << 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.ndjson"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "auditrule", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        problem = mounted.stderr if mounted.returncode else None
    except OSError as error:
        problem = str(error)
    if problem is not None:
        assert not os.environ.get("CI"), f"CI must be able to mount a tmpfs: {problem}"
        pytest.skip(f"a tmpfs cannot be mounted here: {problem}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def short_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the calls that wrote a part only."""
    found: list[int] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        written = write(fd, data)
        if written < len(data):
            found.append(written)
        return written

    monkeypatch.setattr(os, "write", note)
    return found


def fill(disk: Path) -> None:
    """Take all the room that is left, but for two pages."""
    with (disk / "filler").open("ab", buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        filler.truncate(filler.tell() - 8192)


def free(disk: Path) -> None:
    (disk / "filler").unlink()


@pytest.mark.parametrize("size", [1000, 5000, 20_000])
def test_a_disk_that_fills_and_is_freed_loses_and_repeats_nothing(
    disk: Path, size: int, short_writes: list[int]
) -> None:
    path = disk / "alerts.ndjson"
    failures = 0
    with AlertFile(path, rotate_size=100_000, keep=99, background=False) as file:
        number = 0
        for _ in range(5):
            fill(disk)
            failed = 0
            while failed < 3:  # what fits into two pages is still taken
                try:
                    file.write(Paper(number, size=size))
                except OSError:
                    failed += 1
                else:
                    number += 1
                assert numbers_in(path) == list(range(number))
            failures += failed
            free(disk)
            for _ in range(4):
                file.write(Paper(number, size=size))
                number += 1
        assert numbers_in(path) == list(range(number))
    assert failures == 15
    assert short_writes


def test_a_retrying_sink_waits_until_the_disk_is_freed(disk: Path) -> None:
    path = disk / "alerts.ndjson"
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) % 3 == 0:
            free(disk)
        return True

    sink = RetryingSink(AlertFile(path), pause)
    for number in range(12):
        if number % 4 == 0:
            fill(disk)
        sink.write(Paper(number, size=3000))
        sink.sync()
    sink.close()
    assert numbers_in(path) == list(range(12))
    assert len(pauses) == sink.errors
    assert len(pauses) >= 3


def test_a_disk_too_full_to_compress_keeps_the_plain_file(disk: Path) -> None:
    path = disk / "alerts.ndjson"
    with AlertFile(path, rotate_size=20_000, background=False) as file:
        for number in range(3):
            file.write(Paper(number, size=15_000))
        old = path.with_name(path.name + ".2.gz")
        assert old.exists()
        (disk / "x").write_bytes(os.urandom(200_000))
        (disk / "x").rename(path.with_name(path.name + ".3"))
        fill(disk)
        room = (disk / "filler").stat().st_size - 12_288
        os.truncate(disk / "filler", room)
        file.write(Paper(3, size=15_000))
        assert path.with_name(path.name + ".4").stat().st_size == 200_000
        assert sorted(each.name for each in disk.glob(".*")) == []


class FaultyDisk:
    """Lets calls fail as a disk does that is full after `room` bytes, or broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.cannot_cut = False
        self.cannot_sync = False
        self.syncs = 0
        self._write, self._cut, self._sync = os.write, os.ftruncate, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.cut)
        monkeypatch.setattr(os, "fsync", self.sync)

    def write(self, fd: int, data: bytes) -> int:
        if self.room is None:
            return self._write(fd, data)
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written

    def cut(self, fd: int, size: int) -> None:
        if self.cannot_cut:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        self._cut(fd, size)

    def sync(self, fd: int) -> None:
        self.syncs += 1
        if self.cannot_sync:
            raise OSError(errno.EIO, "Input/output error")
        self._sync(fd)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> FaultyDisk:
    return FaultyDisk(monkeypatch)


def test_a_line_that_fits_by_any_number_of_bytes_only_is_taken_back(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path) as file:
        file.write(Paper(0))
        for room in range(len(Paper(1).line)):
            faults.room = room
            with pytest.raises(OSError, match="No space"):
                file.write(Paper(1))
            assert path.read_bytes() == Paper(0).line
        faults.room = None
        file.write(Paper(1))
    assert numbers_in(path) == [0, 1]


@pytest.mark.parametrize("next_number", [1, 2])
def test_what_cannot_be_taken_back_is_finished_or_ended(
    path: Path, faults: FaultyDisk, next_number: int
) -> None:
    """As with the append-only attribute, chattr(1)."""
    for room in range(len(Paper(1).line)):
        path.unlink(missing_ok=True)
        with AlertFile(path) as file:
            file.write(Paper(0))
            faults.cannot_cut = True
            for _ in range(3):  # each attempt gets as many bytes
                faults.room = room // 3
                with pytest.raises(OSError, match="No space"):
                    file.write(Paper(1))
            faults.room = None
            file.write(Paper(next_number))
            file.write(Paper(3))
        faults.cannot_cut = False
        assert written_since(path, None).ids == {Paper(n).id for n in (0, next_number, 3)}
        assert path.read_bytes().endswith(Paper(next_number).line + Paper(3).line)


def test_a_part_that_another_wrote_behind_is_blanked_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with AlertFile(path) as file:
        file.write(Paper(0))
        other = os.open(path, os.O_WRONLY | os.O_APPEND)
        parts = iter([30])

        def interrupted(fd: int, data: bytes) -> int:
            size = next(parts, None)
            written = write(fd, data if size is None else data[:size])
            if size is not None:
                write(other, Paper(7).line)
            return written

        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(OSError, match="another program"):
            file.write(Paper(1))
        file.write(Paper(1))
        os.close(other)
        flags = fcntl.fcntl(file._file.fd, fcntl.F_GETFL)
        assert flags & os.O_APPEND
    assert numbers_in(path) == [0, 7, 1]
    assert path.read_bytes() == (Paper(0).line + b" " * 29 + b"\n" + Paper(7).line + Paper(1).line)
    assert written_since(path, Paper(0).id).unreadable == 0


def test_a_failed_sync_raises_and_the_next_writes_anew_what_the_kernel_may_have_dropped(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path, fsync_interval=3600) as file:
        file.write(Paper(0))
        file.sync()
        file.write(Paper(1))
        file.write(Paper(2))
        faults.cannot_sync = True
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        # The kernel took the pages for clean, and reads them anew: as they were before.
        size = path.stat().st_size
        start = len(Paper(0).line)
        with path.open("r+b") as file_of_kernel:
            file_of_kernel.seek(start)
            file_of_kernel.write(bytes(size - start))
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        faults.cannot_sync = False
        file.sync()
        assert path.read_bytes() == b"".join(Paper(number).line for number in range(3))
        file.write(Paper(3))
    assert numbers_in(path) == [0, 1, 2, 3]


def test_under_always_a_document_that_cannot_be_synced_is_taken_back(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path, fsync="always") as file:
        file.write(Paper(0))
        faults.cannot_sync = True
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                file.write(Paper(1))
            assert path.read_bytes() == Paper(0).line
        faults.cannot_cut = True
        for _ in range(3):
            with pytest.raises(OSError, match="Input/output"):
                file.write(Paper(1))
        faults.cannot_sync = faults.cannot_cut = False
        file.write(Paper(1))
        file.write(Paper(2))
    assert numbers_in(path) == [0, 1, 2]


def test_under_always_the_rest_of_a_torn_line_is_taken_back_and_written_again(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path, fsync="always") as file:
        file.write(Paper(0))
        faults.room, faults.cannot_cut = 20, True
        with pytest.raises(OSError, match="No space"):
            file.write(Paper(1))
        faults.room, faults.cannot_cut, faults.cannot_sync = None, False, True
        with pytest.raises(OSError, match="Input/output"):
            file.write(Paper(1))
        assert path.read_bytes() == Paper(0).line + Paper(1).line[:20]
        faults.cannot_sync = False
        file.write(Paper(1))
    assert numbers_in(path) == [0, 1]


def test_a_torn_line_is_finished_where_it_began_though_the_file_was_moved(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path) as file:
        faults.room, faults.cannot_cut = 20, True
        with pytest.raises(OSError, match="No space"):
            file.write(Paper(0))
        faults.room = None
        path.rename(path.with_name(path.name + ".1"))
        file.write(Paper(0))
        file.write(Paper(1))
        assert path.read_bytes() == Paper(1).line
    assert numbers_in(path) == [0, 1]


def test_a_due_sync_that_fails_keeps_the_next_document_out(path: Path, faults: FaultyDisk) -> None:
    with AlertFile(path, fsync_interval=0) as file:
        file.write(Paper(0))
        faults.cannot_sync = True
        with pytest.raises(OSError, match="Input/output"):
            file.write(Paper(1))
        assert numbers_in(path) == [0]
        faults.cannot_sync = False
        file.write(Paper(1))
    assert numbers_in(path) == [0, 1]


def test_much_that_is_not_on_the_disk_is_brought_there_before_its_time(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path, fsync_interval=3600) as file:
        for number in range(12):
            file.write(Paper(number, size=1 << 20))
        assert faults.syncs >= 2
        assert sum(map(len, file._file.unsynced)) < 6 << 20


def test_a_moved_file_that_cannot_be_synced_has_its_last_lines_written_again(
    path: Path, faults: FaultyDisk, caplog: pytest.LogCaptureFixture
) -> None:
    with AlertFile(path, fsync_interval=3600) as file:
        file.write(Paper(0))
        file.sync()
        file.write(Paper(1))
        path.rename(path.with_name("gone"))
        faults.cannot_sync = True
        file.write(Paper(2))
        faults.cannot_sync = False
    assert numbers_in(path) == [1, 2]
    assert "its last 1 alerts are written again" in caplog.text


def test_truncation_by_another_is_not_undone_by_a_failed_sync(
    path: Path, faults: FaultyDisk
) -> None:
    with AlertFile(path, fsync_interval=3600) as file:
        for number in range(3):
            file.write(Paper(number))
        faults.cannot_sync = True
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        os.truncate(path, 0)
        faults.cannot_sync = False
        file.sync()
        assert path.read_bytes() == b""
        file.write(Paper(3))
        file.sync()
        assert numbers_in(path) == [3]


def test_a_plain_file_sink_and_a_stream_take_back_too(path: Path, faults: FaultyDisk) -> None:
    with FileSink(path) as sink, path.with_name("out").open("w") as stream:
        for each, where in ((sink, path), (StreamSink(stream), path.with_name("out"))):
            each.write(Paper(0))
            for room in (0, 1, 50):
                faults.room = room
                with pytest.raises(OSError, match="No space"):
                    each.write(Paper(1))
                faults.room = None
            each.write(Paper(1))
            each.sync()
            assert where.read_bytes() == Paper(0).line + Paper(1).line


def test_part_of_a_line_in_a_pipe_is_finished(path: Path, faults: FaultyDisk) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with AlertFile(path) as file:
            faults.room = 20
            with pytest.raises(OSError, match="No space"):
                file.write(Paper(0))
            faults.room = None
            file.write(Paper(0))
            file.write(Paper(1))
        assert os.read(reader, 1 << 16) == Paper(0).line + Paper(1).line
    finally:
        os.close(reader)
