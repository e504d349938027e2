"""What happens to the daemon besides being killed, while it runs and while it is down."""

from __future__ import annotations

import json
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kill.verdict import alert_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from kill.subject import Folder, Subject, WriterProcess


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault has at hand."""

    folder: Folder
    subject: Subject
    writer: WriterProcess
    random: Random


if TYPE_CHECKING:
    Fault = Callable[[Scene], None]

_DAY = 86_400


def rotate_several_times(scene: Scene) -> None:
    """Let the log be rotated several times, with something written in between."""
    for _ in range(scene.random.randint(2, 4)):
        scene.writer.tell("rotate")
        time.sleep(scene.random.uniform(0, 0.05))


def delete_state(scene: Scene) -> None:
    """Remove the state folder, where there is an alert that tells how far the daemon was."""
    if _last_whole_line(scene.folder.alerts) is not None:
        shutil.rmtree(scene.folder.state, ignore_errors=True)


def damage_checkpoint(scene: Scene) -> None:
    """Cut the checkpoint at any length, or turn a bit of it, or empty it."""
    if _last_whole_line(scene.folder.alerts) is None or not scene.folder.state.exists():
        return
    for path in scene.folder.state.iterdir():
        if path.name == "lock":
            continue
        data = bytearray(path.read_bytes())
        at = scene.random.randrange(len(data) + 1)
        match scene.random.choice(["cut", "cut", "flip", "empty", "zeros"]):
            case "flip" if at < len(data):
                data[at] ^= 1 << scene.random.randrange(8)
            case "zeros":  # what a crash of the machine leaves of a file that was not synced
                data[at:] = bytes(len(data) - at)
            case "empty":
                data.clear()
            case _:
                del data[at:]
        path.write_bytes(data)


def tear_alerts(scene: Scene) -> None:
    """Cut the alert file inside its last line, as a crash of the machine does.

    A line that the checkpoint relies on was brought to the disk before, and is left alone.
    """
    path = scene.folder.alerts
    if not path.exists():
        return
    data = path.read_bytes()
    end = data.rfind(b"\n", 0, len(data) - 1) + 1
    last = data[end:]
    if last.endswith(b"\n") and json.loads(last)["event"]["hash"] == _kept_alert(scene.folder):
        return
    if last:
        edges = [0, 1, len(last) - 1]
        at = scene.random.choice([*edges, *(scene.random.randrange(len(last)) for _ in range(9))])
        with path.open("r+b") as file:
            file.truncate(end + at)


def move_alerts(scene: Scene) -> None:
    """Move the alert file away, as logrotate does."""
    alerts = scene.folder.alerts
    if not alerts.exists() or not alerts.stat().st_size:
        return
    numbered = [(int(p.name.rpartition(".")[2]), p) for p in alert_files(alerts) if p != alerts]
    for number, path in sorted(numbered, reverse=True):
        path.rename(alerts.with_name(f"{alerts.name}.{number + 1}"))
    alerts.rename(alerts.with_name(f"{alerts.name}.1"))


def reload(scene: Scene) -> None:
    """Have settings and rules read again, some of the times with a broken rule among them."""
    broken = scene.folder.rules / "broken.toml"
    if broken.exists():
        broken.unlink()
    elif scene.random.random() < 0.5:
        broken.write_text("[rule]\nthis is no TOML")
    if scene.subject.is_ready():
        scene.subject.signal(signal.SIGHUP)


def be_quiet(scene: Scene) -> None:
    """Write nothing for about as long as events without an end are waited for."""
    scene.writer.tell("pause")
    time.sleep(scene.random.uniform(1.5, 2.5))
    if scene.random.random() < 0.5:
        scene.subject.kill()
        scene.subject.start()
    scene.writer.tell("go on")


def jump(scene: Scene) -> None:
    """Set the clock back by a day, or forward again."""
    scene.writer.tell(f"jump {scene.random.choice([-_DAY, _DAY])}")


def _last_whole_line(alerts: Path) -> bytes | None:
    for path in alert_files(alerts):
        if path.suffix != ".gz" and (lines := path.read_bytes().split(b"\n")[:-1]):
            return lines[-1]
    return None


def _kept_alert(folder: Folder) -> str | None:
    """Return the id of the last alert that the checkpoint knows of."""
    try:
        (path,) = folder.state.glob("checkpoint-????????????")
        state = json.loads(path.read_bytes().partition(b"\n")[2])
    except (OSError, ValueError):
        return None
    last = state["last_alert"]
    return None if last is None else str(last)
