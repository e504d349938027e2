"""How replay's time and memory grow: with the log, with the rules, with the share of execs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from auditrule.ecs.catalogue import catalogue
from auditrule.rules import load_rules
from auditrule.rules.runnable import runnable
from benchmarks.captured import FIXTURES
from benchmarks.competitors import others, replay
from benchmarks.running import print_table, run_in_turns, show_seconds, tell
from benchmarks.workload import Shape, write_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.running import Command, Runs
    from benchmarks.workload import Written

_HEAD = ("seconds", "MB a second", "µs a record", "CPU seconds", "peak MB")


def by_size(sizes: Sequence[int], runs: int, folder: Path) -> None:
    """Print time and memory against the log's size, in bytes."""
    rows = []
    for size in sizes:
        written, result = _written_and_replayed(size, Shape(), runs, folder)
        rows.append((f"{size / 1e6:g} MB", *_figures(result, written)))
    print_table(("size of the log", *_HEAD), rows)


def by_share(shares: Sequence[float], size: int, runs: int, folder: Path) -> None:
    """Print time and memory against the number of records for each exec."""
    rows = []
    for share in shares:
        shape = Shape(records_per_exec=share)
        written, result = _written_and_replayed(size, shape, runs, folder)
        part = f"{written.execs:,} execs, {written.records / written.execs:.1f} records for each"
        rows.append((part, *_figures(result, written)))
    print_table((f"share of execs in {size / 1e6:g} MB", *_HEAD), rows)


def by_rate(rates: Sequence[int], size: int, runs: int, folder: Path) -> None:
    """Print our time and that of others against the records a second of the log's time."""
    rows = []
    names: list[str] = []
    for rate in rates:
        log = folder / "scaling.log"
        tell(str(write_log(log, size, Shape(rate=rate))))
        commands = [replay(log, folder), *others(log, folder).commands]
        results = run_in_turns(commands, runs)
        names = list(results)
        rows.append((f"{rate:,}", *(show_seconds(result.wall) for result in results.values())))
        log.unlink()
    print_table((f"records a second, {size / 1e6:g} MB", *names), rows)


def by_rules(
    paths: Sequence[Path], counts: Sequence[int], size: int, runs: int, folder: Path
) -> None:
    """Print time and memory against the number of rules: first those that can match, by name.

    `counts` that are more than there are mean all of them.
    """
    found = load_rules(paths or [FIXTURES / "rules"])
    able = set(runnable(found, catalogue()).rules)
    rules = sorted(found.rules, key=lambda rule: (rule not in able, rule.path.name))
    log = folder / "scaling.log"
    written = write_log(log, size)
    rows = []
    for count in sorted({min(count, len(rules)) for count in counts}):
        chosen = folder / f"rules-{count}"
        chosen.mkdir()
        for number, rule in enumerate(rules[:count]):
            shutil.copyfile(rule.path, chosen / f"{number:04d}-{rule.path.name}")
        result = _run(replay(log, folder, rules=[chosen]), runs)
        alerts = _alerts(result)
        can = min(count, len(able))
        rows.append((f"{count}, {can} of which can match", *_figures(result, written), alerts))
    log.unlink()
    print_table((f"rules, over {size / 1e6:g} MB", *_HEAD, "alerts"), rows)


def _written_and_replayed(size: int, shape: Shape, runs: int, folder: Path) -> tuple[Written, Runs]:
    log = folder / "scaling.log"
    written = write_log(log, size, shape)
    tell(str(written))
    result = _run(replay(log, folder), runs)
    log.unlink()
    return written, result


def _run(command: Command, runs: int) -> Runs:
    return run_in_turns([command], runs)[command.name]


def _figures(result: Runs, written: Written) -> tuple[str, ...]:
    return (
        show_seconds(result.wall),
        f"{written.size / 1e6 / result.wall:.3g}",
        f"{result.wall / written.records * 1e6:.2f}",
        show_seconds(result.cpu),
        f"{result.peak / 1e6:.0f}",
    )


def _alerts(result: Runs) -> str:
    """Return the number of alerts that the replay says it found."""
    summary = result.runs[-1].said.rpartition("\n")[2]
    found = [part.split()[0] for part in summary.split(", ") if "alert" in part]
    return found[0] if found else "?"
