"""Being told of changes in a log's folder, by watchdog.

An event only says "look again"; what is true, stat says.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Literal

from watchdog.events import (
    DirDeletedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watchdog.observers.api import BaseObserver

# Nothing that reading causes (open, close) is among them, or a reader would wake itself.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirDeletedEvent,
]
POLLING_INTERVAL = 1.0
# It complains of events that come while it is being stopped, and of some that it has lost: the log
# is looked at all the same.
logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)

Means = Literal["inotify", "polling", "none"]


class FolderWatch:
    """Calls notify() from a thread of its own soon after a log or a rotated one of it changes.

    log: the path whose folder is watched; files there count whose names begin with its name.
    notify: must neither block nor raise. ensure() starts the watch, and starts it anew where the
    folder is another one than before; where there is no folder, it does nothing.
    """

    def __init__(self, log: Path, notify: Callable[[], None]) -> None:
        self._folder = log.parent
        self._handler = _Handler(os.fsdecode(log.name), notify)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self.means: Means = "none"

    def ensure(self) -> None:
        """Watch the folder that is there now."""
        try:
            status = self._folder.stat()
            found = (status.st_dev, status.st_ino)
        except OSError:
            found = None
        if found == self._watched and self._is_alive():
            return
        self.close()
        self._watched = found
        if found is not None:
            self._start()

    def _is_alive(self) -> bool:
        """Whether the watch works: its emitter ends with the folder, whose inode may return."""
        return self._observer is None or (
            self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)
        )

    def _start(self) -> None:
        """Use inotify(7); without it (ENOSYS) or at its limits (ENOSPC, EMFILE), poll."""
        starters: list[tuple[Means, Callable[[], BaseObserver]]] = [
            ("inotify", Observer),
            ("polling", lambda: PollingObserver(timeout=POLLING_INTERVAL)),
        ]
        for means, create in starters:
            observer: BaseObserver | None = None
            try:
                observer = create()
                observer.schedule(self._handler, str(self._folder), event_filter=_EVENTS)
                observer.start()
            except OSError:
                if observer is not None:
                    _stop(observer)
                continue
            self._observer = observer
            self.means = "polling" if isinstance(observer, PollingObserver) else means
            return

    def pause(self) -> None:
        """Stop watching until ensure() is called; some notify() may come yet."""
        observer, self._observer = self._observer, None
        self._watched = None
        if observer is not None:
            observer.stop()

    def close(self) -> None:
        """Stop watching; returns when no further notify() can come."""
        observer, self._observer = self._observer, None
        self._watched = None
        self.means = "none"
        if observer is not None:
            _stop(observer)


def _stop(observer: BaseObserver) -> None:
    observer.stop()
    # A thread that never started cannot be joined.
    with contextlib.suppress(RuntimeError):
        observer.join()


class _Handler(FileSystemEventHandler):
    def __init__(self, name: str, notify: Callable[[], None]) -> None:
        self._name = name
        self._notify = notify

    def dispatch(self, event: FileSystemEvent) -> None:
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        if event.is_directory or any(
            os.path.basename(path).startswith(self._name)  # noqa: PTH119 - a hot path
            for path in paths
        ):
            self._notify()
