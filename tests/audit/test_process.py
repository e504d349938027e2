"""Which program an event started, and who forked or ended."""

import re

import pytest
from kernel_format import ExecOnKernel

from auditrule.audit.event import AuditEvent
from auditrule.audit.process import Exec, Exit, Fork, Start, absolute, read_process_event
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record

LOADER = b"/lib64/ld-linux-x86-64.so.2"


def event_of(lines: list[bytes]) -> AuditEvent:
    reassembler = Reassembler()
    events = [event for line in lines for event in reassembler.push(Record.parse(line))]
    (event,) = events + reassembler.flush()
    return event


def exec_of(deed: ExecOnKernel) -> Exec:
    found = read_process_event(event_of(deed.lines()))
    assert isinstance(found, Exec)
    return found


def call(body: str) -> Exec | Start | Fork | Exit | None:
    line = f"type=SYSCALL msg=audit(1.000:1): {body}".encode()
    return read_process_event(event_of([line, b"type=PROCTITLE msg=audit(1.000:1): proctitle=00"]))


def test_a_program_is_its_exe() -> None:
    found = exec_of(ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"]))
    assert (found.executable, found.name) == (b"/usr/bin/chmod", b"chmod")
    assert found.arguments.values == (b"chmod", b"+x", b"/etc/rc.local")
    assert (found.caller.pid, found.caller.ppid, found.directory) == (200, 100, b"/root")
    assert not found.is_script
    assert not found.truncated


def test_the_name_of_a_deleted_program_is_what_it_was() -> None:
    found = exec_of(
        ExecOnKernel([b"x", b"+x"], exe=b"/srv/chmod (deleted)", comm=b"3", paths=[b""])
    )
    assert (found.executable, found.name) == (b"/srv/chmod (deleted)", b"chmod")


def test_a_program_reached_through_a_link_is_what_the_link_leads_to() -> None:
    found = exec_of(
        ExecOnKernel([b"awk"], exe=b"/usr/bin/mawk", comm=b"awk", paths=[b"/usr/bin/awk", LOADER])
    )
    assert (found.executable, found.name) == (b"/usr/bin/mawk", b"mawk")


@pytest.mark.parametrize(
    ("arguments", "paths", "expected"),
    [
        ([b"/bin/sh", b"/opt/x.sh", b"a"], [b"/opt/x.sh", b"/bin/sh", LOADER], b"/opt/x.sh"),
        ([b"/bin/sh", b"./x.sh"], [b"./x.sh", b"/bin/sh", LOADER], b"/srv/x.sh"),
        ([b"/bin/sh", b"../a/x.sh"], [b"../a/x.sh", b"/bin/sh", LOADER], b"/a/x.sh"),
        ([b"/bin/sh", b"-e", b"x.sh"], [b"x.sh", b"/bin/sh", LOADER], b"/srv/x.sh"),
        ([b"/bin/sh", b"x.sh"], [b"x.sh", b"/bin/sh"], b"/srv/x.sh"),
        (
            [b"/bin/sh", b"/opt/inner", b"-v", b"/opt/outer"],
            [b"/opt/outer", b"/opt/inner", b"/bin/sh", LOADER],
            b"/opt/outer",
        ),
    ],
)
def test_a_script_is_its_own_path_and_not_its_interpreter(
    arguments: list[bytes], paths: list[bytes], expected: bytes
) -> None:
    found = exec_of(
        ExecOnKernel(arguments, exe=b"/usr/bin/dash", comm=b"x", cwd=b"/srv", paths=paths)
    )
    assert found.is_script
    assert found.executable == expected
    assert found.name == expected.rpartition(b"/")[2]
    assert found.caller.exe == b"/usr/bin/dash"


def _without_names(deed: ExecOnKernel) -> Exec:
    """Return the exec as kernel 2.6.32 writes it: with a name for the first path only."""
    lines = [
        re.sub(rb"name=\S+", b"name=(null)", line) if re.search(rb"item=[1-9]", line) else line
        for line in deed.lines()
    ]
    found = read_process_event(event_of(lines))
    assert isinstance(found, Exec)
    return found


def test_a_script_is_known_where_the_kernel_does_not_name_its_interpreter() -> None:
    script = ExecOnKernel(
        [b"/bin/sh", b"./x.sh"], exe=b"/bin/bash", paths=[b"./x.sh", b"/bin/sh", LOADER]
    )
    assert _without_names(script).executable == b"/root/x.sh"
    link = ExecOnKernel([b"x", b"+x", b"/tmp/foo", b"/etc/rc.local"], paths=[b"/tmp/foo", LOADER])
    assert _without_names(link).executable == b"/usr/bin/chmod"


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ([b"sh", b"-c", b"x"], [b"/bin/sh", LOADER]),
        ([b"/bin/sh", b"/opt/x.sh"], [b"/bin/sh", LOADER]),
        ([b"bash", b"/opt/x.sh"], [b"/usr/bin/bash", LOADER]),
        # A link to chmod, called with the loader's name as argv[0], to pass for a script.
        ([LOADER, b"+x", b"/tmp/foo", b"/etc/rc.local"], [b"/tmp/foo", LOADER]),
        (
            [b"/lib/ld-musl-x86_64.so.1", b"/tmp/foo"],
            [b"/tmp/foo", b"/lib/ld-musl-x86_64.so.1"],
        ),
        ([b"/bin/sh"], [b"/opt/x.sh", b"/bin/sh", LOADER]),
        ([b"/bin/sh", b"/opt/x.sh"], []),
    ],
)
def test_what_is_no_script_is_not_taken_for_one(arguments: list[bytes], paths: list[bytes]) -> None:
    found = exec_of(ExecOnKernel(arguments, exe=b"/usr/bin/chmod", comm=b"foo", paths=paths))
    assert not found.is_script
    assert (found.executable, found.name) == (b"/usr/bin/chmod", b"chmod")


