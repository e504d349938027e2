"""Who else could change what the daemon trusts: its settings, its rules, the folders they lie in.

The idea is that of sshd's StrictModes: whoever may write to a file, or to a folder on the way to it
and so replace it, decides what the daemon does. Only root and the daemon's own user may. As every
folder from / on is looked at, what is found safe cannot become unsafe between the look and the use.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
import struct
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule.alerts.model import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = 0
_MOST_LINKS = 40  # path_resolution(7)

# The value of the attribute: a version, then for each entry its tag, permissions and id; see
# include/uapi/linux/posix_acl_xattr.h and posix_acl.h of the kernel.
_ACL = "system.posix_acl_access"
_ACL_VERSION = 2
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_USER, _ACL_OWNING_GROUP, _ACL_GROUP, _ACL_MASK = 0x02, 0x04, 0x08, 0x10
_ACL_WRITE = 2


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A file or folder that others can change; str() says who, and what to do about it.

    who: in words. fix: a shell command that takes the right away.
    """

    path: Path
    mode: int
    owner: str
    group: str
    who: str
    fix: str

    def __str__(self) -> str:
        return (
            f"{printable(str(self.path))} (mode {self.mode:04o}, {self.owner}:{self.group}) can be "
            f"changed by {self.who}; to mend it: {self.fix}"
        )


def unsafe_paths(paths: Iterable[Path], *, uid: int | None = None) -> list[Unsafe]:
    """Return what others than root and user `uid` (the process's own) can change, each once.

    Of each path that is: the file itself; for a folder, all below it but what is hidden (the
    rules' loader passes that over too); and every folder on the way, symbolic links followed. In
    a sticky folder such as /tmp, only the owner of a file can replace it, so what root or the
    daemon's user owns there is safe, but the folder itself is no place for rules. What is
    missing or cannot be reached is left out: whoever wants to read it will say so.
    """
    judge = _Judge({_ROOT, os.geteuid() if uid is None else uid})
    found: dict[str, Unsafe] = {}
    for path in paths:
        for place, status, holds in _looked_at(path):
            if place not in found and (problem := judge.judge(place, status, holds)):
                found[place] = problem
    return list(found.values())


def needless_root(log: Path, *, uid: int | None = None) -> str | None:
    """Return a warning where root's rights are not needed to read `log`, None if they are."""
    if (os.geteuid() if uid is None else uid) != _ROOT:
        return None
    try:
        status = log.stat()
        folders = [folder.stat() for folder in log.resolve().parents]
    except OSError:
        return None
    group = status.st_gid
    if status.st_mode & stat.S_IROTH:
        who = "anybody"
    elif group != _ROOT and status.st_mode & stat.S_IRGRP:
        who = f"group {_group_name(group)}"
    else:
        return None
    if not all(_lets_through(folder, group) for folder in folders):
        return None
    return (
        f"running as root, which reading {printable(str(log))} does not need: {who} may read it; "
        "better is a user of its own, as config/auditrule.service has it"
    )


def denied_by(log: Path) -> str | None:
    """Say what keeps this process from reading `log`, and what would mend it; None if nothing."""
    try:
        for place, status in _way(log.absolute()):
            needed = os.X_OK if stat.S_ISDIR(status.st_mode) else os.R_OK
            if not stat.S_ISLNK(status.st_mode) and not os.access(place, needed):
                owner, group = _user_name(status.st_uid), _group_name(status.st_gid)
                return (
                    f"{printable(place)} is {owner}:{group}'s with mode "
                    f"{stat.S_IMODE(status.st_mode):04o}; auditd gives the log to log_group of "
                    "/etc/audit/auditd.conf, which the daemon's user must be in"
                )
    except OSError:
        pass
    return None


def _lets_through(folder: os.stat_result, group: int) -> bool:
    bit = stat.S_IXGRP if folder.st_gid == group else stat.S_IXOTH
    return bool(folder.st_mode & bit)


