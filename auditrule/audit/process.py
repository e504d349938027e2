"""What an event says of processes: a program started, a process forked, a process ended.

Which program ran is not one field of the log. For a ``#!`` script the kernel runs the interpreter
(``exe=``) with the script as an argument (fs/binfmt_script.c); for a multi-call binary the name
that it was called by decides what it does.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from auditrule.audit.arguments import Arguments, assemble_arguments
from auditrule.audit.syscalls import Deed, clone_flags_argument, deed, syscall_name

if TYPE_CHECKING:
    from auditrule.audit.event import AuditEvent
    from auditrule.audit.record import EventId, Record

_UNSET_ID = 0xFFFFFFFF
_LARGEST_PID = 2**31 - 1
THREAD_FLAG = 0x00010000
"""The flag of clone(2) that makes a thread (CLONE_THREAD, include/uapi/linux/sched.h)."""
_COMM_BYTES = 15
# What the kernel appends to the path of a file that is gone (d_path, fs/d_path.c).
_DELETED = b" (deleted)"
# Programs that do what the name they are called by says, and choose by argv[0].
_MULTI_CALL = (b"busybox", b"toybox", b"coreutils")
# Where nobody but root makes links, and paths with ".." are known to come from.
_OF_ROOT = (b"/bin/", b"/etc/", b"/lib/", b"/sbin/", b"/usr/", b"/var/lib/dpkg/")
# The kernel follows fewer from one script to the next (exec_binprm, fs/exec.c).
_MOST_INTERPRETERS = 8
# A path as the kernel writes it, unless there is something to decode in it.
# As the kernel tells whose process makes a call.
_WHOSE = re.compile(
    rb" arch=[0-9a-f]+ syscall=[0-9]+(?: success=(?:yes|no) exit=-?[0-9]+)?"
    rb" a0=[0-9a-f]+ a1=[0-9a-f]+ a2=[0-9a-f]+ a3=[0-9a-f]+ items=[0-9]+ ppid=[0-9]+ pid=[0-9]+"
    rb"( auid=[0-9]+ uid=[0-9]+ gid=[0-9]+ euid=[0-9]+ suid=[0-9]+ fsuid=[0-9]+ egid=[0-9]+"
    rb" sgid=[0-9]+ fsgid=[0-9]+ tty=[^ \"{\x1d]+ ses=[0-9]+) comm="
)
_QUICK_CALLER = re.compile(
    rb"type=SYSCALL msg=audit\([0-9]{1,11}\.[0-9]{3}:[0-9]{1,18}\): arch=([0-9a-f]{1,8})"
    rb" syscall=([0-9]{1,10}) success=yes exit=[0-9]+"
    rb" a0=[0-9a-f]+ a1=[0-9a-f]+ a2=[0-9a-f]+ a3=[0-9a-f]+ items=[0-9]+ ppid=[0-9]+ pid=[0-9]+"
    rb"( auid=[0-9]+ uid=[0-9]+ gid=[0-9]+ euid=[0-9]+ suid=[0-9]+ fsuid=[0-9]+ egid=[0-9]+"
    rb" sgid=[0-9]+ fsgid=[0-9]+ tty=[^ \"{\x1d]+ ses=[0-9]+)"
    rb" comm=\"([^\"\x1d]*)\" exe=\"([^\"\x1d]*)\"(?=[ \x1d]|\Z)"
)
_PATH = re.compile(rb' item=([0-9]{1,9}) name="([^"]*)" ')
_UP = frozenset({b"", b".", b".."})


class Caller:
    """The process that made a system call, from its SYSCALL record, read as it is asked for.

    `call` is the system call's name where this module knows it.
    """

    def __init__(self, syscall: Record, pid: int, call: str | None) -> None:
        self._syscall = syscall
        self.pid = pid
        self._call = call
        self.exe = syscall.data("exe")
        self.comm = syscall.data("comm")

    @cached_property
    def ppid(self) -> int | None:
        """The parent's pid."""
        return _pid(self._syscall, "ppid")

    def id(self, field: str) -> int | None:
        """Return a user's or group's number by its field (``uid``); None if unset or missing."""
        return _id(self._syscall, field)

    def name(self, field: str) -> str | None:
        """Return what an ENRICHED log says that an id's field (``uid``) means."""
        return self._syscall.interpretation(field.upper())

    @property
    def spelling(self) -> tuple[bytes, bytes] | None:
        """How the record spells whose process it is, and in which session and terminal.

        It is the same for the same, None where the record is not as the kernel writes it.
        """
        said = self._syscall
        match = None if said.is_exhaustive else _WHOSE.match(said.line, said.body_start)
        if match is None:
            return None
        _, separator, enriched = said.line.partition(b"\x1d")
        return match[1], enriched if separator else b""

    @property
    def session(self) -> int | None:
        """The number of the login session."""
        return _id(self._syscall, "ses")

    @property
    def tty(self) -> bytes | None:
        """The terminal, None for none."""
        tty = self._syscall.data("tty")
        return None if tty == b"(none)" else tty

    @property
    def key(self) -> bytes | None:
        """The key of the audit rule."""
        return self._syscall.data("key")

    @property
    def arch(self) -> int | None:
        """The architecture, an AUDIT_ARCH_ constant."""
        return self._syscall.number("arch", 16)

    @property
    def arch_text(self) -> str | None:
        """The architecture's name, or its number as written."""
        return self._syscall.interpretation("ARCH") or self._syscall.text("arch") or None

    @property
    def call(self) -> str | None:
        """The system call's name where it is known."""
        return self._call or self._syscall.interpretation("SYSCALL")

    @property
    def call_text(self) -> str | None:
        """The system call's name, or its number as written."""
        return self.call or self._syscall.text("syscall") or None

    @property
    def exit(self) -> int | None:
        """What the call returned."""
        return self._syscall.number("exit")

    @property
    def registers(self) -> dict[str, str]:
        """The arguments a0 to a3 as written."""
        tokens = ((field, self._syscall.token(field)) for field in ("a0", "a1", "a2", "a3"))
        return {field: token for field, token in tokens if token}


