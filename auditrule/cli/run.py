"""``auditrule run``: the daemon put together from its settings."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auditrule.alerts.sink import FileSink, StreamSink
from auditrule.audit.reassembly import Reassembler
from auditrule.config import SettingsError, load_settings
from auditrule.daemon import Daemon
from auditrule.ecs.catalogue import catalogue
from auditrule.ecs.live import ProcProcesses
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.pipeline import DocumentReader
from auditrule.resources import bundled_rules
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.rules.runnable import runnable
from auditrule.source.accounts import Accounts
from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.stream import StreamSource
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from auditrule.alerts.sink import Sink
    from auditrule.config import Settings
    from auditrule.source.waiting import LineSource

_log = logging.getLogger("auditrule")
_STANDARD = "-"


def run_daemon(
    config: Path | None, *, source: str | None, rules: list[Path] | None, output: str | None
) -> bool:
    """Run until a signal or the input's end; tell whether all went well."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        return False
    logging.getLogger().setLevel(settings.logging.level.upper())
    # What it warns of (an overflowing queue) costs time, never lines: the tail looks for itself.
    logging.getLogger("watchdog").setLevel(logging.ERROR)
    detector = _detector(rules or list(settings.rules.paths), settings.rules.max_open)
    if detector is None:
        return False
    try:
        return _run(
            settings,
            detector,
            source=source or str(settings.log.path),
            output=output or str(settings.alerts.path),
        )
    except SourceError as error:
        _log.error("%s", error)
        return False


def _detector(paths: list[Path], max_open: int) -> Detector | None:
    """Load the rules; what is broken is said, and stops the daemon only if no rule is left."""
    found = load_rules(paths or [bundled_rules()])
    for error in found.errors:
        _log.error("broken rule: %s", error)
    running = runnable(found, catalogue())
    for notice in running.notices:
        _log.warning("%s", notice)
    if not running.rules:
        _log.error("there is no rule to run")
        return None
    _log.info("rules: %d run", len(running.rules))
    return Detector(running.rules, max_open=max_open)


def _run(settings: Settings, detector: Detector, *, source: str, output: str) -> bool:
    try:
        sink = _open_sink(output)
    except OSError as error:
        _log.error("%s: %s", output, plain_reason(error))
        return False
    try:
        lines = _open_source(settings, source)
        daemon = Daemon(
            source=lines,
            reader=_reader(settings),
            detector=detector,
            sink=sink,
            max_age=settings.reassembly.max_age,
        )
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: daemon.stop())
            _log.info("following %s, alerts go to %s", source, output)
            daemon.run()
        finally:
            lines.close()
    except OSError as error:
        _log.error("%s: %s", output, plain_reason(error))
        return False
    finally:
        sink.close()
    counts = daemon.counts
    _log.info(
        "stopped after %d records, %d execs, %d alerts, %d unparsed lines",
        counts.records,
        counts.execs,
        counts.alerts,
        counts.unparsed,
    )
    return True


def _open_sink(output: str) -> Sink:
    if output == _STANDARD:
        return StreamSink(sys.stdout)
    path = Path(output)
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    return FileSink(path)


def _open_source(settings: Settings, source: str) -> LineSource:
    if source == _STANDARD:
        return StreamSource(sys.stdin.fileno(), max_line=settings.log.max_line)
    return Tail(Path(source), start=settings.log.start, max_line=settings.log.max_line)


def _reader(settings: Settings) -> DocumentReader:
    """Return the reader of this host's log, knowing its processes and accounts."""
    accounts = Accounts()
    processes = ProcProcesses(accounts) if settings.processes.proc else None
    table = ProcessTable(
        max_processes=settings.processes.max_processes,
        max_bytes=settings.processes.max_bytes,
        live=processes,
    )
    if processes is not None:
        table.fill(processes.all(), now_ms=int(time.time() * 1000))
    limits = settings.reassembly
    return DocumentReader(
        reassembler=Reassembler(
            max_pending=limits.max_pending, max_age=limits.max_age, max_bytes=limits.max_bytes
        ),
        mapper=DocumentMapper(
            table=table,
            host=HostIdentity(settings.host.name or socket.gethostname(), _machine_id()),
            names=accounts,
        ),
    )


def _machine_id() -> str | None:
    """Return the host's id, machine-id(5), None where it has none."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text or None
