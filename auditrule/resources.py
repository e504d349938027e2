"""Where the files that come with the program are: the bundled rules and settings."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def config_folder() -> Path:
    """Return the folder of the operator's files: in a wheel inside the package, else `config/`."""
    packaged = _PACKAGE / "_config"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "config"


def bundled_rules() -> Path:
    """Return the folder of the rules that are used unless others are named."""
    return config_folder() / "rules"
