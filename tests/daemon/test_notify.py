"""What systemd is told, read from a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from auditrule.daemon import notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The end that systemd holds."""
    if request.param == "path":
        address = shown = str(tmp_path / "notify")
    else:
        name = f"auditrule-test-{os.getpid()}-{time.monotonic_ns()}"
        address, shown = f"\0{name}", f"@{name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", shown)
        yield end


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_each_state_is_one_message(manager: socket.socket) -> None:
    assert notify.ready("following /var/log/audit/audit.log")
    assert heard(manager) == ["READY=1", "STATUS=following /var/log/audit/audit.log"]
    assert notify.ready()
    assert heard(manager) == ["READY=1"]
    assert notify.status("3 alerts")
    assert heard(manager) == ["STATUS=3 alerts"]
    assert notify.watchdog()
    assert heard(manager) == ["WATCHDOG=1"]
    assert notify.stopping()
    assert heard(manager) == ["STOPPING=1"]


def test_a_reload_carries_the_monotonic_time_in_microseconds(manager: socket.socket) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notify.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = heard(manager)
    name, _, value = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(value) <= after


def test_a_status_cannot_smuggle_in_another_assignment(manager: socket.socket) -> None:
    assert notify.status("ran x\nMAINPID=1\x1b[2J\udcff")
    assert heard(manager) == [r"STATUS=ran x\nMAINPID=1\x1b[2J\udcff"]


def test_a_status_of_any_length_goes_out(manager: socket.socket) -> None:
    assert notify.status("x" * 10_000_000)
    assert len(heard(manager)[0]) < 4096


def test_nothing_is_said_where_nobody_listens() -> None:
    assert not notify.ready("well")
    assert not notify.watchdog()


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1", "/nonexistent/notify", "@"])
def test_an_address_that_leads_nowhere_is_no_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify.ready()


def test_a_path_longer_than_a_socket_may_have_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"/{'x' * 300}")
    assert not notify.ready()


def test_a_manager_that_does_not_read_is_given_up_on(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PATIENCE", 0.01)
    # The queue of a datagram socket is short: net.unix.max_dgram_qlen.
    sent = 0
    while notify.watchdog():
        sent += 1
        assert sent < 100_000
    assert heard(manager) == ["WATCHDOG=1"]


def test_the_watchdog_is_fed_twice_as_often_as_systemd_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert notify.watchdog_interval() == 15
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval() == 15


@pytest.mark.parametrize("microseconds", [None, "", "0", "-1", "soon"])
def test_there_is_no_watchdog_unless_one_is_set(
    microseconds: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if microseconds is not None:
        monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert notify.watchdog_interval() is None


@pytest.mark.parametrize("pid", [str(os.getpid() + 1), "", "me"])
def test_a_watchdog_of_another_process_is_not_ours(
    pid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_interval() is None
