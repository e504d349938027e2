"""What a log holds, counted."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 1 << 22
_EXECVE = b"\ntype=EXECVE "
_TIME = re.compile(rb"msg=audit\((\d+\.\d+):")


@dataclass(frozen=True, slots=True)
class Contents:
    """A log's bytes, records and EXECVE records, and the seconds from its first to its last."""

    size: int
    records: int
    execs: int
    seconds: float

    @classmethod
    def count(cls, log: Path) -> Contents:
        """Count in blocks, whatever the size."""
        size = records = execs = 0
        rest = b"\n"
        with log.open("rb") as stream:
            first = _TIME.search(stream.readline())
            stream.seek(max(0, log.stat().st_size - _BLOCK))
            last = _TIME.findall(stream.read())
            stream.seek(0, os.SEEK_SET)
            while block := stream.read(_BLOCK):
                size += len(block)
                records += block.count(b"\n")
                block = rest + block
                execs += block.count(_EXECVE)
                # Shorter than what is looked for, so that nothing is counted twice.
                rest = block[-len(_EXECVE) + 1 :]
        seconds = float(last[-1]) - float(first[1]) if first and last else 0.0
        return cls(size, records, execs, seconds)

    def __str__(self) -> str:
        """Return the figures as a person reads them."""
        rate = f", {self.records / self.seconds:,.0f} records a second" if self.seconds else ""
        return f"{self.size / 1e6:g} MB, {self.records:,} records, {self.execs:,} execs{rate}"
