"""The screen: what a block of the log says of processes, by one expression over the whole block.

Nine lines of ten can make no difference to a rule on processes, and to take each into Python's
hands costs a microsecond; the expression passes over it in a tenth of that. What it recognises is
the kernel's own form alone. Where anything else stands, or an event that is not all there, the
screen stops, and the line is read as any other would be: it may let too much through, never too
little. That it changes nothing is tested on every captured log, cut into blocks everywhere.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from auditrule.audit.fact import (
    ASKED,
    AT,
    END,
    EXEC,
    FORK,
    LINE,
    MIXED,
    THREAD,
    THREAD_END,
    made_by,
    own_records,
)
from auditrule.audit.process import THREAD_FLAG
from auditrule.audit.syscalls import Deed, calls_of, clone_flags_argument, deed

if TYPE_CHECKING:
    from auditrule.audit.asked import Asked
    from auditrule.audit.fact import Fact, Text

Block: TypeAlias = bytes | bytearray

# The kernel writes an exec's records at once, though others may come between them. One that is not
# complete by then is left to whoever reads line by line.
_FARTHEST_END = 64 << 10
# Events whose times are farther apart (in seconds) are none that come between each other.
_CLOSE = 1
# Of an end the time is all that there is to tell.
_HEADER = b"type=SYSCALL msg=audit(%s):"
_ID = rb"[0-9]{10}\.[0-9]{3}:[0-9]{1,18}"
_SECONDS, _BEFORE_SERIAL = 10, 15
_PID = rb"[1-9][0-9]{0,8}"
# The most frequent types; of any other, each record is looked at by itself.
_PLAIN = (
    rb"PATH|CWD|PROCTITLE|EXECVE|BPRM_FCAPS|SOCKADDR|MMAP|FD_PAIR|SECCOMP|NETFILTER_CFG"
    rb"|USER_[A-Z]+|CRED_[A-Z]+|SERVICE_[A-Z]+|LOGIN|AVC|EOE"
)

_Open: TypeAlias = tuple[int, int, bytes, bytes]
"""An exec: where its first and last records are, its pid, and its event's id."""


class Screening(NamedTuple):
    """What a part of a block says, up to `stop`: facts, and the times of the first and the last.

    The times are milliseconds since the epoch, None where there is none.
    """

    facts: list[Fact]
    stop: int
    oldest_ms: int | None
    newest_ms: int | None


class Screen:
    """Reads blocks of the log of one host (`node`, None where the log names none) and `arch`.

    `arch` is spelt as the log does, in hexadecimal, and one of auditrule.audit.syscalls. Programs
    that may be among those `asked` about are told so; with None, all are.
    """

    def __init__(self, *, node: bytes | None, arch: bytes, asked: Asked | None) -> None:
        self.node = None if node is None else node.decode("latin-1")
        """Whose log it is."""
        prefix = b"" if node is None else b"node=%s " % node
        self._find = re.compile(_expression(re.escape(prefix), arch)).finditer
        self._last = b"\n%stype=PROCTITLE msg=audit(%%s):" % prefix.replace(b"%", b"%%")
        self._asked = asked

    def read(  # noqa: C901 - one loop, in which a call would cost as much as a turn
        self, block: Block, start: int, end: int, base: int | None = None
    ) -> Screening:
        r"""Return what block[start:end] says, in order, as far as that holds.

        The block holds whole lines, each behind a b"\n": one stands at `start` and one at `end`.
        What follows the place where it stops is to be read line by line, at least the first line.
        With `base`, where the block begins in a file, facts have places in that file, and name
        their records by these; but for long ones, and those that are asked for.
        """
        facts: list[Fact] = []
        ids: list[bytes] = []
        execs: list[_Open] = []
        open_until = start
        cut, disorder, asked = end, False, self._asked
        is_placed, base = base is not None, base or 0
        text: Text
        for match in self._find(block, start, end):
            at = match.start()
            at_id, is_exec, is_clone, child, ends_process, flags, ppid, pid = match.groups()
            if at_id is None:
                line = bytes(block[at + 1 : _line_end(block, at + 1, end)])
                if b"SYSCALL" in line or at < open_until:
                    cut = at
                    break
                facts.append((base + at, LINE, b"", b"", b"", 0, line, b""))
                # Its own time it tells itself.
                ids.append(ids[-1] if ids else b"")
                continue
            if at < open_until:
                disorder = True
                if _meets(execs, at, at_id, pid, ppid):
                    cut = at
                    break
            ids.append(at_id)
            serial = int(at_id[_BEFORE_SERIAL:])
            if is_exec is not None:
                last = self._last % at_id
                done = block.find(last, at, min(end, at + _FARTHEST_END))
                records = b"EOE" if done < 0 else bytes(block[at + 1 : done])
                if len(records) > MIXED:
                    records = own_records(records)
                if b"EOE" in records:
                    ids.pop()
                    cut = at
                    break
                what, text = EXEC, records
                if asked is None or asked.may_be(records, at_id):
                    what = ASKED
                elif is_placed and len(records) <= MIXED:
                    text = (base + at + 1, base + done)
                facts.append((base + done, what, pid, ppid, b"", serial, text, b""))
                execs.append((at, done, pid, at_id))
                open_until = max(open_until, done)
            elif child is not None:
                line = bytes(block[at + 1 : _line_end(block, at + 1, end)])
                text = (base + at + 1, base + at + 1 + len(line)) if is_placed else line
                what = FORK
                if is_clone is not None and int(flags, 16) & THREAD_FLAG:
                    what = THREAD
                by = made_by(line) if what == FORK else b""
                facts.append((base + at, what, pid, ppid, child, serial, text, by))
            else:
                what = THREAD_END if ends_process is None else END
                facts.append((base + at, what, pid, ppid, b"", serial, _HEADER % at_id, b""))
        if cut < open_until:
            for each in reversed(execs):
                if each[0] < cut <= each[1]:
                    cut = each[0]
            kept = [n for n, fact in enumerate(facts) if fact[AT] < base + cut]
            facts, ids = [facts[n] for n in kept], [ids[n] for n in kept]
        if disorder:
            facts.sort(key=itemgetter(AT))
        # They have as many digits, so that as bytes they sort as their times do.
        told = list(filter(None, ids))
        oldest, newest = (_time(min(told)), _time(max(told))) if told else (None, None)
        return Screening(facts, cut, oldest, newest)


