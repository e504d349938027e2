"""What starting costs: CPU seconds of `auditrule --version` and of a replay of an empty file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.running import Command, auditrule, print_table, run_in_turns

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "`auditrule --version`"
EMPTY = "`auditrule replay` of an empty file"
GOALS = {VERSION: 0.15, EMPTY: 0.35}
"""CPU seconds that each is to stay under."""


def measure_startup(runs: int, folder: Path) -> None:
    """Measure, and print the table."""
    log = folder / "empty.log"
    log.touch()
    scratch = folder / "startup"
    output = str(scratch / "alerts.ndjson")
    commands = [
        Command(VERSION, auditrule("--version"), scratch),
        Command(EMPTY, auditrule("replay", str(log), "-o", output), scratch),
    ]
    rows = []
    for name, result in run_in_turns(commands, runs).items():
        met = "yes" if result.cpu < GOALS[name] else "no"
        figures = (f"{result.cpu:.3f}", f"{result.wall:.3f}", f"{result.peak / 1e6:.0f}")
        rows.append((name, *figures, f"under {GOALS[name]:.2f} of CPU", met))
    head = (f"start, medians of {runs} runs", "CPU seconds", "seconds", "peak MB", "wanted", "met")
    print_table(head, rows)
