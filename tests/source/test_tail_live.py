"""Following with real inotify, real threads and a writer in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from watchdog.observers.inotify import InotifyEmitter

from auditrule.source import succession, watch
from auditrule.source import tail as tail_module
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LONG = 60.0
# Far below the interval at which a tail looks without being told.
_PROMPT = 0.4

# Writes numbered lines in pieces and rotates as auditd does: argv is path, lines, lines a file.
_WRITER = """
import os, sys
path, total, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def reopen():
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
log = reopen()
kept = 1
for number in range(total):
    line = b"%d %s\\n" % (number, b"x" * (number % 90))
    half = len(line) // 2
    if number % 7:
        os.write(log, line)
    else:
        os.write(log, line[:half])
        os.write(log, line[half:])
    if number % each == each - 1:
        os.close(log)
        for old in range(kept, 0, -1):
            if os.path.exists(f"{path}.{old}"):
                os.rename(f"{path}.{old}", f"{path}.{old + 1}")
        os.rename(path, path + ".1")
        kept += 1
        log = reopen()
os.write(log, b"end\\n")
"""

# The same with logrotate's copytruncate, and with its compression of what is rotated (gzip writes
# the archive beside the original and then removes that). argv: path, lines, lines a file, way.
_LOGROTATE = """
import os, shutil, sys, zlib
path, total, each, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def reopen():
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def compress(name):
    packer = zlib.compressobj(wbits=31)
    with open(name, "rb") as plain, open(name + ".gz", "wb", buffering=0) as packed:
        while data := plain.read(1000):
            packed.write(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))
        packed.write(packer.flush())
    os.unlink(name)
log = reopen()
kept = 1
for number in range(total):
    line = b"%d %s\\n" % (number, b"x" * (number % 90))
    half = len(line) // 2
    os.write(log, line[:half])
    os.write(log, line[half:])
    if number % each == each - 1:
        for old in range(kept, 0, -1):
            for suffix in ("", ".gz"):
                if os.path.exists(f"{path}.{old}{suffix}"):
                    os.rename(f"{path}.{old}{suffix}", f"{path}.{old + 1}{suffix}")
        kept += 1
        if "copytruncate" in way:
            shutil.copyfile(path, path + ".1")
            os.ftruncate(log, 0)
        else:
            os.close(log)
            os.rename(path, path + ".1")
            log = reopen()
        if "compress" in way:
            compress(path + ".1")
os.write(log, b"end\\n")
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    return tmp_path / "audit" / "audit.log"


