"""The suites over MongoDB: by PyMongo and by Motor on a single server; and on a replica set, for the bus.

What Motor and replica sets could do otherwise shows in the suites named here; the wrappers and the seals know
neither.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from motor.motor_asyncio import AsyncIOMotorClient

from asynccache._engine.clock import Clock
from asynccache.backends.mongodb import MongoDBBackend
from asynccache.protocols import CacheBackendProtocol
from tests.conformance.store_suites import PATIENT, Bare, OnCache, OnSealedCache, StoreSuite, Wrapped
from tests.servers.mongo import MongoServer


class Mongo(StoreSuite):
    max_value_bytes: int | None = 2 * 2**20
    """A limit of the test's: the store's own, near 16 MiB, has a test by itself."""
    persistent: bool | None = True

    def open_on(self, where: Any, clock: Clock, **options: Any) -> MongoDBBackend:
        return MongoDBBackend(
            where, database="conformance", max_value_bytes=self.max_value_bytes, clock=clock, **options
        )


class PyMongo(Mongo):
    store: ClassVar[str] = "MongoDB (PyMongo)"

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        server: MongoServer = request.getfixturevalue("mongo_server")
        return self.open_on(server.url, clock, timeout=PATIENT, connect_timeout=PATIENT, bus=False)


class Motor(Mongo):
    store: ClassVar[str] = "MongoDB (Motor)"

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        server: MongoServer = request.getfixturevalue("mongo_server")
        client: Any = AsyncIOMotorClient[Any](server.url)
        request.addfinalizer(client.close)
        return self.open_on(client, clock, bus=False)


class ReplicaSet(Mongo):
    store: ClassVar[str] = "MongoDB (replica set)"

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        server: MongoServer = request.getfixturevalue("mongo_replica_set")
        return self.open_on(server.url, clock, timeout=PATIENT, connect_timeout=PATIENT)


class TestPyMongo(PyMongo, Bare): ...


class TestPyMongoWrapped(PyMongo, Wrapped): ...


class TestCacheOnPyMongo(PyMongo, OnCache): ...


class TestSealedCacheOnPyMongo(PyMongo, OnSealedCache): ...


class TestMotor(Motor, Bare): ...


class TestCacheOnMotor(Motor, OnCache): ...


class TestReplicaSet(ReplicaSet, Bare): ...
