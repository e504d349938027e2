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

    def read(event: Event) -> Sequence[object]:
        node: object = event
        for part in parts:
            if type(node) is not dict:
                return _search(event, steps, 0)
            node = node.get(part)
        if type(node) in _PLAIN:
            return (node,)
        if type(node) is list and _PLAIN.issuperset(map(type, node)):
            return node
        return _search(event, steps, 0)

    return read


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
