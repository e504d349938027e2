"""Which programs are asked about is told by raw records: too many rather than too few."""

from __future__ import annotations

import pytest
from kernel_format import ExecOnKernel

from auditrule.audit.asked import Asked
from auditrule.audit.fact import ASKED, EXEC
from auditrule.audit.screen import Screen

PROGRAMS = Asked(
    {
        "chmod": frozenset({"+x", "/etc/*", "*cron*"}),
        "install": None,
    }
)


def is_asked(arguments: list[bytes], **more: object) -> bool:
    deed = ExecOnKernel(arguments, **more)  # type: ignore[arg-type]
    return told_of(deed.lines()) == ASKED


def told_of(lines: list[bytes]) -> int:
    """Return what the screen says of the exec whose records are complete last."""
    block = b"\n%s\n" % b"\n".join(lines)
    screen = Screen(node=None, arch=b"c000003e", asked=PROGRAMS)
    return screen.read(block, 0, len(block) - 1).facts.rows()[-1].what


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([b"chmod", b"+x", b"a"], True),
        ([b"chmod", b"+X", b"a"], True),
        ([b"chmod", b"+xs", b"a"], False),
        ([b"chmod", b"g+x", b"a"], False),
        ([b"chmod", b"u+x", b"/ETC/passwd"], True),
        ([b"chmod", b"u+x", b"/srv/etc/x"], False),
        ([b"chmod", b"u+x", b"/srv/cron/x"], True),
        ([b"chmod", b"u+x", b"x.y"], False),
        # What is written in hexadecimal is not looked at.
        ([b"chmod", b"u+x", b"a b"], True),
        ([b"chmod", b"u+x", b"x" * 9000], True),
        ([b"chmod"], False),
    ],
)
def test_one_argument_is_like_one_of_the_texts(arguments: list[bytes], asked: bool) -> None:
    assert is_asked(arguments) is asked


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({"exe": b"/usr/bin/ls", "paths": [b"/usr/bin/ls"]}, False),
        ({"exe": b"/usr/bin/ls", "paths": [b"./INSTALL"]}, True),
        ({"exe": b"/usr/bin/dash", "paths": [b"/tmp/a b/x"]}, True),
        ({"exe": b"/tmp/a b/x", "paths": [b"x"]}, True),
        ({"exe": b"/usr/bin/install (deleted)", "paths": [b"x"]}, True),
        ({"exe": b"/bin/busybox", "paths": [b"x"]}, True),
        ({"exe": b"/usr/bin/ls", "paths": []}, True),
    ],
)
def test_a_program_is_known_by_its_file_or_its_first_path(
    more: dict[str, object], asked: bool
) -> None:
    assert is_asked([b"x"], **more) is asked


def test_records_of_others_between_its_own_do_not_matter() -> None:
    deed = ExecOnKernel([b"ls"], exe=b"/usr/bin/ls", paths=[b"/usr/bin/ls"])
    other = ExecOnKernel([b"chmod", b"+x"], serial=7, pid=9)
    first, *rest = deed.lines()
    assert told_of([first, *other.lines(), *rest]) == EXEC


def test_arguments_of_two_records_are_not_looked_at() -> None:
    deed = ExecOnKernel([b"chmod", b"g+x"], serial=42).lines()
    more = [line for line in deed if line.startswith(b"type=EXECVE")]
    assert told_of(deed) == EXEC
    assert told_of([*deed[:-1], *more, deed[-1]]) == ASKED


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (b'item=1 name="/bin/sh" inode=1', EXEC),
        (b'item=0 name="/srv/install" inode=1', ASKED),
        (b'item=00 name="/srv/install" inode=1', ASKED),
        (b'name="/srv/install" item=0', ASKED),
    ],
)
def test_a_first_path_that_is_told_twice_or_otherwise_may_be_any(more: bytes, what: int) -> None:
    deed = ExecOnKernel([b"ls"], exe=b"/usr/bin/ls", paths=[b"/usr/bin/ls"])
    *rest, last = deed.lines()
    header = last[last.index(b" msg=") : last.index(b"): ") + 3]
    assert told_of([*rest, b"type=PATH" + header + more, last]) == what
