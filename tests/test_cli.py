"""The commands as a person types them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kernel_format import ExecOnKernel

from auditrule import __version__

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "auditrule"]


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=60
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def attack(serial: int = 42, **more: object) -> bytes:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], serial=serial, **more)  # type: ignore[arg-type]
    return b"\n".join(deed.lines()) + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    path.write_bytes(attack())
    return path


def test_version() -> None:
    assert run("--version").stdout == f"auditrule {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [["replay"], ["events"], ["run"], ["status"], ["eql"], ["rules", "list"], ["rules", "check"]],
)
def test_the_help_of_each_command_shows_an_example(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Example: auditrule " + " ".join(command) in " ".join(done.stdout.split())


def test_replay_prints_alerts_as_ndjson_where_no_person_looks(log: Path) -> None:
    done = run("replay", log)
    assert done.returncode == 0
    (alert,) = map(json.loads, done.stdout.splitlines())
    assert alert["event"]["kind"] == "alert"
    assert alert["process"]["command_line"] == "chmod +x /etc/rc.local"
    summary = "6 records, 1 process event, 1 exec, 1 alert, 0 unparsed lines"
    assert summary in done.stderr


def test_replay_shows_alerts_as_text_on_a_terminal(log: Path) -> None:
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "replay", log, "--no-progress"], stdout=secondary, stderr=subprocess.DEVNULL
    ) as process:
        os.close(secondary)
        shown = b""
        try:
            while chunk := os.read(primary, 4096):
                shown += chunk
        except OSError:  # a terminal whose other end is closed
            pass
        assert process.wait(60) == 0
    os.close(primary)
    assert b"Executable Bit Set for Potential Persistence Script" in shown
    assert b"chmod +x /etc/rc.local" in shown
    assert b"T1037.004 RC Scripts" in shown


def test_replay_shows_text_when_told(log: Path) -> None:
    done = run("replay", log, "--format", "text")
    lines = [line.split(None, 1) for line in done.stdout.splitlines() if line.startswith("  ")]
    shown = dict(lines)
    assert shown["command"] == "chmod +x /etc/rc.local"
    assert shown["parent"] == "unknown (pid 100)"
    assert shown["login"] == "uid 1000"


def test_text_never_steers_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;gotcha\x07\x9b2J\u202e"
    deed = ExecOnKernel(
        [b"chmod", b"+x", b"/etc/cron.d/" + evil.encode()], cwd=evil.encode(), comm=evil.encode()
    )
    log = tmp_path / "audit.log"
    log.write_bytes(b"\n".join(deed.lines()) + b"\n")
    done = run("replay", log, "--format", "text")
    assert done.stdout.replace("\n", "").isprintable()
    assert "gotcha" in done.stdout


def test_replay_appends_to_a_file(log: Path, tmp_path: Path) -> None:
    output = tmp_path / "alerts.ndjson"
    for _ in range(2):
        done = run("replay", log, "--output", output)
        assert (done.returncode, done.stdout) == (0, "")
    assert len(output.read_text().splitlines()) == 2


def test_replay_reads_standard_input() -> None:
    done = run("replay", "-", stdin=attack())
    assert len(done.stdout.splitlines()) == 1


def test_a_rotated_set_is_read_in_order_of_time(tmp_path: Path) -> None:
    shell = ExecOnKernel([b"sh"], exe=b"/bin/sh", comm=b"sh", pid=100, ppid=1, serial=1)
    older = b"\n".join(shell.lines()) + b"\n"
    (tmp_path / "audit.log.1").write_bytes(older)
    (tmp_path / "audit.log").write_bytes(attack(seconds=1_700_000_100))
    done = run("replay", tmp_path / "audit.log", tmp_path / "audit.log.1")
    assert json.loads(done.stdout)["process"]["parent"]["executable"] == "/bin/sh"


def test_files_that_overlap_give_each_alert_once(tmp_path: Path) -> None:
    for name in ("audit.log", "audit.log.1"):
        (tmp_path / name).write_bytes(attack())
    assert len(run("replay", tmp_path).stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "alerts"),
    [
        ([], 3),
        (["--since", "2023-11-15"], 2),
        (["--until", "2023-11-15"], 1),
        (["--since", "2023-11-15T02:00:00+02:00"], 2),
        (["--since", "1700006400", "--until", "1700092800"], 1),
        (["--since", "2023-11-15", "--until", "2023-11-16T00:00:00Z"], 1),
        (["--since", "2030-01-01"], 0),
    ],
)
def test_since_and_until_choose_by_time(tmp_path: Path, options: list[str], alerts: int) -> None:
    log = tmp_path / "audit.log"
    midnight = 1_700_006_400  # 2023-11-15T00:00:00Z
    times = [midnight - 1, midnight, midnight + 86_400]
    log.write_bytes(b"".join(attack(n, seconds=time, millis=0) for n, time in enumerate(times)))
    done = run("replay", log, *options)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == alerts


def test_host_names_the_host(log: Path) -> None:
    done = run("replay", log, "--host", "web1")
    assert json.loads(done.stdout)["host"]["name"] == "web1"


def test_other_rules_replace_the_bundled_ones(
    log: Path, fixtures: Path, bundled_rule: Path
) -> None:
    with_bundled = run("replay", log, "--rules", bundled_rule)
    assert len(with_bundled.stdout.splitlines()) == 1
    others = run("replay", log, "--rules", fixtures / "rules" / "valid")
    assert others.returncode == 0
    names = {json.loads(line)["rule"]["name"] for line in others.stdout.splitlines()}
    assert "Executable Bit Set for Potential Persistence Script" not in names


def test_a_broken_rule_is_said_and_the_others_run(
    log: Path, tmp_path: Path, bundled_rule: Path
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[rule\n")
    done = run("replay", log, "--rules", bundled_rule, "--rules", broken)
    assert len(done.stdout.splitlines()) == 1
    assert f"broken rule: {broken}" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["replay", "/nowhere/audit.log"], "/nowhere/audit.log: no such file"),
        (["events", "/nowhere/audit.log"], "/nowhere/audit.log: no such file"),
        (["replay", "-", "--rules", "/nowhere.toml"], "/nowhere.toml"),
        (["replay", "-", "-o", "/nowhere/alerts"], "/nowhere/alerts: no such file"),
        (["run", "--config", "/nowhere.toml"], "/nowhere.toml: no such file"),
        (["rules", "check", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_and_exit_1(
    arguments: list[str], complaint: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert complaint in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "-", "--format", "xml"],
        ["replay", "-", "--since", "yesterday-ish"],
        ["replay", "-", "--nonsense"],
        ["frobnicate"],
        ["rules", "check"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_unreadable_file_among_others_is_said_and_the_others_are_read(
    log: Path, tmp_path: Path
) -> None:
    import gzip

    damaged = tmp_path / "audit.log.1.gz"
    damaged.write_bytes(gzip.compress(attack(7, seconds=1_600_000_000))[:-4])
    done = run("replay", tmp_path)
    assert len(done.stdout.splitlines()) == 2
    assert str(damaged) in done.stderr
    assert done.returncode == 1


def test_lines_that_are_no_records_are_counted_and_said_once(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"garbage\n" * 1000 + attack() + b"\xff\x00more\n")
    done = run("replay", log)
    assert done.returncode == 0
    assert "1,001 unparsed lines" in done.stderr
    assert done.stderr.count("garbage") == 1


def test_a_reader_that_goes_away_is_no_disaster(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(attack(n) for n in range(2000)))
    with subprocess.Popen(
        [*COMMAND, "replay", log], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 1


def test_events_prints_every_program_that_started(fixtures: Path) -> None:
    log = fixtures / "logs" / "subshell.raw.exec.log"
    done = run("events", log)
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    golden = json.loads(log.with_suffix(".golden.json").read_text(encoding="utf-8"))
    assert [each["event"]["id"] for each in documents] == [
        each["event"]["id"] for each in golden["documents"]
    ]


def test_rules_list_shows_the_bundled_rule() -> None:
    done = run("rules", "list")
    assert done.returncode == 0
    assert "Executable Bit Set for Potential Persistence Script" in done.stdout
    assert "94418745-529f-4259-8d25-a713a6feb6ae" in done.stdout


def test_rules_check_tells_good_from_broken(fixtures: Path, bundled_rule: Path) -> None:
    good = run("rules", "check", bundled_rule.parent)
    assert good.returncode == 0
    assert str(bundled_rule) in good.stdout
    assert good.stdout.splitlines()[-1] == "1 full"
    broken = run("rules", "check", bundled_rule.parent, fixtures / "rules" / "broken")
    assert broken.returncode == 1
    assert str(bundled_rule) in broken.stdout
    assert "^" in broken.stdout


def test_rules_check_says_how_far_each_rule_runs_as_json(fixtures: Path) -> None:
    done = run("rules", "check", fixtures / "rules", "--format", "json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    by_status: dict[str, int] = {}
    for rule in report["rules"]:
        assert rule.keys() == {
            "path", "id", "name", "language", "status", "missing_fields", "reason", "ignored",
        }  # fmt: skip
        by_status[rule["status"]] = by_status.get(rule["status"], 0) + 1
    assert report["counts"].keys() == {"full", "partial", "unsupported", "not-eql", "error"}
    assert {status: n for status, n in report["counts"].items() if n} == by_status
    assert by_status["error"] > 10
    assert by_status["full"] >= 1


RULE = """
[rule]
rule_id = "{id}"
name = "{id}"
description = "A rule."
severity = "low"
risk_score = 1
type = "eql"
language = "eql"
query = '''{query}'''
{more}
"""


def rule_file(folder: Path, name: str, query: str, more: str = "") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(RULE.format(id=name, query=query, more=more))
    return path


def test_a_sequence_is_one_alert_and_is_not_made_of_two_hosts_logs(tmp_path: Path) -> None:
    query = """sequence by host.id, process.parent.pid with maxspan=1m
      [process where process.name == "chmod"] [process where process.name == "touch"]"""
    rule = rule_file(tmp_path, "pair", query)
    chmod = ExecOnKernel([b"chmod", b"+x", b"a"], serial=1)
    touch = ExecOnKernel([b"touch", b"a"], exe=b"/usr/bin/touch", comm=b"touch", serial=2)
    for name, deeds in {"both": [chmod, touch], "one": [chmod], "two": [touch]}.items():
        (tmp_path / name).mkdir()
        lines = [line + b"\n" for deed in deeds for line in deed.lines()]
        (tmp_path / name / "audit.log").write_bytes(b"".join(lines))
    apart = run("replay", tmp_path / "one", tmp_path / "two", "--rules", rule)
    assert (apart.returncode, apart.stdout) == (0, "")
    together = run("replay", tmp_path / "both", "--rules", rule)
    (alert,) = map(json.loads, together.stdout.splitlines())
    events = alert["auditd"]["sequence"]["events"]
    assert [event["process"]["name"] for event in events] == ["chmod", "touch"]
    shown = run("replay", tmp_path / "both", "--rules", rule, "--format", "text").stdout
    assert shown.index("chmod +x a (pid 200)") < shown.index("touch a (pid 200)")


def test_what_is_not_run_or_ignored_of_rules_is_said_in_a_line_each(
    log: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    suppression = '[rule.alert_suppression]\ngroup_by = ["host.id"]'
    rule_file(rules, "runs", 'process where process.name == "chmod"', suppression)
    rule_file(rules, "never", 'file where file.path == "/etc/passwd"')
    done = run("replay", log, "--rules", rules)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "rules not run: 1 can never match what auditd records" in done.stderr
    assert "alert_suppression is ignored, which 1 of the rules ask for" in done.stderr
    checked = json.loads(run("rules", "check", rules, "--format", "json").stdout)
    assert {rule["id"]: rule["ignored"] for rule in checked["rules"]} == {
        "runs": ["alert_suppression"],
        "never": [],
    }


def test_rules_list_explains_by_what_each_rule_is_looked_up(tmp_path: Path) -> None:
    rule_file(tmp_path, "one", 'process where process.name == "x" and process.args : "*y*"')
    rule_file(tmp_path, "two", 'any where process.args : "*y*"')
    rule_file(tmp_path, "three", 'sequence [any where user.id == "0"] [process where true]')
    done = run("rules", "list", "--explain-index", "--rules", tmp_path)
    rows = [line.strip().split(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    assert sorted(rows) == [
        ["one", "process", 'process.name == "x"'],
        ["three", "any", 'user.id == "0"'],
        ["three", "process", "asked of every event"],
        ["two", "any", "asked of every event"],
    ]


EVENTS = b"""
{"@timestamp": "2026-11-24T00:00:02Z", "event": {"category": "process"}, "n": 2}
{"@timestamp": "2026-11-24T00:00:01Z", "event.category": "file", "n": 1}
"""


def test_eql_prints_the_events_that_a_query_finds(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(EVENTS)
    done = run("eql", "any where n + 1 == 3", path)
    assert done.returncode == 0
    (event,) = map(json.loads, done.stdout.splitlines())
    assert event["n"] == 2
    assert done.stderr == "2 events, 1 match\n"


def test_eql_prints_a_sequence_with_its_events_in_order_of_time() -> None:
    query = "sequence with maxspan=5s [file where true] [process where true]"
    done = run("eql", query, "-", stdin=EVENTS)
    (match,) = map(json.loads, done.stdout.splitlines())
    assert [event["n"] for event in match["events"]] == [1, 2]
    assert match["join_keys"] == []


def test_eql_takes_other_names_for_category_and_time() -> None:
    events = b'{"kind": "a", "t": 2, "n": 1}\n{"kind": "b", "t": 1, "n": 2}\n'
    query = "sequence [b where true] [a where true]"
    fields = ("--category-field", "kind", "--timestamp-field", "t")
    done = run("eql", query, *fields, stdin=events)
    (match,) = map(json.loads, done.stdout.splitlines())
    assert [event["n"] for event in match["events"]] == [2, 1]


def test_eql_shows_where_a_query_is_wrong() -> None:
    done = run("eql", "any where a ===", "-", stdin=EVENTS)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "line 1, column 15" in done.stderr
    assert "^" in done.stderr


def test_eql_passes_over_lines_that_are_no_events_and_says_so() -> None:
    done = run("eql", "any where n == 2", "-", stdin=b"[1]\n\xff\n" + b"[" * 100_000 + EVENTS)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert "line 1 is no JSON object" in done.stderr
    assert "3 lines passed over" in done.stderr


def test_eql_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    done = run("eql", "any where true", tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'none'}: no such file\n"


def test_a_log_in_a_folder_that_cannot_be_read_is_named_and_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(attack())
    (tmp_path / "audit.log.1").symlink_to(tmp_path / "gone")
    for command in ("replay", "events"):
        done = run(command, tmp_path)
        assert done.returncode == 1
        assert len(done.stdout.splitlines()) == 1
        assert f"passed over: {tmp_path / 'audit.log.1'}: no such file" in done.stderr


def test_rules_that_can_never_match_are_no_rules_to_run(log: Path, tmp_path: Path) -> None:
    rule = rule_file(tmp_path, "never", "file where true")
    for command in (("replay", log), ("rules", "list")):
        done = run(*command, "--rules", rule)
        assert done.returncode == 1
        assert "there is no rule to run" in done.stderr


def test_checking_no_rules_at_all_is_a_failure(tmp_path: Path) -> None:
    done = run("rules", "check", tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith("there are no rules\n")


@pytest.mark.parametrize(
    "command", [["replay", "LOG"], ["events", "LOG"], ["rules", "list"], ["--version"]]
)
def test_a_full_standard_output_is_one_clear_line(command: list[str], log: Path) -> None:
    words = [str(log) if word == "LOG" else word for word in command]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run([*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "auditrule: No space left on device"


def test_a_log_without_any_exec_is_said_to_be_one(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b'type=CWD msg=audit(1700000000.000:1): cwd="/"\n')
    assert "no program starts in these logs" in run("replay", log).stderr
    log.write_bytes(attack())
    assert "no program starts" not in run("replay", log).stderr
