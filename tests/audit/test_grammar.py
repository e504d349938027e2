from collections import Counter
from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from auditrule.audit.grammar import RecordError, parse_body, parse_header

STAMP = b"type=CWD msg=audit(1700000000.123:42):"


def test_a_header_gives_node_type_time_and_serial() -> None:
    header = parse_header(b'node=web1 type=CWD msg=audit(1700000000.007:42): cwd="/"')
    assert (header.node, header.type) == ("web1", "CWD")
    assert (header.seconds, header.millis, header.serial) == (1_700_000_000, 7, 42)
    assert header.body_start == 48


@pytest.mark.parametrize("kind", ["SYSCALL", "UNKNOWN[1334]", "DAEMON_START", "USER_CMD", "x"])
def test_record_types_need_not_be_known(kind: str) -> None:
    assert parse_header(f"type={kind} msg=audit(1.000:1): a=b".encode()).type == kind


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        (b"", 1, "type=NAME"),
        (b"----", 1, "type=NAME"),
        (b" type=CWD msg=audit(1.000:1):", 1, "type=NAME"),
        (b"type=CWD", 1, "type=NAME"),
        (b"node=a ", 8, "type=NAME"),
        (b"type=CWD msg=", 10, "msg=audit("),
        (b"type=CWD msg='op=x'", 10, "msg=audit("),
        (b"type=CWD msg=audit(x.000:1):", 20, "seconds"),
        (b"type=CWD msg=audit(12.3:1):", 23, "milliseconds"),
        (b"type=CWD msg=audit(12.345:):", 27, "serial"),
        (b"type=CWD msg=audit(12.345:1) ", 27, "serial"),
        (b"type=CWD msg=audit(12.345:9223372036854775808):", 27, "a serial of 63 bits"),
        (b"type=CWD msg=audit(253402300800.000:1):", 20, "a year before 10000"),
        (b"type=CWD msg=audit(999999999999.000:1):", 20, "year"),
        (b"type=\xff msg=audit(1.000:", 24, "serial"),
    ],
)
def test_a_line_that_is_no_record_is_refused_at_the_column_where_it_breaks(
    line: bytes, column: int, expected: str
) -> None:
    with pytest.raises(RecordError) as caught:
        parse_header(line)
    assert caught.value.column == column
    assert expected in caught.value.reason
    assert str(caught.value).endswith(f"at column {column}")


@given(st.binary() | st.binary().map(lambda tail: STAMP + tail))
def test_any_bytes_are_a_record_or_the_one_error(line: bytes) -> None:
    try:
        header = parse_header(line)
    except RecordError as error:
        column = error.column
    else:
        column = 1
        parse_body(line[header.body_start :].decode("latin-1"))
    assert 1 <= column <= len(line) + 1


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\x1d")))
def test_nothing_of_a_body_is_lost_but_the_spaces_between_its_items(text: str) -> None:
    assume("msg='" not in text)
    body = parse_body(text)
    kept = "".join(f"{name}={token}" for name, token in body.fields) + "".join(body.words)
    assert Counter(kept.replace(" ", "")) == Counter(text.replace(" ", ""))


def test_a_tab_stays_a_tab() -> None:
    assert parse_body("a=1\tb msg='x\ty'").fields == (("a", "1\tb"), ("msg", "x\ty"))


def test_fields_keep_their_order_and_their_repetitions() -> None:
    body = parse_body(' a=1 b="x y" a=2 c=')
    assert body.fields == (("a", "1"), ("b", '"x y"'), ("a", "2"), ("c", ""))


def test_words_between_fields_are_no_fields() -> None:
    body = parse_body(' avc:  denied  { read } for  pid=7 comm="cat" scontext=u:r:t:s0')
    assert [field.name for field in body.fields] == ["pid", "comm", "scontext"]
    assert body.words == ("avc:", "denied", "{", "read", "}", "for")


def test_what_auditd_added_stands_apart() -> None:
    body = parse_body('uid=0 key=(null)\x1dUID="root" SADDR={ saddr_fam=local path=/x }')
    assert body.fields == (("uid", "0"), ("key", "(null)"))
    assert body.enriched == (("UID", '"root"'), ("SADDR", "{ saddr_fam=local path=/x }"))


def test_other_control_characters_do_not_separate_fields() -> None:
    assert parse_body("a=1\x1cb=2\x85c=3").fields == (("a", "1\x1cb=2\x85c=3"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pid=1 msg='op=login acct=\"root\" res=success'", 'op=login acct="root" res=success'),
        ("msg='it's uid=0 type=EXECVE'", "it's uid=0 type=EXECVE"),
        ("msg='a' uid=0'\x1dUID=\"root\"", "a' uid=0"),
        ("msg=''", ""),
        ("msg='cut off uid=0", "cut off uid=0"),
    ],
)
def test_a_message_from_user_space_is_one_value_and_never_fields(text: str, message: str) -> None:
    body = parse_body(text)
    assert ("msg", message) in body.fields
    assert "uid" not in [field.name for field in body.fields]
    assert not body.words


@pytest.mark.parametrize("unit", [b"a={ ", b"msg=' ", b"\x1dmsg=' ", b'a="', b"\x1d ", b"a=' {"])
def test_what_opens_and_never_closes_takes_time_in_proportion(unit: bytes) -> None:
    def least_time(size: int) -> float:
        body = (unit * (size // len(unit))).decode("latin-1")
        times = []
        for _ in range(3):
            start = process_time()
            parse_body(body)
            times.append(process_time() - start)
        return min(times)

    # 16 times as long takes 16 times as long, not 256 times.
    assert least_time(32_000) < 64 * max(least_time(2_000), 1e-4)
