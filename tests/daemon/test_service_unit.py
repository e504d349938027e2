"""What an operator installs: the unit, its drop-in, auditd's plugin file, logrotate's."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel_format import ExecOnKernel
from unit_sandbox import allowed_calls, read_unit

from auditrule.resources import config_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNIT = config_folder() / "auditrule.service"
METRICS = config_folder() / "auditrule.service.d" / "metrics.conf.example"
PLUGIN = config_folder() / "plugins.d" / "auditrule.conf"
LOGROTATE = config_folder() / "logrotate.d" / "auditrule"
DEADLINE = 60.0
# No account has it.
UID = 64_999
ADM = 4


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is not installed")
    return found


def security(folder: Path, drop_in: str = "") -> float:
    """Return systemd's exposure level of the unit, 0 to 10."""
    unit = folder / "auditrule.service"
    unit.write_text(UNIT.read_text())
    if drop_in:
        (folder / "auditrule.service.d").mkdir()
        (folder / "auditrule.service.d" / "metrics.conf").write_text(drop_in)
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert match is not None, done.stdout + done.stderr
    return float(match[1])


def test_the_sandbox_is_rated_1_5_or_better(tmp_path: Path) -> None:
    assert security(tmp_path) <= 1.5


def test_with_metrics_it_still_is(tmp_path: Path) -> None:
    drop_in = METRICS.read_text().replace("#ReadWritePaths", "ReadWritePaths")
    assert security(tmp_path, drop_in) <= 1.5


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "auditrule.service"
    # The program and auditd's manual need not be installed here.
    program = re.compile("^ExecStart=[^ ]+", re.MULTILINE)
    unit.write_text(program.sub(f"ExecStart={sys.executable}", UNIT.read_text()))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_gives_no_capability_and_no_network() -> None:
    unit = read_unit(UNIT)
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["PrivateNetwork"] == ["yes"]
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert unit["User"] == ["auditrule"]


def test_the_unit_leaves_to_the_daemon_what_it_needs() -> None:
    unit = read_unit(UNIT)
    assert {"inotify_add_watch", "eventfd2", "pipe2", "fsync", "flock", "fchown"} <= allowed_calls(
        unit
    )
    assert unit["ProtectProc"] == ["default"]
    assert unit["SupplementaryGroups"] == ["adm"]
    assert unit["Type"] == ["notify"]
    assert float(unit["WatchdogSec"][0].removesuffix("s")) >= 10


def test_every_drop_in_setting_is_one_of_the_unit_or_adds_to_it(tmp_path: Path) -> None:
    assert set(read_unit(METRICS)) == {
        "PrivateNetwork",
        "IPAddressAllow",
        "RestrictAddressFamilies",
    }


def plugin() -> dict[str, list[str]]:
    """Read the file as audispd-pconfig.c of auditd does: words with spaces between."""
    settings = {}
    for line in PLUGIN.read_text(encoding="ascii").splitlines():
        words = line.split(" ")
        if line and not line.startswith("#"):
            assert words[1] == "=", line
            settings[words[0]] = words[2:]
    return settings


def test_auditd_takes_the_plugin_file() -> None:
    assert plugin() == {
        "active": ["no"],
        "direction": ["out"],
        "path": ["/opt/auditrule/bin/auditrule"],
        "type": ["always"],
        "args": ["run", "--input=-"],
        "format": ["string"],
    }


def test_auditd_skips_no_file_of_this_name() -> None:
    assert PLUGIN.name.count(".") == 1
    assert PLUGIN.suffix == ".conf"


def test_unit_and_plugin_start_the_same_program() -> None:
    assert read_unit(UNIT)["ExecStart"] == [f"{plugin()['path'][0]} run"]


