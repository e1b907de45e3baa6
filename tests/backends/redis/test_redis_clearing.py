"""Clearing: what it removes, what it leaves, and what may not come back."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster

from asynccache import RedisBackend
from asynccache.backends.redis import _removing
from asynccache.backends.redis._keys import lease_key
from tests.servers.redis import Nodes, RedisServer


@pytest_asyncio.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisBackend]:
    store = RedisBackend(redis_server.fresh_url())
    yield store
    await store.aclose()


@pytest_asyncio.fixture
async def plain(store: RedisBackend, redis_server: RedisServer) -> AsyncIterator[Redis]:
    database = int(repr(store).rstrip(">").rpartition("/")[2])
    async with Redis(host=redis_server.host, port=redis_server.port, db=database) as client:
        yield client


async def foreign(plain: Any, mark: str) -> dict[bytes, object]:
    """Write what other applications might have, near our prefix and far from it, and tell what it is."""
    await plain.set(f"{mark}", b"the prefix without its end")
    await plain.set(b"\xff\xfe" + mark.encode(), b"binary")
    await plain.rpush(f"other:{mark}:", "a", "b")
    await plain.hset(f"x{mark}:", mapping={"f": "1"})
    return await everything(plain)


async def everything(plain: Any) -> dict[bytes, object]:
    return {key: await plain.dump(key) async for key in plain.scan_iter()}


async def test_what_others_keep_survives(store: RedisBackend, plain: Redis) -> None:
    before = await foreign(plain, "ours")
    await store.set_many({f"ours:{number}": b"v" for number in range(300)}, 60)
    for number in range(0, 600, 7):
        await store.acquire_lease(f"ours:{number}", 60)
    await store.clear("ours:")
    assert await everything(plain) == before


async def test_everything_under_the_prefix_goes_whatever_it_is(store: RedisBackend, plain: Redis) -> None:
    await plain.rpush("p:list", "a")
    await plain.set(b"p:\xff\xfe\x00", b"binary")
    await plain.set(b"p:\x80", b"binary")
    await plain.set(lease_key(b"p:k"), b"token")
    await plain.set(lease_key(lease_key(b"p:k")), b"?")
    await store.clear("p:")
    assert await plain.keys() == []


async def test_a_lease_of_no_value_is_void(store: RedisBackend) -> None:
    token = await store.acquire_lease("p:k", 60)
    assert token is not None
    await store.clear("p:")
    assert await store.fill("p:k", b"outdated", None, token) is False


async def test_a_fill_during_a_clear_does_not_survive_it(
    store: RedisBackend, plain: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its computation began before the clear. Where the scan has been already it would not be found again."""
    monkeypatch.setattr(_removing, "_STEP", 16)
    for turn in range(10):
        keys = [f"p:{turn}:{number}" for number in range(60)]
        tokens = [await store.acquire_lease(key, 60) for key in keys]
        clearing = asyncio.create_task(store.clear("p:"))
        for key, token in zip(keys, tokens, strict=True):
            assert token is not None
            await store.fill(key, b"outdated", None, token)
        await clearing
        late = [
            await store.fill(key, b"outdated", None, token or "")
            for key, token in zip(keys, tokens, strict=True)
        ]
        assert not any(late)
        assert await plain.keys() == []


async def test_a_clear_blocks_nobody_for_long(store: RedisBackend, plain: Redis) -> None:
    """It never asks for KEYS or FLUSHDB, and removes in the background what is large."""
    await store.set_many({f"p:{number}": b"v" for number in range(9000)})
    await plain.config_resetstat()
    await store.clear("p:")
    stats: dict[str, Any] = await plain.info("commandstats")
    assert not {"cmdstat_keys", "cmdstat_flushdb", "cmdstat_flushall", "cmdstat_del"} & stats.keys()
    assert stats["cmdstat_scan"]["calls"] >= 4
    assert await plain.dbsize() == 0


async def test_a_clear_reaches_every_primary_of_a_cluster(redis_cluster: Nodes) -> None:
    async with RedisCluster.from_url(f"redis://127.0.0.1:{redis_cluster.primaries[0].port}") as plain:
        await plain.flushall()
        before = await foreign(plain, "ours")
        store = RedisBackend(redis_cluster.url)
        await store.set_many({f"ours:{number}": b"v" for number in range(200)})
        tokens = {f"ours:{number}": await store.acquire_lease(f"ours:{number}", 60) for number in range(250)}
        assert all(tokens.values())
        await plain.set(b"ours:\xff{}", b"binary")
        await store.clear("ours:")
        assert await everything(plain) == before
        for key, token in tokens.items():
            assert await store.fill(key, b"outdated", None, token or "") is False
        await store.aclose()
        await plain.flushall()