@pytest.mark.parametrize(
    ("exe", "argument", "name"),
    [
        (b"/bin/busybox", b"chmod", b"chmod"),
        (b"/bin/busybox", b"/bin/chmod", b"chmod"),
        (b"/bin/busybox", b"busybox", b"busybox"),
        (b"/bin/busybox.static", b"-sh", b"sh"),
        (b"/usr/bin/coreutils", b"chmod", b"chmod"),
        (b"/bin/toybox", b"install", b"install"),
        (b"/bin/busybox", b"", b"busybox"),
        (b"/usr/bin/chmod", b"innocent", b"chmod"),
    ],
)
def test_a_multi_call_binary_is_what_it_was_called_as(
    exe: bytes, argument: bytes, name: bytes
) -> None:
    found = exec_of(ExecOnKernel([argument, b"+x"], exe=exe, comm=b"exe", paths=[b"/bin/x"]))
    assert (found.executable, found.name) == (exe, name)


def test_a_failed_exec_is_nothing() -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], success="no")
    assert read_process_event(event_of(deed.lines())) is None


def test_an_exec_without_its_syscall_record_is_nothing() -> None:
    lines = ExecOnKernel([b"chmod"]).lines()[1:]
    assert read_process_event(event_of(lines)) is None


@pytest.mark.parametrize(
    ("arch", "number"), [("c000003e", 59), ("40000003", 358), ("c00000b7", 221), ("deadbeef", 9)]
)
def test_execve_records_make_an_exec_on_any_architecture(arch: str, number: int) -> None:
    assert exec_of(ExecOnKernel([b"x"], arch=arch, syscall=number)).name == b"chmod"


@pytest.mark.parametrize(
    ("body", "is_thread"),
    [
        ("arch=c000003e syscall=57 success=yes exit=77 a0=0 pid=7 ppid=1", False),
        ("arch=c000003e syscall=58 success=yes exit=77 a0=0 pid=7 ppid=1", False),
        ("arch=c000003e syscall=56 success=yes exit=77 a0=1200011 pid=7 ppid=1", False),
        ("arch=c000003e syscall=56 success=yes exit=77 a0=3d0f00 pid=7 ppid=1", True),
        ("arch=80000016 syscall=120 success=yes exit=77 a0=0 a1=3d0f00 pid=7 ppid=1", True),
        ("arch=c000003e syscall=435 success=yes exit=77 a0=7ffc0 pid=7 ppid=1", None),
        ("arch=c00000b7 syscall=220 success=yes exit=77 a0=11 pid=7 ppid=1", False),
        ("arch=40000003 syscall=190 success=yes exit=77 a0=0 pid=7 ppid=1", False),
    ],
)
def test_a_fork_tells_its_child_and_whether_it_is_a_thread(
    body: str, is_thread: bool | None
) -> None:
    found = call(body)
    assert isinstance(found, Fork)
    assert (found.caller.pid, found.child, found.is_thread) == (7, 77, is_thread)


