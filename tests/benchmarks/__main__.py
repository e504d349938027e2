"""`python -m tests.benchmarks`: measure, and print Markdown tables."""

from __future__ import annotations

import sys
from pathlib import Path

# The tests import one another by module name, from the folder that pytest also puts there.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
