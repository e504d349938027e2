"""The names of this host's users and groups, for a live log that does not carry them."""

from __future__ import annotations

import grp
import pwd
from functools import lru_cache

# Names change seldom; a few thousand ids cover any host, and a directory service behind NSS is
# not asked for each event.
_CACHED = 4096


class Accounts:
    """Looks up names with getpwuid(3) and getgrgid(3), and remembers them until `forget`."""

    def __init__(self) -> None:
        self._user = lru_cache(_CACHED)(_user_name)
        self._group = lru_cache(_CACHED)(_group_name)

    def user(self, uid: int) -> str | None:
        """Return the name of user `uid`, None if there is none."""
        return self._user(uid)

    def group(self, gid: int) -> str | None:
        """Return the name of group `gid`, None if there is none."""
        return self._group(gid)

    def forget(self) -> None:
        """Look all names up anew."""
        self._user.cache_clear()
        self._group.cache_clear()


def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return None
