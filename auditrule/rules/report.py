"""What `auditrule rules check` says of each rule."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from auditrule.ecs.catalogue import CatalogueField
from auditrule.rules.coverage import Status, cover
from auditrule.rules.model import EQL
from auditrule.rules.ruleset import RuleError, RuleSet

NOT_EQL = "not-eql"
ERROR = "error"
STATUSES = (*(status.value for status in Status), NOT_EQL, ERROR)


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule file: how far its rule runs, or why it does not.

    `status` is one of STATUSES. `id`, `name` and `language` are None where the file does not tell.
    `ignored` are tables of the rule that would mean something and are not acted on.
    """

    path: str
    id: str | None
    name: str | None
    language: str | None
    status: str
    missing_fields: tuple[str, ...] = ()
    reason: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RulesReport:
    """All of a RuleSet's files, in the order of their paths, and how many have each status."""

    rules: tuple[RuleReport, ...]
    counts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether no file is broken."""
        return not self.counts[ERROR]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {"rules": [asdict(rule) for rule in self.rules], "counts": dict(self.counts)}


def report_rules(found: RuleSet, catalogue: Mapping[str, CatalogueField]) -> RulesReport:
    """Return how far each of the rules runs on documents with the fields of `catalogue`."""
    reports = _broken(found.errors)
    for rule in found.rules:
        coverage = cover(rule.query, catalogue)
        reports.append(
            RuleReport(
                str(rule.path),
                rule.id,
                rule.name,
                EQL,
                coverage.status.value,
                coverage.missing_fields,
                coverage.reason,
                rule.ignored,
            )
        )
    unsupported = Status.UNSUPPORTED.value
    reports += [
        RuleReport(str(each.path), each.id, each.name, EQL, unsupported, reason=each.reason)
        for each in found.unsupported
    ]
    reports += [
        RuleReport(
            str(each.path), each.id, each.name, EQL, unsupported, reason="it says enabled = false"
        )
        for each in found.disabled
    ]
    reports += [
        RuleReport(str(each.path), each.id, each.name, each.language, NOT_EQL)
        for each in found.not_eql
    ]
    reports.sort(key=lambda report: report.path)
    counts = Counter(report.status for report in reports)
    return RulesReport(tuple(reports), {status: counts[status] for status in STATUSES})


def _broken(errors: Iterable[RuleError]) -> list[RuleReport]:
    """Return a report for each broken file, with all that is wrong with it, a line for each."""
    reasons: dict[str, list[str]] = {}
    for error in errors:
        # The text has the place in the file behind the path, as compilers write it.
        reasons.setdefault(str(error.path), []).append(str(error))
    return [
        RuleReport(path, None, None, None, ERROR, reason="\n".join(told))
        for path, told in reasons.items()
    ]
