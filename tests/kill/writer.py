"""The writer, a process of its own: `python -m kill.writer SETTINGS`, in the folder tests/.

It writes at once. Commands come on standard input, a line each, and are answered by one when done:
"rotate"; "jump SECONDS", which sets the clock of the records; "pause" and "go on"; "finish", which
completes all that was begun; "sentinel", which writes one more alert. What is expected is in the
file `expected` after "finish" and "sentinel".
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

from kill.logfile import RotatedLog
from kill.traffic import Traffic

if TYPE_CHECKING:
    from kill.logfile import Style

_TICK = 0.005


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """What a writer does.

    rate: alerts a second. size, every: the log is rotated at so many bytes, or seconds; 0 is never.
    by_record: one write a record, else one a burst. torn: the share of writes made in two halves.
    group: the log's group by number, -1 for the writer's own.
    """

    log: str
    expected: str
    seed: int = 0
    rate: float = 300.0
    style: str = "rename"
    size: int = 0
    every: float = 0.0
    by_record: bool = True
    torn: float = 0.02
    group: int = -1

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Writer:
    def __init__(self, settings: WriterSettings) -> None:
        self._settings = settings
        self._log = RotatedLog(Path(settings.log), cast("Style", settings.style), settings.group)
        self._offset_ms = 0
        self._traffic = Traffic(settings.seed, self._now)
        self._random = Random(settings.seed + 1)
        self._writing = True
        self._rotated_at = time.monotonic()

    def run(self) -> None:
        """Write until standard input ends."""
        began, before = time.monotonic(), 0
        while True:
            wait = 1.0
            if self._writing:
                made = len(self._traffic.expected) - before
                wait = began + made / self._settings.rate - time.monotonic()
                if wait <= 0:
                    self._write(self._traffic.burst())
                    wait = 0
            if self._settings.every:
                wait = min(wait, _TICK)
                self._rotate_if_time()
            if select.select([0], [], [], max(0.0, wait))[0]:
                commands = os.read(0, 4096).decode().splitlines()
                if not commands:
                    return
                for command in commands:
                    self._obey(command)
                    print(command, flush=True)
                began, before = time.monotonic(), len(self._traffic.expected)

    def _obey(self, command: str) -> None:
        match command.split():
            case ["rotate"]:
                self._log.rotate()
            case ["jump", seconds]:
                # What was begun before the jump is finished, as it is told apart by time alone.
                self._write(self._traffic.rest())
                self._offset_ms += int(seconds) * 1000
            case ["pause"]:
                # An event is not left half written: its records come together.
                self._write(self._traffic.rest())
                self._writing = False
            case ["go", "on"]:
                self._writing = True
            case ["finish"]:
                self._write(self._traffic.rest())
                self._writing = False
                self._tell()
            case ["sentinel"]:
                self._write(self._traffic.sentinel()[0])
                self._tell()
            case _:
                raise ValueError(command)

    def _now(self) -> int:
        return time.time_ns() // 1_000_000 + self._offset_ms

    def _write(self, lines: list[bytes]) -> None:
        lines = [line + b"\n" for line in lines]
        for data in lines if self._settings.by_record else [b"".join(lines)]:
            if self._settings.size and self._log.size + len(data) > self._settings.size:
                self._log.rotate()
            if self._random.random() < self._settings.torn:
                at = self._random.randrange(len(data) + 1)
                self._log.write(data[:at])
                self._log.write(data[at:])
            else:
                self._log.write(data)

    def _rotate_if_time(self) -> None:
        if time.monotonic() - self._rotated_at >= self._settings.every and self._log.size:
            self._rotated_at = time.monotonic()
            self._log.rotate()

    def _tell(self) -> None:
        path = Path(self._settings.expected)
        new = path.with_suffix(".new")
        new.write_text(json.dumps([astuple(each) for each in self._traffic.expected]))
        new.rename(path)


if __name__ == "__main__":
    Writer(WriterSettings(**json.loads(sys.argv[1]))).run()
