"""What goes wrong on the server, injected there, and what callers see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from bson.errors import InvalidBSON
from pymongo import errors as driver

from asynccache.backends.mongodb import MongoDBBackend
from asynccache.backends.mongodb._failures import failure
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    CacheError,
    ConfigurationError,
)
from tests.servers.mongo import MongoServer, mongo_process

if TYPE_CHECKING:
    from tests.backends.mongodb.conftest import Opened
else:
    Opened = Any


@pytest.mark.parametrize(
    "error, kind",
    [
        (driver.AutoReconnect("reset"), BackendUnavailableError),
        (driver.NotPrimaryError("stepped down"), BackendUnavailableError),
        (driver.ServerSelectionTimeoutError("nobody"), BackendUnavailableError),
        (driver.InvalidOperation("closed"), BackendUnavailableError),
        (driver.ConfigurationError("no such name"), BackendUnavailableError),
        (driver.OperationFailure("who?", 18), BackendUnavailableError),
        (ConnectionResetError("reset"), BackendUnavailableError),
        (driver.NetworkTimeout("late"), BackendTimeoutError),
        (driver.WaitQueueTimeoutError("queue"), BackendTimeoutError),
        (driver.ExecutionTimeout("late", 50), BackendTimeoutError),
        (driver.WTimeoutError("late", 64), BackendTimeoutError),
        (driver.OperationFailure("no", 13), BackendError),
        (driver.OperationFailure("disk full", 14031), BackendError),
        (driver.DocumentTooLarge("big"), BackendError),
        (InvalidBSON("odd"), BackendError),
        (RuntimeError("odd"), BackendError),
        (RuntimeError("Cannot use AsyncMongoClient in different event loop"), ConfigurationError),
    ],
    ids=repr,
)
def test_every_exception_of_the_driver_is_one_of_ours(error: Exception, kind: type[CacheError]) -> None:
    mapped = failure(error, "the key")
    assert type(mapped) is kind
    if isinstance(mapped, BackendError):
        assert mapped.backend == "mongodb"
        assert mapped.key == "the key"


def test_a_failure_is_told_in_one_line() -> None:
    error = driver.OperationFailure("no", 13, {"ok": 0, "secret": "s3cret"})
    assert str(failure(error, "k")) == "mongodb: OperationFailure: no (key 'k')"


@asynccontextmanager
async def failing(server: MongoServer, commands: list[str], times: int, **how: Any) -> AsyncGenerator[None]:
    """Let the next ``times`` of ``commands`` that the store under test sends fail."""
    async with server.client() as client:
        data = {"failCommands": commands, "appName": "asynccache", **how}
        await client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)
        try:
            yield
        finally:
            await client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture(scope="module")
def server() -> Any:
    """Give a server that lets tests inject failures."""
    with mongo_process() as process:
        yield MongoServer(f"127.0.0.1:{process.port}")


@pytest.fixture
async def backend(server: MongoServer) -> AsyncIterator[MongoDBBackend]:
    backend = MongoDBBackend(server.fresh_url(), timeout=30)
    await backend.open()
    yield backend
    await backend.aclose()


async def test_an_insert_that_another_client_won_is_decided_again(
    server: MongoServer, backend: MongoDBBackend
) -> None:
    duplicate = {"errorCode": 11000, "errorExtraInfo": {"keyPattern": {"_id": 1}, "keyValue": {"_id": "k"}}}
    async with failing(server, ["findAndModify", "update"], 2, **duplicate):
        assert await backend.incr("k") == 1
    async with failing(server, ["findAndModify", "update"], 2, **duplicate):
        assert await backend.set("k", b"v") is True
    assert await backend.get("k") == b"v"
    async with failing(server, ["findAndModify"], 100, **duplicate):
        with pytest.raises(BackendError, match="DuplicateKeyError"):
            await backend.add("k", b"v")


@pytest.mark.parametrize(
    "how, kind", [({"closeConnection": True}, BackendUnavailableError), ({"errorCode": 8000}, BackendError)]
)
async def test_an_error_of_the_server_is_raised_and_the_store_goes_on(
    server: MongoServer, backend: MongoDBBackend, how: dict[str, Any], kind: type[BackendError]
) -> None:
    await backend.set_many({"k": b"v", "other": b"v"})
    calls: list[tuple[str, Any]] = [
        ("find", lambda: backend.get("k")),
        ("find", lambda: backend.get_many(["k", "l"])),
        ("find", lambda: backend.exists("k")),
        ("update", lambda: backend.set("k", b"v")),
        ("update", lambda: backend.set_many({"k": b"v", "l": b"v"})),
        ("update", lambda: backend.touch("k", 5)),
        ("findAndModify", lambda: backend.incr("n")),
        ("findAndModify", lambda: backend.add("k", b"v")),
        ("findAndModify", lambda: backend.delete("other")),
        ("delete", lambda: backend.delete_many(["other"])),
        ("delete", lambda: backend.clear("other")),
        ("ping", backend.health),
    ]
    if kind is BackendUnavailableError:  # after which the driver looks for its server, half a second each
        calls = [calls[0], calls[3], calls[6]]
    for command, call in calls:
        async with failing(server, [command], 1, **how):
            with pytest.raises(BackendError) as caught:
                await call()
        assert type(caught.value) is kind
        assert isinstance(caught.value.__cause__, driver.PyMongoError)
    assert await backend.get("k") == b"v"


async def test_a_write_whose_answer_is_lost_is_not_repeated(
    server: MongoServer, backend: MongoDBBackend
) -> None:
    await backend.incr("n")
    async with failing(server, ["findAndModify"], 1, closeConnection=True):
        with pytest.raises(BackendUnavailableError):
            await backend.incr("n")
    assert await backend.incr("n") == 2


async def test_a_write_that_is_less_safe_than_asked_for_is_a_failed_one(
    server: MongoServer, backend: MongoDBBackend
) -> None:
    unsafe = {"code": 64, "errmsg": "waiting for replication", "errInfo": {"wtimeout": True}}
    async with failing(server, ["update", "findAndModify", "delete"], 3, writeConcernError=unsafe):
        for call in (lambda: backend.set("k", b"v"), lambda: backend.incr("n"), lambda: backend.clear("k")):
            with pytest.raises(BackendTimeoutError, match="not as safely as w asks"):
                await call()


async def test_more_members_than_there_are_cannot_acknowledge(mongo_replica_set: MongoServer) -> None:
    url = mongo_replica_set.fresh_url()
    backend = MongoDBBackend(f"{url}&w=2&wtimeoutMS=100", timeout=30)
    with pytest.raises(BackendError, match="not as safely as w asks"):
        await backend.set("k", b"v")
    await backend.aclose()
    backend = MongoDBBackend(f"{url}&w=majority", timeout=30)
    assert await backend.set("k", b"v") is True
    await backend.aclose()


async def test_reads_ask_the_primary_whatever_the_url_prefers(mongo_replica_set: MongoServer) -> None:
    backend = MongoDBBackend(f"{mongo_replica_set.fresh_url()}&readPreference=secondary", timeout=30)
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    assert await backend.get_many(["k"]) == {"k": b"v"}
    health = await backend.health()
    assert health.details["topology"] == "rs"
    await backend.aclose()


async def test_a_password_lets_in(mongo_with_password: MongoServer) -> None:
    backend = MongoDBBackend(mongo_with_password.fresh_url(), timeout=30)
    await backend.open()
    await backend.set("k", b"v")
    assert await backend.get("k") == b"v"
    await backend.clear("k")
    assert (await backend.health()).healthy
    await backend.aclose()


@pytest.mark.parametrize("userinfo", ["", "cache+user:wr0ng@", "stranger:wr0ng@"])
async def test_no_password_or_a_wrong_one_is_a_clear_error(
    mongo_with_password: MongoServer, userinfo: str
) -> None:
    url = f"mongodb://{userinfo}{mongo_with_password.address}/?authSource=admin"
    backend = MongoDBBackend(url, timeout=0.5)
    for call in (backend.open, lambda: backend.get("k"), lambda: backend.set("k", b"v")):
        with pytest.raises(BackendError, match=r"Authentication failed|requires authentication") as caught:
            await call()
        assert "wr0ng" not in f"{caught.value!r}{caught.value.__cause__!r}"
    with pytest.raises(BackendUnavailableError):
        await backend.open()
    await backend.aclose()


@pytest.mark.parametrize("how", ["add", "acquire_lease", "incr"])
async def test_of_racers_on_an_expired_document_exactly_one_wins(opened: Opened, how: str) -> None:
    backend = opened.backend
    for round_ in range(10):
        key = f"{round_}"
        await backend.set(key, b"7", 1)
        await backend.acquire_lease(key, 1)
        opened.clock.advance(1)
        if how == "incr":
            counts = await asyncio.gather(*(backend.incr(key) for _ in range(12)))
            assert sorted(counts) == list(range(1, 13))
        elif how == "add":
            assert sum(await asyncio.gather(*(backend.add(key, b"%d" % n) for n in range(12)))) == 1
        else:
            tokens = await asyncio.gather(*(backend.acquire_lease(key, 9) for _ in range(12)))
            assert len([token for token in tokens if token]) == 1
