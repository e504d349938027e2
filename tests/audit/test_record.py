import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_format import untrusted

from auditrule.audit.record import EventId, Record

HEAD = b"type=SYSCALL msg=audit(1700000000.123:42): "


def record(body: str, kind: str = "SYSCALL") -> Record:
    return Record.parse(f"type={kind} msg=audit(1700000000.123:42): {body}".encode("latin-1"))


def test_a_record_belongs_to_the_event_of_its_node_time_and_serial() -> None:
    event_id = Record.parse(b"node=n " + HEAD).event_id
    assert event_id == EventId("n", 1_700_000_000, 123, 42)
    assert event_id.time_ms == 1_700_000_000_123
    assert str(event_id) == "1700000000.123:42"


@given(st.binary(min_size=1))
def test_an_untrusted_value_comes_back_as_the_bytes_that_the_kernel_wrote(data: bytes) -> None:
    assert record(f"exe={untrusted(data)}").data("exe") == data


def test_of_fields_with_one_name_the_first_counts() -> None:
    assert record("uid=0 uid=1000").number("uid") == 0


@pytest.mark.parametrize("body", ["", "exe=(null)", "exe=?", "exe="])
def test_what_is_absent_is_none(body: str) -> None:
    assert record(body).data("exe") is None
    assert record(body).text("exe") is None


@pytest.mark.parametrize("token", ["", "x", "1_0", "-", "٣", "1" * 21, "0x", '"1"', "1 ", " "])
def test_a_number_that_is_none_is_absent(token: str) -> None:
    line = HEAD + b"pid=" + token.encode()
    assert Record.parse(line).number("pid") in (None, 1 if token == "1 " else None)


def test_numbers_may_be_negative_and_hex() -> None:
    assert record("exit=-2").number("exit") == -2
    assert record("arch=c000003e").number("arch", 16) == 0xC000003E


def test_auditds_interpretations_are_told_from_the_kernels_fields() -> None:
    found = record('uid=0 auid=4294967295 gid=77\x1dUID="root" AUID="unset" GID="unknown(77)"')
    assert found.interpretation("UID") == "root"
    assert found.interpretation("AUID") is None
    assert found.interpretation("GID") is None
    assert found.interpretation("EUID") is None
    assert found.token("UID") is None


def test_a_carriage_return_at_the_end_is_no_part_of_the_record() -> None:
    assert Record.parse(HEAD + b'comm="x" key=(null)\r').token("key") == "(null)"


def test_nuls_that_a_power_loss_left_before_a_record_are_no_part_of_it() -> None:
    assert Record.parse(b"\0" * 5000 + HEAD + b"uid=0").number("uid") == 0
