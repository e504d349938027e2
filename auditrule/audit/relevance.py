"""Which records of the log tell of processes: of a program that started, a fork, an end.

Most do not. On a host whose files are watched, one record in five belongs to an exec, and no other
can make a difference to a rule on processes. Of a fork or an end, the SYSCALL record tells all; an
exec begins with its own, and what comes for it from then on belongs to it. Records of auditd itself
and of the init system count because a boot is seen in them (auditrule.audit.boot).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from auditrule.audit.syscalls import Deed, deed, is_known, syscall_name

if TYPE_CHECKING:
    from auditrule.audit.record import Record


class Part(Enum):
    """What a record is of an event that tells of processes."""

    NONE = auto()
    """Nothing, unless it belongs to an event that has begun."""
    ALL = auto()
    """All of it."""
    FIRST = auto()
    """The first record of an exec."""


# The kernel's order is always this (audit_log_exit, kernel/auditsc.c); a call that does not return,
# such as exit_group, has no success.
_CALL = re.compile(
    rb" arch=([0-9a-f]{1,8}) syscall=([0-9]{1,10})(?: per=[0-9a-f]+)?"
    rb"(?: success=(yes|no) exit=| a0=)"
)
_ALONE = ("DAEMON_", "SYSTEM_BOOT")
ALONE: Final = (b"DAEMON_", b"SYSTEM_BOOT")
"""How the types begin whose records tell of a boot by themselves."""
# What calls are, if they succeed and if not, as the log writes them. Whoever may write the log
# could fill it without end.
_KNOWN: dict[tuple[bytes, bytes], tuple[Part, Part]] = {}
_MOST_KNOWN = 10_000


def part_of(record: Record) -> Part:
    """Tell what `record` is."""
    kind = record.type
    if kind.startswith(_ALONE):
        return Part.ALL
    if kind != "SYSCALL":
        return Part.NONE
    good, bad = _parts(record.number("arch", 16), record.number("syscall"))
    return good if record.token("success") == "yes" else bad


def quick_part(kind: bytes, line: bytes, body_start: int) -> Part | None:
    """Tell as `part_of` does of the record in `line`; None where all of it has to be read."""
    if kind == b"SYSCALL":
        match = _CALL.match(line, body_start)
        if match is None:
            return None
        arch, number, success = match.groups()
        try:
            parts = _KNOWN[arch, number]
        except KeyError:
            parts = _look_up(arch, number)
        good, bad = parts
        if success is None and good is not bad:
            # No kernel leaves it out, so it may stand anywhere.
            return None
        return good if success == b"yes" else bad
    return Part.ALL if kind.startswith(ALONE) else Part.NONE


def _parts(arch: int | None, number: int | None) -> tuple[Part, Part]:
    """Return what a system call's record is if the call succeeded, and if not."""
    if not is_known(arch):
        # An EXECVE record will tell whether it is an exec.
        return Part.FIRST, Part.NONE
    match deed(syscall_name(arch, number)):
        case Deed.EXEC:
            return Part.FIRST, Part.NONE
        case Deed.FORK:
            return Part.ALL, Part.NONE
        case Deed.EXIT | Deed.EXIT_THREAD:
            return Part.ALL, Part.ALL
        case _:
            return Part.NONE, Part.NONE


def _look_up(arch: bytes, number: bytes) -> tuple[Part, Part]:
    parts = _parts(int(arch, 16), int(number))
    if len(_KNOWN) < _MOST_KNOWN:
        _KNOWN[arch, number] = parts
    return parts
