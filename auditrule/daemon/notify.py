"""Telling systemd how the service is doing: sd_notify(3) and sd_watchdog_enabled(3).

Written here because the packages for it do not fit: sdnotify had its last release in 2017 and
knows no watchdog, systemd-python and cysystemd are built against libsystemd's headers.

Nothing here raises, and nothing happens where systemd did not ask to be told (NOTIFY_SOCKET is not
set). Each function tells whether its message went out.
"""

from __future__ import annotations

import os
import socket
import time

from auditrule.alerts.model import printable

# The service manager reads at once; where it does not, the daemon has better things to do.
_PATIENCE = 1.0
_STATUS_LENGTH = 500


def ready(status: str | None = None) -> bool:
    """Say that starting, or reloading, is done; with `status` in the same message."""
    lines = ["READY=1"]
    if status is not None:
        lines.append(_status_line(status))
    return _send(*lines)


def reloading() -> bool:
    """Say that a reload has begun; `ready` must follow."""
    # Type=notify-reload matches the message with its signal by this time (systemd 253 and later).
    return _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> bool:
    """Say that the daemon is on its way out."""
    return _send("STOPPING=1")


def status(text: str) -> bool:
    """Set the line that `systemctl status` shows; `text` may hold anything."""
    return _send(_status_line(text))


def watchdog() -> bool:
    """Say that the daemon is not hanging; due every `watchdog_interval()` seconds."""
    return _send("WATCHDOG=1")


def watchdog_interval() -> float | None:
    """Return the seconds between two calls of `watchdog`: half of what systemd allows.

    None where no watchdog watches this process (sd_watchdog_enabled(3)).
    """
    pid = os.environ.get("WATCHDOG_PID")
    try:
        microseconds = int(os.environ["WATCHDOG_USEC"])
        if microseconds <= 0 or (pid is not None and int(pid) != os.getpid()):
            return None
    except (KeyError, ValueError):
        return None
    return microseconds / 2_000_000


def _status_line(text: str) -> str:
    """Return `text` as one assignment: a newline in it would begin another, such as MAINPID=."""
    return f"STATUS={printable(text[:_STATUS_LENGTH])}"


def _send(*lines: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    # "@" stands for the NUL byte of an abstract socket's name, unix(7).
    name = os.fsencode(address)
    if name.startswith(b"@"):
        name = b"\0" + name[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE)
            channel.sendto("\n".join(lines).encode(), name)
    except OSError:
        return False
    return True
