"""From an audit event to the ECS document, field by field."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_format import ExecOnKernel

from auditrule.audit.event import AuditEvent
from auditrule.audit.reassembly import Reassembler
from auditrule.audit.record import Record
from auditrule.ecs.document import Document
from auditrule.ecs.mapping import DocumentMapper, HostIdentity
from auditrule.ecs.process_table import ProcessTable


def events_of(lines: list[bytes]) -> list[AuditEvent]:
    reassembler = Reassembler()
    found = [event for line in lines for event in reassembler.push(Record.parse(line))]
    return found + reassembler.flush()


def documents_of(*deeds: ExecOnKernel, **settings: Any) -> list[Document]:
    mapper = DocumentMapper(table=ProcessTable(), **settings)
    lines = [line for deed in deeds for line in deed.lines()]
    mapped = [mapper.map(event) for event in events_of(lines)]
    return [document for document in mapped if document is not None]


def document_of(deed: ExecOnKernel, **settings: Any) -> dict[str, Any]:
    (document,) = documents_of(deed, **settings)
    return document.to_dict()


def test_a_document_says_what_the_log_says_under_ecs_names() -> None:
    deed = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"], enriched=True, tty="pts300")
    document = document_of(deed)
    process = document["process"]
    for derived in (document["event"].pop("id"), process.pop("entity_id")):
        assert len(derived) == 32
    root = {"id": "0", "name": "root"}
    assert document == {
        "@timestamp": "2023-11-14T22:13:20.123Z",
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "event",
            "category": ["process"],
            "type": ["start"],
            "action": "exec",
            "outcome": "success",
            "module": "auditd",
            "sequence": 42,
        },
        "host": {"os": {"type": "linux"}},
        "process": {
            "pid": 200,
            "executable": "/usr/bin/chmod",
            "name": "chmod",
            "args": ["chmod", "+x", "/etc/rc.local"],
            "args_count": 3,
            "command_line": "chmod +x /etc/rc.local",
            "working_directory": "/root",
            "interactive": True,
            "start": "2023-11-14T22:13:20.123Z",
            "tty": {"char_device": {"major": 137, "minor": 44}},
            "user": root,
            "real_user": root,
            "saved_user": root,
            "group": root,
            "real_group": root,
            "saved_group": root,
            "parent": {"pid": 100},
        },
        "user": {**root, "Ext": {"real": root}},
        "group": {**root, "Ext": {"real": root}},
        "auditd": {
            "session": "3",
            "user": {"audit": {"id": "1000", "name": "ann"}},
            "data": {
                "syscall": "execve",
                "arch": "x86_64",
                "exe": "/usr/bin/chmod",
                "comm": "chmod",
                "key": "exec",
                "tty": "pts300",
                "exit": "0",
                "a0": "1",
                "a1": "2",
                "a2": "3",
                "a3": "4",
            },
        },
        "related": {"user": ["ann", "root"]},
    }


def test_a_raw_log_has_ids_without_names_and_the_syscall_all_the_same() -> None:
    document = document_of(ExecOnKernel([b"x"]))
    assert document["process"]["user"] == {"id": "0"}
    assert document["auditd"]["data"]["syscall"] == "execve"
    assert document["auditd"]["data"]["arch"] == "c000003e"
    assert "related" not in document


class Directory:
    """A host's accounts."""

    def user(self, uid: int) -> str | None:
        return {0: "root", 1000: "ann"}.get(uid)

    def group(self, gid: int) -> str | None:
        return {0: "wheel"}.get(gid)


def test_a_live_host_names_its_accounts() -> None:
    document = document_of(ExecOnKernel([b"x"]), names=Directory())
    assert document["process"]["user"] == {"id": "0", "name": "root"}
    assert document["process"]["group"] == {"id": "0", "name": "wheel"}
    assert document["related"]["user"] == ["ann", "root"]


