"""A record: one line of auditd's log, its fields decoded on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from auditrule.audit.grammar import Body, Field, parse_body, parse_header
from auditrule.audit.quick import fields_by_name, first_fields, match_header, quick_fields, type_of
from auditrule.audit.text import decode_text
from auditrule.audit.values import decode_value, is_untrusted, read_number

if TYPE_CHECKING:
    import re


class EventId(NamedTuple):
    """What the records of one event have in common.

    The serial alone repeats after a reboot, and in the logs of several hosts; the three together
    do not. `node` is None where the log names no host.
    """

    node: str | None
    seconds: int
    millis: int
    serial: int

    @property
    def time_ms(self) -> int:
        """The event's time in milliseconds since the epoch."""
        return self.seconds * 1000 + self.millis

    def __str__(self) -> str:
        """Return the id as ausearch writes it, ``SECONDS.MILLIS:SERIAL``."""
        return f"{self.seconds}.{self.millis:03d}:{self.serial}"


def event_id_of(match: re.Match[bytes]) -> EventId:
    """Return the event of the record whose header match_header() has found."""
    node, seconds, millis, serial = match.group(1, 3, 4, 5)
    return EventId(
        None if node is None else node.decode("latin-1"), int(seconds), int(millis), int(serial)
    )


class Record:
    """One record of the log.

    The header is parsed at once, the body when a field is first asked for: most records belong to
    events that no rule looks at. Of several fields of one name the first counts, which is the
    kernel's. Values are decoded as auditrule.audit.values says; a field that is not there, or
    whose value means "absent", is None.
    """

    __slots__ = (
        "_body",
        "_by_name",
        "_enriched",
        "_others",
        "body_start",
        "event_id",
        "is_exhaustive",
        "line",
        "type",
    )

    def __init__(
        self,
        line: bytes,
        kind: str,
        event_id: EventId,
        body_start: int,
        *,
        is_exhaustive: bool = False,
    ) -> None:
        self.line = line
        self.type = kind
        """The record's type, such as ``SYSCALL``."""
        self.event_id = event_id
        """The event that the record belongs to."""
        self.body_start = body_start
        """Where the fields begin in the line."""
        self.is_exhaustive = is_exhaustive
        """Whether nothing but the grammar reads it."""
        self._body: Body | None = None
        self._by_name: dict[str, str] | None = None
        # The text of the fields behind those that are known by name, until one is asked for.
        self._others: str | None = None
        # The ENRICHED part by name, or its text until that is asked for.
        self._enriched: dict[str, str] | str = ""

    @classmethod
    def parse(cls, line: bytes, *, exhaustive: bool = False) -> Record:
        """Return the record in `line`, given without its newline.

        NULs before it (a file that lost power as it grew) and a carriage return behind it (a log
        that went through Windows) are no part of it. `exhaustive` has the grammar read all of it,
        which takes many times as long and gives the same. Raises RecordError where the line is no
        record.
        """
        line = line.lstrip(b"\0").removesuffix(b"\r")
        match = None if exhaustive else match_header(line)
        if match is not None:
            return cls(line, type_of(match[2]), event_id_of(match), match.end())
        header = parse_header(line)
        event_id = EventId(header.node, header.seconds, header.millis, header.serial)
        return cls(line, header.type, event_id, header.body_start, is_exhaustive=exhaustive)

    def __repr__(self) -> str:
        """Return a short form for tests and logs."""
        return f"<Record {self.type} {self.event_id}>"

    @property
    def body(self) -> Body:
        """The record's fields as they stand in it."""
        if self._body is None:
            self._body = parse_body(self._text())
        return self._body

    @property
    def fields(self) -> tuple[Field, ...]:
        """The record's fields in their order, values not decoded."""
        return self.body.fields

    @property
    def enriched(self) -> tuple[Field, ...]:
        """The fields that auditd added (``log_format = ENRICHED``), values not decoded."""
        return self.body.enriched

    def token(self, name: str) -> str | None:
        """Return the value of field `name` as it stands in the record."""
        if self._by_name is None:
            self._by_name = self._read()
        token = self._by_name.get(name)
        if token is None and self._others is not None:
            self._read_others()
            token = self._by_name.get(name)
        return token

    def data(self, name: str) -> bytes | None:
        """Return the value of field `name` as bytes."""
        token = self.token(name)
        if token is None:
            return None
        return decode_value(token, untrusted=is_untrusted(self.type, name))

    def text(self, name: str) -> str | None:
        """Return the value of field `name` as text (auditrule.audit.text)."""
        data = self.data(name)
        return None if data is None else decode_text(data)

    def number(self, name: str, base: int = 10) -> int | None:
        """Return the value of field `name` as a whole number of 64 bits, None where it is none."""
        token = self.token(name)
        return None if token is None else read_number(token, base)

    def interpretation(self, name: str) -> str | None:
        """Return what auditd says field `name` means, such as ``root`` for ``UID``.

        None where it says nothing or does not know: ``unset``, ``unknown(1000)``.
        """
        if self._by_name is None:
            self._by_name = self._read()
        if self._others is not None:
            self._read_others()
        if not self._enriched:
            return None
        if isinstance(self._enriched, str):
            self._enriched = fields_by_name(self._enriched)
        token = self._enriched.get(name)
        data = None if token is None else decode_value(token, untrusted=False)
        if not data or data == b"unset" or data.startswith(b"unknown("):
            return None
        return decode_text(data)

    def _text(self) -> str:
        return self.line[self.body_start :].decode("latin-1")

    def _read(self) -> dict[str, str]:
        """Return the fields by name; the first of a name counts."""
        text = self._text()
        first = None if self.is_exhaustive else first_fields(self.type, text)
        if first is not None:
            fields, end = first
            self._others = text[end:]
            return fields
        found = None if self.is_exhaustive else quick_fields(text)
        if found is not None:
            fields, self._enriched = found
            return fields
        return self._read_by_grammar()

    def _read_others(self) -> None:
        """Read what first_fields() has left."""
        others, self._others = self._others or "", None
        found = quick_fields(others)
        if found is None:
            self._by_name = self._read_by_grammar()
        else:
            fields, self._enriched = found
            self._by_name = fields | (self._by_name or {})

    def _read_by_grammar(self) -> dict[str, str]:
        self._enriched = {field.name: field.token for field in reversed(self.enriched)}
        return {field.name: field.token for field in reversed(self.fields)}
