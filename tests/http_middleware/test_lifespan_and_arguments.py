"""The middleware's life with the application, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import BackendError, Cache, CacheConfig, CachePolicy, ConfigurationError, InMemoryBackend
from asynccache.http import SCOPE_KEY, CacheMiddleware, MarkedApp
from asynccache.testing import ChaosBackend
from tests.http_middleware.asgi_client import Client
from tests.http_middleware.tiny_apps import Handler, Site


class Watched(InMemoryBackend):
    """A store that tells when it is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    async def open(self) -> None:
        """Take note."""
        self.log.append("open")

    async def aclose(self) -> None:
        """Take note."""
        self.log.append("close")


def living(backend: Any, *answers: str, error: Exception | None = None, **settings: Any) -> Client:
    """Return a client of an application that answers lifespan messages so, then raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for answer in answers:
            await receive()
            backend.log.append(answer)
            await send({"type": f"lifespan.{answer}"})
        if error is not None:
            raise error

    return Client(CacheMiddleware(app, CacheConfig(backend=backend, **settings)))


async def test_the_cache_opens_before_the_application_and_closes_after_it() -> None:
    """An application finds its cache open at its start and until its end."""
    backend = Watched()
    async with living(backend, "startup.complete", "shutdown.complete"):
        assert backend.log == ["open", "startup.complete"]
    assert backend.log == ["open", "startup.complete", "shutdown.complete", "close"]


async def test_an_application_that_fails_to_start_leaves_nothing_open() -> None:
    """After startup.failed the cache is closed."""
    backend = Watched()
    client = living(backend, "startup.failed")
    assert (await client.startup())["type"] == "lifespan.startup.failed"
    assert backend.log == ["open", "startup.failed", "close"]


async def test_an_application_that_fails_to_stop_leaves_nothing_open() -> None:
    """After shutdown.failed the cache is closed."""
    backend = Watched()
    client = living(backend, "startup.complete", "shutdown.failed")
    await client.startup()
    assert (await client.shutdown())["type"] == "lifespan.shutdown.failed"
    assert backend.log[-1] == "close"
    assert backend.log.count("close") == 1


async def test_an_application_whose_lifespan_raises_leaves_nothing_open() -> None:
    """However the lifespan ends, the cache is closed."""
    backend = Watched()
    client = living(backend, "startup.complete", error=OSError("gone"))
    await client.startup()
    assert isinstance(await client.lifespan_error(), OSError)
    assert backend.log == ["open", "startup.complete", "close"]


@pytest.mark.parametrize("raises", [True, False])
async def test_the_cache_has_a_lifespan_where_the_application_has_none(raises: bool) -> None:
    """Django raises, others return: either way the cache is opened and closed, and the server content."""
    backend = Watched()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http" or not raises, "no lifespan here"
        if scope["type"] == "http":
            await marked(scope, receive, send)

    marked = MarkedApp(Handler(), CachePolicy(ttl=60))
    async with Client(CacheMiddleware(app, CacheConfig(backend=backend))) as client:
        assert backend.log == ["open"]
        assert [(await client.get("/")).text for _ in range(2)] == ["run 1", "run 1"]
    assert backend.log == ["open", "close"]
    assert [message["type"] for message in client.lifespan_messages] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_store_that_must_not_be_down_fails_the_start_of_an_application_without_lifespan() -> None:
    """Then too the server is told so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(scope["type"])

    class Down(Watched):
        async def open(self) -> None:
            raise BackendError("the store is down", backend="down")

    client = Client(CacheMiddleware(app, CacheConfig(backend=Down(), fail_open=False)))
    assert (await client.startup())["type"] == "lifespan.startup.failed"
    assert isinstance(await client.lifespan_error(), BackendError)
    assert len(client.lifespan_messages) == 1


async def test_a_store_that_is_down_does_not_keep_the_application_from_starting() -> None:
    """By default the cache fails open at the start as well."""
    chaos = ChaosBackend(InMemoryBackend())
    chaos.fail()
    chaos.log = []  # type: ignore[attr-defined]
    async with living(chaos, "startup.complete", "shutdown.complete"):
        pass


async def test_a_store_that_must_not_be_down_fails_the_start() -> None:
    """``fail_open=False``: the server is told so by startup.failed; an exception alone it would ignore."""

    class Down(Watched):
        async def open(self) -> None:
            raise BackendError("the store is down", backend="down")

    client = living(Down(), "startup.complete", fail_open=False)
    assert await client.startup() == {
        "type": "lifespan.startup.failed",
        "message": client.lifespan_messages[0]["message"],
    }
    assert "the store is down" in client.lifespan_messages[0]["message"]
    assert isinstance(await client.lifespan_error(), BackendError)
    assert len(client.lifespan_messages) == 1


async def test_the_lifespan_state_has_the_cache_and_stays_the_applications() -> None:
    """The server's state passes through; nothing of the application's is touched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["mine"] = 1
            for answer in ("startup.complete", "shutdown.complete"):
                await receive()
                await send({"type": f"lifespan.{answer}"})
        else:
            seen.append(scope["state"]["mine"])
            await Handler()(scope, receive, send)

    async with Client(CacheMiddleware(app)) as client:
        await client.get("/")
        assert seen == [1]


async def test_one_middleware_inside_another_leaves_it_all_to_the_outer_one() -> None:
    """Nested by mistake or by mounting, a response is stored once and marked once."""
    handler = Handler()
    site = Site(CacheMiddleware(MarkedApp(handler, CachePolicy(ttl=60))))
    first, second = await site.get("/"), await site.get("/")
    assert (first.cache_status, second.cache_status) == (
        "asynccache; fwd=uri-miss; stored", "asynccache; hit; ttl=60",
    )  # fmt: skip
    assert handler.scopes[0][SCOPE_KEY].cache is site.cache


async def test_a_cache_can_be_shared_between_applications() -> None:
    """``cache=``: what one application's handlers invalidate is gone for the other's."""
    shared = Cache(CacheConfig(backend=InMemoryBackend()))
    handler = Handler()
    clients = [
        Client(CacheMiddleware(MarkedApp(handler, CachePolicy(ttl=60, tags=("t",))), cache=shared))
        for _ in range(2)
    ]
    assert [(await client.get("/")).text for client in clients] == ["run 1", "run 1"]
    await shared.invalidate_tags("t")
    assert [(await client.get("/")).text for client in clients] == ["run 2", "run 2"]


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"config": CacheConfig(), "cache": Cache()}, "either config or cache"),
        ({"cache": CacheConfig()}, "cache must be a Cache"),
        ({"cache": "memory://"}, "cache must be a Cache"),
        ({"config": Cache()}, "config must be a CacheConfig"),
        ({"config": "memory://"}, "config must be a CacheConfig"),
        ({"config": {"backend": "memory://"}}, "config must be a CacheConfig"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """One clear error that names the argument, before anything is opened."""
    with pytest.raises(ConfigurationError, match=message):
        CacheMiddleware(Handler(), **arguments)
