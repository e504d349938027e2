"""Captured records as templates: bytes with slots for serials, times, pids and addresses."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from benchmarks.fillers import fillers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.captured import Line, Log

_FORKS = (b" syscall=56 ", b" syscall=57 ", b" syscall=58 ", b" syscall=435 ")
_PID = re.compile(rb"(?<= )(ppid|pid)=(\d+)")
_CHILD = re.compile(rb"(?<= )(exit)=(\d+)")
_OWN_PID = re.compile(rb" pid=(\d+)")
# A program is loaded at a random page, so that its addresses differ in the middle digits each time.
_ADDRESS = re.compile(rb"(?<= )(a[0-3]=(?:5[56]|7f))[0-9a-f]{7}(?=[0-9a-f]{3} )")


class Layout:
    """Which slot of a copy's values holds what: pids, the addresses of each process, stamps.

    Slots of pids come first, in the order of the pids. The kernel (0) and init (1) keep theirs.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = {pid: slot for slot, pid in enumerate(sorted({*pids} - {0, 1}))}
        self.stamps = 2 * len(self.pids)

    def pid(self, number: int) -> int | None:
        return self.pids.get(number)

    def address(self, pid: int) -> int | None:
        slot = self.pids.get(pid)
        return None if slot is None else len(self.pids) + slot


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event happens: when it is written, or at the time in the slot `taken`.

    The slot `kept` keeps that time for another event. -1 is no slot.
    """

    taken: int = -1
    kept: int = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """Records that are written together, of one event or of several that interleave.

    pattern: the lines, with %b where a slot's value goes. pick: takes these values from a copy's.
    events: for each event, in the order of serials, the slot of its stamp and its moment's slots.
    records, execs: how many of them it has. process: the slot of the pid that did it, -1 for none.
    """

    pattern: bytes
    pick: Callable[[list[bytes]], Any]
    events: tuple[tuple[int, int, int], ...]
    records: int
    execs: int
    process: int = -1


@dataclass(frozen=True, slots=True)
class Template:
    """A captured log, ready to be written again and again.

    pids, stamps, times: how many slots there are of each kind. fillers: what else the program of a
    process might do, by the slot of its pid. root: the slot of the first program's pid.
    """

    name: str
    segments: tuple[Segment, ...]
    pids: int
    stamps: int
    times: int
    fillers: dict[int, tuple[Segment, ...]] = field(repr=False)
    root: int

    @property
    def values(self) -> int:
        """How many values a copy has."""
        return 2 * self.pids + self.stamps


def compile_log(log: Log, session: Sequence[bytes], *, forks: bool) -> Template:
    """Make a template of a log without the execs that the bundled rule might tell.

    `session` is what a login writes: bodies of user-space records with their type in front.
    Without `forks`, the template may be written without its records of forks.
    """
    told = log.execs_of(log.alerting if forks else log.alerting | log.unknown)
    lines = [line for line in log.lines if line.serial not in told]
    layout = Layout(_pids(lines))
    moments = _moments(lines)
    segments = tuple(_compile(part, layout, moments) for part in _parts(lines))
    fillers: dict[int, tuple[Segment, ...]] = {}
    for number, exec_lines in enumerate(_execs(lines)):
        slot = layout.pid(_own_pid(exec_lines[0]))
        if slot is not None:
            fillers[slot] = tuple(
                _compile(filler, layout, {}) for filler in fillers_of(exec_lines, session, number)
            )
    root = next(segment.process for segment in segments if segment.process in fillers)
    stamps = max(len(segment.events) for segment in (*segments, *sum(fillers.values(), ())))
    return Template(
        log.name,
        segments,
        len(layout.pids),
        stamps,
        1 + max((moment.kept for moment in moments.values()), default=-1),
        fillers,
        root,
    )


def compile_matches(log: Log) -> list[Segment]:
    """Return the execs of a log that the bundled rule tells, each a segment of its own.

    Its values are four: pid, the parent's pid, addresses, stamp.
    """
    told = log.execs_of(log.alerting)
    segments = []
    for lines in _execs([line for line in log.lines if line.serial in told]):
        layout = _MatchLayout(_own_pid(lines[0]))
        segments.append(_compile(lines, layout, {}))
    return segments


class _MatchLayout(Layout):
    def __init__(self, own: int) -> None:
        super().__init__(())
        self._own = own
        self.stamps = 3

    def pid(self, number: int) -> int:
        return 0 if number == self._own else 1

    def address(self, pid: int) -> int:
        return 2


def _compile(lines: Sequence[Line], layout: Layout, moments: Mapping[int, Moment]) -> Segment:
    serials = sorted({line.serial for line in lines})
    stamp_slots = {serial: layout.stamps + n for n, serial in enumerate(serials)}
    when = {serial: moments.get(serial, Moment()) for serial in serials}
    slots: list[int] = []
    pattern = b"".join(
        _line_pattern(line, layout, stamp_slots[line.serial], slots) for line in lines
    )
    pick = itemgetter(*slots) if len(slots) > 1 else lambda values: (values[slots[0]],)
    process = layout.pid(_own_pid(lines[0]))
    return Segment(
        pattern,
        pick,
        tuple((stamp_slots[serial], when[serial].taken, when[serial].kept) for serial in serials),
        len(lines),
        len({line.serial for line in lines if line.type == "EXECVE"}),
        -1 if process is None else process,
    )


def _line_pattern(line: Line, layout: Layout, stamp: int, slots: list[int]) -> bytes:
    """Return the line with %b for its slots, which are added to `slots` in their order."""
    slots.append(stamp)
    body = line.body.replace(b"%", b"%%")
    found = list(_PID.finditer(body))
    if line.type == "SYSCALL":
        if _is_fork(line):
            found += _CHILD.finditer(body)
        found += _ADDRESS.finditer(body)
    pieces, at = [], 0
    for match in sorted(found, key=lambda match: match.start()):
        if match.re is _ADDRESS:
            slot = layout.address(_own_pid(line))
            kept = match[1]
        else:
            slot = layout.pid(int(match[2]))
            kept = match[1] + b"="
        if slot is not None:
            slots.append(slot)
            pieces += [body[at : match.start()], kept, b"%b"]
            at = match.end()
    header = b"type=%s msg=audit(%%b): " % line.type.encode()
    return header + b"".join(pieces) + body[at:] + b"\n"


def _own_pid(line: Line) -> int:
    found = _OWN_PID.search(b" " + line.body)
    return 0 if found is None else int(found[1])


def _pids(lines: Iterable[Line]) -> set[int]:
    found: set[int] = set()
    for line in lines:
        found.update(int(match[2]) for match in _PID.finditer(line.body))
        if _is_fork(line):
            found.update(int(match[2]) for match in _CHILD.finditer(line.body))
    return found


def _parts(lines: Sequence[Line]) -> list[list[Line]]:
    """Cut between records where no event is in the middle."""
    left = Counter(line.serial for line in lines)
    pending: set[int] = set()
    parts: list[list[Line]] = [[]]
    for line in lines:
        parts[-1].append(line)
        pending.add(line.serial)
        left[line.serial] -= 1
        if not left[line.serial]:
            pending.discard(line.serial)
        if not pending:
            parts.append([])
    return parts[:-1]


def _execs(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines of each event that holds an exec which succeeded."""
    events: dict[int, list[Line]] = {}
    for line in lines:
        events.setdefault(line.serial, []).append(line)
    return [
        event
        for event in events.values()
        if event[0].type == "SYSCALL" and any(line.type == "EXECVE" for line in event)
    ]


def _moments(lines: Sequence[Line]) -> dict[int, Moment]:
    """Return how the events get their times, by serial, for those that other events bear upon.

    A fork is recorded when the call returns, by when the child may have been at work; the time is
    that of the call. So such a fork gets the time of the first that its child did.
    """
    first_deeds: dict[int, int] = {}
    moments: dict[int, Moment] = {}
    slots = count()
    for line in lines:
        if line.type != "SYSCALL":
            continue
        child = _CHILD.search(line.body) if _is_fork(line) else None
        deed = first_deeds.get(int(child[2])) if child else None
        if deed is not None:
            known = moments.get(deed, Moment())
            if known.kept < 0:
                known = moments[deed] = replace(known, kept=next(slots))
            moments[line.serial] = Moment(taken=known.kept)
        first_deeds.setdefault(_own_pid(line), line.serial)
    return moments


def _is_fork(line: Line) -> bool:
    return line.type == "SYSCALL" and any(fork in line.body for fork in _FORKS)
