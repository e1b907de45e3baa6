"""Clients belong to event loops: ours are made for each, a user's serves the one it was first used on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from asynccache.backends.mongodb import MongoDBBackend
from asynccache.errors import BackendUnavailableError, ConfigurationError
from tests.servers.mongo import MongoServer
from tests.servers.proxy import Proxy

GENEROUS = 20.0


def elsewhere(call: Any) -> Any:
    """Return what ``call`` returns on another loop in another thread."""

    async def run() -> Any:
        return await call()

    return asyncio.to_thread(asyncio.run, run())


async def test_two_loops_use_one_store_at_the_same_time(mongo_server: MongoServer) -> None:
    backend = MongoDBBackend(mongo_server.fresh_url(), timeout=GENEROUS, bus=False)

    async def count() -> None:
        await asyncio.gather(*(backend.incr("n") for _ in range(50)))

    await asyncio.gather(count(), elsewhere(count), elsewhere(count))
    assert await backend.get("n") == b"150"
    await backend.aclose()


def test_one_store_serves_loops_one_after_the_other(mongo_server: MongoServer) -> None:
    backend = MongoDBBackend(mongo_server.fresh_url(), timeout=GENEROUS, bus=False)
    for number in range(1, 4):
        assert asyncio.run(backend.incr("n")) == number
    assert asyncio.run(mongo_server.connections()) == 0


@pytest.mark.parametrize("make", [AsyncMongoClient, AsyncIOMotorClient], ids=["PyMongo", "Motor"])
async def test_a_client_of_the_users_serves_one_loop_and_says_so_on_another(
    mongo_server: MongoServer, make: Any
) -> None:
    client = make(mongo_server.url)
    backend = MongoDBBackend(client, database="loops", bus=False)
    await backend.set("k", b"v")
    with pytest.raises(ConfigurationError, match="belongs to another event loop"):
        await elsewhere(lambda: backend.get("k"))
    assert await backend.get("k") == b"v"
    closing = client.close()
    if closing is not None:
        await closing


async def test_a_client_that_served_another_loop_before_is_found_out(mongo_server: MongoServer) -> None:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongo_server.url)
    await client.admin.command("ping")
    backend = MongoDBBackend(client, database="loops", bus=False)
    with pytest.raises(ConfigurationError, match="belongs to another event loop"):
        await elsewhere(lambda: backend.get("k"))
    await client.close()


async def test_a_client_of_the_users_is_not_closed(mongo_server: MongoServer) -> None:
    async with AsyncMongoClient[Any](mongo_server.url) as client:
        backend = MongoDBBackend(client, database="loops", bus=False)
        await backend.open()
        await backend.aclose()
        assert (await client.admin.command("ping"))["ok"] == 1
        assert await backend.set("k", b"v") is True
    with pytest.raises(BackendUnavailableError, match="after close"):
        await backend.get("k")


async def test_motor_carries_out_what_its_caller_has_given_up(mongo_server: MongoServer) -> None:
    async with Proxy(mongo_server.port) as proxy:
        query = "&".join(filter(None, ["directConnection=true", mongo_server.options]))
        client: Any = AsyncIOMotorClient[Any](
            f"mongodb://{mongo_server.userinfo}127.0.0.1:{proxy.port}/?{query}"
        )
        backend = MongoDBBackend(client, database="loops", bus=False)
        await backend.set("given up", b"old")
        proxy.delay = 0.1
        write = asyncio.create_task(backend.set("given up", b"new"))
        await asyncio.sleep(0.05)
        write.cancel()
        await asyncio.wait({write})
        assert write.cancelled()
        async with asyncio.timeout(GENEROUS):
            while await backend.get("given up") != b"new":
                pass
        await asyncio.to_thread(client.close)  # which talks to the server, and blocks


async def test_what_is_under_way_ends_when_the_store_is_closed(mongo_server: MongoServer) -> None:
    backend = MongoDBBackend(mongo_server.fresh_url(), timeout=GENEROUS, bus=False)
    await backend.set("k", b"v")
    async with asyncio.timeout(GENEROUS):
        gets = [asyncio.create_task(backend.get("k")) for _ in range(30)]
        await asyncio.sleep(0)
        await backend.aclose()
        await asyncio.wait(gets)
    for get in gets:
        error = get.exception()
        assert isinstance(error, BackendUnavailableError) if error else get.result() == b"v"
    assert await backend.get("k") == b"v"
    await backend.aclose()
    await backend.aclose()
