"""The arguments of a program from the EXECVE records of its event.

Source: `audit_log_execve_info` (kernel/auditsc.c). Arguments come in order, ``a0=… a1=…``, in as
many records as they need. One that is too long comes as its length, ``a2_len=40038``, and pieces,
``a2[0]=… a2[1]=…``, each quoted or hex by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditrule.audit.values import decode_value, read_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditrule.audit.record import Record

_NAME = re.compile(r"a([0-9]{1,9})(?:(_len)|\[([0-9]{1,9})\])?\Z")
# More empty arguments than this between two others are not believed (a forged index must not
# make us build a list of its size).
_MAX_GAP = 10_000


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
class _Argument:
    record: int
    length: int | None = None
    pieces: list[bytes] = field(default_factory=list)
    gap: bool = False
    first_is_hex: bool = False

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
    arguments: dict[int, _Argument] = {}
    for position, record in enumerate(records):
        if count is None:
            told = record.number("argc")
            count = told if told is None or told >= 0 else None
        for index, piece, token in _argument_fields(record):
            argument = arguments.setdefault(index, _Argument(position))
            if piece is None:
                argument.length = read_number(token)
                continue
            if piece != len(argument.pieces):
                argument.gap = True
            if not argument.pieces:
                argument.first_is_hex = not token.startswith('"')
            argument.pieces.append(_argument_bytes(token))
    return _in_order(arguments, count)


def _argument_fields(record: Record) -> Iterator[tuple[int, int | None, str]]:
    """Yield index, piece (None for a length) and token of each argument field of `record`."""
    for name, token in record.fields:
        match = _NAME.match(name)
        if match is None:
            continue
        if match[2]:
            yield int(match[1]), None, token[:12]
        else:
            yield int(match[1]), int(match[3] or 0), token


def _argument_bytes(token: str) -> bytes:
    # An argument is never absent: a bare "(null)" or "?" is not how the kernel writes one, but
    # a program may well be called with one.
    data = decode_value(token, untrusted=True)
    return token.encode("latin-1") if data is None else data


def _in_order(arguments: dict[int, _Argument], count: int | None) -> Arguments:
    values: list[bytes] = []
    truncated = count is None
    expected = 0
    previous_record = 0
    for index in sorted(arguments):
        argument = arguments[index]
        gap = index - expected
        if gap:
            # Old kernels leave empty arguments out. Between two of one record, or behind argc,
            # nothing else can be missing; across records a lost record can.
            begun = bool(values) or count is not None
            if begun and argument.record == previous_record and gap <= _MAX_GAP:
                values.extend([b""] * gap)
            else:
                truncated = True
        truncated = truncated or not argument.is_whole()
        values.append(b"".join(argument.pieces))
        expected = index + 1
        previous_record = argument.record
    truncated = truncated or expected != count
    return Arguments(tuple(values), count, truncated)
