"""What processes tell each other, and what the server says of itself."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from asynccache import RedisBackend
from asynccache.backends.redis import _bus
from asynccache.backends.redis._health import describe
from asynccache.errors import BackendTimeoutError, BackendUnavailableError
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.redis import Nodes, RedisServer, redis_process


@pytest_asyncio.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def store(redis_server: RedisServer, proxy: Proxy) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(redis_server.url_via(proxy.port), timeout=0.5, channel="here")
    yield store
    await store.aclose()


class Ear:
    """A subscriber that is in place."""

    def __init__(self, store: RedisBackend) -> None:
        self.heard: list[bytes] = []
        self._ready = asyncio.Event()
        self._any = asyncio.Event()
        self._task = asyncio.create_task(self._listen(store))

    async def _listen(self, store: RedisBackend) -> None:
        async with aclosing(store.subscribe()) as messages:
            async for message in messages:
                if message == b"ready?":
                    self._ready.set()
                else:
                    self.heard.append(message)
                    self._any.set()

    async def wait(self, store: RedisBackend) -> None:
        """Wait until it is in place: until it hears what is said again and again."""
        while not self._ready.is_set():
            await store.publish(b"ready?")
            await asyncio.sleep(0.005)

    async def hears(self) -> None:
        async with asyncio.timeout(10):
            await self._any.wait()

    async def outcome(self) -> BaseException | None:
        """Wait for its end, and tell how it came."""
        async with asyncio.timeout(10):
            await asyncio.wait({self._task})
        return self._task.exception()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.mark.parametrize("cut", ["reset", "half_close"])
async def test_a_cut_subscription_ends(store: RedisBackend, proxy: Proxy, cut: str) -> None:
    """It is not resumed in silence: in between there may have been messages."""
    ear = Ear(store)
    await ear.wait(store)
    getattr(proxy, cut)()
    assert isinstance(await ear.outcome(), BackendUnavailableError)


async def test_a_killed_server_ends_subscriptions() -> None:
    with redis_process() as server:
        store = RedisBackend(f"redis://127.0.0.1:{server.port}")
        ear = Ear(store)
        await ear.wait(store)
        server.kill()
        assert isinstance(await ear.outcome(), BackendUnavailableError)
        await store.aclose()


async def test_a_subscription_that_falls_silent_ends(
    store: RedisBackend, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is dead without saying so; one that is only quiet goes on."""
    monkeypatch.setattr(_bus, "QUIET_SECONDS", 0.1)
    ear = Ear(store)
    await ear.wait(store)
    await asyncio.sleep(0.35)
    await store.publish(b"still there")
    await ear.hears()
    assert ear.heard == [b"still there"]
    proxy.freeze()
    assert isinstance(await ear.outcome(), BackendTimeoutError)


async def test_a_subscription_to_nobody_fails_at_once() -> None:
    store = RedisBackend(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(BackendUnavailableError, match="subscribe"):
        await anext(store.subscribe())
    await store.aclose()


async def test_a_subscriber_that_leaves_takes_its_connection_with_it(
    store: RedisBackend, redis_server: RedisServer
) -> None:
    await store.open()
    before = await redis_server.connections()
    ears = [Ear(store) for _ in range(3)]
    for ear in ears:
        await ear.wait(store)
    assert await redis_server.connections() >= before + 3
    for ear in ears:
        await ear.aclose()
    async with asyncio.timeout(5):
        while await redis_server.connections() > before:  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)


async def test_channels_are_apart(store: RedisBackend, redis_server: RedisServer) -> None:
    elsewhere = RedisBackend(redis_server.url, channel="elsewhere")
    ear = Ear(store)
    await ear.wait(store)
    await elsewhere.publish(b"not for us")
    await store.publish(b"for us")
    await ear.hears()
    assert ear.heard == [b"for us"]
    await ear.aclose()
    await elsewhere.aclose()


async def test_a_message_reaches_every_node_of_a_cluster(redis_cluster: Nodes) -> None:
    """Subscribed by one client, whatever node it chose, before it did anything else; published by another."""
    for _ in range(4):
        one, other = RedisBackend(redis_cluster.url), RedisBackend(redis_cluster.url)
        ear = Ear(one)
        await ear.wait(other)
        await other.publish(b"m")
        await ear.hears()
        await ear.aclose()
        await one.aclose()
        await other.aclose()


async def test_health_says_what_an_operator_asks() -> None:
    with redis_process("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu") as server:
        store = RedisBackend(f"redis://127.0.0.1:{server.port}")
        health = await store.health()
        assert (health.healthy, health.backend_type) == (True, "redis")
        assert 0 < health.latency_ms < 10_000
        details = health.details
        assert (details["server"], details["mode"], details["role"]) == ("redis", "standalone", "master")
        assert (details["max_bytes"], details["eviction_policy"]) == (64 * 2**20, "allkeys-lfu")
        assert details["persistence"] == "none"
        async with Redis(port=server.port) as plain:
            assert details["version"] == (await plain.info("server"))["redis_version"]
            for setting, value, word in (("save", "60 1", "rdb"), ("appendonly", "yes", "aof")):
                await plain.config_set(setting, value)
                assert (await store.health()).details["persistence"] == word
        await store.aclose()
        server.kill()  # asked politely it would save first


async def test_health_without_the_right_to_ask(redis_acl: str) -> None:
    store = RedisBackend(redis_acl)
    assert (await store.health()).details["persistence"] == "unknown"
    await store.aclose()


async def test_health_of_a_cluster_is_that_of_all_its_servers(redis_cluster: Nodes) -> None:
    store = RedisBackend(redis_cluster.url)
    details = (await store.health()).details
    assert (details["servers"], details["mode"]) == (3, "cluster")
    await store.aclose()


async def test_there_is_no_health_without_a_server() -> None:
    store = RedisBackend(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(BackendUnavailableError):
        await store.health()
    await store.aclose()


@pytest.mark.parametrize(
    "saving, word", [(None, "unknown"), ([b"save", b""], "none"), ({b"save": b"60 1"}, "rdb")]
)
def test_valkey_is_named(saving: Any, word: str) -> None:
    said = {"redis_version": "7.2.4", "valkey_version": "8.1.0", "used_memory": 5}
    details = describe([said, said], saving)
    assert (details["server"], details["version"], details["bytes"]) == ("valkey", "8.1.0", 10)
    assert details["persistence"] == word
