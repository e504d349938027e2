"""The command line."""

from auditrule.cli.app import main

__all__ = ["main"]
