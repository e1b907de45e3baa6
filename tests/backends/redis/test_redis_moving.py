"""Masters that change, slots that move: the store follows, within the deadline of the guard."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from asynccache import Cache, CacheConfig, GuardConfig, RedisBackend
from asynccache._engine.clock import stopwatch
from asynccache._engine.guard import Guard
from asynccache.backends.redis._keys import slot
from asynccache.errors import BackendError, BackendUnavailableError
from tests.servers.redis import Nodes, Watched, clustered, watched

QUICK = GuardConfig(timeout=0.25, breaker_failures=5, breaker_seconds=0.05)


@pytest.fixture
def group() -> Iterator[Watched]:
    with watched() as group:
        yield group


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with clustered(replicas=True) as nodes:
        yield nodes


async def eventually(works: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await works():  # noqa: ASYNC110 - servers do not tell when they have agreed
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_sentinels_name_another_master(group: Watched, how: str) -> None:
    """The old one dead, or silent, which no connection notices: every call is cut off by the guard."""
    async with Cache(CacheConfig(backend=RedisBackend(group.url), guard=QUICK)) as cache:
        assert await cache.set("k", 1)
        getattr(group.master, how)()

        async def works() -> bool:
            await cache.set("k", 2)
            return bool(await cache.get("k") == 2)  # what failed before is owed a delete first

        await eventually(works)
        async with Redis(port=group.replica.port) as plain:
            assert await plain.dbsize() >= 1


async def test_a_sentinel_with_outdated_news_is_not_believed(group: Watched) -> None:
    """A server that says of itself that it is a replica is not read from."""
    async with Redis(port=group.replica.port) as plain, Redis(port=group.sentinel.port) as sentinel:
        commands: Any = sentinel
        await commands.execute_command("SENTINEL", "REMOVE", "themaster")
        port = group.replica.port
        await commands.execute_command("SENTINEL", "MONITOR", "themaster", "127.0.0.1", port, 1)
        store = RedisBackend(group.url)
        for call in (store.get("k"), store.open()):
            with pytest.raises(BackendUnavailableError, match="not the master"):
                await call
        assert await plain.dbsize() == 0
        await store.aclose()


class Moving:
    """A slot on its way from one node to another, of which only these two are told."""

    def __init__(self, number: int, source: Any, target: Any) -> None:
        self.number = number
        self.source = source
        self.target = target

    async def begin(self) -> None:
        old = await self.source.execute_command("CLUSTER MYID")
        new = await self.target.execute_command("CLUSTER MYID")
        await self.target.execute_command("CLUSTER SETSLOT", self.number, "IMPORTING", old)
        await self.source.execute_command("CLUSTER SETSLOT", self.number, "MIGRATING", new)

    async def move(self, keys: list[str | bytes]) -> None:
        port = self.target.connection_pool.connection_kwargs["port"]
        await self.source.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "REPLACE", "KEYS", *keys)

    async def end(self) -> None:
        new = await self.target.execute_command("CLUSTER MYID")
        if keys := await self.source.execute_command("CLUSTER GETKEYSINSLOT", self.number, 1000):
            await self.move(keys)
        for client in (self.target, self.source):
            await client.execute_command("CLUSTER SETSLOT", self.number, "NODE", new)


async def test_slots_that_move_are_followed(redis_cluster: Nodes) -> None:
    """While one moves, with many connections open, reads find everything, and writes wait for its arrival."""
    ports = [node.port for node in redis_cluster.primaries]
    number = slot(b"{a}")
    at = number // 5462  # slots are dealt out in thirds
    async with Redis(port=ports[at]) as source, Redis(port=ports[at - 1]) as target:
        moving = Moving(number, source, target)
        store = RedisBackend(redis_cluster.url, timeout=10)
        values = {f"{{a}}{n}": b"%d" % n for n in range(20)}
        others = {f"{{{n}}}": b"v" for n in range(50)}

        async def read() -> None:
            assert await asyncio.gather(*(store.get(key) for key in values)) == list(values.values())
            assert await store.get_many(list(values)) == values
            assert await store.get_many(list(values | others)) == values | others

        async def write() -> None:
            assert await store.set_many(values | others) == set()
            assert (
                await asyncio.gather(*(store.set(key, value) for key, value in values.items())) == [True] * 20
            )
            before = await store.incr("{a}counter")
            assert await store.incr("{a}counter") == before + 1
            assert await store.delete("{a}counter") is True

        await write()
        await read()
        await moving.begin()
        await read()
        await moving.move(["{a}3", "{a}5"])
        await read()
        writing = asyncio.create_task(write())
        await asyncio.sleep(0.05)
        await moving.end()
        await writing
        await read()
        await Moving(number, target, source).begin()
        await Moving(number, target, source).end()  # back, for other tests
        await write()
        await read()
        await store.aclose()


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_replica_takes_over_a_primarys_slots(nodes: Nodes, how: str) -> None:
    """Dead, or silent so that every call is cut off by the guard: the other shards go on, then all do."""
    lost = nodes.primaries[0]
    store = RedisBackend(nodes.url, timeout=4)  # it may ask the silent one, once, where the slots are
    guarded = Guard(store, stopwatch, timeout=0.25, breaker_failures=100_000)
    await guarded.open()
    keys = [f"k{number}" for number in range(60)]
    theirs = [key for key in keys if slot(key.encode()) < 5461]
    ours = [key for key in keys if key not in theirs]
    await store.set_many(dict.fromkeys(keys, b"v"))
    await asyncio.gather(*(store.get(key) for key in keys))
    getattr(lost, how)()
    assert await asyncio.gather(*(store.get(key) for key in ours)) == [b"v"] * len(ours)

    async def works() -> bool:
        assert await store.get(ours[0]) == b"v"
        try:
            await guarded.set(theirs[0], b"new")
            return await guarded.get(theirs[0]) == b"new"  # what failed before is owed a delete first
        except BackendError:
            return False

    await eventually(works)
    assert len(await store.get_many(ours)) == len(ours)
    await guarded.aclose()


async def test_what_is_left_of_a_cluster_is_read(nodes: Nodes) -> None:
    for node in (*nodes.replicas, nodes.primaries[0]):
        node.kill()
    store = RedisBackend(nodes.url)
    keys = [f"k{number}" for number in range(60)]
    ours = [key for key in keys if slot(key.encode()) >= 5461]
    lost = [key for key in keys if key not in ours]
    assert await store.set_many(dict.fromkeys(ours, b"v")) == set()
    assert await store.get_many(keys) == dict.fromkeys(ours, b"v")
    for call in (store.get(lost[0]), store.get_many(lost), store.set_many({lost[0]: b"v"}), store.clear("k")):
        with pytest.raises(BackendUnavailableError):
            await call
    await store.aclose()
