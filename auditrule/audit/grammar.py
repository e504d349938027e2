"""The grammar of one line of auditd's log: the one definition of what a record looks like.

A record is one line (auditd.conf(5), `log_format`; auditd's src/auditd-event.c)::

    [node=NAME ]type=TYPE msg=audit(SECONDS.MILLIS:SERIAL): BODY[<GS>ENRICHED]

BODY is a run of ``name=value`` fields with, in some records, stray words between them
(``avc:  denied  { read } for``). A record that came from user space ends in ``msg='TEXT'``; TEXT
is whatever a program sent, may hold quotes, and is one value here, never fields of the kernel's.
ENRICHED, after the separator 0x1d, holds what auditd looked up (``UID="root"``).

Lines are parsed one byte a character (Latin-1), so that a column is a byte's place and the grammar
never meets an encoding error. The header can fail, the body cannot: whatever is no field is a word.
Parsing takes time in proportion to the line, whatever is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyparsing as pp

if TYPE_CHECKING:
    import re

# Not by timestamp(), whose float rounds up to the year 10000.
_LAST_SECOND = (datetime.max - datetime(1970, 1, 1)) // timedelta(seconds=1)
_LAST_SERIAL = 2**63 - 1


class RecordError(ValueError):
    """A line is no audit record.

    `column` counts bytes from 1 and points at what was not understood; `reason` says what was
    expected there.
    """

    def __init__(self, line: bytes, column: int, reason: str) -> None:
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__(f"no audit record: {reason} at column {column}")


class Field(NamedTuple):
    """A field as it stands in the record; `token` is its value, not decoded yet (Latin-1)."""

    name: str
    token: str


class Header(NamedTuple):
    """What stands before a record's body.

    `seconds` and `millis` are the event's time since the epoch, `serial` its number; `body_start`
    is the offset of the body in the line.
    """

    node: str | None
    type: str
    seconds: int
    millis: int
    serial: int
    body_start: int


@dataclass(frozen=True, slots=True)
class Body:
    """A record's fields in their order, its stray words, and its ENRICHED fields apart."""

    fields: tuple[Field, ...]
    words: tuple[str, ...]
    enriched: tuple[Field, ...]


def parse_header(line: bytes) -> Header:
    """Return the header of the record in `line` (without its newline).

    Raises RecordError where the line does not begin as a record does.
    """
    try:
        header: Header = _HEADER.parse_string(line.decode("latin-1"))[0]
    except pp.ParseBaseException as error:
        raise RecordError(line, error.loc + 1, error.msg) from None
    return header


def parse_body(text: str) -> Body:
    """Return the body of a record, `text` being all of the line behind the header."""
    body, enriched = _BODY.parse_string(text, parse_all=True)
    return Body(
        tuple(item for item in body if isinstance(item, Field)),
        tuple(item for item in body if not isinstance(item, Field)),
        tuple(item for item in enriched if isinstance(item, Field)),
    )


def _header(text: str, _location: int, tokens: pp.ParseResults) -> Header:
    match: re.Match[str] = tokens[0]
    for step, expected in _HEADER_STEPS:
        if match[step] is None:
            raise pp.ParseException(text, match.end(), f"expected {expected}")
    seconds = int(match["seconds"])
    if seconds > _LAST_SECOND:
        raise pp.ParseException(text, match.start("seconds"), "expected a year before 10000")
    serial = int(match["serial"])
    if serial > _LAST_SERIAL:
        raise pp.ParseException(text, match.start("serial"), "expected a serial of 63 bits")
    return Header(
        match["node"],
        match["type"],
        seconds,
        int(match["millis"]),
        serial,
        match.end(),
    )


def _item(_text: str, _location: int, tokens: pp.ParseResults) -> Field | str:
    match: re.Match[str] = tokens[0]
    kind = match.lastgroup
    if kind == "value":
        return Field(match["name"], match["value"])
    if kind == "text":
        return Field("msg", match["text"])
    return match[0]


# --- the header -----------------------------------------------------------------------------------
# One expression that matches as far as the line is a header, so that a broken one is reported at
# the place where it breaks; a chain of elements, one a step, takes eight times as long.

_HEADER_STEPS = (
    ("type", "'type=NAME '"),
    ("msg", "'msg=audit('"),
    ("seconds", "the seconds and '.'"),
    ("millis", "three digits of milliseconds and ':'"),
    ("serial", "the serial and '):'"),
)
_HEADER = (
    pp.Regex(
        r"(?:node=(?P<node>[^ ]+) )?"
        r"(?:type=(?P<type>[^ ]+) "
        r"(?:(?P<msg>msg=audit\()"
        r"(?:(?P<seconds>[0-9]{1,12})\."
        r"(?:(?P<millis>[0-9]{3}):"
        r"(?:(?P<serial>[0-9]{1,20})\):)?)?)?)?)?",
        as_match=True,
    )
    .set_parse_action(_header)
    .leave_whitespace()
    .parse_with_tabs()
)

# --- the body -------------------------------------------------------------------------------------
# Spaces separate items; no other white space does. A text that a program sent ends at the last
# quote before the separator or the end of the line; cut short, it has no last quote. Only the
# kernel's part has such a text, so the search for its last quote is made once a line. What a brace
# opens ends before the next one that opens, so none is searched for the end of another.

_VALUE = r"(?P<value>\"[^\"\x1d]*\"|\{[^{}\x1d]*\}|[^ \x1d]*)"
_FIELD_OR_WORD = rf"(?P<name>[^ =\"'\x1d]+)={_VALUE}|[^ \x1d]+"
_TEXT = r"msg='(?P<text>(?s:.)*(?='(?:\x1d|\Z))|[^\x1d]*)'?"


def _items(pattern: str) -> pp.ParserElement:
    item = pp.Regex(pattern, as_match=True).set_parse_action(_item)
    return pp.ZeroOrMore(item.set_whitespace_chars(" "))


_SEPARATOR = pp.Regex(r"\x1d+").suppress().set_whitespace_chars(" ")
_SPACES = pp.Regex(r"[ \x1d]*").leave_whitespace().suppress()

_BODY = (
    pp.Group(_items(f"{_TEXT}|{_FIELD_OR_WORD}"))("body")
    + pp.Group((_SEPARATOR + _items(_FIELD_OR_WORD))[...])("enriched")
    + _SPACES
).parse_with_tabs()
