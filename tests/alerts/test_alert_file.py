"""The alert file: how it is made, mended, found again, and brought to the disk."""

import grp
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alert_documents import Paper, dies_at, numbers_in

from auditrule.alerts.file import AlertFile
from auditrule.alerts.written import written_since


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.ndjson"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was brought to the disk since: "file" or "folder"."""
    calls: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    return calls


def test_documents_are_appended_one_a_line(path: Path) -> None:
    for first in (0, 2):
        with AlertFile(path) as file:
            file.write(Paper(first))
            file.write(Paper(first + 1))
    assert numbers_in(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_a_new_file_has_its_mode_and_group_whatever_the_umask(path: Path, mask: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to any group")
    group = grp.getgrnam("adm")
    with umask(mask), AlertFile(path, mode=0o664, group="adm") as file:
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o664, group.gr_gid)
        path.rename(path.with_suffix(".moved"))
        file.write(Paper(0))
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o664, group.gr_gid)


def test_a_file_that_is_there_gets_its_mode_and_group(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to any group")
    path.touch()
    path.chmod(0o604)
    AlertFile(path, mode=0o640, group="adm").close()
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, grp.getgrnam("adm").gr_gid)


def test_a_file_of_another_user_keeps_its_mode_and_group(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to another user")
    path.touch()
    path.chmod(0o604)
    os.chown(path, 12345, 12345)
    AlertFile(path, mode=0o640, group="adm").close()
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o604, 12345)


def test_a_group_that_is_not_there_is_an_os_error(path: Path) -> None:
    with pytest.raises(OSError, match="no such group: nobodyhere"):
        AlertFile(path, group="nobodyhere")


def test_a_symbolic_link_is_refused_and_what_it_points_to_left_alone(path: Path) -> None:
    target = path.with_name("shadow")
    target.write_text("secret")
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        AlertFile(path)
    path.unlink()
    with AlertFile(path) as file:
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(OSError, match="symbolic link"):
            file.write(Paper(0))
    assert target.read_text() == "secret"


def test_a_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        AlertFile(tmp_path)


def test_a_last_line_torn_at_any_byte_is_cut_off_and_written_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = Paper(1).line
    for length in range(1, len(line) - 1):
        path.write_bytes(Paper(0).line + line[:length])
        assert written_since(path, None).ids == {Paper(0).id}
        with AlertFile(path) as file:
            assert path.read_bytes() == Paper(0).line
            file.write(Paper(1))
        assert numbers_in(path) == [0, 1]
        assert f"torn: {length} bytes, b'{{" in caplog.messages[-1]


def test_a_last_line_that_lacks_only_its_newline_is_kept(path: Path) -> None:
    path.write_bytes(Paper(0).line + Paper(1).line[:-1])
    assert written_since(path, Paper(0).id).ids == {Paper(1).id}
    AlertFile(path).close()
    assert numbers_in(path) == [0, 1]


@pytest.mark.parametrize("length", [1, 15, 60, 4096])
def test_what_a_power_failure_left_as_nuls_is_cut_off(path: Path, length: int) -> None:
    line = Paper(1).line
    path.write_bytes(Paper(0).line + line[: min(length, len(line)) - 1] + bytes(length))
    with AlertFile(path) as file:
        file.write(Paper(1))
    assert numbers_in(path) == [0, 1]


