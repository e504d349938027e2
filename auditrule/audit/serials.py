"""Lost events, as far as the log itself tells: holes in the kernel's serials, and reports.

The kernel numbers an event when its first record is begun (audit_log_start, kernel/audit.c), so a
serial that never comes is an event that was begun and did not reach the log. What that covers was
tried on Linux 6.18 with auditd 3.0.9. A hole is left by

- the rate limit (``auditctl -r``), tested when a record ends and its event has a number; an
  event may also lose some of its records only;
- auditd killed, restarted, or stopped for longer than the kernel holds records: by what was begun
  and found no reader;
- auditd while its logging is suspended, and files of the log that were removed before being read.

No hole is left by

- 12,000 execs from eight shells at once: their serials came at most one place late, and all came;
- ``never`` rules, ``exclude`` filters and ``auditctl -e 0``: nothing is begun;
- a backlog that overflows (``auditctl -b 8``): that is tested before the event gets its number. The
  kernel counted 4,218 lost records, and no serial was missing.

So a hole is a loss, but no hole is no proof that there was none. What an overflowing backlog took
is seen in events that lost some of their records (a SYSCALL without its EXECVE or PROCTITLE), in
the kernel's own log ("audit: backlog limit exceeded"), and in ``auditctl -s``, whose counter comes
to the log only when somebody resets it. What auditd's queue of plugins drops is said to syslog
alone. A log that was filtered (``ausearch --raw``) is mostly holes.

auditd numbers its own DAEMON_ records, from a random number below 10,000 on (send_audit_event,
src/auditd.c); they are no part of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditrule.audit.serial_runs import Hole, NodeSerials
from auditrule.audit.serial_state import Reader, write_hole, write_node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditrule.audit.record import EventId, Record

# audit_serial() counts in 32 bits.
_MOST_SERIALS = 2**32
# A log of many hosts; each takes a kilobyte where nothing is missing.
_MAX_NODES = 1024
_MAX_HOLES = 2048
_FEWEST_HOLES = 8
_MAX_LOSSES = 1024
_MAX_COUNTED = 64

_REPORTS = {
    "DAEMON_START": "auditd_started",
    "DAEMON_END": "auditd_ended",
    "DAEMON_ABORT": "auditd_aborted",
    "DAEMON_ERR": "auditd_error",
    "DAEMON_RESUME": "logging_resumed",
}
_TELLING = frozenset({*_REPORTS, "CONFIG_CHANGE", "SYSTEM_BOOT", "KERNEL"})
TELLING = frozenset(kind.encode() for kind in _TELLING)
"""The types of record, as bytes, that are to be taken even if their event was."""
KINDS = (
    *_REPORTS.values(),
    "auditd_died",
    "audit_disabled",
    "rate_limited",
    "backlog_lowered",
    "kernel_lost",
)


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that never came: `count` of them, between two that did (of the same host)."""

    count: int
    before: EventId
    after: EventId


