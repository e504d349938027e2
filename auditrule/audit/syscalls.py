"""The system calls that make, change and end processes, on each architecture.

Sources: the architectures' syscall tables (arch/*/…/syscall*.tbl and
include/uapi/asm-generic/unistd.h) and the AUDIT_ARCH_* constants (include/uapi/linux/audit.h).
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Deed(Enum):
    """What a system call does to processes."""

    EXEC = "exec"
    FORK = "fork"
    EXIT_THREAD = "exit"
    EXIT = "exit_group"


_DEEDS = {
    "execve": Deed.EXEC,
    "execveat": Deed.EXEC,
    "clone": Deed.FORK,
    "clone3": Deed.FORK,
    "fork": Deed.FORK,
    "vfork": Deed.FORK,
    "exit": Deed.EXIT_THREAD,
    "exit_group": Deed.EXIT,
}

_X32_BIT = 0x40000000
_X86_64 = 0xC000003E
_GENERIC = {
    93: "exit",
    94: "exit_group",
    220: "clone",
    221: "execve",
    281: "execveat",
    435: "clone3",
}
_CLASSIC = {1: "exit", 2: "fork", 11: "execve", 120: "clone", 435: "clone3"}
_S390 = _CLASSIC | {190: "vfork", 248: "exit_group", 354: "execveat"}
_POWER = _CLASSIC | {189: "vfork", 234: "exit_group", 362: "execveat"}
_NAMES: dict[int, dict[int, str]] = {
    _X86_64: {
        56: "clone",
        57: "fork",
        58: "vfork",
        59: "execve",
        60: "exit",
        231: "exit_group",
        322: "execveat",
        435: "clone3",
        _X32_BIT | 56: "clone",
        _X32_BIT | 57: "fork",
        _X32_BIT | 58: "vfork",
        _X32_BIT | 60: "exit",
        _X32_BIT | 231: "exit_group",
        _X32_BIT | 435: "clone3",
        _X32_BIT | 520: "execve",
        _X32_BIT | 545: "execveat",
    },
    0x40000003: _CLASSIC | {190: "vfork", 252: "exit_group", 358: "execveat"},  # i386
    0x40000028: _CLASSIC | {190: "vfork", 248: "exit_group", 387: "execveat"},  # arm
    0xC00000B7: _GENERIC,  # aarch64
    0xC00000F3: _GENERIC,  # riscv64
    0xC0000102: _GENERIC,  # loongarch64
    0x80000015: _POWER,  # ppc64
    0xC0000015: _POWER,  # ppc64le
    0x80000016: _S390,  # s390x
}
_S390X = 0x80000016


def syscall_name(arch: int | None, number: int | None) -> str | None:
    """Return the name of a system call of this module, None for any other."""
    if arch is None or number is None:
        return None
    return _NAMES.get(arch, {}).get(number)


def deed(name: str | None) -> Deed | None:
    """Return what the system call `name` does to processes, None for any other call."""
    return None if name is None else _DEEDS.get(name)


def is_known(arch: int | None) -> bool:
    """Tell whether this module knows the system calls of `arch`."""
    return arch in _NAMES


def calls_of(arch: int) -> Mapping[int, str]:
    """Return this module's system calls by their numbers on `arch`; none if it is not known."""
    return MappingProxyType(_NAMES.get(arch, {}))


def clone_flags_argument(arch: int | None) -> str:
    """Return the field that holds clone(2)'s flags; s390 swaps the first two arguments."""
    return "a1" if arch == _S390X else "a0"
