from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kernel_format import ExecOnKernel

from auditrule import replay
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import EventId
from auditrule.audit.serials import SerialWatch
from auditrule.daemon.memory import Memory, Recollection
from auditrule.daemon.resume import Beginning, find_beginning, take_up
from auditrule.ecs.mapping import DocumentMapper
from auditrule.ecs.process_table import ProcessTable
from auditrule.reader import DocumentReader
from auditrule.resources import bundled_rules
from auditrule.rules import Detector, load_rules
from auditrule.source.checkpoint import StateFolder
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditrule.alerts.model import Alert


def attack(serial: int) -> bytes:
    return b"".join(
        line + b"\n"
        for line in ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], serial=serial).lines()
    )


class Host:
    """A log of three attacks, and a daemon's folders."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "audit.log"
        self.log.write_bytes(attack(1) + attack(2) + attack(3))
        self.alerts = folder / "alerts.ndjson"
        self.known: list[Alert] = list(replay(self.log, host="web1"))
        self.folder = StateFolder(folder / "state")
        self.memory = Memory(self.folder, str(self.log), interval=1)

    def write(self, *numbers: int) -> None:
        """Write those of the alerts to the file."""
        with self.alerts.open("a") as file:
            file.writelines(self.known[n - 1].to_json() + "\n" for n in numbers)

    def ids(self, *numbers: int) -> frozenset[str]:
        return frozenset(self.known[n - 1].id for n in numbers)

    def begin(self) -> Beginning:
        return find_beginning(self.memory, log=self.log, alerts=self.alerts, start="end")

    def keep(self, last: int, /, **state: object) -> Recollection:
        with Tail(self.log, start="end") as tail:
            position = tail.position
        reader = new_reader().snapshot() | state
        left = Recollection(position, reader, detector().snapshot(), self.known[last - 1].id)
        assert self.memory.keep(lambda: left)
        return left


def new_reader() -> DocumentReader:
    return DocumentReader(
        reassembler=Reassembler(),
        mapper=DocumentMapper(table=ProcessTable()),
        serials=SerialWatch(),
    )


def detector() -> Detector:
    return Detector(load_rules([bundled_rules()]).rules)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.folder.close()


def test_the_first_run_begins_where_the_settings_say(host: Host) -> None:
    assert host.begin() == Beginning("end")


def test_without_a_memory_the_settings_say_even_if_there_are_alerts(host: Host) -> None:
    host.write(1)
    found = find_beginning(None, log=host.log, alerts=host.alerts, start="beginning")
    assert found == Beginning("beginning")


def test_a_checkpoint_tells_all_and_the_file_what_was_written_behind_it(host: Host) -> None:
    host.write(1, 2, 3)
    left = host.keep(1)
    found = host.begin()
    assert found.recollection is not None
    assert found.recollection.position == left.position
    assert found.written == host.ids(2, 3)
    assert (found.last, found.known) == (host.known[2].id, None)


def test_alerts_that_were_moved_away_are_no_reason_to_write_them_again(host: Host) -> None:
    host.keep(3)
    found = host.begin()
    assert found.recollection is not None
    assert (found.last, found.written) == (host.known[2].id, frozenset())


def test_without_a_checkpoint_the_newest_alert_proves_how_far_the_log_was_read(
    host: Host,
) -> None:
    host.write(1, 2)
    assert host.begin() == Beginning(
        "oldest",
        written=host.ids(1, 2),
        last=host.known[1].id,
        known=EventId(None, 1_700_000_000, 123, 2),
    )


def test_a_damaged_checkpoint_without_any_alert_lets_all_of_the_log_count(host: Host) -> None:
    host.folder.file(str(host.log)).write_bytes(b"junk")
    assert host.begin() == Beginning("oldest")


def test_a_damaged_checkpoint_gives_way_to_what_the_alerts_prove(host: Host) -> None:
    host.write(1)
    host.folder.file(str(host.log)).write_bytes(b"junk")
    assert host.begin().known == EventId(None, 1_700_000_000, 123, 1)


def test_another_log_than_before_is_begun_where_the_settings_say(host: Host) -> None:
    host.write(1, 2)
    host.keep(2)
    memory = Memory(host.folder, "/another/audit.log", interval=1)
    found = find_beginning(memory, log=host.log, alerts=host.alerts, start="end")
    assert found == Beginning("end", written=host.ids(1, 2), last=host.known[1].id)


def test_a_stream_keeps_its_state_without_a_place(host: Host) -> None:
    host.write(1, 2)
    memory = Memory(host.folder, "-", interval=1)
    memory.keep(lambda: Recollection(None, {}, {}, host.known[0].id))
    found = find_beginning(memory, log=None, alerts=host.alerts, start="end")
    assert found.recollection is not None
    assert found.written == host.ids(2)


def test_the_reader_and_the_rules_know_what_was_known(host: Host) -> None:
    host.keep(1)
    asked: list[bool] = []

    def make(fill: bool) -> DocumentReader:
        asked.append(fill)
        return new_reader()

    beginning, reader = take_up(
        host.memory, detector(), make, log=host.log, alerts=host.alerts, start="end"
    )
    assert beginning.recollection is not None
    assert reader.snapshot() == beginning.recollection.reader
    # What the run before knew is not to be replaced by what /proc says now.
    assert asked == [False]


@pytest.mark.parametrize(
    "state",
    [
        {"mapping": {}},
        {"reassembly": {"clock": [0, 0], "pending": [[0, None, ["x"]]]}},
        {"last": [1]},
    ],
)
def test_a_state_that_makes_no_sense_is_set_aside_as_a_damaged_one(
    host: Host, state: dict[str, object]
) -> None:
    host.keep(1, **state)
    host.write(1)
    beginning, reader = take_up(
        host.memory,
        detector(),
        lambda _: new_reader(),
        log=host.log,
        alerts=host.alerts,
        start="end",
    )
    assert beginning.recollection is None
    assert beginning.known == EventId(None, 1_700_000_000, 123, 1)
    assert reader.pending == 0
    assert not host.folder.file(str(host.log)).exists()
