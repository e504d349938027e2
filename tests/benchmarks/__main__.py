"""What many rules cost beside one: `python -m tests.benchmarks [--rules PATH]... [--runs N]`.

The events are the documents of all captured logs (fixtures/logs). Each way of evaluating is run
N times, in turn, and the fastest run of each counts; times are of the process alone. With a
checkout of elastic/detection-rules, `--rules CHECKOUT/rules/linux` measures Elastic's rules.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule import __version__, read_events
from auditrule.ecs.catalogue import catalogue
from auditrule.pipeline import detect
from auditrule.resources import bundled_rules
from auditrule.rules import Detector, Rule, load_rules
from auditrule.rules.runnable import runnable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditrule.ecs.document import Document

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--rules", type=Path, action="append", help="the many rules; fixtures/rules unless told"
    )
    parser.add_argument("--runs", type=int, default=7, help="runs of each way (7)")
    options = parser.parse_args()
    began = time.process_time()
    found = load_rules(options.rules or [ROOT / "fixtures" / "rules"])
    loading = time.process_time() - began
    many = runnable(found, catalogue()).rules
    (one,) = load_rules([bundled_rules()]).rules
    documents = list(read_events(ROOT / "fixtures" / "logs"))
    print(f"auditrule {__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(
        f"{len(found.rules)} EQL rules loaded in {loading:.2f} s, "
        f"{len(many)} of them can match; {len(documents)} events\n"
    )
    _print_table(_measured(documents, one, many, options.runs), len(documents))


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
        "1 rule, from documents to alerts": lambda: list(detect(documents, single)),
        "many rules, from documents to alerts": lambda: list(detect(documents, whole)),
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


if __name__ == "__main__":
    main()
