"""Boots of the host, as its log shows them: pids and serials begin anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditrule.audit.event import AuditEvent

# Events come out in order of completion, so serials step back a little all the time: by as many
# events as can be pending at most.
_REORDERED = 100_000


class BootWatch:
    """Tells which events are the first that the log has of a boot; one watch for each host.

    The sign of a boot is that serials begin anew: far below those before, or below them at all
    behind the start of an auditd, or, in the SYSTEM_BOOT record that the init system writes, less
    than half of them. The kernel counts serials from 1 at each boot (audit_serial, kernel/audit.c);
    auditd numbers its own DAEMON_ records otherwise. The record alone is no sign: whoever has
    CAP_AUDIT_WRITE, root in many a container, can have the kernel write one, and would make us
    forget every process.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._auditd_started = False

    def snapshot(self) -> list[Any]:
        """Return the state as JSON values."""
        return [self._highest, self._auditd_started]

    def restore(self, state: list[Any]) -> None:
        """Go on from a snapshot."""
        self._highest, self._auditd_started = state

    def is_boot(self, event: AuditEvent) -> bool:
        """Take `event`; return whether the host has booted since the one before."""
        return self._is_boot(event.records[0].type, event.id.serial)

    def first_boot(self, serials: Sequence[int]) -> int | None:
        """Take the serials of the next system calls' events; return which is the first of a boot.

        Those behind it are not taken. None where there is none.
        """
        if not serials or self.pass_over(min(serials), max(serials)):
            return None
        for n, serial in enumerate(serials):
            if self._is_boot("SYSCALL", serial):
                return n
        return None

    def pass_over(self, lowest: int, highest: int) -> bool:
        """Take the next system calls' events, with serials in between, if none may be of a boot.

        Returns whether that is so.
        """
        highest = max(self._highest, highest)
        if self._auditd_started or lowest < highest - _REORDERED:
            return False
        self._highest = highest
        return True

    def _is_boot(self, kind: str, serial: int) -> bool:
        if kind.startswith("DAEMON_"):
            self._auditd_started = self._auditd_started or kind == "DAEMON_START"
            return False
        anew = serial < (self._highest if self._auditd_started else self._highest - _REORDERED)
        anew = anew or (kind == "SYSTEM_BOOT" and 2 * serial < self._highest)
        self._highest = serial if anew else max(serial, self._highest)
        self._auditd_started = False
        return anew
