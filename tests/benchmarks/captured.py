"""The captured logs that the workload is made of, as events."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "fixtures"

BUSY = ("parallel", "crond", "dpkg", "subshell", "scripts", "parents", "prefork")
"""Scenarios of fixtures/logs that resemble what a busy host does, beside the demo."""

_HEADER = re.compile(rb"type=(\S+) msg=audit\((\d+)\.(\d{3}):(\d+)\): ")
_ARGUMENT = re.compile(rb' a\d+=("[^"]*"|[0-9A-F]*)')


@dataclass(frozen=True, slots=True)
class Line:
    """A record as it was captured: its line without the newline, its type, its event's identity."""

    text: bytes
    type: str
    time_ms: int
    serial: int
    body_start: int

    @classmethod
    def read(cls, text: bytes) -> Line:
        """Read a captured line. Raises ValueError where it is none."""
        header = _HEADER.match(text)
        if header is None:
            raise ValueError(f"no record: {text!r}")
        kind, seconds, millis, serial = header.groups()
        time_ms = int(seconds) * 1000 + int(millis)
        return cls(text, kind.decode(), time_ms, int(serial), header.end())

    @property
    def body(self) -> bytes:
        return self.text[self.body_start :]


@dataclass(frozen=True, slots=True)
class Log:
    """A captured log, and the commands of it that the bundled rule is to tell.

    alerting: those that it tells, or may tell. unknown: those that it would tell as well if no
    forks were recorded, so that their parents were unknown.
    """

    name: str
    lines: tuple[Line, ...]
    alerting: frozenset[str]
    unknown: frozenset[str]

    def execs_of(self, commands: frozenset[str]) -> set[int]:
        """Return the serials of the execs of such commands, whoever started them."""
        return {
            line.serial
            for line in self.lines
            if line.type == "EXECVE" and command_line(line) in commands
        }


def command_line(execve: Line) -> str:
    """Return the arguments that an EXECVE record holds, joined by blanks."""
    tokens: list[bytes] = _ARGUMENT.findall(execve.body)
    return " ".join(
        (token[1:-1] if token.startswith(b'"') else bytes.fromhex(token.decode())).decode(
            "utf-8", "replace"
        )
        for token in tokens
    )


def read_demo() -> Log:
    """Return the README's log, its rotated files one after the other."""
    folder = FIXTURES / "demo"
    data = gzip.decompress((folder / "audit.log.2.gz").read_bytes())
    data += (folder / "audit.log.1").read_bytes() + (folder / "audit.log").read_bytes()
    return _read("demo", data, FIXTURES / "demo.expected.json")


def read_scenario(name: str) -> Log:
    """Return the log of a scenario, ENRICHED and with clone and exit records."""
    folder = FIXTURES / "logs"
    data = (folder / f"{name}.enriched.clone.log").read_bytes()
    return _read(name, data, folder / f"{name}.expected.json")


def _read(name: str, data: bytes, expected: Path) -> Log:
    lines = [Line.read(text) for text in data.split(b"\n") if text]
    story = json.loads(expected.read_text(encoding="utf-8"))
    told = {mode: _commands(story, "alerts", mode) for mode in ("exec", "clone")}
    doubted = {mode: _commands(story, "undecidable", mode) for mode in ("exec", "clone")}
    decided_by_forks = _commands(story, "silent", "clone") - _commands(story, "silent", "exec")
    # What auditd says of itself has serials of another count.
    kept = [line for line in lines if not line.type.startswith("DAEMON_")]
    return Log(
        name,
        tuple(kept),
        told["clone"] | doubted["clone"],
        told["exec"] | doubted["exec"] | decided_by_forks,
    )


def _commands(story: dict[str, Any], what: str, mode: str) -> frozenset[str]:
    wishes = story.get(what, {}).get(mode, [])
    return frozenset(wish if isinstance(wish, str) else " ".join(wish["args"]) for wish in wishes)
