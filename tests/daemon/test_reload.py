from __future__ import annotations

import logging
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from auditrule.config import load_settings
from auditrule.daemon.reload import Reloader
from auditrule.daemon.ruleset import RulesRefusedError, prepare_detector
from auditrule.daemon.rulewatch import RuleWatch, RuleWatching
from auditrule.resources import bundled_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    shutil.copytree(bundled_rules(), folder)
    for path in (tmp_path, folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def settings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "auditrule.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def reloader(config: Path) -> Reloader:
    return Reloader(load_settings(config), config=config, rules=(), watch=lambda paths: None)


def test_rules_are_read_again(tmp_path: Path, rules: Path) -> None:
    config = settings_file(tmp_path, f'[rules]\npaths = ["{rules}"]\n')
    reload = reloader(config)
    bundled = next(rules.glob("*.toml"))
    text = bundled.read_text()
    changed = text.replace('rule_id = "', 'rule_id = "another-')
    (rules / "another.toml").write_text(changed)
    detector = reload()
    assert detector is not None
    assert len(detector.rules) == 2
    assert reload.last_error is None


def test_a_bad_rule_keeps_the_old_ones_and_is_told(
    tmp_path: Path, rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reload = reloader(settings_file(tmp_path, f'[rules]\npaths = ["{rules}"]\n'))
    (rules / "bad.toml").write_text("[rule]\n")
    assert reload() is None
    assert reload.last_error is not None
    assert "bad.toml" in reload.last_error
    assert "not reloaded: broken rule" in caplog.text
    (rules / "bad.toml").unlink()
    assert reload() is not None
    assert reload.last_error is None


def test_bad_settings_keep_the_old_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = settings_file(tmp_path, "")
    reload = reloader(config)
    config.write_text("[rules]\nmax_open = 0\n")
    assert reload() is None
    assert "not reloaded" in caplog.text
    assert "max_open" in caplog.text


def test_what_takes_a_restart_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings_file(tmp_path, "")
    reload = reloader(config)
    config.write_text('[alerts]\npath = "/elsewhere"\n[logging]\nlevel = "debug"\n')
    assert reload() is not None
    assert "[alerts] has changed, which takes a restart" in caplog.text
    assert reload.needs_restart == ("alerts",)
    # Not forgotten with the next reload.
    assert reload() is not None
    assert reload.needs_restart == ("alerts",)
    assert "[logging]" not in caplog.text
    assert logging.getLogger().level == logging.DEBUG
    config.write_text("")
    assert reload() is not None
    assert not reload.needs_restart


def test_rules_that_others_could_change_are_not_run(rules: Path) -> None:
    bundled = next(rules.glob("*.toml"))
    bundled.chmod(0o666)
    with pytest.raises(RulesRefusedError, match=r"mode 0666.*chmod go-w"):
        prepare_detector([rules], max_open=10, strict=False)


def test_a_broken_rule_stops_a_start_only_if_no_other_is_left(
    rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (rules / "bad.toml").write_text("[rule]\n")
    prepared = prepare_detector([rules], max_open=10, strict=False)
    assert (len(prepared.detector.rules), prepared.broken) == (1, 1)
    assert "broken rule" in caplog.text
    for path in rules.glob("[!b]*.toml"):
        path.unlink()
    with pytest.raises(RulesRefusedError, match="there is no rule to run"):
        prepare_detector([rules], max_open=10, strict=False)


@pytest.mark.parametrize("change", ["write", "add", "remove", "replace"])
def test_a_change_below_the_rules_is_noticed(rules: Path, change: str) -> None:
    noticed = threading.Event()
    file = next(rules.glob("*.toml"))
    watch = RuleWatch([rules], noticed.set)
    try:
        if change == "write":
            file.write_text(file.read_text() + "\n")
        elif change == "add":
            (rules / "below").mkdir()
            (rules / "below" / "new.toml").write_text("")
        elif change == "remove":
            file.unlink()
        else:
            (rules.parent / "new").write_text("")
            (rules.parent / "new").replace(file)
        assert noticed.wait(20)
    finally:
        watch.close()


def test_a_rule_file_of_its_own_is_watched_and_not_its_neighbours(rules: Path) -> None:
    noticed = threading.Event()
    file = next(rules.glob("*.toml"))
    watch = RuleWatch([file], noticed.set)
    try:
        (rules / "neighbour.toml").write_text("")
        file.read_text()
        file.write_text("")
        assert noticed.wait(20)
    finally:
        watch.close()


def test_a_reload_watches_what_the_new_settings_name(tmp_path: Path, rules: Path) -> None:
    told: list[list[Path]] = []
    config = settings_file(tmp_path, "[rules]\nwatch = false\n")
    reload = Reloader(
        load_settings(config),
        config=config,
        rules=(),
        watch=lambda paths: told.append(list(paths)),
    )
    reload.watch()
    config.write_text(f'[rules]\nwatch = true\npaths = ["{rules}"]\n')
    assert reload() is not None
    assert told == [[], [rules]]


def test_other_paths_are_watched_when_told(rules: Path, tmp_path: Path) -> None:
    noticed = threading.Event()
    other = tmp_path / "other"
    other.mkdir()
    watching = RuleWatching(noticed.set)
    try:
        watching.watch([other])
        watching.watch([rules])
        (rules / "new.toml").write_text("")
        assert noticed.wait(20)
        noticed.clear()
        watching.watch([])
        watching.watch([other])
        (other / "new.toml").write_text("")
        assert noticed.wait(20)
    finally:
        watching.close()
