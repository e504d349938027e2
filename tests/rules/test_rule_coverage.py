"""How far a rule runs on what documents can have."""

from pathlib import Path

import pytest

from auditrule import eql
from auditrule.ecs.catalogue import CatalogueField
from auditrule.rules import Rule
from auditrule.rules.coverage import Coverage, Status, able_to_match, cover
from auditrule.rules.model import RuleFile


def field(name: str, *values: str, always: bool = False) -> CatalogueField:
    return CatalogueField(name, "keyword", values or None, always, ("rule",))


CATALOGUE = {
    each.name: each
    for each in (
        field("event.category", "process", always=True),
        field("event.type", "start", always=True),
        field("event.action", "exec", always=True),
        field("process.name"),
        field("process.args"),
        field("sometimes", "a", "b"),
    )
}


def covered(text: str) -> Coverage:
    return cover(eql.compile(text), CATALOGUE)


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        'process.name == "x"',
        'event.type == "start" and event.action in ("exec", "exec_event", "start")',
        'event.action : "EX*" and not process.args : "x*"',
        'not event.type == "end"',
        'event.type != "end" and process.name == "x"',
        'sometimes == "b" or sometimes == null',
        'process.name : "x" and not (event.type == "end" and process.args : "y")',
    ],
)
def test_a_rule_is_full_if_all_that_it_needs_can_be(condition: str) -> None:
    for category in ("process", "any"):
        assert covered(f"{category} where {condition}") == Coverage(Status.FULL)


@pytest.mark.parametrize(
    ("condition", "missing", "reason"),
    [
        (
            'process.name == "x" or file.path : "y"',
            ("file.path",),
            'no document has file.path; this branch never holds: file.path : "y"',
        ),
        (
            'process.name == "x" and not file.path : "y"',
            ("file.path",),
            "no document has file.path",
        ),
        (
            'process.name == "x" and file.path == null',
            ("file.path",),
            "no document has file.path",
        ),
        (
            'process.name == "x" or event.type == "end"',
            (),
            'this branch never holds: event.type == "end"',
        ),
        (
            'process.name == "x" or (event.type == "end" and process.args : "y")',
            (),
            'this branch never holds: event.type == "end" and process.args : "y"',
        ),
    ],
)
def test_a_rule_is_partial_if_a_branch_of_it_is_dead(
    condition: str, missing: tuple[str, ...], reason: str
) -> None:
    assert covered(f"process where {condition}") == Coverage(Status.PARTIAL, missing, reason)


@pytest.mark.parametrize(
    ("text", "missing", "reason"),
    [
        ("file where true", (), "there are no events of the category file"),
        ('any where file.path : "y"', ("file.path",), "it needs file.path"),
        (
            'process where process.name == "x" and (file.path : "y" or dns.id == "z")',
            ("dns.id", "file.path"),
            "it needs dns.id, file.path",
        ),
        ('process where event.type == "end"', (), 'this never holds: event.type == "end"'),
        ('process where sometimes == "c"', (), 'this never holds: sometimes == "c"'),
        (
            'process where event.type == "start" and not event.type == "start"',
            (),
            'this never holds: not event.type == "start"',
        ),
    ],
)
def test_a_rule_is_unsupported_if_it_can_never_match(
    text: str, missing: tuple[str, ...], reason: str
) -> None:
    assert covered(text) == Coverage(Status.UNSUPPORTED, missing, reason)


@pytest.mark.parametrize(
    ("text", "status", "missing", "reason"),
    [
        (
            "sequence by process.name with maxspan=1m [process where true] "
            '[any where sometimes == "a"] until [process where process.args == "x"]',
            Status.FULL,
            (),
            None,
        ),
        (
            "sequence [process where true] [file where true]",
            Status.UNSUPPORTED,
            (),
            "event 2 never comes: there are no events of the category file",
        ),
        (
            "sequence by user.id [process where true] [process where true]",
            Status.UNSUPPORTED,
            ("user.id",),
            "event 1 never comes: it is joined by user.id",
        ),
        (
            "sequence by ?user.id [process where true] [process where true]",
            Status.PARTIAL,
            ("user.id",),
            "no document has user.id",
        ),
        (
            "sequence [process where true] "
            '[process where process.name == "x" or event.type == "end"]',
            Status.PARTIAL,
            (),
            'event 2: this branch never holds: event.type == "end"',
        ),
        (
            "sequence with maxspan=1m [process where true] ![file where true]",
            Status.PARTIAL,
            (),
            "event 2 is always missing: there are no events of the category file",
        ),
        (
            'sequence [process where true] [any where true] until [any where event.type == "end"]',
            Status.PARTIAL,
            (),
            'until never comes: this never holds: event.type == "end"',
        ),
        # The key of one event alone.
        (
            "sequence [process where true] by process.name [any where true] by host.id",
            Status.UNSUPPORTED,
            ("host.id",),
            "event 2 never comes: it is joined by host.id",
        ),
        (
            "sequence [process where true] by process.name [any where true] by ?host.id",
            Status.PARTIAL,
            ("host.id",),
            "no document has host.id",
        ),
        (
            'sequence [process where true] [process where process.name == "x"] with runs=3',
            Status.FULL,
            (),
            None,
        ),
        (
            'sequence with maxspan=1m ![process where process.name == "x"] [process where true]',
            Status.FULL,
            (),
            None,
        ),
        (
            "sequence with maxspan=1m [process where true] "
            '![any where file.path : "x"] [process where true]',
            Status.PARTIAL,
            ("file.path",),
            "no document has file.path; event 2 is always missing: it needs file.path",
        ),
        # An event that never comes decides, whatever else is wrong.
        (
            "sequence with maxspan=1m ![file where true] [network where true] [process where true]",
            Status.UNSUPPORTED,
            (),
            "event 2 never comes: there are no events of the category network",
        ),
        (
            "sequence by process.name [process where true] [any where true] "
            "until [file where true]",
            Status.PARTIAL,
            (),
            "until never comes: there are no events of the category file",
        ),
        (
            "sample by process.name [process where true] [any where true]",
            Status.FULL,
            (),
            None,
        ),
        (
            "sample by process.name [process where true] [network where true]",
            Status.UNSUPPORTED,
            (),
            "event 2 never comes: there are no events of the category network",
        ),
    ],
)
def test_a_sequence_is_as_full_as_its_events(
    text: str, status: Status, missing: tuple[str, ...], reason: str | None
) -> None:
    assert covered(text) == Coverage(status, missing, reason)


def test_only_rules_that_can_match_at_all_are_worth_running() -> None:
    texts = {
        "full": "process where true",
        "partial": 'process where process.name == "x" or file.path : "y"',
        "never": "file where true",
        "sequence": "sequence by process.name [process where true] [any where true]",
        "never a sequence": "sequence [process where true] [file where true]",
        "sequence without until": "sequence [any where true] [any where true] until [a where true]",
        "sequence without a missing event": (
            "sequence with maxspan=1m [any where true] ![file where true]"
        ),
        "never a sample": "sample by host.id [any where true] [any where true]",
    }
    rules = []
    for name, text in texts.items():
        table = {"rule_id": name, "name": name, "description": "A rule.", "severity": "low"}
        table |= {"type": "eql", "language": "eql", "query": text}
        file = RuleFile.model_validate({"rule": {**table, "risk_score": 1}})
        rules.append(Rule(Path(name), file, eql.compile(text)))
    able = [rule.name for rule in able_to_match(rules, CATALOGUE)]
    assert able == [name for name in texts if not name.startswith("never")]
