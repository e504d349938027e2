"""The stage: files a scenario needs, made and removed; its script, run in a session of its own."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scenarios.model import STAGE, Act, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
# A login session gives every later record of these processes one `ses=` of its own, which is what
# the log is cut by. The script is not exec'd by this shell: the kernel keeps a task's first
# PROCTITLE, and this shell's would stand in the script's records.
_LOGIN = "echo 0 >/proc/self/loginuid || exit 1; "
_RUN = 'read -r s </proc/self/sessionid; echo "$$ $s"; "$0"; exit $?'
_TOOL_SOURCE = Path(__file__).with_name("odd.c")
_TOOL32_SOURCE = Path(__file__).with_name("odd32.c")
_FINISH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Session:
    """What the log is cut by: the session's number, and the pid of the shell that opened it.

    Without a login there is no number (None), and only the tree of processes to go by.
    """

    number: int | None
    login_pid: int


class Stage:
    """A scenario's files, there inside the `with`, gone after it."""

    def __init__(self, scenario: Scenario, scratch: Path) -> None:
        self._scenario = scenario
        self._scratch = scratch
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        scenario = self._scenario
        paths = [Path(STAGE), *map(Path, (*scenario.targets, *scenario.products))]
        standing = [str(path) for path in paths if path.exists() or path.is_symlink()]
        if standing:
            raise FileExistsError(f"would touch what is there already: {', '.join(standing)}")
        try:
            self._make_folder(Path(STAGE))
            if scenario.steps:
                self._make(Path(scenario.script), scenario.text())
            for name, content in scenario.files.items():
                self._make(Path(STAGE, name), content)
            for target in scenario.targets:
                self._make(Path(target), "# auditrule demo\n", mode=0o644)
            for product in scenario.products:
                self._make_folder(Path(product).parent)
            for name, parts in scenario.packages.items():
                self._make_package(name, parts)
            if scenario.tool:
                self._compile(_TOOL_SOURCE, "odd")
                self._compile(_TOOL32_SOURCE, "odd32", "-m32", "-nostdlib", "-fno-pie", "-no-pie")
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clear()

    def perform(self, act: Act) -> Session:
        """Run one script to its end, and that of all it started."""
        command = ["/bin/sh", "-c", (_LOGIN if act.login else "") + _RUN, act.script]
        if act.terminal:
            output, returncode = _on_a_terminal(["/usr/bin/setsid", "--ctty", "--wait", *command])
        else:
            output, returncode = _without_terminal(command)
        if returncode != 0:
            said = output.decode("utf-8", "replace")
            raise RuntimeError(f"{act.script}: exit {returncode}: {said}")
        login_pid, number = map(int, output.split(b"\n", 1)[0].split())
        if not act.login:
            return Session(None, login_pid)
        _wait_for_end(number)
        return Session(number, login_pid)

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(mode=0o755)
            self._made.append(path)

    def _make(self, path: Path, content: str | bytes, mode: int = 0o755) -> None:
        self._make_folder(path.parent)
        self._made.append(path)
        if isinstance(content, str) and content.startswith("copy:"):
            shutil.copyfile(content.removeprefix("copy:"), path)
        elif isinstance(content, str) and content.startswith("link:"):
            path.symlink_to(content.removeprefix("link:"))
            return
        else:
            path.write_bytes(os.fsencode(content))
        path.chmod(mode)

    def _make_package(self, name: str, parts: Mapping[str, str]) -> None:
        root = self._scratch / f"package-{name}"
        for part, content in parts.items():
            path = root / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644 if part.endswith(("/control", "/conffiles")) else 0o755)
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        package = Path(STAGE, f"{name}.deb")
        self._made.append(package)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(root), str(package)],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def _compile(self, source: Path, name: str, *flags: str) -> None:
        program = Path(STAGE, name)
        self._made.append(program)
        subprocess.run(
            ["gcc", "-O1", "-static", *flags, "-o", str(program), str(source)], check=True
        )

    def _clear(self) -> None:
        for name in self._scenario.packages:
            if Path(f"/var/lib/dpkg/info/{name}.list").exists():
                subprocess.run(["dpkg", "--purge", "--force-all", name], check=False)
        for path in map(Path, self._scenario.products):
            path.unlink(missing_ok=True)
        shutil.rmtree(STAGE, ignore_errors=True)
        for path in reversed(self._made):
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                path.rmdir()
        self._made.clear()


def _without_terminal(command: list[str]) -> tuple[bytes, int]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    return output, process.returncode


def _on_a_terminal(command: list[str]) -> tuple[bytes, int]:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    os.close(follower)
    output = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # EIO: the last holder of the other side is gone
            break
        if not piece:
            break
        output += piece
    os.close(leader)
    return output.replace(b"\r\n", b"\n"), process.wait()


def _wait_for_end(session: int) -> None:
    deadline = time.monotonic() + _FINISH_SECONDS
    while _alive(session):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of session {session} do not end")
        time.sleep(0.02)


def _alive(session: int) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "sessionid").read_text()) == session:
                return True
        except (OSError, ValueError):
            continue
    return False
