"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of the code: no example is late. What a change is judged by is the same
# each time; whoever runs the tests by hand looks at other examples each time.
settings.register_profile("by hand", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "by hand")

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


@pytest.fixture(scope="session")
def elastic_linux_rules() -> Path:
    """The folder of Elastic's rules for Linux, in a checkout that the environment names."""
    checkout = os.environ.get("DETECTION_RULES")
    if checkout is None:
        pytest.skip("DETECTION_RULES names no checkout of elastic/detection-rules")
    folder = Path(checkout) / "rules" / "linux"
    assert folder.is_dir(), f"DETECTION_RULES: {folder} is no folder"
    return folder


@pytest.fixture(scope="session")
def elastic_seed_rule() -> Path:
    """Elastic's own file of the bundled rule, which the environment names."""
    path = os.environ.get("AUDITRULE_SEED_RULE")
    if path is None:
        pytest.skip("AUDITRULE_SEED_RULE does not name Elastic's file of the rule")
    return Path(path)
