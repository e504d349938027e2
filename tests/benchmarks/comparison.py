"""auditrule's replay beside what others do with the same log, as ratios of whole processes."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.ecs.catalogue import catalogue
from auditrule.rules import load_rules
from auditrule.rules.runnable import runnable
from benchmarks import competitors
from benchmarks.competitors import (
    AUPARSE,
    AUSEARCH,
    GREP,
    LAUREL,
    MANY,
    REPLAY,
    REPLAY_GZ,
    UNPACKED,
)
from benchmarks.contents import Contents
from benchmarks.machine import describe
from benchmarks.running import print_table, run_in_turns, show_seconds, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.running import Runs

_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Goal:
    """How fast one command is to be against another: `slow` takes `factor` times as long at least.

    `what` says it in words. Where our own command is `slow`, it is to take that many times at most.
    """

    what: str
    slow: str
    fast: str
    factor: float
    at_most: bool = False


GOALS = (
    Goal("times as fast as ausearch", AUSEARCH, REPLAY, 12),
    Goal("times as fast as laurel", LAUREL, REPLAY, 15),
    Goal("times as fast as libauparse", AUPARSE, REPLAY, 3.5),
    Goal("times grep's time", REPLAY, GREP, 8, at_most=True),
    Goal("times as fast as ausearch, with all rules given", AUSEARCH, MANY, 1.5),
    Goal("times the time of zcat and the plain file", REPLAY_GZ, UNPACKED, 1, at_most=True),
)
PEAK = 100_000_000
"""The most bytes that a replay with the bundled rule is to take."""


def compare(log: Path, rules: Sequence[Path], runs: int, folder: Path) -> dict[str, Runs]:
    """Measure, and print the machine, what everything took, and which goals are met."""
    packed = folder / f"{log.name}.gz"
    tell(f"packing {log}")
    with log.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as archive:
        shutil.copyfileobj(plain, archive, _BLOCK)
    field = competitors.find(log, packed, rules, folder)
    print(describe())
    print(f"- {', '.join(field.versions)}")
    print(f"- the log, in the page cache: {Contents.count(log)}")
    print(f"- as gz: {packed.stat().st_size / 1e6:.1f} MB")
    if rules:
        found = load_rules(rules)
        able = len(runnable(found, catalogue()).rules)
        print(f"- all rules given: {len(found.rules)} EQL rules, {able} of which can match")
    print(f"- medians of {runs} run{'' if runs == 1 else 's'} of each, in turns")
    if field.missing:
        print(f"- not installed: {', '.join(field.missing)}")
    print(flush=True)
    results = run_in_turns(field.commands, runs)
    ours = results[REPLAY].wall
    print_table(
        ("", "seconds", "min to max", "CPU seconds", "peak MB", "against auditrule"),
        [_row(name, result, ours) for name, result in results.items()],
    )
    print_table(("goal", "wanted", "measured", "met"), _judge(results))
    return results


def _row(name: str, runs: Runs, ours: float) -> tuple[str, ...]:
    low, high = runs.spread
    return (
        name,
        show_seconds(runs.wall),
        f"{show_seconds(low)} to {show_seconds(high)}",
        show_seconds(runs.cpu),
        f"{runs.peak / 1e6:.0f}",
        f"{runs.wall / ours:.2f}",
    )


def _judge(results: Mapping[str, Runs]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for goal in GOALS:
        if goal.slow not in results or goal.fast not in results:
            continue
        ratio = results[goal.slow].wall / results[goal.fast].wall
        met = ratio <= goal.factor if goal.at_most else ratio >= goal.factor
        wanted = f"{'at most' if goal.at_most else 'at least'} {goal.factor:g}"
        rows.append((goal.what, wanted, f"{ratio:.2f}", _yes(met)))
    peak = results[REPLAY].peak
    wanted = f"under {PEAK / 1e6:.0f}"
    rows.append(("MB at the peak, bundled rule", wanted, f"{peak / 1e6:.0f}", _yes(peak < PEAK)))
    return rows


def _yes(met: bool) -> str:
    return "yes" if met else "no"
