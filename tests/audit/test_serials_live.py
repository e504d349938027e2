"""Lost events on the real kernel: none in heavy use, and those that a limit or a pause costs.

Needs root and a kernel audit that nobody uses, as tests/test_live.py does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from private_auditd import AuditUnavailableError, KernelAudit, PrivateAuditd, check_available

from auditrule.audit.record import Record
from auditrule.audit.serials import SerialWatch

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.live

RULES = Path(__file__).parents[2] / "config" / "audit.rules"
_EXECS = "i=0; while [ $i -lt {0} ]; do /bin/true; i=$((i+1)); done"


@pytest.fixture(autouse=True, scope="module")
def _kernel_audit() -> None:
    try:
        check_available()
    except AuditUnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the live tests must run in CI: {error}")
        pytest.skip(str(error))


def start_execs(number: int, shells: int) -> list[subprocess.Popen[bytes]]:
    command = ["/bin/sh", "-c", _EXECS.format(number)]
    return [subprocess.Popen(command) for _ in range(shells)]


def run_execs(number: int, shells: int) -> None:
    for shell in start_execs(number, shells):
        assert shell.wait(60) == 0


def auditctl(*arguments: str) -> None:
    subprocess.run(["auditctl", *arguments], check=True, capture_output=True)


def watched(auditd: PrivateAuditd) -> SerialWatch:
    auditd.settle()
    watch = SerialWatch()
    for line in auditd.log.read_bytes().split(b"\n"):
        if line:
            watch.take(Record.parse(line))
    return watch


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_heavy_parallel_use_loses_nothing_and_says_so(tmp_path: Path) -> None:
    with PrivateAuditd(tmp_path, RULES) as auditd:
        run_execs(1000, 8)
        watch = watched(auditd)
        assert auditd.lost == 0
    execs = re.findall(rb"type=EXECVE .*a0=\"/bin/true\"", auditd.log.read_bytes())
    assert len(execs) == 8000
    assert (watch.lost, watch.late) == (0, 0)
    watch.finish()
    assert (watch.lost, watch.losses()) == (0, [])


def test_what_the_kernels_rate_limit_drops_is_lost(tmp_path: Path) -> None:
    with PrivateAuditd(tmp_path, RULES) as auditd:
        try:
            auditctl("-r", "20")
            run_execs(200, 1)
        finally:
            auditctl("-r", "0")
        run_execs(5, 1)
        watch = watched(auditd)
        lost = auditd.lost
    watch.finish()
    # The kernel counts records, of which each event has one at least.
    assert 0 < watch.lost <= lost
    assert watch.reports["rate_limited"] == 1


def test_filters_of_the_kernel_lose_nothing(tmp_path: Path) -> None:
    with PrivateAuditd(tmp_path, RULES) as auditd:
        auditctl("-A", "never,exit", "-F", "arch=b64", "-S", "execve,execveat")
        run_execs(50, 1)
        auditctl("-d", "never,exit", "-F", "arch=b64", "-S", "execve,execveat")
        auditctl("-a", "always,exclude", "-F", "msgtype=SYSCALL", "-F", "pid>0")
        run_execs(50, 1)
        auditctl("-d", "always,exclude", "-F", "msgtype=SYSCALL", "-F", "pid>0")
        run_execs(50, 1)
        watch = watched(auditd)
    watch.finish()
    assert watch.lost == 0


def test_what_a_stopped_auditd_costs_is_partly_seen_and_never_more_than_it_cost(
    tmp_path: Path,
) -> None:
    with PrivateAuditd(tmp_path, RULES, backlog_limit=64) as auditd:
        auditctl("--backlog_wait_time", "1")
        try:
            os.kill(auditd.pid, signal.SIGSTOP)
            shells = start_execs(300, 2)
            until(lambda: KernelAudit.read().lost > 0)
            os.kill(auditd.pid, signal.SIGCONT)
            for shell in shells:
                assert shell.wait(60) == 0
        finally:
            os.kill(auditd.pid, signal.SIGCONT)
            auditctl("--backlog_wait_time", "15000")
            auditctl("-b", "65536")
        run_execs(5, 1)
        watch = watched(auditd)
        lost_records = auditd.lost
    watch.finish()
    assert watch.lost <= lost_records
