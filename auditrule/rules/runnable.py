"""Which of the rules that were loaded are worth running, and what their owner should know."""

from collections.abc import Mapping
from dataclasses import dataclass

from auditrule.ecs.catalogue import CatalogueField
from auditrule.rules.coverage import able_to_match
from auditrule.rules.rule import Rule
from auditrule.rules.ruleset import RuleSet


@dataclass(frozen=True, slots=True)
class Runnable:
    """The rules to run, and a sentence for each reason why others are not, or not as they say."""

    rules: tuple[Rule, ...]
    notices: tuple[str, ...]


def runnable(found: RuleSet, catalogue: Mapping[str, CatalogueField]) -> Runnable:
    """Return those of the rules that can match documents with the fields of `catalogue`."""
    rules = able_to_match(found.rules, catalogue)
    notices = [f"rule not run: {unsupported}" for unsupported in found.unsupported]
    counts = (
        (len(found.rules) - len(rules), "can never match what auditd records"),
        (len(found.not_eql), "are not EQL"),
        (len(found.disabled), "are disabled"),
    )
    idle = ", ".join(f"{count} {why}" for count, why in counts if count)
    if idle:
        notices.append(f"rules not run: {idle}; 'auditrule rules check' tells of each")
    ignoring = sum("alert_suppression" in rule.ignored for rule in rules)
    if ignoring:
        notices.append(
            f"alert_suppression is ignored, which {ignoring} of the rules ask for: "
            "every match is an alert"
        )
    return Runnable(rules, tuple(notices))
