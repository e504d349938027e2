"""What a watch of serials knows, as JSON, and back: for the checkpoint.

The ends of a hole are written as times only, as their serials are next to it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditrule.audit.record import EventId
from auditrule.audit.serial_runs import Hole, NodeSerials, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 2**63
_MOST_SERIALS = 2**32


def write_hole(hole: Hole) -> list[object]:
    """Return a hole as JSON can hold it."""
    return [
        hole.first,
        hole.last,
        hole.noted_ms,
        [hole.before.seconds, hole.before.millis],
        [hole.after.seconds, hole.after.millis],
        hole.told,
    ]


def write_node(name: str | None, node: NodeSerials) -> dict[str, object]:
    """Return what is known of a host's serials as JSON can hold it.

    Counted holes that no one was told of are not in it: they are among the losses.
    """
    runs = node.left if node.run is None else [*node.left, node.run]
    return {
        "node": name,
        "anew": node.anew,
        "auditd_runs": node.auditd_runs,
        "runs": [_write_run(run) for run in runs],
        "counted": [write_hole(hole) for hole in node.counted if hole.told],
    }


def _write_run(run: Run) -> list[object]:
    return [
        run.next,
        [run.newest.seconds, run.newest.millis],
        run.clock_ms,
        run.previous_ms,
        run.recent_ms,
        run.events,
        [write_hole(hole) for hole in run.holes],
    ]


class Reader:
    """Reads what the functions above have written; anything else is a ValueError."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Make every way in which a state can be wrong a ValueError."""
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of a watch of serials: {error!r}") from error

    def mapping(self, value: object) -> dict[str, object]:
        """Return `value`, which must be a JSON object."""
        if not isinstance(value, dict):
            raise TypeError(f"an object, not {type(value).__name__}")
        return value

    def items(self, value: object) -> list[object]:
        """Return `value`, which must be a JSON array."""
        if not isinstance(value, list):
            raise TypeError(f"an array, not {type(value).__name__}")
        return value

    def number(self, value: object, most: int = _LARGEST) -> int:
        """Return `value`, which must be a whole number from 0 to `most`."""
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"no number from 0 to {most}: {value!r:.40}")
        return value

    def name(self, value: object) -> str | None:
        """Return `value`, which must be a host's name or null."""
        if value is not None and not isinstance(value, str):
            raise TypeError(f"a name, not {type(value).__name__}")
        return value

    def hole(self, node: object, value: object) -> Hole:
        """Return the hole, of the host `node`, that `value` tells of."""
        first, last, noted_ms, before, after, told = self.items(value)
        low, high = self.number(first, _MOST_SERIALS), self.number(last, _MOST_SERIALS)
        if not 0 < low <= high:
            raise ValueError(f"no hole: {low} to {high}")
        return Hole(
            low,
            high,
            self.number(noted_ms),
            self._event(node, before, low - 1),
            self._event(node, after, high + 1),
            self._flag(told),
        )

    def node(self, value: object) -> tuple[str | None, NodeSerials]:
        """Return a host's name and what is known of its serials."""
        fields = self.mapping(value)
        name, node = self.name(fields["node"]), NodeSerials()
        node.anew = self._flag(fields["anew"])
        node.auditd_runs = self._flag(fields["auditd_runs"])
        node.left = [self._run(name, run) for run in self.items(fields["runs"])]
        node.run = node.left.pop() if node.left else None
        node.counted = [self.hole(name, hole) for hole in self.items(fields["counted"])]
        return name, node

    def _run(self, node: str | None, value: object) -> Run:
        following, newest, clock_ms, previous_ms, recent_ms, events, holes = self.items(value)
        number = self.number(following, _MOST_SERIALS)
        run = Run(
            number,
            self._event(node, newest, number - 1),
            self.number(clock_ms),
            self.number(previous_ms),
            [self.hole(node, hole) for hole in self.items(holes)],
            self.number(recent_ms),
            self.number(events),
        )
        ends = [end for hole in run.holes for end in (hole.first, hole.last)]
        if ends != sorted(ends) or (ends and ends[-1] >= number):
            raise ValueError("holes that are out of order")
        return run

    def _event(self, node: object, value: object, serial: int) -> EventId:
        seconds, millis = self.items(value)
        return EventId(
            self.name(node), self.number(seconds), self.number(millis, 999), self.number(serial)
        )

    def _flag(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"a flag, not {type(value).__name__}")
        return value
