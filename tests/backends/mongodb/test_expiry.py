"""The server's purge is garbage collection: late, and never too early. And the index that it needs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from asynccache._engine.clock import wall_clock
from asynccache.backends.mongodb import MongoDBBackend
from asynccache.errors import BackendError, ConfigurationError
from asynccache.testing import FakeClock
from tests.servers.mongo import MongoServer, mongo_process

if TYPE_CHECKING:
    from tests.backends.mongodb.conftest import Opened
else:
    Opened = Any

TTL_INDEX = {"purge": {"key": {"purge": 1}, "expireAfterSeconds": 0, "sparse": True}}
HOUR = 3600.0


async def indexes(documents: Any) -> dict[str, Any]:
    """Return the collection's indexes, without what they all have."""
    found = await documents.index_information()
    return {
        name: {"key": dict(index.pop("key")), **{k: index[k] for k in index if k != "v"}}
        for name, index in found.items()
        if name != "_id_"
    }


async def test_an_expired_value_is_absent_for_every_operation_though_the_document_is_there(
    opened: Opened,
) -> None:
    backend, clock = opened.backend, opened.clock
    await backend.set("k", b"5", 1.5)
    clock.advance(1.5)
    assert await opened.documents.count_documents({}) == 1
    assert await backend.get("k") is None
    assert await backend.get_many(["k"]) == {}
    assert await backend.exists("k") is False
    assert await backend.touch("k", 60) is False
    assert await backend.delete_many(["k"]) == set()
    assert await opened.documents.count_documents({}) == 0
    await backend.set("k", b"5", 1.5)
    clock.advance(1.5)
    assert await backend.incr("k", 2, ttl=60) == 2
    assert await backend.get("k") == b"2"


async def test_the_last_bit_of_the_clock_decides_and_not_the_milliseconds_of_a_date(opened: Opened) -> None:
    opened.clock.set(4_000_000_000.0)
    await opened.backend.set("k", b"v", 0.0001220703125)
    opened.clock.set(4_000_000_000.0001218)
    assert await opened.backend.get("k") == b"v"
    assert await opened.backend.exists("k") is True
    opened.clock.set(4_000_000_000.0001220703125)
    assert await opened.backend.get("k") is None
    assert await opened.backend.touch("k", 1) is False


async def test_the_server_purges_what_has_expired_and_nothing_else() -> None:
    with mongo_process("--setParameter", "ttlMonitorSleepSecs=1", sweeping=True) as process:
        now = float(round(wall_clock()))
        clock = FakeClock(now - 2 * HOUR)
        backend = MongoDBBackend(f"mongodb://127.0.0.1:{process.port}", clock=clock, timeout=30)
        async with MongoServer(f"127.0.0.1:{process.port}").client() as client:
            documents = client["asynccache"]["cache"]
            await backend.set("expired", b"v", 1)
            await backend.set("live", b"v", HOUR * 3)
            await backend.set("for ever", b"v")
            await backend.set("touched", b"v", 1)
            await backend.touch("touched", HOUR * 3)
            await backend.acquire_lease("lost lease", 1)
            await backend.acquire_lease("long lease", HOUR * 3)
            await backend.set("live, leased", b"v", HOUR * 3)
            await backend.acquire_lease("live, leased", 1)
            await backend.set("for ever, leased", b"v")
            await backend.acquire_lease("for ever, leased", 1)
            await backend.set("expired, leased", b"v", 1)
            token = await backend.acquire_lease("expired, leased", HOUR * 3)
            await backend.set("shortened, leased", b"v", HOUR * 3)
            await backend.acquire_lease("shortened, leased", HOUR * 3)
            await backend.touch("shortened, leased", 1)
            kept = {
                *("live", "live, leased", "for ever", "touched", "long lease", "for ever, leased"),
                *("expired, leased", "shortened, leased"),
            }

            async def left() -> set[str]:
                return {found["_id"] async for found in documents.find()}

            async def passes() -> int:
                return int((await client.admin.command("serverStatus"))["metrics"]["ttl"]["passes"])

            async with asyncio.timeout(60):
                while await left() != kept:  # noqa: ASYNC110 - a server in another process sets no event
                    await asyncio.sleep(0.05)
                enough = await passes() + 2
                while await passes() < enough:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)
            assert await left() == kept
            assert token
            assert await backend.fill("expired, leased", b"v", None, token) is True
        await backend.aclose()