@dataclass(frozen=True, slots=True)
class Exec:
    """A program that started.

    `executable` is the program's path: the script's own for a ``#!`` script, else ``exe=``, and for
    a script too where the log does not tell its path (see `absolute`); `name` is its base name,
    without the mark of a deleted file, or the applet's for a multi-call binary. `truncated` tells
    that the log lacks some of its arguments, or all.
    """

    id: EventId
    caller: Caller
    arguments: Arguments
    directory: bytes | None
    executable: bytes | None
    name: bytes | None
    is_script: bool
    truncated: bool


@dataclass(frozen=True, slots=True)
class Start:
    """A program that started, and that is none of those that somebody asks about."""

    id: EventId
    caller: Caller


@dataclass(frozen=True, slots=True)
class Fork:
    """A process, `caller`, that made another, `child`, in its own image.

    `is_thread` tells that it made a thread and no process, None that the log does not tell
    (clone3's flags lie in memory). Within a pid namespace `child` is the number inside it, as the
    call returned it.
    """

    id: EventId
    caller: Caller
    child: int
    is_thread: bool | None


class QuickCaller(NamedTuple):
    """Who makes a system call that succeeds: see Caller."""

    call: str | None
    spelling: tuple[bytes, bytes]
    comm: bytes
    exe: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """A process that ends, or, with `thread_only`, a thread that may have been its last."""

    id: EventId
    caller: Caller
    thread_only: bool


