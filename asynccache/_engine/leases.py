"""Leases within one process, for stores that have none of their own.

A lease (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013) is the right to fill one key. Whoever
misses takes it, computes, and fills only while it is still valid; every removal or replacement voids it.
So a slow computation that began before an invalidation can never overwrite it::

    filler   acquire ── compute ── valid? ── store.set ── still valid? else store.delete
    remover                    void ── store.delete ── void

The second look of the filler closes the last gap. If the remover's first ``void`` comes before that look,
the filler takes back what it wrote; if it comes after, the store has the value already when it is deleted.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Final

__all__ = ["LocalLeases"]

_SWEPT_PER_ACQUIRE: Final = 2
"""More than one, so that the table shrinks while leases come and go."""


class LocalLeases:
    """A bounded table of leases. Synchronous: nothing happens between two calls that the caller did not do.

    ``now`` is seconds on any clock, as long as it is always the same one.

    Args:
        limit: The most leases held at once. Beyond it the oldest is void: its computation goes to its
            caller and is not stored, which is always safe.
    """

    __slots__ = ("_leases", "_limit", "_serial")

    def __init__(self, limit: int = 65_536) -> None:
        self._limit = limit
        self._serial = count(1)
        # key -> (token, end), the longest held first; after deletions a plain dict is slow to find that
        self._leases: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._leases)

    def __repr__(self) -> str:
        return f"<LocalLeases {len(self)} held>"

    def acquire(self, key: str, ttl: float, now: float) -> str | None:
        """Return a fresh token, good for ``ttl`` seconds, if nobody holds a lease on ``key``, else None."""
        held = self._leases.get(key)
        if held is not None:
            if now < held[1]:
                return None
            del self._leases[key]  # rather than overwrite it: the new one goes to the end of the line
        self._sweep(now)
        token = str(next(self._serial))
        self._leases[key] = (token, now + ttl)
        return token

    def valid(self, key: str, token: str, now: float) -> bool:
        """Return True while ``token`` holds ``key``: not released, not void, not expired."""
        held = self._leases.get(key)
        return held is not None and held[0] == token and now < held[1]

    def release(self, key: str, token: str) -> None:
        """End the lease; no effect if ``token`` no longer holds it."""
        held = self._leases.get(key)
        if held is not None and held[0] == token:
            del self._leases[key]

    def void(self, key: str) -> None:
        """End whatever lease there is on ``key``: it was set or deleted."""
        self._leases.pop(key, None)

    def void_prefix(self, prefix: str) -> None:
        """End every lease on a key that starts with ``prefix``."""
        for key in [key for key in self._leases if key.startswith(prefix)]:
            del self._leases[key]

    def _sweep(self, now: float) -> None:
        """Drop up to two expired leases from the old end, and as many as it takes to have room for one."""
        leases = self._leases
        for _ in range(_SWEPT_PER_ACQUIRE):
            oldest = next(iter(leases), None)
            if oldest is None or now < leases[oldest][1]:
                break
            del leases[oldest]
        while leases and len(leases) >= self._limit:
            del leases[next(iter(leases))]