@pytest.mark.parametrize(
    ("node", "name", "expected"),
    [
        (None, None, {}),
        (None, "web1", {"name": "web1", "hostname": "web1", "id": "m"}),
        ("db1", "web1", {"name": "db1", "hostname": "db1"}),
        ("web1.example", "web1", {"name": "web1.example", "hostname": "web1.example", "id": "m"}),
    ],
)
def test_the_host_is_the_records_node_else_the_one_that_was_named(
    node: str | None, name: str | None, expected: dict[str, str]
) -> None:
    host = HostIdentity(name, "m" if name else None)
    document = document_of(ExecOnKernel([b"x"], node=node), host=host)
    assert document["host"] == {"os": {"type": "linux"}, **expected}


@pytest.mark.parametrize(
    ("tty", "interactive", "device"),
    [
        ("(none)", False, None),
        ("pts0", True, (136, 0)),
        ("tty2", True, (4, 2)),
        ("ttyS1", True, (4, 65)),
        ("hvc0", True, None),
    ],
)
def test_a_terminal_makes_a_process_interactive(
    tty: str, interactive: bool, device: tuple[int, int] | None
) -> None:
    process = document_of(ExecOnKernel([b"x"], tty=tty))["process"]
    assert process["interactive"] is interactive
    expected = device and {"char_device": {"major": device[0], "minor": device[1]}}
    assert process.get("tty") == expected


def test_a_parent_is_described_as_it_was_when_it_started() -> None:
    _, document = documents_of(
        ExecOnKernel(
            [b"/bin/sh", b"./deploy", b"now"],
            exe=b"/usr/bin/dash",
            comm=b"deploy",
            cwd=b"/srv",
            paths=[b"./deploy", b"/bin/sh", b"/lib64/ld.so.2"],
            pid=100,
            ppid=1,
            serial=41,
        ),
        ExecOnKernel([b"chmod", b"+x"]),
    )
    parent = document.to_dict()["process"]["parent"]
    assert len(parent.pop("entity_id")) == 32
    assert parent == {
        "pid": 100,
        "executable": "/srv/deploy",
        "name": "deploy",
        "args": ["/bin/sh", "./deploy", "now"],
        "args_count": 3,
        "command_line": "/bin/sh ./deploy now",
        "working_directory": "/srv",
        "interactive": False,
        "user": {"id": "0"},
        "group": {"id": "0"},
    }


def test_a_childs_parent_has_the_entity_id_that_the_parents_own_document_has() -> None:
    parent, child = documents_of(
        ExecOnKernel([b"sh"], pid=100, ppid=1, serial=41), ExecOnKernel([b"chmod"])
    )
    assert child.process.parent is not None
    assert child.process.parent.entity_id == parent.process.entity_id


def test_an_exec_of_a_process_that_executed_before_has_the_parent_that_forked_it() -> None:
    *_, document = documents_of(
        ExecOnKernel([b"a"], exe=b"/bin/a", pid=100, ppid=1, serial=1),
        ExecOnKernel([b"b"], exe=b"/bin/b", serial=2),
        ExecOnKernel([b"c"], exe=b"/bin/c", serial=3),
    )
    assert document.process.parent is not None
    assert document.process.parent.executable == "/bin/a"


def test_a_truncated_event_says_so_and_keeps_what_came() -> None:
    lines = ExecOnKernel([b"chmod", b"+x", b"/etc/rc.local"] * 20, room=120).lines()
    without_second_record = [line for n, line in enumerate(lines) if n != 2]
    (event,) = events_of(without_second_record)
    document = DocumentMapper(table=ProcessTable()).map(event)
    assert document is not None
    assert document.auditd.truncated is True
    assert document.process.args_count == 60
    assert 0 < len(document.process.args or ()) < 60


