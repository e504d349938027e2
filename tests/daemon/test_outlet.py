from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from auditrule.alerts.problem import lost
from auditrule.audit.record import EventId
from auditrule.daemon.outlet import Outlet
from auditrule.ecs.mapping import HostIdentity

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert
    from auditrule.alerts.sink import Writable


class _Event:
    def __init__(self, event_id: str) -> None:
        self.id = event_id


class _Rule:
    id = "rule"
    name = "A rule"


class FakeAlert:
    message = "something happened"
    rule = _Rule()

    def __init__(self, alert_id: str, event_id: str = "event") -> None:
        self.id = alert_id
        self.event = _Event(event_id)

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


def alert(alert_id: str, event_id: str = "event") -> Alert:
    return cast("Alert", FakeAlert(alert_id, event_id))


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
    outlet = Outlet(Kept(), written={"a"}, awaited="x")
    outlet.caught_up()
    assert outlet.written == {"a"}
    outlet.passed("x")
    outlet.caught_up()
    assert outlet.written == set()


def test_alerts_are_held_back_until_the_awaited_event_has_passed() -> None:
    kept = Kept()
    outlet = Outlet(kept, written={"x1"}, awaited="x", last="x1")
    assert not outlet.alert(alert("old", "w"))
    outlet.passed("w")
    states = [outlet.is_waiting]
    # The event itself may have had other alerts, which were not written any more.
    assert not outlet.alert(alert("x1", "x"))
    assert outlet.alert(alert("x2", "x"))
    outlet.passed("x")
    states.append(outlet.is_waiting)
    assert states == [True, False]
    assert outlet.alert(alert("new", "y"))
    assert kept.documents == ["x2", "new"]


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


def test_problems_of_what_was_read_before_are_not_told_again() -> None:
    kept = Kept()
    problem = lost(HostIdentity("web1"), 3, EventId(None, 1, 0, 1), EventId(None, 2, 0, 5))
    outlet = Outlet(kept, awaited="x")
    outlet.problem(problem)
    assert kept.documents == []
