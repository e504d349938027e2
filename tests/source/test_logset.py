"""The files that LOG arguments mean, and their order."""

from __future__ import annotations

import gzip
import lzma
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.errors import SourceError
from auditrule.source.logset import LogSet, find_logs
from auditrule.source.names import parse_name

if TYPE_CHECKING:
    from pathlib import Path


def _record(second: int, prefix: str = "") -> bytes:
    return f"{prefix}type=SYSCALL msg=audit({second}.123:{second % 1000}): arch=c000003e\n".encode()


def _names(logs: LogSet) -> list[str]:
    return [file.path.name for file in logs.files]


@pytest.mark.parametrize(
    "suffixes",
    [
        *[(s,) for s in (".1", ".12", ".gz", ".xz", ".bz2", ".zst", ".ZST")],
        *[(s,) for s in ("-20240101", "-2024-01-01", ".2024-01-01", ".20240101", "-202401")],
        ("-2024010113",),
        ("-20240101-1704067200",),
        ("-1704067200",),
        (".2", ".gz"),
        ("-20240101", ".1", ".xz"),
        (".2024-01-01", ".zst"),
    ],
)
def test_rotation_suffixes_do_not_belong_to_the_stem(suffixes: tuple[str, ...]) -> None:
    assert parse_name("audit.log" + "".join(suffixes)).stem == "audit.log"


@pytest.mark.parametrize("name", ["audit.log", "audit-2024.log", "web1", "node-7", "a.b", ".1"])
def test_a_name_without_rotation_is_its_own_stem(name: str) -> None:
    assert parse_name(name).stem == name


def test_names_sort_from_the_oldest_to_the_newest() -> None:
    names = [
        "audit.log-20231231.gz",
        "audit.log-20240101.2",
        "audit.log-20240101.1",
        "audit.log-20240102",
        "audit.log.12.xz",
        "audit.log.3",
        "audit.log.1",
        "audit.log",
    ]
    assert sorted(names, key=lambda name: parse_name(name).age) == names


def test_a_rotated_set_is_put_in_the_order_of_its_records_not_of_its_times_of_change(
    tmp_path: Path,
) -> None:
    (tmp_path / "audit.log").write_bytes(_record(500))
    (tmp_path / "audit.log.1").write_bytes(_record(400))
    (tmp_path / "audit.log.2").write_bytes(gzip.compress(_record(300)))
    (tmp_path / "audit.log-19700101.xz").write_bytes(lzma.compress(_record(100)))
    (tmp_path / "audit.log.9").write_bytes(_record(450))
    for age, name in enumerate(["audit.log", "audit.log.1", "audit.log.2", "audit.log.9"]):
        os.utime(tmp_path / name, (10_000 + age, 10_000 + age))
    (logs,) = find_logs([tmp_path]).sets
    assert _names(logs) == [
        "audit.log-19700101.xz",
        "audit.log.2",
        "audit.log.1",
        "audit.log.9",
        "audit.log",
    ]
    assert [file.first_time for file in logs.files] == [100.123, 300.123, 400.123, 450.123, 500.123]
    assert (logs.folder, logs.stem) == (tmp_path, "audit.log")


def test_files_without_a_time_or_with_the_same_are_ordered_by_their_names(tmp_path: Path) -> None:
    for number in (1, 2, 3, 10):
        (tmp_path / f"audit.log.{number}").write_bytes(_record(7))
    (tmp_path / "audit.log.11").write_bytes(b"")
    (tmp_path / "audit.log").write_bytes(b"")
    files = sorted(tmp_path.iterdir())
    (logs,) = find_logs(files).sets
    assert _names(logs) == [
        "audit.log.11",
        *(f"audit.log.{number}" for number in (10, 3, 2, 1)),
        "audit.log",
    ]


def test_each_folder_and_each_stem_is_a_set_of_its_own(tmp_path: Path) -> None:
    for host in ("web", "db"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "audit.log").write_bytes(_record(2))
        (tmp_path / host / "audit.log.1").write_bytes(_record(1))
    (tmp_path / "db" / "other.log").write_bytes(_record(3))
    found = find_logs([tmp_path])
    assert [(logs.folder.name, logs.stem, _names(logs)) for logs in found.sets] == [
        ("db", "audit.log", ["audit.log.1", "audit.log"]),
        ("db", "other.log", ["other.log"]),
        ("web", "audit.log", ["audit.log.1", "audit.log"]),
    ]
    assert found.size == sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())


