"""TLS, users, sockets, sentinels, clusters, and clients of the user's own."""

# redis-py is typed in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel

from asynccache import RedisBackend
from asynccache.errors import BackendUnavailableError, ConfigurationError
from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsLifecycle,
    SupportsMany,
    SupportsTouch,
)
from tests.servers.proxy import Proxy
from tests.servers.redis import Nodes, RedisServer, TLSServer, Watched


def test_it_can_do_everything() -> None:
    store = RedisBackend("redis://nowhere")
    for protocol in (
        CacheBackendProtocol,
        SupportsAdd,
        SupportsClear,
        SupportsExists,
        SupportsHealth,
        SupportsIncrement,
        SupportsInvalidationBus,
        SupportsLeases,
        SupportsLifecycle,
        SupportsMany,
        SupportsTouch,
    ):
        assert isinstance(store, protocol)


async def first_message(store: RedisBackend) -> bytes:
    async with aclosing(store.subscribe()) as messages:
        return await anext(messages)


async def exercise(store: RedisBackend) -> None:
    """Use every command once, and hear what is published."""
    await store.open()
    await store.clear("p:")
    heard = asyncio.create_task(first_message(store))
    assert await store.set("p:a", b"1", 60) is True
    assert await store.get("p:a") == b"1"
    assert await store.add("p:a", b"2") is False
    assert await store.exists("p:a") is True
    assert await store.touch("p:a", 30) is True
    assert await store.touch("p:a", None) is True
    assert await store.touch("p:b", None) is False
    assert await store.incr("p:n", 2, initial=5, ttl=60) == 7
    assert await store.incr("p:n", -8) == -1
    values = {f"p:{number}": b"v" for number in range(50)}
    assert await store.set_many(values) == set()
    assert await store.get_many([*values, "p:absent"]) == values
    assert await store.delete_many(["p:1", "p:2", "p:absent"]) == {"p:1", "p:2"}
    token = await store.acquire_lease("p:l", 60)
    assert token is not None
    await store.release_lease("p:l", token)
    token = await store.acquire_lease("p:l", 60)
    assert token is not None
    assert await store.fill("p:l", b"v", 60, token) is True
    await store.clear("p:")
    assert await store.get_many([*values, "p:a", "p:n", "p:l"]) == {}
    while not heard.done():
        await store.publish(b"\x00\xff")
        await asyncio.sleep(0.005)
    assert heard.result() == b"\x00\xff"
    health = await store.health()
    assert health.healthy
    await store.aclose()


async def test_tls(redis_tls: TLSServer) -> None:
    await exercise(RedisBackend(redis_tls.url))


async def test_a_certificate_is_checked(redis_tls: TLSServer) -> None:
    """An authority nobody vouched for, and a host that the certificate does not name."""
    wrong = redis_tls.url.replace("localhost", "127.0.0.1")
    for url in (f"rediss://localhost:{redis_tls.port}", wrong):
        store = RedisBackend(url)
        with pytest.raises(BackendUnavailableError, match="certificate"):
            await store.open()
        await store.aclose()
    await exercise(RedisBackend(f"{wrong}&ssl_check_hostname=false"))


async def test_a_user_with_no_more_rights_than_are_documented(redis_acl: str) -> None:
    await exercise(RedisBackend(redis_acl))


async def test_credentials_beside_the_url(redis_acl: str) -> None:
    host = redis_acl.rpartition("@")[2]
    await exercise(RedisBackend(f"redis://{host}", username="app", password="s3cr%t/:"))


async def test_a_socket(redis_socket: str) -> None:
    await exercise(RedisBackend(redis_socket))
    path = redis_socket.partition("://")[2].partition("?")[0]
    async with Redis(unix_socket_path=path, db=2) as plain:
        await plain.set("k", b"in database 2")
    store = RedisBackend(redis_socket)
    assert await store.get("k") == b"in database 2"
    await store.aclose()


async def test_a_cluster_and_keys_on_all_its_slots(redis_cluster: Nodes) -> None:
    await exercise(RedisBackend(redis_cluster.url))


async def test_keys_of_one_slot_are_read_by_one_command(redis_cluster: Nodes) -> None:
    store = RedisBackend(redis_cluster.url)
    values = {"{tag}" + f"{number}": b"v" for number in range(600)}
    assert await store.set_many(values) == set()
    async with RedisCluster.from_url(f"redis://127.0.0.1:{redis_cluster.primaries[0].port}") as plain:
        await plain.config_resetstat(target_nodes=RedisCluster.ALL_NODES)
        assert await store.get_many(list(values)) == values
        calls = 0
        for info in (await plain.info("commandstats", target_nodes=RedisCluster.ALL_NODES)).values():
            calls += info.get("cmdstat_mget", {}).get("calls", 0)
            assert "cmdstat_get" not in info
    assert calls == 3
    await store.clear("{tag}")
    await store.aclose()


