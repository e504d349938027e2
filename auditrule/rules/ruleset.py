"""What came of loading rule files: the rules, and all that is not one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from auditrule.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class RuleError:
    """Something that stops a file from being a rule.

    ``field`` is dotted (``rule.severity``, ``rule.threat[0].tactic.id``), and empty where the file
    as a whole is meant. ``line`` and ``column`` are places in the file, counted from 1, where they
    are known. ``reason`` reads on from the field ("must be …"), and has several lines where it
    shows a query with a caret below it.
    """

    path: Path
    field: str
    reason: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "".join(f":{n}" for n in (self.line, self.column) if n is not None)
        field = f"{self.field} " if self.field else ""
        return f"{self.path}{place}: {field}{self.reason}"


@dataclass(frozen=True, slots=True)
class UnsupportedRule:
    """A sound rule that asks for something auditrule does not do yet; it is not run."""

    path: Path
    id: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}: not supported: {self.reason}"


@dataclass(frozen=True, slots=True)
class NotEqlRule:
    """A sound rule in another language than EQL; it is not run.

    ``language`` is the rule's (kuery, esql, …), or its type where it has no query of its own
    (machine_learning).
    """

    path: Path
    id: str
    name: str
    language: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}: not EQL but {self.language}"


@dataclass(frozen=True, slots=True)
class DisabledRule:
    """A sound EQL rule that says ``enabled = false``; it is not run."""

    path: Path
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}: disabled"


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file or folder of a tree that was passed over, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: passed over: {self.reason}"


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """How many there are of each kind in a RuleSet."""

    rules: int
    errors: int
    unsupported: int
    not_eql: int
    disabled: int
    skipped: int

    def __str__(self) -> str:
        labels = {"not_eql": "not EQL"}
        return ", ".join(
            f"{getattr(self, field.name)} {labels.get(field.name, field.name)}"
            for field in fields(self)
            if field.name == "rules" or getattr(self, field.name)
        )


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that ``load_rules`` found; no file is in two of the lists as a whole.

    ``rules`` run. A file with several errors has several entries in ``errors``. All lists are in
    the order in which the files were read.
    """

    rules: tuple[Rule, ...] = ()
    errors: tuple[RuleError, ...] = ()
    unsupported: tuple[UnsupportedRule, ...] = ()
    not_eql: tuple[NotEqlRule, ...] = ()
    disabled: tuple[DisabledRule, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is broken; unsupported and foreign rules are not broken."""
        return not self.errors

    @property
    def counts(self) -> RuleCounts:
        """The lengths of the lists, for a summary such as ``287 rules, 76 not EQL``."""
        return RuleCounts(**{field.name: len(getattr(self, field.name)) for field in fields(self)})

    def notices(self) -> Iterator[str]:
        """Yield one text for each entry that is not a running rule, errors first."""
        for entry in (
            *self.errors,
            *self.unsupported,
            *self.not_eql,
            *self.disabled,
            *self.skipped,
        ):
            yield str(entry)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule as a line of a table; every cell is text of one line, maybe empty."""

    name: str
    severity: str
    risk_score: str
    tactics: str
    id: str
    path: str


def rule_rows(rules: Iterable[Rule]) -> list[RuleRow]:
    """Return the rules as rows, in the order given."""
    return [
        RuleRow(
            name=rule.name,
            severity=rule.severity,
            risk_score=str(rule.risk_score),
            tactics=", ".join(rule.tactics),
            id=rule.id,
            path=str(rule.path),
        )
        for rule in rules
    ]
