"""The arguments of a program from the EXECVE records of its event.

Source: `audit_log_execve_info` (kernel/auditsc.c). Arguments come in order, ``a0=… a1=…``, in as
many records as they need. One that is too long comes as its length, ``a2_len=40038``, and pieces,
``a2[0]=… a2[1]=…``, each quoted or hex by itself.

Anyone can give a program 700,000 arguments, which the grammar would take six seconds for. So a
record as the kernel writes it is read by one expression, which means the same; any other goes
through the grammar. A record's fields are not kept once they are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from auditrule.audit.grammar import parse_body
from auditrule.audit.values import decode_value, read_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditrule.audit.record import Record

# What a record says: argc, and for each argument field its index, piece (None for the whole
# argument, _LENGTH for its length) and token.
_Said: TypeAlias = "tuple[str | None, list[tuple[int, int | None, str]]]"

_PATTERN = r"a([0-9]{1,9})(?:(_len)|\[([0-9]{1,9})\])?"
_NAME = re.compile(rf"{_PATTERN}\Z")
_ENDS = r"(?= |\x1d|\Z)"
_COUNT = re.compile(rf" *argc=([^ \"{{\x1d]*){_ENDS}")
_FIELD = re.compile(rf" *{_PATTERN}=(\"[^\"\x1d]*\"|[^ \"{{\x1d]*){_ENDS}")
_END = re.compile(r" *(?:\x1d|\Z)")
_LENGTH = -1
# More empty arguments than this are not believed to have been left out (forged indexes must not
# make us build a list of their size).
_MOST_LEFT_OUT = 10_000


@dataclass(frozen=True, slots=True)
class Arguments:
    """A program's arguments.

    `values` holds the arguments that the log has, in order; `count` is argc as the kernel gave it,
    None where that record is missing; `truncated` tells that some argument, or a part of one, is
    missing from `values`.
    """

    values: tuple[bytes, ...]
    count: int | None
    truncated: bool


@dataclass(slots=True)
class _InPieces:
    length: int | None = None
    pieces: list[bytes] = field(default_factory=list)
    gap: bool = False
    first_is_hex: bool = False

    def add(self, piece: int, token: str) -> None:
        """Take the next piece, whose number is `piece`."""
        if piece != len(self.pieces):
            self.gap = True
        if not self.pieces:
            self.first_is_hex = not token.startswith('"')
        self.pieces.append(_argument_bytes(token))

    def is_whole(self) -> bool:
        """Compare the pieces with the length that the kernel announced.

        It counts the characters written, two a byte, if the argument begins with a hex piece.
        """
        if self.length is None:
            return not self.gap
        size = sum(map(len, self.pieces)) * (2 if self.first_is_hex else 1)
        return not self.gap and size == self.length


def assemble_arguments(records: Iterable[Record]) -> Arguments:
    """Return the arguments that the EXECVE `records` of one event hold, in order."""
    count: int | None = None
    # Most arguments are written whole; there may be hundreds of thousands.
    arguments: dict[int, bytes | _InPieces] = {}
    begin_a_record: set[int] = set()
    for position, record in enumerate(records):
        text = record.line[record.body_start :].decode("latin-1")
        quick = None if record.is_exhaustive else _read_as_the_kernel_writes(text)
        said, fields = quick or _read_by_grammar(text)
        if count is None and said is not None:
            told = read_number(said)
            count = told if told is None or told >= 0 else None
        if position and fields and fields[0][0] not in arguments:
            begin_a_record.add(fields[0][0])
        for index, piece, token in fields:
            if piece is None and index not in arguments:
                arguments[index] = _argument_bytes(token)
                continue
            argument = arguments.setdefault(index, _InPieces())
            if isinstance(argument, bytes):
                # The same once more: no kernel writes that.
                argument = arguments[index] = _InPieces(pieces=[argument], gap=True)
            if piece == _LENGTH:
                argument.length = read_number(token[:12])
            else:
                argument.add(piece or 0, token)
    return _in_order(arguments, begin_a_record, count)


def _read_as_the_kernel_writes(text: str) -> _Said | None:
    """Return what a record's body says, None where it is not of the kernel's form."""
    count = _COUNT.match(text)
    end = 0 if count is None else count.end()
    fields = []
    for match in _FIELD.finditer(text, end):
        if match.start() != end:
            return None
        end = match.end()
        fields.append(_field(match, match[4]))
    if _END.match(text, end) is None:
        return None
    return None if count is None else count[1], fields


def _read_by_grammar(text: str) -> _Said:
    count: str | None = None
    fields = []
    for name, token in parse_body(text).fields:
        match = _NAME.match(name)
        if match is not None:
            fields.append(_field(match, token))
        elif name == "argc" and count is None:
            count = token
    return count, fields


def _field(match: re.Match[str], token: str) -> tuple[int, int | None, str]:
    index, is_length, piece = match.group(1, 2, 3)
    if is_length:
        return int(index), _LENGTH, token
    return int(index), None if piece is None else int(piece), token


def _argument_bytes(token: str) -> bytes:
    # An argument is never absent: a bare "(null)" or "?" is not how the kernel writes one, but
    # a program may well be called with one.
    data = decode_value(token, untrusted=True)
    return token.encode("latin-1") if data is None else data


def _in_order(
    arguments: dict[int, bytes | _InPieces], begin_a_record: set[int], count: int | None
) -> Arguments:
    values: list[bytes] = []
    truncated = count is None
    expected, left_out = 0, 0
    for index in sorted(arguments):
        argument = arguments[index]
        gap = index - expected
        if gap:
            # Old kernels leave empty arguments out. Between two of one record, or behind argc,
            # nothing else can be missing; across records a lost record can.
            begun = bool(values) or count is not None
            if begun and index not in begin_a_record and left_out + gap <= _MOST_LEFT_OUT:
                left_out += gap
                values.extend([b""] * gap)
            else:
                truncated = True
        if isinstance(argument, bytes):
            values.append(argument)
        else:
            truncated = truncated or not argument.is_whole()
            values.append(b"".join(argument.pieces))
        expected = index + 1
    truncated = truncated or expected != count
    return Arguments(tuple(values), count, truncated)
