"""The daemon is killed, and each alert is there, once: 25 kills of `python -m tests.kill`."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from kill.cli import shares
from kill.modes import MODES
from kill.run import run
from kill.traffic import LABELLED, SEQUENCE, TWICE, Expected, Traffic
from kill.verdict import compare

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 25


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "kills"), list(shares(list(MODES), KILLS)))
def test_no_alert_is_lost_or_repeated_however_the_daemon_ends(
    tmp_path: Path, name: str, kills: int
) -> None:
    seed = secrets.randbelow(1 << 32)
    result = run(MODES[name], kills, seed, tmp_path / "run")
    assert result.kills == kills
    assert result.events > 0
    assert not result.verdict, f"{name}, seed {seed}:\n{result.verdict}"


def alert(expected: Expected, **more: Any) -> str:
    document = {
        "event": {"kind": "alert", "hash": expected.label, "sequence": expected.serial},
        "rule": {"uuid": expected.rule},
        "process": {"args": ["chmod", expected.label]},
    }
    return json.dumps(document | more) + "\n"


FIRST, SECOND = Expected(LABELLED, "a", 1), Expected(LABELLED, "b", 2)


def test_the_verdict_on_what_is_right_is_empty(tmp_path: Path) -> None:
    alerts = tmp_path / "alerts.ndjson"
    alerts.write_text(alert(SECOND))
    (tmp_path / "alerts.ndjson.1").write_text(alert(FIRST))
    assert not compare(alerts, [FIRST, SECOND])


def test_the_verdict_names_what_is_lost_and_repeated(tmp_path: Path) -> None:
    alerts = tmp_path / "alerts.ndjson"
    alerts.write_text(alert(SECOND))
    (tmp_path / "alerts.ndjson.1").write_text(alert(SECOND))
    verdict = compare(alerts, [FIRST, SECOND])
    assert (verdict.lost, verdict.repeated) == ([FIRST], [SECOND])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(alert(FIRST)[:-1], id="no end"),
        pytest.param(alert(FIRST) + alert(SECOND)[9:], id="half a line"),
        pytest.param(alert(FIRST) + alert(Expected(LABELLED, "c", 3)), id="no alert"),
        pytest.param(alert(FIRST, rule={"uuid": TWICE}), id="another rule"),
        pytest.param(alert(FIRST, process={"args": ["a"], "parent": {"name": "x"}}), id="parent"),
        pytest.param(
            alert(FIRST) + alert(FIRST, event={"kind": "pipeline_error", "hash": "x"}), id="report"
        ),
    ],
)
def test_the_verdict_names_what_is_wrong(tmp_path: Path, text: str) -> None:
    alerts = tmp_path / "alerts.ndjson"
    alerts.write_text(text)
    assert compare(alerts, [FIRST]).wrong


def test_the_traffic_holds_each_of_its_kinds_and_every_serial() -> None:
    traffic = Traffic(1, lambda: 1_700_000_000_123)
    lines = [line for _ in range(1000) for line in traffic.burst()] + traffic.rest()
    serials = {int(line.split(b"): ")[0].rpartition(b":")[2]) for line in lines}
    assert serials == set(range(min(serials), max(serials) + 1))
    assert {each.rule for each in traffic.expected} == {LABELLED, TWICE, SEQUENCE}
    assert any(each.parent for each in traffic.expected)
    assert any(b"[0]=" in line for line in lines)
