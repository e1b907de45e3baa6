"""`CacheStore`: any store of asynccache as a store of Litestar."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from types import TracebackType
from typing import Self

from litestar.stores.base import NamespacedStore

from asynccache import Cache, CacheBackendProtocol, CacheConfig

__all__ = ["CacheStore"]

Expiry = int | timedelta | None


class CacheStore(NamespacedStore):
    """Litestar's ``Store`` on any store of asynccache: for sessions, rate limits, whatever is in ``stores=``.

    Where the store fails, what `get` returns is None and what `set` was given is lost: with
    ``CacheConfig(fail_open=False)`` both raise `asynccache.BackendError` instead.

    Args:
        cache: A cache to use; whoever made it opens and closes it. A configuration, a backend or its URL: a
            cache of the store's own, opened and closed with the application.

    >>> async def example() -> None:
    ...     async with CacheStore("memory://") as store:
    ...         await store.set("k", "v", expires_in=60)
    """

    __slots__ = ("_cache", "_owned")

    namespace: str
    """Its place in the store, for people to read."""

    def __init__(self, cache: Cache | CacheConfig | CacheBackendProtocol | str) -> None:
        self._owned = not isinstance(cache, Cache)
        if isinstance(cache, Cache):
            self._cache = cache
        else:
            self._cache = Cache(cache if isinstance(cache, CacheConfig) else CacheConfig(backend=cache))
        self.namespace = self._cache.config.namespace

    def with_namespace(self, namespace: str) -> Self:
        """Return a store for the keys under ``namespace``, which `delete_all` of this one empties too.

        Also a ``default_factory``: ``StoreRegistry(default_factory=CacheStore(...).with_namespace)``.
        """
        child = type(self)(self._cache.namespace(namespace))
        child.namespace = f"{self.namespace}:{namespace}"
        return child

    async def set(self, key: str, value: str | bytes, expires_in: Expiry = None) -> None:
        """Store a value.

        Args:
            key: A non-empty string.
            value: Bytes; a string is encoded as UTF-8.
            expires_in: Seconds or a timedelta; None for ever. What is not positive has expired already:
                nothing is stored, and what was there is removed.
        """
        seconds = _seconds(expires_in)
        if seconds is not None and seconds <= 0:
            await self._cache.delete(key)
        else:
            await self._cache.set(key, value.encode() if isinstance(value, str) else bytes(value), seconds)

    async def get(self, key: str, renew_for: Expiry = None) -> bytes | None:
        """Return the value under ``key``, None if there is none.

        Args:
            key: A non-empty string.
            renew_for: Seconds or a timedelta that it lives from now on, unless it never expires.
        """
        seconds = _seconds(renew_for)
        if not seconds or seconds <= 0:
            return await self._cache.get(key, type=bytes)
        # At once, so that they are one look-up where the store has bulk look-ups.
        value, left = await asyncio.gather(self._cache.get(key, type=bytes), self._cache.ttl(key))
        if value is not None and left is not None:
            await self._cache.touch(key, seconds)
        return value

    async def delete(self, key: str) -> None:
        """Remove ``key``, if it is there."""
        await self._cache.delete(key)

    async def delete_all(self) -> None:
        """Remove everything in this namespace and those inside it, and nothing else."""
        await self._cache.clear()

    async def exists(self, key: str) -> bool:
        """Return whether there is a value under ``key``."""
        return await self._cache.exists(key)

    async def expires_in(self, key: str) -> int | None:
        """Return the seconds ``key`` has left, rounded up; None if it is not there.

        -1 if it never expires: so say Litestar's own stores and their tests, whatever its documentation does.
        """
        left = await self._cache.ttl(key)
        if left is not None:
            return math.ceil(left)
        return -1 if await self._cache.exists(key) else None

    async def __aenter__(self) -> Self:  # type: ignore[override]  # for ``async with CacheStore(...) as store``
        if self._owned:
            await self._cache.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owned:
            await self._cache.aclose()


def _seconds(duration: Expiry) -> float | None:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
