"""The bus is a change stream: heard by everyone, lost loudly, and there only where a server has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from asynccache.backends.mongodb import MongoDBBackend
from asynccache.errors import BackendError
from asynccache.protocols import SupportsInvalidationBus
from tests.servers.mongo import MongoServer
from tests.servers.proxy import Proxy

GENEROUS = 20.0


class Ear:
    """Hears what ``bus`` says, once it is in place."""

    def __init__(self, bus: SupportsInvalidationBus) -> None:
        self.heard: list[bytes] = []
        self.task = asyncio.create_task(self._listen(bus.subscribe()))

    async def _listen(self, messages: AsyncIterator[bytes]) -> None:
        async for message in messages:
            if message == b"end":
                return
            if message != b"ready?":
                self.heard.append(message)
            else:
                self.ready = True

    ready = False

    async def placed(self, bus: SupportsInvalidationBus) -> Ear:
        """Publish until something is heard."""
        while not self.ready:
            await bus.publish(b"ready?")
            await asyncio.sleep(0.02)
        return self


def on_bus(where: Any, **options: Any) -> Any:
    backend = MongoDBBackend(where, bus=True, **options)
    assert isinstance(backend, SupportsInvalidationBus)
    return backend


async def test_processes_by_pymongo_and_by_motor_hear_each_other(mongo_replica_set: MongoServer) -> None:
    url = mongo_replica_set.fresh_url()
    motor: Any = AsyncIOMotorClient[Any](mongo_replica_set.url)
    first = on_bus(url, timeout=GENEROUS)
    second = on_bus(motor, database=first._settings.database)
    assert isinstance(MongoDBBackend(motor), SupportsInvalidationBus)
    async with asyncio.timeout(GENEROUS):
        ears = [await Ear(listener).placed(first) for listener in (first, second)]
        for number in range(20):
            await (first, second)[number % 2].publish(b"%d" % number)
        await first.publish(b"end")
        await asyncio.gather(*(ear.task for ear in ears))
    assert [ear.heard for ear in ears] == [[b"%d" % number for number in range(20)]] * 2
    await first.aclose()
    await second.aclose()
    motor.close()


async def test_values_are_no_messages_and_messages_no_values(mongo_replica_set: MongoServer) -> None:
    url = mongo_replica_set.fresh_url()
    backend = on_bus(url, timeout=GENEROUS)
    async with asyncio.timeout(GENEROUS):
        ear = await Ear(backend).placed(backend)
        await backend.set("k", b"v")
        await backend.clear("k")
        async with mongo_replica_set.client() as client:
            bus = client[backend._settings.database]["cache.bus"]
            assert "purge" in await bus.index_information()
            assert all([type(found["purge"]).__name__ == "datetime" async for found in bus.find()])
            await bus.delete_many({})  # what the server does in time
            assert await client[backend._settings.database]["cache"].count_documents({}) == 0
        await backend.publish(b"end")
        await ear.task
    assert ear.heard == []
    await backend.aclose()


async def test_a_lost_connection_is_told_at_once(mongo_replica_set: MongoServer) -> None:
    async with Proxy(mongo_replica_set.port) as proxy:
        url = f"mongodb://127.0.0.1:{proxy.port}/lost?directConnection=true"
        backend = on_bus(url, timeout=GENEROUS)
        async with asyncio.timeout(GENEROUS):
            ear = await Ear(backend).placed(backend)
            proxy.reset()
            with pytest.raises(BackendError):
                await ear.task
        await backend.aclose()


async def test_a_silent_connection_is_told_after_the_timeout(mongo_replica_set: MongoServer) -> None:
    async with Proxy(mongo_replica_set.port) as proxy:
        backend = on_bus(f"mongodb://127.0.0.1:{proxy.port}/lost?directConnection=true", timeout=2)
        async with asyncio.timeout(GENEROUS):
            ear = await Ear(backend).placed(backend)
            proxy.freeze()
            with pytest.raises(BackendError):
                await ear.task
            proxy.thaw()
        await backend.aclose()


async def test_a_dropped_collection_ends_the_subscription(mongo_replica_set: MongoServer) -> None:
    backend = on_bus(mongo_replica_set.fresh_url(), timeout=GENEROUS)
    async with asyncio.timeout(GENEROUS):
        ear = await Ear(backend).placed(backend)
        async with mongo_replica_set.client() as client:
            await client[backend._settings.database]["cache.bus"].drop()
        with pytest.raises(BackendError, match="messages may be missed"):
            await ear.task
    await backend.aclose()


async def test_a_subscriber_that_leaves_leaves_no_cursor(mongo_replica_set: MongoServer) -> None:
    backend = on_bus(mongo_replica_set.fresh_url(), timeout=GENEROUS)
    async with asyncio.timeout(GENEROUS):
        ear = await Ear(backend).placed(backend)
        ear.task.cancel()
        await asyncio.wait({ear.task})
        assert ear.task.cancelled()
        assert await backend.get("k") is None
        await backend.aclose()
        await mongo_replica_set.let_go()


async def test_a_message_is_bytes_and_not_endless(mongo_replica_set: MongoServer) -> None:
    backend = on_bus(mongo_replica_set.fresh_url(), timeout=GENEROUS)
    with pytest.raises(TypeError, match="message must be bytes"):
        await backend.publish("text")
    with pytest.raises(BackendError):
        await backend.publish(b"x" * 17 * 2**20)
    await backend.aclose()


async def test_a_server_without_change_streams_says_so(mongo_with_password: MongoServer) -> None:
    backend = on_bus(mongo_with_password.fresh_url(), timeout=GENEROUS)
    with pytest.raises(BackendError, match=r"\$changeStream"):
        await anext(backend.subscribe())
    await backend.aclose()