@pytest.mark.parametrize("text", [b'{"cut', b"hello", b'{"@times":', b'{"a":1}', b"\xff\xfe"])
def test_a_foreign_last_line_gets_its_newline_and_stays(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with AlertFile(path) as file:
        file.write(Paper(1))
    assert path.read_bytes() == text + b"\n" + Paper(1).line


def test_a_torn_line_longer_than_many_blocks_is_cut_off(path: Path) -> None:
    path.write_bytes(Paper(0).line + Paper(1, size=300_000).line[:-5])
    AlertFile(path).close()
    assert numbers_in(path) == [0]


def test_a_torn_line_that_must_not_be_cut_is_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path.write_bytes(Paper(1).line[:-5])
    monkeypatch.setattr(os, "ftruncate", refuse)
    with AlertFile(path) as file:
        file.write(Paper(2))
    assert path.read_bytes() == Paper(1).line[:-5] + b"\n" + Paper(2).line
    assert written_since(path, None).unreadable == 1


@pytest.mark.parametrize("name", ["alerts.ndjson.1", "alerts.ndjson-20231114"])
def test_a_torn_line_is_mended_too_where_the_file_was_moved_after_the_crash(
    path: Path, name: str
) -> None:
    path.with_name(name).write_bytes(Paper(0).line + Paper(1).line[:-9])
    with AlertFile(path) as file:
        file.write(Paper(1))
    assert numbers_in(path) == [0, 1]


def move(path: Path) -> None:
    path.rename(path.with_name(path.name + ".1"))


def move_and_create(path: Path) -> None:
    move(path)
    path.touch(0o600)


def move_by_date(path: Path) -> None:
    path.rename(path.with_name(path.name + "-20231114"))


def copy_and_truncate(path: Path) -> None:
    shutil.copy(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)


@pytest.mark.parametrize("rotate", [move, move_and_create, move_by_date, copy_and_truncate])
@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_rotation_by_others_loses_nothing(
    path: Path, rotate: Callable[[Path], None], fsync: str
) -> None:
    with AlertFile(path, fsync=fsync) as file:  # type: ignore[arg-type]
        file.write(Paper(0))
        rotate(path)
        file.write(Paper(1))
        file.write(Paper(2))
        file.sync()
        assert numbers_in(path) == [0, 1, 2]
        assert path.read_bytes() == Paper(1).line + Paper(2).line


def test_a_removed_file_is_made_again(path: Path) -> None:
    with AlertFile(path) as file:
        file.write(Paper(0))
        path.unlink()
        file.write(Paper(1))
        assert numbers_in(path) == [1]


def test_a_folder_that_is_gone_is_an_os_error_until_it_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "alerts.ndjson"
    path.parent.mkdir()
    with AlertFile(path) as file:
        file.write(Paper(0))
        path.parent.rename(tmp_path / "old")
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                file.write(Paper(1))
        path.parent.mkdir()
        file.write(Paper(1))
    assert numbers_in(path) == [1]
    assert numbers_in(tmp_path / "old" / path.name) == [0]


def test_always_means_that_a_written_document_is_on_the_disk(path: Path, synced: list[str]) -> None:
    with AlertFile(path, fsync="always") as file:
        file.write(Paper(0))
        assert synced == ["file", "folder"]
        file.write(Paper(1))
        assert synced == ["file", "folder", "file"]


def test_interval_means_a_sync_when_the_time_has_come(path: Path, synced: list[str]) -> None:
    now = 0.0
    with AlertFile(path, fsync="interval", fsync_interval=5, monotonic=lambda: now) as file:
        file.write(Paper(0))
        now = 4.9
        file.write(Paper(1))
        file.tend()
        assert synced == []
        now = 5.0
        file.write(Paper(2))
        assert synced == ["file", "folder"]
        file.tend()
        now = 10.0
        file.tend()
        assert synced == ["file", "folder", "file"]
        now = 99.0
        file.tend()
        assert synced == ["file", "folder", "file"]
        file.write(Paper(3))
        file.sync()
        assert synced[3:] == ["file"]


def test_never_leaves_it_to_the_kernel(path: Path, synced: list[str]) -> None:
    with AlertFile(path, fsync="never", rotate_size=1, compress=False) as file:
        file.write(Paper(0))
        file.write(Paper(1))
        file.sync()
        file.tend()
    assert synced == []


def test_a_moved_file_is_brought_to_the_disk_before_it_is_left(
    path: Path, synced: list[str]
) -> None:
    with AlertFile(path, fsync="interval", fsync_interval=3600) as file:
        file.write(Paper(0))
        move(path)
        file.write(Paper(1))
        assert synced == ["file"]


def test_a_pipe_takes_documents_as_they_are(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        AlertFile(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with AlertFile(path, fsync="always", rotate_size=1) as file:
            file.write(Paper(0))
            file.write(Paper(1))
        assert os.read(reader, 1 << 16) == Paper(0).line + Paper(1).line
    finally:
        os.close(reader)


def test_a_full_device_is_an_os_error() -> None:
    with AlertFile(Path("/dev/full")) as file, pytest.raises(OSError, match="No space"):
        file.write(Paper(0))


def test_making_the_file_leaves_it_or_nothing_but_what_the_next_start_removes(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def deed() -> None:
        AlertFile(path, mode=0o604).write(Paper(0))

    step = 1
    while dies_at(step, deed):
        if path.exists():
            assert stat.S_IMODE(path.stat().st_mode) == 0o604
        with AlertFile(path, mode=0o604):
            assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
            assert numbers_in(path) in ([], [0])
        path.unlink()
        step += 1
    assert step > 5
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
