"""Who could change the daemon's settings and rules, on real files."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditrule.daemon.permissions import needless_root, unsafe_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
ADM = 4


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A tree of rules that only its owner can change."""
    folder = tmp_path / "etc" / "rules"
    (folder / "more").mkdir(parents=True)
    for file in (folder / "one.toml", folder / "more" / "two.toml"):
        file.write_text("")
    for path in (tmp_path, tmp_path / "etc", *folder.rglob("*"), folder):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def unsafe(*paths: Path) -> list[Path]:
    return [problem.path for problem in unsafe_paths(paths)]


def test_what_only_its_owner_can_change_is_safe(rules: Path) -> None:
    assert unsafe(rules, rules / "one.toml") == []


def test_a_file_that_everybody_can_write_is_named_with_its_mode_and_the_remedy(
    rules: Path,
) -> None:
    file = rules / "one.toml"
    file.chmod(0o646)
    (problem,) = unsafe_paths([file])
    assert problem.path == file
    assert f"{file} (mode 0646, " in str(problem)
    assert "everybody" in str(problem)
    assert str(problem).endswith(f"chmod go-w {file}")


def test_a_file_deep_in_a_folder_of_rules_counts(rules: Path) -> None:
    (rules / "more" / "two.toml").chmod(0o666)
    assert unsafe(rules) == [rules / "more" / "two.toml"]


def test_a_folder_within_a_folder_of_rules_counts(rules: Path) -> None:
    (rules / "more").chmod(0o777)
    assert unsafe(rules) == [rules / "more"]


def test_a_folder_on_the_way_counts_since_what_is_in_it_can_be_replaced(rules: Path) -> None:
    (rules.parent).chmod(0o777)
    assert unsafe(rules / "one.toml") == [rules.parent]


def test_what_is_found_on_the_way_to_two_files_is_told_once(rules: Path) -> None:
    (rules.parent).chmod(0o777)
    assert unsafe(rules / "one.toml", rules) == [rules.parent]


def test_what_lies_in_a_sticky_folder_is_its_owners(rules: Path) -> None:
    rules.parent.chmod(0o1777)
    assert unsafe(rules) == []


def test_a_sticky_folder_is_no_place_for_rules(rules: Path) -> None:
    rules.chmod(0o1777)
    assert unsafe(rules) == [rules]


@as_root
def test_another_users_file_in_a_sticky_folder_is_not_safe(rules: Path) -> None:
    rules.parent.chmod(0o1777)
    os.chown(rules, NOBODY, NOBODY)
    assert unsafe(rules / "one.toml") == [rules.parent, rules]


@as_root
def test_another_users_link_in_a_sticky_folder_is_not_safe(rules: Path) -> None:
    rules.parent.chmod(0o1777)
    link = rules.parent / "link"
    link.symlink_to("rules")
    assert unsafe(link) == []
    os.lchown(link, NOBODY, NOBODY)
    assert unsafe(link) == [rules.parent]


@as_root
def test_another_users_file_is_not_safe_whatever_its_mode(rules: Path) -> None:
    file = rules / "one.toml"
    file.chmod(0o400)
    os.chown(file, NOBODY, 0)
    (problem,) = unsafe_paths([file])
    assert "its owner nobody" in str(problem)
    assert problem.fix == f"chown root {file}"


@as_root
def test_the_daemons_own_files_are_safe(rules: Path) -> None:
    os.chown(rules / "one.toml", NOBODY, 0)
    assert unsafe_paths([rules], uid=NOBODY) == []
    assert [problem.path for problem in unsafe_paths([rules], uid=NOBODY - 1)] == [
        rules / "one.toml"
    ]


@as_root
def test_a_group_that_can_write_is_named(rules: Path) -> None:
    file = rules / "one.toml"
    os.chown(file, 0, ADM)
    file.chmod(0o664)
    (problem,) = unsafe_paths([file])
    assert "group adm" in str(problem)
    assert problem.fix == f"chmod g-w {file}"


