"""Rules in zip and tar archives."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from auditrule.rules.loader import load_rules

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("zip", "tar", "gztar", "bztar", "xztar")


@pytest.fixture
def tree(tmp_path: Path, fixtures: Path) -> Path:
    """A folder like a checkout: rules, a hidden folder, other files."""
    top = tmp_path / "checkout"
    shutil.copytree(fixtures / "rules" / "valid", top / "rules" / "linux")
    shutil.copytree(fixtures / "rules" / "valid", top / ".git" / "rules")
    (top / "README.md").write_text("no rule")
    (top / "pyproject.toml").write_text("[project]\n")
    return top


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_the_rules_of_the_tree_that_it_was_made_of(
    tmp_path: Path, tree: Path, kind: str
) -> None:
    archive = tmp_path / "archive-of-any-name"
    made = shutil.make_archive(str(tmp_path / "made"), kind, tree)
    shutil.move(made, archive)
    packed, loose = load_rules([archive]), load_rules([tree])
    assert packed.errors == ()
    assert [rule.id for rule in packed.rules] == [rule.id for rule in loose.rules]
    assert [rule.path.relative_to(archive) for rule in packed.rules] == [
        rule.path.relative_to(tree) for rule in loose.rules
    ]
    assert [str(each.path.name) for each in packed.skipped] == ["pyproject.toml"]


def test_a_broken_rule_in_an_archive_is_named_by_archive_and_file(
    tmp_path: Path, bundled_rule: Path
) -> None:
    archive = tmp_path / "rules.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("good.toml", bundled_rule.read_bytes())
        made.writestr("sub/bad.toml", "[rule\n")
    found = load_rules([archive])
    assert len(found.rules) == 1
    assert [error.path for error in found.errors] == [archive / "sub" / "bad.toml"]


def test_a_damaged_archive_is_an_error_and_its_readable_part_is_read(
    tmp_path: Path, tree: Path
) -> None:
    archive = tmp_path / "rules.zip"
    shutil.make_archive(str(archive.with_suffix("")), "zip", tree)
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        tomls = [info for info in made.infolist() if info.filename.startswith("rules/")]
        last = max((i for i in tomls if i.file_size), key=lambda info: info.filename)
    data[last.header_offset + 60 : last.header_offset + 120] = bytes(60)
    archive.write_bytes(data)
    found = load_rules([archive])
    assert found.rules
    assert len(found.errors) == 1
    assert found.errors[0].path == archive


def test_links_and_devices_in_a_tar_are_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "rules.tar"
    with tarfile.open(archive, "w") as made:
        link = tarfile.TarInfo("evil.toml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
        device = tarfile.TarInfo("device.toml")
        device.type = tarfile.CHRTYPE
        made.addfile(device)
    found = load_rules([archive])
    assert (found.rules, found.errors, found.skipped) == ((), (), ())


def test_a_member_that_grows_without_end_is_refused_unread(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb.toml", bytes(50 << 20))
    (error,) = load_rules([archive]).errors
    assert error.path == archive / "bomb.toml"
    assert "larger than" in error.reason
