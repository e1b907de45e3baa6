"""Redis in every way it is run, held to the public suites."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from asynccache._engine.clock import Clock
from asynccache.backends.redis import RedisBackend
from tests.conformance.store_suites import PATIENT, Bare, OnCache, OnSealedCache, StoreSuite, Wrapped
from tests.servers.redis import age

MIB = 2**20


class OnRedis(StoreSuite):
    """Redis keeps the time itself. Where the suite would wait, we take time off what keys have to live."""

    persistent: bool | None = True

    def age(self, seconds: float) -> None:
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        if self.clock is not None:
            self.clock.advance(seconds)
        self.age(seconds)


class BareRedis(Bare):
    fake_time = False


class WrappedRedis(Wrapped):
    fake_time = False


class Single(OnRedis):
    store = "Redis"
    max_value_bytes: int | None = 2 * MIB
    url: str

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> RedisBackend:
        self.url = request.getfixturevalue("redis_server").fresh_url()
        return RedisBackend(self.url, max_value_bytes=2 * MIB, timeout=PATIENT, connect_timeout=PATIENT)

    def age(self, seconds: float) -> None:
        parts = urlsplit(self.url)
        age(seconds, parts.port or 0, db=int(parts.path[1:]))


class TestRedis(Single, BareRedis):
    pass


class TestRedisWrapped(Single, WrappedRedis):
    pass


class TestCacheOnRedis(Single, OnCache):
    pass


class TestSealedCacheOnRedis(Single, OnSealedCache):
    pass


class Clustered(OnRedis):
    store = "Redis cluster"
    ports: list[int]

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> RedisBackend:
        nodes = request.getfixturevalue("redis_cluster")
        self.ports = [node.port for node in nodes.primaries]
        return RedisBackend(nodes.url, timeout=PATIENT, connect_timeout=PATIENT)

    def age(self, seconds: float) -> None:
        age(seconds, *self.ports)


class TestRedisCluster(Clustered, BareRedis):
    pass


class TestRedisClusterWrapped(Clustered, WrappedRedis):
    pass


class TestCacheOnRedisCluster(Clustered, OnCache):
    pass


class TestSealedCacheOnRedisCluster(Clustered, OnSealedCache):
    pass


class Watched(OnRedis):
    store = "Redis behind a sentinel"
    port: int

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> RedisBackend:
        group = request.getfixturevalue("redis_sentinel")
        self.port = group.master.port
        return RedisBackend(group.url, timeout=PATIENT, connect_timeout=PATIENT)

    def age(self, seconds: float) -> None:
        age(seconds, self.port)


class TestRedisSentinel(Watched, BareRedis):
    pass


class TestRedisSentinelWrapped(Watched, WrappedRedis):
    pass


class TestCacheOnRedisSentinel(Watched, OnCache):
    pass


class TestSealedCacheOnRedisSentinel(Watched, OnSealedCache):
    pass
