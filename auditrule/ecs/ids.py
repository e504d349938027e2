"""Identifiers that the same input always gives again."""

from __future__ import annotations

from hashlib import blake2b


def stable_id(kind: str, *parts: object) -> str:
    """Return 32 hex digits derived from `kind` and `parts`, an absent part being None.

    Parts are told apart by their place and by being there: ("a", None) and ("a", "None") differ.
    """
    told: list[bytes] = []
    for part in (kind, *parts):
        data = b"-" if part is None else b"+" + str(part).encode("utf-8", "surrogatepass")
        told += (len(data).to_bytes(4, "big"), data)
    return blake2b(b"".join(told), digest_size=16).hexdigest()
