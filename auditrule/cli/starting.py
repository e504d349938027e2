"""Starting quickly: nothing is done that a command line has no use for.

What is loaded is kept to the end, yet Python's collector of garbage would look through it again and
again, which takes a twelfth of the time of a start. Hundreds of rules leave garbage behind, though.
"""

from __future__ import annotations

import gc
import os

# A start with the bundled rule makes 76,000 objects.
_AT_ONCE = 100_000
# What comes and goes then, such as arrays and facts, is no garbage for the collector: to look for
# some every 700 objects took a twentieth of a replay.
_AFTERWARDS = 10_000


def begin() -> None:
    """Take notice that loading begins."""
    gc.set_threshold(_AT_ONCE, 10, 10)
    # numpy starts a thread on each processor for linear algebra, of which there is none here: it
    # took 0.1 s of CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nor is any plugin of pydantic wanted that happens to be installed; to look for them takes as
    # long as to read the rules.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def loaded() -> None:
    """Take notice that all is loaded: of that nothing is looked at any more."""
    gc.freeze()
    gc.set_threshold(_AFTERWARDS, 10, 10)
