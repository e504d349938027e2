"""What the writer writes: execs of which each that a rule matches has a label of its own."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from kernel_format import ExecOnKernel

if TYPE_CHECKING:
    from collections.abc import Callable

LABELLED = "6d1ce5f0-58a2-4d6e-9b8c-3b2a10c7a001"
TWICE = "6d1ce5f0-58a2-4d6e-9b8c-3b2a10c7a002"
SEQUENCE = "6d1ce5f0-58a2-4d6e-9b8c-3b2a10c7a003"

_FOLDER = "/srv/kill/"
_RULE = """\
[metadata]
creation_date = "2026/11/24"
maturity = "production"

[rule]
rule_id = "{id}"
name = "{name}"
description = "A rule of the kill test."
author = ["auditrule"]
license = "Apache-2.0"
severity = "low"
risk_score = 21
type = "eql"
language = "eql"
query = '''
{query}
'''
"""
RULES = {
    name: _RULE.format(id=rule_id, name=name, query=query)
    for name, rule_id, query in [
        (
            "labelled",
            LABELLED,
            f'process where process.name in ("chmod", "install") and process.args : "{_FOLDER}*"',
        ),
        ("twice", TWICE, 'process where process.name == "install"'),
        (
            "sequence",
            SEQUENCE,
            "sequence by process.pid with maxspan=2h\n"
            '  [process where process.name == "stage-one"]\n'
            '  [process where process.name == "stage-two"]',
        ),
    ]
}
"""Rule files by name: one alert for each label, two for some, one for a pair of execs."""

# How many bursts later, at most, the second half of something comes: a few milliseconds for the
# rest of an event's records, a few seconds for a child or the end of a sequence.
_SPLIT, _LATER = 20, 600
_AFTER_ALL_MS = 60_000


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """An alert that must be written: for the rule of that id, with `label` as last argument.

    `parent` is the parent's name, None where the log does not introduce it.
    """

    rule: str
    label: str
    serial: int
    parent: str | None = None


class Traffic:
    """Bursts of records, as a busy host writes them, the same for the same seed and clock.

    In a burst the records of a few events are interleaved; some events go on in a later one. Some
    lack the PROCTITLE, some take several EXECVE records, some are of no interest. Children come
    long after their parents, and the ends of sequences after their beginnings. `clock` gives
    milliseconds since the epoch. `expected` grows by what has been begun.
    """

    def __init__(self, seed: int, clock: Callable[[], int]) -> None:
        self.expected: list[Expected] = []
        self._random = Random(seed)
        self._clock = clock
        self._serials = count(1000)
        self._pids = count(2000)
        self._numbers = count(1)
        self._burst = 0
        self._ahead_ms = 0
        # What is still to be written: the rest of events, and what to do, each with its burst.
        self._rests: deque[tuple[int, list[bytes]]] = deque()
        self._later: list[tuple[int, int, Callable[[], list[bytes]]]] = []
        self._kinds: list[tuple[int, Callable[[], list[bytes]]]] = [
            (30, self._plain),
            (30, self._innocent),
            (8, self._without_proctitle),
            (8, self._child),
            (6, self._sequence),
            (5, self._user_record),
            (4, self._matched_twice),
            (2, self._no_sequence),
            (1, self._long),
        ]

    def burst(self) -> list[bytes]:
        """Return the next lines to write, without newlines."""
        self._burst += 1
        random = self._random
        weights, kinds = zip(*self._kinds, strict=True)
        queues = [kind() for kind in random.choices(kinds, weights, k=random.randint(1, 5))]
        while self._later and self._later[0][0] <= self._burst:
            queues.append(heapq.heappop(self._later)[2]())
        for number, queue in enumerate(queues):
            if len(queue) > 2 and random.random() < 0.15:
                at = random.randrange(1, len(queue))
                queues[number], rest = queue[:at], queue[at:]
                self._rests.append((self._burst + random.randint(1, _SPLIT), rest))
        # In any order but an event's own: due rests are of other events than the new ones.
        due = [rest for burst, rest in self._rests if burst <= self._burst]
        self._rests = deque(item for item in self._rests if item[0] > self._burst)
        return self._interleaved(queues + due)

    def rest(self) -> list[bytes]:
        """Return all that was begun and is not finished."""
        lines = [line for _, rest in self._rests for line in rest]
        self._rests.clear()
        while self._later:
            lines += heapq.heappop(self._later)[2]()
        return lines

    def sentinel(self) -> tuple[list[bytes], str]:
        """Return an event that is alerted when all before it have been, and its label.

        Its time is later by so much that no earlier event can still wait for records.
        """
        self._ahead_ms += _AFTER_ALL_MS
        lines = self._innocent() + self._innocent() + self._plain()
        return lines, self.expected[-1].label

    def _interleaved(self, queues: list[list[bytes]]) -> list[bytes]:
        lines = []
        queues = [queue[::-1] for queue in queues if queue]
        while queues:
            queue = self._random.choice(queues)
            lines.append(queue.pop())
            if not queue:
                queues.remove(queue)
        return lines

    def _in_a_while(self, what: Callable[[], list[bytes]]) -> None:
        at = self._burst + self._random.randint(_SPLIT + 1, _LATER)
        heapq.heappush(self._later, (at, next(self._numbers), what))

    def _exec(self, name: str, *arguments: bytes, **more: object) -> ExecOnKernel:
        now = self._clock() + self._ahead_ms
        exe = f"/usr/bin/{name}".encode()
        deed = ExecOnKernel(
            [name.encode(), *arguments],
            exe=exe,
            comm=name.encode()[:15],
            paths=[exe, b"/lib64/ld-linux-x86-64.so.2"],
            pid=next(self._pids),
            ppid=1,
            seconds=now // 1000,
            millis=now % 1000,
            serial=next(self._serials),
        )
        for field, value in more.items():
            setattr(deed, field, value)
        return deed

    def _label(self) -> str:
        return f"{_FOLDER}{next(self._numbers):07d}"

    def _alerting(
        self, name: str = "chmod", rules: tuple[str, ...] = (LABELLED,), **more: object
    ) -> ExecOnKernel:
        label = self._label()
        parent = more.pop("parent", None)
        assert parent is None or isinstance(parent, str)
        deed = self._exec(name, b"+x", label.encode(), **more)
        self.expected += [Expected(rule, label, deed.serial, parent) for rule in rules]
        return deed

    def _plain(self) -> list[bytes]:
        return self._alerting().lines()

    def _without_proctitle(self) -> list[bytes]:
        return self._alerting(proctitle=False).lines()

    def _matched_twice(self) -> list[bytes]:
        return self._alerting("install", (LABELLED, TWICE)).lines()

    def _long(self) -> list[bytes]:
        deed = self._alerting()
        long = "é".encode() * self._random.randint(4_000, 12_000)
        deed.arguments[1:1] = [b"v" * self._random.randint(5_000, 20_000), long]
        return deed.lines()

    def _innocent(self) -> list[bytes]:
        return self._exec("ls", b"-l", self._label().encode()).lines()

    def _user_record(self) -> list[bytes]:
        deed = self._exec("cron")
        body = (
            f"pid={deed.pid} uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:accounting"
            ' acct="root" exe="/usr/sbin/cron" hostname=? addr=? terminal=cron res=success\''
        )
        return [deed.line("USER_ACCT", body)]

    def _child(self) -> list[bytes]:
        name = f"parent-{next(self._numbers)}"
        parent = self._exec(name)
        self._in_a_while(lambda: self._alerting(ppid=parent.pid, parent=name).lines())
        return parent.lines()

    def _sequence(self) -> list[bytes]:
        first = self._exec("stage-one")

        def end() -> list[bytes]:
            last = self._alerting("stage-two", (SEQUENCE,), pid=first.pid)
            # The sequence is over: the same end once more is of no interest.
            again = self._exec("stage-two", b"+x", self._label().encode(), pid=first.pid)
            return last.lines() + again.lines()

        self._in_a_while(end)
        return first.lines()

    def _no_sequence(self) -> list[bytes]:
        return self._exec("stage-two", b"+x", self._label().encode()).lines()
