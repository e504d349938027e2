"""How the daemon is doing: told by it every few seconds, read by `auditrule status` and metrics."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path  # noqa: TC003 - pydantic needs it
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from auditrule.daemon.files import replace_file
from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS_FILE = "status.json"
LOCK_FILE = "lock"
_MODE = 0o640
_STALE_SECONDS = 15.0
_STALE_INTERVALS = 3
_BEHIND_SECONDS = 30.0
_FAR_BEHIND_SECONDS = 600.0
_QUIET = timedelta(hours=1)
# What auditd and the kernel say of themselves (auditrule.audit.serials) that a person should know.
_REPORTS = {
    "audit_disabled": "times that the kernel's audit was switched off",
    "auditd_died": "times that auditd ended without saying so",
    "auditd_error": "errors that auditd reports",
    "kernel_lost": "records that the kernel says it lost",
}


class HealthError(Exception):
    """There is no health to read; str() is one line that says why, and what to do."""


class HealthPosition(BaseModel):
    """The place after the last line that was read: a file, and the offset in bytes there."""

    model_config = ConfigDict(frozen=True)

    path: Path
    offset: int


class Health(BaseModel):
    """The daemon's state at one moment, `updated`; counts are since `started`.

    `input` is the log's path or `-`; `interval` the seconds after which this is written anew at the
    latest. `lag_bytes` are written and not read yet; `lag_seconds` is the age of the last record
    that was read, 0 where all is read. `failing` fields hold the reason while it goes on, None when
    all is well. What a later version adds is passed over when read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    pid: int
    started: AwareDatetime
    updated: AwareDatetime
    interval: float = 5.0

    input: str
    means: Literal["inotify", "polling", "stream", "none"]
    position: HealthPosition | None = None
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    log_problem: str | None = None
    rotations: int = 0
    truncations_of_log: int = 0
    gaps: int = 0

    records: int = 0
    unparsed: int = 0
    overlong: int = 0
    events: int = 0
    truncated: int = 0
    execs: int = 0
    lost_events: int = 0
    audit_reports: dict[str, int] = Field(default_factory=dict)

    rules: int = 0
    broken_rules: int = 0
    rule_failures: dict[str, int] = Field(default_factory=dict)
    reloads: int = 0
    failed_reloads: int = 0
    last_reload_error: str | None = None
    needs_restart: tuple[str, ...] = ()

    alerts: int = 0
    alerts_by_rule: dict[str, int] = Field(default_factory=dict)
    last_alert: AwareDatetime | None = None
    last_alert_rule: str | None = None
    sink_errors: int = 0
    sink_failing: str | None = None

    pending: int = 0
    processes: int = 0
    evictions: int = 0
    open_sequences: int = 0
    dropped_sequences: dict[str, int] = Field(default_factory=dict)

    last_checkpoint: AwareDatetime | None = None
    checkpoint_errors: int = 0
    checkpoint_failing: str | None = None

    def checkpoint_age(self, now: datetime) -> float | None:
        """Return the seconds since the last checkpoint, None if there was none."""
        if self.last_checkpoint is None:
            return None
        return max(0.0, (now - self.last_checkpoint).total_seconds())

    @property
    def stale_after(self) -> float:
        """The age in seconds from which on this tells that the daemon hangs."""
        return max(_STALE_SECONDS, _STALE_INTERVALS * self.interval)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know, in a plain sentence. Only a problem means that not all is well."""

    level: Literal["ok", "warning", "problem"]
    text: str


def write_health(folder: Path, health: Health) -> None:
    """Keep `health` in the state folder, mode 0640. Raises OSError."""
    replace_file(folder / STATUS_FILE, health.model_dump_json(indent=1).encode() + b"\n", _MODE)


def read_health(folder: Path) -> Health:
    """Return what the daemon last said of itself. Raises HealthError."""
    path = folder / STATUS_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if folder.is_dir():
            raise HealthError(f"{folder}: no daemon has run with this state folder yet") from None
        raise HealthError(
            f"{folder}: no such folder; is it the one of [state] path in the daemon's settings?"
        ) from None
    except PermissionError:
        raise HealthError(
            f"{path}: permission denied; ask as root, or as the user that the daemon runs as"
        ) from None
    except OSError as error:
        raise HealthError(f"{path}: {plain_reason(error)}") from None
    try:
        return Health.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join([*map(str, problem["loc"]), problem["msg"]])
        raise HealthError(f"{path}: damaged, or of another version: {reason}") from None


def is_running(folder: Path) -> bool:
    """Tell whether a daemon holds the state folder: its lock, flock(2), ends with the process.

    The lock is asked for, shared, and let go at once; who wants it for itself in that very moment
    has to ask again. Raises HealthError where that cannot be told.
    """
    path = folder / LOCK_FILE
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HealthError(f"{path}: {plain_reason(error)}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise HealthError(f"{path}: {plain_reason(error)}") from None
    finally:
        os.close(file)
    return False


def verdict(health: Health, now: datetime, alive: bool) -> list[Finding]:
    """Say what there is to know, the worst first; a single "ok" where there is nothing.

    alive: whether the daemon that wrote `health` still runs.
    """
    found = [Finding("problem", text) for text in _problems(health, now, alive)]
    found += [Finding("warning", text) for text in _warnings(health, now)]
    return found or [Finding("ok", "all is well")]


def _problems(health: Health, now: datetime, alive: bool) -> Iterator[str]:
    silent = (now - health.updated).total_seconds()
    if not alive:
        yield f"the daemon is not running; it was last seen {show_duration(silent)} ago"
    elif silent > health.stale_after:
        yield (
            f"the daemon has not told of itself for {show_duration(silent)}: it hangs, or cannot "
            "write to its state folder"
        )
    if health.log_problem is not None:
        yield f"the log cannot be read: {health.log_problem}"
    if health.rules == 0:
        yield "no rule runs"
    if health.broken_rules:
        what = "1 rule file is"
        if health.broken_rules > 1:
            what = f"{health.broken_rules} rule files are"
        yield f"{what} broken or missing, and not run; auditrule rules check tells why"
    if health.sink_failing is not None:
        yield f"alerts cannot be written, so reading waits: {health.sink_failing}"
    if health.checkpoint_failing is not None:
        yield f"the checkpoint cannot be written: {health.checkpoint_failing}"
    if health.last_reload_error is not None:
        yield f"the last reload failed, what was set before goes on: {health.last_reload_error}"
    if health.lag_seconds >= _FAR_BEHIND_SECONDS:
        yield f"reading is {show_duration(health.lag_seconds)} behind the log"


def _warnings(health: Health, now: datetime) -> Iterator[str]:
    if (health.updated - now).total_seconds() > health.stale_after:
        yield "the daemon's last sign is from the future: the clock was set back"
    if _BEHIND_SECONDS <= health.lag_seconds < _FAR_BEHIND_SECONDS:
        yield f"reading is {show_duration(health.lag_seconds)} behind the log"
    if health.records == 0 and health.updated - health.started >= _QUIET:
        yield "no record has come since the daemon started; does auditd run?"
    if health.means == "polling":
        yield "the log is polled, which is slower: inotify is not available or at its limit"
    if health.needs_restart:
        sections = ", ".join(f"[{name}]" for name in health.needs_restart)
        yield f"settings have changed that take a restart to hold: {sections}"
    for count, text in _mishaps(health):
        if count:
            yield f"{text}: {count:,} since the daemon started"


def _mishaps(health: Health) -> Iterator[tuple[int, str]]:
    """Yield what must not be overlooked though it is over: how often, and what."""
    yield health.gaps, "gaps in the log, where lines were gone before they could be read"
    yield health.lost_events, "events that were lost before they reached the log"
    for kind, text in _REPORTS.items():
        yield health.audit_reports.get(kind, 0), text
    failing = ", ".join(sorted(health.rule_failures))
    yield sum(health.rule_failures.values()), f"failures of rules ({failing})"
    yield sum(health.dropped_sequences.values()), "open sequences given up for want of room"
    if health.sink_failing is None:
        yield health.sink_errors, "errors in writing alerts, all made up for"
    if health.checkpoint_failing is None:
        yield health.checkpoint_errors, "errors in writing checkpoints, the last went well"


def show_duration(seconds: float) -> str:
    """Return a time span as a person says it, such as "3 h 20 min"."""
    whole = max(0, round(seconds))
    for size, name, part, part_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"
