"""Commands, and what each run of them takes as a whole process."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MEASURED = Path(__file__).with_name("measured.py")


class FailedError(Exception):
    """A command did not do what it should; str() tells which, and what it said."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is measured: its arguments, its standard input, and a folder that is emptied before."""

    name: str
    arguments: tuple[str, ...]
    scratch: Path
    source: Path = Path("/dev/null")

    def run(self) -> Taken:
        """Run it once, its standard output into the folder. Raises FailedError if it fails."""
        self._empty()
        run = subprocess.run(
            [
                *(sys.executable, "-I", "-S", str(_MEASURED)),
                *(str(self.source), str(self.scratch / "output"), *self.arguments),
            ],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        said, _, last = run.stderr.strip().rpartition("\n")
        if run.returncode:
            raise FailedError(f"{self.name}: {run.stderr}")
        taken = json.loads(last)
        if taken.pop("status"):
            raise FailedError(f"{self.name} failed: {said}")
        return Taken(**taken, said=said)

    def clear(self) -> None:
        """Remove what it wrote."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _empty(self) -> None:
        self.clear()
        self.scratch.mkdir(parents=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took: seconds of time, seconds of all its processes' CPU time, peak bytes.

    `said` is what it wrote to standard error.
    """

    wall: float
    cpu: float
    peak: int
    said: str = ""


@dataclass(slots=True)
class Runs:
    """All runs of a command."""

    runs: list[Taken] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return statistics.median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak(self) -> int:
        """The highest of the peaks."""
        return max(run.peak for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """The shortest and the longest time."""
        walls = [run.wall for run in self.runs]
        return min(walls), max(walls)


def run_in_turns(commands: Iterable[Command], runs: int) -> dict[str, Runs]:
    """Run each command `runs` times, one after the other, so that a busy spell hits all of them."""
    commands = list(commands)
    results = {command.name: Runs() for command in commands}
    for number in range(runs):
        for command in commands:
            tell(f"{command.name}, {number + 1} of {runs}")
            results[command.name].runs.append(command.run())
            command.clear()
    return results


def auditrule(*arguments: str) -> tuple[str, ...]:
    """Return the command line of this checkout's auditrule."""
    return (sys.executable, "-m", "auditrule", *arguments)


def tell(what: str) -> None:
    """Say what goes on, to whoever waits."""
    print(what, file=sys.stderr, flush=True)


def show_seconds(seconds: float) -> str:
    """Return seconds with as many digits as mean something."""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:.2f}"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table; all columns but the first are aligned to the right."""
    print(f"| {' | '.join(head)} |")
    print(f"| --- |{' ---: |' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)
