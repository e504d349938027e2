"""Reading a field of an event, whatever shape the event's maker gave it.

An event is a mapping. `process.parent.name` is found nested
(`{"process": {"parent": {"name": …}}}`), dotted (`{"process.parent.name": …}`) or mixed
(`{"process.parent": {"name": …}}`); where an event gives it twice, the more deeply nested one
counts. As in Elasticsearch, an array is a field with several values, arrays in arrays are
flattened, an array of objects gives the values of all of them, and null, an empty array, an object
and a missing key are one and the same: the field is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Event: TypeAlias = Mapping[str, object]
Reader: TypeAlias = Callable[[Event], Sequence[object]]

# Values that are one value each and never absent: an array of these alone needs no flattening.
_PLAIN = frozenset({str, int, float, bool})

# For each position in the name: the keys that may come next, and the position each leads to.
_Steps: TypeAlias = tuple[tuple[tuple[str, int], ...], ...]


def reader(name: str) -> Reader:
    """Return a function that gives the values of the field in an event: none, one or several."""
    parts = name.split(".")
    count = len(parts)
    steps: _Steps = tuple(
        tuple((".".join(parts[start:end]), end) for end in range(start + 1, count + 1))
        for start in range(count)
    )
    find = nested(name)
    nowhere = absent(name)

    def read(event: Event) -> Sequence[object]:
        value = find(event)
        if value is None:
            return () if nowhere(event) else _search(event, steps, 0)
        if type(value) in _PLAIN:
            return (value,)
        if type(value) is list and _PLAIN.issuperset(map(type, value)):
            return value
        return _search(event, steps, 0)

    return read


def nested(name: str) -> Callable[[Event], object]:
    """Return a function that gives what stands at the field's place in a wholly nested event.

    It gives None where nothing stands there; the field may then be spelt in another way.
    """
    parts = name.split(".")
    if len(parts) == 1:
        return lambda event: event.get(name)
    # Spelt out, since a loop over the parts takes twice as long.
    first, second, *others = parts

    def find(event: Event) -> object:
        node = event.get(first)
        if type(node) is not dict:
            return None
        node = node.get(second)
        for part in others:
            if type(node) is not dict:
                return None
            node = node.get(part)
        return node

    return find


def absent(name: str) -> Callable[[Event], bool]:
    """Return a function that tells whether an event has no such field, as far as seen at once.

    It is asked where `nested` found nothing, and takes half the time of a search.
    """
    parts = name.split(".")
    count = len(parts)
    # For each object on the way: how the field could be spelt in it, and what leads on.
    levels = [
        (tuple(".".join(parts[start:end]) for end in range(start + 2, count + 1)), parts[start])
        for start in range(count)
    ]

    def nowhere(event: Event) -> bool:
        node: object = event
        for spelt_otherwise, part in levels:
            if type(node) is not dict:
                return node is None
            for key in spelt_otherwise:
                if key in node:
                    return False
            node = node.get(part)
        return node is None

    return nowhere


def _search(node: object, steps: _Steps, position: int) -> Sequence[object]:
    """Return the values below the node, of the first spelling of the name that has any."""
    if isinstance(node, Mapping):
        if position < len(steps):
            for key, following in steps[position]:
                child = node.get(key)
                if child is not None and (found := _search(child, steps, following)):
                    return found
        return ()
    if isinstance(node, list | tuple | set | frozenset):
        return [value for element in node for value in _search(element, steps, position)]
    return () if node is None or position < len(steps) else (node,)
