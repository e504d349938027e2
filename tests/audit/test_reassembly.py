from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_format import ExecOnKernel

from auditrule.audit.event import AuditEvent
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record


def rec(
    kind: str, serial: int = 1, time: float = 1000.0, *, node: str = "", body: str = ""
) -> Record:
    prefix = f"node={node} " if node else ""
    return Record.parse(f"{prefix}type={kind} msg=audit({time:.3f}:{serial}): {body}".encode())


def run(reassembler: Reassembler, records: Iterable[Record]) -> list[AuditEvent]:
    return [event for record in records for event in reassembler.push(record)]


def shape(events: Iterable[AuditEvent]) -> list[tuple[int, str, bool]]:
    return [
        (event.id.serial, " ".join(record.type for record in event.records), event.whole)
        for event in events
    ]


def test_proctitle_ends_an_event() -> None:
    events = run(Reassembler(), [rec("SYSCALL"), rec("EXECVE"), rec("CWD"), rec("PROCTITLE")])
    assert shape(events) == [(1, "SYSCALL EXECVE CWD PROCTITLE", True)]


def test_eoe_ends_an_event_and_a_late_one_is_nothing() -> None:
    records = [rec("SYSCALL"), rec("EOE"), rec("SYSCALL", 2), rec("PROCTITLE", 2), rec("EOE", 2)]
    assert shape(run(Reassembler(), records)) == [
        (1, "SYSCALL EOE", True),
        (2, "SYSCALL PROCTITLE", True),
    ]


@pytest.mark.parametrize("kind", ["USER_LOGIN", "DAEMON_START", "CRED_ACQ", "SERVICE_START"])
def test_a_record_that_stands_alone_is_an_event_at_once(kind: str) -> None:
    assert shape(run(Reassembler(), [rec(kind)])) == [(1, kind, True)]


def test_interleaved_events_come_out_whole_in_order_of_completion() -> None:
    records = [
        rec("SYSCALL", 1),
        rec("SYSCALL", 2),
        rec("EXECVE", 2),
        rec("EXECVE", 1),
        rec("PROCTITLE", 2),
        rec("PROCTITLE", 1),
    ]
    assert shape(run(Reassembler(), records)) == [
        (2, "SYSCALL EXECVE PROCTITLE", True),
        (1, "SYSCALL EXECVE PROCTITLE", True),
    ]


def test_equal_serials_of_other_nodes_and_other_times_are_other_events() -> None:
    records = [
        rec("SYSCALL", node="a"),
        rec("SYSCALL", node="b"),
        rec("SYSCALL", time=2000.0),
    ]
    reassembler = Reassembler(max_age=10_000)
    assert run(reassembler, records) == []
    assert len(reassembler) == 3


def test_without_an_end_an_event_waits_for_the_logs_clock() -> None:
    reassembler = Reassembler(max_age=2.0)
    assert run(reassembler, [rec("SYSCALL", 1, 1000.0), rec("SYSCALL", 2, 1002.0)]) == []
    assert shape(run(reassembler, [rec("SYSCALL", 3, 1002.001)])) == [(1, "SYSCALL", False)]


def test_an_event_whose_call_began_long_ago_is_not_cut() -> None:
    # An exec from a slow file system: its records come together, with the time of the call.
    reassembler = Reassembler(max_age=2.0)
    records = [
        rec("SYSCALL", 1, 1000.0),
        rec("SYSCALL", 2, 900.0),
        rec("CWD", 1, 1000.0),
        rec("EXECVE", 2, 900.0),
        rec("PROCTITLE", 2, 900.0),
    ]
    assert shape(run(reassembler, records)) == [(2, "SYSCALL EXECVE PROCTITLE", True)]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, 9e9])
def test_a_record_out_of_its_time_neither_ends_events_nor_stops_the_clock(jump: float) -> None:
    reassembler = Reassembler(max_age=2.0)
    records = [rec("SYSCALL", 1, 90_000.0), rec("SYSCALL", 2, 90_000.0 + jump)]
    assert run(reassembler, records) == []
    # The log goes on as before: two seconds end what waits.
    records = [rec("SYSCALL", 3, 90_001.0), rec("SYSCALL", 4, 90_002.5)]
    assert {
        event.id.serial for event in run(reassembler, [*records, rec("SYSCALL", 5, 90_004.0)])
    } == {1, 2, 3}


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_was_set_goes_on_from_there(jump: float) -> None:
    reassembler = Reassembler(max_age=2.0)
    assert run(reassembler, [rec("SYSCALL", 1, 90_000.0)]) == []
    later = 90_000.0 + jump
    found = run(reassembler, [rec("SYSCALL", n, later + n) for n in range(2, 6)])
    assert [event.id.serial for event in found] == [1, 2]


def test_a_record_still_coming_in_keeps_its_event_waiting() -> None:
    reassembler = Reassembler(max_age=2.0)
    records = [
        rec("SYSCALL", 1, 1000.0),
        rec("SYSCALL", 2, 1001.5),
        rec("EXECVE", 1, 1000.0),
        rec("SYSCALL", 3, 1003.0),
        rec("PROCTITLE", 1, 1000.0),
    ]
    assert shape(run(reassembler, records)) == [(1, "SYSCALL EXECVE PROCTITLE", True)]


def test_beyond_the_limit_the_event_that_waited_longest_goes() -> None:
    reassembler = Reassembler(max_pending=2)
    events = run(reassembler, [rec("SYSCALL", n) for n in (1, 2)] + [rec("CWD", 1), rec("CWD", 3)])
    assert shape(events) == [(2, "SYSCALL", False)]
    assert len(reassembler) == 2


