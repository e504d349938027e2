"""A log that only a group may read, and the daemon as a user of that group."""

from __future__ import annotations

import grp
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kill.subject import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "nobody"
GROUP = "adm"
_SCRIPT = Path(__file__).with_name("unprivileged.py")


class NotRootError(Exception):
    """Only root can become somebody else."""


def gid() -> int:
    """Return the number of the log's group."""
    return grp.getgrnam(GROUP).gr_gid


def unprivileged(*groups: int) -> list[str]:
    """Return the command of `auditrule` as a user of these groups."""
    return [sys.executable, "-P", str(_SCRIPT), USER, ",".join(map(str, groups))]


@contextmanager
def guarded_folder() -> Iterator[Folder]:
    """Give a folder with a log as Debian's auditd has it: root's, readable to the group adm.

    State and alerts are the unprivileged user's. Raises NotRootError.
    """
    if os.geteuid() != 0:
        raise NotRootError("only root can become somebody else")
    # pytest's own folders are not for other users.
    path = Path(tempfile.mkdtemp(prefix="auditrule-", dir="/tmp"))
    try:
        path.chmod(0o755)
        folder = Folder(path)
        folder.configure()
        folder.log.touch()
        for guarded, mode in ((folder.log.parent, 0o750), (folder.log, 0o640)):
            guarded.chmod(mode)
            shutil.chown(guarded, "root", GROUP)
        folder.state.mkdir()
        for own in (folder.state, folder.alerts.parent):
            own.chmod(0o700)
            shutil.chown(own, USER)
        yield folder
    finally:
        shutil.rmtree(path)
