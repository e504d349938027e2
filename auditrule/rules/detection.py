"""What a detector finds."""

from collections.abc import Mapping
from dataclasses import dataclass

from auditrule.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class Detection:
    """A rule, and the events that match it: one, or those of a sequence or sample in its order.

    The events are the mappings that were given, the same objects while they are in memory.
    `join_keys` are the values that the events of a sequence or sample share.
    """

    rule: Rule
    events: tuple[Mapping[str, object], ...]
    join_keys: tuple[object, ...] = ()
