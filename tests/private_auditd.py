"""A private auditd: own folder, own log, the kernel's audit borrowed and put back.

The kernel has one audit queue and one daemon that owns it, so this refuses to start wherever audit
is in use. See auditd(8), auditd.conf(5) and auditctl(8).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

LogFormat = Literal["RAW", "ENRICHED"]

_CONFIG = """\
log_file = {log}
log_format = {log_format}
log_group = root
write_logs = yes
local_events = yes
flush = INCREMENTAL_ASYNC
freq = 50
num_logs = {num_logs}
max_log_file = {max_log_file}
max_log_file_action = ROTATE
name_format = NONE
plugin_dir = {plugins}
space_left = 75
space_left_action = SYSLOG
admin_space_left = 50
admin_space_left_action = SUSPEND
disk_full_action = SUSPEND
disk_error_action = SUSPEND
"""
_POLL_SECONDS = 0.01


class AuditUnavailableError(RuntimeError):
    """The kernel's audit cannot be borrowed here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class KernelAudit:
    """What `auditctl -s` says: the state to put back, and the counters to compare."""

    enabled: int
    pid: int
    backlog_limit: int
    lost: int

    @classmethod
    def read(cls) -> Self:
        """Ask the kernel; AuditUnavailableError where it does not answer."""
        answer = subprocess.run(
            [_path_of("auditctl"), "-s"], capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            raise AuditUnavailableError(f"the kernel has no audit: {answer.stderr.strip()}")
        values = dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
        return cls(**{name: int(values[name]) for name in cls.__slots__})


def check_available() -> KernelAudit:
    """Return the kernel's audit state; AuditUnavailableError says why it may not be borrowed."""
    if os.geteuid() != 0:
        raise AuditUnavailableError("not root")
    _path_of("auditd")
    state = KernelAudit.read()
    if state.pid != 0:
        raise AuditUnavailableError(f"process {state.pid} already owns the kernel's audit")
    if state.enabled == 2:
        raise AuditUnavailableError("the audit rules are locked until the next boot")
    rules = _auditctl("-l").strip()
    if rules != "No rules":
        raise AuditUnavailableError("audit rules are loaded already (auditctl -l)")
    return state


def _path_of(tool: str) -> str:
    # A search along PATH by the new process would itself be recorded, as failed execs.
    path = shutil.which(tool)
    if path is None:
        raise AuditUnavailableError(f"not installed: {tool}")
    return path


def _auditctl(*arguments: str) -> str:
    answer = subprocess.run(
        [_path_of("auditctl"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    )
    if answer.returncode != 0:
        said = (answer.stderr + answer.stdout).strip()
        raise RuntimeError(f"auditctl {' '.join(arguments)}: exit {answer.returncode}: {said}")
    return answer.stdout


class PrivateAuditd:
    """A running auditd whose log is `log`; on leaving, the kernel's audit is as it was before.

    `folder` is made if need be and holds `conf/`, `log/` and `output` (what auditd said).
    `rules` is a file for `auditctl -R`. `plugins` maps file names below `conf/plugins.d` to
    their text. `max_log_file` is in mebibytes, as in auditd.conf.
    """

    def __init__(
        self,
        folder: Path,
        rules: Path,
        *,
        log_format: LogFormat = "ENRICHED",
        max_log_file: int = 256,
        num_logs: int = 9,
        backlog_limit: int = 65536,
        plugins: Mapping[str, str] | None = None,
        timeout: float = 15.0,
    ) -> None:
        self.folder = folder
        self.log = folder / "log" / "audit.log"
        self._rules = rules
        self._settings = {
            "log_format": log_format,
            "max_log_file": max_log_file,
            "num_logs": num_logs,
        }
        self._backlog_limit = backlog_limit
        self._plugins = dict(plugins or {})
        self._timeout = timeout
        self._before: KernelAudit | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        if self._daemon is None:
            raise RuntimeError("auditd is not running")
        return self._daemon.pid

    @property
    def lost(self) -> int:
        """Events the kernel dropped since this auditd started."""
        before = self._before.lost if self._before is not None else 0
        return KernelAudit.read().lost - before

    def __enter__(self) -> Self:
        self._before = check_available()
        try:
            config = self._write_config()
            with (self.folder / "output").open("wb") as output:
                # A session of its own, so that Ctrl-C reaches only the one who restores the kernel.
                self._daemon = subprocess.Popen(
                    [_path_of("auditd"), "-n", "-c", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._until(lambda: KernelAudit.read().pid == self.pid, "auditd owns the audit")
            self.wait_for(b"type=DAEMON_START ")
            _auditctl("-b", str(self._backlog_limit))
            _auditctl("-e", "1")
            _auditctl("-R", str(self._rules))
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def wait_for(
        self,
        wanted: bytes | Callable[[bytes], bool],
        *,
        since: int = 0,
        timeout: float | None = None,
    ) -> bytes:
        """Return the log from byte `since` on, once it holds `wanted`; TimeoutError otherwise."""
        seen = b""

        def holds() -> bool:
            nonlocal seen
            seen = self._read(since)
            return wanted in seen if isinstance(wanted, bytes) else wanted(seen)

        self._until(holds, f"the log holds {wanted!r}", timeout)
        return seen

    def settle(self) -> None:
        """Return once every event that happened before the call is in the log.

        auditd writes in the order of the kernel's queue, so a record of our own that has come
        through says that all earlier ones have.
        """
        token = f"auditrule-settle-{uuid.uuid4().hex}"
        since = self.log.stat().st_size
        _auditctl("-m", token)
        self.wait_for(token.encode("ascii"), since=since)

    def rotate(self) -> None:
        """Let auditd rotate its log (SIGUSR1), and return when the new `log` is there."""
        self.settle()
        old = self.log.stat().st_ino
        os.kill(self.pid, signal.SIGUSR1)
        self._until(lambda: self.log.exists() and self.log.stat().st_ino != old, "a rotated log")

    def stop(self) -> None:
        """End auditd early and put the kernel's state back; leaving the context does the same."""
        self._restore()

    def _write_config(self) -> Path:
        config = self.folder / "conf"
        plugins = config / "plugins.d"
        for path in (config, plugins, self.log.parent):
            path.mkdir(parents=True, exist_ok=True, mode=0o750)
        text = _CONFIG.format(log=self.log, plugins=plugins, **self._settings)
        for path, content in [
            (config / "auditd.conf", text),
            *((plugins / name, content) for name, content in self._plugins.items()),
        ]:
            path.write_text(content, encoding="utf-8")
            path.chmod(0o640)
        return config

    def _read(self, since: int) -> bytes:
        try:
            with self.log.open("rb") as log:
                log.seek(since)
                return log.read()
        except FileNotFoundError:
            return b""

    def _until(
        self, condition: Callable[[], bool], what: str, timeout: float | None = None
    ) -> None:
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        while not condition():
            if self._daemon is not None and self._daemon.poll() is not None:
                said = (self.folder / "output").read_text(errors="replace")
                raise RuntimeError(f"auditd ended by itself: {said}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in time: {what}")
            time.sleep(_POLL_SECONDS)

    def _restore(self) -> None:
        before, self._before = self._before, None
        daemon, self._daemon = self._daemon, None
        if before is None:
            return
        steps: list[Callable[[], object]] = [lambda: _auditctl("-D")]
        if daemon is not None:
            steps.append(lambda: _end(daemon, self._timeout))
        steps += [
            lambda: _auditctl("-e", str(before.enabled)),
            lambda: _auditctl("-b", str(before.backlog_limit)),
        ]
        errors: list[Exception] = []  # collected, since each remaining step must still run
        for step in steps:
            try:
                step()
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("the kernel's audit state was not wholly restored", errors)


def _end(daemon: subprocess.Popen[bytes], timeout: float) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
