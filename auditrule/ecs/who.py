"""Whose a process is: its users and groups, its session and its terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from auditrule.audit.text import decode_text
from auditrule.ecs.document import present
from auditrule.ecs.process import Owner
from auditrule.ecs.recorded import text

if TYPE_CHECKING:
    from auditrule.audit.process import Caller

_MOST_KNOWN = 1000
# Major numbers of terminals, and the minor of the first (Documentation/admin-guide/devices.txt).
_TERMINALS = ((re.compile(r"ttyS(\d{1,3})\Z"), 4, 64), (re.compile(r"tty(\d{1,2})\Z"), 4, 0))
_PTS = re.compile(r"pts(\d{1,7})\Z")
_PTS_MAJOR, _PTS_PER_MAJOR = 136, 256


class Names(Protocol):
    """Whoever can tell the names of a live host's users and groups."""

    def user(self, uid: int) -> str | None:
        """Return the name of user `uid`."""

    def group(self, gid: int) -> str | None:
        """Return the name of group `gid`."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whose a process is: what documents say of its users, its session and its terminal.

    Nobody changes these: they are parts of many documents.
    """

    owner: Owner
    process: dict[str, Any]
    user: dict[str, Any] | None
    group: dict[str, Any] | None
    login: dict[str, Any] | None
    session: str | None
    tty: str | None
    related: tuple[str, ...]


class WhoReader:
    """Reads whose processes are from the records of their calls, each spelling once.

    Names come from an ENRICHED log, else from `names`.
    """

    def __init__(self, names: Names | None = None) -> None:
        self._names = names
        # Few users run all programs.
        self._known: dict[tuple[bytes, bytes], Who] = {}
        self.lookups = 0
        """How often names were asked for that the log did not tell."""

    def known(self, spelling: tuple[bytes, bytes]) -> Who | None:
        """Return whose a process is that spells it so (Caller.spelling), if it came before."""
        return self._known.get(spelling)

    def read(self, caller: Caller) -> Who:
        """Return whose process it is."""
        spelling = caller.spelling
        if spelling is not None and (known := self._known.get(spelling)) is not None:
            return known
        lookups = self.lookups
        who = self._read(caller)
        # The host's own names of users may change; those of the record do not.
        if spelling is not None and lookups == self.lookups and len(self._known) < _MOST_KNOWN:
            self._known[spelling] = who
        return who

    def _read(self, caller: Caller) -> Who:
        real_user, real_group = self._user(caller, "uid"), self._group(caller, "gid")
        user, group = self._user(caller, "euid"), self._group(caller, "egid")
        saved_user, saved_group = self._user(caller, "suid"), self._group(caller, "sgid")
        login, tty, session = self._user(caller, "auid"), caller.tty, caller.session
        return Who(
            owner=Owner(
                user_id=caller.id("euid"),
                user_name=None if user is None else user.get("name"),
                group_id=caller.id("egid"),
                group_name=None if group is None else group.get("name"),
                interactive=tty is not None,
            ),
            process=present(
                {
                    "interactive": tty is not None,
                    "user": user,
                    "group": group,
                    "tty": _tty(tty),
                    "real_user": real_user,
                    "saved_user": saved_user,
                    "real_group": real_group,
                    "saved_group": saved_group,
                }
            ),
            user=_acting(user, real_user),
            group=_acting(group, real_group),
            login=None if login is None else {"audit": login},
            session=None if session is None else str(session),
            tty=text(tty),
            related=_names_of(login, real_user, user, saved_user),
        )

    def _user(self, caller: Caller, field: str) -> dict[str, Any] | None:
        uid = caller.id(field)
        if uid is None:
            return None
        return account(uid, self._user_name(uid, caller.name(field)))

    def _group(self, caller: Caller, field: str) -> dict[str, Any] | None:
        gid = caller.id(field)
        if gid is None:
            return None
        return account(gid, self._group_name(gid, caller.name(field)))

    def _user_name(self, uid: int | None, said: str | None) -> str | None:
        if said is not None or uid is None or self._names is None:
            return said
        self.lookups += 1
        return self._names.user(uid)

    def _group_name(self, gid: int | None, said: str | None) -> str | None:
        if said is not None or gid is None or self._names is None:
            return said
        self.lookups += 1
        return self._names.group(gid)


def account(number: int | None, name: str | None) -> dict[str, Any] | None:
    """Return a user or a group as a document has it; None where it is not known."""
    if number is None:
        return None
    return {"id": str(number)} if name is None else {"id": str(number), "name": name}


def _acting(effective: dict[str, Any] | None, real: dict[str, Any] | None) -> dict[str, Any] | None:
    if effective is None or real is None:
        return effective
    return {**effective, "Ext": {"real": real}}


def _tty(tty: bytes | None) -> dict[str, Any] | None:
    """Return a terminal's device numbers, which its name tells for the usual kinds."""
    if tty is None:
        return None
    name = decode_text(tty)
    if match := _PTS.match(name):
        slave = int(match[1])
        major, minor = _PTS_MAJOR + slave // _PTS_PER_MAJOR, slave % _PTS_PER_MAJOR
        return {"char_device": {"major": major, "minor": minor}}
    for pattern, major, first in _TERMINALS:
        if match := pattern.match(name):
            return {"char_device": {"major": major, "minor": first + int(match[1])}}
    return None


def _names_of(*users: dict[str, Any] | None) -> tuple[str, ...]:
    names = {user["name"] for user in users if user is not None and "name" in user}
    return tuple(sorted(names))
