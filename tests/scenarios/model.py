"""What a scenario is: a shell script made of steps, and what the rule must say of each.

The expectations are written beside the commands, from what a command does and what the rule means.
No program's output goes into them, so the golden tests have something independent to agree with.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["exec", "clone"]
MODES: Final[tuple[Mode, ...]] = ("exec", "clone")
STAGE: Final = "/srv/demo"
SELF: Final = "\0self"
"""Stands for the scenario's own script as the parent."""
ANY: Final = "\0any"
"""The parent is not part of the expectation."""
_LONG: Final = 4000


@dataclass(frozen=True, slots=True)
class Alert:
    """The rule must fire for this command line, once, in each of `modes`.

    `parent` is `process.parent.executable`: a path, None where it must be absent, SELF or ANY.
    `forked` marks a parent that forked without exec, which a log without clone records never
    introduces: there the parent is absent. In the modes `undecidable` the log does not hold what
    would decide, so that an alert and none are both right.
    """

    args: tuple[bytes, ...]
    parent: str | None = SELF
    forked: bool = False
    modes: tuple[Mode, ...] = MODES
    undecidable: tuple[Mode, ...] = ()
    because: str = ""

    def parent_in(self, mode: Mode, script: str) -> str | None:
        """Return the parent's executable as it must be in `mode`, or ANY."""
        if self.forked and mode == "exec":
            return None
        return script if self.parent == SELF else self.parent


@dataclass(frozen=True, slots=True)
class Silent:
    """The rule must not fire for this command line in `modes`; `because` says why.

    `starts` is false for an exec that fails and so leaves no EXECVE record.
    """

    args: tuple[bytes, ...]
    because: str
    modes: tuple[Mode, ...] = MODES
    starts: bool = True


Outcome = Alert | Silent


@dataclass(frozen=True, slots=True)
class Step:
    """Some lines of shell and what comes of them."""

    shell: str
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """One script of a scenario, run by a login shell or, without `login`, as a service would."""

    script: str
    login: bool = True
    terminal: bool = False
    rotate: bool = False
    """Whether auditd rotates its log afterwards."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One captured story.

    `files` are made on the stage, executable, before the script runs (a name that is not absolute
    lies below STAGE). `targets` are files that exist while it runs; `products` are what it makes.
    None of them may exist before, all are removed afterwards. `packages` are built with dpkg-deb.
    `terminal` runs it on one, `login` gives it a login user, `tool` compiles odd.c and odd32.c to
    the stage. `acts` are run instead of the one script where a scenario needs several, and have
    their `expectations` apart. A `bulky` one is kept in two variants only: RAW without clone
    records, ENRICHED with them.
    """

    name: str
    story: str
    steps: tuple[Step, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    packages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    terminal: bool = False
    login: bool = True
    acts: tuple[Act, ...] = ()
    expectations: tuple[Outcome, ...] = ()
    tool: bool = False
    bulky: bool = False

    @property
    def script(self) -> str:
        """The path of the scenario's script."""
        return f"{STAGE}/{self.name}.sh"

    def performance(self) -> tuple[Act, ...]:
        """Return what is run, in order."""
        return self.acts or (Act(self.script, self.login, self.terminal),)

    def text(self) -> str:
        """The script itself."""
        lines = ["#!/bin/sh", f"cd {STAGE}", *(step.shell for step in self.steps), "exit 0"]
        return "\n".join(lines) + "\n"

    def outcomes(self) -> list[Outcome]:
        """All that must and must not be seen, in the order of the script."""
        return [
            *(outcome for step in self.steps for outcome in step.outcomes),
            *self.expectations,
        ]

    def expected(self) -> dict[str, object]:
        """Return the expectations as they are kept beside the logs."""
        outcomes = self.outcomes()
        return {
            "scenario": self.name,
            "story": " ".join(self.story.split()),
            "alerts": {
                mode: [
                    _document(outcome, outcome.parent_in(mode, self.script))
                    for outcome in outcomes
                    if isinstance(outcome, Alert) and mode in outcome.modes
                ]
                for mode in MODES
            },
            "undecidable": {
                mode: [
                    _document(outcome, ANY)
                    for outcome in outcomes
                    if isinstance(outcome, Alert) and mode in outcome.undecidable
                ]
                for mode in MODES
            },
            "silent": {
                mode: [
                    _document(outcome, ANY)
                    for outcome in outcomes
                    if isinstance(outcome, Silent) and mode in outcome.modes
                ]
                for mode in MODES
            },
        }


def _document(outcome: Outcome, parent: str | None) -> dict[str, object]:
    document: dict[str, object] = {}
    joined = b"\0".join(outcome.args)
    if len(joined) <= _LONG:
        document["args"] = [escape(argument) for argument in outcome.args]
    else:
        document["args_count"] = len(outcome.args)
        document["args_head"] = [escape(argument) for argument in outcome.args[:2]]
        document["args_tail"] = [escape(outcome.args[-1])]
        document["args_sha256"] = hashlib.sha256(joined).hexdigest()
    if parent != ANY:
        document["parent"] = parent
    if outcome.because:
        document["because"] = outcome.because
    return document


def escape(data: bytes) -> str:
    """Decode UTF-8; a byte that is not, or is of a U+FFFD, becomes U+FFFD and two hex digits."""
    text = []
    for character in data.decode("utf-8", "surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            text.append(f"\ufffd{ord(character) - 0xDC00:02x}")
        elif character == "\ufffd":
            text.append("\ufffdef\ufffdbf\ufffdbd")
        else:
            text.append(character)
    return "".join(text)


def argv(command: str | bytes | tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the argument list of a plain command line (no expansions in it)."""
    if isinstance(command, tuple):
        return command
    text = command.decode("utf-8", "surrogateescape") if isinstance(command, bytes) else command
    return tuple(word.encode("utf-8", "surrogateescape") for word in shlex.split(text))


def fires(
    command: str | bytes | tuple[bytes, ...],
    *,
    parent: str | None = SELF,
    forked: bool = False,
    modes: tuple[Mode, ...] = MODES,
    undecidable: tuple[Mode, ...] = (),
    because: str = "",
) -> Alert:
    """Return the expectation that this command line raises an alert."""
    return Alert(argv(command), parent, forked, modes, undecidable, because)


def silent(
    command: str | bytes | tuple[bytes, ...],
    because: str,
    *,
    modes: tuple[Mode, ...] = MODES,
    starts: bool = True,
) -> Silent:
    """Return the expectation that this command line raises none."""
    return Silent(argv(command), because, modes, starts)


def attack(command: str, because: str = "") -> Step:
    """Return a step whose shell line is one plain command, run by the script, that must alert."""
    return Step(command, (fires(command, because=because),))


def innocent(command: str, because: str, *, starts: bool = True) -> Step:
    """Return a step whose shell line is one plain command that must not alert."""
    return Step(command, (silent(command, because, starts=starts),))


def shell(lines: str, *outcomes: Outcome) -> Step:
    """Return a step of any shell lines, with the expectations given apart."""
    return Step(lines.strip("\n"), outcomes)
