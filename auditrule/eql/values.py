"""How a value is read where a query asks for text, a number, a boolean or a point in time.

Elasticsearch knows each field's type from the index and refuses a literal of another. Here an event
may hold anything, and what the query asks for tells how it is read: 4 and "4" are the same text,
true is "true", "4" is the number 4, "four" is none. A value that cannot be read so is no such value
(None), and never an error.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from auditrule.eql.lexical import NUMBER

# Beyond these no field type of Elasticsearch has numbers, and CPython's conversions between text
# and int take quadratic time or raise.
LARGEST = 2**64
# No date of the calendar is longer, and neither is a number that is read.
_LONGEST = 64
_FURTHEST = 2**53

_number = re.compile(rf"[+-]?{NUMBER}")
_date = re.compile(
    r"\d{4}-\d\d-\d\d(?P<hour>[T ]\d\d(?P<minute>:\d\d(?P<second>:\d\d(?P<fraction>[.,]\d+)?)?)?"
    r"(?:Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
# How long is what a date names whose last part is this.
_SIZES = {"fraction": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000}
_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_milliseconds = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?", re.ASCII)


def as_text(value: object) -> str | None:
    """Return the value's text: a string's own, a number's or a boolean's as JSON writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value) if -LARGEST <= value <= LARGEST else None
    if isinstance(value, float):
        return float.__repr__(value)
    return value.isoformat() if isinstance(value, datetime) else None


def as_number(value: object) -> int | float | None:
    """Return the number that the value is or writes in decimal digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST and _number.fullmatch(value):
        return int(value) if value.lstrip("+-").isdecimal() else float(value)
    return None


def as_boolean(value: object) -> bool | None:
    """Return the boolean that the value is, or names as "true" or "false"."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


def as_number_or_time(value: object) -> int | float | None:
    """Return the number that the value is or writes, or the milliseconds of the date it writes."""
    number = as_number(value)
    if number is None and isinstance(value, str) and (named := period(value)) is not None:
        return named[0]
    return number


def period(text: str) -> tuple[int, int] | None:
    """Return the first and the last millisecond, since 1970 UTC, that a date in ISO 8601 names.

    Without an offset it is UTC. "2024-05-01" is the whole day, as Elasticsearch's fields of type
    `date` take it, "…T10:30" the minute, "…T10:30:00" the second. None is what is no date in the
    extended form, from the day down.
    """
    match = _date.fullmatch(text) if len(text) <= _LONGEST else None
    first = None if match is None else epoch_ms(text)
    if match is None or first is None:
        return None
    parts = match.groupdict()
    size = next((size for part, size in _SIZES.items() if parts[part] is not None), _DAY)
    return first, first + size - 1


def epoch_ms(value: object) -> int | None:
    """Return the moment in milliseconds since 1970 UTC, or None where the value names none.

    It may be a text in ISO 8601 (without an offset it is UTC), a datetime, or a number of
    milliseconds, also as a text. What is finer than a millisecond is cut off, as a field of
    Elasticsearch's type `date` does.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, datetime):
        return _from_datetime(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_FURTHEST < value < _FURTHEST:  # nan is not either
        return None
    return math.floor(value)


def _from_text(text: str) -> int | None:
    text = text.strip() if len(text) <= _LONGEST else ""
    if _milliseconds.fullmatch(text):
        return epoch_ms(math.floor(float(text)))
    try:
        return _from_datetime(datetime.fromisoformat(text))
    except ValueError:
        return None


def _from_datetime(value: datetime) -> int | None:
    try:
        if value.utcoffset() is None:
            value = value.replace(tzinfo=UTC)
        return (value - _EPOCH) // _MILLISECOND
    except Exception:
        # The value's time zone is code of the event's maker.
        return None
