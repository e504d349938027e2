"""The alerts are the same whether records are read quickly or by the grammar, one and all."""

from __future__ import annotations

import io
import logging
import os
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.workload import Shape, write_log
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_format import ExecOnKernel

from auditrule import reader as reader_module
from auditrule import replaying, screening
from auditrule.audit.fact import fact_of
from auditrule.audit.process import Exec, Start, read_process_event
from auditrule.audit.quick import match_header
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record
from auditrule.ecs.backlog import Backlog
from auditrule.ecs.catalogue import catalogue
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable
from auditrule.ecs.recorded import RecordedImage, image_of
from auditrule.pipeline import detect
from auditrule.reader import DocumentReader
from auditrule.replaying import Replay
from auditrule.resources import bundled_rules
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.rules.runnable import runnable
from auditrule.screening import ScreenedFile
from auditrule.source.blocks import read_blocks
from auditrule.source.logset import find_logs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditrule.audit.event import AuditEvent
    from auditrule.reader import Fields
    from auditrule.rules.rule import Rule

FIXTURES = Path(__file__).parent.parent / "fixtures"
LOGS = sorted(FIXTURES.rglob("*.log"))


@cache
def rule_sets() -> tuple[tuple[Rule, ...], ...]:
    """Return the bundled rule, which asks about a few programs, and those of the fixtures."""
    sets = [bundled_rules()], [FIXTURES / "rules"]
    return tuple(tuple(load_rules(paths).rules) for paths in sets)


def test_one_rule_asks_about_a_few_programs_and_many_about_any() -> None:
    one, many = (Detector(rules).prospects for rules in rule_sets())
    assert one is not None
    assert one.asked is not None
    assert one.asked.names == frozenset({b"chmod", b"install"})
    assert many is not None
    assert many.asked is None


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


def alerts_of(
    log: Path, rules: tuple[Rule, ...], *, exhaustive: bool = False, jobs: int = 1
) -> list[str]:
    replay = Replay(find_logs([log]), exhaustive=exhaustive, jobs=jobs)
    alerts = [alert.to_json() for alert in replay.alerts(Detector(rules))]
    counts = replay.counts
    seen = counts.records, counts.unparsed, counts.events, counts.execs
    return [*alerts, f"of {seen}"]


def documents_of(log: Path, *, exhaustive: bool) -> list[str]:
    documents = Replay(find_logs([log]), exhaustive=exhaustive).documents()
    return [document.to_json() for document in documents]


def assert_the_same(log: Path, *, sizes: Sequence[tuple[int, int]] = ()) -> int:
    """Compare what all ways of reading give, and with blocks and parts of some sizes."""
    alerts = 0
    for rules in rule_sets():
        expected = alerts_of(log, rules, exhaustive=True)
        assert alerts_of(log, rules) == expected
        for block, part in sizes:
            with in_blocks(block):
                assert alerts_of(log, rules) == expected
            with in_parts(part):
                assert alerts_of(log, rules) == expected
                assert alerts_of(log, rules, jobs=2) == expected
        alerts += len(expected) - 1
    assert documents_of(log, exhaustive=False) == documents_of(log, exhaustive=True)
    return alerts


@pytest.fixture(autouse=True)
def _few_lines_are_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_FEWEST_FOR_SCREEN", 0)
    monkeypatch.setattr(reader_module, "_LEAST_FOR_SCREEN", 0)


