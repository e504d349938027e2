"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import compileall
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import auditrule
from benchmarks import scaling
from benchmarks.comparison import compare
from benchmarks.live import measure_idle, measure_live
from benchmarks.machine import describe
from benchmarks.rules_cost import measure_rules
from benchmarks.running import FailedError
from benchmarks.startup import measure_startup
from benchmarks.workload import Shape, write_log

if TYPE_CHECKING:
    from collections.abc import Sequence

_USUAL = Shape()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; return 1 if a command that is measured fails."""
    # As where it is installed.
    compileall.compile_dir(Path(auditrule.__file__).parent, quiet=1)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "compare")
    options = _parser().parse_args(words)
    # So that what is running ends with it, and the folder is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.folder) as folder:
        try:
            options.measure(options, Path(folder))
        except FailedError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure auditrule, and print Markdown tables. Without a command: compare.",
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, measure: object, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.set_defaults(measure=measure)
        made.add_argument(
            "--folder", type=Path, help="where logs are written; the usual temporary one"
        )
        return made

    one = command("compare", _compare, "replay beside grep, ausearch, laurel and libauparse")
    one.add_argument("--log", type=Path, help="a log that is there already")
    _add_size(one, 600)
    _add_shape(one)
    _add_rules(one, "many rules, such as a checkout's rules/linux, for one more row")
    _add_runs(one, 5)

    one = command("startup", _startup, "CPU time of a start")
    _add_runs(one, 21)

    one = command("live", _live, "the daemon's latency and load")
    one.add_argument(
        "--rates", type=int, nargs="+", default=[1000, 5000], help="execs a second (1000 5000)"
    )
    one.add_argument("--seconds", type=float, default=20.0, help="for how long, each (20)")
    one.add_argument("--matches", type=int, default=20, help="alerts a second (20)")
    one.add_argument(
        "--records-per-exec",
        type=float,
        default=8.0,
        help="records for each exec; 8 is execs alone (8)",
    )
    one.add_argument("--idle", type=float, default=30.0, help="seconds without writing (30)")

    one = command("scaling", _scaling, "replay's time and memory against what grows")
    one.add_argument(
        "--sizes",
        type=float,
        nargs="*",
        default=[10, 50, 150, 600, 2000],
        help="sizes of the log, in MB (10 50 150 600 2000)",
    )
    one.add_argument(
        "--shares",
        type=float,
        nargs="*",
        default=[8, 12.5, 24.7, 100, 1000],
        help="records for each exec (8 12.5 24.7 100 1000)",
    )
    one.add_argument(
        "--rates",
        type=int,
        nargs="*",
        default=[100, 1000, 5000, 10000],
        help="records a second of the log's time, beside others (100 1000 5000 10000)",
    )
    one.add_argument(
        "--counts",
        type=int,
        nargs="*",
        default=[1, 10, 100, 1000],
        help="how many of the rules (1 10 100 1000; more than there are is all)",
    )
    _add_size(one, 150)
    _add_rules(one, "the many rules; fixtures/rules unless told")
    _add_runs(one, 3)

    one = command("rules", _rules, "what many rules cost beside one, an event")
    _add_rules(one, "the many rules; fixtures/rules unless told")
    _add_runs(one, 7)

    one = command("log", _log, "write a log, as the others do, and keep it")
    one.add_argument("path", type=Path)
    _add_size(one, 600)
    _add_shape(one)
    return parser


def _add_size(command: argparse.ArgumentParser, size: int) -> None:
    command.add_argument("--size", type=float, default=size, help=f"the log's size in MB ({size})")


def _add_shape(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--records-per-exec",
        type=float,
        default=_USUAL.records_per_exec,
        help=f"records for each exec ({_USUAL.records_per_exec})",
    )
    command.add_argument(
        "--execs-per-match",
        type=int,
        default=_USUAL.execs_per_match,
        help=f"execs for each that the bundled rule tells ({_USUAL.execs_per_match}; 0 for none)",
    )
    command.add_argument(
        "--rate",
        type=int,
        default=_USUAL.rate,
        help=f"records a second of the log's time ({_USUAL.rate}), which ausearch depends on",
    )
    command.add_argument("--seed", type=int, default=_USUAL.seed, help=f"({_USUAL.seed})")


def _add_rules(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--rules", type=Path, action="append", default=[], help=what)


def _add_runs(command: argparse.ArgumentParser, runs: int) -> None:
    command.add_argument("--runs", type=int, default=runs, help=f"runs of each ({runs})")


def _shape(options: argparse.Namespace) -> Shape:
    return Shape(
        records_per_exec=options.records_per_exec,
        execs_per_match=options.execs_per_match,
        rate=options.rate,
        seed=options.seed,
    )


def _compare(options: argparse.Namespace, folder: Path) -> None:
    log = options.log
    if log is None:
        log = folder / "audit.log"
        write_log(log, _bytes(options.size), _shape(options))
    compare(log, options.rules, options.runs, folder)


def _startup(options: argparse.Namespace, folder: Path) -> None:
    print(f"{describe()}\n")
    measure_startup(options.runs, folder)


def _live(options: argparse.Namespace, folder: Path) -> None:
    print(f"{describe()}\n")
    measure_live(options.rates, options.matches, options.seconds, options.records_per_exec, folder)
    if options.idle:
        measure_idle(options.idle, folder)


def _scaling(options: argparse.Namespace, folder: Path) -> None:
    print(f"{describe()}\n")
    size = _bytes(options.size)
    if options.sizes:
        scaling.by_size([_bytes(each) for each in options.sizes], options.runs, folder)
    if options.shares:
        scaling.by_share(options.shares, size, options.runs, folder)
    if options.rates:
        scaling.by_rate(options.rates, size, options.runs, folder)
    if options.counts:
        scaling.by_rules(options.rules, options.counts, size, options.runs, folder)


def _rules(options: argparse.Namespace, folder: Path) -> None:
    measure_rules(options.rules, options.runs)


def _log(options: argparse.Namespace, folder: Path) -> None:
    print(write_log(options.path, _bytes(options.size), _shape(options)))


def _bytes(megabytes: float) -> int:
    return int(megabytes * 1_000_000)
