"""Where it was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from auditrule import __version__


def describe() -> str:
    """Return the machine, its kernel and the versions, as lines of a Markdown list."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            f"- {_processor()}, {len(os.sched_getaffinity(0))} cores, {_memory() / 2**30:.0f} GiB",
            f"- Linux {platform.release()}, load before: {load}",
            f"- auditrule {__version__}, Python {platform.python_version()}",
        ]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
