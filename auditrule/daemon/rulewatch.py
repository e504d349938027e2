"""Being told of changes of rule files, by watchdog."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from watchdog.observers.api import BaseObserver

_log = logging.getLogger(__name__)

# A tree is copied file by file: the change is over when it has been quiet so long.
_SETTLE = 1.0
_POLLING_INTERVAL = 5.0


class RuleWatching:
    """Watches the paths that it was told last, until it is closed."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._watch: RuleWatch | None = None

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch these paths from now on, and no others, as they are now.

        A folder that was replaced is another one than before, under the same name.
        """
        self.close()
        if wanted := tuple(paths):
            self._watch = RuleWatch(wanted, self._notify)

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class RuleWatch(FileSystemEventHandler):
    """Calls notify() from a thread of its own when files at some paths have changed, and settled.

    Of a folder all that is below it is watched, of a file the file itself. Where inotify(7) is not
    to be had, the folders are looked through every few seconds.
    """

    def __init__(self, paths: Iterable[Path], notify: Callable[[], None]) -> None:
        self._notify = notify
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._files: set[str] = set()
        self._folders: set[str] = set()
        for path in paths:
            known = self._folders if path.is_dir() else self._files
            known.add(os.path.abspath(path))  # noqa: PTH100 - links are not to be resolved
        self._observer = self._start()

    def _start(self) -> BaseObserver | None:
        for create in (Observer, lambda: PollingObserver(timeout=_POLLING_INTERVAL)):
            observer = None
            try:
                observer = create()
                for folder in self._folders:
                    observer.schedule(self, folder, recursive=True)
                for parent in {os.path.dirname(file) for file in self._files}:  # noqa: PTH120
                    observer.schedule(self, parent)
                observer.start()
            except OSError as error:
                reason = error
                if observer is not None:
                    observer.stop()
                continue
            return observer
        _log.error("the rules cannot be watched: %s", plain_reason(reason))
        return None

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take note of a change. Called by watchdog."""
        if event.event_type in (EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE):
            return
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        if not any(self._is_ours(path) for path in paths):
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(_SETTLE, self._notify)
            self._timer.daemon = True
            self._timer.start()

    def _is_ours(self, path: str) -> bool:
        return path in self._files or any(
            path == folder or path.startswith(folder + os.sep) for folder in self._folders
        )

    def close(self) -> None:
        """Stop watching; no notify() comes after it."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer.join()
