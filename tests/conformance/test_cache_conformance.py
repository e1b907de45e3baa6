"""The public suite over the facade: every codec, compression, encryption and wrapper means the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest_asyncio

from asynccache._engine.batching import Batched
from asynccache.backends.memory import InMemoryBackend
from asynccache.codecs import generate_key
from asynccache.config import GuardConfig
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import CacheConformance, ChaosBackend, FakeClock
from tests.cache_doubles import Swapping, SwappingMany, ThreeMethods

KEY = generate_key()
PATIENT = GuardConfig(timeout=30.0)  # a deadline that a busy machine does not reach


def local(clock: FakeClock) -> CacheBackendProtocol:
    """Return the in-memory store as it is: the facade works on its objects."""
    return InMemoryBackend(max_bytes=2**26, clock=clock)


def remote(clock: FakeClock) -> CacheBackendProtocol:
    """Return it with only its bytes in sight, as a store on the network has."""
    return ChaosBackend(local(clock))


class Suite(CacheConformance):
    """Over what ``make(clock)`` returns."""

    options: ClassVar[Mapping[str, Any]] = {"guard": PATIENT}

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return remote(clock)

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncIterator[CacheBackendProtocol]:
        """Give the store; opening it is the cache's own business."""
        self.clock = FakeClock()
        yield self.make(self.clock)


class TestLocal(Suite):
    """The store in this process, entries as objects."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return local(clock)


class TestLocalJson(Suite):
    """The same with another codec."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return local(clock)

    options: ClassVar[Mapping[str, Any]] = {"codec": "json", "guard": PATIENT}


class TestLocalPickle(Suite):
    """And with one that needs sealed entries."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return local(clock)

    options: ClassVar[Mapping[str, Any]] = {"codec": "pickle", "encryption_keys": [KEY], "guard": PATIENT}


class TestRemote(Suite):
    """A store behind bytes, everything as it is by default."""


class OwningChaos(ChaosBackend):
    """Says that its callers may leave whenever they like."""

    owns_io = True


class TestRemoteOwner(Suite):
    """A store that owns its input and output is called without a task in between."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return OwningChaos(local(clock))


class TestRemoteUnbatched(Suite):
    """Without batching."""

    options: ClassVar[Mapping[str, Any]] = {"batching": False, "guard": PATIENT}


class TestBatched(Suite):
    """With a store that batches already."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Batched(remote(clock))


class TestThreeMethods(Suite):
    """A store that can do nothing beyond get, set and delete."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return ThreeMethods(clock)


class TestSwapping(Suite):
    """One that adds and compares, but neither counts nor clears by prefix."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Swapping(clock)


class TestSwappingMany(Suite):
    """One that has bulk operations too, and is batched."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return SwappingMany(clock)


class TestSwappingSealed(Suite):
    """There counters can be encrypted."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Swapping(clock)

    options: ClassVar[Mapping[str, Any]] = {"encryption_keys": [KEY], "guard": PATIENT}


class TestSwappingRaw(Suite):
    """And counters need no codec that can write integers."""

    def make(self, clock: FakeClock) -> CacheBackendProtocol:
        """Return the store."""
        return Swapping(clock)

    options: ClassVar[Mapping[str, Any]] = {"codec": "raw", "guard": PATIENT}


class TestRaw(Suite):
    """The codec that takes bytes only."""

    options: ClassVar[Mapping[str, Any]] = {"codec": "raw", "guard": PATIENT}


class TestJsonCompressed(Suite):
    """JSON, compressed from the first byte."""

    options: ClassVar[Mapping[str, Any]] = {
        "codec": "json",
        "compression": True,
        "compress_min_bytes": 0,
        "guard": PATIENT,
    }


class TestMsgpackSealed(Suite):
    """MessagePack, encrypted."""

    options: ClassVar[Mapping[str, Any]] = {"encryption_keys": [KEY], "guard": PATIENT}


class TestMsgpackCompressedSealed(Suite):
    """MessagePack, compressed and encrypted."""

    options: ClassVar[Mapping[str, Any]] = {
        "compression": True,
        "compress_min_bytes": 0,
        "encryption_keys": [KEY],
        "guard": PATIENT,
    }


class TestPickle(Suite):
    """pickle, which is never read unless its seal is whole."""

    options: ClassVar[Mapping[str, Any]] = {"codec": "pickle", "encryption_keys": [KEY], "guard": PATIENT}


class TestPickleCompressed(Suite):
    """And compressed."""

    options: ClassVar[Mapping[str, Any]] = {
        "codec": "pickle",
        "compression": True,
        "compress_min_bytes": 0,
        "encryption_keys": [KEY],
        "guard": PATIENT,
    }
