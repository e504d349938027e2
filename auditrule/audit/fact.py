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

Chances: TypeAlias = "tuple[int, int | None]"
"""Which alternatives of rules an exec may meet, and which its children may (auditrule.outlook).

The latter is None where that is not known.
"""

Fact: TypeAlias = "tuple[int, int, bytes, bytes, bytes, bytes, Text, bytes, Chances | None]"
"""What one event says: (AT, WHAT, PID, PPID, CHILD, ID, TEXT, BY, CHANCES).

It is a plain tuple, as there are ten thousand a second of them. The numbers of processes are as the
log writes them, and so is the event's ID; CHILD is empty but for a fork. AT is where in its block
or file the event was complete. TEXT holds its records, the SYSCALL record first, without a newline
at the end; of an end, nothing. BY tells of a fork by what it was made, and is the same for the
same. CHANCES are there if the exec was looked at.
"""

AT: Final = 0
WHAT: Final = 1
PID: Final = 2
PPID: Final = 3
CHILD: Final = 4
ID: Final = 5
TEXT: Final = 6
BY: Final = 7
CHANCES: Final = 8

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
# It has the same number everywhere.
_CLONE3 = b" syscall=435 "
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
    text, by = b"", b""
    if what not in (END, THREAD_END):
        text = b"\n".join(record.line for record in event.records if record.type not in _ENDING)
    if what == FORK:
        by = made_by(text, 0, len(text))
    at_id = b"%d.%03d:%d" % (event.id.seconds, event.id.millis, event.id.serial)
    return (0, what, _written(caller.pid), ppid, child, at_id, text, by, None)


def with_text(fact: Fact, text: bytes) -> Fact:
    """Return the fact with its records."""
    at, what, pid, ppid, child, at_id, _, by, chances = fact
    return at, what, pid, ppid, child, at_id, text, by, chances


def looked_at(fact: Fact, what: int, chances: Chances | None) -> Fact:
    """Return the fact of an exec with what was seen when it was looked at."""
    at, _, pid, ppid, child, at_id, text, by, _ = fact
    return at, what, pid, ppid, child, at_id, text, by, chances


def made_by(block: bytes, start: int, end: int) -> bytes:
    """Return the BY of a fork with this record: the program's name and file, and kind of call."""
    call = block.find(b" syscall=", start, end)
    program = block.find(b" comm=", call, end)
    stop = block.find(b" key=", program, end)
    if call < 0 or program < 0 or stop < 0:
        return block[start:end]
    # Of clone3 it is not told whether it makes a thread (auditrule.audit.process.Fork).
    is_clone3 = block.startswith(_CLONE3, call)
    return _CLONE3 + block[program:stop] if is_clone3 else block[program:stop]


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


def time_of(at_id: bytes) -> int:
    """Return when the event with this ID was, in milliseconds since the epoch."""
    seconds, _, rest = at_id.partition(b".")
    return int(seconds + rest[:3])


def serial_of(at_id: bytes) -> int:
    """Return the serial of the event with this ID."""
    return int(at_id[at_id.index(b":") + 1 :])


def _written(number: int) -> bytes:
    return b"%d" % number
