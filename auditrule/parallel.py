"""Tasks in processes of their own, whose results come in the order of the tasks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import sys
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

Result = TypeVar("Result")


# Room for what nobody takes yet.
_PIPE_SIZE = 1 << 20


class TaskError(ChildProcessError):
    """A task's process ended without having done its task."""


def in_order(
    tasks: Iterable[Callable[[], Iterable[Result]]], jobs: int
) -> Generator[tuple[int, Result], None, None]:
    """Yield the results of each task with its number: those of the first task first.

    At most `jobs` run at once, each in a process of its own, which holds back what nobody takes
    yet. Results have to be what pickle takes. Raises TaskError where a process fails.
    """
    waiting = enumerate(tasks)
    running: deque[tuple[int, _Task[Result]]] = deque()
    try:
        while True:
            while len(running) < jobs and (following := next(waiting, None)) is not None:
                number, task = following
                others = [each.results for _, each in running]
                running.append((number, _Task(task, others)))
            if not running:
                return
            number, first = running[0]
            for result in first.take():
                yield number, result
            running.popleft()
            first.end()
    finally:
        for _, each in running:
            each.end()


def in_turns(
    tasks: Sequence[Callable[[], Iterable[Result]]],
) -> Generator[Result, None, None]:
    """Yield the first result of each task, then the second of each, until one has no more.

    All run at once, each in a process of its own. Raises TaskError where a process fails.
    """
    running: list[_Task[Result]] = []
    try:
        for task in tasks:
            running.append(_Task(task, [each.results for each in running]))
        results = [each.take() for each in running]
        while True:
            for each in results:
                try:
                    result = next(each)
                except StopIteration:
                    return
                yield result
    finally:
        for task_running in running:
            task_running.end()


class _Task(Generic[Result]):
    def __init__(self, task: Callable[[], Iterable[Result]], others: Iterable[BinaryIO]) -> None:
        # What is buffered must not be written by each of them.
        sys.stdout.flush()
        sys.stderr.flush()
        receive, send = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(send, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                os.close(receive)
                for other in others:
                    other.close()
                with os.fdopen(send, "wb") as out:
                    for result in task():
                        pickle.dump((True, result), out)
                        out.flush()
                    pickle.dump((False, None), out)
                status = 0
            except (BrokenPipeError, KeyboardInterrupt):
                pass
            except BaseException:
                with contextlib.suppress(Exception):
                    sys.excepthook(*sys.exc_info())
            finally:
                # Nothing of what the parent has begun is to be ended here.
                os._exit(status)
        os.close(send)
        self.results: BinaryIO = os.fdopen(receive, "rb")

    def take(self) -> Iterator[Result]:
        while True:
            try:
                is_result, result = pickle.load(self.results)  # noqa: S301 - from our own process
            except (EOFError, pickle.UnpicklingError):
                raise TaskError("a process ended before its work was done") from None
            if not is_result:
                return
            yield result

    def end(self) -> None:
        """Let go of it; one that is not done is told by its broken pipe."""
        self.results.close()
        os.waitpid(self._pid, 0)
