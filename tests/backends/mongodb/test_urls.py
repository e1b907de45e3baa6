"""What a URL or a client may say, and what is said of mistakes: never a password."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

import asynccache
from asynccache.backends import from_url
from asynccache.backends.mongodb import MongoDBBackend
from asynccache.backends.mongodb._settings import MAX_VALUE_BYTES
from asynccache.errors import ConfigurationError
from asynccache.protocols import SupportsInvalidationBus

SECRET = "s3cret"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("mongodb://localhost", "mongodb://localhost:27017 asynccache.cache"),
        ("mongodb://localhost/", "mongodb://localhost:27017 asynccache.cache"),
        ("mongodb://localhost/app", "mongodb://localhost:27017 app.cache"),
        ("mongodb://u:s3cret@h:1/app?collection=c", "mongodb://h:1 app.c"),
        ("mongodb://u:s3cret@h:1?collection=c&appName=me", "mongodb://h:1 asynccache.c"),
        ("mongodb://a:1,b:2/app?replicaSet=rs", "mongodb://a:1,b:2 app.cache"),
        ("mongodb://[::1]:5/app", "mongodb://::1:5 app.cache"),
        ("mongodb+srv://u:s3cret@cluster.example/app", "mongodb+srv://cluster.example app.cache"),
        ("mongodb+srv://cluster.example/app?srvMaxHosts=2", "mongodb+srv://cluster.example app.cache"),
        ("MONGODB://localhost", "mongodb://localhost:27017 asynccache.cache"),
    ],
)
def test_a_url_says_where_the_values_are_and_nobody_sees_the_password(url: str, shown: str) -> None:
    for backend in (MongoDBBackend(url), MongoDBBackend.from_url(url), from_url(url)):
        assert repr(backend) == f"<MongoDBBackend {shown}>"


def test_arguments_say_what_the_url_does_not() -> None:
    backend = MongoDBBackend("mongodb://h/app", database="other", collection="c")
    assert repr(backend) == "<MongoDBBackend mongodb://h:27017 other.c>"
    assert asynccache.MongoDBBackend is MongoDBBackend


@pytest.mark.parametrize(
    "url, complaint",
    [
        ("redis://h", "begins with mongodb://"),
        ("mongodb:h", "begins with mongodb://"),
        ("mongodb://", "malformed MongoDB URL"),
        ("mongodb:///app", "malformed MongoDB URL"),
        ("mongodb://u:s3cret@h:port", "malformed MongoDB URL"),
        ("mongodb://u:s3cret@x@h", "malformed MongoDB URL"),
        ("mongodb://u:s3cret/x@h", "malformed MongoDB URL"),
        ("mongodb://u:s3cret%zz@h", "malformed MongoDB URL"),
        ("mongodb://h,,i", "malformed MongoDB URL"),
        ("mongodb://a,b/?directConnection=true", "malformed MongoDB URL"),
        ("mongodb+srv://a:5/", "one host name without a port"),
        ("mongodb+srv://a,b/", "one host name without a port"),
        ("mongodb://h/?colection=c", "unknown or malformed option 'colection'.*collection, timeout"),
        ("mongodb://h/?timeoutMS=s3cret", "unknown or malformed option 'timeoutMS'"),
        ("mongodb://h/?authMechanismProperties=s3cret", "unknown or malformed option 'authMech"),
        ("mongodb://h/?appName", "unknown or malformed option 'appName'|malformed MongoDB URL"),
        ("mongodb://h/?timeoutMS=1&timeoutms=2", "given twice"),
        ("mongodb://h/?collection=a&collection=b", "given twice"),
        ("mongodb://h/?collection=", "collection must be a name"),
        ("mongodb://h/?collection=system.users", "collection must be a name"),
        ("mongodb://h/?collection=a$b", "collection must be a name"),
        ("mongodb://h/?collection=a.bus", "collection must be a name"),
        ("mongodb://h/?timeout=soon", "timeout must be a positive number"),
        ("mongodb://h/?timeout=0", "timeout must be"),
        ("mongodb://h/?connect_timeout=nan", "connect_timeout must be"),
        ("mongodb://h/?max_value_bytes=17mib", "max_value_bytes must be at most"),
        ("mongodb://h/?max_value_bytes=lots", "max_value_bytes must be a size"),
        ("mongodb://h/?bus=yes", "bus must be true or false"),
        ("mongodb://h/a.b", "as an option: \\?collection="),
        ("mongodb://h/?w=0", "w=0 hides"),
    ],
)
def test_mistakes_in_a_url_are_named_without_the_password(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        MongoDBBackend.from_url(url)
    error: BaseException | None = caught.value
    assert error is not None
    assert SECRET not in f"{error!r}{error.__cause__!r}"


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"colection": "c"}, "unknown option 'colection'"),
        ({"collection": 5}, "collection must be"),
        ({"database": ""}, "database must be"),
        ({"database": "a b"}, "database must be"),
        ({"database": "d" * 64}, "database must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"connect_timeout": float("inf")}, "connect_timeout must be"),
        ({"max_value_bytes": 0}, "max_value_bytes must be"),
        ({"max_value_bytes": MAX_VALUE_BYTES + 1}, "max_value_bytes must be at most"),
        ({"bus": "true"}, "bus must be"),
        ({"clock": 5}, "clock must be callable"),
    ],
)
def test_mistakes_in_arguments_are_named(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        MongoDBBackend.from_url("mongodb://h", **options)


def test_an_option_is_given_in_one_place() -> None:
    with pytest.raises(ConfigurationError, match="collection is given twice"):
        MongoDBBackend("mongodb://h?collection=a", collection="b")


@pytest.mark.parametrize(
    "url, bus, offered",
    [
        ("mongodb://h", None, False),
        ("mongodb://h", True, True),
        ("mongodb://h/?bus=true", None, True),
        ("mongodb://h/?replicaSet=rs", None, True),
        ("mongodb://h/?replicaset=rs", None, True),
        ("mongodb://h/?replicaSet=rs", False, False),
        ("mongodb+srv://h", None, True),
        ("mongodb+srv://h/?bus=false", None, False),
    ],
)
def test_the_bus_is_offered_where_there_can_be_one(url: str, bus: bool | None, offered: bool) -> None:
    backend = MongoDBBackend(url, bus=bus)
    assert isinstance(backend, SupportsInvalidationBus) is offered
    assert isinstance(backend, MongoDBBackend)


async def test_timeouts_of_the_url_stand() -> None:
    backend = MongoDBBackend("mongodb://h/?timeoutMS=77&serverSelectionTimeoutMS=88", timeout=5)
    make = backend._settings.new_client
    assert make is not None
    client: AsyncMongoClient[Any] = make()
    assert client.options.timeout == 0.077
    assert client.options.server_selection_timeout == 0.088
    assert client.options.pool_options.connect_timeout == 1.0
    await client.close()


def test_objects_that_are_no_client_are_refused() -> None:
    synchronous: MongoClient[Any] = MongoClient("h", connect=False)
    with synchronous, pytest.raises(ConfigurationError, match="MongoClient is synchronous"):
        MongoDBBackend(synchronous)
    for other in (None, 5, b"mongodb://h", object()):
        with pytest.raises(ConfigurationError, match="expected a URL, an AsyncMongoClient"):
            MongoDBBackend(other)


async def test_a_client_says_what_it_is_and_keeps_its_timeouts() -> None:
    async with AsyncMongoClient[Any]("h", replicaSet="rs", connect=False) as client:
        backend = MongoDBBackend(client, collection="c")
        assert repr(backend) == "<MongoDBBackend AsyncMongoClient asynccache.c>"
        assert isinstance(backend, SupportsInvalidationBus)
        with pytest.raises(ConfigurationError, match="timeout belongs to the client"):
            MongoDBBackend(client, timeout=1)
    async with AsyncMongoClient[Any]("h", w=0, connect=False) as careless:
        with pytest.raises(ConfigurationError, match="w=0 hides"):
            MongoDBBackend(careless)


def test_making_one_does_no_work_and_needs_no_loop() -> None:
    backend = MongoDBBackend("mongodb://127.0.0.1:1")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert backend._server._links._links.everywhere() == []
