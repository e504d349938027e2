"""Lost events: what counts as lost, and what does not although serials are missing."""

from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.audit.grammar import RecordError
from auditrule.audit.record import EventId, Record
from auditrule.audit.serials import Loss, SerialWatch

FIXTURES = Path(__file__).parents[2] / "fixtures"
START = 1_700_000_000


def record(
    serial: int,
    seconds: float = 0.0,
    *,
    kind: str = "SYSCALL",
    node: str | None = None,
    body: str = "arch=c000003e",
) -> Record:
    ms = round((START + seconds) * 1000)
    host = "" if node is None else f"node={node} "
    stamp = f"audit({ms // 1000}.{ms % 1000:03d}:{serial})"
    return Record.parse(f"{host}type={kind} msg={stamp}: {body}".encode())


def event_id(serial: int, seconds: float = 0.0, node: str | None = None) -> EventId:
    return record(serial, seconds, node=node).event_id


def watched(*records: Record) -> SerialWatch:
    watch = SerialWatch()
    for one in records:
        watch.take(one)
    return watch


def steady(first: int, last: int, begin: float = 0.0, step: float = 0.01) -> list[Record]:
    """Return records of each serial, `step` seconds apart."""
    return [record(n, begin + (n - first) * step) for n in range(first, last + 1)]


def test_serials_that_all_come_are_no_loss() -> None:
    watch = watched(*steady(5, 5000))
    watch.finish()
    assert (watch.lost, watch.losses()) == (0, [])


def test_a_hole_is_a_loss_once_the_log_is_ten_seconds_further() -> None:
    watch = watched(record(1), record(2), record(6, 1), record(7, 2))
    assert (watch.lost, watch.losses()) == (0, [])
    for serial, seconds in ((8, 11), (9, 11), (10, 12), (11, 12)):
        assert watch.lost == 0
        watch.take(record(serial, seconds))
    assert watch.lost == 3
    assert watch.losses() == [Loss(3, event_id(2), event_id(6, 1))]
    assert watch.losses() == []


def test_a_hole_after_a_quiet_hour_waits_its_ten_seconds() -> None:
    watch = watched(record(1), record(3, 3600), record(4, 3600), record(5, 3609), record(2, 3600))
    watch.finish()
    assert watch.lost == 0


def test_a_hole_is_a_loss_when_the_log_is_far_ahead_in_serials() -> None:
    watch = SerialWatch()
    watch.take(record(1))
    for serial in range(3, 100_002):
        watch.take(record(serial))
    assert watch.lost == 0
    watch.take(record(100_002))
    assert watch.lost == 1


def test_the_end_of_the_log_makes_a_hole_a_loss() -> None:
    watch = watched(record(1), record(4))
    watch.finish()
    assert watch.losses() == [Loss(2, event_id(1), event_id(4))]


def test_what_comes_in_time_is_no_loss_in_whatever_order() -> None:
    serials = list(range(1, 2001))
    for at in range(0, 2000, 50):
        part = serials[at : at + 50]
        random.Random(at).shuffle(part)
        serials[at : at + 50] = part
    # The first record is where the log begins: what is before it is not missed.
    watch = watched(*(record(n, n / 10) for n in [0, *serials]))
    watch.finish()
    assert (watch.lost, watch.late) == (0, 0)


def test_an_event_that_comes_after_all_is_no_longer_lost() -> None:
    watch = watched(record(1), record(5, 1), record(6, 30), record(7, 30))
    assert watch.lost == 3
    watch.take(record(3, 1))
    assert (watch.lost, watch.late) == (2, 0)
    assert watch.losses() == [
        Loss(1, event_id(1), event_id(3, 1)),
        Loss(1, event_id(3, 1), event_id(5, 1)),
    ]
    watch.take(record(2, 1))
    assert (watch.lost, watch.late, watch.losses()) == (1, 1, [])
    watch.take(record(2, 1))
    assert (watch.lost, watch.late) == (1, 1)


def test_the_records_of_one_event_count_once_however_they_interleave() -> None:
    records = [record(1), record(2), record(1), record(3), record(2), record(1), record(4)]
    watch = watched(*records)
    watch.finish()
    assert watch.lost == 0


