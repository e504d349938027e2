"""``auditrule eql``: a query over events of any kind."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from auditrule import eql
from auditrule.cli.starting import loaded
from auditrule.source.errors import plain_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_STANDARD = "-"


def run_query(text: str, path: str, *, category_field: str, timestamp_field: str) -> bool:
    """Print what the query finds in a file of JSON lines; tell whether every line was an event.

    An event is printed as it was; the events of a sequence or sample as an object of `events` and
    `join_keys`.
    """
    loaded()
    try:
        query = eql.compile(text, category_field=category_field, timestamp_field=timestamp_field)
    except eql.EqlError as error:
        typer.echo(str(error), err=True)
        return False
    events = _Events()
    found = 0
    try:
        with nullcontext(sys.stdin.buffer) if path == _STANDARD else Path(path).open("rb") as file:
            for match in query.search(events.read(file)):
                found += 1
                typer.echo(json.dumps(_shown(match, query), ensure_ascii=False))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        typer.echo(f"{path}: {plain_reason(error)}", err=True)
        return False
    told = f"{_number(events.count, 'event')}, {_number(found, 'match', 'es')}"
    if events.refused:
        told += f", {_number(events.refused, 'line')} passed over"
    typer.echo(told, err=True)
    return not events.refused


def _number(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{'' if count == 1 else plural}"


class _Events:
    """Reads events, and counts the lines that are none; the first of them is told."""

    def __init__(self) -> None:
        self.count = 0
        self.refused = 0

    def read(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict):
                self.count += 1
                yield event
                continue
            self.refused += 1
            if self.refused == 1:
                typer.echo(f"line {number} is no JSON object; it is passed over", err=True)


def _shown(match: eql.Match, query: eql.Query) -> object:
    if len(match.events) == 1 and query.is_of_events:
        return match.events[0]
    return {"events": match.events, "join_keys": match.join_keys}
