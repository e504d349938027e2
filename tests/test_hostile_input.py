"""Hostile input: whatever a log holds, reading goes on, in bounded time and memory, and sees execs.

Two kinds of attacker: one writes a log (an archive from a host that was taken over) and may put
anything in it; one runs programs on a host whose kernel and auditd are sound, and chooses their
arguments, names and working directories, how many run and how fast.
"""

from __future__ import annotations

import json
import logging
import time
import tracemalloc
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from kernel_format import ExecOnKernel
from soak.__main__ import replay_made_up_log

from auditrule.audit.reassembly import Reassembler
from auditrule.audit.text import decode_text
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper
from auditrule.ecs.process_table import ProcessTable
from auditrule.pipeline import detect
from auditrule.reader import DocumentReader
from auditrule.rules import Detector, load_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


HEAD = b"msg=audit(1700000000.123:42): "
CALL = (
    b"type=SYSCALL "
    + HEAD
    + b"arch=c000003e syscall=59 success=yes exit=0 items=2 ppid=100 pid=200"
    b' uid=0 euid=0 comm="chmod" exe="/usr/bin/chmod"'
)
EXECVE = b"type=EXECVE " + HEAD
CWD = b"type=CWD " + HEAD
PATH = b"type=PATH " + HEAD
END = b"type=PROCTITLE " + HEAD + b"proctitle=00"
MB = 1 << 20


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


def read(lines: Iterable[bytes]) -> tuple[DocumentReader, list[Document]]:
    reader = DocumentReader(reassembler=Reassembler(), mapper=DocumentMapper(table=ProcessTable()))
    documents = []
    # Nobody reads more than so much at a time.
    remaining = iter(lines)
    pieces = iter(lambda: list(islice(remaining, 1000)), [])
    found = [fields for piece in pieces for fields in reader.read(piece)]
    for fields in [*found, *reader.finish()]:
        document = Document.model_validate(fields)
        assert json.loads(document.to_json()) == document.to_dict() == fields
        documents.append(document)
    return reader, documents


def execs(lines: Iterable[bytes]) -> list[Document]:
    return read(lines)[1]


def arguments_of(*bodies: bytes) -> tuple[list[str], bool]:
    """Return the arguments of an exec with such EXECVE records, and whether some are missing."""
    (document,) = execs([CALL, *(EXECVE + body for body in bodies), END])
    return list(document.process.args or ()), bool(document.auditd.truncated)


# --- lines that lie -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "args"),
    [
        (b'argc=1000000000 a0="chmod" a1="+x"', ["chmod", "+x"]),
        (b'argc=99999999999999999999999 a0="chmod"', ["chmod"]),
        (b'argc=-1 a0="chmod"', ["chmod"]),
        (b'argc=2 a0="chmod" a999999999="x"', ["chmod", "x"]),
        (b'argc=2 a0="chmod" a999999999[999999999]="x"', ["chmod", "x"]),
        (b'argc=2 a0="chmod" a99999999999="x"', ["chmod"]),
        (b'argc=2 a0="chmod" a1_len=999999999999 a1[0]="x"', ["chmod", "x"]),
        (b'argc=1 a0="chmod" a0="rm"', ["chmodrm"]),
        (b"argc=3 a0=63686D6F64", ["chmod"]),
        (b"argc=x a0=63686D6F6", ["63686D6F6"]),
        (b"", []),
    ],
)
def test_arguments_that_cannot_be_are_marked_and_what_is_there_is_kept(
    body: bytes, args: list[str]
) -> None:
    assert arguments_of(body) == (args, True)


@pytest.mark.parametrize("items", [b"0", b"99999999999999999999", b"-5", b"x"])
def test_a_wrong_number_of_paths_changes_nothing(items: bytes) -> None:
    (document,) = execs(
        [CALL.replace(b"items=2", b"items=" + items), EXECVE + b'argc=1 a0="chmod"', END]
    )
    assert document.process.executable == "/usr/bin/chmod"


