"""The daemon's own log, on standard error: for people, for the journal, or as JSON.

What the daemon says may hold what an attacker chose. So nothing of it reaches the stream raw that
could begin a line, colour a terminal or end a JSON string, and no place in the code can be made to
say more than a few lines a minute.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

from auditrule.alerts.model import printable

if TYPE_CHECKING:
    from collections.abc import Callable

# Of one place in the code: so many lines at first, and, while it goes on, so many in each interval
# of so many seconds.
BURST = 20
RATE = 5
INTERVAL = 60.0

# journald cuts lines at 48 KiB (LineMax= in journald.conf(5)).
_LONGEST = 8000
_SHOWN_AGAIN = 200
_ECS_VERSION = "8.17.0"


def set_up_logging(
    level: str,
    format: Literal["text", "json"],  # noqa: A002 - the setting's name
    *,
    stream: TextIO | None = None,
) -> None:
    """Let all loggers write to `stream`, standard error if None, from `level` on.

    Replaces what was set up before, so it can be called again when settings are read anew.
    """
    stream = stream if stream is not None else sys.stderr
    formatter: logging.Formatter
    if format == "json":
        formatter = JsonFormatter()
    else:
        formatter = JournalFormatter() if _is_journal(stream) else TextFormatter()
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    handler = LimitedHandler(stream)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level.upper())


def tell_suppressed() -> None:
    """Say how many lines were kept back in the intervals that have ended; cheap, call it often.

    Without it, that is said only when something else is logged, and at the end.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LimitedHandler):
            handler.tell_suppressed()


@dataclass(slots=True)
class _Site:
    """A place in the code that logs, and how it fared since `began`."""

    began: float
    budget: int
    name: str
    level: int
    shown: int = 0
    kept_back: int = 0
    last: str = ""


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes at most BURST records of one place in the code, then RATE in each INTERVAL.

    The first of a place is never kept back, nor, after a quiet interval, the next. How many were
    kept back is said when their interval has ended. A stream that cannot be written to is no
    error: the daemon has better things to do than to log.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._sites: dict[tuple[str, int], _Site] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, or count it."""
        now = self._clock()
        self._tell(now)
        key = (record.pathname, record.lineno)
        site = self._sites.get(key)
        if site is None:
            site = self._sites[key] = _Site(now, BURST, record.name, record.levelno)
        if site.shown >= site.budget:
            site.kept_back += 1
            return
        site.shown += 1
        if site.shown == site.budget:
            site.last = _message(record, _SHOWN_AGAIN)
        super().emit(record)

    def tell_suppressed(self) -> None:
        """Say what was kept back in the intervals that have ended."""
        self._tell_locked(self._clock())

    def close(self) -> None:
        """Say what was kept back and not told yet."""
        self._tell_locked(float("inf"))
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Let it be."""

    def _tell_locked(self, now: float) -> None:
        self.acquire()
        try:
            self._tell(now)
        finally:
            self.release()

    def _tell(self, now: float) -> None:
        over = [key for key, site in self._sites.items() if now - site.began >= INTERVAL]
        for key in over:
            site = self._sites.pop(key)
            if site.kept_back:
                self._sites[key] = _Site(now, RATE, site.name, site.level)
                super().emit(_summary(site, key))


def _summary(site: _Site, key: tuple[str, int]) -> logging.LogRecord:
    return logging.LogRecord(
        site.name,
        site.level,
        *key,
        "%d more like this within %d s: %s",
        (site.kept_back, INTERVAL, site.last),
        None,
    )


class TextFormatter(logging.Formatter):
    """`TIME LEVEL: MESSAGE`, one line; a traceback follows on lines that begin with `  | `."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of `record`, without the last newline."""
        lines = [f"{_time(record)} {record.levelname}: {_message(record)}", *_traceback(record)]
        return "\n".join(lines)


class JournalFormatter(logging.Formatter):
    """Lines for the journal, which knows the time and takes `<N>` for the level, sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of `record`, without the last newline."""
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + line for line in (_message(record), *_traceback(record)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII, with ECS's names."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of `record`."""
        document: dict[str, object] = {
            "@timestamp": _time(record),
            "log.level": record.levelname.lower(),
            "message": _message(record),
            "ecs.version": _ECS_VERSION,
            "log.logger": record.name,
            "process.pid": record.process,
        }
        if record.exc_info and record.exc_info[0] is not None:
            document["error.type"] = record.exc_info[0].__name__
            document["error.message"] = _one_line(str(record.exc_info[1]))
            document["error.stack_trace"] = "\n".join(_stack(record))
        return json.dumps(document)


_FORMATTER = logging.Formatter()


def _message(record: logging.LogRecord, length: int = _LONGEST) -> str:
    try:
        text = record.getMessage()
    except Exception:  # a mistake in the call's arguments must not stop the daemon
        text = str(record.msg)
    return _one_line(text, length)


def _one_line(text: str, length: int = _LONGEST) -> str:
    shown = printable(text[:length])
    return shown if len(text) <= length else shown + "…"


def _traceback(record: logging.LogRecord) -> list[str]:
    """Return the traceback as lines that cannot be taken for records of the log."""
    return [f"  | {line}" for line in _stack(record)]


def _stack(record: logging.LogRecord) -> list[str]:
    """Return the lines of the traceback; those of the exception's own text are among them."""
    if not record.exc_info:
        return []
    text = _FORMATTER.formatException(record.exc_info)
    # An exception may hold any text: its end is worth more than its middle.
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n…\n{text[-_LONGEST // 2 :]}"
    return [printable(line) for line in text.split("\n")]


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _priority(level: int) -> int:
    """Return syslog(3)'s number of a level."""
    for least, priority in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4)):
        if level >= least:
            return priority
    return 6 if level >= logging.INFO else 7


def _is_journal(stream: TextIO) -> bool:
    """Tell whether the stream goes to the journal: JOURNAL_STREAM in systemd.exec(5).

    The variable is inherited by processes whose standard error goes elsewhere.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