def test_the_bytes_that_wait_are_bounded() -> None:
    reassembler = Reassembler(max_bytes=10_000)
    held = 0
    for record in [rec("EXECVE", 1, body="x" * 900) for _ in range(100)]:
        held += len(record.line)
        for event in reassembler.push(record):
            held -= sum(len(record.line) for record in event.records)
        assert held <= 10_000
    assert sum(len(event.records) for event in reassembler.flush()) > 0


def test_flush_gives_what_waits_and_forgets_it() -> None:
    reassembler = Reassembler()
    run(reassembler, [rec("SYSCALL", 1), rec("SYSCALL", 2)])
    assert shape(reassembler.flush()) == [(1, "SYSCALL", False), (2, "SYSCALL", False)]
    assert reassembler.flush() == []


@pytest.mark.parametrize("limits", [{"max_pending": 0}, {"max_bytes": 0}, {"max_age": -1}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Reassembler(**limits)


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[list[bytes]], list[bytes]]:
    """Several execs, and their lines shuffled together, each exec's own in order."""
    events = [
        ExecOnKernel(
            draw(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\0", b"")), min_size=1)),
            serial=serial,
            pid=200 + serial,
            millis=draw(st.integers(0, 999)),
            node=draw(st.sampled_from([None, "a"])),
            proctitle=draw(st.booleans()),
            enriched=draw(st.booleans()),
            room=draw(st.integers(100, 300)),
        ).lines()
        for serial in range(draw(st.integers(1, 5)))
    ]
    queues = [list(lines) for lines in events]
    shuffled = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        shuffled.append(queue.pop(0))
    return events, shuffled


@settings(deadline=None)
@given(interleavings())
def test_events_come_out_of_any_interleaving_as_they_went_in(
    story: tuple[list[list[bytes]], list[bytes]],
) -> None:
    events, lines = story
    reassembler = Reassembler()
    out = run(reassembler, map(Record.parse, lines)) + reassembler.flush()
    assert sorted([record.line for record in event.records] for event in out) == sorted(events)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["SYSCALL", "EXECVE", "PROCTITLE", "EOE", "USER_CMD", "PATH"]),
            st.integers(0, 4),
            st.integers(0, 3000),
        )
    ),
    st.integers(1, 3),
)
def test_every_record_but_a_late_eoe_is_in_exactly_one_event(
    story: list[tuple[str, int, int]], max_pending: int
) -> None:
    reassembler = Reassembler(max_pending=max_pending, max_age=0.5)
    records = [rec(kind, serial, 1000 + millis / 1000) for kind, serial, millis in story]
    out = run(reassembler, records) + reassembler.flush()
    came = [id(record) for event in out for record in event.records]
    assert len(came) == len(set(came))
    missing = {id(record): record for record in records if id(record) not in set(came)}
    assert {record.type for record in missing.values()} <= {"EOE"}


def ids(events: Iterable[AuditEvent]) -> list[int]:
    return [event.id.serial for event in events]


def test_an_exec_is_over_when_its_process_or_a_child_does_something_else() -> None:
    parent = ExecOnKernel([b"sh"], pid=100, ppid=1, serial=1, proctitle=False).lines()
    other = ExecOnKernel([b"ls"], pid=300, ppid=1, serial=2, proctitle=False).lines()
    child = ExecOnKernel([b"chmod"], pid=200, ppid=100, serial=3).lines()
    again = ExecOnKernel([b"id"], pid=300, ppid=1, serial=4).lines()
    reassembler = Reassembler()
    assert run(reassembler, map(Record.parse, [*parent, *other])) == []
    [event] = run(reassembler, map(Record.parse, child))
    [over] = reassembler.over_before(event)
    assert (over.id.serial, over.whole, len(over.records)) == (1, False, len(parent))
    assert reassembler.over_before(event) == []
    assert ids(run(reassembler, map(Record.parse, again))) == [2, 4]
    assert len(reassembler) == 0


def test_what_waits_and_is_no_exec_or_of_another_host_is_not_over() -> None:
    opened = [rec("SYSCALL", 1, body="pid=100 ppid=1"), rec("PATH", 1, body="item=0")]
    elsewhere = ExecOnKernel([b"sh"], pid=100, serial=2, node="b", proctitle=False).lines()
    reassembler = Reassembler()
    assert run(reassembler, [*opened, *map(Record.parse, elsewhere)]) == []
    child = ExecOnKernel([b"chmod"], pid=200, ppid=100, serial=3).lines()
    [event] = run(reassembler, map(Record.parse, child))
    assert reassembler.over_before(event) == []


def test_an_exec_that_was_taken_up_from_a_snapshot_is_over_likewise() -> None:
    first = Reassembler()
    run(first, map(Record.parse, ExecOnKernel([b"sh"], pid=100, proctitle=False).lines()))
    second = Reassembler()
    second.restore(first.snapshot())
    child = ExecOnKernel([b"chmod"], pid=200, ppid=100, serial=43).lines()
    [event] = run(second, map(Record.parse, child))
    assert ids(second.over_before(event)) == [42]


def test_nothing_that_waits_is_lost_in_a_snapshot_whatever_its_order() -> None:
    # Two execs of one process, of which the second has lost its SYSCALL's place.
    first = ExecOnKernel([b"a"], pid=100, serial=1, proctitle=False).lines()
    syscall, execve, *others = ExecOnKernel([b"b"], pid=100, serial=2, proctitle=False).lines()
    live = Reassembler()
    run(live, map(Record.parse, [*first, execve, syscall, *others]))
    restored = Reassembler()
    restored.restore(live.snapshot())
    assert len(restored) == len(live) == 2
    assert restored.snapshot() == live.snapshot()
