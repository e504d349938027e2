"""One run: a daemon killed a number of times in one mode, and the verdict."""

from __future__ import annotations

import shutil
import signal
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from kill.faults import Scene
from kill.subject import Folder, StuckError, Subject, WriterProcess
from kill.verdict import Verdict, alert_files, compare
from kill.writer import WriterSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kill.modes import Mode

_FIRST = (
    b"type=DAEMON_START msg=audit(1700000000.000:7000): op=start ver=3.0.9 format=enriched"
    b" kernel=6.18 auid=4294967295 pid=500 uid=0 ses=4294967295 res=success\n"
)
_IDLE_SECONDS = 15.0
_IDLE_CPU = 0.5


@dataclass(slots=True)
class Result:
    """What came of a run; `folder` is kept where something was wrong."""

    mode: str
    seed: int
    kills: int = 0
    events: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    seconds: float = 0.0
    folder: Path | None = None


def run(mode: Mode, kills: int, seed: int, path: Path) -> Result:
    """Kill the daemon so many times, in a new folder at `path`; a good run's is removed again."""
    began = time.monotonic()
    result = Result(mode.name, seed, folder=path)
    random = Random(seed)
    folder = Folder(path)
    usual: dict[str, Any] = {
        "interval": random.choice([0.0, 0.02, 0.2, 1.0]),
        "fsync": random.choice(["always", "interval", "never"]),
    }
    folder.configure(**usual | mode.daemon)
    settings = {"by_record": random.random() < 0.5, **mode.writer}
    with Subject(folder) as subject:
        try:
            # In a log that is empty there is nothing yet that it could be known by.
            folder.log.write_bytes(random.choice([b"", _FIRST]))
            subject.start()
            subject.wait_ready()
            with WriterProcess(
                WriterSettings(str(folder.log), str(folder.expected), seed=seed, **settings)
            ) as writer:
                scene = Scene(folder, subject, writer, random)
                while result.kills < kills:
                    _end_once(scene, mode)
                    result.kills += 1
                _drain(scene)
                _restart_idle(scene)
                status = subject.stop()
            result.verdict = compare(folder.alerts, folder.expectations())
            if status != 0:
                result.verdict.wrong.append(f"exit status {status}: {subject.said[-500:]}")
            result.verdict.wrong += _left_over(folder)
        except StuckError as error:
            result.verdict.wrong.append(str(error))
            if folder.expected.exists():
                result.verdict.lost = compare(folder.alerts, folder.expectations()).lost
    if folder.expected.exists():
        result.events = len(folder.expectations())
    result.seconds = time.monotonic() - began
    if not result.verdict:
        shutil.rmtree(path)
        result.folder = None
    return result


def _end_once(scene: Scene, mode: Mode) -> None:
    """Let the daemon run for a while, end it, do what is to be done while it is down, restart."""
    random, subject = scene.random, scene.subject
    for fault in mode.running:
        if random.random() < mode.often:
            subject.wait_ready()
            time.sleep(random.uniform(0, 0.3))
            fault(scene)
    _wait_for_the_moment(scene)
    if mode.gentle:
        _end_gently(subject)
    else:
        subject.check()
        subject.kill()
    for fault in mode.down:
        if random.random() < mode.often:
            fault(scene)
    time.sleep(random.choice([0, 0, random.uniform(0, 0.3)]))
    subject.start()


def _end_gently(subject: Subject) -> None:
    was_ready = subject.is_ready()
    status = subject.stop()
    # Before the daemon has its handlers, a signal ends it as it ends any process.
    if status != 0 and (was_ready or status != -signal.SIGTERM):
        raise StuckError(f"SIGTERM gave the exit status {status}: {subject.said[-2000:]}")


def _wait_for_the_moment(scene: Scene) -> None:
    """Wait for a random moment: of the start, of running, or of changes to state and alerts."""
    random, subject = scene.random, scene.subject
    moment = random.random()
    if moment < 0.35:
        time.sleep(random.uniform(0, 1.2 * subject.start_seconds))
        return
    subject.wait_ready()
    if moment < 0.65:
        time.sleep(random.uniform(0, 0.8))
        return
    folder = random.choice([scene.folder.state, scene.folder.alerts.parent])
    before = _changed_at(folder)
    end = time.monotonic() + 1.0
    while _changed_at(folder) == before and time.monotonic() < end:
        time.sleep(0.0002)
    time.sleep(random.uniform(0, 0.003))


def _changed_at(folder: Path) -> int:
    """Return when a name in the folder was made, renamed or removed last."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _drain(scene: Scene) -> None:
    """Let the daemon come to the end of what was written, or of its progress."""
    scene.subject.wait_ready()
    scene.writer.tell("finish")
    scene.writer.tell("sentinel")
    expected = scene.folder.expectations()
    size, cpu, since = 0, 0.0, time.monotonic()
    while True:
        scene.subject.check()
        now_size, now_cpu = _bytes_in(alert_files(scene.folder.alerts)), scene.subject.cpu_seconds
        if now_size != size or now_cpu - cpu > _IDLE_CPU:
            size, cpu, since = now_size, now_cpu, time.monotonic()
        elif time.monotonic() - since > _IDLE_SECONDS:
            return
        began = time.monotonic()
        if not compare(scene.folder.alerts, expected).lost:
            return
        time.sleep(max(0.2, 3 * (time.monotonic() - began)))


def _restart_idle(scene: Scene) -> None:
    """Restart when nothing is left to do: nothing may come but what is new."""
    if (status := scene.subject.stop()) != 0:
        raise StuckError(f"SIGTERM gave the exit status {status}: {scene.subject.said[-2000:]}")
    scene.subject.start()
    _drain(scene)


def _bytes_in(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _left_over(folder: Folder) -> list[str]:
    known = set(alert_files(folder.alerts))
    return [
        f"left over beside the alerts: {path.name}"
        for path in folder.alerts.parent.iterdir()
        if path not in known
    ]
