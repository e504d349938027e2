"""What is remembered of a process: what it runs, whom it runs as, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

    @property
    def size(self) -> int:
        """Roughly the bytes that it takes: a character may take four of them."""
        texts = (self.executable, self.name, self.working_directory, self.exe)
        return (
            sum(map(getsizeof, self.args))
            + 8 * len(self.args)
            + sum(getsizeof(text) for text in texts if text is not None)
        )

    def is_of(self, exe: str | None) -> bool:
        """Tell whether a process of which the kernel says `exe` may still run this.

        A file that was deleted meanwhile has the mark of it behind its path.
        """
        if exe is None or self.exe is None:
            return True
        return exe.removesuffix(_DELETED) == self.exe.removesuffix(_DELETED)

    def bare(self) -> Image | None:
        """Return what the kernel says of it, without what the process says; None if nothing."""
        if self.exe is None:
            return None
        name = self.exe.rpartition("/")[2].removesuffix(_DELETED)
        return Image(executable=self.exe, name=name or None, exe=self.exe)


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
    parent ran. `threads` tells that it may have made threads, `maybe_thread` that it may be one
    itself, whose end no record would tell. `rival` is another that has the same claim to the pid.
    """

    pid: int
    image: Image | None
    owner: Owner
    started_ms: int
    serial: int
    ppid: int | None = None
    exited_ms: int | None = None
    threads: bool = False
    maybe_thread: bool = False
    rival: ProcessEntry | None = None

    @property
    def size(self) -> int:
        """Roughly the bytes that it takes."""
        size = _OVERHEAD + (self.image.size if self.image is not None else 0)
        return size + (self.rival.size if self.rival is not None else 0)


def entries_to_state(entries: Iterable[ProcessEntry]) -> tuple[list[Any], list[Any]]:
    """Return entries as JSON values, and their images: one that several share is there once."""
    images: list[list[Any]] = []
    numbers: dict[int, int] = {}

    def of_image(image: Image | None) -> int | None:
        if image is None:
            return None
        number = numbers.setdefault(id(image), len(images))
        if number == len(images):
            texts = image.executable, image.name, image.args, image.args_count
            images.append([*texts, image.working_directory, image.exe])
        return number

    def of_entry(entry: ProcessEntry) -> list[Any]:
        # Not dataclasses.astuple, which takes ten times as long.
        owner = entry.owner
        return [
            entry.pid,
            of_image(entry.image),
            owner.user_id,
            owner.user_name,
            owner.group_id,
            owner.group_name,
            owner.interactive,
            entry.started_ms,
            entry.serial,
            entry.ppid,
            entry.exited_ms,
            entry.threads,
            entry.maybe_thread,
            None if entry.rival is None else of_entry(entry.rival),
        ]

    return [of_entry(entry) for entry in entries], images


def entries_from_state(entries: Iterable[Any], images: Sequence[Any]) -> list[ProcessEntry]:
    """Return the entries that `entries_to_state` was given.

    Raises ValueError, TypeError or IndexError where these are none.
    """
    known = [Image(path, name, tuple(args), *others) for path, name, args, *others in images]

    def to_entry(values: Any) -> ProcessEntry:
        pid, image, user_id, user, group_id, group, interactive, *rest, rival = values
        entry = ProcessEntry(
            pid,
            None if image is None else known[image],
            Owner(user_id, user, group_id, group, interactive),
            *rest,
        )
        entry.rival = None if rival is None else to_entry(rival)
        return entry

    return [to_entry(values) for values in entries]
