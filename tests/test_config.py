import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from auditrule import config
from auditrule.config import Settings, SettingsError, load_settings

DOCUMENTED = Path(__file__).parent.parent / "config" / "auditrule.toml"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "none.toml")


def write(folder: Path, text: str) -> Path:
    path = folder / "auditrule.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_documented_file_says_the_defaults() -> None:
    assert load_settings(DOCUMENTED) == Settings()


def test_the_documented_file_names_every_key() -> None:
    text = re.sub(r"^# (?=\w+ = )", "", DOCUMENTED.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = {(name, key) for name, table in tomllib.loads(text).items() for key in table}
    keys = {
        (name, key)
        for name, field in Settings.model_fields.items()
        for key in type(field.default).model_fields
    }
    assert documented == keys


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_usual_file_is_read_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", write(tmp_path, '[host]\nname = "web1"'))
    assert load_settings().host.name == "web1"


def test_the_environment_overrides_the_file_key_by_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write(tmp_path, '[alerts]\npath = "/a"\n[reassembly]\nmax_pending = 7\nmax_age = 1')
    monkeypatch.setenv("AUDITRULE_REASSEMBLY__MAX_PENDING", "9")
    monkeypatch.setenv("AUDITRULE_RULES__PATHS", '["/x", "/y"]')
    settings = load_settings(path)
    assert settings.reassembly.max_pending == 9
    assert settings.reassembly.max_age == 1
    assert settings.alerts.path == Path("/a")
    assert settings.rules.paths == (Path("/x"), Path("/y"))


def test_alerts_may_go_to_standard_output(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, '[alerts]\npath = "-"')).alerts.path == Path("-")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[alert]\npath = 'x'", "alert: no such section"),
        ("[alerts]\npaht = 'x'", "alerts.paht: no such key"),
        ("[alerts]\npath = 5", "alerts.path: input should be a valid string"),
        ("[reassembly]\nmax_pending = '5'", "reassembly.max_pending: input should be a valid int"),
        ("[reassembly]\nmax_pending = 0", "reassembly.max_pending: input should be greater than"),
        ("[log]\nstart = 'middle'", "log.start: input should be 'end' or 'beginning'"),
        ("log = 5", "log: input should be"),
        ("[log", "not TOML"),
        ("[log]\npath = 'audit.log'", "log.path: 'audit.log' is not absolute: it must begin with"),
        ("[alerts]\npath = 'x'", "alerts.path: 'x' is not absolute"),
        ("[rules]\npaths = ['/x', 'y']", "rules.paths.1: 'y' is not absolute"),
        ("[alerts]\nmode = '0888'", "alerts.mode: '0888' is no octal mode such as 0640"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused_with_file_key_and_reason(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, "[lgo]\n[log]\npath = 1\nx = 2\n[host]\ny = 3"))
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("AUDITRULE_ALERT__PATH", "x", "AUDITRULE_ALERT__PATH: no such setting"),
        ("AUDITRULE_LOG__PAHT", "x", "log.paht: no such key"),
        ("AUDITRULE_REASSEMBLY__MAX_AGE", "x", "reassembly.max_age: input should be a valid num"),
        ("AUDITRULE_RULES__PATHS", "x", 'error parsing value for field "rules"'),
    ],
)
def test_the_environment_is_checked_likewise(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"the environment: {complaint}")


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings: Any = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.log.path = Path("/x")
