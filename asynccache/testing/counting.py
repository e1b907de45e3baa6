"""`count`: what a cache did during a block of a test."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict

from asynccache.cache import Cache, CacheStats

__all__ = ["Counted", "count"]


class Counted:
    """What a cache has done since, or within a block; the fields of `asynccache.CacheStats`."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._before = cache.stats()
        self._after: CacheStats | None = None

    def stop(self) -> None:
        """Count nothing more."""
        self._after = self.stats()

    def stats(self) -> CacheStats:
        """Return all of it as one object."""
        if self._after is not None:
            return self._after
        before = asdict(self._before)
        return CacheStats(
            **{name: total - before[name] for name, total in asdict(self._cache.stats()).items()}
        )

    @property
    def hits(self) -> int:
        """Look-ups that found something: values and responses, stale ones too."""
        return self.stats().hits

    @property
    def stale_hits(self) -> int:
        """Of the hits, those served within a stale window."""
        return self.stats().stale_hits

    @property
    def misses(self) -> int:
        """Look-ups that found nothing usable."""
        return self.stats().misses

    @property
    def computed(self) -> int:
        """Runs of functions and endpoints because of that, or to refresh."""
        return self.stats().computed

    @property
    def stored(self) -> int:
        """Values and responses written."""
        return self.stats().stored

    @property
    def refused(self) -> int:
        """Values and responses that were not written although nothing failed."""
        return self.stats().refused

    @property
    def invalidated(self) -> int:
        """Keys, tags and namespaces that were invalidated."""
        return self.stats().invalidated

    @property
    def failed(self) -> int:
        """Operations of the store that failed."""
        return self.stats().failed

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={number}" for name, number in asdict(self.stats()).items() if number)
        return f"<Counted {counts or 'nothing'}>"


@contextmanager
def count(cache: Cache) -> Generator[Counted]:
    """Count what ``cache`` does within a block, whatever it did before and does afterwards.

        >>> with count(cache) as counted:
        ...     await cache.get("k")
        >>> assert counted.misses == 1

    Its namespaces are counted with it, as in `asynccache.Cache.stats`.
    """
    counted = Counted(cache)
    try:
        yield counted
    finally:
        counted.stop()
