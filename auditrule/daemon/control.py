"""What a running daemon is told from outside: to stop, to load its settings anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from auditrule.source.waiting import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

# The longest that a pause goes on without a sign of life (systemd's watchdog).
_SLICE = 1.0


class Control:
    """Requests to the daemon; all may be made in signal handlers and from other threads.

    `wake` is called at each request, and ends a wait for lines; `alive` once a second at least
    while the daemon pauses.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.reload_wanted = False
        self.wake: Callable[[], None] = lambda: None
        self.alive: Callable[[], None] = lambda: None
        self._waker = Waker()

    def stop(self) -> None:
        """Ask for the end."""
        self.stopping = True
        self._waker.set()
        self.wake()

    def reload(self) -> None:
        """Ask for settings and rules to be read again."""
        self.reload_wanted = True
        self.wake()

    def pause(self, seconds: float) -> bool:
        """Wait, and tell whether to go on: False as soon as the end is asked for."""
        until = time.monotonic() + seconds
        while not self.stopping:
            remaining = until - time.monotonic()
            if remaining <= 0:
                break
            self._waker.wait(min(remaining, _SLICE))
            self.alive()
        return not self.stopping
