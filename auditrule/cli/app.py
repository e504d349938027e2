"""The commands of ``auditrule``: options in, the work done elsewhere, an exit code out.

Exit codes: 0 done, whether or not there were alerts; 1 something could not be done; 2 wrong usage.
What a command needs is imported when it runs, so that ``--help`` and ``--version`` are quick.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditrule import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.rules.ruleset import RuleSet

app = typer.Typer(
    name="auditrule",
    help="Run Elastic's detection rules on auditd's log.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
rules_app = typer.Typer(no_args_is_help=True, help="Look at rules.")
app.add_typer(rules_app, name="rules")

Logs = Annotated[
    list[Path],
    typer.Argument(
        metavar="LOG...",
        help="Audit logs: files (plain, gz, bz2, xz or zst), folders of them, or - for standard "
        "input. The files of a rotated log are read in order of time.",
        show_default=False,
    ),
]
RulePaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        metavar="PATH",
        help="A rule file, a folder or a zip or tar of them, instead of the bundled rules. May be "
        "repeated.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only what happened at this time or later: 2026-11-24, 2026-11-24T03:15, with Z or "
        "an offset, or seconds since the epoch. UTC unless it says otherwise.",
        show_default=False,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only what happened before this time.", show_default=False),
]
HostName = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="NAME",
        help="The host that the logs are from, where they have no node= that names it.",
        show_default=False,
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Append to this file; - is standard output.",
    ),
]


def main() -> None:
    """Run the command line; the console script."""
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8, whatever the locale.
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        app()
    except OSError as error:
        # Where the reader of our output has gone, as head does, there is nobody to tell.
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"auditrule: {error.strerror or error}\n")
        # Nothing may be flushed any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"auditrule {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version_asked: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Example: auditrule replay /evidence/web1/audit.log* --host web1 -o alerts.ndjson"
)
def replay(
    logs: Logs,
    rules: RulePaths = None,
    output: Output = "-",
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="ndjson|text",
            help="One JSON object a line, or text for people; text on a terminal unless told.",
            show_default=False,
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    host: HostName = None,
    exhaustive: Annotated[
        bool,
        typer.Option(
            "--exhaustive",
            help="Let the grammar read every record, rather than what is quicker: to check that "
            "the alerts are the same.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            help="How many processes read: logs of different hosts each by its own, a large file "
            "by all of them; as many as there are processors unless told.",
            show_default=False,
        ),
    ] = None,
    progress: Annotated[
        bool | None,
        typer.Option(
            "--progress/--no-progress",
            help="Show a progress bar on standard error; on a terminal unless told.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run rules over archived audit logs and print the alerts."""
    from auditrule.cli.replay import run_replay

    if output_format is not None:
        _choose(output_format, "ndjson", "text")
    ok = run_replay(
        logs,
        rules=_load(rules),
        output=output,
        output_format=output_format,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        host=host,
        exhaustive=exhaustive,
        jobs=jobs or len(os.sched_getaffinity(0)),
        progress=progress,
    )
    raise typer.Exit(0 if ok else 1)


@app.command(epilog="Example: auditrule events /var/log/audit | jq -r .process.command_line")
def events(
    logs: Logs,
    output: Output = "-",
    since: Since = None,
    until: Until = None,
    host: HostName = None,
) -> None:
    """Print each program that started as an ECS document, one JSON object a line."""
    from auditrule.cli.replay import run_events

    ok = run_events(
        logs,
        output=output,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        host=host,
    )
    raise typer.Exit(0 if ok else 1)