class SerialWatch:
    """Counts the events that the log should hold and does not.

    The first record of every event is to be taken, in the order of the log, and each one of a type
    of TELLING. A serial is lost when it has not come by the time that the log's own clock is
    `OVERDUE_MS` further, or `REORDERED` serials later, or more holes wait than are kept (2,048 over
    all hosts). A hole before a far jump counts only when the log goes on behind it, so that one
    damaged or forged number is no loss; nor is a boot, a log that begins in its middle, or an old
    file read again or too late. Memory is bounded, whatever the serials and hosts.

    `late` counts the events that came although a loss had been told of them; `lost` no longer
    counts those.

    `reports` counts what auditd and the kernel say themselves: ``auditd_started``,
    ``auditd_ended``, ``auditd_aborted`` (it could not start), ``auditd_died`` (it started again
    without having ended), ``auditd_error`` (DAEMON_ERR), ``logging_resumed`` (it had been
    suspended), ``audit_disabled``, ``rate_limited`` (a limit was set), ``backlog_lowered`` (the
    backlog's limit was), and ``kernel_lost``: records that the kernel had counted as lost when
    somebody reset that counter.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.late = 0
        self._reports = dict.fromkeys(KINDS, 0)
        # The host that was heard of last stands last.
        self._nodes: dict[str | None, NodeSerials] = {}
        self._fresh: deque[tuple[str | None, Hole]] = deque()
        # Whose records come just now, and of which event.
        self._node: str | None = None
        self._current: NodeSerials | None = None
        self._serial = -1

    @property
    def reports(self) -> Mapping[str, int]:
        """How often each kind of report came."""
        return self._reports

    def take(self, record: Record) -> None:
        """Take the next record of the log."""
        kind, event_id = record.type, record.event_id
        if kind in _TELLING:
            self._read_report(record)
        if event_id.serial == self._serial and event_id.node == self._node:
            return
        if event_id.serial < _MOST_SERIALS and not kind.startswith("DAEMON_"):
            self._take_event(event_id)

    def take_event(self, event_id: EventId) -> None:
        """Take the next event's first record, as `take` does, which is of no type of TELLING."""
        if event_id.serial == self._serial and event_id.node == self._node:
            return
        if event_id.serial < _MOST_SERIALS:
            self._take_event(event_id)

    def finish(self) -> None:
        """Count what is missing still: the log has ended, and nothing more will come."""
        for name, node in self._nodes.items():
            if node.run is not None:
                self._count(name, node, node.run.take_all())

    def losses(self) -> list[Loss]:
        """Return the losses that are new since the last call, at most 1,024 of them."""
        told = []
        for _, hole in self._fresh:
            if hole.count:
                hole.told = True
                told.append(Loss(hole.count, hole.before, hole.after))
        self._fresh.clear()
        return told

    def snapshot(self) -> dict[str, object]:
        """Return all that the watch knows, as JSON can hold it, for `restore`."""
        return {
            "lost": self.lost,
            "late": self.late,
            "reports": dict(self._reports),
            "nodes": [write_node(name, node) for name, node in self._nodes.items()],
            "losses": [[name, write_hole(hole)] for name, hole in self._fresh if hole.count],
        }

    def restore(self, state: object) -> None:
        """Become the watch whose snapshot `state` is.

        Raises ValueError where it is none; the watch then stays as it was.
        """
        reader = Reader()
        with reader.reading():
            fields = reader.mapping(state)
            reports = dict.fromkeys(KINDS, 0)
            for kind, number in reader.mapping(fields["reports"]).items():
                if kind in reports:
                    reports[kind] = reader.number(number)
            lost, late = reader.number(fields["lost"]), reader.number(fields["late"])
            nodes = dict(map(reader.node, reader.items(fields["nodes"])[-_MAX_NODES:]))
            fresh: deque[tuple[str | None, Hole]] = deque()
            for item in reader.items(fields["losses"])[:_MAX_LOSSES]:
                name, hole = reader.items(item)
                fresh.append((reader.name(name), reader.hole(name, hole)))
        for name, hole in fresh:
            if name in nodes:
                # One and the same, so that a late event is told of no more.
                nodes[name].counted.append(hole)
        self.lost, self.late, self._reports = lost, late, reports
        self._nodes, self._fresh = nodes, fresh
        self._node, self._current, self._serial = None, None, -1

    def _take_event(self, event_id: EventId) -> None:
        name = event_id.node
        node = self._node_of(name)
        self._serial = event_id.serial
        filled = node.take(
            event_id,
            max(_FEWEST_HOLES, _MAX_HOLES // len(self._nodes)),
            lambda holes: self._count(name, node, holes),
        )
        if filled is not None:
            hole, rest = filled
            self.lost -= 1
            if hole.told:
                self.late += 1
            elif rest is not None:
                self._tell(name, rest)

    def _node_of(self, name: str | None) -> NodeSerials:
        if self._current is not None and name == self._node:
            return self._current
        node = self._nodes.pop(name, None) or NodeSerials()
        while len(self._nodes) >= _MAX_NODES:
            self._nodes.pop(next(iter(self._nodes)))
        self._nodes[name] = node
        self._node, self._current, self._serial = name, node, -1
        return node

    def _count(self, name: str | None, node: NodeSerials, holes: list[Hole]) -> None:
        for hole in holes:
            self.lost += hole.count
            node.counted.append(hole)
            self._tell(name, hole)
        del node.counted[:-_MAX_COUNTED]

    def _tell(self, name: str | None, hole: Hole) -> None:
        if len(self._fresh) < _MAX_LOSSES:
            self._fresh.append((name, hole))

    def _read_report(self, record: Record) -> None:
        kind = record.type
        if kind == "CONFIG_CHANGE":
            self._read_change(record)
            return
        node = self._node_of(record.event_id.node)
        self._serial = -1
        if kind == "SYSTEM_BOOT":
            # From user space: a container's root can have it written at any time (audit/boot.py).
            node.anew = node.run is None or 2 * record.event_id.serial < node.run.next
            return
        if kind == "KERNEL":
            # The first record of a boot ("state=initialized").
            node.anew = True
            return
        self._reports[_REPORTS[kind]] += 1
        if kind == "DAEMON_START":
            self._reports["auditd_died"] += node.auditd_runs
            node.auditd_runs = True
            node.anew = True
        elif kind in ("DAEMON_END", "DAEMON_ABORT"):
            node.auditd_runs = False

    def _read_change(self, record: Record) -> None:
        # Most changes are of rules; the grammar takes its time.
        if b" old=" not in record.line or record.token("res") == "0":
            return
        old = record.number("old") or 0
        if record.number("audit_enabled") == 0:
            self._reports["audit_disabled"] += 1
        if record.number("audit_rate_limit"):
            self._reports["rate_limited"] += 1
        limit = record.number("audit_backlog_limit")
        if limit is not None and limit < old:
            self._reports["backlog_lowered"] += 1
        if record.number("lost") == 0:
            self._reports["kernel_lost"] += max(0, old)
