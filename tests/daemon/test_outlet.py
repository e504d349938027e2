from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from auditrule.alerts.problem import lost
from auditrule.audit.record import EventId
from auditrule.daemon.outlet import Outlet
from auditrule.ecs.mapping import HostIdentity

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert
    from auditrule.alerts.sink import Writable


class _Rule:
    id = "rule"
    name = "A rule"


class _Event:
    def __init__(self, serial: int) -> None:
        self.sequence = serial


class FakeAlert:
    message = "something happened"
    rule = _Rule()

    def __init__(self, alert_id: str, seconds: int, serial: int) -> None:
        self.id = alert_id
        self.event = _Event(serial)
        self.timestamp = datetime.fromtimestamp(seconds, UTC)

    def to_json(self) -> str:
        return self.id


class Kept:
    def __init__(self) -> None:
        self.documents: list[str] = []
        self.failing = False

    def write(self, document: Writable, /) -> None:
        if self.failing:
            raise OSError(28, "No space left on device")
        self.documents.append(document.to_json())

    def sync(self) -> None:
        self.documents.append("sync")

    def tend(self) -> None: ...

    def close(self) -> None: ...


def alert(alert_id: str, seconds: int = 5000, serial: int = 50) -> Alert:
    return cast("Alert", FakeAlert(alert_id, seconds, serial))


def test_an_alert_that_is_there_already_is_not_handed_on_again() -> None:
    kept = Kept()
    outlet = Outlet(kept, written={"a", "b"}, last="b")
    assert [outlet.alert(alert(each)) for each in "bcad"] == [False, True, False, True]
    assert kept.documents == ["c", "d"]
    assert outlet.last == "d"
    assert outlet.by_rule == {"rule": 2}


def test_what_may_still_come_again_is_known_for_the_next_checkpoint() -> None:
    outlet = Outlet(Kept(), written={"a", "b"}, last="b")
    outlet.alert(alert("a"))
    outlet.alert(alert("c"))
    assert (outlet.last, outlet.written) == ("c", {"b"})


def test_what_was_written_is_forgotten_when_all_of_the_log_was_read() -> None:
    outlet = Outlet(Kept(), written={"a"}, known=EventId(None, 9000, 0, 90))
    outlet.caught_up()
    assert outlet.written == set()
    assert outlet.alert(alert("old", 1000, 10))


@pytest.mark.parametrize(
    ("seconds", "serial", "new"),
    [
        (8000, 80, False),
        (8939, 89, False),
        # Nearly as late, so perhaps not seen yet: only its id tells.
        (8950, 89, True),
        (9000, 90, True),
        (9001, 91, True),
        # A boot, at which serials begin anew, and a clock that was set back.
        (9500, 1, True),
        (8000, 91, True),
    ],
)
def test_what_is_older_than_the_newest_alert_is_not_news(
    seconds: int, serial: int, new: bool
) -> None:
    outlet = Outlet(Kept(), known=EventId(None, 9000, 0, 90))
    assert outlet.alert(alert("a", seconds, serial)) is new


def test_what_was_written_is_not_news_however_late_it_is() -> None:
    kept = Kept()
    outlet = Outlet(kept, written={"x1"}, known=EventId(None, 9000, 0, 90))
    # The event of the newest alert may have had others, which were not written any more.
    assert not outlet.alert(alert("x1", 9000, 90))
    assert outlet.alert(alert("x2", 9000, 90))
    assert kept.documents == ["x2"]


def test_an_alert_that_cannot_be_kept_is_not_the_last_one() -> None:
    kept = Kept()
    outlet = Outlet(kept, last="a")
    kept.failing = True
    with pytest.raises(OSError, match="No space"):
        outlet.alert(alert("b"))
    assert (outlet.last, dict(outlet.by_rule)) == ("a", {})


def test_a_problem_of_the_pipeline_goes_out_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    problem = lost(HostIdentity("web1"), 3, EventId(None, 1, 0, 1), EventId(None, 2, 0, 5))
    outlet = Outlet(kept, written={problem.id})
    outlet.problem(problem)
    assert kept.documents == []
    outlet.problem(problem)
    assert kept.documents == [problem.to_json()]
    assert "3 audit events were lost" in caplog.text
