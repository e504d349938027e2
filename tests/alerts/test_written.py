"""What an alert file proves."""

import bz2
import gzip
import os
import time
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from alert_documents import SECONDS, Paper
from kernel_format import ExecOnKernel

from auditrule.alerts import written
from auditrule.alerts.problem import gap
from auditrule.alerts.rotating import open_regular
from auditrule.alerts.siblings import Sibling, rotated_siblings
from auditrule.alerts.written import WrittenAlert, written_since
from auditrule.api import replay
from auditrule.audit.record import EventId, Record
from auditrule.ecs.mapping import HostIdentity


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.ndjson"


def put(path: Path, suffix: str, *numbers: int) -> Path:
    file = path.with_name(path.name + suffix)
    data = b"".join(Paper(number).line for number in numbers)
    file.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return file


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(Paper(number).id for number in numbers)


def test_nothing_was_written_where_there_is_no_file_or_folder(path: Path) -> None:
    for each in (path, path / "no" / "folder", Path("/dev/null"), path.parent):
        found = written_since(each, "x")
        assert (found.newest, found.ids, found.found, found.unreadable) == (None, ids(), False, 0)


def test_the_newest_alert_and_what_is_behind_another(path: Path) -> None:
    put(path, "", 0, 1, 2, 3)
    found = written_since(path, Paper(1).id)
    assert found.newest == WrittenAlert(Paper(3).id, EventId(None, SECONDS, 0, 3))
    assert (found.ids, found.found) == (ids(2, 3), True)
    assert written_since(path, Paper(3).id).ids == ids()
    assert written_since(path, None).ids == ids(0, 1, 2, 3)
    assert not written_since(path, None).found
    assert written_since(path, "other").ids == ids(0, 1, 2, 3)
    assert not written_since(path, "other").found


NAMES = [
    ["", ".1", ".2.gz", ".3.gz", ".10.gz"],
    ["", "-20231116", "-20231115.gz", "-20231114.gz"],
    ["", ".1", ".2", "-20231116", "-20231115.gz"],
    [".1", ".2.gz"],
]


@pytest.mark.parametrize("suffixes", NAMES)
def test_the_search_goes_on_in_rotated_files_from_the_newest_back(
    path: Path, suffixes: list[str]
) -> None:
    for place, suffix in enumerate(reversed(suffixes)):
        put(path, suffix, 2 * place, 2 * place + 1)
    last = 2 * len(suffixes) - 1
    for number in range(last + 1):
        found = written_since(path, Paper(number).id)
        assert found.ids == ids(*range(number + 1, last + 1))
        assert found.found
        assert found.newest is not None
        assert found.newest.id == Paper(last).id
    assert written_since(path, None).ids == ids(*range(last + 1))


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".1.bz2", bz2.compress), (".1.zst", zstandard.compress)]
)
def test_other_compressions_of_logrotate_are_read(path: Path, suffix: str, pack: object) -> None:
    assert callable(pack)
    path.with_name(path.name + suffix).write_bytes(pack(Paper(0).line))
    put(path, "", 1)
    assert written_since(path, None).ids == ids(0, 1)


def test_both_forms_of_a_file_that_is_being_compressed_count_once(path: Path) -> None:
    put(path, ".2", 0, 1, 2)
    put(path, ".2.gz", 0, 1, 2)
    put(path, ".1", 3)
    put(path, "", 4)
    assert written_since(path, Paper(1).id).ids == ids(2, 3, 4)


def test_of_two_files_of_one_number_the_plain_one_is_newer(path: Path) -> None:
    put(path, ".2", 2, 3)
    put(path, ".2.gz", 0, 1)
    put(path, ".1", 4)
    assert written_since(path, Paper(0).id).ids == ids(1, 2, 3, 4)


def test_a_real_alert_is_known_and_its_event(path: Path) -> None:
    log = path.with_name("audit.log")
    lines = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"]).lines()
    log.write_bytes(b"\n".join(lines) + b"\n")
    (alert,) = replay(log)
    path.write_text(alert.to_json() + "\n")
    found = written_since(path, None)
    assert found.newest is not None
    assert found.newest.id == alert.id
    assert all(Record.parse(line).event_id == found.newest.event for line in lines)


def test_a_problem_of_the_pipeline_counts_but_is_no_alert(path: Path) -> None:
    problem = gap(HostIdentity("web1"), EventId(None, SECONDS, 0, 7), None, "removed unread")
    put(path, ".1", 0)
    path.write_text(problem.to_json() + "\n")
    found = written_since(path, Paper(0).id)
    assert found.ids == {problem.id}
    assert found.newest is not None
    assert found.newest.id == Paper(0).id
    assert written_since(path, problem.id).ids == ids()
    newest = written_since(path, problem.id).newest
    assert newest is not None
    assert newest.id == Paper(0).id


FOREIGN = [
    b"hello",
    b"{}",
    b"[]",
    b"null",
    b'{"event":{"hash":"x"}}',
    b'{"event":"hash"}',
    b'{"event":{"kind":"alert","hash":7}}',
    b'{"event":{"kind":"alert","hash":"' + b"a" * 1000 + b'"}}',
    b'{"event":{"kind":"event","hash":"a"}}',
    b'{"hash":' + b"[" * 100_000 + b"}",
    b'{"hash":' + b"9" * 10_000 + b"}",
    b'{"event":{"kind":"alert","hash":"\xff"}}',
    b"\xef\xbb\xbf{}",
    Paper(7).line[:-2],
    Paper(7).line[:50] + Paper(8).line[:-1],
]


