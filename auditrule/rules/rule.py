"""A rule that is ready to run."""

from dataclasses import dataclass
from pathlib import Path

from auditrule.eql import Query
from auditrule.rules.model import Metadata, RuleBody, RuleFile, Severity, Threat


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rule:
    """One EQL rule: what its file says, where the file is, and the query, compiled.

    Two rules are equal only if they are the same object, so that a rule can be a key; ``id`` tells
    rules apart, and is unique within a RuleSet.
    """

    path: Path
    file: RuleFile
    query: Query

    def __repr__(self) -> str:
        return f"Rule({self.id!r}, {self.name!r}, {str(self.path)!r})"

    @property
    def body(self) -> RuleBody:
        """The ``[rule]`` table whole, for what has no property of its own here."""
        return self.file.rule

    @property
    def metadata(self) -> Metadata:
        """The ``[metadata]`` table; empty where the file has none."""
        return self.file.metadata

    @property
    def id(self) -> str:
        """The ``rule_id``: not empty, one line; mostly a UUID."""
        return self.body.rule_id

    @property
    def name(self) -> str:
        """The rule's title: not empty, one line."""
        return self.body.name

    @property
    def description(self) -> str:
        """What the rule looks for, as prose, without the blanks at its ends."""
        return self.body.description.strip()

    @property
    def severity(self) -> Severity:
        """One of low, medium, high, critical."""
        return self.body.severity

    @property
    def ignored(self) -> tuple[str, ...]:
        """What the rule says that would mean something here, and is not acted on."""
        return () if self.body.alert_suppression is None else ("alert_suppression",)

    @property
    def risk_score(self) -> int:
        """0 to 100."""
        return self.body.risk_score

    @property
    def version(self) -> int | None:
        """The rule's version, 1 or more; None in Elastic's own files, which carry none."""
        return self.body.version

    @property
    def author(self) -> tuple[str, ...]:
        """Who wrote the rule; may be empty."""
        return self.body.author

    @property
    def license(self) -> str | None:
        """The licence that the file claims."""
        return self.body.license

    @property
    def references(self) -> tuple[str, ...]:
        """URLs of further reading; may be empty."""
        return self.body.references

    @property
    def tags(self) -> tuple[str, ...]:
        """Labels such as ``OS: Linux``; may be empty."""
        return self.body.tags

    @property
    def threat(self) -> tuple[Threat, ...]:
        """The tactics that the rule is about, with their techniques; may be empty."""
        return self.body.threat

    @property
    def tactics(self) -> tuple[str, ...]:
        """The names of the tactics, each once, in the file's order."""
        return tuple(dict.fromkeys(threat.tactic.name for threat in self.threat))

    @property
    def is_building_block(self) -> bool:
        """Whether a match is material for other rules rather than news for a person."""
        return self.body.building_block_type is not None

    @property
    def query_text(self) -> str:
        """The query as the file has it."""
        return self.body.query or ""
