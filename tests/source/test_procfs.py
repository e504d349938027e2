"""What /proc says of processes, real ones and made-up ones."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.procfs import (
    ProcessSnapshot,
    read_process,
    script_of,
    snapshot,
    start_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# How far the kernel's ticks and two readings of two clocks may be apart.
_TOLERANCE = 0.03


class _Sleeper:
    """A program that runs until told otherwise."""

    def __init__(self, argv: list[str], cwd: Path) -> None:
        self.before = time.time()
        self._process = subprocess.Popen(
            argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.after = time.time()
        self.pid = self._process.pid
        assert self._process.stdout is not None
        # The program has begun once it has said so.
        assert self._process.stdout.readline() == b"ready\n"

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "a script (odd) with a long name.sh"
    path.write_text("#!/bin/sh -e\necho ready\nread line\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def running_script(script: Path) -> Iterator[_Sleeper]:
    sleeper = _Sleeper([f"./{script.name}", "an argument", ""], script.parent)
    yield sleeper
    sleeper.end()


def test_this_process_is_seen_as_it_is() -> None:
    process = read_process(os.getpid())
    assert process is not None
    assert process.pid == os.getpid()
    assert process.ppid == os.getppid()
    assert process.exe == os.fsencode(Path(sys.executable).resolve())
    assert process.cwd == os.fsencode(Path.cwd())
    assert (process.uid, process.euid, process.suid) == os.getresuid()
    assert (process.gid, process.egid, process.sgid) == os.getresgid()
    assert process.args[-1] == os.fsencode(sys.orig_argv[-1])
    assert process.threads >= 1


def test_a_script_is_seen_with_its_interpreter_its_arguments_and_its_time(
    running_script: _Sleeper, script: Path
) -> None:
    process = read_process(running_script.pid)
    assert process is not None
    assert process.comm == os.fsencode(script.name)[:15]
    assert process.exe == os.fsencode(Path("/bin/sh").resolve())
    assert process.args == (b"/bin/sh", b"-e", b"./" + script.name.encode(), b"an argument", b"")
    assert process.cwd == os.fsencode(script.parent)
    assert running_script.before - _TOLERANCE <= process.started
    assert process.started <= running_script.after + _TOLERANCE
    assert script_of(process) == os.fsencode(script)


def test_the_start_time_alone_is_the_same(running_script: _Sleeper) -> None:
    process = read_process(running_script.pid)
    alone = start_time(running_script.pid)
    assert process is not None
    assert alone == pytest.approx(process.started, abs=0.005)


def test_the_snapshot_holds_this_process_and_its_child(running_script: _Sleeper) -> None:
    found = {process.pid: process for process in snapshot()}
    assert found[running_script.pid].ppid == os.getpid()
    assert os.getpid() in found


def test_a_process_that_is_gone_is_none(script: Path) -> None:
    sleeper = _Sleeper([str(script)], script.parent)
    sleeper.end()
    assert read_process(sleeper.pid) is None
    assert start_time(sleeper.pid) is None


def test_a_kernel_thread_has_neither_executable_nor_arguments() -> None:
    threads = [process for process in snapshot() if process.ppid == 2]
    if not threads:
        pytest.skip("no kernel threads to be seen here (a container)")
    assert {(thread.exe, thread.args) for thread in threads} == {(None, ())}


def _made_up(root: Path, pid: int, comm: bytes, **files: bytes | None) -> Path:
    folder = root / str(pid)
    folder.mkdir()
    rest = b"S 7 1 1 34816 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 12345 100 200 300"
    defaults: dict[str, bytes | None] = {
        "stat": b"%d (%b) %b\n" % (pid, comm, rest),
        "status": b"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t0\n",
        "cmdline": b"/bin/x\0--flag\0",
    }
    for name, content in (defaults | files).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_bytes(b"cpu 1 2 3\nbtime 1700000000\nprocesses 9\n")
    return tmp_path


@pytest.mark.parametrize("comm", [b"x", b"a b", b"a) S 1 (b", b"(", b"a\n1 (b) R", b"\xff", b""])
def test_a_name_may_hold_anything(root: Path, comm: bytes) -> None:
    folder = _made_up(root, 42, comm)
    (folder / "exe").symlink_to("/opt/gone (deleted)")
    process = read_process(42, root=root)
    started = 1700000000 + 12345 / os.sysconf("SC_CLK_TCK")
    assert process == ProcessSnapshot(
        pid=42,
        ppid=7,
        comm=comm,
        exe=b"/opt/gone",
        args=(b"/bin/x", b"--flag"),
        cwd=None,
        uid=1,
        euid=2,
        suid=3,
        gid=5,
        egid=6,
        sgid=7,
        tty_nr=34816,
        started=started,
        threads=3,
    )
    assert start_time(42, root=root) == started


@pytest.mark.parametrize("name", ["stat", "status", "cmdline"])
def test_a_process_that_vanishes_midway_is_none(root: Path, name: str) -> None:
    _made_up(root, 42, b"x", **{name: None})
    assert read_process(42, root=root) is None
    assert list(snapshot(root=root)) == []


@given(args=st.lists(st.binary().filter(lambda arg: b"\0" not in arg), min_size=1))
def test_arguments_are_those_that_were_given(
    tmp_path_factory: pytest.TempPathFactory, args: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("proc")
    (root / "stat").write_bytes(b"btime 0\n")
    _made_up(root, 1, b"x", cmdline=b"".join(arg + b"\0" for arg in args))
    process = read_process(1, root=root)
    assert process is not None
    assert process.args == tuple(args)


_SHELL = ProcessSnapshot(
    pid=1 << 30,
    ppid=1,
    comm=b"task.sh",
    exe=b"/usr/bin/dash",
    args=(b"/bin/sh", b"task.sh"),
    cwd=None,
    uid=0,
    euid=0,
    suid=0,
    gid=0,
    egid=0,
    sgid=0,
    tty_nr=0,
    started=0.0,
    threads=1,
)


def test_a_script_is_found_behind_its_interpreters_argument(tmp_path: Path) -> None:
    (tmp_path / "task.sh").write_text("#!/bin/sh\n")
    process = replace(
        _SHELL, args=(b"/bin/sh", b"-eu", b"../x/task.sh", b"a"), cwd=os.fsencode(tmp_path / "x")
    )
    # Gone since: nothing speaks against it.
    assert script_of(process) == os.fsencode(tmp_path / "x" / "task.sh")
    here = replace(process, args=(b"/bin/sh", b"./task.sh"), cwd=os.fsencode(tmp_path))
    assert script_of(here) == os.fsencode(tmp_path / "task.sh")


def test_a_shell_given_a_file_is_no_script() -> None:
    # `sh task.sh`: the kernel ran sh, and named the process so.
    assert script_of(replace(_SHELL, comm=b"sh", cwd=b"/tmp")) is None


def test_a_relative_script_is_unknown_where_the_folder_may_not_be_seen() -> None:
    assert script_of(_SHELL) is None
    absolute = replace(_SHELL, exe=None, args=(b"/bin/sh", b"/nowhere/task.sh"))
    assert script_of(absolute) == b"/nowhere/task.sh"


def test_an_applet_is_no_script_even_with_a_file_of_its_own_name(tmp_path: Path) -> None:
    for argv0 in (b"chmod", b"/bin/chmod"):
        applet = replace(
            _SHELL,
            comm=b"chmod",
            exe=b"/bin/busybox",
            args=(argv0, b"755", b"chmod"),
            cwd=os.fsencode(tmp_path),
        )
        assert script_of(applet) is None


def test_a_file_that_does_not_begin_like_a_script_is_none(tmp_path: Path) -> None:
    path = tmp_path / "task.sh"
    path.write_bytes(b"\x7fELF")
    process = replace(_SHELL, args=(b"renamed", os.fsencode(path)))
    assert script_of(process) is None
    path.write_bytes(b"#!/bin/sh\n")
    assert script_of(process) == os.fsencode(path)
    path.unlink()
    os.mkfifo(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert script_of(process) is None


def test_a_kernel_thread_is_no_script() -> None:
    assert script_of(replace(_SHELL, exe=None, args=())) is None
