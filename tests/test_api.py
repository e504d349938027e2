"""The Python API, and its example in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernel_format import ExecOnKernel

import auditrule

ROOT = Path(__file__).parent.parent


def write(path: Path, *arguments: bytes) -> Path:
    path.write_bytes(b"\n".join(ExecOnKernel([b"chmod", *arguments]).lines()) + b"\n")
    return path


def test_replay_yields_alerts(tmp_path: Path) -> None:
    log = write(tmp_path / "audit.log", b"+x", b"/etc/rc.local")
    for paths in (log, str(log), [log], [tmp_path]):
        (alert,) = auditrule.replay(paths)
        assert alert.process.args == ("chmod", "+x", "/etc/rc.local")
        assert alert.rule.name == "Executable Bit Set for Potential Persistence Script"


def test_replay_takes_rules_of_ones_own(tmp_path: Path, bundled_rule: Path) -> None:
    log = write(tmp_path / "audit.log", b"u+s", b"/tmp/x")
    text = bundled_rule.read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    query = "query = '''process where process.args : \"u+s\"'''"
    mine.write_text(re.sub(r"query = '''.*?'''", lambda _: query, text, flags=re.DOTALL))
    assert list(auditrule.replay(log)) == []
    assert [a.process.args for a in auditrule.replay(log, rules=mine)] == [
        ("chmod", "u+s", "/tmp/x")
    ]


def test_read_events_yields_documents(tmp_path: Path) -> None:
    (document,) = auditrule.read_events(write(tmp_path / "audit.log", b"644", b"/x"), host="web1")
    assert document.process.name == "chmod"
    assert document.host.name == "web1"


def test_missing_logs_and_broken_rules_are_errors_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(auditrule.SourceError, match="no such file"):
        auditrule.replay(tmp_path / "none")
    log = write(tmp_path / "audit.log", b"644")
    broken = tmp_path / "broken.toml"
    broken.write_text("[rule]\n")
    with pytest.raises(auditrule.RulesError, match=r"rule\.name"):
        auditrule.replay(log, rules=broken)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(auditrule.RulesError, match="no rules"):
        auditrule.replay(log, rules=empty)


def test_a_log_that_can_be_read_only_in_part_is_an_error_after_its_alerts(tmp_path: Path) -> None:
    import gzip

    whole = write(tmp_path / "audit.log", b"+x", b"/etc/rc.local").read_bytes()
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(whole)[:-4])
    alerts = auditrule.replay(cut)
    assert next(alerts).process.name == "chmod"
    with pytest.raises(auditrule.SourceError):
        next(alerts)


def test_the_readmes_example_runs_and_says_what_it_is_said_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    expected = re.findall(r"^# prints: (.*)$", code, re.MULTILINE)
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    assert expected
    assert capsys.readouterr().out.splitlines()[: len(expected)] == expected
