"""The time of a stream of events, which is the events' own and not the computer's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditrule.eql.fields import reader
from auditrule.eql.values import epoch_ms

if TYPE_CHECKING:
    from auditrule.eql.fields import Event


class Clock:
    """The stream's time: the latest that any event has told, in milliseconds since the first.

    It never goes back. An event that is earlier than one before it, or has no usable time, happens
    now: the order of arrival is the order of the events.

    A time that is wrong, far in the future, must not stop the clock for years, and neither must a
    host's clock that is set back, or the log of a second host after that of the first. So where
    more than PATIENCE times one after the other are all more than LATE_MS behind, the clock goes on
    from there: what was open keeps its age.
    """

    LATE_MS = 60_000
    PATIENCE = 100

    def __init__(self, timestamp_field: str) -> None:
        self._read = reader(timestamp_field)
        self._now = 0
        # What to add to an event's time; unknown until the first event that has one.
        self._offset: int | None = None
        self._behind = 0

    def tick(self, event: Event) -> int:
        """Return the time of the event that has arrived."""
        for value in self._read(event):
            time_ms = epoch_ms(value)
            if time_ms is not None:
                return self.tell(time_ms)
        return self._now

    def tell(self, time_ms: int) -> int:
        """Take notice of a time since 1970, and return the stream's."""
        if self._offset is None:
            self._offset = self._now - time_ms
        time = time_ms + self._offset
        if time >= self._now - self.LATE_MS:
            self._behind = 0
            self._now = max(self._now, time)
            return self._now
        self._behind += 1
        if self._behind > self.PATIENCE:
            self._behind = 0
            self._offset = self._now - time_ms
        return self._now

    def snapshot(self) -> dict[str, Any]:
        """Return the clock's state as JSON."""
        return {"now": self._now, "offset": self._offset, "behind": self._behind}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where the snapshot was taken."""
        self._now = state["now"]
        self._offset = state["offset"]
        self._behind = state["behind"]