def quick_caller(line: bytes) -> QuickCaller | None:
    """Return who makes the call that a SYSCALL record tells of; None where it has to be read.

    It takes a fifth of the time of reading it.
    """
    match = _QUICK_CALLER.match(line)
    if match is None:
        return None
    arch, number, whose, comm, exe = match.groups()
    _, _, enriched = line.partition(b"\x1d")
    return QuickCaller(
        syscall_name(int(arch, 16), int(number)),
        (whose, enriched),
        comm,
        exe,
    )


def read_process_event(
    event: AuditEvent, names: frozenset[bytes] | None = None
) -> Exec | Start | Fork | Exit | None:
    """Return what `event` says of processes, None where it says nothing.

    With `names`, which are in lower case, a program is only looked at if its name may be among
    them; of another it is said that it started.

    A failed call is nothing, and so is one whose SYSCALL record is lost. An exec whose EXECVE
    record is lost is one without arguments: a full backlog drops records of events that it has
    let in (audit_log_start, kernel/audit.c), and the program runs all the same.
    """
    syscall = event.first("SYSCALL")
    if syscall is None:
        return None
    executed = event.all("EXECVE")
    arch, number = syscall.number("arch", 16), syscall.number("syscall")
    name = syscall_name(arch, number)
    kind = Deed.EXEC if executed else deed(name)
    if kind is None:
        return None
    if kind in (Deed.EXEC, Deed.FORK) and syscall.token("success") != "yes":
        return None
    caller = _caller(syscall, name)
    if caller is None:
        return None
    if kind is Deed.EXEC:
        if names is not None and not _may_be_called(event, caller, names):
            return Start(event.id, caller)
        return _exec(event, caller, executed)
    if kind is Deed.FORK:
        return _fork(event, caller)
    return Exit(event.id, caller, thread_only=kind is Deed.EXIT_THREAD)


def basename(path: bytes) -> bytes:
    """Return what follows the last slash of `path`."""
    return path.rpartition(b"/")[2]


def absolute(path: bytes, directory: bytes | None) -> bytes | None:
    """Return `path` as an absolute one, seen from `directory`; None where that is not known.

    ``.`` and ``..`` are resolved by their text, as the log does not tell where links lead. That is
    exact at the beginning of a relative path, since `directory` is free of links. Farther on,
    ``a/b/../..`` leaves from wherever a link named b leads to, and who may make that link would
    choose what is read here; so such a path is not known, but where only root makes links. One
    step up, as in ``bin/../lib``, ends where the link stands: the file itself could stand there.
    """
    if not path.startswith(b"/"):
        if directory is None or not directory.startswith(b"/"):
            return None
        steps = path.split(b"/")
        begin = next((at for at, step in enumerate(steps) if step not in _UP), len(steps))
        directory = posixpath.normpath(b"/".join([directory, *steps[:begin]]))
        path = b"/".join([directory, *steps[begin:]])
    if b"/.." in path and not (path.startswith(_OF_ROOT) or _steps_up_once(path)):
        return None
    return b"/" + posixpath.normpath(path).lstrip(b"/")


def _steps_up_once(path: bytes) -> bool:
    """Tell whether no ``..`` of `path` goes further up than the directory before it."""
    below = True
    for step in path.split(b"/"):
        if step == b"..":
            if not below:
                return False
            below = False
        elif step not in (b"", b"."):
            below = True
    return True


def _caller(syscall: Record, name: str | None) -> Caller | None:
    pid = _pid(syscall, "pid")
    return None if pid is None else Caller(syscall, pid, name)


def _id(syscall: Record, name: str) -> int | None:
    value = _count(syscall, name)
    return None if value == _UNSET_ID else value


def _pid(syscall: Record, name: str) -> int | None:
    value = _count(syscall, name)
    return None if value is None or value > _LARGEST_PID else value


def _count(syscall: Record, name: str) -> int | None:
    value = syscall.number(name)
    # Old kernels write an unset id as -1; no pid is negative.
    return None if value is None or value < 0 else value


