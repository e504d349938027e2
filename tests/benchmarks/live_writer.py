"""The writer of the live benchmark, a process of its own: `python -m benchmarks.live_writer WISH`.

It appends execs to the log at an even rate, each event by one write. Every now and then one is
told by the bundled rule and has a label. When it is done, it tells in a file when it began to write
each of these. Times are nanoseconds of the monotonic clock, the same for all processes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.workload import Shape, Workload

_TICK = 0.001
_NAME = b"auditrule-demo"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written: execs a second, labelled ones a second, for how many seconds."""

    log: str
    report: str
    rate: int
    matches: int
    seconds: float
    records_per_exec: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Report:
    """What was written, from when to when: times by label, in order; execs and bytes in all."""

    times: dict[str, int]
    execs: int
    size: int
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


def write_at_rate(wish: Wish) -> Report:
    """Write what is wished, and a labelled exec at the end."""
    shape = Shape(records_per_exec=wish.records_per_exec, execs_per_match=0)
    workload = Workload(shape, lambda: time.time_ns() // 1_000_000)
    times: dict[str, int] = {}
    size = 0
    log = os.open(wish.log, os.O_WRONLY | os.O_APPEND)

    def write_labelled() -> int:
        label, text = _labelled(workload, len(times))
        times[label] = time.monotonic_ns()
        return os.write(log, text)

    texts = workload.texts()
    began = time.monotonic_ns()
    while (passed := (time.monotonic_ns() - began) / 1e9) < wish.seconds:
        while len(times) < passed * wish.matches:
            size += write_labelled()
        while workload.written.execs < passed * wish.rate:
            size += os.write(log, next(texts))
        time.sleep(_TICK)
    ended = time.monotonic_ns()
    size += write_labelled()
    os.close(log)
    return Report(times, workload.written.execs, size, began, ended)


def _labelled(workload: Workload, number: int) -> tuple[str, bytes]:
    """Return the records of an exec that the bundled rule tells, and the label in its arguments."""
    label = f"bench-{number:08d}"
    while _NAME not in (text := workload.match()):
        pass
    text = text.replace(_NAME, label.encode())
    # The title is in hex.
    return label, text.replace(_NAME.hex().upper().encode(), label.encode().hex().upper().encode())


def main() -> None:
    wish = Wish(**json.loads(sys.argv[1]))
    report = Path(wish.report)
    new = report.with_suffix(".new")
    new.write_text(json.dumps(asdict(write_at_rate(wish))), encoding="utf-8")
    new.rename(report)


if __name__ == "__main__":
    main()
