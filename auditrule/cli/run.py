"""``auditrule run``: the daemon put together from its settings."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auditrule.alerts.file import AlertFile
from auditrule.alerts.retrying import RetryingSink, SinkStoppedError
from auditrule.alerts.sink import StreamSink
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.serials import SerialWatch
from auditrule.cli.starting import loaded
from auditrule.config import DEFAULT_FILE, SettingsError, load_settings
from auditrule.daemon.control import Control
from auditrule.daemon.logs import set_up_logging
from auditrule.daemon.loop import Daemon
from auditrule.daemon.memory import Memory
from auditrule.daemon.outlet import Outlet
from auditrule.daemon.permissions import denied_by, needless_root
from auditrule.daemon.reload import Reloader
from auditrule.daemon.resume import take_up
from auditrule.daemon.ruleset import RulesRefusedError, prepare_detector, refuse_unsafe
from auditrule.daemon.rulewatch import RuleWatching
from auditrule.daemon.vitals import Vitals
from auditrule.ecs.live import ProcProcesses
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.reader import DocumentReader
from auditrule.source.accounts import Accounts
from auditrule.source.checkpoint import StateError, StateFolder
from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.stream import StreamSource
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from auditrule.alerts.sink import Sink
    from auditrule.config import Settings
    from auditrule.daemon.resume import Beginning
    from auditrule.daemon.ruleset import Prepared
    from auditrule.source.waiting import LineSource

_log = logging.getLogger("auditrule")
_STANDARD = "-"
_SHOWN = {"source": "standard input", "output": "standard output"}


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says in place of the settings."""

    config: Path | None = None
    source: str | None = None
    rules: tuple[Path, ...] = ()
    output: str | None = None
    state: Path | None = None


def run_daemon(options: Options) -> bool:
    """Run until a signal or the input's end; tell whether all went well."""
    control = Control()
    # auditd passes a SIGHUP on to a plugin that it has only just started.
    signal.signal(signal.SIGHUP, lambda *_: control.reload())
    try:
        settings = load_settings(options.config)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        return False
    set_up_logging(settings.logging.level, settings.logging.format)
    try:
        refuse_unsafe([options.config or DEFAULT_FILE])
        prepared = prepare_detector(
            options.rules or settings.rules.paths, max_open=settings.rules.max_open, strict=False
        )
        with contextlib.ExitStack() as stack:
            return _run(settings, options, prepared, control, stack)
    except (RulesRefusedError, StateError, SourceError) as error:
        for line in str(error).splitlines():
            _log.error("%s", line)
        return False


def _run(
    settings: Settings,
    options: Options,
    prepared: Prepared,
    control: Control,
    stack: contextlib.ExitStack,
) -> bool:
    loaded()
    detector = prepared.detector
    source = options.source or str(settings.log.path)
    output = options.output or str(settings.alerts.path)
    log = None if source == _STANDARD else Path(source).absolute()
    alerts = None if output == _STANDARD else Path(output).absolute()
    if (log is None and sys.stdin is None) or (alerts is None and sys.stdout is None):
        _log.error("%s is closed", _shown("source" if log is None else "output", _STANDARD))
        return False
    if log is not None and (warning := needless_root(log)):
        _log.warning("%s", warning)
    memory = _memory(settings, options, log, alerts, stack)
    try:
        kept = _open_sink(settings, alerts)
    except OSError as error:
        _log.error("%s: %s", output, plain_reason(error))
        return False
    sink = RetryingSink(kept, control.pause, name=_shown("output", output))
    stack.callback(_close, sink)
    beginning, reader = take_up(
        memory,
        detector,
        lambda fill: _reader(settings, fill=fill),
        log=log,
        alerts=alerts,
        start=settings.log.start,
    )
    lines = _open_source(settings, log, beginning)
    stack.callback(lines.close)
    watching = RuleWatching(control.reload)
    stack.callback(watching.close)
    reloader = Reloader(
        settings,
        config=options.config,
        rules=options.rules,
        watch=watching.watch,
        broken_rules=prepared.broken,
    )
    daemon = Daemon(
        source=lines,
        reader=reader,
        detector=detector,
        outlet=Outlet(sink, written=beginning.written, known=beginning.known, last=beginning.last),
        control=control,
        max_age=settings.reassembly.max_age,
        memory=memory,
        reload=reloader,
    )
    vitals = stack.enter_context(
        Vitals(
            daemon,
            source=source,
            sink=sink,
            memory=memory,
            reloader=reloader,
            metrics=settings.metrics,
        )
    )
    control.alive = vitals.tick
    reloader.watch()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: control.stop())
    try:
        daemon.start()
        _log.info(
            "following %s, alerts go to %s", _shown("source", source), _shown("output", output)
        )
        vitals.ready()
        done = daemon.run()
    except OSError as error:
        _log.error("%s: %s", error.filename or _shown("output", output), plain_reason(error))
        return False
    except SinkStoppedError as error:
        # The state that was kept last is from before the alert that could not be written.
        _log.error("stopped while alerts could not be written: %s", error)
        return False
    counts = daemon.counts
    _log.info(
        "stopped after %d records, %d execs, %d alerts, %d unparsed lines",
        counts.records,
        counts.execs,
        counts.alerts,
        counts.unparsed,
    )
    return done


def _shown(what: str, name: str) -> str:
    return _SHOWN[what] if name == _STANDARD else name


def _memory(
    settings: Settings,
    options: Options,
    log: Path | None,
    alerts: Path | None,
    stack: contextlib.ExitStack,
) -> Memory | None:
    """Return where the state is kept; None where alerts go to a stream, which proves nothing."""
    if alerts is None and options.state is None:
        return None
    folder = stack.enter_context(StateFolder(options.state or settings.state.path))
    # The same log by whatever name.
    source = _STANDARD if log is None else os.path.realpath(log)
    return Memory(folder, source, interval=settings.state.interval)


def _open_sink(settings: Settings, alerts: Path | None) -> Sink:
    if alerts is None:
        return StreamSink(sys.stdout)
    alerts.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    kept = settings.alerts
    return AlertFile(
        alerts,
        fsync=kept.fsync,
        fsync_interval=kept.fsync_interval,
        mode=int(kept.mode, 8),
        group=kept.group,
        rotate_size=kept.rotate_size,
        rotate_age=kept.rotate_age,
        keep=kept.keep,
        compress=kept.compress,
    )


def _close(sink: Sink) -> None:
    with contextlib.suppress(OSError):
        sink.close()


def _open_source(settings: Settings, log: Path | None, beginning: Beginning) -> LineSource:
    if log is None:
        return StreamSource(sys.stdin.fileno(), max_line=settings.log.max_line)
    recollection = beginning.recollection
    try:
        return Tail(
            log,
            start=beginning.start,
            resume=None if recollection is None else recollection.position,
            max_line=settings.log.max_line,
        )
    except SourceError as error:
        if hint := denied_by(log):
            raise SourceError(error.path, f"{error.reason}: {hint}") from error
        raise


def _reader(settings: Settings, *, fill: bool) -> DocumentReader:
    """Return the reader of this host's log, knowing its processes and accounts."""
    accounts = Accounts()
    processes = ProcProcesses(accounts) if settings.processes.proc else None
    table = ProcessTable(
        max_processes=settings.processes.max_processes,
        max_bytes=settings.processes.max_bytes,
        live=processes,
    )
    if processes is not None and fill:
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
        serials=SerialWatch(),
    )


def _machine_id() -> str | None:
    """Return the host's id, machine-id(5), None where it has none."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text or None
