"""An audit event: the records that the kernel wrote for one deed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditrule.audit.record import EventId, Record


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """The records of one event, in the order they came.

    `whole` tells that the log itself ended the event (PROCTITLE, EOE, or a record that stands
    alone), rather than a limit of the reassembly or the end of the input. On kernels that end
    events with neither record, events are complete and yet never whole.
    """

    id: EventId
    records: tuple[Record, ...]
    whole: bool

    def first(self, record_type: str) -> Record | None:
        """Return the event's first record of `record_type`."""
        for record in self.records:
            if record.type == record_type:
                return record
        return None

    def all(self, record_type: str) -> tuple[Record, ...]:
        """Return the event's records of `record_type`, in order."""
        return tuple(record for record in self.records if record.type == record_type)
