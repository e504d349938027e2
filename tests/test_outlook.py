"""The outlook of a program's start: what it may meet, told by its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kernel_format import ExecOnKernel

from auditrule.audit.fact import event_of, own_records
from auditrule.audit.process import Exec, read_process_event
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record
from auditrule.ecs.mapping import DocumentMapper, own_fields, parent_fields
from auditrule.ecs.process import Image
from auditrule.ecs.process_table import ProcessTable
from auditrule.ecs.recorded import RecordedImage, image_of
from auditrule.ecs.who import WhoReader
from auditrule.outlook import Outlook
from auditrule.rules.index import is_of_parent, is_own
from auditrule.rules.prospects import ANY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIXTURES = Path(__file__).parent.parent / "fixtures"


class Prospects:
    """Tells rules by the last argument of a program, and by the first of its parent."""

    asked = None

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.parents_seen: list[Any] = []

    def of(self, event: Mapping[str, Any]) -> int:
        args = event["process"].get("args", ["none"])
        self.seen.append(args[-1])
        return len(args[-1])

    def of_children(self, event: Mapping[str, Any]) -> int:
        self.parents_seen.append(event["process"]["parent"].get("args", [None])[-1])
        return 100 + len(event["process"]["parent"].get("args", [""])[0])


@pytest.fixture
def prospects() -> Prospects:
    return Prospects()


@pytest.fixture
def outlook(prospects: Prospects) -> Outlook:
    return Outlook(prospects, WhoReader())  # type: ignore[arg-type]


def records(*arguments: bytes, serial: int = 42, **more: Any) -> tuple[bytes, bytes]:
    deed = ExecOnKernel(list(arguments), serial=serial, enriched=True, **more)
    at_id = b"%d.%03d:%d" % (deed.seconds, deed.millis, deed.serial)
    return b"\n".join(deed.lines()[:-1]), at_id


def test_it_is_told_for_a_program_and_for_its_children(outlook: Outlook) -> None:
    assert outlook.of_records(*records(b"chmod", b"+x", b"four")) == (4, 105)


def test_what_differs_in_numbers_alone_is_read_once(outlook: Outlook, prospects: Prospects) -> None:
    told = [
        outlook.of_records(*records(b"ls", b"-la", serial=serial, pid=serial, ppid=2 * serial))
        for serial in (41, 42, 43)
    ]
    assert told == [(3, 102)] * 3
    assert prospects.seen == ["-la"]
    outlook.of_records(*records(b"ls", b"-la", b"x"))
    assert prospects.seen == ["-la", "x"]


def test_records_of_others_between_its_own_make_no_difference(
    outlook: Outlook, prospects: Prospects
) -> None:
    text, at_id = records(b"ls", b"-la")
    first, *others = text.split(b"\n")
    between, _ = records(b"chmod", b"+x", serial=7)
    mixed = b"\n".join([first, between, *others])
    assert own_records(mixed) == text
    assert outlook.of_records(mixed, at_id) == outlook.of_records(text, at_id) == (3, 102)
    assert prospects.seen == ["-la"]


def test_an_id_among_the_arguments_is_no_number(outlook: Outlook, prospects: Prospects) -> None:
    _, at_id = records(b"ls")
    for argument in (b"/etc/" + at_id, b"/etc/", b" msg=audit(%s):" % at_id, b""):
        outlook.of_records(*records(b"ls", argument))
    assert prospects.seen == [
        f"/etc/{at_id.decode()}",
        "/etc/",
        f" msg=audit({at_id.decode()}):",
        "",
    ]


def test_names_that_the_host_tells_are_asked_for_again(prospects: Prospects) -> None:
    class Names:
        def user(self, uid: int) -> str:
            return f"user {uid}"

        def group(self, gid: int) -> str:
            return f"group {gid}"

    outlook = Outlook(prospects, WhoReader(Names()))  # type: ignore[arg-type]
    deed = ExecOnKernel([b"ls", b"-la"], serial=42)
    text = b"\n".join(deed.lines()[:-1])
    at_id = b"%d.%03d:%d" % (deed.seconds, deed.millis, deed.serial)
    for _ in range(2):
        outlook.of_records(text, at_id)
    assert prospects.seen == ["-la", "-la"]


def test_arguments_that_are_lost_could_meet_anything(outlook: Outlook) -> None:
    text, at_id = records(b"ls", b"-la")
    lacking = b"\n".join(line for line in text.split(b"\n") if not line.startswith(b"type=EXECVE"))
    told = outlook.of_records(lacking, at_id)
    assert told is not None
    assert told[0] == ANY


def test_the_image_of_a_parent_is_read_once(outlook: Outlook) -> None:
    text, _ = records(b"sh", b"-c")
    image = RecordedImage(text)
    assert outlook.of_children(image) == 102
    image.chances = 9
    assert outlook.of_children(image) == 9
    assert outlook.of_children(None) == 100
    assert outlook.of_children(Image(args=("zsh",))) == 103


def test_of_the_same_command_it_is_known_what_it_leaves_to_its_children(
    outlook: Outlook, prospects: Prospects
) -> None:
    prospects.parents_seen.clear()
    for serial, last in ((42, b"x"), (43, b"x"), (44, b"y")):
        text, _ = records(b"zsh", b"-c", last, serial=serial)
        assert outlook.of_children(RecordedImage(text)) == 103
    # Records of others between its own are none of it.
    first, *rest = text.split(b"\n")
    between, _ = records(b"chmod", b"+x", serial=7)
    mixed = b"\n".join([first, between, *rest])
    assert outlook.of_children(RecordedImage(mixed)) == 103
    assert prospects.parents_seen == ["x", "y"]


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def parts_of(document: Mapping[str, Any], about: Any) -> dict[str, Any]:
    return {name: value for name, value in leaves(document) if about(name)}


@pytest.mark.parametrize(
    "name", ["parents.enriched.clone", "scripts.raw.exec", "busybox.raw.clone"]
)
def test_what_is_known_early_is_what_documents_have_in_the_end(name: str) -> None:
    mapper, reassembler = DocumentMapper(table=ProcessTable()), Reassembler()
    who, images = WhoReader(), {}
    lines = (FIXTURES / "logs" / f"{name}.log").read_bytes().splitlines()
    parents = 0
    for line in lines:
        for event in reassembler.push(Record.parse(line)):
            document = mapper.fields(event)
            deed = read_process_event(event)
            if document is None or not isinstance(deed, Exec):
                continue
            again = read_process_event(event_of(b"\n".join(r.line for r in event.records)))
            assert isinstance(again, Exec)
            own = own_fields(image_of(again), who.read(again.caller))
            assert parts_of(own, is_own) == dict(leaves(own)) == parts_of(document, is_own)
            images[document["process"]["entity_id"]] = image_of(deed)
            parent = images.get(document["process"]["parent"].get("entity_id"))
            if parent is not None:
                told = parent_fields(parent)
                assert dict(leaves(told)) == parts_of(document, is_of_parent)
                parents += 1
    assert images
    assert parents
