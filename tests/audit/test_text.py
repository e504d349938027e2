import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditrule.audit.text import decode_text, encode_text


@given(st.binary())
def test_text_decodes_and_encodes_without_loss(data: bytes) -> None:
    assert encode_text(decode_text(data)) == data


@given(st.binary())
def test_decoded_text_is_valid_unicode_that_json_carries(data: bytes) -> None:
    text = decode_text(data)
    text.encode("utf-8")
    assert json.loads(json.dumps(text)) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")))
def test_valid_utf8_is_left_as_it_is(text: str) -> None:
    assert decode_text(text.encode()) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xe9", "caf\ufffde9"),
        (b"\xff\xfe", "\ufffdff\ufffdfe"),
        (b"\xe2\x82", "\ufffde2\ufffd82"),
        ("\ufffd".encode(), "\ufffdef\ufffdbf\ufffdbd"),
        (b"\xed\xa0\x80", "\ufffded\ufffda0\ufffd80"),
        (b"\xf0\xef\xbf\xbd", "\ufffdf0\ufffdef\ufffdbf\ufffdbd"),
        (rb"\xff", r"\xff"),
    ],
)
def test_bytes_that_are_not_utf8_are_shown_as_hex(data: bytes, text: str) -> None:
    assert decode_text(data) == text
