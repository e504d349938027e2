"""What a running statement keeps, as JSON values, for a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from auditrule.eql.tree import Statement

State: TypeAlias = dict[str, Any]


def state_of(statement: Statement, **state: object) -> State:
    """Return the state with the statement's text, by which it is known again."""
    return {"statement": str(statement), **state}


def check_owner(state: State, statement: Statement) -> None:
    """Raise ValueError if the state is another statement's."""
    if state["statement"] != str(statement):
        raise ValueError(f"the state is that of another statement: {state['statement']}")
