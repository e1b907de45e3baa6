"""What every store has to do, on memcached: on one server, on two, and on three."""

from __future__ import annotations

import pytest

from asynccache import MemcachedBackend
from asynccache._engine.clock import Clock
from tests.conformance.store_suites import PATIENT, Bare, OnCache, OnSealedCache, Wrapped
from tests.servers.memcached import MemcachedServer

MAX_VALUE_BYTES = 2**20 - 1024
"""Of a server with memcached's own limit of 1 MiB an item."""


class One:
    """A server alone, where no marks are needed."""

    store = "memcached"
    max_value_bytes: int | None = MAX_VALUE_BYTES
    persistent: bool | None = True

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> MemcachedBackend:
        server: MemcachedServer = request.getfixturevalue("memcached_server")
        return MemcachedBackend(server.fresh_url(), timeout=PATIENT, connect_timeout=PATIENT, clock=clock)


class Several:
    """Servers that share the keys."""

    servers: int
    max_value_bytes: int | None = MAX_VALUE_BYTES
    persistent: bool | None = True

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> MemcachedBackend:
        servers: tuple[MemcachedServer, ...] = request.getfixturevalue("memcached_servers")
        hosts = ",".join(f"{server.host}:{server.port}" for server in servers[: self.servers])
        return MemcachedBackend(f"memcached://{hosts}", timeout=PATIENT, connect_timeout=PATIENT, clock=clock)


class Two(Several):
    store = "memcached, 2 servers"
    servers = 2


class Three(Several):
    store = "memcached, 3 servers"
    servers = 3


class TestMemcached(One, Bare): ...


class TestMemcachedWrapped(One, Wrapped): ...


class TestCacheOnMemcached(One, OnCache): ...


class TestSealedCacheOnMemcached(One, OnSealedCache): ...


class TestTwoMemcached(Two, Bare): ...


class TestTwoMemcachedWrapped(Two, Wrapped): ...


class TestCacheOnTwoMemcached(Two, OnCache): ...


class TestSealedCacheOnTwoMemcached(Two, OnSealedCache): ...


class TestThreeMemcached(Three, Bare): ...


class TestThreeMemcachedWrapped(Three, Wrapped): ...


class TestCacheOnThreeMemcached(Three, OnCache): ...


class TestSealedCacheOnThreeMemcached(Three, OnSealedCache): ...
