"""Every log of the fixtures gives the documents and alerts that stand beside it.

``pytest --update-golden`` writes those files anew; the diff is to be read like code. Texts longer
than a few hundred characters are kept as their length and a digest.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditrule.api import read_events, replay

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert

FIXTURES = Path(__file__).parent.parent / "fixtures"
LOGS = sorted(log for folder in ("logs", "handwritten") for log in FIXTURES.glob(f"{folder}/*.log"))
_LONGEST = 300


def test_there_are_logs() -> None:
    assert len(LOGS) > 50


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}-{log.stem}")
def test_a_log_gives_its_documents_and_alerts(log: Path, update_golden: bool) -> None:
    found = {
        "documents": [_short(document.to_dict()) for document in read_events(log)],
        "alerts": [_essence(alert) for alert in replay(log)],
    }
    golden = log.with_suffix(".golden.json")
    if update_golden:
        golden.write_text(_one_a_line(found), encoding="utf-8")
    assert json.loads(golden.read_text(encoding="utf-8")) == found


def _essence(alert: Alert) -> dict[str, Any]:
    """Return what an alert adds to the document of its event, but for the rule's own text."""
    return {
        "document": alert.event.id,
        "id": alert.id,
        "rule": alert.rule.id,
        "message": _short(alert.message),
    }


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list):
        if len(value) > _LONGEST:
            return f"{len(value)} items, blake2b {_digest(json.dumps(value))}"
        return [_short(each) for each in value]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{len(value)} characters, blake2b {_digest(value)}"
    return value


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _one_a_line(found: dict[str, list[Any]]) -> str:
    """Return JSON that a diff of lines can be read of: one document a line."""
    parts = []
    for key, items in found.items():
        lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
        parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
    return "{" + ",\n".join(parts) + "}\n"
