"""How keys, prefixes, tokens and values become parameters of statements. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

__all__ = ["as_bytes", "bounds", "digest", "portions"]

_AT_ONCE: Final = 16 * 2**20
"""Bytes of keys and values in one statement."""


def digest(name: bytes) -> bytes:
    return blake2b(name, digest_size=16).digest()


def as_bytes(token: str) -> bytes:
    """Return any text as bytes; that of a stranger need not be text that a column could hold."""
    return token.encode(errors="surrogatepass")


def bounds(prefix: bytes) -> tuple[bytes, bytes]:
    """Return the least bytes that start with ``prefix``, and the least beyond them."""
    # No byte of UTF-8 is 0xFF: the last one can be counted up.
    return prefix, prefix[:-1] + bytes([prefix[-1] + 1])


def portions(rows: Sequence[tuple[bytes, bytes, bytes]]) -> list[list[tuple[bytes, bytes, bytes]]]:
    """Split ``rows`` so that no statement is too large; usually there is one portion."""
    portions: list[list[tuple[bytes, bytes, bytes]]] = []
    size = _AT_ONCE
    for row in rows:
        weight = len(row[1]) + len(row[2])
        if size + weight > _AT_ONCE:
            portions.append([])
            size = 0
        portions[-1].append(row)
        size += weight
    return portions
