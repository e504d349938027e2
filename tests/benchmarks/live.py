"""The daemon live: how long an alert takes, and how much of a core the daemon.

A writer process appends execs to a real file at a set rate while `auditrule run` follows it with
its default settings. An alert's latency is the time from just before the write of its exec's
records to when its line can be read from the alert file, which is looked at every millisecond: so
it is up to a millisecond too long.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditrule.daemon.health import Health, read_health
from benchmarks.live_writer import Report, Wish
from benchmarks.running import FailedError, auditrule, print_table, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TESTS = Path(__file__).parents[1]
_PATIENCE = 60.0
_TICK = 0.001
_SAMPLE_NS = 100_000_000
_LABEL = re.compile(rb"bench-\d{8}")
P50_MS, P99_MS, LOADED, IDLE = 10.0, 50.0, 0.5, 0.002
"""The goals: milliseconds to an alert, shares of a core under load and when nothing is written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a run.

    latencies: seconds to each alert, in the order of writing. core: the daemon's share of a core
    while there was writing. caught_up: seconds from the last write to the last alert. lost: how
    many alerts did not come. unread: bytes of the log, in the first status after the last write.
    peak: the daemon's peak memory in bytes.
    """

    report: Report
    latencies: tuple[float, ...]
    core: float
    caught_up: float
    lost: int
    unread: int
    peak: int


def measure_live(
    rates: Sequence[int], matches: int, seconds: float, records_per_exec: float, folder: Path
) -> None:
    """Measure each rate (execs a second), and print the tables."""
    seen = {}
    for rate in rates:
        tell(f"live, {rate:,} execs a second for {seconds:g} seconds")
        place = folder / f"live-{rate}"
        wish = Wish(
            log=str(place / "audit.log"),
            report=str(place / "report.json"),
            rate=rate,
            matches=matches,
            seconds=seconds,
            records_per_exec=records_per_exec,
        )
        seen[rate] = observe(wish, place)
    head = ("live", *(f"{rate:,} execs a second" for rate in rates))
    print_table(head, _rows(seen))


def measure_idle(seconds: float, folder: Path) -> None:
    """Measure the daemon while nothing is written, and print the table."""
    tell(f"idle for {seconds:g} seconds")
    with _daemon(folder / "idle") as pid:
        before, began = _cpu_seconds(pid), time.monotonic()
        time.sleep(seconds)
        core = (_cpu_seconds(pid) - before) / (time.monotonic() - began)
    print_table(
        ("live, nothing written", f"{seconds:g} seconds"),
        [
            ("of a core", f"{core:.3%}"),
            (f"goal: under {IDLE:.1%} of a core", "yes" if core < IDLE else "no"),
        ],
    )


def observe(wish: Wish, folder: Path) -> Seen:
    """Let a daemon follow what a writer writes. Raises FailedError if either fails."""
    with _daemon(folder) as pid:
        writer = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live_writer", wish.to_json()], cwd=_TESTS
        )
        try:
            watched = _Watch(pid, folder / "alerts.ndjson")
            report = watched.until_done(writer, Path(wish.report))
        finally:
            writer.kill()
            writer.wait()
        health = _last_health(folder / "state", report.ended)
        peak = _peak(pid)
    seen = watched.seen
    return Seen(
        report,
        tuple((seen[each] - at) / 1e9 for each, at in report.times.items() if each in seen),
        watched.core(report.began, report.ended),
        max(0.0, (max(seen.values(), default=0) - max(report.times.values())) / 1e9),
        len(report.times.keys() - seen.keys()),
        health.lag_bytes,
        peak,
    )


class _Watch:
    """Notes when each label's alert is there, and the daemon's CPU time now and then."""

    def __init__(self, pid: int, alerts: Path) -> None:
        self._pid = pid
        self._alerts = alerts
        self._cpu: list[tuple[int, float]] = []
        self.seen: dict[str, int] = {}

    def until_done(self, writer: subprocess.Popen[bytes], path: Path) -> Report:
        """Watch until all alerts are there that the writer's report wants, or time is up."""
        report: Report | None = None
        end = 0.0
        file = os.open(self._alerts, os.O_RDONLY)
        try:
            rest = b""
            while report is None or not self.seen.keys() >= report.times.keys():
                rest = self._look(file, rest)
                if report is not None:
                    if time.monotonic() > end:
                        break
                elif writer.poll() is not None:
                    if writer.returncode:
                        raise FailedError(f"the writer failed ({writer.returncode})")
                    report = Report(**json.loads(path.read_text(encoding="utf-8")))
                    end = time.monotonic() + _PATIENCE
        finally:
            os.close(file)
        return report

    def core(self, began: int, ended: int) -> float:
        """Return the share of a core between two moments."""
        within = [each for each in self._cpu if began <= each[0] <= ended]
        (first, before), (last, after) = within[0], within[-1]
        return (after - before) * 1e9 / (last - first)

    def _look(self, file: int, rest: bytes) -> bytes:
        data = os.read(file, 1 << 20)
        now = time.monotonic_ns()
        if not self._cpu or now - self._cpu[-1][0] > _SAMPLE_NS:
            self._cpu.append((now, _cpu_seconds(self._pid)))
        if not data:
            time.sleep(_TICK)
            return rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            label = _LABEL.search(line)
            if label is not None:
                self.seen.setdefault(label[0].decode(), now)
        return rest


