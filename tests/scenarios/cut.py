"""Cut a scenario's events out of a log, and check that they are what the scenario meant to do.

Bytes in, bytes out. It is deliberately not auditrule's own parser, which these logs are to test.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from scenarios.model import Alert, Mode, Scenario, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenarios.stage import Session

_STAMP = re.compile(rb" msg=audit\(([0-9.]+:[0-9]+)\):")
_PID = re.compile(rb" pid=([0-9]+) ")
_PPID = re.compile(rb" ppid=([0-9]+) ")
_PIECE = re.compile(rb' a([0-9]+)(?:\[[0-9]+\])?=(?:"([^"\n]*)"|([0-9A-F]+))(?= |\n|$)')
_PLACES = (
    b"/etc/init.d/ /etc/update-motd.d/ /etc/apt/apt.conf.d/ /etc/cron /etc/init/ "
    b"/etc/xdg/autostart/ /root/.config/autostart/ /root/.local/share/autostart/ "
    b"/root/.config/autostart-scripts/ /usr/share/autostart/ /lib/udev/ /etc/udev/rules.d/ "
    b"/usr/lib/udev/rules.d/ /run/udev/rules.d/"
).split()
_FILES = (b"/etc/rc.local", b"/etc/rc.common", b"/etc/rc.d/rc.local")
_HOMES = re.compile(
    rb"/home/.*/(\.config/autostart|\.local/share/autostart|\.config/autostart-scripts)/.*",
    re.DOTALL,
)


def cut(log: bytes, sessions: Iterable[Session], types: tuple[bytes, ...] = ()) -> bytes:
    """Return the whole events of the sessions, in their order and bytes, without the login shells.

    Records of the given types (`DAEMON_START`, …) are kept too, with the rest of their events.
    """
    wanted: set[bytes] = set()
    for session in sessions:
        wanted |= _events_of(log, session)
    starts = tuple(b"type=" + name + b" " for name in types)
    for line in _lines(log):
        if starts and line.startswith(starts) and (stamp := _STAMP.search(line)):
            wanted.add(stamp[1])
    return b"".join(
        line for line in _lines(log) if (stamp := _STAMP.search(line)) and stamp[1] in wanted
    )


def _events_of(log: bytes, session: Session) -> set[bytes]:
    ours: set[bytes] = set()
    login: set[bytes] = set()
    tree = {b"%d" % session.login_pid}
    for line in _lines(log):
        stamp = _STAMP.search(line)
        head = line.partition(b"\x1d")[0]
        pid = _PID.search(head)
        if stamp is None or pid is None:
            continue
        ppid = _PPID.search(head)
        if ppid is not None and ppid[1] in tree:
            tree.add(pid[1])
        if pid[1] == b"%d" % session.login_pid:
            login.add(stamp[1])
        elif session.number is None:
            if pid[1] in tree:
                ours.add(stamp[1])
        elif b" ses=%d " % session.number in head:
            ours.add(stamp[1])
    return ours - login


def check(scenario: Scenario, mode: Mode, log: bytes) -> list[str]:
    """Return what the log does not bear out: commands not in it, or that nobody expected."""
    expected: Counter[tuple[bytes, ...]] = Counter()
    known: Counter[tuple[bytes, ...]] = Counter()
    for outcome in scenario.outcomes():
        undecidable = isinstance(outcome, Alert) and mode in outcome.undecidable
        if mode not in outcome.modes and not undecidable:
            continue
        known[outcome.args] += 1
        if isinstance(outcome, Alert) or outcome.starts:
            expected[outcome.args] += 1
    started = Counter(args for _, args in _execs(log))
    matching = Counter(args for name, args in _execs(log) if _arguments_match(name, args))
    return [
        *(f"not in the log: {_shown(args)}" for args in expected - started),
        *(f"not expected: {_shown(args)}" for args in matching - known),
    ]


def _lines(log: bytes) -> Iterator[bytes]:
    for line in log.split(b"\n"):
        if line:
            yield line + b"\n"


def _shown(args: Iterable[bytes]) -> str:
    return " ".join(repr(escape(argument)) for argument in args)[:300]


def _execs(log: bytes) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    events: dict[bytes, list[bytes]] = {}
    for line in _lines(log):
        stamp = _STAMP.search(line)
        if stamp is not None:
            events.setdefault(stamp[1], []).append(line.partition(b"\x1d")[0])
    for lines in events.values():
        call = next((line for line in lines if line.startswith(b"type=SYSCALL ")), b"")
        pieces = b"".join(
            line[line.index(b"): ") + 2 :].rstrip(b"\n")
            for line in lines
            if line.startswith(b"type=EXECVE ")
        )
        if pieces and b" success=yes " in call:
            arguments: dict[int, bytes] = {}
            for number, quoted, bare in _PIECE.findall(pieces):
                value = bytes.fromhex(bare.decode()) if bare else quoted
                arguments[int(number)] = arguments.get(int(number), b"") + value
            yield _program(call), tuple(arguments[key] for key in sorted(arguments))


def _program(call: bytes) -> bytes:
    exe, comm = (
        match[1] if (match := re.search(rb' %s="([^"]*)"' % field, call)) else b""
        for field in (b"exe", b"comm")
    )
    name = PurePosixPath(exe.decode("utf-8", "replace")).name.encode()
    return comm if name == b"busybox" else name


def _arguments_match(name: bytes, args: tuple[bytes, ...]) -> bool:
    lower = [argument.lower() for argument in args]
    place = any(
        argument in _FILES or argument.startswith(tuple(_PLACES)) or _HOMES.fullmatch(argument)
        for argument in lower
    )
    digit = any(argument.startswith((b"1", b"3", b"5", b"7")) for argument in lower)
    if name == b"chmod":
        return place and (digit or any(argument.startswith(b"+x") for argument in lower))
    if name == b"install":
        return place and digit and any(argument.startswith(b"-m") for argument in lower)
    return False
