"""The scenarios that tests/capture.py performs; each module holds one family of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios import arguments, basic, packages, parents, programs, scripts
from scenarios.demo import DEMO

if TYPE_CHECKING:
    from scenarios.model import Scenario

__all__ = ["ALL", "DEMO"]

ALL: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (basic, parents, packages, arguments, scripts, programs)
    for scenario in module.SCENARIOS
}
