"""The time of a stream of events."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import pytest

from auditrule.eql.clock import Clock
from auditrule.eql.values import epoch_ms


class Odd(tzinfo):
    def utcoffset(self, _moment: datetime | None) -> None:
        raise RuntimeError

    dst = tzname = utcoffset


NO_TIMES: list[object] = ["", "x", "2024-13-01T00:00:00Z", "9" * 70, "nan", "today", None, True, {}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1704067200123, 1704067200123),
        (1704067200123.9, 1704067200123),
        ("1704067200123", 1704067200123),
        ("2024-01-01T00:00:00Z", 1704067200000),
        ("2024-01-01T00:00:00.1Z", 1704067200100),
        ("2024-01-01T00:00:00.123456789Z", 1704067200123),
        ("2024-01-01T00:00:00.1239+00:00", 1704067200123),
        ("2024-01-01T01:30:00.000+01:30", 1704067200000),
        ("2024-01-01T00:00:00", 1704067200000),
        ("2024-01-01", 1704067200000),
        ("1969-12-31T23:59:59.999Z", -1),
        (datetime(2024, 1, 1, tzinfo=UTC), 1704067200000),
        (datetime(2024, 1, 1), 1704067200000),
        (-0.5, -1),
        *((value, None) for value in NO_TIMES),
        *((value, None) for value in [float("nan"), float("inf"), -1e300, [], b"1"]),
        (datetime(2024, 1, 1, tzinfo=Odd()), None),
    ],
)
def test_a_time_is(value: object, expected: int | None) -> None:
    assert epoch_ms(value) == expected


def test_the_first_usable_time_of_several_counts() -> None:
    clock = Clock("@timestamp")
    clock.tick({"@timestamp": 1000})
    assert clock.tick({"@timestamp": ["x", None, 1500, 2000]}) == 500


def test_a_clock_does_not_go_back() -> None:
    clock = Clock("@timestamp")
    assert [clock.tell(ms) for ms in [5000, 7000, 6000, 7500]] == [0, 2000, 2000, 2500]


def test_a_clock_that_was_set_back_goes_on() -> None:
    clock = Clock("@timestamp")
    clock.tell(10**9)
    told = [clock.tell(1000 * n) for n in range(Clock.PATIENCE + 3)]
    assert told == [*[0] * (Clock.PATIENCE + 1), 1000, 2000]


def test_a_stream_that_is_not_all_behind_keeps_the_latest_time() -> None:
    clock = Clock("@timestamp")
    for n in range(10 * Clock.PATIENCE):
        assert clock.tell(10**9 + n) == n
        assert clock.tell(n) == n
