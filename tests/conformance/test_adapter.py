"""The public suites over `SyncBackendAdapter`: what blocks inside means the same outside."""

from __future__ import annotations

import pytest

from asynccache._engine.clock import Clock
from asynccache.backends.adapters import SyncBackendAdapter
from asynccache.protocols import CacheBackendProtocol
from tests.conformance.store_suites import Bare, OnCache, Wrapped
from tests.conformance.sync_stores import Everything, FiveMethods


class Full:
    """An object that has everything. Encryption is not its business: left out."""

    store = "adapter, everything"

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return the store."""
        return SyncBackendAdapter(Everything(clock))


class Five:
    """An object of five methods; nothing to batch, so it is not run in a wrapper that batches."""

    store = "adapter, five methods"

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        """Return the store."""
        return SyncBackendAdapter(FiveMethods(clock), threads=1)


class TestFullAdapter(Full, Bare): ...


class TestFullAdapterWrapped(Full, Wrapped): ...


class TestCacheOnFullAdapter(Full, OnCache): ...


class TestFiveMethodsAdapter(Five, Bare): ...


class TestCacheOnFiveMethodsAdapter(Five, OnCache): ...
