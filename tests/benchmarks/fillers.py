"""What else a program does on a host that audits files and connections: events of other calls.

The captured logs hold little but execs, forks and exits. These records are made from those of a
program's own captured exec, in the form that the kernel gives to openat, unlinkat and connect; the
records of logins are captured ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.captured import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

_READ = (
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/nsswitch.conf",
    "/usr/lib/locale/locale-archive",
    "/etc/crontab",
    "/usr/share/zoneinfo/Etc/UTC",
    "/proc/self/status",
    "/etc/ssl/certs/ca-certificates.crt",
    "/var/lib/dpkg/status",
    "/srv/www/app/config/settings.yml",
    "/usr/lib/x86_64-linux-gnu/libselinux.so.1",
)
_WRITTEN = (
    ("/var/log/app", "access.log"),
    ("/tmp", "session-4f1c2a.tmp"),
    ("/srv/www/app/cache", "page-00131.html"),
    ("/var/spool/mail", "queue.lock"),
    ("/run/app", "app.pid"),
)
_ADDRESSES = ((10, 0, 3, 17, 5432), (192, 0, 2, 44, 443), (127, 0, 0, 1, 6379), (10, 0, 0, 2, 53))

_CALL = re.compile(rb"syscall=\d+ success=yes exit=\d+ a0=(\S+) a1=\S+ a2=\S+ a3=\S+ items=\d+")
_KEY = re.compile(rb"key=\S+?(?=\x1d)")
_NAME = re.compile(rb"SYSCALL=\w+")


def fillers_of(
    exec_lines: Sequence[Line], session: Sequence[bytes], number: int
) -> list[list[Line]]:
    """Return events of the program whose exec it is, the usual ones more than once.

    `number` varies the files and addresses. The events keep the exec's time and its pids.
    """
    program = _Program(exec_lines)
    events = [
        program.opens(_READ[number % len(_READ)]),
        program.opens(_READ[(number * 3 + 1) % len(_READ)]),
        program.creates(*_WRITTEN[number % len(_WRITTEN)]),
        program.opens(_READ[(number * 5 + 2) % len(_READ)]),
        program.connects(*_ADDRESSES[number % len(_ADDRESSES)]),
        program.opens(_READ[(number * 7 + 3) % len(_READ)]),
        program.removes(*_WRITTEN[number % len(_WRITTEN)]),
        program.connects(*_ADDRESSES[(number + 1) % len(_ADDRESSES)]),
    ]
    if number % 3 == 0:
        events.append(program.logs_in(session))
    return [event for event in events if event]


class _Program:
    def __init__(self, exec_lines: Sequence[Line]) -> None:
        by_type = {line.type: line for line in reversed(exec_lines)}
        self._first = exec_lines[0]
        self._syscall = by_type["SYSCALL"].body
        self._common = [
            (kind, by_type[kind].body) for kind in ("CWD", "PROCTITLE") if kind in by_type
        ]

    def opens(self, path: str) -> list[Line]:
        return self._event(
            257, "openat", 3, b"ffffff9c", b"80000", "files", [_path(0, path, "NORMAL")]
        )

    def creates(self, folder: str, name: str) -> list[Line]:
        paths = [_path(0, f"{folder}/", "PARENT"), _path(1, f"{folder}/{name}", "CREATE")]
        return self._event(257, "openat", 4, b"ffffff9c", b"80241", "files", paths)

    def removes(self, folder: str, name: str) -> list[Line]:
        paths = [_path(0, f"{folder}/", "PARENT"), _path(1, f"{folder}/{name}", "DELETE")]
        return self._event(263, "unlinkat", 0, b"ffffff9c", b"0", "files", paths)

    def connects(self, a: int, b: int, c: int, d: int, port: int) -> list[Line]:
        address = bytes([2, 0, port >> 8, port & 255, a, b, c, d]) + bytes(8)
        meaning = f"saddr_fam=inet laddr={a}.{b}.{c}.{d} lport={port}"
        record = f"saddr={address.hex().upper()}\x1dSADDR={{ {meaning} }}".encode()
        return self._event(42, "connect", 0, b"3", b"10", "network", [("SOCKADDR", record)])

    def logs_in(self, session: Sequence[bytes]) -> list[Line]:
        """Return one event for each record of a login."""
        pid = re.search(rb" (pid=\d+)", self._syscall)
        lines = []
        for number, record in enumerate(session):
            kind, _, body = record.partition(b" ")
            if pid is not None:
                body = re.sub(rb"\Apid=\d+", pid[1], body)
            lines.append(self._line(kind.decode(), body, self._first.serial + number))
        return lines

    def _event(
        self,
        number: int,
        name: str,
        result: int,
        a0: bytes,
        a2: bytes,
        key: str,
        records: Sequence[tuple[str, bytes]],
    ) -> list[Line]:
        items = sum(kind == "PATH" for kind, _ in records)
        call = rb"syscall=%d success=yes exit=%d a0=%b a1=\g<1> a2=%b a3=0 items=%d"
        syscall = _CALL.sub(call % (number, result, a0, a2, items), self._syscall)
        syscall = _KEY.sub(b'key="%b"' % key.encode(), syscall)
        syscall = _NAME.sub(b"SYSCALL=%b" % name.encode(), syscall)
        common = [(kind, body) for kind, body in self._common if items or kind != "CWD"]
        before = [each for each in common if each[0] == "CWD"]
        after = [each for each in common if each[0] != "CWD"]
        return [
            self._line(kind, body, self._first.serial)
            for kind, body in [("SYSCALL", syscall), *before, *records, *after]
        ]

    def _line(self, kind: str, body: bytes, serial: int) -> Line:
        return Line(body, kind, self._first.time_ms, serial, 0)


def _path(item: int, path: str, nametype: str) -> tuple[str, bytes]:
    mode = "040755" if nametype == "PARENT" else "0100644"
    inode = 131_072 + sum(path.encode()) * 7
    body = (
        f'item={item} name="{path}" inode={inode} dev=fe:00 mode={mode} ouid=0 ogid=0 rdev=00:00'
        f" nametype={nametype} cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
        '\x1dOUID="root" OGID="root"'
    )
    return "PATH", body.encode()
