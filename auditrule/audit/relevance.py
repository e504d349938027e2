"""Which records of the log tell of processes: of a program that started, a fork, an end.

Most do not. On a host whose files are watched, one record in five belongs to an exec, and no other
can make a difference to a rule on processes. So an event begins to count with the record that tells
what it is about, a SYSCALL or EXECVE; what comes for it from then on belongs to it. Records of
auditd itself and of the init system count because a boot is seen in them (auditrule.audit.boot).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditrule.audit.syscalls import Deed, deed, syscall_name

if TYPE_CHECKING:
    from auditrule.audit.record import Record

# The kernel's order is always this (audit_log_exit, kernel/auditsc.c); a call that does not return,
# such as exit_group, has no success.
_CALL = re.compile(
    rb" arch=([0-9a-f]{1,8}) syscall=([0-9]{1,10})(?: per=[0-9a-f]+)?"
    rb"(?: success=(yes|no) exit=| a0=)"
)
_ENDS = frozenset({Deed.EXIT, Deed.EXIT_THREAD})
_ALONE = ("DAEMON_", "SYSTEM_BOOT")
_ALONE_BYTES = (b"DAEMON_", b"SYSTEM_BOOT")
# What calls mean, as the log writes them. Whoever may write the log could fill it without end.
_KNOWN: dict[tuple[bytes, bytes], Deed | None] = {}
_MOST_KNOWN = 10_000


def begins(record: Record) -> bool:
    """Tell whether an event that tells of processes may begin with `record`."""
    kind = record.type
    if kind == "EXECVE" or kind.startswith(_ALONE):
        return True
    if kind != "SYSCALL":
        return False
    return _matters(
        deed(syscall_name(record.number("arch", 16), record.number("syscall"))),
        succeeded=record.token("success") == "yes",
    )


def quick_begins(kind: bytes, line: bytes, body_start: int) -> bool | None:
    """Tell as `begins` does of the record in `line`; None where all of it has to be read."""
    if kind == b"SYSCALL":
        match = _CALL.match(line, body_start)
        if match is None:
            return None
        arch, number, success = match.groups()
        try:
            what = _KNOWN[arch, number]
        except KeyError:
            what = _look_up(arch, number)
        return _matters(what, succeeded=success == b"yes")
    return kind == b"EXECVE" or kind.startswith(_ALONE_BYTES)


def _matters(what: Deed | None, *, succeeded: bool) -> bool:
    return what is not None and (succeeded or what in _ENDS)


def _look_up(arch: bytes, number: bytes) -> Deed | None:
    what = deed(syscall_name(int(arch, 16), int(number)))
    if len(_KNOWN) < _MOST_KNOWN:
        _KNOWN[arch, number] = what
    return what
