"""The Python API: what a script needs, in two functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from auditrule.ecs.catalogue import catalogue
from auditrule.replaying import Replay
from auditrule.resources import bundled_rules
from auditrule.rules.detector import Detector
from auditrule.rules.loader import load_rules
from auditrule.rules.runnable import runnable
from auditrule.source.logset import find_logs

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from auditrule.alerts.model import Alert
    from auditrule.ecs.document import Document
    from auditrule.rules.ruleset import RuleError

T = TypeVar("T")


class RulesError(ValueError):
    """Some of the rules that were asked for cannot be used; `errors` tells which and why."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors) or "there are no rules")


def replay(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    rules: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    host: str | None = None,
    jobs: int = 1,
) -> Iterator[Alert]:
    """Return the alerts that `rules` raise over the audit logs at `paths`, one after another.

    `paths` are files (plain, gz, bz2, xz or zst) and folders of them; a rotated set is read in
    order of time. `rules` are files and folders of rules in Elastic's TOML format, the bundled
    ones if None. `host` names the host where the logs do not. With `jobs` of more than one, so many
    processes are forked to read logs of several hosts, or large ones; the alerts are the same.

    Raises RulesError where a rule is broken or there is none, and SourceError (auditrule.source)
    where a path is missing or cannot be read, or, after all the alerts, where a log could be read
    only in part.
    """
    found = load_rules([bundled_rules()] if rules is None else _paths(rules))
    if found.errors or not found.rules:
        raise RulesError(found.errors)
    run = Replay(find_logs(_paths(paths)), host=host, jobs=jobs)
    return _checked(run, run.alerts(Detector(runnable(found, catalogue()).rules)))


def read_events(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, host: str | None = None
) -> Iterator[Document]:
    """Return the ECS document of each program that started, as the logs at `paths` tell.

    Paths, `host` and SourceError are as in `replay`.
    """
    run = Replay(find_logs(_paths(paths)), host=host)
    return _checked(run, run.documents())


def _paths(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[Path]:
    if isinstance(paths, str) or not hasattr(paths, "__iter__"):
        return [Path(paths)]
    return [Path(path) for path in paths]


def _checked(run: Replay, results: Iterator[T]) -> Iterator[T]:
    yield from results
    if run.problems:
        raise run.problems[0]
