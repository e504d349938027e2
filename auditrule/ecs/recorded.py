"""What a process runs, kept as the records of its exec and read when somebody asks.

Few parents are ever asked about; to read every exec for that takes longer than all the rest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from auditrule.audit.fact import event_of
from auditrule.audit.process import Exec, quick_caller, read_process_event
from auditrule.audit.text import decode_text
from auditrule.ecs.process import Image, is_same_file

if TYPE_CHECKING:
    from auditrule.audit.process import Caller

# Longer records are read each time, as their image would take much memory.
_MOST_KEPT = 16 << 10


_PATH, _OTHERS = b"type=PATH ", (b"type=SYSCALL ", b"type=EXECVE ", b"type=CWD ")


class RecordedImage:
    """The image that the records of an exec tell of.

    `lines` are its records, the SYSCALL record first, without what an image does not need; records
    of other events may stand between them. With `exhaustive`, the grammar reads them, all.
    """

    __slots__ = ("_exe", "_exhaustive", "_is_exe_known", "chances", "lines")

    def __init__(self, lines: bytes, *, exhaustive: bool = False) -> None:
        self.lines = lines if exhaustive else _needed(lines)
        self._exhaustive = exhaustive
        self._exe: str | None = None
        self._is_exe_known = False
        self.chances: int | None = None
        """Which rules are left for its children, as far as that is known (auditrule.outlook)."""

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        return len(self.lines)

    @property
    def exe(self) -> str | None:
        """The kernel's own word for it (``exe=``)."""
        if not self._is_exe_known:
            quick = None if self._exhaustive else quick_caller(self.lines.partition(b"\n")[0])
            self._exe = text(self.caller().exe if quick is None else quick.exe)
            self._is_exe_known = True
        return self._exe

    def is_of(self, exe: str | None) -> bool:
        """Tell whether a process of which the kernel says `exe` may still run this."""
        return is_same_file(exe, self.exe)

    def told(self) -> Image:
        """Return the image itself."""
        read = _read if len(self.lines) > _MOST_KEPT else _read_often
        return read(self.lines, exhaustive=self._exhaustive)

    def caller(self) -> Caller:
        """Return the process that runs it, as it was when it began to."""
        # The first record tells it, but on an architecture whose calls are not known.
        for lines in (self.lines.partition(b"\n")[0], self.lines):
            deed = read_process_event(event_of(lines, exhaustive=self._exhaustive))
            if isinstance(deed, Exec):
                return deed.caller
        raise TypeError("these are not the records of an exec")


def _needed(lines: bytes) -> bytes:
    """Return what an image needs of its records, which is less than half of them."""
    if not lines.startswith(_OTHERS):
        return lines
    kept = []
    for line in lines.split(b"\n"):
        if line.startswith(_PATH):
            # The end of its name, where that is quoted.
            end = line.find(b'" inode=')
            kept.append(line[: end + 1] if end > 0 else line)
        elif line.startswith(_OTHERS):
            kept.append(line)
    return b"\n".join(kept)


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


def _read(lines: bytes, *, exhaustive: bool) -> Image:
    deed = read_process_event(event_of(lines, exhaustive=exhaustive))
    if not isinstance(deed, Exec):
        raise TypeError("these are not the records of an exec")
    return image_of(deed)


# A few parents start most programs.
_read_often = lru_cache(maxsize=64)(_read)
