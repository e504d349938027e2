"""Lines from a pipe, as auditd's plugin stream is one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source import stream
from auditrule.source.errors import SourceError
from auditrule.source.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONG = 60.0


class _Pipe:
    def __init__(self) -> None:
        self.out, self._in = os.pipe()
        self._open = True

    def write(self, data: bytes) -> int:
        written = 0
        while written < len(data):
            written += os.write(self._in, data[written:])
        return written

    def fill(self, line: bytes) -> int:
        """Write the line until it is refused for a while; return how many bytes were taken."""
        os.set_blocking(self._in, False)
        written = refused = 0
        while refused < 200:
            try:
                written += os.write(self._in, line)
                refused = 0
            except BlockingIOError:
                refused += 1
                time.sleep(0.001)
        return written

    def end(self) -> None:
        if self._open:
            os.close(self._in)
        self._open = False

    @contextlib.contextmanager
    def source(self, **more: Any) -> Iterator[StreamSource]:
        # Its thread must be gone before another file may have the descriptor's number.
        with contextlib.closing(StreamSource(self.out, **more)) as source:
            yield source

    def close(self) -> None:
        self.end()
        os.close(self.out)


@pytest.fixture
def pipe() -> Iterator[_Pipe]:
    with contextlib.closing(_Pipe()) as pipe:
        yield pipe


@pytest.fixture
def source(pipe: _Pipe) -> Iterator[StreamSource]:
    with pipe.source() as source:
        yield source


def test_whole_lines_are_given_and_the_rest_waits_for_its_newline(
    pipe: _Pipe, source: StreamSource
) -> None:
    pipe.write(b"one\ntwo\nthr")
    assert source.read(_LONG) == [b"one", b"two"]
    assert source.read(0) == []
    pipe.write(b"ee\n")
    assert source.read(_LONG) == [b"three"]


def test_at_the_end_the_unfinished_line_is_given_and_then_none_for_ever(
    pipe: _Pipe, source: StreamSource
) -> None:
    pipe.write(b"one\ntwo")
    pipe.end()
    assert source.read(_LONG) == [b"one"]
    assert source.read(_LONG) == [b"two"]
    assert source.read(_LONG) is None
    assert source.read(0) is None


def test_a_read_without_lines_ends_at_its_timeout(source: StreamSource) -> None:
    begun = time.monotonic()
    assert source.read(0.05) == []
    assert 0.05 <= time.monotonic() - begun < 10


def test_a_line_that_never_ends_does_not_keep_a_read_beyond_its_timeout() -> None:
    with (
        open("/dev/zero", "rb", buffering=0) as endless,  # noqa: PTH123
        contextlib.closing(StreamSource(endless.fileno(), max_line=1000)) as source,
    ):
        begun = time.monotonic()
        assert source.read(0.1) == []
        assert time.monotonic() - begun < 10


def test_a_wake_before_a_read_is_not_lost_and_ends_one_read_only(
    pipe: _Pipe, source: StreamSource
) -> None:
    source.wake()
    assert source.read(_LONG) == []
    assert source.read(0.01) == []
    pipe.write(b"one\n")
    assert source.read(_LONG) == [b"one"]


def test_lines_that_are_there_are_given_before_a_wake_is_obeyed(
    pipe: _Pipe, source: StreamSource
) -> None:
    pipe.write(b"one\n")
    source.wake()
    assert source.read(_LONG) == [b"one"]
    assert source.read(_LONG) == []


def test_another_thread_wakes_a_waiting_read(source: StreamSource) -> None:
    threading.Timer(0.05, source.wake).start()
    assert source.read(_LONG) == []


def test_a_signal_handler_wakes_a_waiting_read(source: StreamSource) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: source.wake())
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert source.read(_LONG) == []
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_descriptor_that_cannot_be_read_is_the_one_error() -> None:
    folder = os.open("/", os.O_RDONLY)
    try:
        with (
            contextlib.closing(StreamSource(folder)) as source,
            pytest.raises(SourceError, match="-: is a directory"),
        ):
            source.read(_LONG)
    finally:
        os.close(folder)


def test_overlong_lines_are_counted(pipe: _Pipe) -> None:
    with pipe.source(max_line=3) as source:
        pipe.write(b"toolong\nok\n")
        assert source.read(_LONG) == [b"ok"]
        assert source.counts.overlong == 1


@given(pieces=st.lists(st.sampled_from([b"a", b"bb\n", b"\n", b"\0", b"\r"]), max_size=20))
def test_whatever_is_written_comes_out_once(pieces: list[bytes]) -> None:
    lines: list[bytes] = []
    with contextlib.closing(_Pipe()) as pipe, pipe.source() as source:
        for piece in pieces:
            pipe.write(piece)
            lines += source.read(0) or []
        pipe.end()
        while (more := source.read(_LONG)) is not None:
            lines += more
    assert b"\n".join(lines) == b"".join(pieces).removesuffix(b"\n")


def test_a_writer_does_not_wait_while_nobody_reads(pipe: _Pipe, source: StreamSource) -> None:
    data = b"".join(b"%d\n" % number for number in range(100_000))
    # A pipe holds 64 KiB: without a thread behind it, this would wait for ever.
    pipe.write(data)
    pipe.end()
    found: list[bytes] = []
    while (lines := source.read(_LONG)) is not None:
        found += lines
    assert found == data.splitlines()


def test_what_is_read_ahead_is_bounded(
    pipe: _Pipe, source: StreamSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_AHEAD", 1 << 20)
    written = pipe.fill(b"x" * 1023 + b"\n")
    assert 1 << 20 < written < 3 << 20
    pipe.end()
    given = 0
    while (lines := source.read(_LONG)) is not None:
        given += sum(len(line) + 1 for line in lines)
    assert given == written
