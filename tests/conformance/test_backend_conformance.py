"""The public suite over every store and every wrapper: one meaning for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from asynccache._engine.batching import Batched
from asynccache._engine.clock import stopwatch
from asynccache._engine.guard import Guard
from asynccache.backends.memory import InMemoryBackend
from asynccache.protocols import CacheBackendProtocol, SupportsLifecycle
from asynccache.testing import BackendConformance, ChaosBackend, FakeClock
from tests.cache_doubles import Swapping, SwappingMany, ThreeMethods

MIB = 2**20


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


class OwningChaos(ChaosBackend):
    """Says that its callers may leave whenever they like."""

    owns_io = True


class TestBatchedGuardedOwner(Suite):
    """A store that owns its input and output is called without a task in between."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Batched(patient(OwningChaos(memory(clock))))


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


class TestSwapping(Suite):
    """A store that can compare and swap."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Swapping(clock)


class TestWrappedSwapping(Suite):
    """And it can be watched, guarded and batched like any other."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Batched(patient(ChaosBackend(SwappingMany(clock))))
