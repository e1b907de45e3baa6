"""What left a cache lately, as hashes: eight bytes or so an entry, and no object for the collector."""

from __future__ import annotations

from array import array
from typing import Final

__all__ = ["Ghosts"]

_AGES: Final = 0xFFFF
_STEPS: Final = 12
_PAGE: Final = 12
"""Slots come in pages of two to this many, each made when it is first needed: without evictions, never."""
_IN_PAGE: Final = (1 << _PAGE) - 1


class Ghosts:
    """A set of hashes that forgets the oldest.

    A slot holds 15 bits of a hash and when it was written. There are two for each place a hash can fall
    on, for at least twice the capacity: with one, so many would push out each other that it costs
    half a point of hit ratio.
    """

    __slots__ = ("_additions", "_mask", "_pages", "_shift")

    def __init__(self, capacity: int) -> None:
        size = 2 << max(4, (capacity - 1).bit_length())
        self._pages: list[array[int] | None] = [None] * max(1, size >> _PAGE)
        self._mask = size - 2
        self._additions = 0
        # Time goes in steps of a 4096th of the capacity or less, so that 16 bits outlast any ghost.
        self._shift = max(0, capacity.bit_length() - _STEPS)

    def add(self, digest: int) -> None:
        """Remember ``digest`` (the hash of a key) in place of the older of two."""
        self._additions = additions = self._additions + 1
        now = additions >> self._shift & _AGES
        at = digest & self._mask
        slots = self._pages[at >> _PAGE]
        if slots is None:
            slots = self._pages[at >> _PAGE] = array("I", bytes(4 * (_IN_PAGE + 1)))
        at &= _IN_PAGE
        first = slots[at]
        if first:
            second = slots[at + 1]
            if not second or (now - first & _AGES) < (now - second & _AGES):
                at += 1
        slots[at] = (digest >> 40 & _AGES | 1) << 16 | now

    def pop(self, digest: int, age: int) -> bool:
        """Forget ``digest``; True if it was added within the last ``age`` additions or so."""
        at = digest & self._mask
        slots = self._pages[at >> _PAGE]
        if slots is None:
            return False
        at &= _IN_PAGE
        mark = digest >> 40 & _AGES | 1
        if slots[at] >> 16 != mark:
            at += 1
            if slots[at] >> 16 != mark:
                return False
        if ((self._additions >> self._shift) - slots[at] & _AGES) << self._shift >= age:
            return False
        slots[at] = 0
        return True
