"""Which rules an event matches."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from auditrule.eql.fields import Reader, reader
from auditrule.rules.rule import Rule

_log = logging.getLogger(__name__)


class Detector:
    """Runs rules over events, one event at a time.

    A rule is only evaluated for events of the category that its query asks for, which changes
    nothing in what matches.

    A compiled query never raises. Should one do so all the same, that is a fault of this program
    and neither the rule's nor the event's: the rule counts as not matched for that event, the
    other rules are evaluated, ``failures`` counts it, and the log has it with its traceback the
    first time for each rule. The rule stays in use.

    Every query of today is about one event, so the detector keeps nothing of the events.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Take the rules, in the order in which ``detect`` is to give them.

        Raises ValueError if two of them have the same id: their alerts could not be told apart.
        """
        self._rules = tuple(rules)
        _refuse_duplicates(self._rules)
        self._failures: Counter[str] = Counter()
        anywhere = [n for n, rule in enumerate(self._rules) if rule.query.category is None]
        self._anywhere = tuple(anywhere)
        self._by_category: list[tuple[Reader, dict[str, tuple[int, ...]]]] = []
        for field in dict.fromkeys(rule.query.category_field for rule in self._rules):
            numbers: dict[str, list[int]] = {}
            for n, rule in enumerate(self._rules):
                category = rule.query.category
                if category is not None and rule.query.category_field == field:
                    numbers.setdefault(category, list(anywhere)).append(n)
            groups = {category: tuple(sorted(group)) for category, group in numbers.items()}
            self._by_category.append((reader(field), groups))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order of evaluation."""
        return self._rules

    @property
    def failures(self) -> Mapping[str, int]:
        """How often the evaluation of a rule failed, by the rule's id; empty if all is well."""
        return dict(self._failures)

    def detect(self, event: Mapping[str, object]) -> list[Rule]:
        """Return the rules that the event matches, in the order in which they were given.

        Never raises. The event is an ECS document as a mapping, nested or dotted.
        """
        found = []
        for n in self._candidates(event):
            rule = self._rules[n]
            try:
                if rule.query.matches(event):
                    found.append(rule)
            except Exception:
                self._note_failure(rule)
        return found

    def _candidates(self, event: Mapping[str, object]) -> Sequence[int]:
        """Return the numbers of the rules that may match, ascending: too many, never too few."""
        groups = []
        for read, by_category in self._by_category:
            for value in read(event):
                if not isinstance(value, str):
                    # EQL compares other types by rules of its own.
                    return range(len(self._rules))
                group = by_category.get(value)
                if group is not None:
                    groups.append(group)
        if not groups:
            return self._anywhere
        return groups[0] if len(groups) == 1 else sorted(set().union(*groups))

    def _note_failure(self, rule: Rule) -> None:
        self._failures[rule.id] += 1
        if self._failures[rule.id] == 1:
            _log.exception("the evaluation of %r failed; this is logged once for each rule", rule)


def _refuse_duplicates(rules: Iterable[Rule]) -> None:
    seen: dict[str, Rule] = {}
    for rule in rules:
        other = seen.setdefault(rule.id, rule)
        if other is not rule:
            raise ValueError(f"the rule id {rule.id!r} is in {other.path} and in {rule.path}")