async def test_open_creates_the_index(opened: Opened) -> None:
    assert await indexes(opened.documents) == TTL_INDEX


@pytest.mark.parametrize("how", ["set", "set_many", "add", "incr", "acquire_lease"])
async def test_the_first_write_creates_the_index_where_nobody_opened(
    mongo_server: MongoServer, opened: Opened, how: str
) -> None:
    backend = MongoDBBackend(opened.url, collection=how, bus=False)
    await backend.get("k")
    writes: dict[str, Any] = {
        "set": lambda: backend.set("k", b"v"),
        "set_many": lambda: backend.set_many({"k": b"v"}),
        "add": lambda: backend.add("k", b"v"),
        "incr": lambda: backend.incr("k"),
        "acquire_lease": lambda: backend.acquire_lease("k", 1),
    }
    await asyncio.gather(*(writes[how]() for _ in range(5)))
    assert await indexes(opened.documents.database[how]) == TTL_INDEX
    await backend.aclose()


@pytest.mark.parametrize("options", [{"expireAfterSeconds": 3600}, {}, {"name": "mine"}], ids=str)
async def test_an_index_that_purges_at_another_time_is_corrected(
    opened: Opened, options: dict[str, Any]
) -> None:
    documents: Any = opened.documents.database["indexed"]
    await documents.create_index("purge", **{"name": "purge", **options})
    backend = MongoDBBackend(opened.url, collection="indexed")
    await backend.open()
    assert 0 in [index.get("expireAfterSeconds") for index in (await indexes(documents)).values()]
    assert 3600 not in [index.get("expireAfterSeconds") for index in (await indexes(documents)).values()]
    await backend.aclose()


async def test_an_index_that_cannot_be_corrected_is_named(opened: Opened) -> None:
    documents = opened.documents.database["indexed"]
    await documents.create_index("something else", name="purge")
    backend = MongoDBBackend(opened.url, collection="indexed")
    for call in (backend.open, lambda: backend.set("k", b"v")):
        with pytest.raises(ConfigurationError, match="index of collection 'indexed' on the field purge"):
            await call()
    await backend.aclose()


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"capped": True, "size": 100_000}, "capped"),
        ({"collation": {"locale": "en", "strength": 2}}, "collation"),
        ({"viewOn": "cache", "pipeline": []}, "is a view"),
        ({"timeseries": {"timeField": "t"}}, "is a timeseries"),
    ],
)
async def test_a_collection_that_cannot_hold_a_cache_is_refused(
    opened: Opened, options: dict[str, Any], complaint: str
) -> None:
    await opened.documents.database.create_collection("odd", **options)
    backend = MongoDBBackend(opened.url, collection="odd")
    for call in (backend.open, lambda: backend.set("k", b"v"), lambda: backend.set("k", b"v")):
        with pytest.raises(ConfigurationError, match=complaint):
            await call()
    await backend.aclose()


async def test_without_the_right_to_make_an_index_values_are_stored_all_the_same(
    mongo_with_password: MongoServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with mongo_with_password.client() as client:
        allowed = [
            {
                "resource": {"db": "narrow", "collection": "cache"},
                "actions": ["find", "insert", "update", "remove", "listCollections"],
            },
            {"resource": {"db": "narrow", "collection": ""}, "actions": ["listCollections"]},
        ]
        await client["narrow"].command("createRole", "values only", privileges=allowed, roles=[])
        await client["narrow"].command("createUser", "narrow", pwd="pw", roles=["values only"])
    backend = MongoDBBackend(f"mongodb://narrow:pw@{mongo_with_password.address}/narrow")
    with caplog.at_level(logging.WARNING, "asynccache"):
        await asyncio.gather(*(backend.set(f"k{number}", b"v", 60) for number in range(5)))
    assert await backend.get("k3") == b"v"
    [record] = caplog.records
    assert "expired documents of 'cache' will not be purged" in record.getMessage()
    with pytest.raises(BackendError, match=r"cannot open.*not authorized"):
        await backend.open()
    await backend.aclose()