@pytest.mark.parametrize(
    "text",
    [
        CALL.replace(b":42)", b":43)"),
        b"x' " + CALL,
        b"\x1d" + CALL,
        b"\r" + CALL,
        b"\0" + CALL,
        b"node=x " + CALL,
        b'pid=9 pid=8 success=yes exe="/x"',
    ],
)
def test_what_a_program_sends_is_no_record_and_no_field_of_one(text: bytes) -> None:
    line = b"type=USER_CMD " + HEAD + b"pid=1 uid=0 msg='" + text + b" res=success'"
    reader, documents = read([line])
    assert (documents, reader.counts.records, reader.counts.unparsed) == ([], 1, 0)


def test_the_first_of_fields_of_one_name_is_the_kernels() -> None:
    (document,) = execs([CALL + b' pid=1 exe="/forged" success=no', EXECVE + b'argc=1 a0="x"', END])
    assert (document.process.pid, document.process.executable) == (200, "/usr/bin/chmod")


@pytest.mark.parametrize(
    "noise",
    [
        b"\0" * 5000,
        b"\xff\xfe" * 500,
        b"\r",
        b"type=SYSCALL msg=audit(1700000000.123:42)",
        b"type=SYSCALL msg=audit(99999999999999999999.123:42): pid=1",
        b"type=SYSCALL msg=audit(253402300800.000:42): pid=1",
        b"type=SYSCALL msg=audit(1700000000.123:99999999999999999999): pid=1",
        b"type=EOE msg=audit(253402300799.999:9223372036854775807): ",
        b"type=SYSCALL msg=audit(253402300799.999:9223372036854775807): pid=1 ppid=1",
        b"type=PATH msg=audit(0.000:0): item=0",
        b"x" * 900_000,
    ],
)
@pytest.mark.parametrize("place", range(4))
def test_no_line_among_an_events_records_hides_it(noise: bytes, place: int) -> None:
    lines = [CALL, EXECVE + b'argc=2 a0="chmod" a1="+x"', CWD + b'cwd="/"', END]
    lines.insert(place, noise)
    (document,) = execs(lines)
    assert (document.process.args, document.auditd.truncated) == (("chmod", "+x"), None)


@pytest.mark.parametrize("seconds", [0, 1_699_913_600, 1_700_086_400, 253_402_300_799])
def test_a_clock_that_jumps_among_an_events_records_hides_nothing(seconds: int) -> None:
    other = [
        line
        for n in range(50)
        for line in ExecOnKernel([b"x"], seconds=seconds, serial=43 + n, pid=300 + n).lines()
    ]
    lines = [CALL, *other, EXECVE + b'argc=2 a0="chmod" a1="+x"', END]
    found = [document for document in execs(lines) if document.process.pid == 200]
    assert [(one.process.args, one.auditd.truncated) for one in found] == [(("chmod", "+x"), None)]


# --- what a kernel says of attackers --------------------------------------------------------------


def alerts_of(lines: list[bytes], rule: Path) -> int:
    (one,) = load_rules([rule]).rules
    return len(list(detect((each.to_dict() for each in execs(lines)), Detector([one]))))


def chmod_by(parent: list[bytes]) -> list[bytes]:
    """Return the lines of the parent's exec, and of its child's a minute later."""
    deed = ExecOnKernel(
        [b"chmod", b"+x", b"/etc/cron.d/x"], pid=300, ppid=200, serial=50, seconds=1_700_000_060
    )
    return [*parent, *deed.lines()]


def dpkg_script(path: bytes = b"/var/lib/dpkg/info/x.postinst") -> list[bytes]:
    """Return the lines of an exec that the bundled rule excludes as a parent."""
    return ExecOnKernel(
        [b"/bin/sh", path], exe=b"/usr/bin/dash", comm=b"x.postinst", paths=[path, b"/bin/sh"]
    ).lines()


def test_the_exclusion_that_attackers_want_to_reach_is_there(bundled_rule: Path) -> None:
    assert alerts_of(chmod_by(dpkg_script()), bundled_rule) == 0
    assert alerts_of(chmod_by([]), bundled_rule) == 1


