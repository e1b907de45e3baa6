"""examples/custom_dynamodb_backend passes the public suites, over moto's server."""
# mypy: disable-error-code="import-untyped"
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from typing import Any

import pytest
import pytest_asyncio
from aiobotocore.session import get_session

from asynccache import Cache, CacheConfig
from asynccache._engine.clock import Clock
from asynccache.backends import register_scheme
from asynccache.config import GuardConfig
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import FakeClock
from examples.custom_dynamodb_backend import backend as example
from examples.custom_dynamodb_backend.backend import MAX_VALUE, DynamoDBBackend
from tests.conformance.store_suites import PATIENT, Bare, OnCache
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy


@pytest.fixture(autouse=True, scope="module")
def _one_session() -> Iterator[None]:
    """Share a session: to read the descriptions of Amazon's services takes longer than most of the tests."""
    session = get_session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example, "get_session", lambda: session)
        yield


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


class TestCacheOnDynamoDB(OnDynamoDB, OnCache):
    """Guarded, too: without bulk forms there is nothing else to be wrapped in."""


@pytest_asyncio.fixture
async def store(moto_server: ServerProcess) -> AsyncIterator[DynamoDBBackend]:
    store = backend_at(moto_server, FakeClock())
    await store.open()
    yield store
    await store.aclose()


async def test_it_is_found_by_its_url(moto_server: ServerProcess) -> None:
    register_scheme("dynamodb", "examples.custom_dynamodb_backend.backend:DynamoDBBackend")
    url = f"dynamodb://cache?region=eu-north-1&endpoint=http://127.0.0.1:{moto_server.port}"

    async with Cache(CacheConfig.from_url(url, guard=GuardConfig(timeout=PATIENT))) as cache:
        await cache.set("k", {"a": 1}, ttl=60, tags=["t"])
        assert await cache.get("k") == {"a": 1}
        await cache.invalidate_tags("t")
        assert await cache.get("k") is None
        capabilities = cache.capabilities
        health = await cache.health()

    assert capabilities.leases
    assert capabilities.add
    assert not capabilities.clear
    assert health.healthy
    assert health.details["status"] == "ACTIVE"


def test_an_option_that_makes_no_sense_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'color'"):
        DynamoDBBackend.from_url("dynamodb://cache?color=red")


async def test_a_new_table_sweeps_what_has_expired(moto_server: ServerProcess) -> None:
    endpoint = f"http://127.0.0.1:{moto_server.port}"
    store = DynamoDBBackend("swept", region="eu-north-1", endpoint=endpoint, timeout=30.0)
    await store.open()
    await store.open()
    await store.aclose()

    async with get_session().create_client(
        "dynamodb", region_name="eu-north-1", endpoint_url=endpoint
    ) as raw:
        client: Any = raw
        swept = await client.describe_time_to_live(TableName="swept")

    assert swept["TimeToLiveDescription"] == {"AttributeName": "gc", "TimeToLiveStatus": "ENABLED"}


async def test_what_the_table_has_not_dropped_yet_has_expired(store: DynamoDBBackend) -> None:
    await store.set("late", b"v", 60.0)
    assert isinstance(store._clock, FakeClock)
    store._clock.advance(60.0)

    assert await store.get("late") is None
    assert await store.delete("late") is False


async def test_a_key_and_a_value_that_do_not_fit_together_are_refused(store: DynamoDBBackend) -> None:
    key, half = "é" * 100_000, bytes(200_000)
    assert await store.set(key, b"small") is True

    assert await store.set(key, half) is False
    assert await store.get(key) is None
    assert await store.add(key, half) is False


async def test_a_key_that_looks_like_a_digest_is_not_taken_for_one(store: DynamoDBBackend) -> None:
    long = "k" * 3000
    digest = blake2b(long.encode(), digest_size=16).hexdigest()
    await store.set(long, b"long")
    for other in (digest, f"#{digest}", f"={long[:100]}"):
        assert await store.get(other) is None
        assert await store.delete(other) is False

    assert await store.get(long) == b"long"


async def test_a_server_that_is_not_there_is_unavailable(moto_server: ServerProcess) -> None:
    async with Proxy(moto_server.port) as proxy:
        store = DynamoDBBackend("cache", region="eu-north-1", endpoint=f"http://127.0.0.1:{proxy.port}")
        proxy.refuse = True
        with pytest.raises(BackendUnavailableError):
            await store.get("k")
        proxy.refuse = False
        await store.open()
        assert await store.get("never set") is None
        await store.aclose()


async def test_a_server_that_does_not_answer_is_given_up(moto_server: ServerProcess) -> None:
    async with Proxy(moto_server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        store = DynamoDBBackend("cache", region="eu-north-1", endpoint=endpoint, timeout=0.2)
        proxy.freeze()
        with pytest.raises(BackendTimeoutError):
            await store.get("k")
        await store.aclose()


async def test_a_table_that_does_not_exist_is_an_answer(moto_server: ServerProcess) -> None:
    endpoint = f"http://127.0.0.1:{moto_server.port}"
    store = DynamoDBBackend("nowhere", region="eu-north-1", endpoint=endpoint, timeout=30.0)
    with pytest.raises(BackendError, match="ResourceNotFoundException") as caught:
        await store.get("k")
    await store.aclose()

    assert type(caught.value) is BackendError


async def test_a_missing_region_is_told_and_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    store = DynamoDBBackend("cache")

    for _ in range(2):  # the failed start is not remembered
        with pytest.raises(BackendUnavailableError, match="region"):
            await store.get("k")
    await store.aclose()
