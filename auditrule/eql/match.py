"""What a query found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditrule.eql.fields import Event


@dataclass(frozen=True, slots=True)
class Match:
    """One event, or the events of a sequence or sample and the values of the keys they share.

    The events stand in the order of the query's steps; a step that asks for a missing event
    (`![…]`) has none. `join_keys` are the values of the statement's own keys and then of the
    steps', as the events have them; None stands for the absence of an optional one.
    """

    events: tuple[Event, ...]
    join_keys: tuple[object, ...] = ()
