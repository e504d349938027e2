"""What is remembered of a process: what it runs, whom it runs as, and since when."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import getsizeof
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditrule.ecs.recorded import RecordedImage

_OVERHEAD = 1_000
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Image:
    """What a process runs, as text; a forked child shares its parent's image.

    `exe` is the kernel's own word for it (``exe=``, ``/proc/PID/exe``): a script's interpreter.
    """

    executable: str | None = None
    name: str | None = None
    args: tuple[str, ...] = ()
    args_count: int | None = None
    working_directory: str | None = None
    exe: str | None = None
    size: int = field(init=False, compare=False, repr=False)
    """Roughly the bytes that it takes: a character may take four of them."""

    def __post_init__(self) -> None:
        """Count the bytes, once: many processes share an image."""
        texts = (self.executable, self.name, self.working_directory, self.exe)
        size = sum(map(getsizeof, self.args)) + 8 * len(self.args)
        size += sum(getsizeof(text) for text in texts if text is not None)
        object.__setattr__(self, "size", size)

    def is_of(self, exe: str | None) -> bool:
        """Tell whether a process of which the kernel says `exe` may still run this.

        A file that was deleted meanwhile has the mark of it behind its path.
        """
        return is_same_file(exe, self.exe)

    def told(self) -> Image:
        """Return the image itself, as RecordedImage does."""
        return self

    def bare(self) -> Image | None:
        """Return what the kernel says of it, without what the process says; None if nothing."""
        if self.exe is None:
            return None
        name = self.exe.rpartition("/")[2].removesuffix(_DELETED)
        return Image(executable=self.exe, name=name or None, exe=self.exe)


def is_same_file(exe: str | None, other: str | None) -> bool:
    """Tell whether two paths by the kernel may be of one file; None is any."""
    if exe is None or other is None:
        return True
    return exe.removesuffix(_DELETED) == other.removesuffix(_DELETED)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a process runs as; None where that is not known."""

    user_id: int | None = None
    user_name: str | None = None
    group_id: int | None = None
    group_name: str | None = None
    interactive: bool | None = None


@dataclass(slots=True)
class ProcessEntry:
    """One life of a pid.

    `started_ms` is the time of the exec or fork that began this image (milliseconds since the
    epoch), `serial` that event's serial, 0 where /proc told; `ppid` its parent then. `exited_ms`
    is set once its end has been logged. `image` is None where a fork is known but not what its
    parent ran, `owner` where the image's records tell that, too. `threads` tells that it may have
    made threads, `maybe_thread` that it may be one itself, whose end no record would tell. `rival`
    is another that has the same claim to the pid.
    """

    pid: int
    image: Image | RecordedImage | None
    owner: Owner | None
    started_ms: int
    serial: int
    ppid: int | None = None
    exited_ms: int | None = None
    threads: bool = False
    maybe_thread: bool = False
    rival: ProcessEntry | None = None
    fields: dict[str, Any] | None = None
    """What a child's document says of it, once that is known."""

    @property
    def size(self) -> int:
        """Roughly the bytes that it takes."""
        size = _OVERHEAD + (self.image.size if self.image is not None else 0)
        return size + (self.rival.size if self.rival is not None else 0)
