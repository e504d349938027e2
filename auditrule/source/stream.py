"""Lines from a descriptor that ends: auditd's plugin stream on standard input."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque

from auditrule.source.errors import SourceError
from auditrule.source.lines import MAX_LINE, LineCounts, LineSplitter
from auditrule.source.waiting import Waker

_BLOCK_SIZE = 256 << 10
# What is read ahead at most. auditd holds 2,000 records for a plugin that is busy, unless told
# otherwise, and then loses them (q_depth in auditd.conf(5)): this is 15 times as many.
_AHEAD = 8 << 20


class StreamSource:
    """A LineSource over a descriptor (a pipe, a socket, a file), which stays the caller's.

    A thread of its own reads ahead, so that the writer does not wait while lines are being looked
    at. At the end of input the last line is given even without its newline, then None. Raises
    SourceError where reading fails. auditd hands events to a plugin on its standard input
    (auditd-plugins(5)).
    """

    gaps = 0
    position = None

    def __init__(
        self,
        fd: int = 0,
        *,
        name: str = "-",
        max_line: int = MAX_LINE,
        counts: LineCounts | None = None,
    ) -> None:
        self.counts = counts if counts is not None else LineCounts()
        self._fd = fd
        self._name = name
        self._splitter = LineSplitter(max_line, self.counts)
        self._waker = Waker()
        self._woken = False
        self._ended = False
        # The thread's: blocks, of which the empty one is the end, and why it could not go on.
        self._blocks: deque[bytes] = deque()
        self._held = 0
        self._error: OSError | None = None
        self._closing = Waker()
        self._room = threading.Condition()
        self._thread = threading.Thread(target=self._read_ahead, name="stream", daemon=True)
        self._thread.start()

    @property
    def is_drained(self) -> bool:
        """Whether all that is there now was given."""
        return self._ended or not self._is_more()

    def read(self, timeout: float) -> list[bytes] | None:
        """Return the next lines, as LineSource says."""
        deadline = time.monotonic() + timeout
        while not self._ended:
            # Cleared before the look: a block that comes after it ends the wait below at once.
            self._waker.clear()
            if self._blocks:
                if lines := self._next_lines():
                    return lines
                # A line without end must not keep a caller that asked for a time or a wake.
                if not self._woken and (timeout <= 0 or time.monotonic() < deadline):
                    continue
            elif self._error is not None:
                raise SourceError.from_os(self._name, self._error) from self._error
            elif self._is_more():
                # The thread has it, or will: what is there is given before a wake is obeyed.
                self._waker.wait(0.0 if self._blocks else 1.0)
                continue
            elif not self._woken and (remaining := deadline - time.monotonic()) > 0:
                self._waker.wait(remaining)
                continue
            self._woken = False
            return []
        return None

    def _next_lines(self) -> list[bytes]:
        block = self._blocks.popleft()
        with self._room:
            self._held -= len(block)
            self._room.notify()
        if block:
            return self._splitter.feed(block)
        self._ended = True
        return self._splitter.finish()

    def _is_more(self) -> bool:
        """Whether there is something, or an end, that the thread has taken or is to take now."""
        with self._room:
            if self._blocks or not self._thread.is_alive():
                return bool(self._blocks)
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            return bool(poll.poll(0))

    def _read_ahead(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._closing.fd, select.POLLIN)
        while True:
            with self._room:
                self._room.wait_for(lambda: self._held <= _AHEAD or self._ended)
            if self._closing.fd in [fd for fd, _ in poll.poll()]:
                return
            # Both at once: what is in the descriptor no more is among the blocks.
            with self._room:
                try:
                    block = os.read(self._fd, _BLOCK_SIZE)
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._error = error
                else:
                    self._held += len(block)
                    self._blocks.append(block)
            self._waker.set()
            if self._error is not None or not block:
                return

    def wake(self) -> None:
        """Make read() return, as LineSource says."""
        self._woken = True
        self._waker.set()

    def close(self) -> None:
        """End reading; the descriptor stays open."""
        self._ended = True
        self._closing.set()
        with self._room:
            self._room.notify()
        self._thread.join()
