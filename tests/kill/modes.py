"""The ways in which the daemon is treated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kill import faults

if TYPE_CHECKING:
    from kill.faults import Fault


@dataclass(frozen=True, slots=True)
class Mode:
    """How the log is written, and what happens to the daemon while it runs and while it is down.

    `writer` and `daemon` are settings that differ from the usual ones. A fault strikes with the
    probability `often`. `gentle` ends the daemon with SIGTERM.
    """

    name: str
    writer: dict[str, Any] = field(default_factory=dict)
    daemon: dict[str, Any] = field(default_factory=dict)
    running: tuple[Fault, ...] = ()
    down: tuple[Fault, ...] = ()
    often: float = 1.0
    gentle: bool = False


# What is lost with the state is looked up in all of the log, again and again: less to read.
_LITTLE = {"rate": 60.0, "size": 100_000}
_ROTATED = {"size": 400_000}

MODES = {
    mode.name: mode
    for mode in [
        Mode("rename", _ROTATED),
        Mode("every 50 ms", {"every": 0.05}),
        Mode("while down", _ROTATED, down=(faults.rotate_several_times,)),
        Mode(
            "copytruncate",
            {"style": "copytruncate", "size": 150_000},
            down=(faults.rotate_several_times,),
            often=0.3,
        ),
        Mode(
            "compress",
            {"style": "compress", "size": 150_000},
            down=(faults.rotate_several_times,),
            often=0.5,
        ),
        Mode(
            "delaycompress",
            {"style": "delaycompress", "size": 150_000},
            down=(faults.rotate_several_times,),
            often=0.5,
        ),
        Mode("state deleted", _LITTLE, down=(faults.delete_state,), often=0.5),
        Mode("checkpoint damaged", _LITTLE, down=(faults.damage_checkpoint,), often=0.5),
        # Seldom a checkpoint, so that the last line is rarely one that it relies on.
        Mode("alerts torn", _ROTATED, {"interval": 2.0}, down=(faults.tear_alerts,)),
        Mode("alerts moved", _ROTATED, running=(faults.move_alerts,), down=(faults.move_alerts,)),
        Mode("alerts rotated", _ROTATED, {"rotate_size": 40_000}),
        Mode("alerts compressed", _ROTATED, {"rotate_size": 40_000, "compress": True}),
        Mode("reload", _ROTATED, running=(faults.reload,)),
        Mode("terminated", _ROTATED, gentle=True),
        Mode("clock", _ROTATED, running=(faults.jump,), often=0.3),
        # With the setting's default, which pauses of the log are about as long as.
        Mode("quiet", _ROTATED, {"max_age": 2.0}, running=(faults.be_quiet,)),
        Mode(
            "all at once",
            _LITTLE,
            running=(faults.reload, faults.move_alerts),
            down=(
                faults.rotate_several_times,
                faults.delete_state,
                faults.damage_checkpoint,
                faults.tear_alerts,
            ),
            often=0.3,
        ),
    ]
}
