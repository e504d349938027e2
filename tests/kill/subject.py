"""The daemon under test, and the writer: processes that are started, told and killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kill.traffic import RULES, Expected

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from kill.writer import WriterSettings

TESTS = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds after which a process that does not do what it must is taken to be stuck."""
_TICKS = os.sysconf("SC_CLK_TCK")


class StuckError(Exception):
    """A process ended by itself, or does not do what it must; the text tells which and why."""


class Folder:
    """Where a run takes place: the log, the rules, the state, the alerts, the daemon's own log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log" / "audit.log"
        self.rules = path / "rules"
        self.state = path / "state"
        self.alerts = path / "alerts" / "alerts.ndjson"
        self.config = path / "auditrule.toml"
        self.expected = path / "expected.json"
        for folder in (self.log.parent, self.rules, self.alerts.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in RULES.items():
            (self.rules / f"{name}.toml").write_text(text)

    def configure(
        self,
        *,
        interval: float = 0.05,
        fsync: str = "never",
        rotate_size: int = 0,
        compress: bool = False,
        max_age: float = 5.0,
    ) -> None:
        """Write the daemon's settings; no alert file is ever removed."""
        self.config.write_text(
            f'[log]\npath = "{self.log}"\nstart = "beginning"\n'
            f'[rules]\npaths = ["{self.rules}"]\n'
            f'[state]\npath = "{self.state}"\ninterval = {interval}\n'
            f'[alerts]\npath = "{self.alerts}"\nfsync = "{fsync}"\nrotate_size = {rotate_size}\n'
            f"keep = 10000\ncompress = {str(compress).lower()}\n"
            '[host]\nname = "kill"\n'
            f"[reassembly]\nmax_age = {max_age}\n"
            "[processes]\nproc = false\n"
            '[logging]\nlevel = "info"\n'
        )

    def expectations(self) -> list[Expected]:
        return [Expected(*each) for each in json.loads(self.expected.read_text())]


class Subject:
    """A daemon that is started over and over; what it says is kept in one file a run."""

    def __init__(
        self,
        folder: Folder,
        *,
        program: Sequence[str] = (sys.executable, "-m", "auditrule"),
    ) -> None:
        self._folder = folder
        self._command = [*program, "run", "--config", str(folder.config)]
        self.starts = 0
        self.start_seconds = 1.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What the run at hand, or the last one, has written to its log."""
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def _log(self) -> Path:
        return self._folder.path / f"daemon-{self.starts}.log"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that the run has taken so far, 0 when it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def start(self) -> None:
        self.starts += 1
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def is_ready(self) -> bool:
        """Tell whether the daemon follows the log. Raises StuckError where it has ended."""
        self.check()
        return "following" in self.said

    def check(self) -> None:
        """Raise StuckError if the daemon has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            code = self._process.returncode
            raise StuckError(f"the daemon ended by itself ({code}): {self.said[-2000:]}")

    def wait_ready(self) -> None:
        """Wait until the daemon follows the log, and learn how long that takes."""
        began = time.monotonic()
        self.wait_until(self.is_ready, "the daemon is ready")
        self.start_seconds += (time.monotonic() - began - self.start_seconds) / 4

    def wait_until(self, condition: Callable[[], bool], what: str, *, step: float = 0.02) -> None:
        """Return once `condition` holds; StuckError if it does not in time or the daemon ends."""

        def holds() -> bool:
            if condition():
                return True
            self.check()
            return False

        wait_for(holds, what, lambda: self.said, step=step)

    def wait_until_said(self, what: str) -> None:
        """Return once the daemon's log holds `what`."""
        self.wait_until(lambda: what in self.said, f"it says {what!r}")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as the kernel's out-of-memory killer does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask for the end; return the exit status, negative where the signal itself ended it."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StuckError(f"SIGTERM did not end the daemon: {self.said[-2000:]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.kill()


class WriterProcess:
    """The writer (`writer.py`), told by commands; each returns when it is done."""

    def __init__(self, settings: WriterSettings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kill.writer", settings.to_json()],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode().strip()
        if answer != command:
            raise StuckError(f"the writer did not {command}: {answer!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def wait_for(
    condition: Callable[[], bool],
    what: str,
    explain: Callable[[], str] = lambda: "",
    *,
    seconds: float = PATIENCE,
    step: float = 0.02,
) -> None:
    """Return once `condition` holds; StuckError if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise StuckError(f"not in time: {what}; {explain()[-2000:]}")
        time.sleep(step)