@pytest.mark.parametrize(
    "path",
    [
        b"/proc/self/cwd/../../../var/lib/dpkg/info/x",
        b"/tmp/l/../../var/lib/dpkg/info/x",
        b"/home/ann/a/b/../../../../var/lib/dpkg/info/x",
    ],
)
def test_a_link_in_a_scripts_path_does_not_make_it_the_package_managers(
    path: bytes, bundled_rule: Path
) -> None:
    assert alerts_of(chmod_by(dpkg_script(path)), bundled_rule) == 1


@pytest.mark.parametrize("left", [1, 3])
def test_an_exec_that_lost_records_to_a_flood_no_longer_is_what_the_process_was_before(
    left: int, bundled_rule: Path
) -> None:
    taken_over = ExecOnKernel([b"sh"], exe=b"/tmp/sh", paths=[b"/tmp/sh"], serial=45).lines()
    kept = [line for line in taken_over if b"type=EXECVE" not in line][:left]
    assert alerts_of(chmod_by([*dpkg_script(), *kept]), bundled_rule) == 1


def test_an_exec_without_its_arguments_is_told_as_truncated() -> None:
    (document,) = execs([CALL, END])
    assert (document.process.name, document.process.args) == ("chmod", None)
    assert document.auditd.truncated


def test_a_boot_that_a_container_announces_forgets_no_process() -> None:
    script = ExecOnKernel([b"sh"], exe=b"/usr/bin/dash", pid=200).lines()
    said = b"type=SYSTEM_BOOT msg=audit(1700000000.123:44): pid=9 uid=0 msg='op=boot res=success'"
    *_, document = execs(chmod_by([*script, said]))
    parent = document.process.parent
    assert parent is not None
    assert parent.executable == "/usr/bin/dash"


def test_no_padding_with_arguments_hides_the_last_one() -> None:
    arguments = [b"chmod", *[b""] * 20_000, b"x" * 100_000, *[b"\xff"] * 20_000, b"+x"]
    (document,) = execs(ExecOnKernel(arguments).lines())
    assert document.auditd.truncated is None
    assert document.process.args is not None
    assert (len(document.process.args), document.process.args[-1]) == (40_003, "+x")


# --- time -----------------------------------------------------------------------------------------


def numbered(form: bytes, count: int, step: int = 1) -> bytes:
    return b"".join(form % (n * step) for n in range(count))


