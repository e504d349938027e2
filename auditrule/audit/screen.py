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
    ID,
    LINE,
    MIXED,
    THREAD,
    THREAD_END,
    made_by,
    own_records,
    time_of,
)
from auditrule.audit.process import THREAD_FLAG
from auditrule.audit.syscalls import Deed, calls_of, clone_flags_argument, deed

if TYPE_CHECKING:
    from auditrule.audit.asked import Asked
    from auditrule.audit.fact import Fact, Text

# The kernel writes an exec's records at once, though others may come between them. One that is not
# complete by then is left to whoever reads line by line.
_FARTHEST_END = 64 << 10
# Events whose times are farther apart (in seconds) are none that come between each other.
_CLOSE = 1
_ID = rb"[0-9]{10}+\.[0-9]{3}+:[0-9]{1,18}+"
_SECONDS = 10
BEFORE_SERIAL = 15
"""How long the rest of an ID is that the screen reads."""
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
        self._last = b"\n%stype=PROCTITLE msg=audit(" % prefix
        self._asked = asked

    def read(  # noqa: C901 - one loop, in which a call would cost as much as a turn
        self, block: bytes, start: int, end: int, base: int = 0
    ) -> Screening:
        r"""Return what block[start:end] says, in order, as far as that holds.

        The block holds whole lines, each behind a b"\n": one stands at `start` and one at `end`.
        What follows the place where it stops is to be read line by line, at least the first line.
        Facts name their records by their place, but for long ones: in the block, or in the file in
        which that begins at `base`.
        """
        facts: list[Fact] = []
        execs: list[_Open] = []
        open_until = start
        cut, disorder, asked, last = end, False, self._asked, self._last
        text: Text
        find, add = block.find, facts.append
        for match in self._find(block, start, end):
            at = match.start()
            at_id, is_exec, is_clone, child, ends_process, flags, ppid, pid = match.groups()
            if at_id is None:
                line = block[at + 1 : find(b"\n", at + 1, end + 1)]
                if b"SYSCALL" in line or at < open_until:
                    cut = at
                    break
                add((base + at, LINE, b"", b"", b"", b"", line, b"", None))
                continue
            if at < open_until:
                disorder = True
                if _meets(execs, at, at_id, pid, ppid):
                    cut = at
                    break
            if is_exec is not None:
                done = find(last + at_id + b"):", at, min(end, at + _FARTHEST_END))
                if done < 0 or find(b"EOE", at, done) >= 0:
                    cut = at
                    break
                text = (base + at + 1, base + done)
                if done - at > MIXED:
                    text = own_records(block[at + 1 : done])
                what = EXEC
                if asked is None or asked.may_be(block, at + 1, done, at_id):
                    what = ASKED
                add((base + done, what, pid, ppid, b"", at_id, text, b"", None))
                execs.append((at, done, pid, at_id))
                if done > open_until:
                    open_until = done
            elif child is not None:
                line_end = find(b"\n", at + 1, end + 1)
                what, by = FORK, b""
                if is_clone is not None and int(flags, 16) & THREAD_FLAG:
                    what = THREAD
                else:
                    by = made_by(block, at + 1, line_end)
                text = (base + at + 1, base + line_end)
                add((base + at, what, pid, ppid, child, at_id, text, by, None))
            else:
                what = THREAD_END if ends_process is None else END
                add((base + at, what, pid, ppid, b"", at_id, b"", b"", None))
        if cut < open_until:
            for each in reversed(execs):
                if each[0] < cut <= each[1]:
                    cut = each[0]
            facts = [fact for fact in facts if fact[AT] < base + cut]
        if disorder:
            facts.sort(key=itemgetter(AT))
        # They have as many digits, so that as bytes they sort as their times do.
        told = [fact[ID] for fact in facts if fact[ID]]
        oldest, newest = (time_of(min(told)), time_of(max(told))) if told else (None, None)
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
