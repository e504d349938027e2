"""The sandbox of config/auditrule.service without systemd, as far as the kernel gives it to root.

Run as a program it confines itself and then becomes the command that it is given: the system
read-only but for some folders, no network, an empty root's home, /proc of processes only, a
user of its own with one supplementary group, no capability, no new privileges, no memory both
writable and executable, and the unit's filter of system calls and socket families.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import auditrule
from auditrule.resources import config_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE, _PR_CAPBSET_DROP = 38, 65, 24  # linux/prctl.h
_ALLOW, _ERRNO, _EQUAL = 0x7FFF0000, 0x00050000, 4  # seccomp.h


def read_unit(path: Path) -> dict[str, list[str]]:
    """Return the unit's settings, each with its values in order."""
    settings: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def allowed_calls(unit: dict[str, list[str]]) -> set[str]:
    """Return the names of the system calls that SystemCallFilter= allows, systemd.exec(5)."""
    allowed = _expand("@default")
    for value in unit["SystemCallFilter"]:
        names = set().union(*map(_expand, value.removeprefix("~").split()))
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed | _expand("@default")


def _expand(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    members = [line.strip() for line in told.stdout.splitlines()[1:]]
    return set().union(*(_expand(member) for member in members if member[:1] not in ("#", "")))


def confine(unit: Path, uid: int, gid: int, groups: list[int], writable: list[str]) -> None:
    settings = read_unit(unit)
    # What is asked of other programs is asked before they are out of reach.
    enforce = _filter(allowed_calls(settings), settings["RestrictAddressFamilies"][-1].split())
    _mount(writable)
    for capability in range(64):
        _prctl(_PR_CAPBSET_DROP, capability, optional=True)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.umask(int(settings["UMask"][-1], 8))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_MDWE, 1, optional=True)  # Linux 6.3
    enforce()


def _mount(writable: list[str]) -> None:
    """Make all read-only but `writable`, in a mount namespace that is this process's own."""
    for folder in writable:
        _run("mount", "--bind", folder, folder)
    package = Path(auditrule.__file__).parent
    _open_the_way({Path(sys.base_prefix), Path(sys.prefix), package, config_folder()})
    _run("mount", "-o", "remount,bind,ro", "/")
    _run("mount", "-t", "proc", "-o", "subset=pid", "proc", "/proc")


def _open_the_way(needed: set[Path]) -> None:
    """Let folders be found that lie where only root gets to, such as below /root.

    The uppermost folder that is closed is covered by an empty one, in which only they are.
    """
    for top in {top for path in needed if (top := _closed(path)) is not None}:
        below = sorted(path for path in needed if path.is_relative_to(top))
        held = [(path, os.open(path, os.O_PATH)) for path in below]
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(top))
        for path, descriptor in held:
            if not path.exists():
                path.mkdir(parents=True)
                source = f"/proc/self/fd/{descriptor}"
                _run("mount", "--no-canonicalize", "--bind", source, str(path), keep=descriptor)
            os.close(descriptor)


def _closed(path: Path) -> Path | None:
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 1), None)


def _run(*command: str, keep: int | None = None) -> None:
    subprocess.run(command, check=True, pass_fds=[] if keep is None else [keep])


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("unused", ctypes.c_uint64),
    )


def _filter(allowed: set[str], families: list[str]) -> Callable[[], None]:
    """Make a filter with libseccomp, as systemd does; return what puts it into force."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))

    def allow(name: str, comparison: _Comparison | None = None) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Below zero: not one of this architecture's.
        if number >= 0:
            count = comparison is not None
            reference = None if comparison is None else ctypes.byref(comparison)
            failed = library.seccomp_rule_add_array(context, _ALLOW, number, count, reference)
            assert not failed, name

    for name in allowed - {"socket"}:
        allow(name)
    for family in families:
        allow("socket", _Comparison(0, _EQUAL, getattr(socket, family), 0))

    def enforce() -> None:
        failed = library.seccomp_load(context)
        assert not failed, os.strerror(-failed)

    return enforce


def _prctl(option: int, *arguments: int, optional: bool = False) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0 and not optional:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    the_unit, the_uid, the_groups, the_folders, *command = sys.argv[1:]
    confine(
        Path(the_unit),
        int(the_uid),
        int(the_uid),
        [int(group) for group in the_groups.split(",")],
        the_folders.split(","),
    )
    os.execv(command[0], command)
