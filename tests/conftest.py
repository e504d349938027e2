"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the program gives now as what it is to give; review the diff",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written rather than compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the fixtures."""
    return ROOT / "fixtures"


@pytest.fixture(scope="session")
def bundled_rule() -> Path:
    """The bundled rule's file."""
    name = "executable_bit_set_for_potential_persistence_script.toml"
    return ROOT / "config" / "rules" / name
