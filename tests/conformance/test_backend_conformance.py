"""The public suite over every store and every wrapper: one meaning for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from math import inf

import pytest_asyncio

from asynccache._engine.batching import Batched
from asynccache._engine.clock import stopwatch
from asynccache._engine.guard import Guard
from asynccache.backends.memory import InMemoryBackend
from asynccache.protocols import CacheBackendProtocol, SupportsLifecycle
from asynccache.testing import BackendConformance, ChaosBackend, FakeClock

MIB = 2**20


class ThreeMethods:
    """The least a user has to write."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.values: dict[str, tuple[bytes, float]] = {}

    async def get(self, key: str) -> bytes | None:
        """Return the bytes under ``key``."""
        value, expires = self.values.get(key, (None, inf))
        return value if self.clock() < expires else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store ``value``."""
        self.values[key] = (value, inf if ttl is None else self.clock() + ttl)

    async def delete(self, key: str) -> bool:
        """Remove ``key``."""
        there = await self.get(key) is not None
        self.values.pop(key, None)
        return there


def memory(clock: FakeClock) -> InMemoryBackend:
    """Return the in-memory store, with room for everything the suite puts into it."""
    return InMemoryBackend(max_bytes=64 * MIB, clock=clock)


def patient(backend: CacheBackendProtocol) -> Guard:
    """Return ``backend`` guarded, with a deadline that a busy machine does not reach."""
    return Guard(backend, stopwatch, timeout=30.0)


class Suite(BackendConformance):
    """Makes ``make(clock)``, opens it and closes it."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncIterator[CacheBackendProtocol]:
        """Give the store, open."""
        self.clock = FakeClock()
        backend = self.make(self.clock)
        if isinstance(backend, SupportsLifecycle):
            await backend.open()
        yield backend
        if isinstance(backend, SupportsLifecycle):
            await backend.aclose()


class TestMemory(Suite):
    """The store in this process."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return memory(clock)

    persistent = False


class TestSmallMemory(Suite):
    """The same, with a limit on values within reach."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return InMemoryBackend(max_bytes=16 * MIB, clock=clock)

    max_value_bytes = 2 * MIB  # an eighth


class TestBatched(Suite):
    """Batching changes no meaning."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Batched(memory(clock))


class TestGuarded(Suite):
    """Guarding changes no meaning while the store is well."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return patient(memory(clock))


class TestGuardedBatched(Suite):
    """Nor do both."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return patient(Batched(memory(clock)))


class TestBatchedGuarded(Suite):
    """In the order in which a cache nests them."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Batched(patient(memory(clock)))


class TestQuietChaos(Suite):
    """A `ChaosBackend` that does nothing is the store itself."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return ChaosBackend(memory(clock))


class TestThreeMethods(Suite):
    """Three methods make a store."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return ThreeMethods(clock)


class TestGuardedThreeMethods(Suite):
    """And it can be guarded like any other."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return patient(ThreeMethods(clock))
