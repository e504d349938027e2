"""Going on at a position, wherever its file is by now; and what is kept of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rotating_log import PACKERS, RotatingLog

from auditrule.source import files, succession
from auditrule.source import tail as tail_module
from auditrule.source.files import FileIdentity
from auditrule.source.position import Position
from auditrule.source.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwatched:
        means = "none"

        def __init__(self, log: Path, notify: Callable[[], None]) -> None: ...
        def ensure(self) -> None: ...
        def pause(self) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr(tail_module, "FolderWatch", Unwatched)
    monkeypatch.setattr(succession, "SETTLE", 0.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    return tmp_path / "audit" / "audit.log"


def _drain(tail: Tail) -> list[bytes]:
    lines = []
    while batch := tail.read(0):
        lines += batch
    return lines


def _stop_after(log: Path, expected: list[bytes]) -> Position:
    """Read all there is, and return the position as it comes back from a checkpoint."""
    with Tail(log, start="oldest") as tail:
        assert _drain(tail) == expected
        return _kept(tail.position)


def _kept(position: Position) -> Position:
    kept = Position.from_state(json.loads(json.dumps(position.to_state())))
    assert kept == position
    return kept


def _resume(log: Path, position: Position) -> tuple[list[bytes], int]:
    with Tail(log, resume=position) as tail:
        return _drain(tail), tail.gaps


def _append(*lines: bytes) -> Callable[[RotatingLog], None]:
    return lambda writer: writer.write(b"".join(line + b"\n" for line in lines))


def test_a_log_that_only_grew_goes_on_behind_the_last_line(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n2\nhal")
    position = _stop_after(log, [b"1", b"2"])
    assert position.offset == 4
    writer.write(b"f\n3\n")
    assert _resume(log, position) == ([b"half", b"3"], 0)


def test_a_position_in_the_midst_of_a_file_is_the_start_of_a_line(log: Path) -> None:
    lines = [b"%06d" % number for number in range(400_000)]
    log.write_bytes(b"\n".join(lines) + b"\n")
    with Tail(log, start="beginning") as tail:
        first = tail.read(0)
        position = _kept(tail.position)
        assert 0 < len(first) < len(lines)
        assert position.offset == 7 * len(first)
    assert first + _resume(log, position)[0] == lines


@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("rotations", [1, 2, 5])
@pytest.mark.parametrize("way", ["rotate", "copytruncate"])
@pytest.mark.parametrize("suffix", ["", *PACKERS])
def test_rotations_while_down_lose_and_repeat_nothing(
    log: Path, rotations: int, dated: bool, way: str, suffix: str
) -> None:
    writer = RotatingLog(log, dated=dated)
    writer.write(b"ancient\n")
    writer.rotate()
    writer.write(b"old\n")
    position = _stop_after(log, [b"ancient", b"old"])
    expected = []
    for number in range(rotations):
        writer.write(b"%d\nnext to %d\n" % (number, number))
        expected += [b"%d" % number, b"next to %d" % number]
        getattr(writer, way)()
        if suffix:
            writer.compress(suffix=suffix)
    writer.write(b"now and much further than before\n")
    assert _resume(log, position) == ([*expected, b"now and much further than before"], 0)


def test_delayed_compression_while_down_loses_nothing(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    for number in range(2, 6):
        writer.write(b"%d\n" % number)
        writer.rotate()
        if len(writer.rotated()) > 1:
            writer.compress(1)
    writer.write(b"6\n")
    assert _resume(log, position) == ([b"2", b"3", b"4", b"5", b"6"], 0)


def test_the_offset_in_an_archive_counts_decompressed_bytes(log: Path) -> None:
    writer = RotatingLog(log)
    lines = [b"%06d" % number for number in range(400_000)]
    writer.write(b"\n".join(lines) + b"\n")
    writer.rotate()
    writer.compress()
    given: list[bytes] = []
    with Tail(log, start="oldest") as tail:
        given += tail.read(0)
        position = _kept(tail.position)
        assert position.offset == 7 * len(given)
    assert given + _resume(log, position)[0] == lines


def test_a_position_in_an_archive_is_found_as_the_archive_moves_on(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n2\n")
    writer.rotate()
    writer.compress()
    position = _stop_after(log, [b"1", b"2"])
    writer.write(b"3\n")
    writer.rotate()
    writer.write(b"4\n")
    assert _resume(log, position) == ([b"3", b"4"], 0)


def test_a_last_line_without_newline_that_was_given_is_not_given_again(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\ntorn")
    writer.rotate()
    writer.write(b"hal")
    position = _stop_after(log, [b"1", b"torn"])
    writer.write(b"f\n")
    assert _resume(log, position) == ([b"half"], 0)
    writer.rotate()
    writer.write(b"2\n")
    assert _resume(log, position) == ([b"half", b"2"], 0)


def test_a_line_torn_by_a_rotation_while_down_is_given_once(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\nto")
    position = _stop_after(log, [b"1"])
    writer.write(b"rn")
    writer.rotate()
    writer.write(b"2\n")
    assert _resume(log, position) == ([b"torn", b"2"], 0)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_rest_of_half_a_line_is_found_in_the_copy(log: Path, compressed: bool) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\nha")
    position = _stop_after(log, [b"1"])
    writer.write(b"lf\n2\n")
    writer.copytruncate()
    if compressed:
        writer.compress()
    writer.write(b"3 is longer than all before\n")
    assert _resume(log, position) == ([b"half", b"2", b"3 is longer than all before"], 0)


def test_the_inode_of_the_position_means_nothing_to_another_file(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    writer.write(b"2\n")
    writer.rotate()
    writer.compress()
    # ext4 gives the number of a file that was removed to the next one.
    writer.write(b"a longer line than before\n3\n")
    stolen = FileIdentity(log.stat().st_dev, log.stat().st_ino, position.file.head)
    position = Position(position.path, stolen, position.offset, position.older)
    assert _resume(log, position) == ([b"2", b"a longer line than before", b"3"], 0)


def test_a_device_number_that_changed_at_boot_does_not_hide_the_file(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    moved = FileIdentity(position.file.device + 1, position.file.inode, position.file.head)
    writer.write(b"2\n")
    assert _resume(log, Position(log, moved, position.offset, position.older)) == ([b"2"], 0)


def test_a_file_that_is_gone_for_good_is_a_gap_before_the_oldest_younger_one(log: Path) -> None:
    writer = RotatingLog(log, num_logs=3)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    for number in range(2, 7):
        writer.rotate()
        writer.write(b"%d\n" % number)
    with Tail(log, resume=position) as tail:
        assert tail.gaps == 0
        assert tail.read(0) == [b"4"]
        assert tail.gaps == 1
        assert _drain(tail) == [b"5", b"6"]
        assert tail.gaps == 1
        assert _resume(log, _kept(tail.position)) == ([], 0)


def test_a_log_removed_while_down_does_not_bring_back_what_is_older(log: Path) -> None:
    writer = RotatingLog(log)
    for number in range(3):
        writer.write(b"%d\n" % number)
        writer.rotate()
    writer.write(b"3\n")
    position = _stop_after(log, [b"0", b"1", b"2", b"3"])
    log.unlink()
    writer.move()
    writer.write(b"4\n")
    assert _resume(log, position) == ([b"4"], 1)


def test_older_files_that_turn_up_later_are_not_read(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"old\n")
    writer.rotate()
    writer.write(b"1\n")
    position = _stop_after(log, [b"old", b"1"])
    hidden = writer.numbered(1).rename(log.parent / "hidden")
    with Tail(log, resume=position) as tail:
        assert _drain(tail) == []
        writer.write(b"2\n")
        hidden.rename(writer.numbered(1))
        assert _drain(tail) == [b"2"]
        log.unlink()
        writer.move()
        writer.write(b"3\n")
        assert _drain(tail) == [b"3"]


def test_a_folder_that_comes_later_is_searched_for_the_position(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    writer.write(b"2\n")
    writer.rotate()
    writer.write(b"3\n")
    away = log.parent.rename(log.parent.with_name("not-mounted-yet"))
    with Tail(log, resume=position) as tail:
        assert _drain(tail) == []
        assert tail.position == position
        away.rename(log.parent)
        assert _drain(tail) == [b"2", b"3"]
        assert tail.gaps == 0


def test_a_log_that_is_not_there_yet_is_waited_for_at_the_position_too(log: Path) -> None:
    with Tail(log) as tail:
        assert tail.read(0) == []
        position = _kept(tail.position)
    writer = RotatingLog(log)
    writer.write(b"1\n")
    assert _resume(log, position) == ([b"1"], 0)
    writer.rotate()
    writer.write(b"2\n")
    # There may have been others before it.
    assert _resume(log, position) == ([b"1", b"2"], 1)


@pytest.mark.parametrize("begun", [b"", b"beg"])
@pytest.mark.parametrize("way", ["rotate", "copytruncate"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_file_without_a_whole_line_at_the_checkpoint_is_read_from_its_start(
    log: Path, begun: bytes, way: str, before: int
) -> None:
    writer = RotatingLog(log)
    for number in range(before):
        writer.write(b"old %d\n" % number)
        writer.rotate()
    writer.write(begun)
    with Tail(log, start="end") as tail:
        assert tail.read(0) == []
        position = _kept(tail.position)
    assert (position.file.head, position.offset) == (b"", 0)
    writer.write(b"un\n")
    getattr(writer, way)()
    writer.write(b"2\n")
    writer.rotate()
    writer.write(b"3\n")
    lines, gaps = _resume(log, position)
    assert lines == [begun + b"un", b"2", b"3"]
    # Where nothing older is there, nobody can tell: another file may have got its inode.
    assert gaps == (not before)


def test_a_file_without_a_line_that_is_gone_for_good_is_a_gap(log: Path) -> None:
    writer = RotatingLog(log, num_logs=3)
    writer.write(b"old\n")
    writer.rotate()
    with Tail(log, start="end") as tail:
        assert tail.read(0) == []
        position = _kept(tail.position)
    for number in range(1, 5):
        writer.write(b"%d\n" % number)
        writer.rotate()
    writer.write(b"5\n")
    # Whatever its inode is now.
    other = FileIdentity(position.file.device, 1, b"")
    position = Position(log, other, 0, position.older)
    assert _resume(log, position) == ([b"3", b"4", b"5"], 1)


def test_the_position_is_known_after_closing(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    tail = Tail(log, start="oldest")
    assert _drain(tail) == [b"1"]
    before = tail.position
    tail.close()
    tail.close()
    assert tail.position == before


def test_a_log_that_a_crash_has_cut_short_goes_on_at_its_new_end(log: Path) -> None:
    log.write_bytes(b"1\n2\n3\n")
    position = _stop_after(log, [b"1", b"2", b"3"])
    os.truncate(log, 4)
    with Tail(log, resume=position) as tail:
        assert _drain(tail) == []
        RotatingLog(log).write(b"4\n")
        assert _drain(tail) == [b"4"]


def test_a_copy_that_was_given_up_is_no_other_file(log: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    writer.copy()
    writer.write(b"2\n")
    assert _resume(log, position) == ([b"2"], 0)
    writer.copytruncate()
    writer.write(b"3\n")
    assert _resume(log, position) == ([b"2", b"3"], 0)


def test_a_moved_copy_of_the_folder_is_the_same_log(log: Path, tmp_path: Path) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    writer.rotate()
    writer.write(b"2\n")
    position = _stop_after(log, [b"1", b"2"])
    writer.write(b"3\n")
    shutil.copytree(log.parent, tmp_path / "restored")
    assert _resume(tmp_path / "restored" / log.name, position) == ([b"3"], 0)


def test_a_file_of_the_position_that_may_not_be_read_is_waited_for(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RotatingLog(log)
    writer.write(b"1\n")
    position = _stop_after(log, [b"1"])
    writer.write(b"2\n")
    writer.rotate()
    writer.write(b"3\n")
    with Tail(log, resume=position) as tail:
        with monkeypatch.context() as refusing:
            opened = files.open_regular

            def refuse(path: Path) -> int:
                if path != log:
                    raise PermissionError(13, "Permission denied")
                return opened(path)

            refusing.setattr(succession, "open_regular", refuse)
            refusing.setattr(files, "open_regular", refuse)
            assert _drain(tail) == []
            assert tail.status().problem == "permission denied"
        assert _drain(tail) == [b"2", b"3"]
        assert (tail.gaps, tail.status().problem) == (0, None)


_DIGESTS = st.binary(min_size=12, max_size=12).map(bytes.hex)
_HEADS = st.binary(min_size=1, max_size=512).filter(lambda head: b"\n" not in head)
_POSITIONS = st.builds(
    Position,
    st.text(min_size=1).map(Path),
    st.builds(FileIdentity, st.integers(0), st.integers(0), _HEADS),
    st.integers(0),
    st.lists(_DIGESTS, max_size=16).map(tuple),
)


@given(position=_POSITIONS)
def test_a_position_survives_json(position: Position) -> None:
    assert Position.from_state(json.loads(json.dumps(position.to_state()))) == position


_GOOD: dict[str, Any] = {
    "path": "/var/log/audit/audit.log",
    "device": 1,
    "inode": 2,
    "head": b"type=DAEMON_START".hex(),
    "offset": 3,
    "older": ["00" * 12],
}


_BAD: list[object] = [
    None,
    [],
    "text",
    {},
    *({k: v for k, v in _GOOD.items() if k != missing} for missing in _GOOD),
    {**_GOOD, "more": 1},
    {**_GOOD, "path": 7},
    {**_GOOD, "device": "1"},
    {**_GOOD, "inode": True},
    {**_GOOD, "offset": -1},
    {**_GOOD, "offset": 1.5},
    {**_GOOD, "head": "no hex"},
    {**_GOOD, "head": b"two\nlines".hex()},
    {**_GOOD, "head": "00" * 513},
    {**_GOOD, "head": ""},
    {**_GOOD, "older": "00"},
    {**_GOOD, "older": [1]},
    {**_GOOD, "older": ["00"]},
]


@pytest.mark.parametrize("state", _BAD)
def test_anything_else_is_no_position(state: object) -> None:
    with pytest.raises(ValueError, match=r"position|hex"):
        Position.from_state(state)


def test_the_position_of_a_log_rotated_a_thousand_times_stays_small(log: Path) -> None:
    writer = RotatingLog(log, num_logs=4)
    with Tail(log) as tail:
        for number in range(1000):
            writer.write(b"%d\n" % number)
            writer.rotate()
            tail.read(0)
        assert len(json.dumps(tail.position.to_state())) < 2000
