"""The values that the events of a sequence or sample share."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from auditrule.eql.fields import Event, Reader, reader
from auditrule.eql.values import LARGEST, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditrule.eql.tree import JoinKey

Key: TypeAlias = tuple[str | None, ...]
Values: TypeAlias = tuple[object, ...]


class JoinKeys:
    """Reads the values of join keys in an event.

    Values are equal if their texts are: 4 and "4" are the same, as they are in a field that
    Elasticsearch has mapped; case counts. A field with several values makes the event take part
    once for each, and several such fields once for each combination (Elasticsearch 8.6 and later,
    PR 89965), but for no more than MOST combinations: an event with more counts in `cut`.

    An absent field makes the event take no part, but for an optional key, where absence is a value
    like any other. Where `fallbacks` names another field for the key's, that one is read where the
    first is absent, and where both are the key is as an optional one.
    """

    MOST = 256

    def __init__(self, keys: Sequence[JoinKey], fallbacks: Mapping[str, str]) -> None:
        self._parts = tuple(_part(key, fallbacks) for key in keys)
        self.cut = 0

    def read(self, event: Event) -> Sequence[tuple[Key, Values]]:
        """Return each key that the event has, once, beside the values as the event gives them."""
        found: list[tuple[Key, Values]] = [((), ())]
        combinations = 1
        for read, optional in self._parts:
            values = _texts(read(event))
            if not values:
                if not optional:
                    return ()
                values = {None: None}
            combinations *= len(values)
            longer = (
                ((*key, text), (*raw, value))
                for key, raw in found
                for text, value in values.items()
            )
            found = list(islice(longer, self.MOST))
        if combinations > self.MOST:
            self.cut += 1
        return found


def key_text(value: object) -> str | None:
    """Return the text by which a value is compared with others; None where it has none."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST:
        return str(int(value))
    text = as_text(value)
    if text is not None:
        return text
    try:
        # A number that is too long to be written in decimal, or what JSON does not have.
        return f"{value:#x}" if isinstance(value, int) else str(value)
    except Exception:
        return None


def _part(key: JoinKey, fallbacks: Mapping[str, str]) -> tuple[Reader, bool]:
    read = reader(key.name)
    other = fallbacks.get(key.name)
    if other is None:
        return read, key.optional
    read_other = reader(other)
    return (lambda event: read(event) or read_other(event)), True


def _texts(values: Sequence[object]) -> dict[str | None, object]:
    """Return the values by their texts, without those that have none."""
    if len(values) == 1 and isinstance(values[0], str):
        return {values[0]: values[0]}
    texts: dict[str | None, object] = {}
    for value in values:
        text = key_text(value)
        if text is not None:
            texts.setdefault(text, value)
    return texts
