"""The screen recognises the kernel's own form, and stops at anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kernel_format import ExecOnKernel

from auditrule.audit.fact import ASKED, END, NOBODY
from auditrule.audit.facts import AT
from auditrule.audit.screen import Screen

if TYPE_CHECKING:
    from auditrule.audit.seen import Screening

SECONDS = 1_700_000_000


def deed(serial: int, pid: int, **more: object) -> list[bytes]:
    return ExecOnKernel([b"ls"], serial=serial, pid=pid, **more).lines()  # type: ignore[arg-type]


def ends(serial: int, pid: int, seconds: int = SECONDS) -> bytes:
    registers = "a0=0 a1=0 a2=0 a3=0 items=0 ppid=1"
    stamp = f"{seconds}.123:{serial}"
    call = f"arch=c000003e syscall=231 {registers} pid={pid} auid=0"
    return f"type=SYSCALL msg=audit({stamp}): {call}".encode()


def screened(lines: list[bytes], *, node: bytes | None = None, **more: int) -> Screening:
    block = b"\n%s\n" % b"\n".join(lines)
    screen = Screen(node=node, arch=b"c000003e", asked=None)
    return screen.read(block, 0, len(block) - 1, **more)


def serials(found: Screening) -> list[int]:
    return [fact.serial for fact in found.facts.rows()]


def text_of(found: Screening, number: int, lines: list[bytes], base: int = 0) -> bytes:
    """Return the records that a fact names by their place."""
    place = found.facts.fact(number).text
    assert isinstance(place, tuple)
    block = b"\n%s\n" % b"\n".join(lines)
    return block[place[0] - base : place[1] - base]


def place_of(lines: list[bytes], number: int) -> int:
    """Return where the newline before a line is."""
    return sum(len(line) + 1 for line in lines[:number])


def test_an_exec_is_told_where_it_is_complete_and_other_lines_are_passed_over() -> None:
    lines = [b"type=CWD msg=audit(1700000000.123:41): cwd=x", *deed(42, 7), ends(43, 7)]
    found = screened(lines)
    assert [fact[:6] for fact in found.facts.rows()] == [
        (ASKED, 7, 100, NOBODY, SECONDS * 1000 + 123, 42),
        (END, 7, 1, NOBODY, SECONDS * 1000 + 123, 43),
    ]
    assert found.facts.columns[AT, 0] == place_of(lines, len(lines) - 2)
    assert text_of(found, 0, lines) == b"\n".join(lines[1:-2])
    assert found.stop == place_of(lines, len(lines))
    assert found.records == len(lines)


def test_execs_between_each_other_come_in_the_order_of_their_ends() -> None:
    one, two = deed(42, 7), deed(43, 8)
    lines = [one[0], two[0], *one[1:-1], *two[1:], one[-1]]
    found = screened(lines)
    assert serials(found) == [43, 42]
    assert found.stop == place_of(lines, len(lines))


@pytest.mark.parametrize(
    "between",
    [
        ends(50, 7),
        ends(42, 9),
        ends(50, 9, SECONDS + 2),
        b"type=DAEMON_START msg=audit(1700000000.000:1): op=start",
    ],
    ids=["of the same process", "of the same event", "much later", "of auditd"],
)
def test_what_may_end_an_exec_between_its_records_stops_it_there(between: bytes) -> None:
    own = deed(42, 7)
    lines = [ends(41, 5), own[0], between, *own[1:]]
    found = screened(lines)
    assert serials(found) == [41]
    assert found.stop == place_of(lines, 1)


@pytest.mark.parametrize(
    "line",
    [
        deed(42, 7, proctitle=False)[0],
        deed(42, 7, arch="40000003", syscall=11)[0],
        b"type=SYSCALL msg=audit(1700000000.123:42): arch=c000003e syscall=59 success=yes exit=1",
        b"type=SYSCALL msg=audit(170000000.123:42): arch=c000003e syscall=257 success=yes exit=3",
        b"type=SYSCALL  msg=audit(1700000000.123:42): arch=c000003e syscall=1",
        b"node=web1 type=SYSCALL msg=audit(1700000000.123:42): arch=c000003e syscall=1 a0=",
    ],
)
def test_it_stops_before_a_call_that_is_not_all_there_or_not_of_its_kind(line: bytes) -> None:
    lines = [ends(41, 5), line, ends(43, 5)]
    found = screened(lines)
    assert serials(found) == [41]
    assert found.stop == place_of(lines, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no record",
        b"type=PATH msg=audit(1700000000.123",
        b"type=DAEMON_START msg=audit(1700000000.123:42): op=start",
        b"type=SYSTEM_BOOT msg=audit(1700000000.123:42): pid=1",
        b"node=web1 type=CWD msg=audit(1700000000.123:42): cwd=x",
        b"type=UNKNOWN[1333] msg=audit(1700000000.123:42): x=y",
    ],
)
def test_a_line_that_is_to_be_looked_at_is_told_in_its_place(line: bytes) -> None:
    lines = [ends(41, 5), line, ends(43, 5)]
    found = screened(lines)
    assert serials(found) == [41, 43]
    assert found.lines == [(place_of(lines, 1), line)]
    assert found.records == 2


@pytest.mark.parametrize(
    "call",
    ["syscall=257 success=yes exit=3 a0=1", "syscall=59 success=no exit=-2 a0=1"],
)
def test_calls_that_do_not_matter_are_passed_over(call: str) -> None:
    line = f"type=SYSCALL msg=audit(1700000000.123:42): arch=c000003e {call}".encode()
    lines = [line, ends(43, 5)]
    assert serials(screened(lines)) == [43]


def test_a_host_has_its_name_before_each_line() -> None:
    lines = [b"node=a.b " + line for line in (*deed(42, 7), ends(43, 7))]
    assert serials(screened(lines, node=b"a.b")) == [42, 43]
    assert serials(screened(lines, node=b"aXb")) == []


def test_records_are_named_by_their_place_in_a_file() -> None:
    lines = [ends(41, 5), *deed(42, 7)]
    block = b"\n%s\n" % b"\n".join(lines)
    screen = Screen(node=None, arch=b"c000003e", asked=None)
    whole = screen.read(block, 0, len(block) - 1)
    placed = screen.read(block, 0, len(block) - 1, base=1000)
    assert (placed.facts.columns[AT] - 1000).tolist() == whole.facts.columns[AT].tolist()
    assert text_of(placed, 1, lines, 1000) == text_of(whole, 1, lines) == b"\n".join(lines[1:-1])
