"""Capture the logs below fixtures/ from a real auditd.

As root, on a host whose auditd does not run:

    python tests/capture.py                        every scenario, into fixtures/
    python tests/capture.py --scenario dpkg        one of them
    python tests/capture.py --list                 what there is

It borrows the kernel's audit, performs each scenario under a private auditd (RAW and ENRICHED, with
and without the clone records of config/audit.rules), cuts its events out of the log, checks that
they are what the scenario meant to do, and puts everything back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from private_auditd import AuditUnavailableError, LogFormat, PrivateAuditd, check_available
from scenarios import ALL
from scenarios.cut import check, cut
from scenarios.model import MODES, Mode, Scenario
from scenarios.stage import Stage

ROOT: Final = Path(__file__).resolve().parent.parent
RULES: Final = ROOT / "config" / "audit.rules"
FORK_MARK: Final = "#fork# "
"""Begins each line of config/audit.rules that an operator may switch on."""
FORMATS: Final[tuple[LogFormat, ...]] = ("RAW", "ENRICHED")
BULKY_VARIANTS: Final[tuple[tuple[LogFormat, Mode], ...]] = (("RAW", "exec"), ("ENRICHED", "clone"))
"""What is kept of a scenario whose logs are large."""


def rules_for(mode: Mode) -> str:
    """Return config/audit.rules as it stands, or with the optional lines switched on."""
    text = RULES.read_text(encoding="utf-8")
    if FORK_MARK not in text:
        raise ValueError(f"{RULES} has no line that begins with {FORK_MARK!r}")
    return text.replace(FORK_MARK, "") if mode == "clone" else text


def capture(scenarios: list[Scenario], out: Path) -> list[str]:
    """Write each scenario's logs and expectations below `out`; return what went wrong."""
    wrong: list[str] = []
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for log_format in FORMATS:
        for mode in MODES:
            with tempfile.TemporaryDirectory() as scratch:
                wrong += _capture_one_way(scenarios, logs, log_format, mode, Path(scratch))
    for scenario in scenarios:
        text = json.dumps(scenario.expected(), indent=1, ensure_ascii=True)
        (logs / f"{scenario.name}.expected.json").write_text(text + "\n", encoding="ascii")
    return wrong


def _capture_one_way(
    scenarios: list[Scenario], logs: Path, log_format: LogFormat, mode: Mode, scratch: Path
) -> list[str]:
    wrong: list[str] = []
    rules = scratch / "audit.rules"
    rules.write_text(rules_for(mode), encoding="utf-8")
    with PrivateAuditd(scratch / "auditd", rules, log_format=log_format) as auditd:
        for scenario in scenarios:
            if scenario.bulky and (log_format, mode) not in BULKY_VARIANTS:
                continue
            name = f"{scenario.name}.{log_format.lower()}.{mode}.log"
            with Stage(scenario, scratch) as stage:
                start = auditd.log.stat().st_size
                session = stage.perform()
                auditd.settle()
                piece = cut(auditd.wait_for(b"", since=start), session)
            wrong += [f"{name}: {problem}" for problem in check(scenario, mode, piece)]
            (logs / name).write_bytes(piece)
            records = piece.count(b"\n")
            print(f"{name}: {records:,} records, {len(piece):,} bytes", flush=True)
        if auditd.lost:
            wrong.append(f"{log_format} {mode}: the kernel lost {auditd.lost} events")
    return wrong


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scenario",
        action="append",
        choices=sorted(ALL),
        metavar="NAME",
        help="perform only this scenario (may be given again; --list shows the names)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "fixtures",
        metavar="DIR",
        help="write here instead of fixtures/",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    return parser


def main() -> int:
    """Return 0 when every log is as meant, 1 when not, 2 where audit may not be used."""
    options = _parser().parse_args()
    if options.list:
        for scenario in ALL.values():
            print(f"{scenario.name:14} {' '.join(scenario.story.split())}")
        return 0
    try:
        check_available()
    except AuditUnavailableError as error:
        print(f"capture.py: {error}", file=sys.stderr)
        return 2
    os.umask(0o022)
    wrong = capture([ALL[name] for name in options.scenario or ALL], options.out)
    for problem in wrong:
        print(f"capture.py: {problem}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
