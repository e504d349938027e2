"""What is fuzzed, and what must hold whatever the input is. Each target raises on a finding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import patch

from auditrule import eql
from auditrule import reader as reader_module
from auditrule.audit.arguments import _read_as_the_kernel_writes, _read_by_grammar
from auditrule.audit.grammar import RecordError
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record
from auditrule.audit.serials import SerialWatch
from auditrule.audit.text import decode_text, encode_text
from auditrule.ecs.catalogue import catalogue
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper
from auditrule.ecs.process_table import ProcessTable
from auditrule.pipeline import conclude, detect
from auditrule.reader import Counts, DocumentReader
from auditrule.resources import bundled_rules
from auditrule.rules import Detector, load_rules
from auditrule.rules.runnable import runnable

if TYPE_CHECKING:
    from collections.abc import Callable

_RULES = runnable(load_rules([bundled_rules()]), catalogue()).rules
_EVENTS: list[dict[str, object]] = [
    {
        "@timestamp": "2024-05-01T10:30:00.000Z",
        "event": {"category": ["process"], "type": ["start"], "sequence": 7},
        "host": {"id": "h"},
        "process": {
            "name": "chmod",
            "args": ["chmod", "+x", "/etc/cron.d/x", "", "\ufffdff", "K"],
            "args_count": 6,
            "pid": 4_194_303,
            "executable": "/usr/bin/chmod",
            "parent": {"name": "sh", "args": []},
            "entity_id": "e",
        },
        "user": {"id": "0"},
        "source.ip": "10.0.0.1",
    },
    {"event.category": "process", "process.name": None, "@timestamp": 1714559400000},
    {"process": [{"name": ["a", 1, True, None, 1.5]}, {"name": {"x": "y"}}], "event": "no"},
    {},
]


def grammar(data: bytes) -> None:
    """Any line is a record, whose values can all be asked for, or a RecordError in the line.

    What is read quickly is what the grammar reads.
    """
    record, by_grammar = _parsed(data), _parsed(data, exhaustive=True)
    if isinstance(record, RecordError) or isinstance(by_grammar, RecordError):
        assert isinstance(record, RecordError)
        assert isinstance(by_grammar, RecordError)
        assert 1 <= record.column == by_grammar.column <= len(record.line) + 1
        return
    assert (record.type, record.event_id) == (by_grammar.type, by_grammar.event_id)
    for name, _ in by_grammar.fields + by_grammar.enriched:
        assert record.token(name) == by_grammar.token(name)
        assert record.interpretation(name) == by_grammar.interpretation(name)
    text = record.line.decode("latin-1")
    for name, token in record.fields + record.enriched:
        assert token in text
        json.dumps([record.text(name), record.number(name), record.number(name, 16)])
        json.dumps(record.interpretation(name))
        value = record.data(name)
        assert value is None or encode_text(decode_text(value)) == value
    body = text[record.body_start :]
    fast = _read_as_the_kernel_writes(body)
    assert fast is None or fast == _read_by_grammar(body)
    # A line that was read is read again the same.
    assert Record.parse(record.line).body == record.body


def _parsed(line: bytes, *, exhaustive: bool = False) -> Record | RecordError:
    try:
        return Record.parse(line, exhaustive=exhaustive)
    except RecordError as error:
        return error


def pipeline(data: bytes) -> None:
    """Any lines give documents or are counted; each record is in one event; nothing raises.

    A screened block gives what each line by itself does, read by the grammar.
    """
    lines = data.split(b"\n")
    reader = DocumentReader(
        reassembler=Reassembler(max_pending=3), mapper=DocumentMapper(table=ProcessTable())
    )
    documents = [*reader.read(lines), *reader.finish()]
    assert reader.counts.records + reader.counts.unparsed == len(lines)
    assert reader.counts.execs == len(documents)
    assert reader.pending == 0
    for document in documents:
        assert Document.model_validate(document).to_dict() == document
    detector = Detector(_RULES)
    for alert in [*detect(documents, detector), *conclude(detector)]:
        assert alert.id
    _reassemble(lines)
    assert _read(data) == _read(data, exhaustive=True)


def _read(data: bytes, *, exhaustive: bool = False) -> tuple[list[dict[str, object]], Counts]:
    mapper = DocumentMapper(table=ProcessTable(), exhaustive=exhaustive)
    reader = DocumentReader(reassembler=Reassembler(), mapper=mapper, exhaustive=exhaustive)
    block = b"\n%s\n" % data
    # However short it is.
    with patch.object(reader_module, "_LEAST_FOR_SCREEN", 0):
        documents = [*reader.read_block(block, 0, len(block) - 1), *reader.finish()]
    return documents, reader.counts


def _reassemble(lines: list[bytes]) -> None:
    reassembler, watch = Reassembler(max_pending=3, max_bytes=2000), SerialWatch()
    given: list[int] = []
    taken: list[int] = []
    for line in lines:
        record = _parsed(line)
        if isinstance(record, RecordError):
            continue
        watch.take(record)
        given.append(id(record))
        alone = record.type == "EOE"
        events = reassembler.push(record)
        got = [id(one) for event in events for one in event.records]
        if alone and id(record) not in got:
            given.pop()
        taken += got
        for event in events:
            assert {one.event_id for one in event.records} == {event.id}
    taken += [id(one) for event in reassembler.flush() for one in event.records]
    assert sorted(given) == sorted(taken)
    restored = SerialWatch()
    restored.restore(json.loads(json.dumps(watch.snapshot())))
    for each in (watch, restored):
        each.finish()
        assert each.lost >= 0
    assert watch.losses() == restored.losses()


def query(data: bytes) -> None:
    """Any text is a query or an EqlError that points into it; no query raises on any event."""
    head, _, tail = data.partition(b"\0")
    text = head.decode("utf-8", "surrogateescape") if b"\xed" in head else head.decode("latin-1")
    compiled = _compiled(text)
    if isinstance(compiled, eql.EqlError):
        assert "^" in str(compiled).splitlines()[-1]
        assert 1 <= compiled.line <= text.count("\n") + 1
        assert 1 <= compiled.column <= len(text.split("\n")[compiled.line - 1]) + 1
        return
    assert eql.compile(str(compiled)).tree == compiled.tree
    events = [*_EVENTS, *_event_of(tail)]
    if compiled.event_query is not None:
        for event in events:
            assert isinstance(compiled.matches(event), bool)
    else:
        running = compiled.matcher(max_open=50)
        for event in events * 3:
            running.push(event)
        running.finish()


def _compiled(text: str) -> eql.Query | eql.EqlError:
    try:
        return eql.compile(text)
    except eql.EqlError as error:
        return error


def _event_of(data: bytes) -> list[dict[str, object]]:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = {"process": {"name": data.decode("latin-1"), "args": [data.decode("latin-1")] * 3}}
        event["event"] = {"category": "process"}
    return [event] if isinstance(event, dict) else []


TARGETS: dict[str, Callable[[bytes], None]] = {
    "grammar": grammar,
    "pipeline": pipeline,
    "eql": query,
}
