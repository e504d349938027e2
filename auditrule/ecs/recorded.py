"""What a process runs, kept as the records of its exec and read when somebody asks.

Few parents are ever asked about; to read every exec for that takes longer than all the rest.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from auditrule.audit.event import AuditEvent
from auditrule.audit.process import Exec, read_process_event
from auditrule.audit.record import Record
from auditrule.audit.text import decode_text
from auditrule.ecs.process import Image, is_same_file

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer records are read each time, as their image would take much memory.
_MOST_KEPT = 16 << 10
_TOLD_BY = frozenset({"SYSCALL", "EXECVE", "CWD", "PATH"})
# What is needed of a record in the kernel's form, which is less than half of it.
_NEEDED = {
    "SYSCALL": re.compile(
        rb"(type=SYSCALL msg=audit\([0-9.:]+\): arch=[0-9a-f]+ syscall=[0-9]+ success=yes) exit=0"
        rb"(?: a[0-3]=[0-9a-f]+){4} items=[0-9]+( ppid=[0-9]+ pid=[0-9]+)"
        rb"(?: (?:auid|[esf]?s?[ug]id|tty|ses)=[^ \x1d\"]+){11}( comm=[^ \x1d]+ exe=[^ \x1d]+)"
    ),
    "PATH": re.compile(rb"(type=PATH msg=audit\([0-9.:]+\): item=[0-9]+ name=[^ \x1d]+) inode="),
}


class RecordedImage:
    """The image that an exec's records tell of.

    `lines` are the records that tell it, `exe` the kernel's own word for it (``exe=``).
    """

    __slots__ = ("exe", "lines")

    def __init__(self, lines: bytes, exe: str | None) -> None:
        self.lines = lines
        self.exe = exe

    @classmethod
    def of(cls, records: Iterable[Record], exe: str | None) -> RecordedImage:
        """Return the image that the records of an exec tell of."""
        told_by = [record for record in records if record.type in _TOLD_BY]
        return cls(b"\n".join(map(_cut, told_by)), exe)

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        return len(self.lines)

    def is_of(self, exe: str | None) -> bool:
        """Tell whether a process of which the kernel says `exe` may still run this."""
        return is_same_file(exe, self.exe)

    def told(self) -> Image:
        """Return the image itself."""
        return _read(self.lines) if len(self.lines) > _MOST_KEPT else _read_often(self.lines)


def _cut(record: Record) -> bytes:
    needed = _NEEDED.get(record.type)
    match = None if needed is None else needed.match(record.line)
    return record.line if match is None else b"".join(match.groups())


def image_of(deed: Exec) -> Image:
    """Return the image that a program's start tells of."""
    return Image(
        executable=text(deed.executable),
        name=text(deed.name),
        args=tuple(map(decode_text, deed.arguments.values)),
        args_count=deed.arguments.count,
        working_directory=text(deed.directory),
        exe=text(deed.caller.exe),
    )


def text(data: bytes | None) -> str | None:
    """Return bytes of the log as text; None for nothing."""
    return decode_text(data) if data else None


def _read(lines: bytes) -> Image:
    records = tuple(Record.parse(line) for line in lines.split(b"\n"))
    deed = read_process_event(AuditEvent(records[0].event_id, records, whole=True))
    if not isinstance(deed, Exec):
        raise TypeError("these are not the records of an exec")
    return image_of(deed)


# A few parents start most programs.
_read_often = lru_cache(maxsize=64)(_read)
