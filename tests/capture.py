"""Capture the logs below fixtures/ from a real auditd.

As root, on a host whose auditd does not run:

    python tests/capture.py                        every scenario, into fixtures/
    python tests/capture.py --scenario dpkg        one of them (may be given again)
    python tests/capture.py --list                 what there is

It borrows the kernel's audit, performs each scenario under a private auditd (RAW and ENRICHED, with
and without the clone records of config/audit.rules), cuts its events out of the log, checks that
they are what the scenario meant to do, and puts everything back.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from private_auditd import AuditUnavailableError, LogFormat, PrivateAuditd, check_available
from scenarios import ALL, DEMO
from scenarios.cut import check, cut
from scenarios.model import MODES, Mode, Scenario
from scenarios.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
RULES: Final = ROOT / "config" / "audit.rules"
FORK_MARK: Final = "#fork# "
"""Begins each line of config/audit.rules that an operator may switch on."""
AUDITD_FOLDER: Final = Path("/srv/auditd")
"""Where the private auditd lives; the path stands in a few records."""
SERVICE: Final = "service"
SERVICE_STORY: Final = (
    "What auditd and auditctl say of themselves: start, the loading of the rules, logins, rotation,"
    " end. No program start is in it, and nothing to alert about."
)
SERVICE_TYPES: Final = tuple(b"DAEMON_START DAEMON_ROTATE DAEMON_END CONFIG_CHANGE LOGIN".split())


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to record the same thing."""

    log_format: LogFormat
    mode: Mode

    def __str__(self) -> str:
        return f"{self.log_format.lower()}.{self.mode}"


VARIANTS: Final = tuple(Variant(form, mode) for form in ("RAW", "ENRICHED") for mode in MODES)
BULKY_VARIANTS: Final = (Variant("RAW", "exec"), Variant("ENRICHED", "clone"))
"""What is kept of a scenario whose logs are large."""


def rules_for(mode: Mode) -> str:
    """Return config/audit.rules as it stands, or with the optional lines switched on."""
    text = RULES.read_text(encoding="utf-8")
    if FORK_MARK not in text:
        raise ValueError(f"{RULES} has no line that begins with {FORK_MARK!r}")
    return text.replace(FORK_MARK, "") if mode == "clone" else text


@contextmanager
def running_auditd(variant: Variant) -> Iterator[PrivateAuditd]:
    """Run a private auditd in AUDITD_FOLDER, which must not exist and is removed afterwards."""
    AUDITD_FOLDER.mkdir(mode=0o750)
    try:
        rules = AUDITD_FOLDER / "audit.rules"
        rules.write_text(rules_for(variant.mode), encoding="utf-8")
        with PrivateAuditd(AUDITD_FOLDER, rules, log_format=variant.log_format) as auditd:
            yield auditd
    finally:
        shutil.rmtree(AUDITD_FOLDER)


def capture(names: Sequence[str], out: Path) -> list[str]:
    """Write logs and expectations of the named scenarios below `out`; return what went wrong."""
    wrong: list[str] = []
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    scenarios = [ALL[name] for name in names if name in ALL]
    if scenarios or SERVICE in names:
        for variant in VARIANTS:
            wrong += _capture_variant(scenarios, variant, logs, service=SERVICE in names)
    for scenario in scenarios:
        _write_expected(logs / f"{scenario.name}.expected.json", scenario)
    if SERVICE in names:
        _write_expected(logs / f"{SERVICE}.expected.json", Scenario(SERVICE, SERVICE_STORY, ()))
    if DEMO.name in names:
        wrong += _capture_demo(out / DEMO.name)
    return wrong


def _capture_variant(
    scenarios: Sequence[Scenario], variant: Variant, logs: Path, *, service: bool
) -> list[str]:
    wrong: list[str] = []
    with running_auditd(variant) as auditd:
        for scenario in scenarios:
            if scenario.bulky and variant not in BULKY_VARIANTS:
                continue
            start = auditd.log.stat().st_size
            with Stage(scenario, AUDITD_FOLDER) as stage:
                sessions = [stage.perform(act) for act in scenario.performance()]
                auditd.settle()
            piece = cut(auditd.wait_for(b"", since=start), sessions)
            name = f"{scenario.name}.{variant}.log"
            wrong += [f"{name}: {problem}" for problem in check(scenario, variant.mode, piece)]
            _write_log(logs / name, piece)
        wrong += _lost(auditd, str(variant))
        if service:
            auditd.rotate()
            auditd.stop()
            whole = b"".join(path.read_bytes() for path in _rotated_set(auditd.log))
            _write_log(logs / f"{SERVICE}.{variant}.log", cut(whole, (), SERVICE_TYPES))
    return wrong


def _capture_demo(out: Path) -> list[str]:
    out.mkdir(parents=True, exist_ok=True)
    sessions = []
    variant = Variant("ENRICHED", "clone")
    with running_auditd(variant) as auditd:
        with Stage(DEMO, AUDITD_FOLDER) as stage:
            for act in DEMO.performance():
                sessions.append(stage.perform(act))
                auditd.settle()
                if act.rotate:
                    auditd.rotate()
        wrong = _lost(auditd, DEMO.name)
        auditd.stop()
        whole = b""
        for path in _rotated_set(auditd.log):
            piece = cut(path.read_bytes(), sessions, (b"DAEMON_START", b"DAEMON_ROTATE"))
            whole += piece
            if path.suffix == ".2":
                packed = gzip.compress(piece, mtime=0)
                (out / f"{path.name}.gz").write_bytes(packed)
            else:
                _write_log(out / path.name, piece)
    _write_expected(out.with_name(f"{out.name}.expected.json"), DEMO)
    return wrong + [f"demo: {problem}" for problem in check(DEMO, variant.mode, whole)]


def _rotated_set(log: Path) -> list[Path]:
    """Return audit.log.N … audit.log, the oldest first."""
    older = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: -int(path.suffix[1:]))
    return [*older, log]


def _lost(auditd: PrivateAuditd, where: str) -> list[str]:
    return [f"{where}: the kernel lost {auditd.lost} events"] if auditd.lost else []


def _write_log(path: Path, log: bytes) -> None:
    path.write_bytes(log)
    records = log.count(b"\n")
    print(f"{path.name}: {records:,} records, {len(log):,} bytes", flush=True)


def _write_expected(path: Path, scenario: Scenario) -> None:
    text = json.dumps(scenario.expected(), indent=1, ensure_ascii=True)
    path.write_text(text + "\n", encoding="ascii")


def _stories() -> dict[str, str]:
    stories = {name: scenario.story for name, scenario in ALL.items()}
    return {**stories, SERVICE: SERVICE_STORY, DEMO.name: DEMO.story}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=sorted(_stories()),
        metavar="NAME",
        help="perform only this scenario (may be given again; --list shows the names)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "fixtures",
        metavar="DIR",
        help="write logs/ and demo/ here instead of into fixtures/",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    return parser


def main() -> int:
    """Return 0 when every log is as meant, 1 when not, 2 where this host is not to be touched."""
    options = _parser().parse_args()
    if options.list:
        for name, story in _stories().items():
            print(f"{name:20} {' '.join(story.split())}")
        return 0
    try:
        check_available()
    except AuditUnavailableError as error:
        print(f"capture.py: {error}", file=sys.stderr)
        return 2
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        wrong = capture(options.scenario or list(_stories()), options.out)
    except FileExistsError as error:
        print(f"capture.py: {error}", file=sys.stderr)
        return 2
    for problem in wrong:
        print(f"capture.py: {problem}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