def _looked_at(path: Path) -> Iterator[tuple[str, os.stat_result, os.stat_result | None]]:
    """Yield all that decides what is read at `path`: its place, its status, what comes after it.

    The last is the status of what lies in a folder on the way, None for what is read as a whole.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [path]
    while waiting:
        path = waiting.pop()
        try:
            way = list(_way(path))
        except OSError:
            continue
        for (place, status), (_, held) in pairwise(way):
            yield place, status, held
        place, status = way[-1]
        if (status.st_dev, status.st_ino) in seen or stat.S_ISLNK(status.st_mode):
            continue
        seen.add((status.st_dev, status.st_ino))
        yield place, status, None
        if stat.S_ISDIR(status.st_mode):
            waiting.extend(_visible(place))


def _visible(folder: str) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    return [Path(folder, name) for name in names if not name.startswith(".")]


def _way(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each folder and link from / on that leads to `path`, and last what is there.

    Raises OSError as opening it would.
    """
    rest = deque(Path.cwd().joinpath(path).parts)
    here, links = "/", 0
    while rest:
        part = rest.popleft()
        if part == "/":
            here = "/"
        elif part == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - links are resolved already
        else:
            step = os.path.join(here, part)  # noqa: PTH118
            status = os.lstat(step)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
                yield step, status
                rest.extendleft(reversed(Path(os.readlink(step)).parts))  # noqa: PTH115
                # The folder that a relative target starts from holds what comes next, again.
                if not rest or rest[0] != "/":
                    yield here, os.lstat(here)
                continue
            here = step
        yield here, os.lstat(here)


class _Judge:
    """Tells who else may write, where `trusted` are the user ids that may."""

    def __init__(self, trusted: set[int]) -> None:
        self._trusted = trusted
        self._private_groups = _private_groups(trusted)

    def judge(
        self, place: str, status: os.stat_result, holds: os.stat_result | None
    ) -> Unsafe | None:
        """Return what is wrong with `place`; on the way to something, `holds` is its status."""
        mode = status.st_mode
        quoted = shlex.quote(printable(place))
        if stat.S_ISLNK(mode) or stat.S_ISCHR(mode):
            # A link has no rights of its own: who may replace it, the folder says. What is written
            # to a device such as /dev/null is not what is read from it.
            return None
        if status.st_uid not in self._trusted:
            owner = _user_name(status.st_uid)
            return _unsafe(place, status, f"its owner {owner}", f"chown root {quoted}")
        if holds is not None and mode & stat.S_ISVTX and holds.st_uid in self._trusted:
            return None
        if mode & stat.S_IWOTH:
            return _unsafe(place, status, "everybody", f"chmod go-w {quoted}")
        if mode & stat.S_IWGRP and (who := self._group_writer(place, status)):
            return _unsafe(place, status, who, f"chmod g-w {quoted}")
        return None

    def _group_writer(self, place: str, status: os.stat_result) -> str | None:
        """Name whom the group's write bit lets write, None if it is nobody else.

        Where there is an ACL, the bit is its mask, the most that its entries may give, acl(5).
        """
        entries = _acl(place)
        if entries is None:
            return self._stranger_in(status.st_gid)
        for tag, permissions, identity in entries:
            if not permissions & _ACL_WRITE:
                continue
            if tag == _ACL_USER and identity not in self._trusted:
                return f"user {_user_name(identity)}, by its ACL"
            if tag == _ACL_GROUP and (who := self._stranger_in(identity)):
                return f"{who}, by its ACL"
            if tag == _ACL_OWNING_GROUP and (who := self._stranger_in(status.st_gid)):
                return who
        return None

    def _stranger_in(self, group: int) -> str | None:
        return None if group in self._private_groups else f"group {_group_name(group)}"


def _private_groups(trusted: set[int]) -> set[int]:
    """Return the primary groups of the trusted users that nobody else is in.

    Many distributions give each user such a group, and a umask that lets it write.
    """
    names = set()
    groups = set()
    for uid in trusted:
        try:
            account = pwd.getpwuid(uid)
        except KeyError:
            continue
        names.add(account.pw_name)
        groups.add(account.pw_gid)
    others = {account.pw_gid for account in pwd.getpwall() if account.pw_uid not in trusted}
    return {group for group in groups - others if _members(group) <= names}


def _members(group: int) -> set[str]:
    try:
        return set(grp.getgrgid(group).gr_mem)
    except KeyError:
        return set()


def _acl(place: str) -> list[tuple[int, int, int]] | None:
    """Return tag, permissions and id of each entry of an ACL but its mask; None without an ACL."""
    try:
        value = os.getxattr(place, _ACL)
    except OSError:
        return None
    if len(value) % _ACL_ENTRY.size != 4 or int.from_bytes(value[:4], "little") != _ACL_VERSION:
        return None
    return [entry for entry in _ACL_ENTRY.iter_unpack(value[4:]) if entry[0] != _ACL_MASK]


def _unsafe(place: str, status: os.stat_result, who: str, fix: str) -> Unsafe:
    return Unsafe(
        path=Path(place),
        mode=stat.S_IMODE(status.st_mode),
        owner=_user_name(status.st_uid),
        group=_group_name(status.st_gid),
        who=who,
        fix=fix,
    )


def _user_name(uid: int) -> str:
    try:
        return printable(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return printable(grp.getgrgid(gid).gr_name)
    except KeyError:
        return str(gid)
