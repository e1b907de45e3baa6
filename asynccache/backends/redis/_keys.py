"""Where a lease lives: in a key beside the value's, on the same cluster slot, that no value can have. Pure.

The lease on K is held under K + marker + two bytes.

- The marker is a byte that UTF-8 never contains. So a lease's key is no value's key, K is what stands before
  the marker, and a scan for a prefix finds values and leases alike.
- A cluster hashes the first non-empty ``{tag}`` in a key, else all of it, by CRC-16. A tag in K stays the
  first whatever follows. Without one the two bytes bring the CRC back to what it was for K alone: of the
  65,536 pairs exactly one does. It must not contain the ``}`` that would complete a tag in K; of three
  markers at least one gives such a pair.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from typing import Final

__all__ = ["glob", "lease_key", "leases_glob", "owner", "slot"]

SLOTS: Final = 16_384
_MARKERS: Final = (b"\xff", b"\xfe", b"\xfd")
_MARKER: Final = re.compile(rb"[\xfd-\xff]")
_SPECIAL: Final = re.compile(rb"[\\*?\[\]]")
_TAG: Final = re.compile(rb"[^{]*\{([^}]+)\}", re.DOTALL)

# The CRC's table, and, by the low byte of an entry, its place: they undo a step that took in a zero byte.
_TABLE: Final = tuple(crc_hqx(bytes([byte]), 0) for byte in range(256))
_PLACE: Final = {entry & 0xFF: place for place, entry in enumerate(_TABLE)}


def lease_key(key: bytes) -> bytes:
    """Return the key of the lease on ``key``."""
    crc = crc_hqx(key, 0)
    wanted = _before(_before(crc))
    for marker in _MARKERS:
        # Taking in two bytes is the same as mixing them into the state and taking in two zeros.
        pair = (crc_hqx(marker, crc) ^ wanted).to_bytes(2, "big")
        if b"}" not in pair:
            return key + marker + pair
    raise AssertionError  # pragma: no cover - the pairs of different markers differ in both bytes


def _before(crc: int) -> int:
    """Return the state that a zero byte turns into ``crc``."""
    place = _PLACE[crc & 0xFF]
    return place << 8 | (crc ^ _TABLE[place]) >> 8


def owner(found: bytes) -> bytes:
    """Return the key whose value, or whose lease, is under ``found``."""
    marker = _MARKER.search(found)
    if marker is not None:
        key = found[: marker.start()]
        if key and lease_key(key) == found:
            return key
    return found


def slot(key: bytes) -> int:
    """Return the cluster slot of ``key``."""
    tag = _TAG.match(key)
    return crc_hqx(tag[1] if tag else key, 0) % SLOTS


def glob(prefix: bytes) -> bytes:
    """Return the pattern that matches what starts with ``prefix``, whatever it contains."""
    return _SPECIAL.sub(rb"\\\g<0>", prefix) + b"*"


def leases_glob(prefix: bytes) -> bytes:
    """Return the pattern that matches the leases on what starts with ``prefix``."""
    return glob(prefix) + b"[\xfd-\xff]*"
