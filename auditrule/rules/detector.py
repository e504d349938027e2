"""Which rules events match, alone and together."""

from __future__ import annotations

import logging
from collections import Counter, deque
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from auditrule.audit.asked import Asked
from auditrule.eql.fields import reader
from auditrule.eql.tree import SequenceQuery
from auditrule.eql.values import epoch_ms
from auditrule.rules.detection import Detection
from auditrule.rules.index import Candidate, RuleIndex
from auditrule.rules.prospects import Prospects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from auditrule.eql.match import Match
    from auditrule.eql.matching import Matcher
    from auditrule.rules.rule import Rule

_log = logging.getLogger(__name__)

# Elastic's sequences join the events of one host by its id, which only the host itself knows.
_KEY_FALLBACKS = MappingProxyType({"host.id": "host.name"})
# Sequences whose time has run out are cleared after so many events, if no event of theirs did so.
_EVENTS_PER_SWEEP = 1000
# The time of a sweep is the earliest of so many events: one that comes late, from before the host's
# clock was set back, would clear what is open.
_AGREEING = 10


class Detector:
    """Runs rules over a stream of events, one event at a time.

    The rules are indexed: one is only tried where the event has the category that it asks for, and
    a value that it cannot do without. That changes nothing in what matches.

    Of single events nothing is kept. The open sequences and samples of a rule are at most
    ``max_open``; over that, the oldest is given up and counted in ``dropped``.

    A compiled query never raises. Should one do so all the same, that is a fault of this program
    and neither the rule's nor the event's: the rule counts as not matched for that event, the
    other rules are evaluated, ``failures`` counts it, and the log has it with its traceback the
    first time for each rule. The rule stays in use.
    """

    def __init__(self, rules: Iterable[Rule], *, max_open: int = 10_000) -> None:
        """Take the rules, in the order in which ``detect`` is to give them.

        Raises ValueError if two of them have the same id: their alerts could not be told apart.
        """
        self._rules = tuple(rules)
        _refuse_duplicates(self._rules)
        self._max_open = max_open
        self._failures: Counter[str] = Counter()
        self._index = RuleIndex(
            [(rule.query.category_field, rule.query.event_queries) for rule in self._rules]
        )
        self._index_failed = False
        self.forget()

    def forget(self) -> None:
        """Drop what is held of earlier events."""
        self._matchers: dict[int, Matcher] = {
            n: rule.query.matcher(key_fallbacks=_KEY_FALLBACKS, max_open=self._max_open)
            for n, rule in enumerate(self._rules)
            if rule.query.event_query is None
        }
        self._clocked = [n for n in self._matchers if _waits_for_time(self._rules[n])]
        self._until_sweep = _EVENTS_PER_SWEEP
        self._last_events: deque[Mapping[str, object]] = deque(maxlen=_AGREEING)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order of evaluation."""
        return self._rules

    @property
    def prospects(self) -> Prospects | None:
        """What tells of a program's start that no rule can match it; None if all are to be seen.

        There need be no event of such a start: nothing that is detected depends on it.
        """
        if self._clocked:
            return None
        programs = self._index.programs
        return Prospects(self._index, None if programs is None else Asked(programs))

    @property
    def failures(self) -> Mapping[str, int]:
        """How often the evaluation of a rule failed, by the rule's id; empty if all is well."""
        return dict(self._failures)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many open sequences were given up, by the rule's id; empty if none was."""
        counts = ((self._rules[n].id, matcher.dropped) for n, matcher in self._matchers.items())
        return {rule_id: count for rule_id, count in counts if count}

    def detect(self, event: Mapping[str, object]) -> list[Detection]:
        """Return what the event completes, in the order of the rules.

        Never raises. The event is an ECS document as a mapping, nested or dotted. Those of one
        host come in the order of their times, but for small disorder.
        """
        found: list[Detection] = []
        done = -1
        candidates = self._candidates(event)
        for candidate in candidates:
            n = candidate.rule
            if n == done:
                continue
            try:
                if candidate.holds is not None and not candidate.holds(event):
                    continue
                done = n
                matcher = self._matchers.get(n)
                if matcher is None:
                    found.append(Detection(self._rules[n], (event,)))
                else:
                    found += _detections(self._rules[n], matcher.push(event))
            except Exception:
                self._note_failure(self._rules[n])
        if candidates:
            found += self._sweep(event)
        if self._clocked:
            found += self._pass_time(self._clocked, (event,))
        return found

    def _candidates(self, event: Mapping[str, object]) -> Iterable[Candidate]:
        try:
            return self._index.candidates(event)
        except Exception:
            if not self._index_failed:
                _log.exception("the index of rules failed, which costs time; this is logged once")
            self._index_failed = True
            return [
                Candidate(n, None if n in self._matchers else rule.query.matches)
                for n, rule in enumerate(self._rules)
            ]

    def finish(self) -> list[Detection]:
        """Return what the end of the events completes, and start anew.

        That is a sequence which asks that some event does not follow.
        """
        found: list[Detection] = []
        for n, matcher in self._matchers.items():
            found += self._guarded(n, matcher.finish)
        self.forget()
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return what the rules hold of earlier events as JSON values, by the rules' ids."""
        return {
            "sweep": self._until_sweep,
            "rules": {
                self._rules[n].id: matcher.snapshot() for n, matcher in self._matchers.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> list[str]:
        """Go on from a snapshot, also of another detector that had some of these rules.

        Returns the ids of the rules that had open sequences there and cannot go on with them: they
        are gone, or their query is another. Raises ValueError, KeyError or TypeError where it is no
        snapshot.
        """
        self._until_sweep = min(max(int(state["sweep"]), 1), _EVENTS_PER_SWEEP)
        left: list[str] = []
        matchers = {self._rules[n].id: matcher for n, matcher in self._matchers.items()}
        for rule_id, held in state["rules"].items():
            matcher = matchers.get(rule_id)
            if matcher is not None and held["statement"] == matcher.snapshot()["statement"]:
                matcher.restore(held)
            elif held.get("open"):
                left.append(rule_id)
        return left

    @property
    def open(self) -> int:
        """How many sequences and samples are open."""
        return sum(matcher.open for matcher in self._matchers.values())

    def _sweep(self, event: Mapping[str, object]) -> list[Detection]:
        """Free what is open and out of time, now and then.

        Of the events that some rule may match, since there need not be any other.
        """
        self._until_sweep -= 1
        if self._until_sweep >= _AGREEING:
            return []
        self._last_events.append(event)
        if self._until_sweep:
            return []
        self._until_sweep = _EVENTS_PER_SWEEP
        return self._pass_time(self._matchers, self._last_events)

    def _pass_time(
        self, numbers: Iterable[int], events: Iterable[Mapping[str, object]]
    ) -> list[Detection]:
        """Tell the earliest time of events to sequences that its passing may complete or clear."""
        found: list[Detection] = []
        for n in numbers:
            matcher = self._matchers[n]
            if matcher.waiting:
                field = self._rules[n].query.timestamp_field
                times = [time for event in events if (time := _time_of(event, field)) is not None]
                if times:
                    found += self._guarded(n, partial(matcher.advance, min(times)))
        return found

    def _guarded(self, n: int, call: Callable[[], Sequence[Match]]) -> list[Detection]:
        try:
            return _detections(self._rules[n], call())
        except Exception:
            self._note_failure(self._rules[n])
            return []

    def _note_failure(self, rule: Rule) -> None:
        self._failures[rule.id] += 1
        if self._failures[rule.id] == 1:
            _log.exception("the evaluation of %r failed; this is logged once for each rule", rule)


def _detections(rule: Rule, matches: Sequence[Match]) -> list[Detection]:
    return [Detection(rule, match.events, match.join_keys) for match in matches]


def _waits_for_time(rule: Rule) -> bool:
    tree = rule.query.tree
    return isinstance(tree, SequenceQuery) and tree.steps[-1].missing


def _time_of(event: Mapping[str, object], field: str) -> int | None:
    for value in reader(field)(event):
        return epoch_ms(value)
    return None


def _refuse_duplicates(rules: Iterable[Rule]) -> None:
    seen: dict[str, Rule] = {}
    for rule in rules:
        other = seen.setdefault(rule.id, rule)
        if other is not rule:
            raise ValueError(f"the rule id {rule.id!r} is in {other.path} and in {rule.path}")