async def own_clients(
    server: RedisServer, cluster: Nodes, watched: Watched
) -> AsyncIterator[Redis | RedisCluster]:
    yield Redis.from_url(server.fresh_url())
    yield Redis.from_url(server.fresh_url(), protocol=3, max_connections=3)
    yield Redis.from_url(server.fresh_url(), protocol=2)
    yield Redis.from_pool(BlockingConnectionPool.from_url(server.fresh_url(), max_connections=2))
    yield RedisCluster.from_url(f"redis://127.0.0.1:{cluster.primaries[1].port}")
    sentinel = Sentinel([("127.0.0.1", watched.sentinel.port)])  # type: ignore[no-untyped-call]  # the driver's
    yield sentinel.master_for("themaster")
    await sentinel.aclose()


async def test_clients_of_the_users_own(
    redis_server: RedisServer, redis_cluster: Nodes, redis_sentinel: Watched
) -> None:
    """All kinds, with the driver's defaults. They are never closed by us, and their pools do not overflow."""
    async for client in own_clients(redis_server, redis_cluster, redis_sentinel):
        store = RedisBackend(client)
        await exercise(store)
        assert len(await asyncio.gather(*(store.incr("n") for _ in range(300)))) == 300
        await store.aclose()
        connection: Any = client.get_node_from_key("n") if isinstance(client, RedisCluster) else None
        pool = connection._connections if connection else client.connection_pool._available_connections  # type: ignore[union-attr]
        assert any(one.is_connected for one in pool), "it was closed"
        assert await client.get("n") == b"300"
        await client.delete("n")
        await client.aclose()


async def test_a_users_client_has_one_loop(redis_server: RedisServer) -> None:
    client = Redis.from_url(redis_server.fresh_url())
    store = RedisBackend(client)
    await store.set("k", b"v")

    async def elsewhere() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await store.get("k")

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert await store.get("k") == b"v"
    await client.aclose()


def test_a_users_client_may_have_one_loop_after_the_other(redis_server: RedisServer) -> None:
    client = Redis.from_url(redis_server.fresh_url())
    store = RedisBackend(client)

    async def use() -> None:
        assert await store.set("k", b"v")
        await client.aclose()

    for _ in range(2):
        asyncio.run(use())


def test_every_loop_has_connections_of_its_own_and_closes_them(redis_server: RedisServer) -> None:
    """Nobody calls `aclose` here: a warning about an open connection would be an error."""
    store = RedisBackend(redis_server.fresh_url())

    async def use() -> bytes | None:
        await asyncio.gather(*(store.set(f"k{number}", b"v") for number in range(5)))
        return await store.get("k1")

    assert [asyncio.run(use()) for _ in range(3)] == [b"v"] * 3


async def test_a_cluster_in_which_nobody_answers(redis_cluster: Nodes) -> None:
    async with Proxy(redis_cluster.primaries[0].port) as proxy:
        proxy.refuse = True
        store = RedisBackend(f"redis+cluster://127.0.0.1:{proxy.port}")
        for call in (
            store.open,
            lambda: store.get("k"),
            lambda: store.get_many(["k"]),
            lambda: store.clear("k"),
        ):
            with pytest.raises(BackendUnavailableError):
                await call()
        proxy.refuse = False
        assert await store.get("never") is None
        await store.aclose()


async def test_sentinels_that_know_of_no_master(redis_sentinel: Watched) -> None:
    store = RedisBackend(redis_sentinel.url.replace("themaster", "unknown"))
    with pytest.raises(BackendUnavailableError, match="knows a master of 'unknown'"):
        await store.open()
    await store.aclose()


async def test_silent_sentinels_cost_nothing_while_one_answers(redis_sentinel: Watched) -> None:
    port = redis_sentinel.sentinel.port
    async with Proxy(port) as silent:
        silent.freeze()
        hosts = f"127.0.0.1:{silent.port},127.0.0.1:{silent.port},127.0.0.1:{port}"
        store = RedisBackend(f"redis+sentinel://{hosts}/themaster", timeout=20)
        async with asyncio.timeout(2):
            await store.set("k", b"v")
            assert await store.get("k") == b"v"
        await store.aclose()
