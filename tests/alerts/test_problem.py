"""Documents that tell of missing events."""

import json
from datetime import UTC, datetime

import pytest

from auditrule.alerts.problem import Problem, gap, lost
from auditrule.audit.record import EventId
from auditrule.ecs.mapping import HostIdentity

HOST = HostIdentity("web1", "0123456789abcdef0123456789abcdef")
BEFORE = EventId(None, 1_700_000_000, 123, 41)
AFTER = EventId(None, 1_700_000_060, 0, 99)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def test_a_gap_says_where_it_is_and_why() -> None:
    problem = gap(HOST, BEFORE, AFTER, "audit.log.5 was removed before it was read")
    text = (
        "Audit records between 2023-11-14T22:13:20.123Z (serial 41) and 2023-11-14T22:14:20.000Z "
        "(serial 99) may be missing: audit.log.5 was removed before it was read"
    )
    assert json.loads(problem.to_json()) == {
        "@timestamp": "2023-11-14T22:14:20.000Z",
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "pipeline_error",
            "action": "log-gap",
            "module": "auditd",
            "id": problem.id,
            "hash": problem.id,
            "start": "2023-11-14T22:13:20.123Z",
            "end": "2023-11-14T22:14:20.000Z",
            "reason": "audit.log.5 was removed before it was read",
        },
        "host": {"os": {"type": "linux"}, "name": "web1", "hostname": "web1", "id": HOST.id},
        "error": {"message": text, "code": "log-gap"},
        "auditd": {
            "gap": {
                "before": {"@timestamp": "2023-11-14T22:13:20.123Z", "sequence": 41},
                "after": {"@timestamp": "2023-11-14T22:14:20.000Z", "sequence": 99},
            }
        },
        "related": {"hosts": ["web1"]},
        "message": f"{text} (on web1)",
    }
    assert json.loads(problem.to_json()) == problem.to_dict()


def test_its_line_begins_as_every_line_of_an_alert_file_does() -> None:
    for problem in (gap(HOST, BEFORE, AFTER, "x"), lost(HOST, 1, None, None, now=NOW)):
        assert problem.to_json().startswith('{"@timestamp":"')
        assert "\n" not in problem.to_json()
        assert Problem.model_validate_json(problem.to_json()) == problem


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (BEFORE, None, "after 2023-11-14T22:13:20.123Z (serial 41)"),
        (None, AFTER, "before 2023-11-14T22:14:20.000Z (serial 99)"),
        (None, None, "at an unknown time"),
    ],
)
def test_an_edge_that_is_not_known_is_absent(
    before: EventId | None, after: EventId | None, text: str
) -> None:
    problem = gap(HOST, before, after, "x.", now=NOW)
    assert problem.error.message == f"Audit records {text} may be missing: x"
    assert set(problem.to_dict()["auditd"]["gap"]) == {
        name for name, edge in (("before", before), ("after", after)) if edge
    }
    assert ("start" in problem.to_dict()["event"]) == (before is not None)
    assert ("end" in problem.to_dict()["event"]) == (after is not None)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "Some audit events were lost between"),
        (1, "1 audit event was lost between"),
        (1_234, "1,234 audit events were lost between"),
    ],
)
def test_lost_events_are_counted_where_the_number_is_known(count: int | None, text: str) -> None:
    problem = lost(HOST, count, BEFORE, AFTER, reason="the kernel's backlog was full")
    assert problem.message.startswith(text)
    assert problem.message.endswith(": the kernel's backlog was full (on web1)")
    assert problem.to_dict()["auditd"]["lost"].get("count") == count
    assert problem.event.action == "events-lost"
    assert "gap" not in problem.to_dict()["auditd"]


def test_the_same_problem_has_the_same_id_and_others_have_others() -> None:
    later = EventId(None, 1_700_000_060, 0, 100)
    problems = [
        gap(HOST, BEFORE, AFTER, "x"),
        gap(HOST, BEFORE, later, "x"),
        gap(HOST, None, AFTER, "x"),
        gap(HOST, AFTER, None, "x"),
        gap(HostIdentity("web2"), BEFORE, AFTER, "x"),
        lost(HOST, 5, BEFORE, AFTER),
        lost(HOST, 6, BEFORE, AFTER),
        lost(HOST, None, BEFORE, AFTER),
        gap(HOST, None, None, "x", now=NOW),
        gap(HOST, None, None, "x", now=NOW.replace(year=2025)),
    ]
    assert len({problem.id for problem in problems}) == len(problems)
    # The wording of the reason is for people: it does not make it another problem.
    assert gap(HOST, BEFORE, AFTER, "y").id == problems[0].id
    assert gap(HOST, None, None, "x", now=NOW).id == problems[8].id


def test_the_log_names_the_host_as_it_does_in_alerts() -> None:
    other = gap(HOST, BEFORE._replace(node="db1"), AFTER._replace(node="db1"), "x").to_dict()
    assert other["host"] == {"os": {"type": "linux"}, "name": "db1", "hostname": "db1"}
    own = gap(HOST, BEFORE, AFTER._replace(node="web1.example.org"), "x").to_dict()
    assert own["host"]["name"] == "web1.example.org"
    assert own["host"]["id"] == HOST.id
    nobody = gap(HostIdentity(), BEFORE, AFTER, "x").to_dict()
    assert nobody["host"] == {"os": {"type": "linux"}}
    assert "related" not in nobody


def test_times_that_are_far_off_are_no_problem() -> None:
    last = EventId(None, 253_402_300_799, 999, 1)
    assert gap(HOST, EventId(None, 0, 0, 0), last, "x").to_dict()["event"]["start"] == (
        "1970-01-01T00:00:00.000Z"
    )


def test_nothing_in_a_reason_steers_a_terminal() -> None:
    assert gap(HOST, BEFORE, AFTER, "\x1b[2J\n").message.isprintable()