def _meets(execs: list[_Open], at: int, at_id: bytes, pid: bytes, ppid: bytes) -> bool:
    """Tell whether an event may end an exec whose records it stands between (Reassembler)."""
    for start, done, whose, other in reversed(execs):
        if at - start > _FARTHEST_END:
            return False
        if done > at:
            passed = int(at_id[:_SECONDS]) - int(other[:_SECONDS])
            if whose in (pid, ppid) or other == at_id or abs(passed) > _CLOSE:
                return True
    return False


def _time(at_id: bytes) -> int:
    seconds, _, millis = at_id[: _BEFORE_SERIAL - 1].partition(b".")
    return int(seconds) * 1000 + int(millis)


def _line_end(block: Block, start: int, end: int) -> int:
    found = block.find(b"\n", start, end)
    return end if found < 0 else found


def _expression(prefix: bytes, arch: bytes) -> bytes:
    calls = calls_of(int(arch, 16))

    def any_of(*deeds: Deed) -> bytes:
        numbers = (number for number, name in calls.items() if deed(name) in deeds)
        return b"|".join(b"%d" % number for number in numbers) or b"(?!)"

    clones = b"|".join(b"%d" % number for number, name in calls.items() if name == "clone")

    # In s390's clone(2) the flags come second.
    flags = {b"a0": rb"([0-9a-f]+)", b"a1": b"[^ ]+"}
    if clone_flags_argument(int(arch, 16)) == "a1":
        flags = {b"a0": flags[b"a1"], b"a1": flags[b"a0"]}
    call = rb"type=SYSCALL msg=audit\(%s\): arch=%s syscall="
    return b"".join(
        (
            # Most lines end here.
            rb"\n(?!%stype=(?:%s) msg=audit\(%s\):)" % (prefix, _PLAIN, _ID),
            # A call that tells of processes.
            rb"(?:%s" % prefix,
            call % (b"(%s)" % _ID, arch),
            rb"(?:(%s) success=yes exit=0" % any_of(Deed.EXEC),
            rb"|(?:(%s)|%s) success=yes exit=(%s)" % (clones, any_of(Deed.FORK), _PID),
            rb"|(%s)|(?:%s))" % (any_of(Deed.EXIT), any_of(Deed.EXIT_THREAD)),
            rb" a0=%s a1=%s a2=[^ ]+ a3=[^ ]+ items=[0-9]+" % (flags[b"a0"], flags[b"a1"]),
            rb" ppid=(0|%s) pid=(%s) " % (_PID, _PID),
            # Or anything but a call that does not.
            rb"|(?!%s" % prefix,
            call % (_ID, arch),
            rb"(?:(?!(?:%s) )[0-9]+ (?:success=(?:yes|no) exit=|a0=)" % any_of(*Deed),
            rb"|(?:%s) success=no exit=)))" % any_of(Deed.EXEC, Deed.FORK),
        )
    )
