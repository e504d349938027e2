"""``auditrule run`` as a process of its own, for tests."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 30.0


class Running:
    """A daemon that writes its alerts to a pipe and its log to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._unread = b""

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def alert(self) -> dict[str, Any]:
        """Return the next alert; fail if none comes in time."""
        assert self.process.stdout is not None
        end = time.monotonic() + DEADLINE
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            assert ready, f"no alert in time; the daemon's log: {self.log}"
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, f"the daemon ended; its log: {self.log}"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[dict[str, Any]]:
        """Send the signal; return the alerts that were still to come."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        lines = (self._unread + self.process.stdout.read()).splitlines()
        assert self.process.wait(DEADLINE) == 0, self.log
        return [json.loads(line) for line in lines]


@contextmanager
def running(tmp_path: Path, *options: str, **more: Any) -> Iterator[Running]:
    """Start a daemon; on the way in wait until it follows its input."""
    log = tmp_path / "daemon.log"
    settings = tmp_path / "auditrule.toml"
    if not settings.exists():
        settings.write_text("")
    command = [sys.executable, "-m", "auditrule", "run", "--config", str(settings), *options]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [*command, "-o", "-"], stdout=subprocess.PIPE, stderr=stderr, **more
        ) as process,
    ):
        daemon = Running(process, log)
        try:
            end = time.monotonic() + DEADLINE
            while "following" not in daemon.log:
                assert process.poll() is None, daemon.log
                assert time.monotonic() < end, daemon.log
                time.sleep(0.02)
            yield daemon
        finally:
            if process.poll() is None:
                process.kill()
