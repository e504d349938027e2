"""Short documents in the form of alerts, and what an alert file and its siblings hold of them."""

from __future__ import annotations

import gzip
import json
import os
import traceback
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from auditrule.alerts.siblings import rotated_siblings
from auditrule.ecs.ids import stable_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = 1_700_000_000


@dataclass(frozen=True)
class Paper:
    """A document, told from others by its number; `size` is that of its padding."""

    number: int
    size: int = 0
    kind: str = "alert"

    @property
    def id(self) -> str:
        return stable_id("paper", self.number)

    @property
    def event_id(self) -> str:
        return stable_id("event of paper", self.number)

    @property
    def line(self) -> bytes:
        return self.to_json().encode() + b"\n"

    def to_json(self) -> str:
        document = {
            "@timestamp": "2023-11-14T22:13:20.000Z",
            "ecs": {"version": "8.17.0"},
            "event": {
                "kind": self.kind,
                "id": self.event_id,
                "sequence": self.number,
                "hash": self.id,
            },
            "message": f'{{"@timestamp":"é {self.number}' + "x" * self.size,
        }
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def files_of(path: Path) -> list[Path]:
    """Return the alert file and its rotated siblings, the oldest first."""
    live = [path] if path.exists() else []
    return [sibling.path for sibling in reversed(rotated_siblings(path))] + live


def numbers_in(path: Path) -> list[int]:
    """Return the numbers of the papers in an alert file and its siblings, in writing order.

    Every line must be whole.
    """
    found: list[int] = []
    for file in files_of(path):
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
        assert not data or data.endswith(b"\n"), file
        lines = filter(bytes.strip, data.split(b"\n"))
        found.extend(json.loads(line)["event"]["sequence"] for line in lines)
    return found


# What changes something that a killed process leaves behind.
CALLS = "open write pwrite ftruncate rename link unlink fchmod fchown utime".split()


def dies_at(step: int, deed: Callable[[], object]) -> bool:
    """Do `deed` in a process that is killed before its call to the kernel number `step`.

    Tell whether it came so far. The calls are those of CALLS, made through the os module.
    """
    with warnings.catch_warnings():
        # Threads of other tests do not matter to a child that takes no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _die_at(step, deed)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), code
    return code == 9


def _die_at(step: int, deed: Callable[[], object]) -> NoReturn:
    calls = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                os._exit(9)
            return function(*arguments, **options)

        return call

    try:
        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        deed()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
