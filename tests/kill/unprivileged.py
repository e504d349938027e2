"""`auditrule` as another user: `python -P unprivileged.py USER GROUP[,GROUP]... ARGUMENTS`.

All of the program is loaded first, since the user may have no access to where it lies. From then
on the process is that of a user with those groups and no others, and no capability (setuid(2)).
"""

from __future__ import annotations

import codecs
import importlib
import os
import pkgutil
import pwd
import sys

import auditrule
from auditrule.cli import main


def become(user: str, groups: list[int]) -> None:
    """Be `user`, with the user's own group and `groups`."""
    entry = pwd.getpwnam(user)
    os.chdir("/")
    os.setgroups(groups)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    for module in pkgutil.walk_packages(auditrule.__path__, "auditrule."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for encoding in ("ascii", "latin-1", "utf-8"):
        codecs.lookup(encoding)
    become(sys.argv[1], [int(number) for number in sys.argv[2].split(",") if number])
    sys.argv[1:] = sys.argv[3:]
    main()
