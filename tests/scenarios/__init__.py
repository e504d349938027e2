"""The scenarios that tests/capture.py performs; each module holds one family of them."""

from __future__ import annotations

from scenarios import arguments, basic, packages, parents, programs
from scenarios.model import Scenario

ALL: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (basic, parents, packages, arguments, programs)
    for scenario in module.SCENARIOS
}
