"""The reader: lines and blocks of the audit log in, ECS documents out."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, fields
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from auditrule.audit.event import AuditEvent
from auditrule.audit.fact import ASKED, EXEC, LINE, WHAT, event_of, time_of
from auditrule.audit.grammar import RecordError
from auditrule.audit.quick import match_header, type_of
from auditrule.audit.record import EventId, Record, event_id_of
from auditrule.audit.relevance import Part, part_of, quick_part
from auditrule.audit.screen import Screen
from auditrule.audit.serials import TELLING
from auditrule.audit.syscalls import is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from auditrule.audit.asked import Asked
    from auditrule.audit.fact import Fact
    from auditrule.audit.reassembly import Reassembler
    from auditrule.audit.screen import Block
    from auditrule.audit.serials import SerialWatch
    from auditrule.ecs.mapping import DocumentMapper

_log = logging.getLogger(__name__)
_SHOWN_BYTES = 80
_NO_EVENT = EventId(None, 0, 0, 0)
# Fewer lines are read one by one.
_FEWEST_FOR_SCREEN = 8
# So many bytes are cut into lines at once where lines have to be looked at.
_AT_ONCE = 4 << 10
_MOST_SCREENS = 16
_ARCH = re.compile(rb"type=SYSCALL msg=audit\([^)]*\): arch=([0-9a-f]{1,8}) ")
_NODE = re.compile(rb"\nnode=([^ \n]+) ")
_TELLING_LINES = re.compile(
    rb"\n(?:node=[^ \n]+ )?type=(?:%s) [^\n]*" % b"|".join(sorted(TELLING)),
)
# The first record of each event, by its id; auditd numbers its own.
_IDS = re.compile(
    rb"\n(?:node=([^ \n]+) )?type=(?!DAEMON_)[^ \n]+ msg=audit\("
    rb"([0-9]{1,11})\.([0-9]{3}):([0-9]{1,18})\):"
)

Fields: TypeAlias = dict[str, Any]
"""A document as plain JSON types, nested, absent fields left out."""


@dataclass(slots=True)
class Counts:
    """What went through a reader.

    `records` are the lines that are audit records, `unparsed` those that are none. `events` are
    those that tell of processes, `execs` the programs that started, `truncated` those of the
    documents that lack arguments.
    """

    records: int = 0
    unparsed: int = 0
    events: int = 0
    execs: int = 0
    truncated: int = 0
    alerts: int = 0

    def add(self, other: Counts) -> None:
        """Add `other` to these."""
        for field in fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class ScreenedPart:
    """What a part of a log says, up to `stop`: the facts of `node`, and how many `records`.

    Lines that are facts themselves are among the records. The times are those of the facts.
    """

    node: str | None
    facts: Sequence[Fact]
    records: int
    stop: int
    oldest_ms: int | None = None
    newest_ms: int | None = None


class Screened(Protocol):
    r"""A part of a log that is screened; places in it are those of the b"\n" before a line."""

    def facts(self, at: int) -> ScreenedPart:
        """Return what it says from `at` on, up to some place; nothing, if that is `at`."""

    def lines(self, at: int) -> Sequence[bytes]:
        """Return some of the lines from `at` on, at least one."""


class DocumentReader:
    """Makes ECS documents of one log's lines, in order of their events' completion.

    They come as plain fields (Document.to_dict), which Document.model_validate makes models of.

    No line stops it: one that is no record is counted and passed over, and the first of them is
    said in the log. Records that do not tell of processes (auditrule.audit.relevance) are counted,
    and not looked at further. `serials`, if given, is told of every event, to know what the log
    should hold besides.

    `asked`, if not None, are the programs that somebody asks about: of others there need be no
    document. With `exhaustive`, every line is looked at by itself and read by the grammar, and no
    program is left out; else whole blocks are screened (auditrule.audit.screen).
    """

    def __init__(
        self,
        *,
        reassembler: Reassembler,
        mapper: DocumentMapper,
        serials: SerialWatch | None = None,
        asked: Asked | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._reassembler = reassembler
        self._mapper = mapper
        self._exhaustive = exhaustive
        self.counts = Counts()
        self.serials = serials
        self._asked = asked
        # The event of the newest record, and how its line spells it: most records are of the same.
        self._event_id = _NO_EVENT
        self._event: tuple[bytes | None, ...] | None = None
        self._screens: dict[tuple[bytes | None, bytes], Screen] = {}
        self._arch = b"c000003e"
        self._other_arch = b""

    @property
    def asked(self) -> Asked | None:
        """The programs that somebody asks about; None for any."""
        return self._asked

    @asked.setter
    def asked(self, asked: Asked | None) -> None:
        self._asked = asked
        self._screens.clear()

    @property
    def pending(self) -> int:
        """The number of events that wait for records."""
        return len(self._reassembler)

    def read(self, lines: Sequence[bytes]) -> Iterator[Fields]:
        """Take `lines`, without newlines; yield the documents that they complete."""
        if len(lines) < _FEWEST_FOR_SCREEN or self._exhaustive:
            for line in lines:
                yield from self._line(line)
        else:
            block = b"\n%s\n" % b"\n".join(lines)
            yield from self.read_block(block, 0, len(block) - 1)

    def read_block(self, block: Block, begin: int, end: int) -> Iterator[Fields]:
        r"""Take the lines of block[begin:end]; yield the documents that they complete.

        There is a b"\n" before each of them, and one at `end`.
        """
        if self._exhaustive:
            for line in bytes(block[begin + 1 : end]).split(b"\n"):
                yield from self._line(line)
            return
        if self.serials is not None:
            _tell_serials(self.serials, block, begin, end)
        yield from self.read_screened(_ScreenedBlock(block, end, self._screen), begin, end)
        self._note_last(block, begin, end)

    def read_screened(self, screened: Screened, at: int, end: int) -> Iterator[Fields]:
        """Take the lines from `at` to `end` of what is screened; yield as `read_block` does."""
        while at < end:
            if not self._reassembler:
                part = screened.facts(at)
                if part.stop > at:
                    yield from self._take(part)
                    at = part.stop
            if at < end:
                at = yield from self._by_lines(screened.lines(at), at)

    def _by_lines(self, lines: Sequence[bytes], at: int) -> Generator[Fields, None, int]:
        """Look at lines, which begin at `at`, until no event waits for records; return how far."""
        for line in lines:
            at += len(line) + 1
            yield from self._line(line, is_told=True)
            if not self._reassembler:
                break
        return at

    def _line(self, line: bytes, *, is_told: bool = False) -> Iterator[Fields]:
        """Take one line. `is_told` tells that the watch of serials knows of it already."""
        serials = self.serials
        match = None if self._exhaustive else match_header(line)
        if match is not None:
            self.counts.records += 1
            kind, event = match[2], match.group(1, 3, 4, 5)
            is_first = event != self._event
            if is_first:
                self._event, self._event_id = event, event_id_of(match)
            part = quick_part(kind, line, match.end())
            if is_told or not (is_first or kind in TELLING):
                serials = None
            if part is Part.NONE and serials is None and not self._reassembler:
                return
            if line.endswith(b"\r"):
                line = line[:-1]
            record = Record(line, type_of(kind), self._event_id, match.end())
        else:
            try:
                record = Record.parse(line, exhaustive=self._exhaustive)
            except RecordError as error:
                self._pass_over(line, error)
                return
            self.counts.records += 1
            self._event, self._event_id = None, record.event_id
            part = None
        if serials is not None:
            serials.take(record)
        if part is None:
            part = part_of(record)
        if part is Part.ALL:
            event_id = record.event_id
            yield from self._documents(self._reassembler.pass_time(event_id.time_ms))
            yield from self._documents([AuditEvent(event_id, (record,), whole=True)])
        elif part is Part.FIRST or record.event_id in self._reassembler:
            yield from self._documents(self._reassembler.push(record))

    def _take(self, part: ScreenedPart) -> Iterator[Fields]:
        """Take what the screen has found; yield the documents that are asked for."""
        facts, counts = part.facts, self.counts
        counts.records += part.records
        begin, execs = 0, 0
        for n, fact in enumerate(facts):
            what = fact[WHAT]
            if what == EXEC:
                execs += 1
            elif what >= ASKED:
                self._note(part.node, facts[begin:n])
                begin = n + 1
                text = self._mapper.processes.text_of(fact)
                if what == ASKED:
                    yield from self._documents([event_of(text)])
                else:
                    counts.records -= 1
                    yield from self._line(text, is_told=True)
        counts.execs += execs
        self._note(part.node, facts[begin:])
        if part.oldest_ms is not None and part.newest_ms is not None:
            ends = any(fact[WHAT] in (EXEC, ASKED) for fact in facts)
            if not self._reassembler.pass_by(part.oldest_ms, part.newest_ms, ends=ends):
                for fact in facts:
                    if fact[WHAT] != LINE:
                        self._reassembler.pass_time(time_of(self._mapper.processes.text_of(fact)))

    def _note(self, node: str | None, facts: Sequence[Fact]) -> None:
        if facts:
            self.counts.events += len(facts)
            self._mapper.note(node, facts)

    def _note_last(self, block: Block, begin: int, end: int) -> None:
        """Take note of the newest record's event."""
        while end > begin:
            at = block.rfind(b"\n", begin, end)
            match = match_header(bytes(block[at + 1 : end]))
            if match is not None:
                self._event, self._event_id = match.group(1, 3, 4, 5), event_id_of(match)
                return
            end = at

    def screen_for(self, data: bytes) -> Screen | None:
        """Return the screen for a log that begins with `data`; None if it has to be read by lines.

        None as well where somebody wants to know of serials.
        """
        if self._exhaustive or self.serials is not None:
            return None
        match = _ARCH.search(data)
        if match is None or not is_known(int(match[1], 16)):
            return None
        self._arch = self._other_arch = match[1]
        block = b"\n" + data
        return self._screen(block, 0, len(block))

    def _screen(self, block: Block, at: int, end: int) -> Screen | None:
        """Return the screen for what the block holds there, None where there is none."""
        if match := _ARCH.search(block, at, min(end, at + _AT_ONCE)):
            # A program of another architecture now and then is read by lines.
            arch = match[1]
            if arch != self._arch and arch == self._other_arch and is_known(int(arch, 16)):
                self._arch = arch
            self._other_arch = arch
        node = _NODE.match(block, at, end)
        key = (None if node is None else node[1], self._arch)
        screen = self._screens.get(key)
        if screen is None and len(self._screens) < _MOST_SCREENS:
            screen = Screen(node=key[0], arch=key[1], asked=self._asked)
            self._screens[key] = screen
        return screen

    def pass_time(self) -> Iterator[Fields]:
        """Yield the documents of events that no records will come for, as the newest one tells.

        A log that is being written may for long have nothing that tells of processes.
        """
        last = self.last
        if last is not None and self._reassembler:
            yield from self._documents(self._reassembler.pass_time(last.time_ms))

    @property
    def last(self) -> EventId | None:
        """The event of the newest record, None before the first."""
        return None if self._event_id is _NO_EVENT else self._event_id

    def snapshot(self) -> dict[str, Any]:
        """Return all that is remembered of the log so far, as JSON values."""
        return {
            "last": self.last,
            "serials": None if self.serials is None else self.serials.snapshot(),
            "reassembly": self._reassembler.snapshot(),
            "mapping": self._mapper.processes.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError, KeyError or TypeError where it is none."""
        if self.serials is not None:
            self.serials.restore(state["serials"])
        self._reassembler.restore(state["reassembly"])
        self._mapper.processes.restore(state["mapping"])
        self._event = None
        self._event_id = _NO_EVENT if state["last"] is None else EventId(*state["last"])

    @property
    def mapper(self) -> DocumentMapper:
        """What turns events into documents, and remembers the processes."""
        return self._mapper

    def finish(self) -> Iterator[Fields]:
        """Yield the documents of the events that were still waiting for records."""
        yield from self._documents(self._reassembler.flush())

    def _documents(self, events: Iterable[AuditEvent]) -> Iterator[Fields]:
        names = None if self._asked is None else self._asked.names
        for event in events:
            for each in (*self._reassembler.over_before(event), event):
                self.counts.events += 1
                fields = self._mapper.fields(each, names)
                if fields is not None:
                    self.counts.execs += 1
                    if fields:
                        self.counts.truncated += "truncated" in fields["auditd"]
                        yield fields

    def _pass_over(self, line: bytes, error: RecordError) -> None:
        self.counts.unparsed += 1
        if self.counts.unparsed == 1:
            _log.warning(
                "a line is %s; it is passed over, as are others like it: %r",
                error,
                line[:_SHOWN_BYTES],
            )


class _ScreenedBlock:
    """A block that is screened as its lines are asked for."""

    def __init__(
        self, block: Block, end: int, screen: Callable[[Block, int, int], Screen | None]
    ) -> None:
        self._block = block
        self._end = end
        self._screen = screen

    def facts(self, at: int) -> ScreenedPart:
        """Return what it says from `at` on."""
        block = self._block
        screen = self._screen(block, at, self._end)
        if screen is None:
            return ScreenedPart(None, [], 0, at)
        facts, stop, *times = screen.read(block, at, self._end)
        return ScreenedPart(screen.node, facts, block.count(b"\n", at, stop), stop, *times)

    def lines(self, at: int) -> Sequence[bytes]:
        """Return some of the lines from `at` on."""
        block, stop = self._block, self._end
        if stop - at > _AT_ONCE:
            stop = block.rfind(b"\n", at + 1, at + _AT_ONCE)
            if stop < 0:
                stop = block.find(b"\n", at + _AT_ONCE, self._end)
            if stop < 0:
                stop = self._end
        return bytes(block[at + 1 : stop]).split(b"\n")


def _tell_serials(serials: SerialWatch, block: Block, at: int, end: int) -> None:
    """Tell of the events of block[at:end], in order."""
    for telling in chain(_TELLING_LINES.finditer(block, at, end), [None]):
        stop = end if telling is None else telling.start()
        for event in dict.fromkeys(_IDS.findall(block, at, stop)):
            node, seconds, millis, serial = event
            name = node.decode("latin-1") if node else None
            serials.take_event(EventId(name, int(seconds), int(millis), int(serial)))
        if telling is not None:
            at = telling.end()
            match = match_header(telling[0][1:])
            if match is not None:
                serials.take(Record.parse(telling[0][1:]))
