"""Lines from a pipe, as auditd's plugin stream is one."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.errors import SourceError
from auditrule.source.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONG = 60.0


class _Pipe:
    def __init__(self) -> None:
        self.out, self._in = os.pipe()
        self._open = True

    def write(self, data: bytes) -> None:
        os.write(self._in, data)

    def end(self) -> None:
        if self._open:
            os.close(self._in)
        self._open = False


@pytest.fixture
def pipe() -> Iterator[_Pipe]:
    pipe = _Pipe()
    yield pipe
    pipe.end()
    os.close(pipe.out)


def test_whole_lines_are_given_and_the_rest_waits_for_its_newline(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    pipe.write(b"one\ntwo\nthr")
    assert source.read(_LONG) == [b"one", b"two"]
    assert source.read(0) == []
    pipe.write(b"ee\n")
    assert source.read(_LONG) == [b"three"]


def test_at_the_end_the_unfinished_line_is_given_and_then_none_for_ever(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    pipe.write(b"one\ntwo")
    pipe.end()
    assert source.read(_LONG) == [b"one"]
    assert source.read(_LONG) == [b"two"]
    assert source.read(_LONG) is None
    assert source.read(0) is None


def test_a_read_without_lines_ends_at_its_timeout(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    begun = time.monotonic()
    assert source.read(0.05) == []
    assert 0.05 <= time.monotonic() - begun < 10


def test_a_line_that_never_ends_does_not_keep_a_read_beyond_its_timeout() -> None:
    with open("/dev/zero", "rb", buffering=0) as endless:  # noqa: PTH123
        source = StreamSource(endless.fileno(), max_line=1000)
        begun = time.monotonic()
        assert source.read(0.1) == []
        assert time.monotonic() - begun < 10


def test_a_wake_before_a_read_is_not_lost_and_ends_one_read_only(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    source.wake()
    assert source.read(_LONG) == []
    assert source.read(0.01) == []
    pipe.write(b"one\n")
    assert source.read(_LONG) == [b"one"]


def test_lines_that_are_there_are_given_before_a_wake_is_obeyed(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    pipe.write(b"one\n")
    source.wake()
    assert source.read(_LONG) == [b"one"]
    assert source.read(_LONG) == []


def test_another_thread_wakes_a_waiting_read(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    threading.Timer(0.05, source.wake).start()
    assert source.read(_LONG) == []


def test_a_signal_handler_wakes_a_waiting_read(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out)
    before = signal.signal(signal.SIGUSR1, lambda *_: source.wake())
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert source.read(_LONG) == []
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_descriptor_that_cannot_be_read_is_the_one_error() -> None:
    folder = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(SourceError, match="-: is a directory"):
            StreamSource(folder).read(_LONG)
    finally:
        os.close(folder)


def test_overlong_lines_are_counted(pipe: _Pipe) -> None:
    source = StreamSource(pipe.out, max_line=3)
    pipe.write(b"toolong\nok\n")
    assert source.read(_LONG) == [b"ok"]
    assert source.counts.overlong == 1


@given(pieces=st.lists(st.sampled_from([b"a", b"bb\n", b"\n", b"\0", b"\r"]), max_size=20))
def test_whatever_is_written_comes_out_once(pieces: list[bytes]) -> None:
    pipe = _Pipe()
    source = StreamSource(pipe.out)
    lines: list[bytes] = []
    for piece in pieces:
        pipe.write(piece)
        lines += source.read(0) or []
    pipe.end()
    while (more := source.read(_LONG)) is not None:
        lines += more
    os.close(pipe.out)
    assert b"\n".join(lines) == b"".join(pieces).removesuffix(b"\n")
