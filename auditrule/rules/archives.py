"""Rule files inside zip and tar archives, read in place and never unpacked to the disk."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# A rule has a few kilobytes; Elastic's whole repository has about 2,200 of them. What is far
# beyond is no archive of rules, and may be one that grows without end when it is read.
_MAX_MEMBER = 4 << 20
_MAX_TOTAL = 256 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: its name inside, and its bytes, or why they cannot be had."""

    name: str
    data: bytes = b""
    problem: str | None = None


def is_archive(path: Path) -> bool:
    """Tell whether the file is a zip or a tar, whatever its name and the tar's compression."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except (OSError, EOFError):
        return False


def rule_members(path: Path) -> Iterator[Member]:
    """Yield the ``*.toml`` files of an archive in the order of their names; no input raises.

    Hidden files and folders are passed over, and so are links. An archive that is damaged yields
    what can be read of it, and then a member without a name that says what is wrong.
    """
    total = 0
    try:
        members = _zip_members if zipfile.is_zipfile(path) else _tar_members
        for member in members(path):
            total += len(member.data)
            if total > _MAX_TOTAL:
                yield Member("", problem=f"holds more than {_MAX_TOTAL >> 20} MiB of rules")
                return
            yield member
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        # What zipfile, tarfile and their decompressors raise on damaged or encrypted archives.
        yield Member("", problem=f"cannot be read: {error}")
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        yield Member("", problem=f"is damaged: {error}")


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                continue
            if not _is_rule(info.filename):
                continue
            if info.file_size > _MAX_MEMBER:
                yield Member(info.filename, problem=_too_large())
                continue
            with archive.open(info) as file:
                yield _read(info.filename, file.read(_MAX_MEMBER + 1))


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        infos = [info for info in archive if info.isreg() and _is_rule(info.name)]
        for info in sorted(infos, key=lambda info: info.name):
            if info.size > _MAX_MEMBER:
                yield Member(info.name, problem=_too_large())
                continue
            file = archive.extractfile(info)
            if file is not None:
                yield _read(info.name, file.read(_MAX_MEMBER + 1))


def _read(name: str, data: bytes) -> Member:
    return Member(name, data) if len(data) <= _MAX_MEMBER else Member(name, problem=_too_large())


def _too_large() -> str:
    return f"is larger than {_MAX_MEMBER >> 20} MiB"


def _is_rule(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(".toml") and not any(
        part.startswith(".") and part not in (".", "..") for part in parts
    )
