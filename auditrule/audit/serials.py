"""Lost events, as far as the log itself tells: holes in the kernel's serials, and reports.

The kernel numbers an event when its first record is begun (audit_serial, kernel/audit.c), so a
serial that never comes is an event that was begun and did not reach the log. What that covers was
tried on Linux 6.18 with auditd 3.0.9, and read in kernel/audit.c and audit-userspace:

================================================  ======  =========================================
what happens                                      a hole  why
================================================  ======  =========================================
12,000 execs from 8 shells at once                no      serials came at most one place late
rate limit (``auditctl -r``) exceeded             yes     tested when a record ends (audit_log_end);
                                                          an event may also lose some records only
auditd stopped (SIGSTOP), killed or restarted     yes     for what was begun and found no reader;
under load                                                not for what found the queue full
disk full, logging suspended by auditd            yes     auditd drops what the kernel has numbered
a log file removed or cut before it was read      yes
backlog (``auditctl -b``) overflows               no      tested before the event gets its number:
                                                          4,655 records were lost and no serial was
``never`` rules and ``exclude`` filters           no      the same; what is asked for is no loss
audit disabled (``auditctl -e 0``)                no      nothing is begun; reported
================================================  ======  =========================================

So a hole is a loss, and no hole is no proof that there was none. What an overflowing backlog took
is seen in the events that lost some of their records only (a SYSCALL without its PROCTITLE), in
the kernel's own log ("audit: backlog limit exceeded"), and in ``auditctl -s``, whose counter shows
up here only when somebody resets it. The queue of auditd's plugins reports to syslog alone. A log
that was filtered (``ausearch --raw``) is nothing but holes.

auditd numbers its own DAEMON_ records, from a random number below 10,000; they are no part of it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from auditrule.audit.record import EventId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditrule.audit.record import Record

OVERDUE_MS = 10_000
# Serials by which an event can be out of order: none of the kernel's queue is longer in practice.
REORDERED = 100_000
_SERIALS = 2**32
_MAX_NODES = 1024
_MAX_HOLES = 8192
_MAX_LOSSES = 1024
# Events after which a run's clock may go back, when none of them has been near it.
_CLOCK_EVENTS = 1000
# Runs of serials that are remembered per node, to come back to.
_MAX_RUNS = 4
_REPORTING = frozenset(
    {"CONFIG_CHANGE", "DAEMON_START", "DAEMON_END", "DAEMON_ABORT", "DAEMON_ERR", "DAEMON_RESUME"}
)
KINDS = (
    "auditd_started",
    "auditd_ended",
    "auditd_died",
    "auditd_aborted",
    "auditd_error",
    "logging_resumed",
    "audit_disabled",
    "rate_limited",
    "backlog_limit_changed",
    "kernel_lost",
)