@contextmanager
def _daemon(folder: Path) -> Iterator[int]:
    """Start a daemon with its default settings, but for its places, and give its pid."""
    folder.mkdir()
    log, alerts, config = (
        folder / name for name in ("audit.log", "alerts.ndjson", "auditrule.toml")
    )
    log.touch()
    alerts.touch(0o640)
    config.write_text(
        f'[log]\npath = "{log}"\n[state]\npath = "{folder / "state"}"\n'
        f'[alerts]\npath = "{alerts}"\n',
        encoding="utf-8",
    )
    said = folder / "daemon.log"
    with said.open("wb") as output:
        daemon = subprocess.Popen(
            auditrule("run", "--config", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(lambda: b"following" in said.read_bytes(), daemon, said)
        yield daemon.pid
        if daemon.poll() is not None:
            raise FailedError(f"the daemon ended: {said.read_text(encoding='utf-8')}")
    finally:
        daemon.terminate()
        try:
            daemon.wait(_PATIENCE)
        finally:
            daemon.kill()


def _wait_for(condition: Callable[[], bool], daemon: subprocess.Popen[bytes], said: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if daemon.poll() is not None or time.monotonic() > end:
            raise FailedError(f"the daemon does not start: {said.read_text(encoding='utf-8')}")
        time.sleep(0.02)


def _last_health(state: Path, after: int) -> Health:
    """Return what the daemon tells of itself at a moment after the one given."""
    moment = time.time() - (time.monotonic_ns() - after) / 1e9
    end = time.monotonic() + _PATIENCE
    while (health := read_health(state)).updated.timestamp() < moment:
        if time.monotonic() > end:
            raise FailedError("the daemon does not tell how it is")
        time.sleep(0.1)
    return health


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads."""
    # As clock_getcpuclockid(3) makes a clock's number of a pid (MAKE_PROCESS_CPUCLOCK, with
    # CPUCLOCK_SCHED, of linux/posix-timers.h): to the nanosecond, where /proc counts ticks.
    return time.clock_gettime((~pid << 3) | 2)


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return 0 if found is None else int(found[1]) * 1024


def _rows(seen: Mapping[int, Seen]) -> list[tuple[str, ...]]:
    columns = [_column(each) for each in seen.values()]
    return [(name, *(column[name] for column in columns)) for name in columns[0]]


def _column(seen: Seen) -> dict[str, str]:
    report, ms = seen.report, [1000 * each for each in seen.latencies]
    fifth = max(1, len(ms) // 5)
    first, last = statistics.median(ms[:fifth]), statistics.median(ms[-fifth:])
    p50, p99 = _percentile(ms, 50), _percentile(ms, 99)
    return {
        "written, execs a second": f"{report.execs / report.seconds:,.0f}",
        "written, MB a second": f"{report.size / 1e6 / report.seconds:.1f}",
        "alerts": f"{len(ms):,}",
        "alerts lost": f"{seen.lost}",
        "ms to the alert, p50": f"{p50:.1f}",
        "ms to the alert, p99": f"{p99:.1f}",
        "ms to the alert, longest": f"{max(ms):.1f}",
        "p50 of the first fifth": f"{first:.1f}",
        "p50 of the last fifth": f"{last:.1f}",
        "ms behind after the last write": f"{seen.caught_up * 1000:.1f}",
        "bytes unread, in the first status after it": f"{seen.unread:,}",
        "of a core": f"{seen.core:.1%}",
        "peak MB": f"{seen.peak / 1e6:.0f}",
        f"goal: p50 under {P50_MS:g} ms": _yes(p50 < P50_MS),
        f"goal: p99 under {P99_MS:g} ms": _yes(p99 < P99_MS),
        "goal: no growing lag": _yes(not seen.lost and last < max(2 * first, P99_MS)),
        f"goal: under {LOADED:.0%} of a core": _yes(seen.core < LOADED),
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _yes(met: bool) -> str:
    return "yes" if met else "no"
