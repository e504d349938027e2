"""The daemon's loop over a source that a test holds in its hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kernel_format import ExecOnKernel

from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import EventId
from auditrule.audit.serials import SerialWatch
from auditrule.daemon import loop
from auditrule.daemon.control import Control
from auditrule.daemon.loop import Daemon
from auditrule.daemon.memory import Memory
from auditrule.daemon.outlet import Outlet
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.reader import DocumentReader
from auditrule.resources import bundled_rules
from auditrule.rules import Detector, load_rules
from auditrule.source.checkpoint import StateFolder
from auditrule.source.files import FileIdentity
from auditrule.source.lines import LineCounts
from auditrule.source.position import Position

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditrule.alerts.sink import Writable


class Hand:
    """Gives what it is handed, one batch a read(); a callable is called first. None ends it."""

    position: Position | None = None
    is_drained = True

    def __init__(self, *batches: list[bytes] | Callable[[], None] | None) -> None:
        self._batches = list(batches)
        self.counts = LineCounts()
        self.gaps = 0
        self.waits: list[float] = []

    def read(self, timeout: float) -> list[bytes] | None:
        self.waits.append(timeout)
        batch = self._batches.pop(0) if self._batches else None
        if callable(batch):
            batch()
            return []
        return batch

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Kept:
    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.syncs = 0

    def write(self, document: Writable, /) -> None:
        self.documents.append(json.loads(document.to_json()))

    def sync(self) -> None:
        self.syncs += 1

    def tend(self) -> None: ...

    def close(self) -> None: ...

    @property
    def told(self) -> list[object]:
        return [
            document["event"].get("sequence", document["event"].get("action"))
            for document in self.documents
        ]


def attack(serial: int, seconds: int = 1_700_000_000, **more: Any) -> list[bytes]:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], serial=serial, seconds=seconds, **more)
    return deed.lines()


def detector() -> Detector:
    return Detector(load_rules([bundled_rules()]).rules)


def daemon(source: Hand, kept: Kept, control: Control | None = None, **more: Any) -> Daemon:
    reader = DocumentReader(
        reassembler=Reassembler(),
        mapper=DocumentMapper(table=ProcessTable(), host=HostIdentity("web1")),
        serials=SerialWatch(),
    )
    return Daemon(
        source=source,
        reader=reader,
        detector=more.pop("detector", None) or detector(),
        outlet=more.pop("outlet", None) or Outlet(kept),
        control=control or Control(),
        max_age=more.pop("max_age", 2.0),
        **more,
    )


def test_what_waits_is_looked_at_when_the_log_is_quiet() -> None:
    kept = Kept()
    source = Hand(attack(1, proctitle=False), lambda: None, None)
    running = daemon(source, kept, max_age=0.0)
    assert running.run()
    assert kept.told == [1]


def test_a_gap_is_told_before_what_follows_it() -> None:
    kept = Kept()
    source = Hand(attack(1))
    running = daemon(source, kept)

    def lose() -> None:
        source.gaps += 1

    source._batches = [attack(1), lose, attack(9), None]
    assert running.run()
    assert kept.told == [1, "log-gap", 9]
    assert kept.documents[1]["auditd"]["gap"]["before"]["sequence"] == 1
    assert kept.documents[1]["auditd"]["gap"]["after"]["sequence"] == 9


@pytest.mark.parametrize("before", [[], attack(8)])
def test_a_gap_is_not_told_where_nothing_is_missing(before: list[bytes]) -> None:
    kept = Kept()
    source = Hand()

    def lose() -> None:
        source.gaps += 1

    source._batches = [before, lose, attack(9), None]
    assert daemon(source, kept).run()
    assert "log-gap" not in kept.told


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (EventId(None, 1_600_000_000, 0, 4), ["log-gap", 9]),
        (EventId(None, 1_700_000_000, 0, 8), [9]),
        # The log reaches back behind what is known.
        (EventId(None, 1_700_000_000, 500, 20), [9]),
        # It begins with an earlier boot, whose serials were higher.
        (EventId(None, 1_700_000_000, 500, 2), [9]),
        (EventId(None, 1_699_999_999, 500, 2), ["log-gap", 9]),
        (EventId(None, 1_800_000_000, 0, 20), []),
    ],
)
def test_a_start_behind_a_gap_tells_it(known: EventId, told: list[object]) -> None:
    kept = Kept()
    source = Hand(attack(9), None)
    assert daemon(source, kept, outlet=Outlet(kept, known=known)).run()
    assert kept.told == told


def test_a_gap_that_was_not_told_before_the_end_is_told_by_the_next_run(tmp_path: Path) -> None:
    kept, control = Kept(), Control()
    known = EventId(None, 1_600_000_000, 0, 4)
    with StateFolder(tmp_path / "state") as folder:
        memory = Memory(folder, "log", interval=0)
        control.stop()
        outlet = Outlet(kept, known=known)
        daemon(Hand(), kept, control, outlet=outlet, memory=memory).run()
        left = memory.recall().recollection
    assert left is not None
    assert left.known == known


def test_lost_events_are_told_once_a_minute_in_one_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)  # type: ignore[attr-defined]

    def later() -> None:
        nonlocal now
        now += 60

    kept = Kept()
    # Every other serial is missing; those that are overdue by the log's clock count.
    first = [line for n in range(1, 40, 2) for line in attack(n, 1_700_000_000 + n)]
    second = [line for n in range(41, 80, 2) for line in attack(n, 1_700_000_000 + n)]
    source = Hand(first, second, later, None)
    daemon(source, kept).run()
    losses = [each for each in kept.documents if each["event"]["kind"] == "pipeline_error"]
    # The last at the end, which leaves nothing to wait for.
    assert len(losses) == 3
    counts = [each["auditd"]["lost"]["count"] for each in losses]
    assert counts[0] > 5
    assert counts[1] > 10
    assert sum(counts) == 39
    assert losses[0]["auditd"]["lost"]["before"]["sequence"] == 1


def test_without_a_memory_all_that_is_written_is_read_on_the_way_out() -> None:
    kept, control = Kept(), Control()
    source = Hand(control.stop, attack(1), attack(2, proctitle=False), [])
    assert daemon(source, kept, control).run()
    assert kept.told == [1, 2]


def test_with_a_memory_the_end_keeps_what_waits_and_reads_no_more(tmp_path: Path) -> None:
    kept, control = Kept(), Control()
    with StateFolder(tmp_path / "state") as folder:
        memory = Memory(folder, "log", interval=0)
        source = Hand(attack(1, proctitle=False), control.stop, attack(2))
        source.position = Position(tmp_path / "log", FileIdentity(1, 2, b"head"), 0)
        assert daemon(source, kept, control, memory=memory).run()
        assert kept.told == []
        left = memory.recall().recollection
    assert left is not None
    assert len(left.reader["reassembly"]["pending"]) == 1
    assert kept.syncs > 0


def test_the_end_of_a_stream_ends_what_waits(tmp_path: Path) -> None:
    kept = Kept()
    with StateFolder(tmp_path / "state") as folder:
        memory = Memory(folder, "-", interval=0)
        assert daemon(Hand(attack(1, proctitle=False), None), kept, memory=memory).run()
        left = memory.recall().recollection
    assert kept.told == [1]
    assert left is not None
    assert left.reader["reassembly"]["pending"] == []
    assert left.last_alert == kept.documents[0]["event"]["hash"]


def test_new_rules_go_on_with_what_the_old_ones_hold_open() -> None:
    kept, control = Kept(), Control()
    made: list[Detector] = []

    def reload() -> Detector | None:
        if not made:
            made.append(detector())
            return made[0]
        return None

    source = Hand(control.reload, attack(1), control.reload, attack(2), None)
    running = daemon(source, kept, control, reload=reload)
    running.run()
    assert running.detector is made[0]
    assert (running.reloads, running.failed_reloads) == (1, 1)
    assert kept.told == [1, 2]


@pytest.mark.parametrize("drained", [True, False])
def test_what_was_written_before_is_known_until_all_of_the_log_was_read(drained: bool) -> None:
    kept = Kept()
    outlet = Outlet(kept, written={"an alert that is not made again"})
    source = Hand(attack(1), [], None)
    source.is_drained = drained
    daemon(source, kept, outlet=outlet).run()
    assert bool(outlet.written) is not drained


def test_what_a_stream_holds_at_the_end_is_read_as_nobody_else_will(tmp_path: Path) -> None:
    kept, control = Kept(), Control()
    with StateFolder(tmp_path / "state") as folder:
        memory = Memory(folder, "-", interval=0)
        source = Hand(control.stop, attack(1), attack(2, proctitle=False), [])
        assert daemon(source, kept, control, memory=memory).run()
    assert kept.told == [1, 2]


def test_what_waits_is_not_given_up_while_the_log_cannot_be_read() -> None:
    kept = Kept()
    lines = attack(1)
    source = Hand(lines[:2], [], [], lines[2:], None)
    source.is_drained = False
    daemon(source, kept, max_age=0.0).run()
    (document,) = kept.documents
    assert document["process"]["args"] == ["chmod", "+x", "/etc/rc.local"]
    assert document["process"]["working_directory"] == "/root"


def test_losses_before_the_end_of_a_stream_are_told() -> None:
    kept = Kept()
    lines = [line for n in (1, 2, 100, 101) for line in attack(n)]
    assert daemon(Hand(lines, None), kept).run()
    assert kept.told == [1, 2, 100, 101, "events-lost"]
    assert kept.documents[-1]["auditd"]["lost"]["count"] == 97


def test_a_gap_is_told_once_over_a_kill(tmp_path: Path) -> None:
    kept = Kept()
    with StateFolder(tmp_path / "state") as folder:
        memory = Memory(folder, "log", interval=3600)
        source = Hand()

        def lose() -> None:
            source.gaps += 1

        source._batches = [attack(1), attack(2), lose, attack(100)]
        running = daemon(source, kept, memory=memory)
        running.start()
        for _ in range(4):
            running._step()
        # Killed here: what the gap was told with is in the checkpoint.
        left = memory.recall().recollection
    assert kept.told == [1, 2, "log-gap", 100]
    assert left is not None
    assert left.reader["last"][-1] == 100
