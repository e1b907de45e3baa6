"""examples/custom_http_backend passes the public suites, over a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from asynccache import Cache
from asynccache.backends import register_scheme
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from asynccache.protocols import CacheBackendProtocol
from examples.custom_http_backend.backend import HTTPBackend
from tests.conformance.store_suites import Bare, OnCache
from tests.servers.process import ServerProcess
from tests.servers.proxy import Proxy


class OverHTTP:
    store = "example: HTTP"
    fake_time = False  # the service keeps its own time
    slack = 0.1
    max_value_bytes: int | None = 256_000_000 // 8

    def make(self, request: pytest.FixtureRequest, clock: object) -> CacheBackendProtocol:
        server: ServerProcess = request.getfixturevalue("cache_service")
        return HTTPBackend(f"http://127.0.0.1:{server.port}", timeout=30.0)


class TestHTTPBackend(OverHTTP, Bare): ...


class TestCacheOverHTTP(OverHTTP, OnCache):
    """Guarded, too: without bulk forms there is nothing else to be wrapped in."""


@pytest_asyncio.fixture
async def store(cache_service: ServerProcess) -> AsyncIterator[HTTPBackend]:
    store = HTTPBackend(f"http://127.0.0.1:{cache_service.port}")
    yield store
    await store.aclose()


async def test_it_is_found_by_its_url(cache_service: ServerProcess) -> None:
    register_scheme("cache+http", "examples.custom_http_backend.backend:HTTPBackend")

    async with Cache.from_url(f"cache+http://127.0.0.1:{cache_service.port}?timeout=5") as cache:
        await cache.set("k", {"a": 1}, ttl=60, tags=["t"])
        assert await cache.get("k") == {"a": 1}
        await cache.invalidate_tags("t")
        assert await cache.get("k") is None
        capabilities = cache.capabilities
        health = await cache.health()

    assert capabilities.leases
    assert capabilities.add
    assert capabilities.increment
    assert capabilities.clear
    assert health.healthy
    assert health.details["max_bytes"] == 256_000_000


@pytest.mark.parametrize("option", ["color=red", "timeout=soon"])
def test_an_option_that_makes_no_sense_is_named(option: str) -> None:
    with pytest.raises(ConfigurationError, match="takes timeout"):
        HTTPBackend.from_url(f"cache+http://localhost?{option}")


async def test_a_service_that_is_not_there_is_unavailable(cache_service: ServerProcess) -> None:
    async with Proxy(cache_service.port) as proxy:
        store = HTTPBackend(f"http://127.0.0.1:{proxy.port}")
        await store.set("k", b"v")
        proxy.refuse = True
        proxy.reset()
        with pytest.raises(BackendUnavailableError):
            await store.get("k")
        with pytest.raises(BackendUnavailableError):
            await store.open()
        proxy.refuse = False
        assert await store.get("k") == b"v"
        await store.aclose()


async def test_a_service_that_does_not_answer_is_given_up(cache_service: ServerProcess) -> None:
    async with Proxy(cache_service.port) as proxy:
        store = HTTPBackend(f"http://127.0.0.1:{proxy.port}", timeout=0.1)
        await store.set("k", b"v")
        proxy.freeze()
        with pytest.raises(BackendTimeoutError):
            await store.get("k")
        proxy.thaw()
        assert await store.get("k") == b"v"
        await store.aclose()


async def test_counting_on_a_text_is_an_answer_not_trouble(store: HTTPBackend) -> None:
    await store.set("text", b"text")

    with pytest.raises(BackendError, match=r"409.*not an integer") as caught:
        await store.incr("text")
    assert type(caught.value) is BackendError


async def test_three_hundred_requests_share_a_few_connections(cache_service: ServerProcess) -> None:
    async with Proxy(cache_service.port) as proxy:
        store = HTTPBackend(f"http://127.0.0.1:{proxy.port}", timeout=30.0, connections=4)
        await asyncio.gather(*(store.set(f"n{number}", b"%d" % number) for number in range(300)))
        found = await asyncio.gather(*(store.get(f"n{number}") for number in range(300)))
        await store.aclose()

        assert found == [b"%d" % number for number in range(300)]
        assert proxy.accepted <= 4


async def test_a_prefix_longer_than_names_are_is_refused(store: HTTPBackend) -> None:
    with pytest.raises(BackendError, match="936 characters"):
        await store.clear("p" * 937)
