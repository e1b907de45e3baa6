"""What a cache says of itself: its totals, and what its store can do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CacheCapabilities", "CacheStats"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Running totals since the cache was made, all namespaces together."""

    hits: int
    stale_hits: int
    """Of the hits, those served within a stale window."""
    misses: int
    computed: int
    stored: int
    refused: int
    invalidated: int
    failed: int

    @property
    def hit_ratio(self) -> float:
        """Hits per look-up, 0.0 before the first."""
        looked = self.hits + self.misses
        return self.hits / looked if looked else 0.0


@dataclass(frozen=True, slots=True)
class CacheCapabilities:
    """What the store can do beyond get, set and delete.

    What is False is done by other means or refused clearly.
    """

    many: bool
    """Bulk operations in one round trip; else one by one."""
    add: bool
    """Atomic `Cache.add`; else it raises."""
    increment: bool
    """Atomic `Cache.incr`; else it raises."""
    clear: bool
    """Clearing removes what is cleared; else it only makes it unreachable."""
    leases: bool
    """One computation across processes; else one per process."""
    bus: bool
    """Processes hear of each other's invalidations at once."""
    local: bool
    """The store is in this process and dies with it."""
