"""Running processes as /proc shows them; the formats are those of proc(5)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# TASK_COMM_LEN, include/linux/sched.h, less the NUL.
COMM_SIZE = 15
_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """A process at one moment.

    exe, cwd: absolute paths; None for a kernel thread and where this user may not see them.
    args: as the process has them now, () for a kernel thread or a zombie. tty_nr: 0 without a
    terminal. started: epoch seconds, at most 10 ms before the true start (the kernel tells it in
    ticks). threads: how many.
    """

    pid: int
    ppid: int
    comm: bytes
    exe: bytes | None
    args: tuple[bytes, ...]
    cwd: bytes | None
    uid: int
    euid: int
    suid: int
    gid: int
    egid: int
    sgid: int
    tty_nr: int
    started: float
    threads: int


@dataclass(frozen=True, slots=True)
class _Stat:
    comm: bytes
    ppid: int
    tty_nr: int
    threads: int
    start_ticks: int


def read_process(pid: int, *, root: Path = PROC) -> ProcessSnapshot | None:
    """Read one process; None where there is none, or it ended or was replaced while being read."""
    folder = root / str(pid)
    try:
        # An exec on the way would give the name of one program and the arguments of another.
        for _ in range(3):
            before = _parse_stat((folder / "stat").read_bytes())
            snapshot = _read(pid, folder, before, root)
            after = _parse_stat((folder / "stat").read_bytes())
            if (before.start_ticks, before.comm) == (after.start_ticks, after.comm):
                return snapshot
    except (OSError, ValueError, IndexError, KeyError):
        return None
    return None


def snapshot(*, root: Path = PROC) -> Iterator[ProcessSnapshot]:
    """Yield every process that can be seen, by pid; one that ends meanwhile is left out."""
    pids = sorted(int(entry.name) for entry in root.iterdir() if entry.name.isdecimal())
    for pid in pids:
        if (process := read_process(pid, root=root)) is not None:
            yield process


def start_time(pid: int, *, root: Path = PROC) -> float | None:
    """Return what ProcessSnapshot.started would be, reading one file; None without the process."""
    try:
        ticks = _parse_stat((root / str(pid) / "stat").read_bytes()).start_ticks
        return _boot_time(root) + ticks / _TICKS_PER_SECOND
    except (OSError, ValueError, IndexError):
        return None


def script_of(process: ProcessSnapshot, *, root: Path = PROC) -> bytes | None:
    """Return the absolute path of the `#!` script that a process runs, None if it runs none.

    For a script the kernel puts the interpreter, its optional argument and the script's path in
    front of the arguments (fs/binfmt_script.c) and names the process after the script, cut at
    15 bytes (begin_new_exec() in fs/exec.c). An applet of a multi-call binary also has a name
    that is not its executable's, but its own name as args[0].
    """
    if not process.args:
        return None
    program = process.exe if process.exe is not None else process.args[0]
    if process.comm in (_comm_of(program), _comm_of(process.args[0])):
        return None
    for argument in process.args[1:4]:
        if not argument or _comm_of(argument) != process.comm:
            continue
        if argument.startswith(b"/"):
            path = argument
        elif process.cwd is not None:
            path = os.path.normpath(os.path.join(process.cwd, argument))  # noqa: PTH118 - paths as bytes
        else:
            continue
        if _may_be_script(process.pid, path, root):
            return path
    return None


def _read(pid: int, folder: Path, fields: _Stat, root: Path) -> ProcessSnapshot:
    ids = _parse_ids((folder / "status").read_bytes())
    uid, euid, suid = ids[b"Uid"]
    gid, egid, sgid = ids[b"Gid"]
    return ProcessSnapshot(
        pid=pid,
        ppid=fields.ppid,
        comm=fields.comm,
        exe=_link(folder / "exe"),
        args=_parse_cmdline((folder / "cmdline").read_bytes()),
        cwd=_link(folder / "cwd"),
        uid=uid,
        euid=euid,
        suid=suid,
        gid=gid,
        egid=egid,
        sgid=sgid,
        tty_nr=fields.tty_nr,
        started=_boot_time(root) + fields.start_ticks / _TICKS_PER_SECOND,
        threads=fields.threads,
    )


def _parse_stat(data: bytes) -> _Stat:
    """Parse stat: comm may hold anything, so it ends at the last parenthesis."""
    start, end = data.index(b"("), data.rindex(b")")
    # The first of these is field 3, state.
    fields = data[end + 1 :].split()
    return _Stat(
        comm=data[start + 1 : end],
        ppid=int(fields[4 - 3]),
        tty_nr=int(fields[7 - 3]),
        threads=int(fields[20 - 3]),
        start_ticks=int(fields[22 - 3]),
    )


def _parse_ids(status: bytes) -> dict[bytes, tuple[int, int, int]]:
    """Parse the Uid and Gid lines of status: real, effective, saved (and the file system's)."""
    found = {}
    for line in status.split(b"\n"):
        name, _, value = line.partition(b":")
        if name in (b"Uid", b"Gid"):
            real, effective, saved = (int(number) for number in value.split()[:3])
            found[name] = (real, effective, saved)
    return found


def _parse_cmdline(data: bytes) -> tuple[bytes, ...]:
    return tuple(data.removesuffix(b"\0").split(b"\0")) if data else ()


def _link(path: Path) -> bytes | None:
    try:
        target = os.fsencode(path.readlink())
    except OSError:
        return None
    return target.removesuffix(_DELETED)


def _boot_time(root: Path) -> float:
    """Return the epoch seconds that start times count from.

    btime in /proc/stat is cut to whole seconds; the clocks of the running kernel say it exactly.
    """
    if root == PROC:
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for line in (root / "stat").read_bytes().split(b"\n"):
        if line.startswith(b"btime "):
            return float(line[6:])
    raise ValueError("no btime")


def _comm_of(path: bytes) -> bytes:
    return path.rpartition(b"/")[2][:COMM_SIZE]


def _may_be_script(pid: int, path: bytes, root: Path) -> bool:
    """Whether nothing speaks against a file being a script: it is not there, or not to be read."""
    # The process's own view first: it may live in another mount namespace.
    for prefix in (os.fsencode(root / str(pid) / "root"), b""):
        try:
            fd = os.open(prefix + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        try:
            return os.read(fd, 2) == b"#!"
        except OSError:
            return False
        finally:
            os.close(fd)
    return True