def test_forks_and_exits_make_no_documents_but_parents() -> None:
    mapper = DocumentMapper(table=ProcessTable())

    def feed(*lines: bytes) -> list[Document]:
        mapped = [mapper.map(event) for event in events_of(list(lines))]
        return [document for document in mapped if document is not None]

    shell = ExecOnKernel([b"sh"], exe=b"/bin/sh", comm=b"sh", pid=50, ppid=1, serial=1)
    assert len(feed(*shell.lines())) == 1
    stamp = "audit(1700000000.123:2)"
    fork = f"type=SYSCALL msg={stamp}: arch=c000003e syscall=57 success=yes exit=100 ppid=1 pid=50"
    assert feed(fork.encode(), f"type=PROCTITLE msg={stamp}: proctitle=00".encode()) == []
    (document,) = feed(*ExecOnKernel([b"chmod"], ppid=100).lines())
    assert document.process.parent is not None
    assert document.process.parent.executable == "/bin/sh"


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"")), min_size=1),
    st.binary(min_size=1, max_size=20),
    st.binary(min_size=1, max_size=20),
)
def test_any_arguments_and_names_make_a_document_that_is_json_without_empty_fields(
    arguments: list[bytes], exe: bytes, comm: bytes
) -> None:
    (document,) = documents_of(ExecOnKernel(arguments, exe=exe, comm=comm, cwd=exe))
    fields = json.loads(document.to_json())
    assert fields == document.to_dict()
    assert fields["process"]["args_count"] == len(arguments)

    def check(value: object) -> None:
        if isinstance(value, dict):
            assert value
            for each in value.values():
                assert each not in (None, "", [])
                check(each)

    check(fields)


def test_the_same_log_gives_the_same_ids_and_another_host_others() -> None:
    deed = ExecOnKernel([b"x"])
    ids = {document_of(deed)["event"]["id"] for _ in range(2)}
    assert len(ids) == 1
    assert document_of(deed, host=HostIdentity("web1"))["event"]["id"] not in ids
    later = ExecOnKernel([b"x"], serial=43)
    assert document_of(later)["event"]["id"] not in ids


ODD_VALUES = [
    b"", b'""', b"-1", b"-2147483649", b"9223372036854775808", b"9" * 25, b"9" * 5000, b"(null)",
    b"?", b"0x10", b"1_0", b"\xb2", b"4294967295", b'"x', b"unset", b"1e5",
]  # fmt: skip
FIELD = re.compile(rb"(?<=[ \x1d])([A-Za-z]\w*(?:\[\d+\])?)=([^ \x1d]*)")


@given(
    st.dictionaries(st.integers(0, 60), st.sampled_from(ODD_VALUES), max_size=8),
    st.booleans(),
)
def test_whatever_stands_in_a_field_the_document_has_no_empty_text_and_no_number_beyond_a_long(
    odd: dict[int, bytes], enriched: bool
) -> None:
    number = iter(range(1000))

    def replaced(match: re.Match[bytes]) -> bytes:
        value = odd.get(next(number), match[2])
        return match[0] if match[1] in (b"success", b"msg") else match[1] + b"=" + value

    lines = [
        FIELD.sub(replaced, line) for line in ExecOnKernel([b"a", b"b"], enriched=enriched).lines()
    ]
    mapper = DocumentMapper(table=ProcessTable())
    documents = filter(None, map(mapper.map, events_of(lines)))

    def check(value: object) -> None:
        if isinstance(value, dict):
            for each in value.values():
                check(each)
        elif isinstance(value, int):
            assert 0 <= value < 2**63
        else:
            assert value not in ("", None, [])

    for document in documents:
        check(document.to_dict())
        assert 0 <= document.process.pid < 2**31


@pytest.mark.parametrize("pid", [b"-1", b"9223372036854775808", b"x", b""])
def test_an_exec_without_a_parent_that_can_be_is_an_exec_all_the_same(pid: bytes) -> None:
    lines = [line.replace(b"ppid=100", b"ppid=" + pid) for line in ExecOnKernel([b"x"]).lines()]
    assert any(b"ppid=" + pid in line for line in lines)
    mapper = DocumentMapper(table=ProcessTable())
    (document,) = filter(None, map(mapper.map, events_of(lines)))
    assert document.process.parent is None
    assert document.process.args == ("x",)
