"""The program: ``python -m auditrule``, and the console script."""

import os
import sys
from typing import NoReturn

from auditrule.cli import main


def run() -> NoReturn:
    """Run the command line, and end the process at once.

    To take apart all that was loaded, as Python does, would take a fiftieth of a second.
    """
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    try:
        # A stream that was closed from the beginning is None.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:
        status = status or 1
    os._exit(status)


if __name__ == "__main__":
    run()