@pytest.fixture
def no_inotify(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The limit of inotify watches is reached."""

    def refuse(_: InotifyEmitter) -> None:
        raise OSError(28, "inotify watch limit reached")

    with monkeypatch.context() as patching:
        patching.setattr(InotifyEmitter, "on_thread_start", refuse)
        yield


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail that looks on its own once an hour, so that only events can wake it."""
    monkeypatch.setattr(tail_module, "_RECHECK", 3600.0)


def _append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def _read_until(tail: Tail, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    lines: list[bytes] = []
    deadline = time.monotonic() + _LONG
    while not enough(lines):
        assert time.monotonic() < deadline
        lines += tail.read(_LONG)
    return lines


@pytest.mark.parametrize(("total", "each"), [(1000, 5), (30_000, 500), (5_000, 100_000)])
@pytest.mark.parametrize("start", ["inotify", "polling"])
def test_a_busy_writer_with_rotation_loses_and_repeats_nothing(
    log: Path, total: int, each: int, start: str, request: pytest.FixtureRequest
) -> None:
    if start == "polling":
        request.getfixturevalue("no_inotify")
    with Tail(log) as tail:
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, log, str(total), str(each)])
        try:
            lines = _read_until(tail, lambda lines: lines[-1:] == [b"end"])
        finally:
            writer.kill()
            writer.wait()
        assert lines == [b"%d %b" % (n, b"x" * (n % 90)) for n in range(total)] + [b"end"]
        status = tail.status()
        assert (status.rotations, status.gaps, status.means) == (total // each, 0, start)


@pytest.mark.parametrize("way", ["copytruncate", "compress", "copytruncate, compress"])
@pytest.mark.parametrize("restarts", [False, True])
def test_logrotate_under_a_busy_writer_loses_and_repeats_nothing(
    log: Path, way: str, restarts: bool
) -> None:
    total = 20_000
    # An empty log that was copied and emptied meanwhile would not be known again.
    log.write_bytes(b"begin\n")
    tail = Tail(log, start="beginning")
    assert tail.read(_LONG) == [b"begin"]
    command = [sys.executable, "-c", _LOGROTATE, str(log), str(total), "250", way]
    writer = subprocess.Popen(command)
    lines: list[bytes] = []
    gaps = 0
    deadline = time.monotonic() + _LONG
    try:
        while lines[-1:] != [b"end"]:
            assert time.monotonic() < deadline
            lines += _read_until(tail, bool)
            if restarts:
                gaps += tail.gaps
                tail.close()
                tail = Tail(log, resume=tail.position)
    finally:
        tail.close()
        writer.kill()
        writer.wait()
    assert lines == [b"%d %b" % (n, b"x" * (n % 90)) for n in range(total)] + [b"end"]
    assert gaps + tail.gaps == 0


@pytest.mark.usefixtures("seldom")
def test_each_kind_of_change_wakes_a_waiting_read(log: Path) -> None:
    log.touch()
    deeds: list[Callable[[], object]] = [
        lambda: None,
        lambda: log.rename(f"{log}.1"),
        lambda: os.truncate(log, 0),
        log.unlink,
    ]

    def change(deed: Callable[[], object], line: bytes) -> None:
        deed()
        _append(log, line + b"\n")

    with Tail(log) as tail:
        assert tail.read(0) == []
        for number, deed in enumerate(deeds):
            line = b"after deed %d" % number
            threading.Timer(0.02, change, (deed, line)).start()
            assert _read_until(tail, bool) == [line]


@pytest.mark.usefixtures("seldom")
def test_a_line_is_there_soon_after_it_was_written(log: Path) -> None:
    log.touch()
    with Tail(log) as tail:
        tail.read(0)
        latencies = []
        for _ in range(20):
            written: list[float] = []

            def write(written: list[float] = written) -> None:
                written.append(time.monotonic())
                _append(log, b"line\n")

            timer = threading.Timer(0.01, write)
            timer.start()
            assert _read_until(tail, bool) == [b"line"]
            timer.join()
            latencies.append(time.monotonic() - written[0])
        # The median, as the machine may be busy otherwise.
        assert sorted(latencies)[10] < _PROMPT


@pytest.mark.usefixtures("seldom")
def test_other_files_of_the_folder_and_reading_itself_wake_nobody(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"there\n")
    with Tail(log) as tail:
        tail.read(0)
        looks = []
        look = tail._look

        def counted() -> list[bytes]:
            looks.append(1)
            return look()

        monkeypatch.setattr(tail, "_look", counted)
        for number in range(20):
            (log.parent / f"other-{number}").write_bytes(b"other\n")
            assert log.read_bytes() == b"there\n"
        _append(log, b"line\n")
        assert _read_until(tail, bool) == [b"line"]
        # The first, and one or two for the line (an inotify event each for write and close).
        assert len(looks) <= 4


@pytest.mark.usefixtures("seldom")
def test_a_tail_is_watching_again_after_its_folder_was_replaced(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "SETTLE", 0.01)
    log.touch()
    with Tail(log) as tail:
        tail.read(0)
        log.unlink()
        log.parent.rmdir()
        tail.read(0)
        assert tail.status().means == "none"
        log.parent.mkdir()
        _append(log, b"back\n")
        monkeypatch.setattr(tail_module, "_RECHECK", 0.05)
        assert _read_until(tail, bool) == [b"back"]
        assert tail.status().means == "inotify"
        monkeypatch.setattr(tail_module, "_RECHECK", 3600.0)
        threading.Timer(0.02, _append, (log, b"again\n")).start()
        assert _read_until(tail, bool) == [b"again"]


@pytest.mark.usefixtures("seldom")
def test_a_log_that_grows_without_a_pause_is_looked_at_unasked_until_it_is_quiet(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "_BUSY_LOOKS", 3)
    monkeypatch.setattr(tail_module, "_SHORT", 0)
    log.touch()
    with Tail(log) as tail:
        tail.read(0)
        for quiet in (3600.0, 0.05):
            monkeypatch.setattr(tail_module, "_QUIET_SECONDS", quiet)
            for number in range(3):
                _append(log, b"%d\n" % number)
                assert _read_until(tail, bool) == [b"%d" % number]
            assert tail._watch._observer is None
            threading.Timer(0.02, _append, (log, b"unasked\n")).start()
            assert _read_until(tail, bool) == [b"unasked"]
        assert tail.read(0.1) == []
        assert tail._watch._observer is not None
        threading.Timer(0.02, _append, (log, b"told\n")).start()
        assert _read_until(tail, bool) == [b"told"]
        assert tail.status().means == "inotify"


def test_a_folder_made_anew_with_the_old_inode_is_watched(log: Path) -> None:
    notified = threading.Event()
    watching = watch.FolderWatch(log, notified.set)
    watching.ensure()
    first = watching._observer
    log.parent.rmdir()
    assert notified.wait(_LONG)
    log.parent.mkdir()
    deadline = time.monotonic() + _LONG
    while watching._observer is first:
        watching.ensure()
        assert time.monotonic() < deadline
    notified.clear()
    log.touch()
    assert notified.wait(_LONG)
    watching.close()


@pytest.mark.usefixtures("no_inotify")
def test_without_inotify_the_folder_is_polled_and_no_thread_is_left_behind(log: Path) -> None:
    before = threading.active_count()
    with Tail(log) as tail:
        tail.read(0)
        assert tail.status().means == "polling"
        _append(log, b"line\n")
        assert _read_until(tail, bool) == [b"line"]
    assert threading.active_count() == before


def test_an_inotify_that_cannot_even_be_opened_is_done_without(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watch, "Observer", refuse)
    watching = watch.FolderWatch(log, lambda: None)
    watching.ensure()
    assert watching.means == "polling"
    watching.close()


def test_closing_ends_the_threads(log: Path) -> None:
    before = threading.active_count()
    for _ in range(5):
        with Tail(log) as tail:
            tail.read(0)
            assert tail.status().means == "inotify"
    assert threading.active_count() == before


@pytest.mark.usefixtures("seldom")
def test_a_wake_from_a_signal_handler_or_a_thread_ends_the_wait(log: Path) -> None:
    with Tail(log) as tail:
        before = signal.signal(signal.SIGUSR1, lambda *_: tail.wake())
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            assert tail.read(_LONG) == []
        finally:
            signal.signal(signal.SIGUSR1, before)
        threading.Timer(0.05, tail.wake).start()
        assert tail.read(_LONG) == []


def test_a_wake_does_not_keep_back_what_is_written(log: Path) -> None:
    log.touch()
    with Tail(log) as tail:
        _append(log, b"one\n")
        tail.wake()
        assert tail.read(_LONG) == [b"one"]
        assert tail.read(_LONG) == []


def test_waiting_costs_hardly_any_processor_time(log: Path) -> None:
    log.touch()
    with Tail(log) as tail:
        tail.read(0)
        _append(log, b"line\n")
        assert _read_until(tail, bool) == [b"line"]
        before = time.process_time()
        assert tail.read(2.0) == []
        assert time.process_time() - before < 0.2
