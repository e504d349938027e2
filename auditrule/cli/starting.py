"""Starting quickly: Python hardly looks for garbage while everything is being loaded.

What is loaded is kept to the end, yet the collector would look through it again and again, which
takes a twelfth of the time of a start. Hundreds of rules leave garbage behind, though.
"""

from __future__ import annotations

import gc

# A start with the bundled rule makes 76,000 objects.
_AT_ONCE = 100_000
# What comes and goes then, such as arrays and facts, is no garbage for the collector: to look for
# some every 700 objects took a twentieth of a replay.
_AFTERWARDS = 10_000


def begin() -> None:
    """Take notice that loading begins."""
    gc.set_threshold(_AT_ONCE, 10, 10)


def loaded() -> None:
    """Take notice that all is loaded: of that nothing is looked at any more."""
    gc.freeze()
    gc.set_threshold(_AFTERWARDS, 10, 10)
