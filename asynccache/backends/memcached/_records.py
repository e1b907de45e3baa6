"""What is stored under a key: a value, a lease, or both, and when they end. Pure.

Memcached keeps time in seconds of its own clock, and 32 bits of flags. Every item of ours has flags that say
so, and begins with a head that says exactly when its value expires::

    flags   24 bits that mark an item as ours; VALUED, LEASED, OWNED
    head    mark of the shelf (see `_shelves`), 8 bytes · expiry of the value, in seconds, float64
    LEASED  end of the lease, float64 · token, 16 bytes
    OWNED   length of the full key, 4 bytes · the full key, where the name is a digest
    the value

What has other flags was put there by somebody else, and is a miss.
"""

from __future__ import annotations

from math import ceil, inf
from struct import Struct
from typing import Final, NamedTuple

__all__ = ["MARK", "NOTHING", "NO_MARK", "Item", "Record", "exptime", "pack", "unpack", "value_of"]

_OURS: Final = 0xAC5CAC00
_VALUED: Final = 1
_LEASED: Final = 2
_OWNED: Final = 4
_VALUE: Final = _OURS | _VALUED
"""The flags of a plain value, by far the most frequent."""
MARK: Final = _OURS | 0x80
"""The flags of a shelf's mark, which is no record."""
_MASK: Final = 0xFFFFFFFF ^ (_VALUED | _LEASED | _OWNED)

_HEAD: Final = Struct(">8sd")
_LEASE: Final = Struct(">d16s")
_LENGTH: Final = Struct(">I")
NO_MARK: Final = bytes(8)
"""The mark of a shelf that needs none."""

_MONTH: Final = 30 * 86_400
_LATEST: Final = 2**31 - 1
"""The last moment that fits in the server's 32 bits."""


class Item(NamedTuple):
    """What the server has under a name."""

    flags: int
    data: bytes
    unique: bytes = b""
    """Its version, if it was asked for."""


class Record(NamedTuple):
    """What an item of ours says."""

    value: bytes | None
    expires: float = inf
    token: bytes = b""
    """Of the lease; empty if there is none."""
    leased_until: float = -inf

    def live(self, now: float) -> bytes | None:
        """Return the value, unless it has expired."""
        return self.value if now < self.expires else None

    def leased(self, now: float) -> bool:
        """Return whether somebody holds the lease."""
        return now < self.leased_until

    def holds(self, token: str, now: float) -> bool:
        """Return whether ``token`` holds the lease."""
        return self.leased(now) and self.token.hex() == token

    def ends(self) -> float:
        """Return when nothing of it is of use any more."""
        return max(self.leased_until, -inf if self.value is None else self.expires)


NOTHING: Final = Record(None)


def pack(record: Record, mark: bytes, owner: bytes) -> tuple[int, bytes]:
    """Return the flags and the bytes of ``record`` under ``mark``, with the full key, or nothing."""
    value = record.value
    head = _HEAD.pack(mark, record.expires)
    flags = _OURS
    if record.token:
        flags |= _LEASED
        head += _LEASE.pack(record.leased_until, record.token)
    if owner:
        flags |= _OWNED
        head += _LENGTH.pack(len(owner)) + owner
    if value is None:
        return flags, head
    return flags | _VALUED, head + value


def unpack(item: Item | None, mark: bytes, owner: bytes) -> Record:
    """Return what ``item`` says: nothing if it is foreign, damaged, of another key or another mark."""
    if item is None or item.flags & _MASK != _OURS or len(item.data) < _HEAD.size:
        return NOTHING
    flags, data, _ = item
    marked, expires = _HEAD.unpack_from(data)
    if marked != mark:
        return NOTHING
    place = _HEAD.size
    token, until = b"", -inf
    if flags & _LEASED:
        if len(data) < place + _LEASE.size:
            return NOTHING
        until, token = _LEASE.unpack_from(data, place)
        place += _LEASE.size
    if (flags & _OWNED != 0) != (owner != b""):
        return NOTHING
    if owner:
        if data[place : place + _LENGTH.size + len(owner)] != _LENGTH.pack(len(owner)) + owner:
            return NOTHING
        place += _LENGTH.size + len(owner)
    return Record(data[place:] if flags & _VALUED else None, expires, token, until)


def value_of(item: Item | None, mark: bytes, owner: bytes, now: float) -> bytes | None:
    """Return the live value that ``item`` says, if any: the short way for what nearly every item is."""
    if item is None:
        return None
    flags, data, _ = item
    if flags == _VALUE and not owner and len(data) >= _HEAD.size:
        marked, expires = _HEAD.unpack_from(data)
        return data[_HEAD.size :] if marked == mark and now < expires else None
    return unpack(item, mark, owner).live(now)


def exptime(life: float, now: float) -> int:
    """Return what to tell the server for something of use for ``life`` seconds: when it may forget it.

    Never before: the server's seconds begin where its own clock ticks, hence one more. Beyond 30 days it
    takes a number for the time itself, and beyond 2038 for nonsense: then it keeps the item until it needs
    the room.

    Args:
        life: In seconds, infinite for ever.
        now: The time of day, in seconds since the epoch: the server's clock, not one for tests.
    """
    if life <= _MONTH - 1:
        return max(ceil(life), 0) + 1
    return 0 if now + life > _LATEST - 1 else ceil(now + life) + 1