@contextmanager
def in_blocks(size: int) -> Iterator[None]:
    """Have files read block by block, as archives are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "_BLOCK", size)
        patch.setattr(replaying, "_LARGE", 1 << 60)
        yield


@contextmanager
def in_parts(size: int) -> Iterator[None]:
    """Have parts of files screened in their place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replaying, "_LARGE", 0)
        patch.setattr(screening, "ScreenedFile", partial(ScreenedFile, part_size=size))
        yield


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_captured_logs_give_the_same(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MANY", 200)
    assert_the_same(log, sizes=[(1000, 3001), (64 << 10, 20_000)])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rate", [100, 2000])
def test_a_busy_host_s_log_gives_the_same(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.log"
    written = write_log(log, 3 << 20, Shape(execs_per_match=50, rate=rate))
    dropped = 0

    def watched(backlog: Backlog, *limits: int, **more: bool) -> None:
        nonlocal dropped
        before = len(backlog)
        shrink(backlog, *limits, **more)
        dropped += before - len(backlog)

    monkeypatch.setattr(replaying, "MANY", 200)
    shrink = Backlog._shrink
    monkeypatch.setattr(Backlog, "_shrink", watched)
    assert assert_the_same(log, sizes=[(1 << 20, 1 << 20), (200_000, 300_000)]) > 20
    # In each of several replays, there is little that has to be kept.
    assert dropped > 2 * written.execs


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "started", [b"", b"type=DAEMON_START msg=audit(1795500000.000:1): op=start\n"]
)
def test_a_log_in_which_the_host_boots_gives_the_same(tmp_path: Path, started: bytes) -> None:
    log, other = tmp_path / "audit.log", tmp_path / "other.log"
    write_log(log, 600_000, Shape(execs_per_match=50, rate=500))
    write_log(other, 600_000, Shape(execs_per_match=50, rate=500, seed=1))
    # Times and serials begin anew in the middle of a part.
    log.write_bytes(log.read_bytes() + started + other.read_bytes())
    assert assert_the_same(log, sizes=[(4 << 20, 4 << 20), (300_000, 400_000)]) > 8


def first_alert(folder: Path) -> Path:
    """Return a log that ends with the first program that the bundled rule tells of."""
    log = folder / "audit.log"
    lines = (FIXTURES / "logs" / "parents.enriched.clone.log").read_bytes().split(b"\n")
    (rules, *_) = rule_sets()
    for count, line in enumerate(lines, 1):
        if line.startswith(b"type=PROCTITLE"):
            log.write_bytes(b"\n".join(lines[:count]) + b"\n")
            if len(alerts_of(log, rules)) > 1:
                return log
    raise AssertionError("there is none")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_log_cut_anywhere_gives_the_same(tmp_path: Path) -> None:
    log = first_alert(tmp_path)
    (rules, *_) = rule_sets()
    expected = alerts_of(log, rules, exhaustive=True)
    size = log.stat().st_size
    for first in range(1, size):
        reader = DocumentReader(
            reassembler=Reassembler(),
            mapper=DocumentMapper(table=ProcessTable(), host=HostIdentity()),
            prospects=Detector(rules).prospects,
        )
        alerts = detect(documents_in_two(log.read_bytes(), first, reader), Detector(rules))
        assert [alert.to_json() for alert in alerts] == expected[:-1]
        counts = reader.counts
        seen = counts.records, counts.unparsed, counts.events, counts.execs
        assert f"of {seen}" == expected[-1]


def documents_in_two(data: bytes, first: int, reader: DocumentReader) -> Iterator[Fields]:
    """Read a log in two reads, the first of so many bytes."""
    for block, begin, end in read_blocks(_TwoReads(data, first)):  # type: ignore[arg-type]
        yield from reader.read_block(block, begin, end)
    yield from reader.finish()


class _TwoReads(io.RawIOBase):
    def __init__(self, data: bytes, first: int) -> None:
        self._pieces = [data[:first], data[first:]]

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_parts_that_begin_anywhere_give_the_same(tmp_path: Path) -> None:
    log = first_alert(tmp_path)
    (rules, *_) = rule_sets()
    expected = alerts_of(log, rules, exhaustive=True)
    for part in [*range(150, 900, 11), *range(900, log.stat().st_size, 211)]:
        with in_parts(part):
            assert alerts_of(log, rules, jobs=2) == expected


@cache
def captured() -> list[bytes]:
    names = ("parents.enriched.clone", "odd-arguments.raw.clone", "user-messages.raw.exec")
    return [
        line
        for name in names
        for line in (FIXTURES / "logs" / f"{name}.log").read_bytes().split(b"\n")
        if line
    ]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_and_shuffled_logs_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(captured()) - 40))
    lines = captured()[start : start + 40]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        place = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(place, min(len(line), place + 20)))
        lines[at] = line[:place] + data.draw(st.binary(max_size=5)) + line[end:]
    if data.draw(st.booleans()):
        lines = data.draw(st.permutations(lines))
    log = tmp_path_factory.mktemp("log") / "audit.log"
    log.write_bytes(b"\n".join(lines))
    assert_the_same(log, sizes=[(data.draw(st.integers(1, 5000)), data.draw(st.integers(1, 5000)))])


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    turns=st.lists(st.sampled_from(range(6)), max_size=60),
    broken=st.lists(st.booleans(), min_size=6, max_size=6),
    name=st.sampled_from([b"/etc/rc.local", b"/etc/cron.d/\xe9 x", b"x" * 900]),
)
def test_interleaved_execs_give_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: tuple[int, int],
    turns: list[int],
    broken: list[bool],
    name: bytes,
) -> None:
    deeds = [
        ExecOnKernel(
            [b"chmod", b"+x", name],
            pid=200 + n,
            ppid=200 + n // 2,
            serial=n + 1,
            seconds=1_700_000_000 + 3 * n,
            proctitle=not lacks_its_end,
            enriched=n % 2 == 0,
            room=300,
        )
        for n, lacks_its_end in enumerate(broken)
    ]
    queues = [deed.lines() for deed in deeds]
    lines = [queues[turn].pop(0) for turn in turns if queues[turn]]
    lines += [line for queue in queues for line in queue]
    log = tmp_path_factory.mktemp("log") / "audit.log"
    log.write_bytes(b"\n".join(lines))
    assert_the_same(log, sizes=[sizes])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_each_rule_by_itself_gives_the_same(tmp_path: Path) -> None:
    names = ("parents", "scripts", "busybox", "dpkg", "odd-arguments", "calls")
    log = tmp_path / "audit.log"
    log.write_bytes(
        b"".join((FIXTURES / "logs" / f"{name}.enriched.clone.log").read_bytes() for name in names)
    )
    asked, alerts = 0, 0
    for rules in rule_sets():
        for rule in rules:
            expected = alerts_of(log, (rule,), exhaustive=True)
            assert alerts_of(log, (rule,)) == expected
            asked += Detector((rule,)).prospects is not None
            alerts += len(expected) - 1
    assert asked > 5
    assert alerts > 50


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif("DETECTION_RULES" not in os.environ, reason="no checkout of Elastic's rules")
def test_all_of_elastics_rules_give_the_same() -> None:
    found = load_rules([Path(os.environ["DETECTION_RULES"]) / "rules" / "linux"])
    rules = tuple(runnable(found, catalogue()).rules)
    assert len(rules) > 100
    for log in LOGS:
        expected = alerts_of(log, rules, exhaustive=True)
        assert alerts_of(log, rules) == expected
        with in_blocks(5000):
            assert alerts_of(log, rules) == expected
        with in_parts(7000):
            assert alerts_of(log, rules, jobs=2) == expected


