"""Outside of asyncio (under trio, say) there is one clear error, and it comes when the cache is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError, cached
from asynccache.http import CacheMiddleware, MarkedApp


def run_without_a_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` as trio would until it waits for something; nothing here may wait."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    finally:
        work.close()
    raise AssertionError("it waits")


async def load() -> str:
    return "loaded"


async def entered(cache: Cache) -> None:
    async with cache:
        raise AssertionError("it has been opened")


async def spawned(cache: Cache) -> None:
    await cached(cache=cache, ttl=60)(load)()


ATTEMPTS: dict[str, Callable[[Cache], Coroutine[Any, Any, Any]]] = {
    "open": lambda cache: cache.open(),
    "async with": entered,
    "get_or_set": lambda cache: cache.get_or_set("k", load, ttl=60),
    "cached": spawned,
    "aclose": lambda cache: cache.aclose(),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))
@pytest.mark.parametrize("backend", ["memory://", "redis://localhost"])
def test_there_is_one_clear_error(attempt: Callable[[Cache], Coroutine[Any, Any, Any]], backend: str) -> None:
    """It names asyncio and the way out, whatever the store is."""
    with pytest.raises(ConfigurationError, match=r"runs on asyncio.*backend=\"asyncio\""):
        run_without_a_loop(attempt(Cache(CacheConfig(backend=backend))))


def test_an_application_does_not_start() -> None:
    """The server is told why at startup: nothing fails first under load, or when the application ends."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise AssertionError("it has started")

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(ConfigurationError, match="runs on asyncio"):
        run_without_a_loop(CacheMiddleware(app, CacheConfig())({"type": "lifespan"}, receive, send))
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "runs on asyncio" in sent[0]["message"]


@pytest.mark.parametrize("cached_route", [False, True])
def test_an_application_that_nobody_starts(cached_route: bool) -> None:
    """A client of tests that runs no lifespan: routes without a policy answer, others say what is wrong."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def receive() -> Any:
        raise AssertionError("nobody asks")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"shop.test")]}
    policy = CachePolicy(ttl=60)
    asking = CacheMiddleware(MarkedApp(app, policy) if cached_route else app)(scope, receive, send)
    if cached_route:
        with pytest.raises(ConfigurationError, match="runs on asyncio"):
            run_without_a_loop(asking)
    else:
        run_without_a_loop(asking)
    assert any(message.get("body") for message in sent) is not cached_route


def test_the_same_cache_works_on_asyncio_afterwards() -> None:
    """The failed attempt leaves nothing behind."""
    cache = Cache(CacheConfig())
    with pytest.raises(ConfigurationError):
        run_without_a_loop(cache.open())

    async def use() -> Any:
        async with cache:
            return await cache.get_or_set("k", load, ttl=60)

    assert asyncio.run(use()) == "loaded"
