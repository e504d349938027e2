"""Processes as JSON values, for the checkpoint, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditrule.ecs.process import Image, Owner, ProcessEntry
from auditrule.ecs.recorded import RecordedImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# The values of a recorded image: its lines.
_OF_RECORDED = 1


def entries_to_state(entries: Iterable[ProcessEntry]) -> tuple[list[Any], list[Any]]:
    """Return entries as JSON values, and their images: one that several share is there once.

    Records are Latin-1, a character a byte.
    """
    images: list[list[Any]] = []
    numbers: dict[int, int] = {}

    def of_image(image: Image | RecordedImage | None) -> int | None:
        if image is None:
            return None
        number = numbers.setdefault(id(image), len(images))
        if number < len(images):
            return number
        if isinstance(image, RecordedImage):
            images.append([image.lines.decode("latin-1")])
        else:
            texts = image.executable, image.name, image.args, image.args_count
            images.append([*texts, image.working_directory, image.exe])
        return number

    def of_owner(owner: Owner) -> list[Any]:
        names = owner.user_id, owner.user_name, owner.group_id, owner.group_name
        return [*names, owner.interactive]

    def of_entry(entry: ProcessEntry) -> list[Any]:
        # Not dataclasses.astuple, which takes ten times as long.
        owner = entry.owner
        return [
            entry.pid,
            of_image(entry.image),
            None if owner is None else of_owner(owner),
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
    known = [_to_image(values) for values in images]

    def to_entry(values: Any) -> ProcessEntry:
        pid, image, owner, *rest, rival = values
        entry = ProcessEntry(
            pid,
            None if image is None else known[image],
            None if owner is None else Owner(*owner),
            *rest,
        )
        entry.rival = None if rival is None else to_entry(rival)
        return entry

    return [to_entry(values) for values in entries]


def _to_image(values: Sequence[Any]) -> Image | RecordedImage:
    if len(values) == _OF_RECORDED:
        return RecordedImage(str(values[0]).encode("latin-1"))
    path, name, args, *others = values
    return Image(path, name, tuple(args), *others)
