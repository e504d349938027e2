"""Run Elastic's detection rules on auditd's log.

For scripts: `replay` yields the alerts that rules raise over audit logs, `read_events` the ECS
documents of the programs that started. `Alert` and `Document` are pydantic models; `SourceError`
and `RulesError` tell what could not be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditrule.alerts.model import Alert
    from auditrule.api import RulesError, read_events, replay
    from auditrule.ecs.document import Document
    from auditrule.source.errors import SourceError

__version__ = "0.1.0"

__all__ = ["Alert", "Document", "RulesError", "SourceError", "__version__", "read_events", "replay"]

_HOMES = {
    "Alert": "auditrule.alerts.model",
    "Document": "auditrule.ecs.document",
    "RulesError": "auditrule.api",
    "SourceError": "auditrule.source.errors",
    "read_events": "auditrule.api",
    "replay": "auditrule.api",
}


def __getattr__(name: str) -> object:
    # Looked up when first used: the command line has no use for half of it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
