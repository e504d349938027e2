from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

import pytest

from auditrule.audit.record import EventId
from auditrule.daemon.memory import Memory, Recalled, Recollection
from auditrule.source.checkpoint import StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LEFT = Recollection(
    None,
    {"last": None},
    {"rules": {}},
    "alert",
    frozenset({"other"}),
    EventId(None, 1_700_000_000, 1, 2),
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with StateFolder(tmp_path / "state") as folder:
        yield folder


def test_what_was_kept_is_recalled(folder: StateFolder) -> None:
    memory = Memory(folder, "/log", interval=1)
    assert memory.recall() == Recalled()
    assert memory.keep(lambda: LEFT)
    assert Memory(folder, "/log", interval=1).recall() == Recalled(LEFT)


def test_the_ids_of_all_that_may_be_made_again_are_kept(folder: StateFolder) -> None:
    many = Recollection(None, {}, {}, "last", frozenset(map(str, range(30_000))))
    memory = Memory(folder, "/log", interval=1)
    assert memory.keep(lambda: many)
    assert memory.recall() == Recalled(many)


def test_another_log_has_a_memory_of_its_own(folder: StateFolder) -> None:
    Memory(folder, "/log", interval=1).keep(lambda: LEFT)
    other = Memory(folder, "/other", interval=1)
    assert other.recall() == Recalled(is_foreign=True)
    other.keep(lambda: Recollection(None, {}, {}, None))
    assert Memory(folder, "/log", interval=1).recall() == Recalled(LEFT)


@pytest.mark.parametrize(
    "change",
    [
        {"known": 3},
        {"position": 3},
        {"position": {}},
        {"reader": 1},
        {"written": None},
        {"rules": "x"},
    ],
)
def test_a_state_of_another_shape_is_set_aside(
    folder: StateFolder, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    folder.save("/log", {**LEFT.to_state("/log"), **change})
    assert Memory(folder, "/log", interval=1).recall() == Recalled(is_damaged=True)
    assert not folder.file("/log").exists()
    assert "the checkpoint is damaged" in caplog.text
    assert list(folder.path.glob("checkpoint-*.damaged-*"))


def test_a_full_disk_is_said_once_counted_and_tried_again(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(source: str, state: Mapping[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    caplog.set_level(logging.WARNING)
    memory = Memory(folder, "/log", interval=0)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "save", fail)
        assert [memory.keep(lambda: LEFT) for _ in range(3)] == [False] * 3
    assert (memory.errors, memory.failing, memory.kept_at) == (3, "no space left on device", None)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert memory.due_in() > 0
    assert memory.keep(lambda: LEFT)
    assert memory.failing is None
    assert memory.kept_at is not None
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_state_that_takes_long_is_kept_seldom(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, took = Clock(), 0.0

    def save(source: str, state: Mapping[str, Any]) -> None:
        clock.now += took

    monkeypatch.setattr(folder, "save", save)
    memory = Memory(folder, "/log", interval=1, clock=clock)
    assert memory.due_in() == 0
    memory.keep(lambda: LEFT)
    assert memory.due_in() == 1
    took = 0.2
    memory.keep(lambda: LEFT)
    assert memory.due_in() == pytest.approx(30)
    took = 60
    memory.keep(lambda: LEFT)
    assert memory.due_in() == 60
    clock.now += 60
    assert memory.due_in() == 0


def test_it_is_kept_no_more_often_than_asked_for(folder: StateFolder) -> None:
    memory = Memory(folder, "/log", interval=3600, clock=Clock())
    memory.keep(lambda: LEFT)
    assert memory.due_in() == 3600
