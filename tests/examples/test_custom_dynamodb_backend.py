"""examples/custom_dynamodb_backend passes the public suites, over moto's server."""

import pytest

from asynccache._engine.clock import Clock
from asynccache.protocols import CacheBackendProtocol
from examples.custom_dynamodb_backend.backend import MAX_VALUE, DynamoDBBackend
from tests.conformance.store_suites import Bare, OnCache, OnSealedCache, Wrapped
from tests.servers.process import ServerProcess


def backend_at(server: ServerProcess, clock: Clock) -> DynamoDBBackend:
    return DynamoDBBackend(
        "cache", region="eu-north-1", endpoint=f"http://127.0.0.1:{server.port}", timeout=30.0, clock=clock
    )


class OnDynamoDB:
    store = "example: DynamoDB"
    max_value_bytes: int | None = MAX_VALUE

    def make(self, request: pytest.FixtureRequest, clock: Clock) -> CacheBackendProtocol:
        return backend_at(request.getfixturevalue("moto_server"), clock)


class TestDynamoDBBackend(OnDynamoDB, Bare): ...


class TestDynamoDBBackendWrapped(OnDynamoDB, Wrapped): ...


class TestCacheOnDynamoDB(OnDynamoDB, OnCache): ...


class TestSealedCacheOnDynamoDB(OnDynamoDB, OnSealedCache): ...
