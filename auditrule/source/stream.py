"""Lines from a descriptor that ends: auditd's plugin stream on standard input."""

from __future__ import annotations

import os
import select
import time

from auditrule.source.errors import SourceError
from auditrule.source.lines import MAX_LINE, LineCounts, LineSplitter
from auditrule.source.waiting import Waker

_BLOCK_SIZE = 256 << 10


class StreamSource:
    """A LineSource over a descriptor (a pipe, a socket, a file), which stays the caller's.

    At the end of input the last line is given even without its newline, then None. Raises
    SourceError where reading fails. auditd hands events to a plugin on its standard input
    (auditd-plugins(5)).
    """

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
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._waker.fd, select.POLLIN)

    gaps = 0
    position = None
    is_drained = True

    def read(self, timeout: float) -> list[bytes] | None:
        """Return the next lines, as LineSource says."""
        deadline = time.monotonic() + timeout
        while not self._ended:
            self._waker.clear()
            # With woken set, what is there already is still given before the wake is obeyed.
            patience = 0.0 if self._woken else max(0.0, deadline - time.monotonic())
            ready = [fd for fd, _ in self._poll.poll(patience * 1000)]
            if self._fd in ready:
                if lines := self._read_block():
                    return lines
                # A line without end must not keep a caller that asked for a time or a wake.
                if self._woken or (timeout > 0 and time.monotonic() >= deadline):
                    self._woken = False
                    return []
            elif self._woken:
                self._woken = False
                return []
            elif time.monotonic() >= deadline:
                return []
        return None

    def _read_block(self) -> list[bytes]:
        try:
            block = os.read(self._fd, _BLOCK_SIZE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise SourceError.from_os(self._name, error) from error
        if block:
            return self._splitter.feed(block)
        self._ended = True
        return self._splitter.finish()

    def wake(self) -> None:
        """Make read() return, as LineSource says."""
        self._woken = True
        self._waker.set()

    def close(self) -> None:
        """End reading; the descriptor stays open."""
        self._ended = True
