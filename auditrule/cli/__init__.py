"""The command line."""

from auditrule.cli.starting import begin

begin()

from auditrule.cli.app import main  # noqa: E402 - after the beginning

__all__ = ["main"]
