"""The rules that a daemon runs: loaded at its start, and again when it is told to."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.daemon.permissions import unsafe_paths
from auditrule.ecs.catalogue import catalogue
from auditrule.resources import bundled_rules
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.rules.runnable import runnable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)


class RulesRefusedError(Exception):
    """These rules must not or cannot be run; the text has a line for each reason."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A detector, and how many files and paths of rules it lacks, broken or missing."""

    detector: Detector
    broken: int


def prepare_detector(paths: Sequence[Path], *, max_open: int, strict: bool) -> Prepared:
    """Load rules and return their detector; what is not run of them is said in the log.

    Raises RulesRefusedError where others may change a rule, where no rule is left to run, and,
    with `strict`, where one is broken; else a broken one is said and passed over.
    """
    # Whoever can change the bundled rules can change the program.
    refuse_unsafe(paths)
    found = load_rules(paths or [bundled_rules()])
    if strict and found.errors:
        raise RulesRefusedError("\n".join(f"broken rule: {error}" for error in found.errors))
    for error in found.errors:
        for line in f"broken rule: {error}".splitlines():
            _log.error("%s", line)
    running = runnable(found, catalogue())
    for notice in running.notices:
        _log.warning("%s", notice)
    if not running.rules:
        raise RulesRefusedError("there is no rule to run")
    _log.info("rules: %d run", len(running.rules))
    return Prepared(
        Detector(running.rules, max_open=max_open), len({error.path for error in found.errors})
    )


def refuse_unsafe(paths: Iterable[Path]) -> None:
    """Raise RulesRefusedError where others than root and this user could change what is there."""
    unsafe = unsafe_paths(paths)
    if unsafe:
        raise RulesRefusedError("\n".join(map(str, unsafe)))
