"""What is compared: auditrule's replay, and what others do with the same log."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from benchmarks.running import Command, auditrule

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLAY = "`auditrule replay`, bundled rule"
ALONE = "`auditrule replay --jobs 1`, bundled rule"
MANY = "`auditrule replay`, all rules given"
REPLAY_GZ = "`auditrule replay` of the log as gz"
UNPACKED = "`zcat`, then `auditrule replay`"
GREP = "`grep -c type=EXECVE`"
AUSEARCH = "`ausearch -m EXECVE`"
LAUREL = "laurel, to JSON"
AUPARSE = "libauparse from Python"

_DEBIANS_PYTHON = "/usr/bin/python3"
_LAUREL = """\
directory = "{folder}"
statusreport-period = 0

[auditlog]
file = "audit.json"
size = 100000000000
generations = 1

# The processes of an old log are not to be asked.
[enrich]
execve-env = []
container = false
"""


@dataclass(frozen=True, slots=True)
class Field:
    """The commands that can be compared here; what is not installed; the versions of the rest."""

    commands: tuple[Command, ...]
    missing: tuple[str, ...]
    versions: tuple[str, ...]


def find(log: Path, packed: Path, rules: Sequence[Path], folder: Path) -> Field:
    """Return what can be compared over `log`, ours first.

    `packed` is the same log as gz, `rules` are the many rules, if any. `folder` is where commands
    write to.
    """
    commands = [replay(log, folder), replay(log, folder, name=ALONE, options=("--jobs", "1"))]
    if rules:
        commands.append(replay(log, folder, name=MANY, rules=rules))
    commands += [replay(packed, folder, name=REPLAY_GZ), _unpacked(packed, folder)]
    found = others(log, folder)
    return Field((*commands, *found.commands), found.missing, found.versions)


def others(log: Path, folder: Path) -> Field:
    """Return what can be compared over `log` without our own commands."""
    found, missing, versions = [], [], []
    for looked in (_grep, _ausearch, _laurel, _auparse):
        other = looked(log, folder)
        if isinstance(other, str):
            missing.append(other)
        else:
            found.append(other[0])
            versions.append(other[1])
    return Field(tuple(found), tuple(missing), tuple(versions))


def replay(
    log: Path,
    folder: Path,
    *,
    name: str = REPLAY,
    rules: Sequence[Path] = (),
    options: Sequence[str] = (),
) -> Command:
    """Return our own replay of `log`, with the bundled rule unless there are others."""
    scratch = folder / "ours"
    return Command(name, auditrule(*_replay(log, scratch, rules), *options), scratch)


def _replay(log: Path, scratch: Path, rules: Sequence[Path] = ()) -> list[str]:
    given = [word for path in rules for word in ("--rules", str(path))]
    return ["replay", str(log), *given, "-o", str(scratch / "alerts.ndjson"), "--no-progress"]


def _unpacked(packed: Path, folder: Path) -> Command:
    scratch = folder / "ours"
    plain = scratch / "unpacked.log"
    replayed = " ".join(map(quote, auditrule(*_replay(plain, scratch))))
    script = f"zcat {quote(str(packed))} >{quote(str(plain))} && {replayed}"
    return Command(UNPACKED, ("/bin/sh", "-c", script), scratch)


def _grep(log: Path, folder: Path) -> tuple[Command, str] | str:
    command = Command(GREP, ("grep", "-c", "type=EXECVE", str(log)), folder / "grep")
    return command, _first_line("grep", "--version")


def _ausearch(log: Path, folder: Path) -> tuple[Command, str] | str:
    if shutil.which("ausearch") is None:
        return "ausearch (Debian: auditd)"
    arguments = ("/bin/sh", "-c", f"exec ausearch -m EXECVE -if {quote(str(log))} >/dev/null")
    return Command(AUSEARCH, arguments, folder / "ausearch"), _first_line("ausearch", "--version")


def _laurel(log: Path, folder: Path) -> tuple[Command, str] | str:
    if shutil.which("laurel") is None:
        return "laurel (Debian: laurel)"
    scratch = folder / "laurel"
    config = folder / "laurel.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(_LAUREL.format(folder=scratch))
    command = Command(LAUREL, ("laurel", "--config", str(config)), scratch, source=log)
    return command, f"laurel {_first_line('laurel', '--version')}"


def _auparse(log: Path, folder: Path) -> tuple[Command, str] | str:
    missing = "libauparse (Debian: python3-audit)"
    if not Path(_DEBIANS_PYTHON).exists():
        return missing
    if not _succeeds(_DEBIANS_PYTHON, "-c", "import auparse"):
        return missing
    loop = Path(__file__).with_name("auparse_loop.py")
    command = Command(AUPARSE, (_DEBIANS_PYTHON, str(loop), str(log)), folder / "auparse")
    return command, f"libauparse {_package_version('libauparse0')}".strip()


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _first_line(*command: str) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return (run.stdout or run.stderr).strip().partition("\n")[0]


def _package_version(package: str) -> str:
    if shutil.which("dpkg-query") is None:
        return ""
    return _first_line("dpkg-query", "-W", "-f", "${Version}", package)
