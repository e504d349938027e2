"""What a reader of live lines is, and how it is woken."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from auditrule.source.lines import LineCounts
    from auditrule.source.tail import Position


class LineSource(Protocol):
    r"""Lines that are still being written.

    `gaps` counts how often lines are known to be missing between those of two read() calls;
    `position` is where a later source could go on behind the lines given, None for a stream.

    To end cleanly with nothing lost that is already there: call read(0) until it returns [] or
    None, then close().
    """

    @property
    def counts(self) -> LineCounts:
        """What was cut into lines, and what was too long to be one."""

    @property
    def gaps(self) -> int:
        """How often lines are known to be missing; raised before what follows is given."""

    @property
    def is_drained(self) -> bool:
        """Whether all that is there now was given; not asked for after every read()."""

    @property
    def position(self) -> Position | None:
        """Where the next line begins."""

    def read(self, timeout: float) -> list[bytes] | None:
        r"""Return the next complete lines, without b"\n", or wait for some.

        [] after `timeout` seconds without a line, or as soon as wake() is called; read(0) does
        not wait. None at the end of input, and ever after; a followed file has none.
        """

    def wake(self) -> None:
        """Make a waiting read() return, or the next one not wait.

        Safe in a signal handler, which runs inside the reading thread, and from other threads.
        """

    def close(self) -> None:
        """Let go of files and threads. Reading is over."""


class Waker:
    """An eventfd(2): set() by anyone at any time, waited on by one.

    set() takes no lock, so a signal handler may call it while its own thread waits. The
    descriptor lives as long as the object, so that a late set() never writes to a descriptor
    that has become another file's.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def set(self) -> None:
        """End the present or the next wait."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Forget what was set so far. What comes later ends the next wait."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def wait(self, seconds: float) -> None:
        """Return when set, or after some seconds."""
        self._poll.poll(seconds * 1000)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)
