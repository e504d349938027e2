import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_format import untrusted

from auditrule.audit.values import decode_value, is_untrusted


@given(st.binary(min_size=1))
def test_decoding_an_untrusted_string_undoes_the_kernels_encoding(data: bytes) -> None:
    assert decode_value(untrusted(data), untrusted=True) == data


@pytest.mark.parametrize(
    ("token", "is_string", "value"),
    [
        ('"chmod"', True, b"chmod"),
        ('""', True, b""),
        ('"(null)"', True, b"(null)"),
        ('"?"', True, b"?"),
        ('"DEADBEEF"', True, b"DEADBEEF"),
        ("DEADBEEF", True, b"\xde\xad\xbe\xef"),
        ("DEADBEEF", False, b"DEADBEEF"),
        ("deadbeef", True, b"deadbeef"),
        ("ABC", True, b"ABC"),
        ("(null)", True, None),
        ("?", False, None),
        ("", True, None),
        ('"cut', True, b"cut"),
        ('"', True, b""),
        ("2F62", True, b"/b"),
        ("2F62", False, b"2F62"),
    ],
)
def test_a_value_means_what_its_field_says(
    token: str, is_string: bool, value: bytes | None
) -> None:
    assert decode_value(token, untrusted=is_string) == value


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("EXECVE", "a0", True),
        ("EXECVE", "a12[3]", True),
        ("EXECVE", "a12_len", False),
        ("EXECVE", "argc", False),
        ("SYSCALL", "a0", False),
        ("SYSCALL", "exe", True),
        ("PATH", "name", True),
        ("PATH", "inode", False),
        ("CWD", "cwd", True),
        ("PROCTITLE", "proctitle", True),
    ],
)
def test_only_some_fields_carry_untrusted_strings(kind: str, name: str, expected: bool) -> None:
    assert is_untrusted(kind, name) is expected
