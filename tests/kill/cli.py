"""The command line of the kill test."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from kill.modes import MODES
from kill.run import Result, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KILLS_A_RUN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, print a table, and return 1 if an alert was lost, repeated or wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kill",
        description="Kill a daemon that follows a log, and tell whether each alert came once.",
        epilog=f"Modes: {', '.join(MODES)}.",
    )
    parser.add_argument("--kills", type=int, default=25, help="how many, over all modes (25)")
    parser.add_argument("--mode", action="append", choices=[*MODES, "all"], help="all unless told")
    parser.add_argument("--seed", type=int, help="of all that is random; the time unless told")
    parser.add_argument(
        "--folder", type=Path, help="where runs that went wrong are kept; a new one unless told"
    )
    options = parser.parse_args(arguments)
    names = list(MODES) if "all" in (options.mode or ["all"]) else options.mode
    seed = options.seed if options.seed is not None else int(time.time())
    folder = options.folder or Path(tempfile.mkdtemp(prefix="kill-"))
    # So that the daemon and the writer of the run at hand end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"{options.kills} kills, seed {seed}, in {folder}", file=sys.stderr)
    results: list[Result] = []
    for number, (name, kills) in enumerate(shares(names, options.kills)):
        result = run(MODES[name], kills, seed + number, folder / f"run-{number}")
        results.append(result)
        print(_row(result.mode, [result]), file=sys.stderr, flush=True)
        if result.verdict:
            print(f"seed {result.seed}, {result.folder}\n{result.verdict}", file=sys.stderr)
    print_table(results)
    return any(result.verdict for result in results)


def shares(names: Sequence[str], kills: int) -> Iterator[tuple[str, int]]:
    """Share the kills among the modes as evenly as can be, in runs of at most a few kills."""
    for number, name in enumerate(names):
        rest = kills // len(names) + (number < kills % len(names))
        while rest:
            yield name, min(rest, _KILLS_A_RUN)
            rest -= min(rest, _KILLS_A_RUN)


def print_table(results: Sequence[Result]) -> None:
    """Print what came of the runs, a line for each mode."""
    by_mode: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_mode[result.mode].append(result)
    print("| mode | kills | alerts | lost | repeated | wrong | seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for mode, runs in by_mode.items():
        print(_row(mode, runs))
    print(_row("all", results))


def _row(name: str, runs: Sequence[Result]) -> str:
    figures = [
        sum(run.kills for run in runs),
        sum(run.events for run in runs),
        sum(len(run.verdict.lost) for run in runs),
        sum(len(run.verdict.repeated) for run in runs),
        sum(len(run.verdict.wrong) for run in runs),
    ]
    seconds = sum(run.seconds for run in runs)
    return f"| {name} | {' | '.join(map(str, figures))} | {seconds:.0f} |"
