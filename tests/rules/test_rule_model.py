import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditrule.rules import Rule, load_rules, rule_rows
from auditrule.rules.model import RuleFile

VALID = Path(__file__).parents[2] / "fixtures/rules/valid"


def one_rule(path: Path) -> Rule:
    [rule] = load_rules([path]).rules
    return rule


@pytest.fixture(scope="module")
def web() -> Rule:
    return one_rule(VALID / "web/shell_from_web_server.toml")


def tables(**rule: object) -> dict[str, Any]:
    usual: dict[str, object] = {
        "rule_id": "x",
        "name": "X",
        "description": "X.",
        "severity": "low",
        "risk_score": 1,
        "type": "eql",
        "language": "eql",
        "query": "any where true",
    }
    return {"rule": usual | rule}


def test_a_rule_gives_what_its_file_says(web: Rule) -> None:
    assert web.id == "4eb583ec-3953-4f13-be1b-6c421c799d67"
    assert web.name == "Shell from a Web Server"
    assert web.description == "A web server started a shell.\n\nIt should not."
    assert (web.severity, web.risk_score, web.version) == ("high", 73, 7)
    assert web.author == ("auditrule", "auditrule's tests")
    assert web.license == "Apache-2.0"
    assert web.references == ("https://attack.mitre.org/techniques/T1505/003/",)
    assert web.tags[0] == "OS: Linux"
    assert web.tactics == ("Persistence", "Execution")
    assert not web.is_building_block
    assert web.body.from_ == "now-9m"
    assert web.body.max_signals == 100
    assert web.body.investigation_fields is not None
    assert web.body.investigation_fields.field_names == ("process.command_line",)
    assert web.body.alert_suppression is not None
    assert web.body.alert_suppression.duration is not None
    assert web.body.alert_suppression.duration.unit == "h"
    assert web.metadata.creation_date == date(2024, 2, 29)
    assert web.metadata.integration == ("auditd",)
    assert web.query_text.startswith("/* a comment over")


def test_threats_keep_their_order_and_their_subtechniques(web: Rule) -> None:
    assert [threat.framework for threat in web.threat] == [
        "MITRE ATT&CK",
        "MITRE ATT&CK",
        "MITRE ATLAS",
    ]
    assert web.threat[0].technique[0].subtechnique[0].id == "T1505.003"
    assert web.threat[1].technique == ()
    assert web.threat[1].tactic.reference is None
    assert web.threat[2].technique[0].subtechnique[0].id == "AML.T0051.000"


def test_keys_that_the_model_does_not_know_are_kept(web: Rule) -> None:
    assert web.body.model_extra == {"house_rule_key": 1}
    assert web.metadata.model_extra == {"house_key": "kept"}
    assert web.file.model_extra == {
        "transform": {"osquery": [{"label": "Users", "query": "SELECT * FROM users"}]}
    }


def test_a_rule_needs_no_more_than_what_an_alert_needs() -> None:
    rule = one_rule(VALID / "interactive_root.toml")
    assert rule.version is None
    assert rule.threat == ()
    assert rule.references == rule.tags == rule.tactics == rule.author == ()
    assert rule.license is None
    assert rule.metadata.creation_date is None
    assert rule.is_building_block


def test_an_id_need_not_be_a_uuid() -> None:
    assert one_rule(VALID / "login_failed.toml").id == "tests/login-failed"


def test_a_rule_cannot_be_changed_and_can_be_a_key(web: Rule) -> None:
    with pytest.raises(AttributeError):
        web.path = Path()  # type: ignore[misc]
    with pytest.raises(ValidationError):
        web.body.name = "Another"  # type: ignore[misc]
    assert {web: 1}[web] == 1
    assert repr(web).startswith("Rule('4eb583ec-")


@pytest.mark.parametrize("severity", ["low", "medium", "high", "critical"])
@pytest.mark.parametrize("risk_score", [0, 100])
def test_the_ends_of_the_scales_are_allowed(severity: str, risk_score: int) -> None:
    file = RuleFile.model_validate(tables(severity=severity, risk_score=risk_score))
    assert (file.rule.severity, file.rule.risk_score) == (severity, risk_score)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("risk_score", True),
        ("risk_score", 1.0),
        ("severity", "Low"),
        ("severity", ""),
        ("rule_id", ""),
        ("rule_id", "a\nb"),
        ("rule_id", 1),
        ("description", " \n"),
        ("query", "\t"),
        ("tags", "OS: Linux"),
        ("author", [["nested"]]),
        ("threat", {"framework": "MITRE ATT&CK"}),
        ("version", "1"),
        ("event_category_override", ""),
    ],
)
def test_what_auditrule_reads_is_checked_strictly(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        RuleFile.model_validate(tables(**{key: value}))
    assert {error["loc"][:2] for error in caught.value.errors()} == {("rule", key)}


@pytest.mark.parametrize(
    "written", ["2025-01-01", "2025/1/1", "2025/01/01 ", "٢٠٢٥/01/01", "2025/13/01", 20250101]
)
def test_a_date_is_written_with_slashes_and_is_in_the_calendar(written: object) -> None:
    with pytest.raises(ValidationError):
        RuleFile.model_validate(tables() | {"metadata": {"creation_date": written}})


def test_a_date_of_tomls_own_is_refused() -> None:
    file = tomllib.loads("[metadata]\nupdated_date = 2025-01-01") | tables()
    with pytest.raises(ValidationError):
        RuleFile.model_validate(file)


def test_rows_are_what_a_table_of_rules_shows(web: Rule) -> None:
    [row] = rule_rows([web])
    assert row.name == "Shell from a Web Server"
    assert (row.severity, row.risk_score) == ("high", "73")
    assert row.tactics == "Persistence, Execution"
    assert row.id == web.id
    assert row.path.endswith("web/shell_from_web_server.toml")
