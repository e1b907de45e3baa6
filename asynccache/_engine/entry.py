"""What a store holds: one versioned binary entry, and the object it becomes in this process.

On the wire an entry is::

    magic (2 bytes)  format version (1)  CRC-32 of all that follows (4)  msgpack array

Whatever is not exactly that (other magic, another version, a flipped bit, another key) is damaged:
`unpack` returns None and the caller treats it as a miss. Integers are stored as plain decimals
instead, so that a store can count with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import Any, Final, Protocol, runtime_checkable
from zlib import crc32

import msgspec

__all__ = ["COUNTER", "MISSING", "Entry", "Missing", "Sealer", "SupportsEntries", "pack", "unpack"]

MAGIC: Final = b"\xac\xca"
VERSION: Final = b"\x01"
_HEADER: Final = len(MAGIC) + len(VERSION) + 4

COUNTER: Final = "int"
"""The codec name of integers stored as plain decimals."""
_DECIMAL: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,4000})\Z")


class Missing:
    """The type of `MISSING`, which tells "nothing there" from a stored None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


class Entry(msgspec.Struct, gc=False):
    """A stored value and all that is needed to judge it. Times are seconds since the epoch.

    ``gc=False`` keeps a million of them out of the garbage collector's sight (its full collections
    would stop the loop); that is sound because an entry never refers to anything that could refer back.
    """

    key: str
    payload: bytes
    codec: str
    created: float
    fresh_until: float
    stale_until: float
    """May be served while it is refreshed (stale-while-revalidate)."""
    error_until: float
    """May be served when refreshing it fails (stale-if-error)."""
    compute_time: float = 0.0
    """Seconds it took to make the value; the delta of XFetch."""
    stamps: tuple[tuple[str, str, str], ...] = ()
    """(tag, hard stamp, soft stamp) as read before the value was computed."""
    value: Any = MISSING
    """The decoded value where it is immutable; never on the wire."""
    value_type: Any = None
    """The type ``value`` was decoded as; a reader that asks for another decodes for itself."""
    hits: int = 0
    """For the store's eviction, never on the wire: whoever uses the entry adds 2 while it is below 8."""

    @property
    def expires(self) -> float:
        """When the entry becomes useless for anything; infinite if never."""
        return max(self.fresh_until, self.stale_until, self.error_until)

    def kill(self) -> None:
        """Make the entry dead for whoever still holds it, and let go of its value.

        A process-local store calls this when it drops an entry, so that a reference kept elsewhere
        (the memo of ``@cached``) can never outlive a delete, a replacement or an eviction.
        """
        self.fresh_until = self.stale_until = self.error_until = -inf
        self.value = MISSING
        self.payload = b""


@runtime_checkable
class SupportsEntries(Protocol):
    """A store in this process: keeps entries as objects and answers without awaiting.

    It returns its own object, not a copy; only the store changes one, and ``kill``s what it drops.
    Whether an entry is still fresh is the caller's to judge.
    """

    def get_entry(self, key: str) -> Entry | None:
        """Return the entry under ``key``, counting the use for eviction."""
        ...

    def set_entry(self, entry: Entry) -> bool:
        """Store ``entry`` until it ``expires``; False if it is too large: then the old one is gone."""
        ...

    def fill_entry(self, entry: Entry, token: str) -> bool:
        """Do that with a copy, and end the lease on its key, if ``token`` still holds it; else do nothing."""
        ...


class Sealer(Protocol):
    """Authenticated encryption of payloads; see `asynccache.codecs.AESGCMSealer`."""

    def seal(self, payload: bytes, header: bytes) -> bytes:
        """Encrypt ``payload`` and bind it to ``header``, which stays readable."""
        ...

    def unseal(self, sealed: bytes, header: bytes) -> bytes | None:
        """Return the payload, or None unless both arguments are exactly what was sealed."""
        ...


_Wire = tuple[str, bytes, str, float, float, float, float, float, tuple[tuple[str, str, str], ...], bool]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final[Callable[[bytes | memoryview], _Wire]] = msgspec.msgpack.Decoder(_Wire).decode


def pack(entry: Entry, sealer: Sealer | None = None) -> bytes:
    """Return what a store holds for ``entry``."""
    if entry.codec == COUNTER:
        return entry.payload
    payload = entry.payload
    if sealer is not None:
        payload = sealer.seal(payload, _header(entry))
    body = _encode(
        (
            entry.key,
            payload,
            entry.codec,
            float(entry.created),  # the header must be what it is decoded to, to the bit
            float(entry.fresh_until),
            float(entry.stale_until),
            float(entry.error_until),
            float(entry.compute_time),
            entry.stamps,
            sealer is not None,
        )
    )
    return b"".join((MAGIC, VERSION, crc32(body).to_bytes(4, "big"), body))


def unpack(data: bytes, key: str, sealer: Sealer | None = None) -> Entry | None:
    """Return the entry in ``data``, or None if it is not an intact entry of ``key``.

    With a sealer only sealed entries are accepted, without one only unsealed ones: whoever can write
    to the store cannot talk a reader into skipping the authentication.
    """
    if data[:3] != MAGIC + VERSION:
        return None if sealer is not None else _counter(data, key)
    body = memoryview(data)[_HEADER:]
    if int.from_bytes(data[3:_HEADER], "big") != crc32(body):
        return None
    try:
        wire = _decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    stored_key, payload, codec, created, fresh, stale, error, compute_time, stamps, sealed = wire
    if stored_key != key or sealed is not (sealer is not None):
        return None
    entry = Entry(key, payload, codec, created, fresh, stale, error, compute_time, stamps)
    if sealer is not None:
        opened = sealer.unseal(payload, _header(entry))
        if opened is None:
            return None
        entry.payload = opened
    return entry


def _header(entry: Entry) -> bytes:
    """Return everything but the payload, unambiguously: the associated data of the encryption."""
    return _encode(
        (
            entry.key,
            entry.codec,
            float(entry.created),  # the header must be what it is decoded to, to the bit
            float(entry.fresh_until),
            float(entry.stale_until),
            float(entry.error_until),
            float(entry.compute_time),
            entry.stamps,
        )
    )


def _counter(data: bytes, key: str) -> Entry | None:
    """Return an entry for a plain decimal. Its expiry is the store's alone: a counter carries no header."""
    if not _DECIMAL.match(data):
        return None
    return Entry(key, data, COUNTER, -inf, inf, inf, inf, value=int(data))