def test_the_plugins_arguments_are_a_command(tmp_path: Path) -> None:
    settings = tmp_path / "auditrule.toml"
    settings.write_text(f'[alerts]\npath = "{tmp_path}/a"\n[state]\npath = "{tmp_path}/state"\n')
    done = subprocess.run(
        [sys.executable, "-m", "auditrule", *plugin()["args"], "--config", str(settings)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_logrotate_takes_the_sample(tmp_path: Path) -> None:
    sample = tmp_path / "auditrule"
    # There is no such user here.
    sample.write_text(LOGROTATE.read_text().replace("    su auditrule auditrule\n", ""))
    sample.chmod(0o644)
    done = subprocess.run(
        [tool("logrotate"), "--debug", "--state", str(tmp_path / "state"), str(sample)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert "copytruncate\n" not in LOGROTATE.read_text()


@pytest.fixture
def host() -> Iterator[Path]:
    """A folder that everybody gets to, with a log that only root and group adm can read."""
    if os.geteuid() != 0:
        pytest.skip("only root can become the daemon's user")
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="auditrule-"))
    folder.chmod(0o755)
    for name, owner, group, mode in (
        ("audit", 0, ADM, 0o750),
        ("state", UID, UID, 0o700),
        ("alerts", UID, UID, 0o750),
    ):
        (folder / name).mkdir()
        os.chown(folder / name, owner, group)
        (folder / name).chmod(mode)
    new_log(folder)
    (folder / "auditrule.toml").write_text(
        f'[log]\npath = "{folder}/audit/audit.log"\nstart = "beginning"\n'
        f'[alerts]\npath = "{folder}/alerts/alerts.ndjson"\ngroup = "adm"\n'
        f'[state]\npath = "{folder}/state"\n'
    )
    yield folder
    shutil.rmtree(folder)


def new_log(folder: Path) -> None:
    """Begin a log as auditd does with log_group = adm."""
    log = folder / "audit" / "audit.log"
    log.touch()
    os.chown(log, 0, ADM)
    log.chmod(0o640)


def attack(folder: Path, serial: int) -> None:
    deed = ExecOnKernel(
        [b"chmod", b"+x", b"/etc/rc.local"],
        serial=serial,
        seconds=int(time.time()),
        ppid=os.getpid(),
    )
    with (folder / "audit" / "audit.log").open("ab") as log:
        log.write(b"\n".join(deed.lines()) + b"\n")


def alerts(folder: Path) -> list[dict[str, Any]]:
    path = folder / "alerts" / "alerts.ndjson"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def is_ready(manager: socket.socket) -> bool:
    try:
        return "READY=1" in manager.recv(4096).decode().split("\n")
    except BlockingIOError:
        return False


def test_the_daemon_works_within_the_units_sandbox(host: Path) -> None:
    for name in ("unshare", "mount", "systemd-analyze"):
        tool(name)
    if subprocess.run(["unshare", "--mount", "--net", "true"]).returncode and not os.environ.get(
        "CI"
    ):
        pytest.skip("this machine's root may not make namespaces")
    said = host / "stderr"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, said.open("wb") as stderr:
        manager.bind(str(host / "notify"))
        (host / "notify").chmod(0o777)
        manager.setblocking(False)
        command = [
            *("unshare", "--mount", "--net", "--ipc", "--propagation", "private"),
            *(sys.executable, str(Path(__file__).parent.parent / "unit_sandbox.py")),
            *(str(UNIT), str(UID), str(ADM), f"{host / 'state'},{host / 'alerts'}"),
            *(sys.executable, "-m", "auditrule", "run", "--config", str(host / "auditrule.toml")),
        ]
        process = subprocess.Popen(
            command,
            stderr=stderr,
            cwd="/",
            env={**os.environ, "NOTIFY_SOCKET": str(host / "notify")},
        )
        try:
            wait_for(lambda: is_ready(manager), process, said)
            attack(host, 1)
            wait_for(lambda: len(alerts(host)) == 1, process, said)
            (host / "audit" / "audit.log").rename(host / "audit" / "audit.log.1")
            new_log(host)
            attack(host, 2)
            wait_for(lambda: len(alerts(host)) == 2, process, said)
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0, said.read_text()
        finally:
            process.kill()
            process.wait()
    assert re.search(rf"^Uid:\t{UID}\t{UID}\t{UID}\t", status, re.MULTILINE)
    assert re.search(rf"^Groups:\t{ADM} $", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    parent = alerts(host)[0]["process"]["parent"]
    assert parent["user"]["id"] == str(os.getuid())
    assert parent["args_count"] == len(Path("/proc/self/cmdline").read_bytes().split(b"\0")) - 1
    alert_file = (host / "alerts" / "alerts.ndjson").stat()
    assert (alert_file.st_uid, alert_file.st_gid) == (UID, ADM)
    assert alert_file.st_mode & 0o777 == 0o640
    assert "WARNING" not in said.read_text()
