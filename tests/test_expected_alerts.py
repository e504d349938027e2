"""The rule fires exactly where each scenario's author says it should.

Each ``NAME.expected.json`` was written from what the scenario did and what the rule means, not
from this program's output. Its alerts are told by command and parent, for logs with and without
records of forks; every other exec of the scenario must stay silent.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditrule.api import replay
from auditrule.audit.text import encode_text

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert

FIXTURES = Path(__file__).parent.parent / "fixtures"
SCENARIOS = sorted(FIXTURES.rglob("*.expected.json"))


def _logs() -> list[tuple[Path, list[Path], str]]:
    """Return each expectation with its logs and their mode."""
    found = []
    for expected in SCENARIOS:
        name = expected.name.removesuffix(".expected.json")
        if (expected.parent / name).is_dir():
            found.append((expected, [expected.parent / name], "clone"))
            continue
        for log in sorted(expected.parent.glob(f"{name}.*log")):
            mode = log.name.removesuffix(".log").rpartition(".")[2]
            found.append((expected, [log], mode if mode in ("exec", "clone") else "exec"))
    return found


CASES = _logs()


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 20


@pytest.mark.parametrize(
    ("expected", "logs", "mode"),
    CASES,
    ids=[f"{expected.parent.name}-{logs[0].stem}" for expected, logs, _ in CASES],
)
def test_the_rule_fires_exactly_where_the_scenario_says(
    expected: Path, logs: list[Path], mode: str
) -> None:
    story = json.loads(expected.read_text(encoding="utf-8"))
    alerts = list(replay(logs))
    # What names its parent first, so that what does not takes what is left.
    for wish in sorted(story["alerts"][mode], key=lambda each: "parent" not in each):
        answer = next((alert for alert in alerts if _grants(alert, wish)), None)
        assert answer is not None, f"no alert for {wish}"
        alerts.remove(answer)
    for doubt in story.get("undecidable", {}).get(mode, []):
        answer = next((alert for alert in alerts if _grants(alert, doubt)), None)
        if answer is not None:
            alerts.remove(answer)
    assert [alert.message for alert in alerts] == []


def test_elastics_own_file_of_the_rule_gives_the_same_alerts(elastic_seed_rule: Path) -> None:
    ours = list(replay(FIXTURES))
    theirs = list(replay(FIXTURES, rules=elastic_seed_rule))
    assert len(ours) > 300
    assert [alert.id for alert in theirs] == [alert.id for alert in ours]
    assert [alert.threat for alert in theirs] == [alert.threat for alert in ours]


def _grants(alert: Alert, wish: dict[str, Any]) -> bool:
    process = alert.process
    args = list(process.args or ())
    if "parent" in wish and wish["parent"] != (process.parent and process.parent.executable):
        return False
    if wish.get("truncated", False) != (alert.auditd.truncated is True):
        return False
    if "time" in wish and wish["time"] != f"{alert.timestamp.timestamp():.3f}":
        return False
    if "args" in wish:
        return bool(args == wish["args"])
    if "args_contain" in wish:
        return set(wish["args_contain"]) <= set(args)
    joined = b"\0".join(encode_text(arg) for arg in args)
    return bool(
        len(args) == wish["args_count"]
        and hashlib.sha256(joined).hexdigest() == wish["args_sha256"]
    )
