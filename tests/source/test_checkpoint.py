from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.checkpoint import DamagedError, StateError, StateFolder

if TYPE_CHECKING:
    from pathlib import Path

LOG = "/var/log/audit/audit.log"
STATE = {"position": {"offset": 12}, "text": "\x1d\udcff é\n", "list": [1, None, True, 2.5]}

states = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    ),
)


@given(states)
def test_what_was_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    with StateFolder(tmp_path_factory.mktemp("state")) as folder:
        folder.save(LOG, {"before": 1})
        folder.save(LOG, state)
        assert folder.load(LOG) == state


def test_a_new_folder_holds_nothing_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "var" / "state"
    with StateFolder(path) as folder:
        assert folder.load(LOG) is None
        folder.save(LOG, STATE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.file(LOG).stat().st_mode) == 0o600


def test_a_folder_that_others_could_write_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with StateFolder(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_what_was_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.save(LOG, STATE)
        whole = folder.file(LOG).read_bytes()
        for length in range(len(whole)):
            folder.file(LOG).write_bytes(whole[:length])
            with pytest.raises(DamagedError):
                folder.load(LOG)
        folder.file(LOG).write_bytes(whole + b" ")
        with pytest.raises(DamagedError):
            folder.load(LOG)


def test_what_was_changed_in_its_state_is_damaged(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.save(LOG, STATE)
        whole = folder.file(LOG).read_bytes()
        for place in range(whole.index(b"\n") + 1, len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 1
            folder.file(LOG).write_bytes(changed)
            with pytest.raises(DamagedError, match="checksum"):
                folder.load(LOG)


def test_a_later_version_is_told_apart(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.save(LOG, STATE)
        header, _, payload = folder.file(LOG).read_bytes().partition(b"\n")
        later = json.dumps({**json.loads(header), "version": 3}).encode()
        folder.file(LOG).write_bytes(later + b"\n" + payload)
        with pytest.raises(DamagedError, match="version 3"):
            folder.load(LOG)


def test_what_is_set_aside_is_kept_and_not_loaded_again(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.file(LOG).write_bytes(b"junk")
        assert folder.set_aside(LOG).read_bytes() == b"junk"
        assert folder.load(LOG) is None


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with StateFolder(tmp_path) as folder:
        folder.save(LOG, STATE)
        with monkeypatch.context() as patch:
            if call == "rename":
                patch.setattr(type(tmp_path), "rename", fail)
            else:
                patch.setattr(os, call, fail)
            with pytest.raises(OSError, match="No space"):
                folder.save(LOG, {"new": 1})
        assert folder.load(LOG) == STATE


def test_a_write_of_a_few_bytes_at_a_time_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with StateFolder(tmp_path) as folder:
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
        folder.save(LOG, STATE)
        assert folder.load(LOG) == STATE


def test_two_daemons_cannot_have_one_folder(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path\n"
        "from auditrule.source.checkpoint import StateFolder\n"
        "folder = StateFolder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=f"used by another daemon, process {other.pid}"):
            StateFolder(tmp_path)
        other.kill()
        other.wait()
        # The kernel lets go of a lock with its process, however that ended.
        StateFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="file/state: a part of the path is not a directory"):
        StateFolder(tmp_path / "file" / "state")


def test_each_input_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        assert not folder.has_others(LOG)
        folder.save("/other", {"other": 1})
        assert folder.load(LOG) is None
        assert folder.has_others(LOG)
        folder.save(LOG, STATE)
        assert (folder.load(LOG), folder.load("/other")) == (STATE, {"other": 1})


def test_a_damaged_checkpoint_of_its_own_is_not_another_inputs(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.save(LOG, STATE)
        folder.set_aside(LOG)
        assert not folder.has_others(LOG)


def test_a_folder_that_was_removed_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFolder(path) as folder:
        folder.save(LOG, STATE)
        shutil.rmtree(path)
        folder.save(LOG, {"new": 1})
        assert folder.load(LOG) == {"new": 1}
        with pytest.raises(StateError, match="used by another daemon"):
            StateFolder(path)


def test_a_folder_that_another_took_after_it_was_removed_is_not_shared(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFolder(path) as folder:
        shutil.rmtree(path)
        with StateFolder(path), pytest.raises(StateError, match="used by another daemon"):
            folder.save(LOG, STATE)


def test_a_checkpoint_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.file(LOG).mkdir()
        with pytest.raises(StateError, match=r"checkpoint-\w+: is a directory"):
            folder.load(LOG)
