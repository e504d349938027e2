"""``auditrule replay`` and ``auditrule events``."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from auditrule.alerts.sink import FileSink, StreamSink
from auditrule.cli.starting import loaded
from auditrule.ecs.catalogue import catalogue
from auditrule.replaying import Replay
from auditrule.rules.detector import Detector
from auditrule.rules.runnable import runnable
from auditrule.source.errors import SourceError, plain_reason
from auditrule.source.logset import NO_RECORDS, find_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from auditrule.alerts.model import Alert
    from auditrule.rules.ruleset import RuleSet
    from auditrule.source.logset import LogSets


_DRAWN_SECONDS = 0.1


class _TextSink:
    """Shows alerts as text for people."""

    def __init__(self, stream: TextIO) -> None:
        # What only a person at a terminal needs is not loaded for anybody else.
        from rich.console import Console

        from auditrule.cli.show import show_alert

        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._show = show_alert

    def write(self, alert: Alert) -> None:
        self._console.print(self._show(alert))


def run_replay(
    logs: list[Path],
    *,
    rules: RuleSet,
    output: str,
    output_format: str | None,
    since: datetime | None,
    until: datetime | None,
    host: str | None,
    exhaustive: bool,
    jobs: int,
    progress: bool | None,
) -> bool:
    """Replay `logs`, write the alerts, and tell whether all went well."""
    began = time.monotonic()
    running = runnable(rules, catalogue())
    for notice in running.notices:
        typer.echo(notice, err=True)
    if not running.rules:
        raise _failure("there is no rule to run")
    detector = Detector(running.rules)
    loaded()
    found = _find(logs)
    with _progress(found, progress) as on_progress:
        replay = Replay(
            found,
            host=host,
            since=since,
            until=until,
            exhaustive=exhaustive,
            jobs=jobs,
            on_progress=on_progress,
        )
        with _writer(output, output_format) as write:
            try:
                for alert in replay.alerts(detector):
                    write(alert)
            except ChildProcessError as error:
                raise _failure(str(error)) from None
    for rule_id, count in replay.dropped.items():
        typer.echo(f"{count:,} open sequences of the rule {rule_id} were given up", err=True)
    if replay.counts.records and not replay.counts.execs:
        typer.echo("no program starts in these logs: auditd has to record execve", err=True)
    typer.echo(_summary(replay, time.monotonic() - began), err=True)
    return not replay.problems and not rules.errors and not _is_incomplete(found)


def run_events(
    logs: list[Path],
    *,
    output: str,
    since: datetime | None,
    until: datetime | None,
    host: str | None,
) -> bool:
    """Write the document of each program that started, and tell whether all went well."""
    loaded()
    found = _find(logs)
    replay = Replay(found, host=host, since=since, until=until)
    with nullcontext(sys.stdout) if output == "-" else _append(output) as stream:
        for document in replay.documents():
            stream.write(document.to_json() + "\n")
        stream.flush()
    return not replay.problems and not _is_incomplete(found)


def _summary(replay: Replay, seconds: float) -> str:
    counts = replay.counts
    parts = [
        (counts.records, "record"),
        (counts.events, "process event"),
        (counts.execs, "exec"),
        (counts.alerts, "alert"),
        (counts.unparsed + replay.overlong, "unparsed line"),
    ]
    if counts.truncated:
        parts.append((counts.truncated, "truncated exec"))
    told = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in parts)
    return f"{told}, {seconds:.1f} seconds"


def _find(logs: list[Path]) -> LogSets:
    try:
        found = find_logs(logs)
    except SourceError as error:
        raise _failure(str(error)) from None
    foreign = [skipped for skipped in found.skipped if skipped.reason == NO_RECORDS]
    for skipped in found.skipped:
        if skipped not in foreign:
            typer.echo(f"passed over: {skipped.path}: {skipped.reason}", err=True)
    if foreign:
        files = "1 file that holds" if len(foreign) == 1 else f"{len(foreign):,} files that hold"
        typer.echo(f"passed over: {files} no audit records", err=True)
    return found


def _is_incomplete(logs: LogSets) -> bool:
    return any(skipped.unreadable for skipped in logs.skipped)


@contextmanager
def _writer(output: str, output_format: str | None) -> Iterator[Callable[[Alert], None]]:
    text = output_format == "text" or (
        output_format is None and output == "-" and sys.stdout.isatty()
    )
    if text:
        with nullcontext(sys.stdout) if output == "-" else _append(output) as stream:
            yield _TextSink(stream).write
        return
    if output == "-":
        yield StreamSink(sys.stdout).write
        return
    try:
        with FileSink(Path(output)) as sink:
            yield sink.write
    except OSError as error:
        raise _failure(f"{output}: {plain_reason(error)}") from None


@contextmanager
def _append(path: str) -> Iterator[TextIO]:
    try:
        with Path(path).open("a", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        raise _failure(f"{path}: {plain_reason(error)}") from None


@contextmanager
def _progress(logs: LogSets, asked: bool | None) -> Iterator[Callable[[int], None] | None]:
    shown = sys.stderr.isatty() if asked is None else asked
    if not shown or not logs.size:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("replay"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Without a thread that draws it: processes are forked meanwhile.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("replay", total=logs.size)
        drawn = 0.0

        def show(done: int) -> None:
            nonlocal drawn
            now = time.monotonic()
            is_due = now - drawn > _DRAWN_SECONDS
            drawn = now if is_due else drawn
            bar.update(task, completed=done, refresh=is_due)

        yield show


def _failure(text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(1)
