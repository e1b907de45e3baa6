"""Which server a key belongs to: rendezvous hashing (Thaler and Ravishankar, 1998). Pure.

Every server draws a number for the key, and the servers are asked in the order of their numbers. So a server
that joins takes over the keys for which it draws the highest, 1/n of them, and no other key moves; one that
leaves, or is down, leaves its keys to all others alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

__all__ = ["Ring"]

_MASK: Final = 2**64 - 1


def _number(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest())


class Ring:
    """The servers of a key, in the order in which they are asked.

    Args:
        names: Of the servers; their order means nothing.
    """

    __slots__ = ("_seeds",)

    def __init__(self, names: Sequence[str]) -> None:
        self._seeds = [_number(name.encode()) for name in names]

    def home(self, key: bytes) -> int:
        """Return the place of the first server of ``key`` in the list of names."""
        number = _number(key)
        best, place = -1, 0
        for candidate, seed in enumerate(self._seeds):
            drawn = _mix(number ^ seed)
            if drawn > best:
                best, place = drawn, candidate
        return place

    def order(self, key: bytes) -> list[int]:
        """Return the places of all servers, the first of ``key`` first."""
        number = _number(key)
        return sorted(range(len(self._seeds)), key=lambda place: -_mix(number ^ self._seeds[place]))


def _mix(number: int) -> int:
    """Scatter 64 bits (the finaliser of SplitMix64, Steele et al., 2014)."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & _MASK
    return number ^ (number >> 31)
