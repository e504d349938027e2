"""A log is read as it lies on disk, and damage is told after all that could be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from auditrule.source.archive import STDIN, LogStream, open_log
from auditrule.source.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT = b"".join(
    b"type=SYSCALL msg=audit(1700000000.%03d:%d): arch=c000003e syscall=59\n" % (n % 1000, n)
    for n in range(3000)
)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": _zstd,
}
_COMPRESSED = [name for name in _CODECS if name != "plain"]


def _read_until_error(path: Path, size: int = 1000) -> tuple[bytes, str | None]:
    data = b""
    with open_log(path) as log:
        try:
            while block := log.read(size):
                assert len(block) <= size
                data += block
        except SourceError as error:
            return data, error.reason
    return data, None


@pytest.mark.parametrize("codec", _CODECS)
@pytest.mark.parametrize("name", ["audit.log", "audit.log.2", "audit.log.gz", "audit.log.zst"])
def test_what_a_file_is_its_first_bytes_say_and_never_its_name(
    tmp_path: Path, codec: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(_CODECS[codec](_TEXT))
    assert _read_until_error(path) == (_TEXT, None)


@pytest.mark.parametrize("codec", _CODECS)
def test_archives_written_one_after_another_are_read_to_the_last(
    tmp_path: Path, codec: str
) -> None:
    path = tmp_path / "log"
    compress = _CODECS[codec]
    path.write_bytes(compress(_TEXT) + compress(b"") + compress(b"last\n"))
    assert _read_until_error(path) == (_TEXT + b"last\n", None)


@pytest.mark.parametrize("codec", _CODECS)
def test_an_archive_of_nothing_is_empty(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(_CODECS[codec](b""))
    assert _read_until_error(path) == (b"", None)


def test_a_skippable_zstd_frame_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    path.write_bytes(skippable + _zstd(b"one\n") + skippable + _zstd(b"two\n"))
    assert _read_until_error(path) == (b"one\ntwo\n", None)


@pytest.mark.parametrize("codec", _COMPRESSED)
def test_nul_padding_behind_an_archive_is_no_error(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(_CODECS[codec](_TEXT) + b"\0" * 10_000)
    assert _read_until_error(path) == (_TEXT, None)


@pytest.mark.parametrize("codec", _COMPRESSED)
def test_rubbish_behind_an_archive_is_told_after_the_archive_was_given(
    tmp_path: Path, codec: str
) -> None:
    path = tmp_path / "log"
    path.write_bytes(_CODECS[codec](_TEXT) + b"rubbish, a good deal of it")
    data, reason = _read_until_error(path)
    assert data == _TEXT
    assert reason == f"what follows the {codec} archive is no part of it"


@pytest.mark.parametrize("codec", _COMPRESSED)
def test_an_archive_cut_anywhere_gives_its_start_and_then_says_that_it_is_cut_off(
    tmp_path: Path, codec: str
) -> None:
    path = tmp_path / "log"
    whole = _CODECS[codec](_TEXT)
    for size in range(10, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        data, reason = _read_until_error(path)
        assert _TEXT.startswith(data)
        assert reason == f"the {codec} archive is cut off"


def test_a_cut_gzip_gives_nearly_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    whole = gzip.compress(_TEXT)
    path.write_bytes(whole[: len(whole) // 2])
    data, _ = _read_until_error(path)
    assert len(data) > len(_TEXT) // 3


@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz"])
def test_a_wrong_checksum_at_the_end_costs_no_byte(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "log"
    damaged = bytearray(_CODECS[codec](_TEXT))
    # gzip: CRC-32 and size are the last 8 bytes; bzip2: the combined CRC the last 4 and a few
    # bits; xz: the footer's CRC is the first 4 of the last 12.
    damaged[{"gzip": -7, "bzip2": -3, "xz": -11}[codec]] ^= 0xFF
    path.write_bytes(damaged)
    data, reason = _read_until_error(path)
    assert data == _TEXT
    assert reason is not None
    assert reason.startswith(f"the {codec} archive is damaged: ")


def _inflate_byte_by_byte(data: bytes) -> bytes:
    inflate = zlib.decompressobj(31)
    out = b""
    try:
        for byte in data:
            out += inflate.decompress(bytes([byte]))
    except zlib.error:
        return out
    raise AssertionError("not damaged")


@pytest.mark.parametrize("size", [700, 1 << 18])
def test_damage_in_a_later_part_gives_each_byte_before_it_once(tmp_path: Path, size: int) -> None:
    noise = random.Random(7)
    text = b"".join(b"%032x\n" % noise.getrandbits(128) for _ in range(3_000))
    whole = gzip.compress(text)
    path = tmp_path / "log"
    for tenth in range(1, 10):
        damaged = bytearray(whole)
        at = len(whole) * tenth // 10
        damaged[at : at + 400] = noise.randbytes(400)
        path.write_bytes(gzip.compress(b"first\n") + damaged)
        data, reason = _read_until_error(path, size)
        assert data == b"first\n" + _inflate_byte_by_byte(bytes(damaged))
        assert reason is not None


@given(
    codec=st.sampled_from(_COMPRESSED),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
    size=st.integers(1, 5000),
)
def test_no_flipped_bit_raises_anything_but_the_one_error(
    tmp_path_factory: pytest.TempPathFactory, codec: str, at: int, bit: int, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    data = bytearray(_CODECS[codec](_TEXT[:20_000]))
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    _read_until_error(path, size)


@pytest.mark.parametrize("codec", _COMPRESSED)
def test_a_small_archive_of_a_huge_log_is_read_in_little_memory(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(_CODECS[codec](b"\0" * (64 << 20)))
    tracemalloc.start()
    try:
        total = 0
        with open_log(path) as log:
            while block := log.read(1 << 18):
                total += len(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 40 << 20


def test_consumed_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for compress in _CODECS.values():
        path.write_bytes(compress(_TEXT))
        with open_log(path) as log:
            assert log.consumed <= 10
            log.read()
            assert log.consumed == path.stat().st_size


def test_each_refusal_has_a_plain_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    reasons = {
        "missing": "no such file",
        "folder": "is a directory",
        "file/below": "a part of the path is not a directory",
        "loop": "too many symbolic links",
    }
    for name, reason in reasons.items():
        with pytest.raises(SourceError) as caught:
            open_log(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"


def test_a_file_without_permission_has_a_plain_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match="secret: permission denied"):
        open_log(tmp_path / "secret")


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("codec", _CODECS)
def test_standard_input_may_be_an_archive_too_and_stays_open(
    monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    stdin = _Stdin(_CODECS[codec](_TEXT))
    monkeypatch.setattr("sys.stdin", stdin)
    with open_log(STDIN) as log:
        assert log.read() == _TEXT
    assert not stdin.buffer.closed


def test_a_failing_disk_is_the_same_error(tmp_path: Path) -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="log: input/output error"):
        LogStream(tmp_path / "log", Failing())


def test_the_stream_works_with_the_standard_library(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    with io.BufferedReader(open_log(path)) as reader:
        assert reader.readlines() == [b"one\n", b"two\n"]
