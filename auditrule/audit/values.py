"""Decoding of the values in a record's fields.

The kernel writes a string that anyone may have chosen in one of two ways
(`audit_log_untrustedstring`, kernel/audit.c): between double quotes when it holds only printable
ASCII without spaces and quotes, else as upper-case hex of its bytes. Everything else is written
bare. So whether a bare value is hex depends on the field, never on its look: ``a0=2F`` is two hex
digits of a register in a SYSCALL record and the argument ``/`` in an EXECVE record.
"""

from __future__ import annotations

import re

# The fields that audit-userspace calls "escaped" (auparse/typetab.h), and the data of TTY records.
UNTRUSTED_FIELDS = frozenset(
    """
    acct apparmor cgroup cmd comm cwd data denied_mask device dir exe file grp info
    invalid_context key name new-chardev new-disk new-fs new-net new-rng new_group ocomm
    old-chardev old-disk old-fs old-net old-rng operation path proctitle profile requested_mask
    root_dir sw vm watch
    """.split()
)
_EXECVE_ARGUMENT = re.compile(r"a\d+(?:\[\d+\])?\Z", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-F]{2})+\Z")
_LARGEST_NUMBER = 2**63 - 1
_LONGEST_NUMBER = 20
_ABSENT = frozenset({"(null)", "?", ""})


def is_untrusted(record_type: str, name: str) -> bool:
    """Tell whether field `name` of a record of `record_type` carries an untrusted string."""
    if record_type == "EXECVE":
        return _EXECVE_ARGUMENT.match(name) is not None
    return name in UNTRUSTED_FIELDS


def decode_value(token: str, *, untrusted: bool) -> bytes | None:
    """Return the bytes that `token`, a value as it stands in the record, means.

    `token` carries one byte a character (Latin-1). The result is None for the tokens that mean
    "absent": ``(null)``, ``?`` and nothing at all. A quoted token is its content: quotes are never
    escaped inside, and ``"?"`` is a question mark. An opening quote that is not closed (a record
    cut short) counts as one.
    """
    if token.startswith('"'):
        end = -1 if len(token) > 1 and token.endswith('"') else None
        return token[1:end].encode("latin-1")
    if token in _ABSENT:
        return None
    if untrusted and _HEX.match(token):
        return bytes.fromhex(token)
    return token.encode("latin-1")


def read_number(token: str, base: int = 10) -> int | None:
    """Return the whole number that `token` writes, None where it is none or has over 64 bits.

    No number of the kernel's is larger, and no field of ECS holds a larger one.
    """
    if len(token) > _LONGEST_NUMBER or not token.isascii() or "_" in token:
        return None
    try:
        number = int(token, base)
    except ValueError:
        return None
    return number if -_LARGEST_NUMBER <= number <= _LARGEST_NUMBER else None
