"""Facts: what the log says of processes, in the least that the process table needs of it.

Most processes start, do something and end, and nobody ever asks about them. So a fact names whom it
is about, and keeps the records that say the rest, to be read if somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from auditrule.audit.event import AuditEvent
from auditrule.audit.process import Exit, Fork
from auditrule.audit.quick import match_header
from auditrule.audit.record import Record

if TYPE_CHECKING:
    from auditrule.audit.process import Exec, Start

Text: TypeAlias = "bytes | tuple[int, int]"
"""Records, or where in a file they begin and end."""

Fact: TypeAlias = "tuple[int, int, bytes, bytes, bytes, int, Text, bytes]"
"""What one event says: (AT, WHAT, PID, PPID, CHILD, SERIAL, TEXT, BY).

It is a plain tuple, as there are ten thousand a second of them. The numbers of processes are as the
log writes them; CHILD is empty but for a fork. AT is where in its block the event was complete.
TEXT holds its records, the SYSCALL record first, without a newline at the end; of an end, no more
than the header. BY tells of a fork by what it was made, and is the same for the same.
"""

AT: Final = 0
WHAT: Final = 1
PID: Final = 2
PPID: Final = 3
CHILD: Final = 4
SERIAL: Final = 5
TEXT: Final = 6
BY: Final = 7

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
LINE: Final = 6
"""No fact but a line, which is to be looked at by itself."""

MIXED: Final = 8 << 10
"""A TEXT of no more bytes may hold records of other events between its own."""

_ENDING = frozenset({"PROCTITLE", "EOE"})
_NO_PPID = b""
_TYPE_AT = len("type=")
_CALL_SIZE = len(" syscall=435 ")
# What an exec is told by, besides its SYSCALL record.
_TOLD_BY = {b"EXECVE": "EXECVE", b"CWD": "CWD", b"PATH": "PATH"}


def fact_of(deed: Exec | Start | Fork | Exit, event: AuditEvent) -> Fact:
    """Return the fact that an event's deed is."""
    caller = deed.caller
    child = b""
    if isinstance(deed, Fork):
        what = THREAD if deed.is_thread else FORK
        child = _written(deed.child)
    elif isinstance(deed, Exit):
        what = THREAD_END if deed.thread_only else END
    else:
        what = EXEC
    ppid = _NO_PPID if caller.ppid is None else _written(caller.ppid)
    text = b"\n".join(record.line for record in event.records if record.type not in _ENDING)
    by = made_by(text) if what == FORK else b""
    return (0, what, _written(caller.pid), ppid, child, event.id.serial, text, by)


def made_by(text: bytes) -> bytes:
    """Return the BY of a fork with this TEXT: its call, and the program's name and file."""
    call = text.find(b" syscall=")
    program = text.find(b" comm=", call)
    return text[call : call + _CALL_SIZE] + text[program : text.find(b" key=", program)]


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


def time_of(text: bytes) -> int:
    """Return when a fact's event was, in milliseconds since the epoch."""
    match = match_header(text)
    if match is None:
        return Record.parse(text.partition(b"\n")[0]).event_id.time_ms
    return int(match[3]) * 1000 + int(match[4])


def _written(number: int) -> bytes:
    return b"%d" % number