def test_it_is_no_comparison_of_nothing() -> None:
    assert assert_the_same(FIXTURES / "demo") >= 5


def events_of(log: Path) -> list[AuditEvent]:
    reassembler = Reassembler()
    lines = [line for line in log.read_bytes().split(b"\n") if match_header(line)]
    events = [event for line in lines for event in reassembler.push(Record.parse(line))]
    return events + reassembler.flush()


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_no_program_is_passed_over_by_its_own_name(log: Path) -> None:
    for event in events_of(log):
        deed = read_process_event(event)
        if isinstance(deed, Exec) and deed.name is not None:
            for asked in (frozenset({deed.name.lower()}), None):
                assert isinstance(read_process_event(event, asked), Exec)
            assert RecordedImage(bytes(fact_of(deed, event).text)).told() == image_of(deed)
            other = read_process_event(event, frozenset({b"none of these"}))
            assert isinstance(other, Start | Exec)
            assert other.caller.pid == deed.caller.pid


@pytest.mark.parametrize(
    ("more", "passed_over"),
    [
        ({"exe": b"/usr/bin/ls", "paths": [b"/usr/bin/ls"]}, True),
        ({"exe": b"/usr/bin/ls", "paths": [b"./INSTALL"]}, False),
        ({"exe": b"/usr/bin/ls", "paths": [b"/tmp/a b/chmod"]}, False),
        ({"exe": b"/tmp/a b/chmod", "paths": [b"x"]}, False),
        ({"exe": b"/usr/bin/chmod (deleted)", "paths": [b"x"]}, False),
        ({"exe": b"/bin/busybox", "paths": [b"x"]}, False),
    ],
)
def test_a_program_is_passed_over_only_if_it_cannot_be_called_so(
    more: dict[str, Any], passed_over: bool
) -> None:
    reassembler = Reassembler()
    lines = ExecOnKernel([b"x"], **more).lines()
    (event,) = [event for line in lines for event in reassembler.push(Record.parse(line))]
    deed = read_process_event(event, frozenset({b"chmod", b"install"}))
    assert isinstance(deed, Start) is passed_over
