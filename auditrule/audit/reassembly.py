"""Reassembly: the records of interleaved events back into events.

Sources: the order of an event's records is that of `audit_log_exit` (kernel/auditsc.c): SYSCALL,
the records special to the call, CWD, PATH, PROCTITLE, EOE.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from auditrule.audit.event import AuditEvent
from auditrule.audit.record import Record

if TYPE_CHECKING:
    from auditrule.audit.record import EventId

# Record types that the kernel or auditd writes alone (include/uapi/linux/audit.h and
# audit-userspace's audit-records.h: 1100-1299 and 2000-2999 are user space's and auditd's).
# Types that are also seen inside a syscall's event, such as CONFIG_CHANGE, are not among them.
_ALONE = ("USER", "DAEMON_", "CRED_", "CRYPTO_", "ANOM_LOGIN", "ANOM_ROOT", "SERVICE_", "SYSTEM_")
# Between two records of a log more time than this passes only if somebody set the host's clock, or
# nothing happened; one record out of its time must neither end the events that wait nor stop the
# clock for those behind it.
_JUMP_MS = 3_600_000
# What a record takes besides its line.
_RECORD_OVERHEAD = 250
_LAST = frozenset({"PROCTITLE", "EOE"})


@dataclass(slots=True)
class _Pending:
    records: list[Record] = field(default_factory=list)
    size: int = 0
    # The log's clock when the event's newest record came. Not the event's own time, which is the
    # call's entry and may lie far back (an exec from a slow file system).
    touched_ms: int = 0
    # Whose exec this is, once that is known.
    pid: int | None = None


class Reassembler:
    """Takes records one by one and gives back events, each when it is complete.

    An event is complete

    - when its PROCTITLE or EOE record has come, or its only record (``whole`` is true), else
    - when `max_age` seconds of the log's time have passed since its last record, or
    - when more than `max_pending` events, or `max_bytes` of records, are waiting: then the one
      that has waited longest without a record goes first, or
    - when `flush` is called.

    Guarantees: every record but a late EOE is in exactly one event; an event's records stay in
    order; memory is bounded by `max_bytes` and one record. Events come out in order of completion.
    """

    def __init__(
        self, *, max_pending: int = 1000, max_age: float = 2.0, max_bytes: int = 16 << 20
    ) -> None:
        if max_pending < 1 or max_bytes < 1 or max_age < 0:
            raise ValueError("the limits of reassembly must be positive")
        self._max_pending = max_pending
        self._max_age_ms = int(max_age * 1000)
        self._max_bytes = max_bytes
        # In order of the newest record: the first has waited longest.
        self._pending: OrderedDict[EventId, _Pending] = OrderedDict()
        # The newest exec of each process among them.
        self._execs: dict[tuple[str | None, int | None], EventId] = {}
        self._size = 0
        self._clock_ms = 0
        self._latest_ms = 0
        # Whether the log tells the ends of events; old kernels write neither record for it.
        self._tells_ends = False

    def __len__(self) -> int:
        """Return the number of events that are waiting for records."""
        return len(self._pending)

    def __contains__(self, event_id: EventId) -> bool:
        """Tell whether an event is waiting for records."""
        return event_id in self._pending

    def pass_by(self, oldest_ms: int, newest_ms: int, *, ends: bool) -> bool:
        """Take notice of the times of events that need no reassembly, while none is waiting.

        `ends` tells that the log ended one of them. Returns False where the host's clock was set in
        between: then it has to be told of each time, by pass_time().
        """
        self._tells_ends = self._tells_ends or ends
        if not self.may_pass_by(oldest_ms, newest_ms):
            return False
        self._advance(newest_ms)
        return True

    def may_pass_by(self, oldest_ms: int, newest_ms: int) -> bool:
        """Tell whether pass_by() can take notice of these times."""
        return oldest_ms >= max(newest_ms, self._latest_ms) - _JUMP_MS

    def pass_time(self, time_ms: int) -> list[AuditEvent]:
        """Take notice of the time of a record that belongs to no event here; as push() does."""
        self._advance(time_ms)
        return self._overdue()

    def push(self, record: Record) -> list[AuditEvent]:
        """Take `record`; return the events that are complete now, often none."""
        event_id, kind = record.event_id, record.type
        time_ms = event_id.time_ms
        if time_ms != self._latest_ms:
            self._advance(time_ms)
        if event_id not in self._pending:
            if kind == "EOE":  # behind the PROCTITLE that ended its event; it carries nothing
                return self._overdue()
            if kind.startswith(_ALONE):
                return [AuditEvent(event_id, (record,), whole=True), *self._overdue()]
        pending = self._pending.setdefault(event_id, _Pending())
        pending.records.append(record)
        size = len(record.line) + _RECORD_OVERHEAD
        pending.size += size
        self._size += size
        pending.touched_ms = self._clock_ms
        self._pending.move_to_end(event_id)
        over: list[AuditEvent] = []
        if kind == "EXECVE" and pending.pid is None:
            over = self._note_exec(event_id, pending)
        if kind in _LAST:
            self._tells_ends = True
            over.append(self._close(event_id, whole=True))
        return over + self._overdue()

    def _note_exec(self, event_id: EventId, pending: _Pending) -> list[AuditEvent]:
        """Take note of whose exec this is; return the one before, which is over."""
        pid = next((r.number("pid") for r in pending.records if r.type == "SYSCALL"), None)
        if pid is None:
            return []
        earlier = self._execs.get((event_id.node, pid))
        over = [] if earlier is None else [self._close(earlier, whole=False)]
        pending.pid = pid
        self._execs[event_id.node, pid] = event_id
        return over

    def over_before(self, event: AuditEvent) -> list[AuditEvent]:
        """Return the execs that wait for records and cannot have any to come, as `event` shows.

        A program whose PROCTITLE record was lost has finished its exec if it, or a child of it, has
        done something else: `event` comes behind all that the kernel wrote of the exec, which the
        rules have to know first.
        """
        if not self._execs:
            return []
        syscall = event.first("SYSCALL")
        if syscall is None:
            return []
        over: list[AuditEvent] = []
        for pid in (syscall.number("pid"), syscall.number("ppid")):
            event_id = self._execs.get((event.id.node, pid))
            if event_id is not None and event_id != event.id:
                over += self._close_before(event_id)
                over.append(self._close(event_id, whole=False))
        return over

    def _close_before(self, event_id: EventId) -> list[AuditEvent]:
        """Close what has waited longer than an event that is over, where no end will be told."""
        if self._tells_ends:
            return []
        earlier = list(takewhile(lambda each: each != event_id, self._pending))
        return [self._close(each, whole=False) for each in earlier]

    def flush(self) -> list[AuditEvent]:
        """Return all that is waiting, as at the end of the input or when a live log is quiet."""
        return [self._close(event_id, whole=False) for event_id in list(self._pending)]

    def snapshot(self) -> dict[str, Any]:
        """Return what is waiting as JSON values, its lines as Latin-1: a character a byte."""
        return {
            "clock": [self._clock_ms, self._latest_ms],
            "ends": self._tells_ends,
            "pending": [
                [
                    pending.touched_ms,
                    pending.pid,
                    [record.line.decode("latin-1") for record in pending.records],
                ]
                for pending in self._pending.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        self._pending.clear()
        self._execs.clear()
        self._size = 0
        self._clock_ms, self._latest_ms = map(int, state["clock"])
        self._tells_ends = bool(state["ends"])
        for touched_ms, pid, lines in state["pending"]:
            records = [Record.parse(line.encode("latin-1")) for line in lines]
            size = sum(len(record.line) + _RECORD_OVERHEAD for record in records)
            event_id = records[0].event_id
            pending = self._pending[event_id] = _Pending(records, size, int(touched_ms))
            self._size += size
            if pid is not None:
                pending.pid = pid
                self._execs[event_id.node, pid] = event_id

    def _advance(self, time_ms: int) -> None:
        """Let the log's clock go on with the newest time; a jump is no time that has passed."""
        passed = time_ms - self._latest_ms
        if abs(passed) > _JUMP_MS:
            self._latest_ms = time_ms
        elif passed > 0:
            self._latest_ms = time_ms
            self._clock_ms += passed

    def _overdue(self) -> list[AuditEvent]:
        closed = []
        while self._pending:
            event_id, oldest = next(iter(self._pending.items()))
            if (
                len(self._pending) <= self._max_pending
                and self._size <= self._max_bytes
                and self._clock_ms - oldest.touched_ms <= self._max_age_ms
            ):
                break
            closed.append(self._close(event_id, whole=False))
        return closed

    def _close(self, event_id: EventId, *, whole: bool) -> AuditEvent:
        pending = self._pending.pop(event_id)
        self._size -= pending.size
        if pending.pid is not None:
            self._execs.pop((event_id.node, pending.pid), None)
        return AuditEvent(event_id, tuple(pending.records), whole)