def test_only_what_looks_like_an_audit_log_is_taken_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / "late").write_bytes(b"# note\n" * 5000 + _record(1))
    (tmp_path / "too-late").write_bytes(b"#" * (64 << 10) + b"\n" + _record(1))
    (tmp_path / "node").write_bytes(_record(1, "node=web-1.example.org "))
    (tmp_path / "interpreted").write_bytes(b"type=PATH msg=audit(01/02/24 10:00:00.123:9) : x\n")
    (tmp_path / "quoted").write_bytes(b"x " + _record(1))
    (tmp_path / "messages").write_bytes(b"Jan 1 kernel: audit: type=1300 audit(1.2:3): x\n")
    (tmp_path / "void").write_bytes(b"")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"nothing\n" * 99)[:-9])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "astray").symlink_to("nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    found = find_logs([tmp_path])
    assert sorted(n for logs in found.sets for n in _names(logs)) == ["interpreted", "late", "node"]
    assert {skipped.path.name: skipped.reason for skipped in found.skipped} == {
        "too-late": "holds no audit records",
        "quoted": "holds no audit records",
        "messages": "holds no audit records",
        "void": "empty",
        "cut.gz": "the gzip archive is cut off",
        "pipe": "not a regular file",
        "astray": "no such file",
        "round": "a link to a directory",
    }


def test_a_damaged_archive_with_records_before_the_damage_belongs(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(_record(n) for n in range(1, 9999)))
    (tmp_path / "audit.log.1.gz").write_bytes(whole[:-20])
    (logs,) = find_logs([tmp_path]).sets
    assert logs.files[0].first_time == 1.123


def test_a_named_file_always_belongs(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"nothing of the kind\n")
    found = find_logs([path])
    assert [_names(logs) for logs in found.sets] == [["notes.txt"]]
    assert found.skipped == ()


def test_a_file_is_read_once_whatever_names_it_is_given_by(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(_record(1))
    (tmp_path / "a-link").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    for arguments in ([path, path], [tmp_path, path], [path, tmp_path], [tmp_path, tmp_path]):
        (logs,) = find_logs(arguments).sets
        assert len(logs.files) == 1
    (logs,) = find_logs([tmp_path]).sets
    assert _names(logs) == ["audit.log"]


def test_a_link_to_a_folder_is_searched_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "audit.log").write_bytes(_record(1))
    (tmp_path / "link").symlink_to("real")
    (logs,) = find_logs([tmp_path / "link"]).sets
    assert _names(logs) == ["audit.log"]


def test_standard_input_is_a_set_of_its_own_and_there_once() -> None:
    found = find_logs(["-", "-"])
    assert [[str(file.path) for file in logs.files] for logs in found.sets] == [["-"]]


def test_a_named_pipe_is_not_read_from_while_looking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (logs,) = find_logs([tmp_path / "pipe"]).sets
    assert _names(logs) == ["pipe"]


def test_a_missing_argument_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"audit\.log: no such file"):
        find_logs([tmp_path / "audit.log"])


def test_a_folder_that_may_not_be_read_is_refused_where_named_and_told_where_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "audit.log").write_bytes(_record(1))
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_logs([tmp_path])
    assert [_names(logs) for logs in found.sets] == [["audit.log"]]
    assert [(s.path.name, s.reason) for s in found.skipped] == [("closed", "permission denied")]
    with pytest.raises(SourceError, match="closed: permission denied"):
        find_logs([tmp_path / "closed"])


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
    st.lists(st.sampled_from([".1", ".gz", "-20240101", ".2024-01-01", ".zst", ".99"])),
)
def test_a_stem_is_its_own_stem_and_suffixes_never_change_it(
    name: str, suffixes: list[str]
) -> None:
    stem = parse_name(name).stem
    assert stem
    assert parse_name(stem).stem == stem
    assert parse_name(stem + "".join(suffixes)).stem == stem
