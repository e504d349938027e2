"""A log of any size, as a busy host writes it, made of captured records.

Several captured logs are written at a time, again and again, each copy with new serials, rising
times, and pids of its own, the same for each captured pid within a copy. Between them come other
events of the same programs (`fillers.py`), as many as the share of execs wants, and now and then
an exec that the bundled rule tells. The same seed gives the same log.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from benchmarks.captured import BUSY, read_demo, read_scenario
from benchmarks.templates import Segment, Template, compile_log, compile_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CAPTURED_RECORDS_PER_EXEC = 12.5
"""About how many records the captured logs have for each exec. Below it, forks are left out."""

_START_MS = 1_795_500_000_000
_LAST_PID = 4_194_304  # the kernel's PID_MAX_LIMIT on 64-bit machines, which systemd sets
_FIRST_PID = 300  # where the kernel begins again (RESERVED_PIDS)
_CHUNK = 1 << 20
_AT_ONCE = 8
_ADDRESS_POOL = 4096
_INTERLEAVED = 16
_SESSION = ("USER_AUTH", "USER_ACCT", "CRED_ACQ", "USER_START", "USER_END", "CRED_DISP")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a log is like.

    records_per_exec: how many records there are for each exec, 8 at least. execs_per_match: how
    many execs for each that the bundled rule tells, 0 for none that it tells. rate: records a
    second of the log's time. ausearch takes the longer the more events fall into two seconds: with
    the usual rate, it takes for a MB what it took of a real log of a busy host.
    """

    records_per_exec: float = 24.7
    execs_per_match: int = 1000
    rate: int = 5_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a log holds: bytes, records, execs, and how many of them the bundled rule tells."""

    size: int
    records: int
    execs: int
    matches: int

    def __str__(self) -> str:
        """Return the figures as a person reads them."""
        return (
            f"{self.size / 1e6:.0f} MB, {self.records:,} records, {self.execs:,} execs, "
            f"{self.matches:,} of which the bundled rule tells"
        )


def write_log(path: Path, size: int, shape: Shape | None = None) -> Written:
    """Write a log of `size` bytes, or up to an event more."""
    workload = Workload(shape or Shape())
    with path.open("wb", buffering=0) as log:
        for chunk in workload.chunks(size):
            log.write(chunk)
    return workload.written


class Workload:
    """The log's text, chunk by chunk; `written` tells what has been taken so far."""

    def __init__(self, shape: Shape, clock: Callable[[], int] | None = None) -> None:
        """Begin a log with the times (ms) of `clock`, or with those of the shape's rate."""
        self._shape = shape
        self._clock = clock or self._time_of_log
        self._random = Random(shape.seed)
        self._forks = shape.records_per_exec >= CAPTURED_RECORDS_PER_EXEC
        self._templates, self._matches = _compiled(forks=self._forks)
        self._addresses = [b"%07x" % self._random.getrandbits(28) for _ in range(_ADDRESS_POOL)]
        self._copies = 0
        self._next_pid = 1000
        self._next_serial = 1000
        self._size = self._records = self._execs = self._told = self._fillers = 0
        self._running = [self._copy() for _ in range(_AT_ONCE)]

    @property
    def written(self) -> Written:
        return Written(self._size, self._records, self._execs, self._told)

    def chunks(self, size: int) -> Iterator[bytes]:
        """Give whole events, about a MB at a time, until there are `size` bytes in all."""
        texts: list[bytes] = []
        length = 0
        limit = min(_CHUNK, size - self._size)
        for text in self.texts():
            texts.append(text)
            length += len(text)
            if length >= limit:
                self._size += length
                yield b"".join(texts)
                if self._size >= size:
                    return
                texts, length = [], 0
                limit = min(_CHUNK, size - self._size)

    def texts(self) -> Iterator[bytes]:
        """Give what is written at once, without end: the records of an event, or of a few.

        The programs at hand go on in turns; between them comes what else the shape asks for.
        """
        choose = self._random.random
        per_match = self._shape.execs_per_match
        next_match = per_match // 2
        for turn in count():
            number = int(choose() * _AT_ONCE)
            text = self._step(number)
            if turn % _INTERLEAVED == 0:
                yield _interleave(text, self._step((number + 1) % _AT_ONCE), choose())
            else:
                yield text
            copy = self._running[number]
            while self._has_room:
                yield self._filler(copy)
            if per_match and self._execs >= next_match:
                next_match += per_match
                yield self.match(number)

    @property
    def _has_room(self) -> bool:
        return self._records < self._shape.records_per_exec * self._execs

    def _step(self, number: int) -> bytes:
        """Go on with one of the copies, only with its execs where they are to be many."""
        while True:
            copy = self._running[number]
            if copy.done == len(copy.template.segments):
                self._running[number] = self._copy()
                continue
            segment = copy.template.segments[copy.done]
            copy.done += 1
            if self._forks or segment.execs or self._has_room:
                if segment.process in copy.template.fillers:
                    copy.process = segment.process
                return self._render(segment, copy)

    def _filler(self, copy: _Copy) -> bytes:
        """Let the program that this copy started last do something else."""
        choices = copy.template.fillers[copy.process]
        self._fillers += 1
        return self._render(choices[self._fillers % len(choices)], copy)

    def match(self, number: int = 0) -> bytes:
        """Let a program of one of the copies do what the bundled rule tells."""
        copy = self._running[number]
        segment = self._matches[self._told % len(self._matches)]
        self._told += 1
        parent = copy.values[copy.template.root]
        own = self._take_pids(1)[0]
        return self._render(segment, _Copy(copy.template, [own, parent, self._address(), b""], []))

    def _time_of_log(self) -> int:
        return _START_MS + self._records * 1000 // self._shape.rate

    def _render(self, segment: Segment, copy: _Copy) -> bytes:
        now = self._clock()
        for stamp, taken, kept in segment.events:
            # 0 where what took place at that time was left out.
            time_ms = (copy.times[taken] or now) if taken >= 0 else now
            if kept >= 0:
                copy.times[kept] = time_ms
            seconds, millis = divmod(time_ms, 1000)
            copy.values[stamp] = b"%d.%03d:%d" % (seconds, millis, self._next_serial)
            self._next_serial += 1
        self._records += segment.records
        self._execs += segment.execs
        text: bytes = segment.pattern % segment.pick(copy.values)
        return text

    def _copy(self) -> _Copy:
        template = self._templates[self._copies % len(self._templates)]
        self._copies += 1
        values = self._take_pids(template.pids)
        values += [self._address() for _ in range(template.pids)]
        values += [b""] * template.stamps
        return _Copy(template, values, [0] * template.times, template.root)

    def _take_pids(self, number: int) -> list[bytes]:
        if self._next_pid + number > _LAST_PID:
            self._next_pid = _FIRST_PID
        first = self._next_pid
        self._next_pid += number
        return [b"%d" % pid for pid in range(first, first + number)]

    def _address(self) -> bytes:
        return self._addresses[int(self._random.random() * _ADDRESS_POOL)]