@pytest.mark.parametrize(
    "body",
    [
        "arch=c000003e syscall=57 success=no exit=-11 pid=7",
        "arch=c000003e syscall=57 success=yes exit=0 pid=7",
        "arch=c000003e syscall=57 success=yes pid=7",
        "arch=c000003e syscall=57 success=yes exit=77",
        "arch=c000003e syscall=2 success=yes exit=3 pid=7",
        "arch=c00000b7 syscall=57 success=yes exit=77 pid=7",
        "syscall=57 success=yes exit=77 pid=7",
        "",
    ],
)
def test_other_calls_say_nothing_of_processes(body: str) -> None:
    assert call(body) is None


def test_exits_tell_a_process_from_a_thread() -> None:
    process = call("arch=c000003e syscall=231 a0=0 pid=7 ppid=1")
    thread = call("arch=c000003e syscall=60 a0=0 pid=7 ppid=1")
    assert isinstance(process, Exit)
    assert isinstance(thread, Exit)
    assert (process.thread_only, thread.thread_only) == (False, True)


def test_a_script_that_a_link_may_hide_is_known_by_its_name_and_interpreter_alone() -> None:
    path = b"/proc/self/cwd/../../../var/lib/dpkg/info/x.postinst"
    found = exec_of(
        ExecOnKernel(
            [b"/bin/sh", path], exe=b"/usr/bin/dash", comm=b"x.postinst", paths=[path, b"/bin/sh"]
        )
    )
    assert (found.executable, found.name) == (b"/usr/bin/dash", b"x.postinst")


@pytest.mark.parametrize("kept", [{b"SYSCALL"}, {b"SYSCALL", b"CWD"}, {b"SYSCALL", b"PROCTITLE"}])
def test_an_exec_whose_arguments_are_lost_is_one_all_the_same(kept: set[bytes]) -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"x"])
    lines = [line for line in deed.lines() if line[5:].partition(b" ")[0] in kept]
    found = read_process_event(event_of(lines))
    assert isinstance(found, Exec)
    assert (found.arguments.values, found.truncated) == ((), True)
    assert (found.executable, found.name) == (b"/usr/bin/chmod", b"chmod")


def test_a_failed_exec_is_none_with_and_without_its_arguments() -> None:
    deed = ExecOnKernel([b"chmod"], success="no")
    assert read_process_event(event_of(deed.lines())) is None
    assert read_process_event(event_of(deed.lines()[:1])) is None


def test_unset_ids_and_terminals_are_absent() -> None:
    caller = exec_of(ExecOnKernel([b"x"])).caller
    assert caller.tty is None
    assert caller.id("auid") == 1000
    found = call("arch=c000003e syscall=231 pid=7 auid=4294967295 ses=4294967295 tty=pts3")
    assert isinstance(found, Exit)
    assert (found.caller.id("auid"), found.caller.session) == (None, None)
    assert found.caller.tty == b"pts3"


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        (b"/a/b", None, b"/a/b"),
        (b"//a/./b/", None, b"/a/b"),
        (b"/var/lib/dpkg/../../../srv/x", None, b"/srv/x"),
        (b"x", b"/srv", b"/srv/x"),
        (b"../../../x", b"/srv", b"/x"),
        (b"..//.././x", b"/a/b/c", b"/a/x"),
        (b"bin/../lib/x", b"/opt/app", b"/opt/app/lib/x"),
        (b"/opt/app/bin/../lib/x/../y", None, b"/opt/app/lib/y"),
        (b"/usr/share/x/../../lib/y", None, b"/usr/lib/y"),
        # Where these lead, whoever makes links there decides.
        (b"/proc/self/cwd/../../../var/lib/dpkg/x", None, None),
        (b"/srv/a/../../var/lib/dpkg/x", None, None),
        (b"a/./..//../../var/lib/dpkg/x", b"/home/ann", None),
        (b"x", None, None),
        (b"x", b"(unreachable)/y", None),
    ],
)
def test_a_path_is_made_absolute_by_its_text(
    path: bytes, directory: bytes | None, expected: bytes | None
) -> None:
    assert absolute(path, directory) == expected