@pytest.mark.parametrize("line", FOREIGN)
def test_what_is_no_document_is_counted_and_passed_over(path: Path, line: bytes) -> None:
    path.write_bytes(Paper(0).line + line + b"\n" + Paper(1).line + line)
    found = written_since(path, Paper(0).id)
    assert (found.ids, found.unreadable, found.found) == (ids(1), 2, True)


def test_blank_lines_are_nothing(path: Path) -> None:
    path.write_bytes(b"\n   \n" + Paper(0).line + b"\r\n\0\0\n")
    assert written_since(path, None).unreadable == 0


def test_an_alert_with_a_time_that_is_none_is_not_taken_for_the_newest(path: Path) -> None:
    odd = Paper(1).line.replace(b"2023-11-14T", b"2023-99-14T")
    path.write_bytes(Paper(0).line + odd)
    found = written_since(path, None)
    assert found.ids == ids(0, 1)
    assert found.newest is not None
    assert found.newest.id == Paper(0).id


def test_of_too_many_the_newest_are_given(path: Path) -> None:
    put(path, ".1", *range(10))
    put(path, "", *range(10, 20))
    assert written_since(path, None, most=5).ids == ids(*range(15, 20))
    assert written_since(path, None, most=13).ids == ids(*range(7, 20))
    assert not written_since(path, Paper(2).id, most=13).found
    assert written_since(path, Paper(17).id, most=5).ids == ids(18, 19)


@pytest.mark.parametrize("longest", [200, 1 << 20])
def test_lines_of_any_length_are_read_in_bounded_memory(
    path: Path, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "_LONGEST", longest)
    monkeypatch.setattr(written, "_CHUNK", 64 << 10)
    with path.open("wb") as file:
        file.write(Paper(0).line + Paper(1, size=3 << 20).line)
        file.write(b"x" * (30 << 20) + b"\n")
        file.write(Paper(2, size=64 << 10).line + Paper(3, size=8 << 20).line[:-9])
    tracemalloc.start()
    try:
        found = written_since(path, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.ids, found.unreadable) == (ids(0, 1, 2), 2)
    assert found.newest is not None
    assert found.newest.event == EventId(None, SECONDS, 0, 2)
    assert peak < 12 << 20


@pytest.mark.parametrize("cut", [1, 8, 9, 30])
def test_of_a_damaged_archive_what_can_be_read_counts(path: Path, cut: int) -> None:
    packed = put(path, ".1.gz", *range(100))
    packed.write_bytes(packed.read_bytes()[:-cut])
    put(path, "", 100)
    found = written_since(path, None)
    assert ids(100) < found.ids
    assert len(found.problems) == 1
    assert str(packed) in found.problems[0]


def test_a_file_that_cannot_be_opened_is_told(path: Path) -> None:
    put(path, ".2", 0)
    path.with_name(path.name + ".1").mkdir()
    put(path, "-20231114", 1).chmod(0)
    path.symlink_to("/etc/passwd")
    found = written_since(path, None)
    assert ids(0) <= found.ids
    assert found.problems[0] == f"{path}: too many symbolic links"


def test_a_name_that_a_look_at_the_folder_missed_is_looked_up_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that changes while it is read may show a file under neither name, readdir(3)."""
    for place, suffix in enumerate([".3", ".2", ".1", ""]):
        put(path, suffix, place)
    looks = iter([1])

    def look(path: Path) -> list[Sibling]:
        found = rotated_siblings(path)
        return found[:1] + found[2:] if next(looks, None) else found

    monkeypatch.setattr(written, "rotated_siblings", look)
    assert written_since(path, None).ids == ids(0, 1, 2, 3)


def test_an_older_file_is_not_read_before_a_newer_one_that_was_just_moved(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, "-20231114", 0, 1)
    put(path, ".1", 2)
    moves = iter([path.with_name(path.name + ".1")])

    def move_first(file: Path) -> object:
        if file.name.endswith(".1") and (old := next(moves, None)):
            old.rename(path.with_name(path.name + ".2"))
        return open_regular(file)

    monkeypatch.setattr(written, "open_regular", move_first)
    assert written_since(path, Paper(0).id).ids == ids(1, 2)


@pytest.mark.parametrize("last", range(8))
def test_files_that_others_rotate_meanwhile_are_all_read(
    path: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file moves by one as each is opened, and one is compressed."""
    for place, suffix in enumerate([".3", ".2", ".1", ""]):
        put(path, suffix, 2 * place, 2 * place + 1)
    moves = iter(range(3))
    read = open_regular

    def rotate_first(file: Path) -> object:
        if next(moves, None) is not None:
            for number in range(8, 0, -1):
                old = path.with_name(f"{path.name}.{number}")
                if old.exists():
                    old.rename(path.with_name(f"{path.name}.{number + 1}"))
            if path.exists():
                path.rename(path.with_name(path.name + ".1"))
            oldest = path.with_name(path.name + ".5")
            packed = path.with_name(path.name + ".9.gz")
            if oldest.exists() and not packed.exists():
                packed.write_bytes(gzip.compress(oldest.read_bytes()))
                oldest.unlink()
        return read(file)

    monkeypatch.setattr(written, "open_regular", rotate_first)
    found = written_since(path, Paper(last).id)
    assert found.ids == ids(*range(last + 1, 8))
    assert found.found
    assert found.newest is not None
    assert found.newest.id == Paper(7).id


def test_a_hundred_megabytes_take_seconds(path: Path) -> None:
    with path.open("wb") as file:
        for number in range(33_000):
            file.write(Paper(number, size=3000).line)
    assert path.stat().st_size > 100_000_000
    began = time.process_time()
    found = written_since(path, None)
    assert time.process_time() - began < 10
    assert len(found.ids) == 33_000
    os.truncate(path, 0)
