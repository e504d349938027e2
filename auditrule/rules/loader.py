"""Rule files in, a RuleSet out."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auditrule import eql
from auditrule.eql.tree import Piped
from auditrule.rules.files import RuleFileFound, find_rule_files, reach_problem
from auditrule.rules.model import RuleFile
from auditrule.rules.problems import model_problems, toml_problem
from auditrule.rules.rule import Rule
from auditrule.rules.ruleset import (
    DisabledRule,
    NotEqlRule,
    RuleError,
    RuleSet,
    SkippedFile,
    UnsupportedRule,
)

_QUERY_OPENS = re.compile(r"^[ \t]*query[ \t]*=[ \t]*(?:'''\n?|\"\"\"\n?|'|\")", re.MULTILINE)

_Outcome = Rule | RuleError | UnsupportedRule | NotEqlRule | DisabledRule | SkippedFile


def load_rules(paths: Iterable[Path]) -> RuleSet:
    """Load the rules of files, trees and archives; nothing in them makes it raise or print.

    A folder stands for every ``*.toml`` below it, in the order of their paths; hidden files and
    folders in it are passed over, and so are TOML files that are no rules (neither a ``[rule]``
    nor a ``[metadata]`` table): the set's ``skipped`` names them. A file named itself must be a
    rule. A zip or tar stands for the ``*.toml`` in it. A file is read once, however often it is
    met.

    What is broken is in ``errors``, and does not keep the others from loading: a path that is
    not there or cannot be read, text that is not UTF-8 or not TOML, a rule that the models
    refuse, a query that is not EQL, and a ``rule_id`` that an earlier file has. Rules that are
    sound and yet not run are in ``unsupported``, ``not_eql`` and ``disabled``. A folder without
    any rule is no error: ``rules`` is then empty.
    """
    outcomes: list[_Outcome] = []
    owners: dict[str, Path] = {}
    for find in find_rule_files(paths):
        if isinstance(find, RuleFileFound):
            outcomes += _load(find, owners)
        else:
            outcomes.append(find)
    return RuleSet(
        rules=tuple(each for each in outcomes if isinstance(each, Rule)),
        errors=tuple(each for each in outcomes if isinstance(each, RuleError)),
        unsupported=tuple(each for each in outcomes if isinstance(each, UnsupportedRule)),
        not_eql=tuple(each for each in outcomes if isinstance(each, NotEqlRule)),
        disabled=tuple(each for each in outcomes if isinstance(each, DisabledRule)),
        skipped=tuple(each for each in outcomes if isinstance(each, SkippedFile)),
    )


def _load(found: RuleFileFound, owners: dict[str, Path]) -> list[_Outcome]:
    path = found.path
    text = _read_text(found)
    if isinstance(text, RuleError):
        return [text]
    tables = _read_toml(path, text)
    if isinstance(tables, RuleError):
        return [tables]
    if not found.named and tables.keys().isdisjoint({"rule", "metadata"}):
        return [SkippedFile(path, "TOML without a [rule] table")]
    if "rule" not in tables:
        return [RuleError(path, "", "has no [rule] table")]
    try:
        file = RuleFile.model_validate(tables)
    except ValidationError as error:
        return [RuleError(path, field, reason) for field, reason in model_problems(error)]
    owner = owners.setdefault(file.rule.rule_id, path)
    if owner is not path:
        reason = f"{file.rule.rule_id!r} is taken by {owner}"
        return [RuleError(path, "rule.rule_id", reason)]
    return [_make_rule(path, file, text)]


def _read_text(found: RuleFileFound) -> str | RuleError:
    path, data = found.path, found.data
    if data is None:
        try:
            data = path.read_bytes()
        except OSError as error:
            return reach_problem(path, error)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        reason = f"is not UTF-8: the byte 0x{data[error.start]:02x} cannot stand here"
        return RuleError(path, "", reason, line, column)
    # Some editors on Windows put a byte order mark first and end lines with CRLF.
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _read_toml(path: Path, text: str) -> dict[str, Any] | RuleError:
    try:
        return tomllib.loads(text)
    except RecursionError:
        return RuleError(path, "", "is nested too deeply")
    except ValueError as error:
        reason, line, column = toml_problem(error)
        return RuleError(path, "", reason, line, column)


def _make_rule(path: Path, file: RuleFile, text: str) -> _Outcome:
    body = file.rule
    if not body.is_eql or body.query is None:
        return NotEqlRule(path, body.rule_id, body.name, body.language or body.type)
    try:
        query = eql.compile(
            body.query,
            category_field=body.event_category_override or "event.category",
            timestamp_field=body.timestamp_field or "@timestamp",
        )
    except eql.EqlUnsupportedError as error:
        return UnsupportedRule(path, body.rule_id, body.name, str(error))
    except eql.EqlError as error:
        line, column = _place_in_file(text, body.query, error)
        return RuleError(path, "rule.query", f"is not EQL: {error}", line, column)
    if isinstance(query.tree, Piped):
        reason = "a pipe has no meaning in a rule, which runs without end"
        return UnsupportedRule(path, body.rule_id, body.name, reason)
    if body.filters:
        reason = "rule.filters narrows the query in a language other than EQL"
        return UnsupportedRule(path, body.rule_id, body.name, reason)
    if not body.enabled:
        return DisabledRule(path, body.rule_id, body.name)
    return Rule(path, file, query)


def _place_in_file(text: str, query: str, error: eql.EqlError) -> tuple[int | None, int | None]:
    """Return the line and column of the file at which the error in the query stands.

    tomllib tells no places, so the query is looked for; one with escapes in it does not stand in
    the file as it is, and has no place.
    """
    for opening in _QUERY_OPENS.finditer(text):
        start = opening.end()
        if text.startswith(query, start):
            line = text.count("\n", 0, start) + error.line
            indent = start - (text.rfind("\n", 0, start) + 1) if error.line == 1 else 0
            return line, indent + error.column
    return None, None
