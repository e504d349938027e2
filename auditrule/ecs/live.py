"""A live host's processes for the process table, from /proc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditrule.audit.process import absolute, basename
from auditrule.audit.text import decode_text
from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.source import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditrule.ecs.who import Names
    from auditrule.source.procfs import ProcessSnapshot


class ProcProcesses:
    """Answers a ProcessTable from /proc (auditrule.ecs.process_table.LiveProcesses).

    Without the privilege to read other users' ``/proc/PID/exe``, what a process runs is told by
    its command line: a script's path is known all the same, a program's is not.
    """

    def __init__(self, names: Names, *, root: Path = procfs.PROC) -> None:
        self._names = names
        self._root = root

    def all(self) -> Iterator[ProcessEntry]:
        """Yield the processes that run now, kernel threads left out."""
        for snapshot in procfs.snapshot(root=self._root):
            if snapshot.args or snapshot.exe:
                yield self._entry(snapshot)

    def find(self, pid: int) -> ProcessEntry | None:
        """Return the process that has `pid` now, None if there is none."""
        snapshot = procfs.read_process(pid, root=self._root)
        return None if snapshot is None else self._entry(snapshot)

    def started_ms(self, pid: int) -> int | None:
        """Return when the process that has `pid` now was made, None if there is none."""
        started = procfs.start_time(pid, root=self._root)
        return None if started is None else int(started * 1000)

    def _entry(self, snapshot: ProcessSnapshot) -> ProcessEntry:
        script = procfs.script_of(snapshot)
        path = script if script is not None else snapshot.exe
        full = None if path is None else absolute(path, snapshot.cwd) or snapshot.exe
        name = basename(path) if path is not None else snapshot.comm
        return ProcessEntry(
            pid=snapshot.pid,
            image=Image(
                executable=None if full is None else decode_text(full),
                name=decode_text(name) or None,
                args=tuple(decode_text(argument) for argument in snapshot.args),
                args_count=len(snapshot.args) or None,
                working_directory=None if snapshot.cwd is None else decode_text(snapshot.cwd),
                exe=None if snapshot.exe is None else decode_text(snapshot.exe),
            ),
            owner=Owner(
                user_id=snapshot.euid,
                user_name=self._names.user(snapshot.euid),
                group_id=snapshot.egid,
                group_name=self._names.group(snapshot.egid),
                interactive=snapshot.tty_nr != 0,
            ),
            started_ms=int(snapshot.started * 1000),
            serial=0,
            ppid=snapshot.ppid,
        )