@dataclass(slots=True)
class _Copy:
    """A template that is being written: its values, how far it is, and who did something last."""

    template: Template
    values: list[bytes]
    times: list[int]
    process: int = -1
    done: int = 0


def _interleave(first: bytes, second: bytes, where: float) -> bytes:
    """Put the records of the second text into the first, as when two processors write."""
    ours, theirs = first.splitlines(keepends=True), second.splitlines(keepends=True)
    at = int(where * len(ours)) + 1
    mixed = ours[:at]
    for number, line in enumerate(theirs):
        mixed.append(line)
        mixed += ours[at + number : at + number + 1]
    return b"".join(mixed + ours[at + len(theirs) :])


@cache
def _compiled(*, forks: bool) -> tuple[tuple[Template, ...], tuple[Segment, ...]]:
    demo, *scenarios = logs = [read_demo(), *map(read_scenario, BUSY)]
    bodies = {
        line.type: b"%b %b" % (line.type.encode(), line.body) for log in logs for line in log.lines
    }
    session = [bodies[kind] for kind in _SESSION]
    compiled = [compile_log(log, session, forks=forks) for log in scenarios]
    # The demo, a host's ordinary day, is written as often as the scenarios.
    day = compile_log(demo, session, forks=forks)
    templates = [template for other in compiled for template in (day, other)]
    matches = compile_matches(read_scenario("places")) + compile_matches(demo)
    return tuple(templates), tuple(matches)
