"""Stores on the run's server, directly and through a proxy that misbehaves; keys that no other test uses."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from asynccache import MemcachedBackend
from asynccache._engine.clock import wall_clock
from asynccache.testing import FakeClock
from tests.servers.memcached import MemcachedServer
from tests.servers.proxy import Proxy


@pytest.fixture
def mark() -> str:
    """Give the beginning of this test's keys."""
    return f"test-{secrets.token_hex(6)}:"


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that stands at the time of day: the server sweeps by its own."""
    return FakeClock(start=float(round(wall_clock())))


@pytest_asyncio.fixture
async def store(memcached_server: MemcachedServer, clock: FakeClock) -> AsyncIterator[MemcachedBackend]:
    """Give a store on one server."""
    store = MemcachedBackend(memcached_server.url, timeout=30, connect_timeout=30, clock=clock)
    yield store
    await store.aclose()


@pytest_asyncio.fixture
async def proxy(memcached_server: MemcachedServer) -> AsyncIterator[Proxy]:
    """Give a proxy in front of that server."""
    async with Proxy(memcached_server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def remote(memcached_server: MemcachedServer, proxy: Proxy) -> AsyncIterator[MemcachedBackend]:
    """Give a store behind the proxy, with little patience."""
    store = MemcachedBackend(memcached_server.url_via(proxy.port), timeout=0.3, connect_timeout=1.0)
    yield store
    await store.aclose()