SLOW: dict[str, Callable[[int], list[bytes]]] = {
    "one byte, not a record": lambda n: [b"\xff" * n],
    "NULs before": lambda n: [b"\0" * n + CALL],
    "carriage returns behind": lambda n: [CALL + b"\r" * n, EXECVE + b"argc=0", END],
    "a host's name": lambda n: [b"node=" + b"x" * n + b" " + CALL],
    "many types": lambda n: [b"type=" * (n // 5)],
    "digits": lambda n: [b"type=X msg=audit(" + b"1" * n],
    "fields": lambda n: [CALL + b" a=1" * (n // 40), EXECVE, END],
    "fields of one name": lambda n: [CALL + b" pid=1" * (n // 60), EXECVE, END],
    "words": lambda n: [CALL + b" a" * (n // 40), EXECVE, END],
    "blanks": lambda n: [CALL + b" " * n, EXECVE, END],
    "separators": lambda n: [CALL + b"\x1d " * (n // 80), EXECVE, END],
    "quotes": lambda n: [CALL + b' a="' * (n // 40), EXECVE, END],
    "braces": lambda n: [CALL + b" a={" * (n // 40), EXECVE, END],
    "texts": lambda n: [CALL + b" msg='" * (n // 40), EXECVE, END],
    "ends of texts": lambda n: [CALL + b" msg='" + b"' \x1d" * (n // 80), EXECVE, END],
    "arguments": lambda n: [CALL, EXECVE + b"argc=5" + numbered(b" a%d=1", n // 10), END],
    "arguments far apart": lambda n: [
        CALL,
        EXECVE + b"argc=5" + numbered(b" a%d=1", n // 20, 9999),
        END,
    ],
    "pieces": lambda n: [
        CALL,
        EXECVE + b"argc=1 a0_len=9" + numbered(b" a0[%d]=41", n // 10),
        END,
    ],
    "hex": lambda n: [CALL, EXECVE + b"argc=1 a0=" + b"FF" * (n // 4), END],
    "almost hex": lambda n: [CALL, EXECVE + b"argc=1 a0=" + b"41" * (n // 2) + b"4", END],
    "the escape's mark": lambda n: [CALL, EXECVE + b"argc=1 a0=" + b"EFBFBD" * (n // 6), END],
    "directories up": lambda n: [
        CALL,
        EXECVE + b'argc=2 a0="/bin/sh" a1="' + b"../" * (n // 6) + b'x"',
        CWD + b'cwd="' + b"/a" * (n // 6) + b'"',
        PATH + b'item=0 name="' + b"../" * (n // 6) + b'x"',
        PATH + b'item=1 name="/bin/sh"',
        END,
    ],
    "loaders": lambda n: [
        CALL,
        EXECVE + b'argc=2 a0="/ld' + b".so" * (n // 6) + b'/" a1="/x"',
        PATH + b'item=0 name="/x"',
        PATH + b'item=1 name="/ld' + b".so" * (n // 6) + b'/"',
        END,
    ],
    "interpreters": lambda n: [
        CALL,
        EXECVE + b'argc=2 a0="/bin/sh" a1="/x"' + b" a2=1" * (n // 20),
        PATH + b'item=0 name="/y"',
        *[PATH + b"item=%d name=(null)" % item for item in range(1, n // 800)],
        END,
    ],
    "events that never end": lambda n: [
        CALL.replace(b":42)", b":%d)" % serial) for serial in range(n // 400)
    ],
    "hosts": lambda n: [b"node=%d " % host + CALL for host in range(n // 400)],
}


@pytest.mark.parametrize("family", SLOW)
def test_time_is_in_proportion_to_the_input(family: str) -> None:
    make = SLOW[family]

    def seconds(size: int) -> float:
        lines = make(size)
        best = float("inf")
        for _ in range(2):
            began = time.process_time()
            read(lines)
            best = min(best, time.process_time() - began)
        return best

    # Eight times the input: 64 times as long if it were the square. What takes no time is fine.
    # Small numbers of a busy machine's clock are no measure; what is the square is so each time.
    for _ in range(4):
        small, large = seconds(50_000), seconds(400_000)
        if large < max(0.15, 24 * small):
            break
    assert large < max(0.15, 24 * small)
    assert large < 10


def test_bytes_that_are_no_text_take_no_longer_to_show_than_to_read() -> None:
    began = time.process_time()
    decode_text(b"\xff" * 2_000_000 + b"\xffa" * 1_000_000)
    assert time.process_time() - began < 1.5


# --- memory ---------------------------------------------------------------------------------------


def peak_of(lines: Iterable[bytes]) -> int:
    # What is taken once, whatever there is to read, is none of it.
    read([END] * 10)
    tracemalloc.start()
    try:
        read(lines)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_indexes_far_apart_make_no_list_of_their_size() -> None:
    body = b"argc=1000000000" + numbered(b" a%d=1", 2000, 9999)
    assert peak_of([CALL, EXECVE + body, END]) < 8 * MB


def test_many_arguments_take_little_more_than_themselves() -> None:
    lines = ExecOnKernel([b"chmod", *[b""] * 100_000]).lines()
    assert peak_of(lines) < 40 * MB


def test_serials_that_stay_open_are_given_up() -> None:
    lines = (CWD.replace(b":42)", b":%d)" % serial) + b"x" * 200 for serial in range(20_000))
    assert peak_of(lines) < 16 * MB


def test_hosts_that_nobody_has_take_no_memory_without_bounds() -> None:
    lines = (b"node=%d " % host + END for host in range(20_000))
    assert peak_of(lines) < 16 * MB


def test_a_replay_of_all_this_at_once_stays_small() -> None:
    peak, size = replay_made_up_log(4000)
    assert size > MB
    assert peak < 150_000_000
