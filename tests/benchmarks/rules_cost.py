"""What many rules cost beside one, an event.

The events are the documents of all captured logs (fixtures/logs). Each way of evaluating is run
some times, in turn, and the fastest run of each counts; times are of the process alone.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

from auditrule import __version__, read_events
from auditrule.ecs.catalogue import catalogue
from auditrule.pipeline import detect
from auditrule.resources import bundled_rules
from auditrule.rules import Detector, Rule, load_rules
from auditrule.rules.runnable import runnable
from benchmarks.captured import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditrule.ecs.document import Document


def measure_rules(paths: Sequence[Path], runs: int) -> None:
    """Measure the rules at `paths`, those of fixtures/rules if there are none; print the table."""
    began = time.process_time()
    found = load_rules(paths or [FIXTURES / "rules"])
    loading = time.process_time() - began
    many = runnable(found, catalogue()).rules
    (one,) = load_rules([bundled_rules()]).rules
    documents = list(read_events(FIXTURES / "logs"))
    print(f"auditrule {__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(
        f"{len(found.rules)} EQL rules loaded in {loading:.2f} s, "
        f"{len(many)} of them can match; {len(documents)} events\n"
    )
    _print_table(_measured(documents, one, many, runs), len(documents))


def _measured(
    documents: Sequence[Document], one: Rule, many: Sequence[Rule], runs: int
) -> dict[str, float]:
    events = [document.to_dict() for document in documents]
    single, whole = Detector([one]), Detector(many)
    queries = [rule.query.matches for rule in many if rule.query.event_query is not None]

    def each_query() -> None:
        for event in events:
            for matches in queries:
                matches(event)

    ways: dict[str, Callable[[], object]] = {
        "1 rule, its query alone": lambda: [one.query.matches(event) for event in events],
        "1 rule": lambda: [single.detect(event) for event in events],
        "many rules": lambda: [whole.detect(event) for event in events],
        "many rules, one after the other": each_query,
        "1 rule, from documents to alerts": lambda: list(detect(events, single)),
        "many rules, from documents to alerts": lambda: list(detect(events, whole)),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(runs):
        for name, way in ways.items():
            began = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - began)
    return best


def _print_table(best: dict[str, float], events: int) -> None:
    print("| | µs an event | times 1 rule |")
    print("| --- | ---: | ---: |")
    for name, seconds in best.items():
        same = "1 rule, from documents to alerts" if "alerts" in name else "1 rule"
        print(f"| {name} | {seconds / events * 1e6:.1f} | {seconds / best[same]:.1f} |")
