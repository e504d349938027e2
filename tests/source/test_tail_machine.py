"""Any story of a log, its rotations, and a tail that is stopped and resumed: each line once."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from rotating_log import PACKERS, RotatingLog

from auditrule.source import succession
from auditrule.source import tail as tail_module
from auditrule.source.position import Position
from auditrule.source.tail import Tail


class _Unwatched:
    means = "none"

    def __init__(self, *_: object) -> None: ...
    def ensure(self) -> None: ...
    def close(self) -> None: ...


class _Story(RuleBasedStateMachine):
    """A writer's deeds, and a tail that looks, stops and is killed now and then.

    given: what came out so far; kept: a checkpoint, that is a position and how many lines were
    given up to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patches: list[Any] = [
            mock.patch.object(tail_module, "FolderWatch", _Unwatched),
            mock.patch.object(succession, "SETTLE", 0.0),
        ]
        for patch in self._patches:
            patch.start()
        self.folder = Path(tempfile.mkdtemp())
        self.number = 0
        self.given: list[bytes] = []

    def begin(self, writer: RotatingLog) -> None:
        self.writer = writer
        self.tail = Tail(writer.path)
        self.kept = (self._position(), 0)

    def line(self) -> bytes:
        self.number += 1
        return b"%d" % self.number

    def take(self, lines: list[bytes]) -> None:
        self.given += lines

    @rule()
    def look(self) -> None:
        self.take(self.tail.read(0))

    @rule()
    def drain(self) -> None:
        while lines := self.tail.read(0):
            self.take(lines)

    @rule()
    def keep(self) -> None:
        self.kept = (self._position(), len(self.given))

    @rule()
    def stop_and_resume(self) -> None:
        self.keep()
        self.kill()

    @rule()
    def kill(self) -> None:
        position, count = self.kept
        self.tail.close()
        self.tail = Tail(self.writer.path, resume=Position.from_state(json.loads(position)))
        del self.given[count:]

    def _position(self) -> str:
        return json.dumps(self.tail.position.to_state())

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            self.tail.close()
            self.writer.close()
            shutil.rmtree(self.folder)
            for patch in self._patches:
                patch.stop()

    def check(self) -> None:
        raise NotImplementedError


class _EveryLineOnce(_Story):
    """Nothing is ever removed, so nothing may be missing and no gap be counted."""

    @initialize(dated=st.booleans(), first=st.booleans())
    def start(self, dated: bool, first: bool) -> None:
        self.expected: list[bytes] = []
        self.unfinished = b""
        writer = RotatingLog(self.folder / "audit.log", num_logs=190, dated=dated)
        # Only older files tell that nothing was lost before the first line of a log.
        self.first = first
        if not first:
            writer.write(b"older\n")
            writer.rotate()
        self.begin(writer)

    @rule(count=st.integers(1, 3))
    def write(self, count: int) -> None:
        for _ in range(count):
            self.part()
            self.writer.write(b"\n")
            self._finish()

    @rule()
    def part(self) -> None:
        piece = b"<%b>" % self.line()
        self.writer.write(piece)
        self.unfinished += piece

    def _finish(self) -> None:
        if self.unfinished:
            self.expected.append(self.unfinished)
        self.unfinished = b""

    @rule()
    def rotate(self) -> None:
        self.writer.rotate()
        self._finish()

    @rule()
    def rotate_by_halves(self) -> None:
        self.writer.rename()
        self.look()
        self.writer.reopen()
        self._finish()

    @rule(late=st.booleans())
    def logrotate_creates(self, late: bool) -> None:
        self.writer.create()
        self.look()
        if late:
            self.write(1)
            self.look()
        self.writer.move()
        self._finish()

    @precondition(lambda self: not self.unfinished)
    @rule()
    def logrotate_copies(self) -> None:
        self.writer.copy()
        self.look()
        self.writer.truncate()

    @rule(place=st.integers(0, 9), suffix=st.sampled_from(sorted(PACKERS)))
    def compress(self, place: int, suffix: str) -> None:
        self.writer.compress(place, suffix)

    def check(self) -> None:
        if not hasattr(self, "writer"):
            return
        self.write(1)
        self.drain()
        assert self.given == self.expected
        assert self.first or self.tail.gaps == 0


class _GapsAreTold(_Story):
    """Only few rotated files are kept.

    Lines are numbered, so one that is missing is seen in what is given. A gap may be counted
    without one where the file that was read to its end is gone with those, if any, after it.
    """

    @initialize(num_logs=st.integers(2, 4), copies=st.booleans())
    def start(self, num_logs: int, copies: bool) -> None:
        self.copies = copies
        self.gaps = 0
        self.last = 0
        self.generations: list[list[int]] = [[]]
        self.begin(RotatingLog(self.folder / "audit.log", num_logs=num_logs))

    def kill(self) -> None:
        super().kill()
        self.gaps = 0
        self.last = int(self.given[-1]) if self.given else 0

    def take(self, lines: list[bytes]) -> None:
        numbers = [int(line) for line in lines]
        told = self.tail.gaps - self.gaps
        self.gaps = self.tail.gaps
        for before, after in zip([self.last, *numbers], numbers, strict=False):
            assert after > before
        if numbers:
            missing = numbers[0] - self.last - 1
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            if missing:
                assert told == 1
            if told:
                assert missing or self._is_gone(self.last)
            self.last = numbers[-1]
        super().take(lines)

    def _is_gone(self, number: int) -> bool:
        retained = self.generations[-self.writer.num_logs :]
        return not any(number in generation for generation in retained)

    @rule(count=st.integers(1, 3))
    def write(self, count: int) -> None:
        for _ in range(count):
            self.writer.write(self.line() + b"\n")
            self.generations[-1].append(self.number)

    @precondition(lambda self: not self.copies)
    @rule(count=st.integers(1, 6))
    def rotate(self, count: int) -> None:
        for _ in range(count):
            self.writer.rotate()
            self.generations.append([])
            self.write(1)

    @rule(place=st.integers(0, 3))
    def compress(self, place: int) -> None:
        self.writer.compress(place)

    @precondition(lambda self: self.copies)
    @rule(count=st.integers(1, 4))
    def logrotate_copies(self, count: int) -> None:
        for _ in range(count):
            self.writer.copytruncate()
            self.generations.append([])
            self.write(1)

    def check(self) -> None:
        if not hasattr(self, "writer"):
            return
        self.write(1)
        self.drain()
        assert int(self.given[-1]) == self.number


_SETTINGS = settings(max_examples=100, stateful_step_count=30, deadline=None)

TestEveryLineOnce = _EveryLineOnce.TestCase
TestEveryLineOnce.settings = _SETTINGS
TestGapsAreTold = _GapsAreTold.TestCase
TestGapsAreTold.settings = _SETTINGS
