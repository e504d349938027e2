"""``auditrule rules list`` and ``auditrule rules check``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auditrule.alerts.model import printable
from auditrule.ecs.catalogue import catalogue
from auditrule.rules.index import alternatives
from auditrule.rules.loader import load_rules
from auditrule.rules.report import ERROR, RuleReport, report_rules
from auditrule.rules.ruleset import RuleSet, rule_rows
from auditrule.rules.runnable import runnable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from auditrule.rules.rule import Rule

_STYLES = {"full": "green", "partial": "yellow", "unsupported": "dim", ERROR: "bold red"}
# Where no person looks, lines are not folded.
_WIDTH_OF_A_PIPE = 400


def list_rules(found: RuleSet, *, explain_index: bool) -> bool:
    """Print the rules that run as a table, or by what each is looked up; tell if there are any."""
    running = runnable(found, catalogue())
    for notice in running.notices:
        typer.echo(notice, err=True)
    if not running.rules:
        typer.echo("there is no rule to run", err=True)
        return False
    if explain_index:
        _explain_index(running.rules)
        return True
    table = _table("Name", "Severity", "Risk", "Tactics", "Id")
    for row in rule_rows(running.rules):
        table.add_row(*map(Text, (row.name, row.severity, row.risk_score, row.tactics, row.id)))
    _console().print(table)
    return True


def _explain_index(rules: Iterable[Rule]) -> None:
    table = _table("Name", "Events", "Looked up by")
    for rule in rules:
        for query in rule.query.event_queries:
            keys = [alternative.key for alternative in alternatives(query)]
            shown = "\nor ".join(keys) if all(keys) else "asked of every event"
            table.add_row(Text(rule.name), Text(query.category or "any"), Text(shown))
    _console().print(table)


def check_rules(paths: list[Path], output_format: str) -> bool:
    """Print how far each rule of `paths` runs; tell whether none is broken."""
    found = load_rules(paths)
    report = report_rules(found, catalogue())
    if output_format == "json":
        typer.echo(json.dumps(report.to_dict(), indent=2))
        return report.ok
    table = _table("Status", "Rule", "Why")
    for rule in report.rules:
        if rule.status != ERROR:
            table.add_row(Text(rule.status, _STYLES.get(rule.status, "")), _name(rule), _why(rule))
    console = _console()
    console.print(table)
    for rule in report.rules:
        if rule.status == ERROR:
            # Several lines, with a caret under the place: no cell of a table.
            console.print(Text(rule.reason or "", _STYLES[ERROR]), soft_wrap=True)
    for skipped in found.skipped:
        console.print(Text(str(skipped), "dim"), soft_wrap=True)
    told = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    console.print(told or "there are no rules", highlight=False)
    return report.ok and bool(told)


def _name(rule: RuleReport) -> Text:
    return Text(f"{printable(rule.name or '')}\n").append(printable(rule.path), "dim")


def _why(rule: RuleReport) -> Text:
    if rule.status == "not-eql":
        return Text(f"it is {rule.language}")
    ignored = [f"its {name} is ignored" for name in rule.ignored]
    return Text("; ".join(filter(None, (rule.reason, *ignored))))


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, header_style="bold", pad_edge=False)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False)
