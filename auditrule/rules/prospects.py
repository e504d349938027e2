"""What may come of a program's start, as far as it is told by itself and by what its parent runs.

Most programs can meet no rule, whatever else is said of them; to find that out takes less than to
make a whole document of each and to ask all rules.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditrule.audit.asked import Asked
    from auditrule.rules.index import RuleIndex

_log = logging.getLogger(__name__)
ANY: Final = -1
"""All alternatives of all rules."""


class Prospects:
    """Which alternatives of rules are left, each a bit of a number.

    An event may meet those alone that are left both by its own fields and by those of its parent.
    `asked` are the programs that rules are about, None if any.
    """

    def __init__(self, index: RuleIndex, asked: Asked | None) -> None:
        self.asked = asked
        self._index = index
        self._is_broken = False

    def of(self, event: Mapping[str, object]) -> int:
        """Return what is left by what an event tells of itself (rules.index.is_own)."""
        try:
            return self._index.left_by_own(event)
        except Exception:
            return self._any()

    def of_children(self, event: Mapping[str, object]) -> int:
        """Return what is left by what an event's parent runs (rules.index.is_of_parent)."""
        try:
            return self._index.left_by_parent(event)
        except Exception:
            return self._any()

    def _any(self) -> int:
        """Tell that anything may be met: that the index failed must hide nothing."""
        if not self._is_broken:
            _log.exception("the index of rules failed, which costs time; this is logged once")
        self._is_broken = True
        return ANY
