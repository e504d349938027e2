"""What the daemon remembers across its own end: when it is kept, and how it is taken up again."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditrule.audit.record import EventId
from auditrule.source.checkpoint import DamagedError
from auditrule.source.errors import plain_reason
from auditrule.source.tail import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditrule.source.checkpoint import StateFolder

_log = logging.getLogger(__name__)

# A checkpoint that takes long is written seldom, since alerts wait for it: it is to take less than
# a hundredth of the time, unless that would be less often than this.
_SHARE = 150
_MOST_SECONDS = 60.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Recollection:
    """What a run left behind.

    `position` is None where its input was a stream. `reader` and `rules` are the snapshots of a
    DocumentReader and a Detector. `last_alert` is the id of the last alert that was on the disk,
    `written` those of the alerts up to it that will be made again. `known` is the event up to which
    alerts are old (auditrule.daemon.outlet), if there is such a place.
    """

    position: Position | None
    reader: dict[str, Any]
    rules: dict[str, Any]
    last_alert: str | None
    written: frozenset[str] = frozenset()
    known: EventId | None = None

    def to_state(self, source: str) -> dict[str, Any]:
        """Return it as JSON values, with the input that it is of."""
        return {
            "source": source,
            "position": None if self.position is None else self.position.to_state(),
            "reader": self.reader,
            "rules": self.rules,
            "last_alert": self.last_alert,
            "written": list(self.written),
            "known": self.known,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Recollection:
        """Return what `to_state` was made of. Raises ValueError, KeyError or TypeError."""
        position, last, known = state["position"], state["last_alert"], state["known"]
        return cls(
            None if position is None else Position.from_state(position),
            dict(state["reader"]),
            dict(state["rules"]),
            None if last is None else str(last),
            frozenset(map(str, state["written"])),
            None if known is None else EventId(*known),
        )


@dataclass(frozen=True, slots=True)
class Recalled:
    """What there was to recall: nothing, what a run left, or that it is of no use any more.

    `is_damaged`: a run was here, and its checkpoint is lost. `is_foreign`: there are checkpoints,
    and none of this input, which nobody has read yet.
    """

    recollection: Recollection | None = None
    is_damaged: bool = False
    is_foreign: bool = False


class Memory:
    """Keeps the state of a daemon that reads `source` in a folder, every so often.

    A state that cannot be kept (a full disk) is no reason to stop: the one before still holds, and
    leads to the same alerts. It is counted (`errors`), said once, and tried again; `failing` has
    the reason meanwhile. `kept_at` is when it was last kept, in seconds since the epoch.
    """

    def __init__(
        self,
        folder: StateFolder,
        source: str,
        *,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._source = source
        self._interval = interval
        self._clock = clock
        self._due = 0.0
        self.errors = 0
        self.kept_at: float | None = None
        self.failing: str | None = None

    def recall(self) -> Recalled:
        """Return what the last run left; what is damaged is set aside. Raises StateError."""
        try:
            state = self.folder.load(self._source)
            if state is None:
                return Recalled(is_foreign=self.folder.has_others(self._source))
            return Recalled(Recollection.from_state(state))
        except (DamagedError, ValueError, KeyError, TypeError) as error:
            self.set_aside(str(error))
            return Recalled(is_damaged=True)

    def set_aside(self, reason: str) -> None:
        """Put the checkpoint out of the way, since it is of no use for that reason."""
        aside = self.folder.set_aside(self._source)
        _log.error("the checkpoint is damaged (%s); kept as %s", reason, aside)

    def due_in(self) -> float:
        """Return in how many seconds the state should be kept again."""
        return max(0.0, self._due - self._clock())

    def keep(self, remember: Callable[[], Recollection]) -> bool:
        """Keep what `remember` returns in place of the state before; tell whether that worked."""
        began = self._clock()
        try:
            self.folder.save(self._source, remember().to_state(self._source))
        except OSError as error:
            self.errors += 1
            if self.failing is None:
                _log.error(
                    "the state cannot be kept: %s: %s", self.folder.path, plain_reason(error)
                )
            self.failing = plain_reason(error)
        else:
            self.kept_at = time.time()
            if self.failing is not None:
                _log.warning("the state is kept again")
            self.failing = None
        took = self._clock() - began
        least = self._interval if self.failing is None else max(self._interval, _RETRY_SECONDS)
        self._due = self._clock() + max(least, min(_SHARE * took, _MOST_SECONDS))
        return self.failing is None
