"""The fuzzing's targets hold for its seeds, so that they are in order when somebody fuzzes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuzz import seeds
from fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("target", TARGETS)
def test_what_must_hold_for_any_input_holds_for_the_seeds(target: str, tmp_path: Path) -> None:
    seeds.write(target, tmp_path / "seeds")
    inputs = sorted((tmp_path / "seeds").iterdir())
    assert len(inputs) > 20
    for path in inputs[:: 1 + len(inputs) // 80]:
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_the_words_to_put_in_are_of_libfuzzers_form(target: str) -> None:
    for line in seeds.dictionary(target).splitlines():
        assert line.isascii()
        assert line[0] == line[-1] == '"'
        assert '"' not in line[1:-1]


def test_a_target_raises_on_what_must_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.targets.encode_text", lambda text: b"")
    with pytest.raises(AssertionError):
        TARGETS["grammar"](b'type=CWD msg=audit(1.000:1): cwd="/"')
