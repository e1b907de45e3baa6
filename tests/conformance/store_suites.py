"""The public suites over a store on a real server: bare, wrapped, behind the facade, and encrypted.

A configuration is a mixin with a name and a way to make the store; each suite makes it a test class::

    class Single:
        store = "Redis"

        def make(self, request, clock):
            return RedisBackend(request.getfixturevalue("redis_server").url, clock=clock)


    class TestRedis(Single, Bare): ...


    class TestRedisWrapped(Single, Wrapped): ...


    class TestCacheOnRedis(Single, OnCache): ...


    class TestSealedCacheOnRedis(Single, OnSealedCache): ...

`tests/conftest.py` prints what came of them as a table of stores and suites.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from asynccache._engine.batching import Batched
from asynccache._engine.clock import Clock, stopwatch, wall_clock
from asynccache._engine.guard import Guard
from asynccache.codecs import generate_key
from asynccache.config import GuardConfig
from asynccache.protocols import CacheBackendProtocol, SupportsLifecycle
from asynccache.testing import BackendConformance, CacheConformance, FakeClock

__all__ = ["PATIENT", "Bare", "OnCache", "OnSealedCache", "StoreSuite", "Wrapped"]

PATIENT = 30.0
"""A deadline that a busy machine does not reach."""


class StoreSuite:
    """What the four have in common."""

    store: ClassVar[str]
    """The configuration's name in the table."""
    suite: ClassVar[str]
    """The column's."""
    fake_time: ClassVar[bool] = True
    """False for a store that leaves time to its server: the suite then waits."""
    clock: FakeClock | None

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return the store, not opened yet."""
        raise NotImplementedError

    def as_used(self, backend: CacheBackendProtocol) -> CacheBackendProtocol:
        """Return what the suite is to run on."""
        return backend

    @pytest_asyncio.fixture
    async def backend(self, request: pytest.FixtureRequest) -> AsyncIterator[CacheBackendProtocol]:
        """Give the store, open."""
        # Not in the past: a server may sweep by its own clock what has expired by ours.
        self.clock = FakeClock(start=float(round(wall_clock()))) if self.fake_time else None
        backend = self.as_used(self.make(request, self.clock or wall_clock))
        if isinstance(backend, SupportsLifecycle):
            await backend.open()
        yield backend
        if isinstance(backend, SupportsLifecycle):
            await backend.aclose()


class Bare(StoreSuite, BackendConformance):
    """The store itself."""

    suite = "bare"


class Wrapped(StoreSuite, BackendConformance):
    """The store as a cache uses it: guarded, then batched."""

    suite = "batched and guarded"

    def as_used(self, backend: CacheBackendProtocol) -> CacheBackendProtocol:
        """Return the store in both wrappers."""
        return Batched(Guard(backend, stopwatch, timeout=PATIENT))


class OnCache(StoreSuite, CacheConformance):
    """The facade over the store."""

    suite = "cache"
    options: ClassVar[Mapping[str, Any]] = {"guard": GuardConfig(timeout=PATIENT)}


class OnSealedCache(OnCache):
    """The facade over the store, with encryption."""

    suite = "cache, encrypted"
    options: ClassVar[Mapping[str, Any]] = {
        "encryption_keys": [generate_key()],
        "guard": GuardConfig(timeout=PATIENT),
    }
