"""Facts: what the log says of processes, in the least that the process table needs of it.

Most processes start, do something and end, and nobody ever asks about them. So a fact names whom it
is about, and keeps the records that say the rest, to be read if somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from auditrule.audit.event import AuditEvent
from auditrule.audit.process import Exit, Fork, quick_caller
from auditrule.audit.quick import match_header
from auditrule.audit.record import Record

if TYPE_CHECKING:
    from auditrule.audit.process import Exec, Start

Text: TypeAlias = "bytes | tuple[int, int]"
"""Records, or where in a file they begin and end."""

Chances: TypeAlias = "tuple[int, int | None]"
"""Which alternatives of rules an exec may meet, and which its children may (auditrule.outlook).

The latter is None where that is not known.
"""

NOBODY: Final = -1
"""The number of no process."""


class Fact(NamedTuple):
    """What one event says of processes.

    `what` is one of the numbers below. `ppid` is NOBODY if it is not told, and `child` but for a
    fork. `ms` (since the epoch) and `serial` are the event's. `text` holds its records, the SYSCALL
    record first, without a newline at the end; of an end, nothing. `by` tells of a fork who
    made it, and is the same for the same. There are `chances` if the exec was looked at.
    """

    what: int
    pid: int
    ppid: int
    child: int
    ms: int
    serial: int
    text: Text
    by: bytes = b""
    chances: Chances | None = None


EXEC: Final = 0
"""A program started."""
FORK: Final = 1
"""A process made another, or perhaps a thread."""
THREAD: Final = 2
"""A process made a thread."""
END: Final = 3
"""A process ends."""
THREAD_END: Final = 4
"""A thread ends, perhaps its process's last."""
ASKED: Final = 5
"""A program started that somebody may ask about: a document is to be made of it."""
MIXED: Final = 8 << 10
"""A TEXT of no more bytes may hold records of other events between its own."""

_ENDING = frozenset({"PROCTITLE", "EOE"})
_TYPE_AT = len("type=")
CLONE3: Final = 435
"""The number of clone3(2), everywhere."""
_CLONE3: Final = b"clone3"
_WHOSE: Final = b" auid="
# What an exec is told by, besides its SYSCALL record.
_TOLD_BY = {b"EXECVE": "EXECVE", b"CWD": "CWD", b"PATH": "PATH"}


def fact_of(deed: Exec | Start | Fork | Exit, event: AuditEvent) -> Fact:
    """Return the fact that an event's deed is."""
    caller = deed.caller
    child = NOBODY
    if isinstance(deed, Fork):
        what = THREAD if deed.is_thread else FORK
        child = deed.child
    elif isinstance(deed, Exit):
        what = THREAD_END if deed.thread_only else END
    else:
        what = EXEC
    ppid = NOBODY if caller.ppid is None else caller.ppid
    text, by = b"", b""
    if what not in (END, THREAD_END):
        text = b"\n".join(record.line for record in event.records if record.type not in _ENDING)
    if what == FORK:
        by = made_by(text)
    return Fact(what, caller.pid, ppid, child, event.id.time_ms, event.id.serial, text, by)


def made_by(line: bytes) -> bytes:
    """Return the BY of a fork with this record."""
    quick = quick_caller(line)
    if quick is None:
        return line
    return maker(line[line.index(_WHOSE) :], is_clone3=quick.call == "clone3")


def maker(whose: bytes, *, is_clone3: bool) -> bytes:
    """Return the BY of a fork by who made it, as its record says from auid= on."""
    # Of clone3 it is not told whether it makes a thread (auditrule.audit.process.Fork).
    return _CLONE3 + whose if is_clone3 else whose


def own_records(text: bytes) -> bytes:
    """Return the records in `text` that are of the same event as the first."""
    first, *others = text.split(b"\n")
    match = match_header(first)
    if match is None:
        return text
    own = match.group(1, 3, 4, 5)
    lines = [first]
    for line in others:
        match = match_header(line)
        if match is not None and match.group(1, 3, 4, 5) == own:
            lines.append(line)
    return b"\n".join(lines)


def event_of(text: bytes, *, exhaustive: bool = False) -> AuditEvent:
    """Return the event whose records a fact's TEXT holds, of the types that tell of processes."""
    first, *others = text.split(b"\n")
    records = [Record.parse(first, exhaustive=exhaustive)]
    event_id = records[0].event_id
    match = None if exhaustive or event_id.node is not None else match_header(first)
    if match is None:
        lines = own_records(text).split(b"\n")[1:]
        records += [Record.parse(line, exhaustive=exhaustive) for line in lines]
    else:
        # All have the same header, but for the type.
        header = first[match.start(2) + len(match[2]) : match.end()]
        for line in others:
            at = line.find(header, _TYPE_AT)
            kind = _TOLD_BY.get(line[_TYPE_AT:at])
            if kind is not None:
                if line.endswith(b"\r"):
                    line = line[:-1]
                records.append(Record(line, kind, event_id, at + len(header)))
    return AuditEvent(event_id, tuple(records), whole=True)


def id_of(ms: int, serial: int) -> bytes:
    """Return an event's ID as the log writes it."""
    seconds, millis = divmod(ms, 1000)
    return b"%d.%03d:%d" % (seconds, millis, serial)
