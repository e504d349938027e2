"""The catalogue: which ECS fields documents can have, which values, and what auditd must record.

It is read off the models (auditrule.ecs.document), so it cannot differ from what is written. A
field that a model allows one of a few values for, such as ``event.action``, has just those.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from auditrule.ecs.document import Document, RecordedBy

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {str: "keyword", int: "long", float: "float", bool: "boolean", datetime: "date"}


@dataclass(frozen=True, slots=True)
class CatalogueField:
    """A field that documents can have.

    `name` is dotted, `type` an Elasticsearch field type. `values` are all that the field can have,
    None where they are open; `always` tells that no document lacks it. `recorded_by` names the
    keys of the audit rules that fill it (config/audit.rules).
    """

    name: str
    type: str
    values: tuple[str, ...] | None
    always: bool
    recorded_by: tuple[str, ...]


@cache
def catalogue() -> dict[str, CatalogueField]:
    """Return the fields that documents can have, by name."""
    found = _fields_of(Document, "", always=True, recorded_by=Document.RECORDED_BY.keys)
    return {field.name: field for field in found}


def _fields_of(
    model: type[BaseModel], prefix: str, *, always: bool, recorded_by: tuple[str, ...]
) -> Iterator[CatalogueField]:
    for name, info in model.model_fields.items():
        path = f"{prefix}{info.alias or name}"
        keys = next((m.keys for m in info.metadata if isinstance(m, RecordedBy)), recorded_by)
        kind, optional = _without_none(info.annotation)
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        there = always and not optional
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields_of(kind, f"{path}.", always=there, recorded_by=keys)
            continue
        if get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        values = get_args(kind) if get_origin(kind) is Literal else None
        yield CatalogueField(path, _TYPES[type(values[0]) if values else kind], values, there, keys)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return an annotation without ``| None``, and whether it had that."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    kinds = [each for each in get_args(annotation) if each is not type(None)]
    if len(kinds) != 1:
        raise TypeError(f"a field of documents has several types: {annotation}")
    return kinds[0], True
