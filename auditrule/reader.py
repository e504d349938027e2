"""The reader: lines and blocks of the audit log in, ECS documents out."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from auditrule.audit.event import AuditEvent
from auditrule.audit.fact import ASKED, EXEC, event_of
from auditrule.audit.grammar import RecordError
from auditrule.audit.quick import match_header, type_of
from auditrule.audit.record import EventId, Record, event_id_of
from auditrule.audit.relevance import ALONE, Part, part_of, quick_part
from auditrule.audit.serials import TELLING
from auditrule.audit.syscalls import is_known
from auditrule.outlook import Outlook

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from auditrule.audit.fact import Fact
    from auditrule.audit.facts import Facts
    from auditrule.audit.reassembly import Reassembler
    from auditrule.audit.serials import SerialWatch
    from auditrule.ecs.mapping import DocumentMapper
    from auditrule.ecs.process import Image
    from auditrule.ecs.recorded import RecordedImage
    from auditrule.finding import Finder, Findings
    from auditrule.rules.prospects import Prospects

_log = logging.getLogger(__name__)
_SHOWN_BYTES = 80
_NO_EVENT = EventId(None, 0, 0, 0)
# A daemon reads a few lines at a time. To screen any takes a millisecond, for which so many can be
# read one by one.
_FEWEST_FOR_SCREEN = 200
_LEAST_FOR_SCREEN = 200 * _FEWEST_FOR_SCREEN
# So many bytes are cut into lines at once where lines have to be looked at.
_AT_ONCE = 4 << 10
_MOST_FINDERS = 16
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

Block: TypeAlias = bytes | bytearray
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


class Screened(Protocol):
    r"""A part of a log that is screened; places in it are those of the b"\n" before a line."""

    def find(self, at: int) -> tuple[str | None, Findings]:
        """Return what it says from `at` on, up to some place; nothing, if that is `at`.

        It comes with the host that the log names.
        """

    def lines(self, at: int) -> Sequence[bytes]:
        """Return some of the lines from `at` on, at least one."""


class DocumentReader:
    """Makes ECS documents of one log's lines, in order of their events' completion.

    They come as plain fields (Document.to_dict), which Document.model_validate makes models of.

    No line stops it: one that is no record is counted and passed over, and the first of them is
    said in the log. Records that do not tell of processes (auditrule.audit.relevance) are counted,
    and not looked at further. `serials`, if given, is told of every event, to know what the log
    should hold besides.

    `prospects`, if not None, tell which programs can meet no rule: of those there need be no
    document. With `exhaustive`, every line is looked at by itself and read by the grammar, and no
    program is left out; else whole blocks are screened (auditrule.audit.screen).
    """

    def __init__(
        self,
        *,
        reassembler: Reassembler,
        mapper: DocumentMapper,
        serials: SerialWatch | None = None,
        prospects: Prospects | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._reassembler = reassembler
        self._mapper = mapper
        self._exhaustive = exhaustive
        self.counts = Counts()
        self.serials = serials
        self.expect(prospects)
        # The event of the newest record, and how its line spells it: most records are of the same.
        self._event_id = _NO_EVENT
        self._event: tuple[bytes | None, ...] | None = None
        self._arch = b"c000003e"
        self._other_arch = b""

    def expect(self, prospects: Prospects | None) -> None:
        """Have other rules tell which programs they may match."""
        self._outlook = None if prospects is None else Outlook(prospects, self._mapper.who)
        self._finders: dict[tuple[bytes | None, bytes], Finder] = {}
        self._mapper.processes.forget_chances()

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
        if self._exhaustive or end - begin < _LEAST_FOR_SCREEN:
            for line in bytes(block[begin + 1 : end]).split(b"\n"):
                yield from self._line(line)
            return
        if self.serials is not None:
            _tell_serials(self.serials, block, begin, end)
        if not isinstance(block, bytes):
            block = bytes(memoryview(block)[: end + 1])
        yield from self.read_screened(_ScreenedBlock(block, end, self._finder), begin, end)
        self._note_last(block, begin, end)

    def read_screened(self, screened: Screened, at: int, end: int) -> Iterator[Fields]:
        """Take the lines from `at` to `end` of what is screened; yield as `read_block` does."""
        while at < end:
            if not self._reassembler:
                node, found = screened.find(at)
                if found.stop > at:
                    yield from self._take(node, found)
                    at = found.stop
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

    def _take(self, node: str | None, found: Findings) -> Iterator[Fields]:
        """Take what is found; yield the documents that are asked for."""
        facts = found.facts
        self.counts.records += found.records
        backlog = None
        if not any(sign in line for _, line in found.lines for sign in ALONE):
            backlog = self._mapper.take(node, facts, found.mentions)
        if backlog is None:
            yield from self._take_one_by_one(node, found)
        else:
            self.counts.events += len(facts)
            self.counts.execs += facts.execs
            for n, line in found.in_order(facts.asked):
                backlog.reach(n)
                if line is not None:
                    yield from self._line(line, is_told=True)
                elif not self._is_hopeless(node, fact := facts.fact(n)):
                    yield from self._document(fact)
            backlog.end_part()
        self._take_times(facts)

    def _take_one_by_one(self, node: str | None, found: Findings) -> Iterator[Fields]:
        """Take facts between which the host may have booted."""
        mapper, facts = self._mapper, found.facts.rows()
        for n, line in found.in_order(range(len(facts))):
            if line is not None:
                yield from self._line(line, is_told=True)
                continue
            fact = facts[n]
            mapper.look_for_boot_at(node, fact)
            self.counts.events += 1
            self.counts.execs += fact.what in (EXEC, ASKED)
            if fact.what == ASKED and not self._is_hopeless(node, fact):
                yield from self._document(fact)
            mapper.note(node, fact)

    def _document(self, fact: Fact) -> Iterator[Fields]:
        """Yield the document of a program's start, if it is still asked for, that is counted."""
        event = event_of(self._mapper.processes.text_of(fact))
        fields = self._mapper.fields(event, self._outlook, is_taken=True)
        if fields:
            self.counts.truncated += "truncated" in fields["auditd"]
            yield fields

    def _take_times(self, facts: Facts) -> None:
        """Take notice of the times of facts that were taken."""
        if not len(facts):
            return
        times = facts.times
        if not self._reassembler.pass_by(int(times.min()), int(times.max()), ends=facts.execs > 0):
            for time in times.tolist():
                self._reassembler.pass_time(time)

    def _is_hopeless(self, node: str | None, fact: Fact) -> bool:
        """Tell whether a program's start can meet no rule, now that its parent is known."""
        chances, outlook = fact.chances, self._outlook
        if chances is None or outlook is None:
            return False
        image: Image | RecordedImage | None = self._mapper.image_at_hand(node, fact)
        if image is None:
            parent = self._mapper.parent(node, fact)
            image = None if parent is None else parent.image
        return not chances[0] & outlook.of_children(image)

    def _note_last(self, block: Block, begin: int, end: int) -> None:
        """Take note of the newest record's event."""
        while end > begin:
            at = block.rfind(b"\n", begin, end)
            match = match_header(bytes(block[at + 1 : end]))
            if match is not None:
                self._event, self._event_id = match.group(1, 3, 4, 5), event_id_of(match)
                return
            end = at

    def finder_for(self, data: bytes) -> Finder | None:
        """Return the finder for a log that begins with `data`; None if it has to be read by lines.

        None as well where somebody wants to know of serials.
        """
        if self._exhaustive or self.serials is not None:
            return None
        match = _ARCH.search(data)
        if match is None or not is_known(int(match[1], 16)):
            return None
        self._arch = self._other_arch = match[1]
        block = b"\n" + data
        return self._finder(block, 0, len(block))

    def _finder(self, block: bytes, at: int, end: int) -> Finder | None:
        """Return the finder for what the block holds there, None where there is none."""
        if match := _ARCH.search(block, at, min(end, at + _AT_ONCE)):
            # A program of another architecture now and then is read by lines.
            arch = match[1]
            if arch != self._arch and arch == self._other_arch and is_known(int(arch, 16)):
                self._arch = arch
            self._other_arch = arch
        node = _NODE.match(block, at, end)
        key = (None if node is None else node[1], self._arch)
        finder = self._finders.get(key)
        if finder is None and len(self._finders) < _MOST_FINDERS:
            asked = None if self._outlook is None else self._outlook.asked
            # They take long to load, and a log may be empty.
            from auditrule.audit.screen import Screen
            from auditrule.finding import Finder

            screen = Screen(node=key[0], arch=key[1], asked=asked)
            finder = self._finders[key] = Finder(screen, self._outlook)
        return finder

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
        for event in events:
            for each in (*self._reassembler.over_before(event), event):
                self.counts.events += 1
                fields = self._mapper.fields(each, self._outlook)
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
        self, block: bytes, end: int, finder: Callable[[bytes, int, int], Finder | None]
    ) -> None:
        self._block = block
        self._end = end
        self._finder = finder

    def find(self, at: int) -> tuple[str | None, Findings]:
        """Return what it says from `at` on."""
        # It takes long to load, and a log may be empty.
        from auditrule.finding import Findings, text_in

        finder = self._finder(self._block, at, self._end)
        if finder is None:
            return None, Findings.nothing(at)
        found = finder.find(self._block, at, self._end)
        facts = found.facts.loaded(partial(text_in, self._block, 0))
        return finder.node, found._replace(facts=facts)

    def lines(self, at: int) -> Sequence[bytes]:
        """Return some of the lines from `at` on."""
        block, stop = self._block, self._end
        if stop - at > _AT_ONCE:
            stop = block.rfind(b"\n", at + 1, at + _AT_ONCE)
            if stop < 0:
                stop = block.find(b"\n", at + _AT_ONCE, self._end)
            if stop < 0:
                stop = self._end
        return block[at + 1 : stop].split(b"\n")


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
