"""Figures for Prometheus, read back by Prometheus' own parser."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auditrule.config import loopback_address
from auditrule.daemon import scraping
from auditrule.daemon.health import Health, HealthPosition
from auditrule.daemon.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from auditrule.daemon.scraping import MetricsServer

NOW = datetime.now(UTC)


def healthy(**more: Any) -> Health:
    return Health(
        version="1.2.3",
        pid=42,
        started=NOW - timedelta(hours=1),
        updated=NOW,
        input="/var/log/audit/audit.log",
        means="inotify",
        position=HealthPosition(path="/var/log/audit/audit.log", offset=7),
        **more,
    )


def samples(text: bytes) -> dict[str, float]:
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def get(server: MetricsServer, path: str = "/metrics") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_each_count_has_its_own_figure() -> None:
    fields = {
        "records": "auditrule_records_total",
        "unparsed": "auditrule_unparsed_lines_total",
        "overlong": "auditrule_overlong_lines_total",
        "events": "auditrule_events_total",
        "truncated": "auditrule_truncated_events_total",
        "execs": "auditrule_execs_total",
        "lost_events": "auditrule_lost_events_total",
        "gaps": "auditrule_log_gaps_total",
        "rotations": "auditrule_log_rotations_total",
        "truncations_of_log": "auditrule_log_truncations_total",
        "evictions": "auditrule_process_evictions_total",
        "reloads": "auditrule_reloads_total",
        "failed_reloads": "auditrule_failed_reloads_total",
        "sink_errors": "auditrule_sink_errors_total",
        "checkpoint_errors": "auditrule_checkpoint_errors_total",
        "rules": "auditrule_rules",
        "lag_bytes": "auditrule_lag_bytes",
        "lag_seconds": "auditrule_lag_seconds",
        "pending": "auditrule_pending_events",
        "processes": "auditrule_processes",
        "open_sequences": "auditrule_open_sequences",
    }
    values = {field: 1000 + place for place, field in enumerate(fields)}
    told = samples(Metrics(lambda: healthy(**values)).text())
    assert {fields[field]: value for field, value in values.items()}.items() <= told.items()


def test_every_count_of_the_health_is_told() -> None:
    numbers = {
        name
        for name, field in Health.model_fields.items()
        if field.annotation in (int, float, dict[str, int])
    } - {"pid", "interval", "alerts"}
    quiet = Metrics(lambda: healthy()).text()
    for name in numbers:
        value = {"some-rule": 77} if Health.model_fields[name].annotation == dict[str, int] else 77
        told = samples(Metrics(lambda value=value, name=name: healthy(**{name: value})).text())  # type: ignore[misc]
        assert 77 in {told[key] for key in told.keys() - samples(quiet).keys()} | {
            told[key] for key, was in samples(quiet).items() if told[key] != was
        }, name


def test_counts_by_rule_have_the_rules_id_as_label() -> None:
    told = samples(
        Metrics(
            lambda: healthy(
                alerts_by_rule={"a": 2, "b": 3}, rule_failures={"a": 1}, dropped_sequences={"b": 4}
            )
        ).text()
    )
    assert told["auditrule_alerts_total rule=a"] == 2
    assert told["auditrule_alerts_total rule=b"] == 3
    assert told["auditrule_rule_failures_total rule=a"] == 1
    assert told["auditrule_dropped_sequences_total rule=b"] == 4


def test_reports_of_auditd_have_their_kind_as_label() -> None:
    told = samples(Metrics(lambda: healthy(audit_reports={"auditd_died": 2})).text())
    assert told["auditrule_audit_reports_total kind=auditd_died"] == 2


def test_trouble_is_one_while_it_lasts() -> None:
    names = {
        "log_problem": "auditrule_log_problem",
        "sink_failing": "auditrule_sink_failing",
        "checkpoint_failing": "auditrule_checkpoint_failing",
        "last_reload_error": "auditrule_reload_failing",
    }
    well = samples(Metrics(healthy).text())
    assert {well[name] for name in names.values()} == {0}
    for field, name in names.items():
        told = samples(Metrics(lambda field=field: healthy(**{field: "disk full"})).text())  # type: ignore[misc]
        assert {other for other in names.values() if told[other]} == {name}


def test_the_build_and_the_times_are_told() -> None:
    told = samples(
        Metrics(lambda: healthy(last_checkpoint=NOW - timedelta(hours=2), last_alert=NOW)).text()
    )
    version = ".".join(map(str, sys.version_info[:3]))
    assert told[f"auditrule_build_info python={version} version=1.2.3"] == 1
    assert told["auditrule_input_info input=/var/log/audit/audit.log means=inotify"] == 1
    assert told["auditrule_start_time_seconds"] == (NOW - timedelta(hours=1)).timestamp()
    assert told["auditrule_last_update_time_seconds"] == NOW.timestamp()
    assert told["auditrule_last_alert_time_seconds"] == NOW.timestamp()
    assert 7200 <= told["auditrule_checkpoint_age_seconds"] < 7200 + 600


def test_what_never_was_is_not_told() -> None:
    told = samples(Metrics(healthy).text())
    assert "auditrule_checkpoint_age_seconds" not in told
    assert "auditrule_last_alert_time_seconds" not in told


def test_figures_are_new_at_each_telling() -> None:
    counts = iter((1, 2))
    metrics = Metrics(lambda: healthy(records=next(counts)))
    assert samples(metrics.text())["auditrule_records_total"] == 1
    assert samples(metrics.text())["auditrule_records_total"] == 2


def test_a_label_can_hold_anything() -> None:
    rule = 'a"\\\nauditrule_records_total 0\udcff'
    text = Metrics(lambda: healthy(alerts_by_rule={rule: 2}, records=5)).text()
    assert samples(text)["auditrule_records_total"] == 5
    assert len(re.findall(rb"^auditrule_records_total ", text, re.MULTILINE)) == 1


def test_names_and_types_are_as_prometheus_wants_them() -> None:
    for family in text_string_to_metric_families(Metrics(healthy).text().decode()):
        assert re.fullmatch(r"auditrule_[a-z]+(_[a-z]+)*", family.name)
        assert family.type in ("counter", "gauge")
        assert family.documentation.endswith(".")


def test_a_scrape_is_answered() -> None:
    with Metrics(lambda: healthy(records=5)).serve("127.0.0.1:0") as server:
        status, body = get(server)
        assert status == 200
        assert samples(body)["auditrule_records_total"] == 5
        assert get(server, "/metrics?x=1")[0] == 200
        assert get(server, "/")[0] == 404


def test_a_scrape_is_answered_over_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Metrics(healthy).serve("[::1]:0") as server:
        assert get(server)[0] == 200


def test_a_failure_is_the_scrapers_and_not_the_daemons(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Health:
        raise RuntimeError("no health")

    with Metrics(fail).serve("localhost:0") as server:
        status, body = get(server)
        assert status == 500
        assert b"no health" not in body
        assert get(server)[0] == 500
    assert "the metrics cannot be told" in caplog.text


def test_there_is_room_for_a_few_connections_and_others_are_dropped() -> None:
    with Metrics(healthy).serve("127.0.0.1:0") as server, contextlib.ExitStack() as stack:
        # They are accepted in the order in which they connect.
        *_, fifth = [
            stack.enter_context(socket.create_connection((server.host, server.port), 30))
            for _ in range(5)
        ]
        assert fifth.recv(1) == b""


def test_who_says_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping._Handler, "timeout", 0.05)
    with (
        Metrics(healthy).serve("127.0.0.1:0") as server,
        socket.create_connection((server.host, server.port), 30) as client,
    ):
        assert client.recv(1) == b""
        assert get(server)[0] == 200


def test_a_closed_server_lets_its_address_go() -> None:
    with Metrics(healthy).serve("127.0.0.1:0") as server:
        port = server.port
    with Metrics(healthy).serve(f"127.0.0.1:{port}") as again:
        assert get(again)[0] == 200


def test_an_address_that_is_taken_is_an_error() -> None:
    with Metrics(healthy).serve("127.0.0.1:0") as server, pytest.raises(OSError, match="in use"):
        Metrics(healthy).serve(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:9273",
        "192.0.2.1:9273",
        "[::]:9273",
        "[2001:db8::1]:9273",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "127.0.0.1.evil.example:9273",
        "127.999.0.1:9273",
        "evil.example:9273",
        ":9273",
        "",
    ],
)
def test_other_addresses_are_refused(listen: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(listen))):
        loopback_address(listen)


def test_the_textfile_is_for_everybody_to_read_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "auditrule.prom"
    path.write_text("old")
    path.chmod(0o600)
    before = path.open()
    Metrics(lambda: healthy(records=5)).write_textfile(path)
    assert samples(path.read_bytes())["auditrule_records_total"] == 5
    assert path.stat().st_mode & 0o777 == 0o644
    with before:
        assert before.read() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["auditrule.prom"]


def test_a_textfile_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "auditrule.prom"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        Metrics(healthy).write_textfile(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_beside_the_textfile_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".auditrule.prom.new").symlink_to(victim)
    Metrics(healthy).write_textfile(tmp_path / "auditrule.prom")
    assert victim.read_text() == "precious"


def test_prometheus_client_is_imported_only_where_metrics_are_made() -> None:
    script = (
        "import sys, auditrule.daemon.metrics as m\n"
        "assert 'prometheus_client' not in sys.modules\n"
        "m.Metrics(lambda: None)\n"
        "assert 'prometheus_client' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
