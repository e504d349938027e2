"""The daemon: a live log followed without loss, its state kept, its health told."""

from auditrule.daemon.loop import Daemon

__all__ = ["Daemon"]
