"""Settings and rules read again while the daemon runs (SIGHUP, or a change of the rules)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from auditrule.config import Settings, SettingsError, load_settings
from auditrule.daemon.logs import set_up_logging
from auditrule.daemon.ruleset import RulesRefusedError, prepare_detector, refuse_unsafe
from auditrule.resources import bundled_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditrule.rules.detector import Detector

_log = logging.getLogger(__name__)

# What can be changed without a restart.
_APPLIED = frozenset({"rules", "logging"})


class Reloader:
    """Prepares what a daemon goes on with; a set that is bad in any way changes nothing.

    `config` is the settings file as it was named, `rules` the paths that the command line names in
    place of the settings'. `watch` is told which paths to watch for changes. `last_error` is why
    the last reload was refused, None if it was not, `broken_rules` how many rules the set that runs
    lacks, `needs_restart` which sections of the settings have changed that a reload cannot apply.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path | None,
        rules: Sequence[Path],
        watch: Callable[[Sequence[Path]], None],
        broken_rules: int = 0,
    ) -> None:
        self._settings = self._started_with = settings
        self._config = config
        self._rules = rules
        self._watch = watch
        self.broken_rules = broken_rules
        self.last_error: str | None = None
        self.needs_restart: tuple[str, ...] = ()

    def __call__(self) -> Detector | None:
        """Return the detector to go on with, None where the old one has to stay."""
        _log.info("reading settings and rules again")
        try:
            if self._config is not None:
                refuse_unsafe([self._config])
            settings = load_settings(self._config)
            prepared = prepare_detector(
                self._rules or settings.rules.paths, max_open=settings.rules.max_open, strict=True
            )
        except (SettingsError, RulesRefusedError) as error:
            self.last_error = str(error)
            for line in str(error).splitlines():
                _log.error("not reloaded: %s", line)
            # What is missing now may come back, and is another folder then.
            self.watch()
            return None
        self.last_error = None
        self.needs_restart = tuple(
            name
            for name in Settings.model_fields
            if name not in _APPLIED and getattr(settings, name) != getattr(self._started_with, name)
        )
        for name in self.needs_restart:
            _log.warning("[%s] has changed, which takes a restart to hold", name)
        set_up_logging(settings.logging.level, settings.logging.format)
        self._settings = settings
        self.watch()
        self.broken_rules = prepared.broken
        return prepared.detector

    def watch(self) -> None:
        """Have the rules watched that the settings name, if they say so."""
        paths = self._rules or self._settings.rules.paths or [bundled_rules()]
        self._watch(paths if self._settings.rules.watch else ())