@app.command(epilog="Example: auditrule run --config /etc/auditrule/auditrule.toml")
def run(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings; /etc/auditrule/auditrule.toml if it is there, else the defaults.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Follow this log rather than the settings'; - reads auditd's plugin stream from "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    rules: RulePaths = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Append alerts to this file rather than the settings'; - is standard output.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the daemon remembers how far it was, instead of the settings' folder. With "
            "alerts on standard output, nothing is kept unless this is given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Follow a live audit log and write alerts as they happen, until SIGTERM or SIGINT.

    SIGHUP has it read settings and rules again. The exit code is 0 when it was told to end, or its
    input has ended; 1 when it could not start or go on, and says why.
    """
    from auditrule.cli.run import Options, run_daemon

    options = Options(config, source, tuple(rules or ()), output, state)
    raise typer.Exit(0 if run_daemon(options) else 1)


@app.command(epilog="Example: auditrule status || echo 'auditrule needs a look' | mail root")
def status(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The daemon's settings, which name its state folder; "
            "/etc/auditrule/auditrule.toml if it is there, else the defaults.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The daemon's state folder, if not the settings'.",
            show_default=False,
        ),
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|json", help="How to say it.")
    ] = "text",
) -> None:
    """Say whether all is well with the daemon; exit 0 if so, else 1."""
    from auditrule.cli.status import show_status

    _choose(output_format, "text", "json")
    well = show_status(config, state=state, as_json=output_format == "json")
    raise typer.Exit(0 if well else 1)


@app.command(epilog="""Example: auditrule eql 'process where process.name : "nc*"' events.ndjson""")
def eql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A query in EQL, a sequence too.")],
    events_file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Events, one JSON object a line; - is standard input."),
    ] = "-",
    category_field: Annotated[
        str, typer.Option(metavar="FIELD", help="The field that has an event's category.")
    ] = "event.category",
    timestamp_field: Annotated[
        str, typer.Option(metavar="FIELD", help="The field that has an event's time.")
    ] = "@timestamp",
) -> None:
    """Run an EQL query over any JSON events and print what it finds, one JSON object a line."""
    from auditrule.cli.eql import run_query

    ok = run_query(
        query, events_file, category_field=category_field, timestamp_field=timestamp_field
    )
    raise typer.Exit(0 if ok else 1)


@rules_app.command("list", epilog="Example: auditrule rules list --rules ./rules")
def rules_list(
    rules: RulePaths = None,
    explain_index: Annotated[
        bool,
        typer.Option(
            "--explain-index", help="Show by which of an event's fields each rule is looked up."
        ),
    ] = False,
) -> None:
    """List the rules that would run."""
    from auditrule.cli.rules import list_rules

    found = _load(rules)
    listed = list_rules(found, explain_index=explain_index)
    raise typer.Exit(0 if listed and found.ok else 1)


@rules_app.command("check", epilog="Example: auditrule rules check ./rules && echo good")
def rules_check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Rule files, folders, and zip or tar archives of them.",
            show_default=False,
        ),
    ],
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|json", help="How to say it.")
    ] = "text",
) -> None:
    """Say of each rule how far it runs on what auditd records; exit 1 if one is broken."""
    from auditrule.cli.rules import check_rules

    _choose(output_format, "text", "json")
    raise typer.Exit(0 if check_rules(paths, output_format) else 1)


def _choose(value: str, *choices: str) -> None:
    if value not in choices:
        raise typer.BadParameter(f"must be {' or '.join(choices)}", param_hint="--format")


def _load(paths: Iterable[Path] | None) -> RuleSet:
    """Load rules; say what is broken, and give up only where no rule is left."""
    from auditrule.resources import bundled_rules
    from auditrule.rules.loader import load_rules

    found = load_rules(list(paths or ()) or [bundled_rules()])
    for error in found.errors:
        typer.echo(f"broken rule: {error}", err=True)
    if not found.rules:
        typer.echo("there is no rule to run", err=True)
        raise typer.Exit(1)
    return found


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        if text.replace(".", "", 1).isdigit() and not (len(text) == 8 and text.isdigit()):
            return datetime.fromtimestamp(float(text), UTC)
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{text!r} is no time such as 2026-11-24 or 2026-11-24T03:15:00Z", param_hint=option
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
