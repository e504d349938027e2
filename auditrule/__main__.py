"""``python -m auditrule`` is the command ``auditrule``."""

from auditrule.cli import main

if __name__ == "__main__":
    main()