def test_each_host_of_a_log_has_serials_of_its_own() -> None:
    watch = SerialWatch()
    for n in range(1, 50):
        watch.take(record(n, n, node="a"))
        watch.take(record(9_000_000 + 2 * (n // 25) + n, n, node="b"))
    watch.finish()
    last = 9_000_000 + 24
    assert watch.losses() == [Loss(2, event_id(last, 24, "b"), event_id(last + 3, 25, "b"))]


def test_auditds_own_numbers_are_not_the_kernels() -> None:
    watch = watched(
        record(100),
        record(5237, kind="DAEMON_ROTATE"),
        record(101),
        record(9, kind="DAEMON_CONFIG"),
        record(102),
    )
    watch.finish()
    assert watch.lost == 0


def test_what_happened_while_auditd_was_down_is_lost() -> None:
    watch = watched(
        record(100),
        record(8677, 1, kind="DAEMON_END"),
        record(8676, 60, kind="DAEMON_START"),
        record(206, 60),
    )
    watch.finish()
    assert watch.losses() == [Loss(105, event_id(100), event_id(206, 60))]


@pytest.mark.parametrize(
    "sign",
    [
        record(1234, 60, kind="DAEMON_START"),
        record(3, 60, kind="KERNEL"),
        record(3, 60, kind="SYSTEM_BOOT"),
        None,
    ],
)
def test_a_boot_loses_nothing(sign: Record | None) -> None:
    before = 500_000 if sign is None else 900
    boot = [record(n, 61) for n in range(4, 2000)]
    watch = watched(record(before), *([sign] if sign else []), *boot)
    watch.finish()
    assert watch.lost == 0


def test_a_boot_that_a_container_announces_makes_nothing_overdue() -> None:
    watch = watched(*steady(1, 100), record(103), record(102, kind="SYSTEM_BOOT"), record(101))
    watch.finish()
    assert (watch.lost, watch.losses()) == (0, [])


def test_a_hole_before_a_boot_is_a_loss() -> None:
    watch = watched(record(900), record(903), record(1, 1, kind="DAEMON_START"), record(5, 1))
    assert watch.losses() == [Loss(2, event_id(900), event_id(903))]


@pytest.mark.parametrize("odd", [7_000_000, 2**32 - 1, 2**32, 2**63 - 1, 50_000, 0, 1])
def test_one_number_from_nowhere_is_no_loss(odd: int) -> None:
    watch = watched(*steady(1000, 3000), record(odd, 20), *steady(3001, 7000, 20))
    watch.finish()
    # Nothing tells a serial a little ahead from the last one before an end that lost the rest.
    assert watch.lost == (42_999 if odd == 50_000 else 0)


def test_a_small_jump_that_the_log_does_not_follow_is_told_of_only_at_the_end() -> None:
    watch = watched(*steady(1000, 3000), record(50_000, 20), *steady(3001, 7000, 20))
    assert watch.lost == 0


def test_a_far_jump_that_the_log_follows_is_a_loss() -> None:
    watch = watched(*steady(1, 100), *steady(5_000_001, 5_003_000, 3600))
    assert watch.losses() == [Loss(5_000_000 - 100, event_id(100, 0.99), event_id(5_000_001, 3600))]


def test_a_hole_survives_a_number_from_nowhere() -> None:
    watch = watched(record(1), record(3), record(9_000_000), *steady(4, 3000, 0.1))
    assert watch.losses() == [Loss(1, event_id(1), event_id(3))]


def test_one_wrong_clock_makes_nothing_overdue() -> None:
    watch = watched(record(1), record(3), record(4, 86_400 * 365), record(5), record(2))
    watch.finish()
    assert watch.lost == 0


def test_a_clock_that_was_set_back_is_followed() -> None:
    watch = watched(*steady(1, 100, 86_400), *steady(101, 1200), record(1202, 20))
    watch.take(record(1203, 21))
    for record_ in steady(1204, 4000, 22, 0.02):
        watch.take(record_)
    assert watch.losses() == [Loss(1, event_id(1200, 10.99), event_id(1202, 20))]


def test_old_files_that_are_read_late_are_no_loss_in_the_end() -> None:
    oldest, middle, newest = (
        steady(first, first + 3999, first / 100) for first in (200_000, 204_000, 208_000)
    )
    for order in ((newest, oldest, middle), (oldest, newest, middle), (middle, oldest, newest)):
        watch = SerialWatch()
        for file in order:
            for one in file:
                watch.take(one)
        watch.finish()
        assert watch.lost == 0
    watch = watched(*oldest, *newest)
    assert watch.lost == 4000


def test_reading_the_same_file_again_changes_nothing() -> None:
    file = [*steady(1, 200), *steady(300, 4000, 3)]
    watch = watched(*file, *file)
    watch.finish()
    assert watch.losses() == [Loss(99, event_id(200, 1.99), event_id(300, 3))]


def test_no_serials_and_no_hosts_take_memory_without_bounds() -> None:
    watch = SerialWatch()
    tracemalloc.start()
    for n in range(40_000):
        watch.take(record(2 * n, n / 100_000))
        watch.take(record(n * 7919 % 2**31, node=f"host{n}"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    watch.finish()
    assert watch.lost == 39_999
    assert len(watch.losses()) <= 1024


def change(body: str) -> Record:
    return record(7, kind="CONFIG_CHANGE", body=body + " auid=0 ses=1 res=1")


@pytest.mark.parametrize(
    ("records", "reports"),
    [
        ([record(1, kind="DAEMON_START")], {"auditd_started": 1}),
        (
            [record(1, kind=f"DAEMON_{kind}") for kind in ("START", "END", "START")],
            {"auditd_started": 2, "auditd_ended": 1},
        ),
        ([record(1, kind="DAEMON_START")] * 2, {"auditd_started": 2, "auditd_died": 1}),
        ([record(1, kind="DAEMON_ABORT")], {"auditd_aborted": 1}),
        ([record(1, kind="DAEMON_ERR")], {"auditd_error": 1}),
        ([record(1, kind="DAEMON_RESUME")], {"logging_resumed": 1}),
        ([change("op=set audit_enabled=0 old=1")], {"audit_disabled": 1}),
        ([change("op=set audit_enabled=1 old=1")], {}),
        ([change("op=set audit_rate_limit=100 old=0")], {"rate_limited": 1}),
        ([change("op=set audit_rate_limit=0 old=100")], {}),
        ([change("op=set audit_backlog_limit=8 old=64")], {"backlog_lowered": 1}),
        ([change("op=set audit_backlog_limit=65536 old=8192")], {}),
        ([change("op=set lost=0 old=1529")], {"kernel_lost": 1529}),
        ([change("op=set lost=0 old=-5")], {}),
        ([change("op=add_rule key=(null) list=4")], {}),
        (
            [record(7, kind="USER_CMD", body="msg='op=set audit_enabled=0 old=1 res=1'")],
            {},
        ),
    ],
)
def test_what_auditd_and_the_kernel_say_is_counted(
    records: list[Record], reports: dict[str, int]
) -> None:
    assert {kind: n for kind, n in watched(*records).reports.items() if n} == reports


def test_a_change_that_was_refused_is_none() -> None:
    refused = record(7, kind="CONFIG_CHANGE", body="op=set audit_enabled=0 old=1 auid=0 res=0")
    assert watched(refused).reports["audit_disabled"] == 0


def test_whole_captured_logs_lose_nothing_but_what_was_cut_out() -> None:
    for path in sorted((FIXTURES / "logs").glob("*.log")):
        watch = SerialWatch()
        serials = set()
        for line in path.read_bytes().splitlines():
            try:
                one = Record.parse(line)
            except RecordError:
                continue
            watch.take(one)
            if not one.type.startswith("DAEMON_"):
                serials.add(one.event_id.serial)
        watch.finish()
        assert watch.lost == max(serials) - min(serials) + 1 - len(serials), path.name


# --- any records, and the checkpoint --------------------------------------------------------------

any_records = st.lists(
    st.builds(
        record,
        st.one_of(st.integers(0, 40), st.integers(0, 2**63 - 1), st.integers(2**32 - 5, 2**32)),
        st.one_of(st.integers(0, 40), st.integers(-START, 2**37)),
        kind=st.sampled_from("SYSCALL EOE KERNEL DAEMON_START DAEMON_END SYSTEM_BOOT".split()),
        node=st.sampled_from([None, "a", "b"]),
    ),
    max_size=60,
)


@given(any_records)
def test_any_records_give_holes_that_hold_what_is_missing(records: list[Record]) -> None:
    watch = watched(*records)
    watch.finish()
    losses = watch.losses()
    assert watch.lost == sum(loss.count for loss in losses)
    assert watch.late == 0
    seen = {one.event_id for one in records}
    for loss in losses:
        assert loss.count == loss.after.serial - loss.before.serial - 1 > 0
        assert {loss.before, loss.after} <= seen


@given(any_records, any_records)
def test_a_watch_goes_on_from_its_snapshot_as_if_never_interrupted(
    before: list[Record], after: list[Record]
) -> None:
    watch = watched(*before)
    restored = SerialWatch()
    restored.restore(json.loads(json.dumps(watch.snapshot())))
    assert restored.snapshot() == watch.snapshot()
    for one in after:
        watch.take(one)
        restored.take(one)
    assert restored.snapshot() == watch.snapshot()
    for each in (watch, restored):
        each.finish()
    assert restored.losses() == watch.losses()
    assert (restored.lost, restored.late) == (watch.lost, watch.late)
    assert restored.reports == watch.reports


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.data())
def test_what_is_no_snapshot_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    watch = watched(
        record(1), record(4, 1), record(6, 30), record(7, 30), record(9_000_000, node="a")
    )
    watch.losses()
    kept = watch.snapshot()
    broken = json.loads(json.dumps(kept))
    place = broken
    while isinstance(place, dict | list) and place and data.draw(st.booleans()):
        at = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if not isinstance(place[at], dict | list) or data.draw(st.booleans()):
            place[at] = data.draw(json_values)
            break
        place = place[at]
    else:
        broken = data.draw(json_values)
    try:
        watch.restore(broken)
    except ValueError:
        assert watch.snapshot() == kept
    watch.take(record(8, 31))
    watch.finish()
    json.dumps(watch.snapshot())