def test_a_users_private_group_may_write(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = rules / "one.toml"
    file.chmod(0o664)
    monkeypatch.setattr(
        "auditrule.daemon.permissions._private_groups", lambda trusted: {file.stat().st_gid}
    )
    assert unsafe(file) == []


def test_links_are_followed_from_folder_to_folder(rules: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir(mode=0o755)
    (links / "two.toml").symlink_to("../etc/rules/more/two.toml")
    (links / "all").symlink_to(tmp_path / "etc" / "rules")
    assert unsafe(links) == []
    (rules / "more").chmod(0o777)
    assert unsafe(links / "two.toml") == [rules / "more"]
    assert unsafe(links) == [rules / "more"]


def test_a_writable_folder_that_holds_a_link_counts(rules: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    links.chmod(0o777)
    (links / "rules").symlink_to(rules)
    assert unsafe(links / "rules") == [links]


def test_dots_in_a_path_lead_where_the_kernel_goes(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(rules / "more")
    (rules / "one.toml").chmod(0o666)
    assert unsafe(tmp_path / "link" / ".." / "one.toml") == [rules / "one.toml"]


def test_a_relative_path_is_looked_at_from_the_root_on(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules.parent.chmod(0o777)
    monkeypatch.chdir(rules)
    assert unsafe(Path("one.toml"), Path()) == [rules.parent]


def test_links_in_a_circle_and_missing_files_are_left_to_the_reader(rules: Path) -> None:
    (rules / "a").symlink_to("b")
    (rules / "b").symlink_to("a")
    (rules / "c").symlink_to(".")
    assert unsafe(rules, rules / "a", rules / "none.toml", rules / "one.toml" / "x") == []


def test_hidden_files_are_passed_over_as_the_loader_does(rules: Path) -> None:
    (rules / ".git").mkdir()
    (rules / ".git" / "index").write_text("")
    (rules / ".git" / "index").chmod(0o666)
    assert unsafe(rules) == []


def test_a_name_cannot_steer_the_terminal_that_reads_of_it(rules: Path) -> None:
    file = rules / "a\x1b[2J\n.toml"
    file.write_text("")
    file.chmod(0o666)
    (problem,) = unsafe_paths([rules])
    assert str(problem).isprintable()


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ANY = 0xFFFFFFFF
OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


@pytest.mark.parametrize(
    ("entry", "who"),
    [
        ((USER, 6, NOBODY), "user nobody, by its ACL"),
        ((GROUP, 6, ADM), "group adm, by its ACL"),
        ((USER, 6, os.geteuid()), None),
        ((USER, 4, NOBODY), None),
        ((GROUP, 4, ADM), None),
    ],
)
def test_an_acl_says_more_than_the_groups_bits(
    rules: Path, entry: tuple[int, int, int], who: str | None
) -> None:
    file = rules / "one.toml"
    entries = acl((OWNER, 6, ANY), (OWNING_GROUP, 4, ANY), entry, (MASK, 6, ANY), (OTHER, 4, ANY))
    if entry[0] == USER:
        entries = acl(
            (OWNER, 6, ANY), entry, (OWNING_GROUP, 4, ANY), (MASK, 6, ANY), (OTHER, 4, ANY)
        )
    try:
        os.setxattr(file, "system.posix_acl_access", entries)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP or os.environ.get("CI"):
            raise
        pytest.skip("the file system has no ACLs")
    assert file.stat().st_mode & 0o020
    assert [problem.who for problem in unsafe_paths([file])] == ([who] if who else [])


@as_root
def test_an_acl_whose_mask_takes_writing_away_is_safe(rules: Path) -> None:
    file = rules / "one.toml"
    entries = [(OWNER, 6, ANY), (USER, 6, NOBODY), (OWNING_GROUP, 4, ANY)]
    try:
        os.setxattr(file, "system.posix_acl_access", acl(*entries, (MASK, 4, ANY), (OTHER, 4, ANY)))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP or os.environ.get("CI"):
            raise
        pytest.skip("the file system has no ACLs")
    assert unsafe(file) == []


@pytest.fixture
def log() -> Iterator[Path]:
    """A log for its group, in a folder that everybody gets to, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    path = folder / "audit.log"
    path.write_text("")
    path.chmod(0o640)
    yield path
    shutil.rmtree(folder)


@as_root
def test_root_is_needless_where_the_logs_group_may_read_it(log: Path) -> None:
    os.chown(log, 0, ADM)
    warning = needless_root(log)
    assert warning is not None
    assert f"running as root, which reading {log} does not need" in warning
    assert "group adm" in warning
    log.chmod(0o600)
    assert needless_root(log) is None


@as_root
def test_root_is_needed_where_a_folder_keeps_the_group_out(log: Path) -> None:
    os.chown(log, 0, ADM)
    log.parent.chmod(0o700)
    assert needless_root(log) is None


def test_root_is_needed_where_only_root_may_read_the_log(log: Path) -> None:
    log.chmod(0o600)
    assert needless_root(log, uid=0) is None


def test_who_is_not_root_is_not_warned(log: Path) -> None:
    log.chmod(0o644)
    assert needless_root(log, uid=1000) is None


def test_a_log_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert needless_root(tmp_path / "none", uid=0) is None