def _exec(event: AuditEvent, caller: Caller, executed: tuple[Record, ...]) -> Exec:
    arguments = assemble_arguments(executed)
    directory_record = event.first("CWD")
    directory = None if directory_record is None else directory_record.data("cwd")
    paths = {
        item: record.data("name")
        for record in event.all("PATH")
        if (item := record.number("item")) is not None
    }
    script = _script(paths, arguments.values)
    is_script = script is not None
    executable = absolute(script, directory) if script is not None else None
    if executable is None:
        executable = caller.exe
    return Exec(
        id=event.id,
        caller=caller,
        arguments=arguments,
        directory=directory,
        executable=executable,
        name=basename(script) if script is not None else _program_name(caller, arguments.values),
        is_script=is_script,
        truncated=arguments.truncated,
    )


def _script(paths: dict[int, bytes | None], arguments: tuple[bytes, ...]) -> bytes | None:
    """Return the path of the script that ran, as it was given, None where none did.

    For a script the kernel opens the script (PATH item 0), then its interpreter (item 1, and on,
    if that is a script too), and makes the interpreter's path argv[0] and the script's an argument
    behind it. A program may be given such an argv without being a script, which is why the paths
    are asked, too. The loader of a dynamic ELF program is a path like an interpreter's: it never
    stands for one, and where the kernel tells no names (2.6.32), the last path is taken for it.
    """
    script = paths.get(0)
    if script is None:
        return None
    for depth in range(1, min(len(paths), _MOST_INTERPRETERS + 1)):
        interpreter = paths.get(depth)
        if interpreter is None:
            may_be = depth + 1 in paths
        else:
            may_be = arguments[:1] == (interpreter,) and not _is_loader(interpreter)
        if may_be and script in arguments[1 : 2 * depth + 1]:
            return script
    return None


def _is_loader(path: bytes) -> bool:
    """Tell whether `path` is an ELF loader's, which a dynamic program has as its interpreter."""
    name = basename(path)
    if name.startswith((b"ld.so", b"ld64.so", b"ld-musl-")):
        return True
    return name.startswith((b"ld-", b"ld.")) and b".so" in name


def _program_name(caller: Caller, arguments: tuple[bytes, ...]) -> bytes | None:
    if caller.exe is None:
        return None
    name = basename(caller.exe).removesuffix(_DELETED) or None
    if name is None:
        return None
    if name.startswith(_MULTI_CALL) and arguments:
        # A login shell's argv[0] begins with a dash.
        applet = basename(arguments[0]).removeprefix(b"-")
        return applet or name
    return name


def may_be_called(exe: bytes, names: frozenset[bytes]) -> bool:
    """Tell whether a program whose file is `exe` may have a name of `names`, in lower case."""
    name = basename(exe).removesuffix(_DELETED)
    return name.startswith(_MULTI_CALL) or name.lower() in names


def _may_be_called(event: AuditEvent, caller: Caller, names: frozenset[bytes]) -> bool:
    """Tell whether the name that _exec() would find may be one of `names`, whatever its case."""
    if caller.exe is None:
        return True
    if may_be_called(caller.exe, names):
        return True
    # Should it be a script, the first path is its name.
    for record in event.records:
        if record.type != "PATH":
            continue
        match = None
        if not record.is_exhaustive:
            match = _PATH.match(record.line, record.body_start)
        item = record.number("item") if match is None else int(match[1])
        if item == 0:
            path = record.data("name") if match is None else match[2]
            if path is not None and basename(path).lower() in names:
                return True
    return False


def _fork(event: AuditEvent, caller: Caller) -> Fork | None:
    child = caller.exit
    if child is None or child <= 0:
        return None
    return Fork(event.id, caller, child, _is_thread(caller))


def _is_thread(caller: Caller) -> bool | None:
    if caller.call == "clone3":
        return None
    if caller.call != "clone":
        return False
    try:
        flags = int(caller.registers[clone_flags_argument(caller.arch)], 16)
    except (KeyError, ValueError):
        return None
    return bool(flags & THREAD_FLAG)
