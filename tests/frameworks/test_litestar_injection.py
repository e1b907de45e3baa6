"""The cache of a Litestar application where its code needs it, and its life with the application."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, get_args

import pytest
from litestar import Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.di import Provide
from litestar.exceptions import NotFoundException

from asynccache import Cache, CacheConfig, ConfigurationError, InMemoryBackend, cached, current_cache
from asynccache_litestar import CacheDep, CachePlugin, get_cache
from tests.frameworks.framework_apps import configured
from tests.frameworks.litestar_apps import application
from tests.http_middleware.asgi_client import Client

AnyRequest = Request[Any, Any, Any]


async def test_the_cache_is_injected_into_handlers_and_dependencies() -> None:
    """As ``cache: CacheDep``, in a cached handler too."""
    cache = Cache(configured())
    seen: list[Cache] = []

    async def listing(cache: CacheDep) -> str:
        seen.append(cache)
        return "items"

    @get("/", cache=60, dependencies={"items": Provide(listing)})
    async def handler(cache: CacheDep, items: Annotated[str, get_args(CacheDep)[1]]) -> str:
        seen.append(cache)
        return items

    @post("/", sync_to_thread=False)
    def write(cache: CacheDep) -> None:
        seen.append(cache)

    async with Client(application(handler, write, cache=cache)) as client:
        assert (await client.get("/")).text == "items"
        await client.request("POST", "/")
    assert seen == [cache] * 3


async def test_it_is_no_parameter_in_openapi() -> None:
    """Clients cannot send it."""

    @get("/")
    async def handler(cache: CacheDep) -> str:
        return "x"

    schema = application(handler).openapi_schema.to_schema()
    assert "parameters" not in schema["paths"]["/"]["get"]


async def test_its_name_can_be_another_or_none() -> None:
    """For applications that have a ``cache`` of their own, whatever that is."""
    cache = Cache(configured())

    @get("/")
    async def handler(store: CacheDep) -> str:
        return f"{store is cache}"

    app = Litestar([handler], plugins=[CachePlugin(cache, dependency="store")], logging_config=None)
    async with Client(app) as client:
        assert (await client.get("/")).text == "True"

    @get("/")
    async def own(cache: Annotated[int, get_args(CacheDep)[1]]) -> str:
        return f"{cache}"

    plugins = [CachePlugin(configured(), dependency=None)]
    provided = {"cache": Provide(lambda: 5, sync_to_thread=False)}
    for app in (
        Litestar([own], plugins=plugins, dependencies=provided, logging_config=None),
        application(own, dependencies=provided),
    ):
        async with Client(app) as client:
            assert (await client.get("/")).text == "5"


def test_a_parameter_of_its_name_that_is_something_else_is_refused() -> None:
    """A query parameter ``cache`` would get the cache object, and each request would fail."""

    @get("/")
    async def handler(cache: Annotated[bool, get_args(CacheDep)[1]]) -> str:
        return "x"

    with pytest.raises(ConfigurationError, match=r"handler: 'cache' is the name of the cache"):
        application(handler)


async def test_get_cache_wherever_there_is_a_connection() -> None:
    """In middleware, guards, hooks, handlers, websockets, and where no route was found."""
    cache = Cache(configured())
    seen: list[Cache] = []

    def note(connection: Any, *_: Any) -> None:
        seen.append(get_cache(connection))

    def missing(request: AnyRequest, _: Exception) -> Response[str]:
        note(request)
        return Response("missing", status_code=404)

    def middleware(app: Any) -> Any:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            note(Request(scope))
            await app(scope, receive, send)

        return outside

    @get("/", guards=[note], before_request=note)
    async def handler(request: AnyRequest) -> str:
        note(request)
        return "x"

    @websocket("/socket")
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        note(socket)
        await socket.accept()
        await socket.close()

    app = application(
        handler, socket, cache=cache, middleware=[middleware], exception_handlers={NotFoundException: missing}
    )
    async with Client(app) as client:
        await client.get("/")
        assert len(seen) == 4
        await client.websocket("/socket")
        assert len(seen) == 6
        await client.get("/nowhere")
    assert seen == [cache] * 7


async def test_get_cache_without_the_plugin_says_so() -> None:
    """One clear error."""
    errors: list[Exception] = []

    @get("/")
    async def handler(request: AnyRequest) -> None:
        try:
            get_cache(request)
        except ConfigurationError as error:
            errors.append(error)

    await Client(Litestar([handler], logging_config=None)).get("/")
    assert "no CachePlugin" in str(errors[0])


async def test_the_cache_lives_with_the_application() -> None:
    """Open before its own lifespan begins, closed after it has ended; ``state`` is left alone."""
    log: list[str] = []

    class Backend(InMemoryBackend):
        """Tells."""

        async def open(self) -> None:
            """Open."""
            log.append("open")
            await super().open()

        async def aclose(self) -> None:
            """Close."""
            log.append("close")
            await super().aclose()

    cache = Cache(CacheConfig(backend=Backend()))

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        app.state.database = "connected"
        log.append(f"start {current_cache() is cache} {await cache.get('k')}")
        await cache.set("k", "v")
        yield
        log.append(f"stop {await cache.get('k')}")

    def started() -> None:
        log.append(f"started {current_cache() is cache}")

    @get("/", cache=60)
    async def handler(request: AnyRequest) -> str:
        return f"{request.app.state.database}"

    app = application(handler, cache=cache, lifespan=[lifespan], on_startup=[started])
    assert app.plugins.get(CachePlugin).cache is cache
    for _ in range(2):
        log.clear()
        async with Client(app) as client:
            assert [(await client.get("/")).text for _ in range(2)] == ["connected"] * 2
        assert log[0] == "open"
        assert log[1].startswith("start True")
        assert log[2:] == ["started True", "stop v", "close"]
    assert current_cache() is not cache


async def test_a_store_that_cannot_be_opened_is_a_failed_start_where_that_is_asked_for() -> None:
    """``fail_open=False``: the application does not start without its store."""

    class Broken(InMemoryBackend):
        """Does not open."""

        async def open(self) -> None:
            """Fail."""
            raise ConfigurationError("no such store")

    client = Client(application(cache=CacheConfig(backend=Broken(), fail_open=False)))
    answer = await client.startup()
    assert answer["type"] == "lifespan.startup.failed"
    assert "no such store" in answer["message"]
    assert await client.lifespan_error() is not None


async def test_cached_functions_use_the_applications_cache() -> None:
    """Inside a request ``@cached`` needs to be told nothing."""
    cache = Cache(configured())
    runs: list[int] = []

    @cached(ttl=60)
    async def number() -> int:
        runs.append(1)
        return len(runs)

    @get("/")
    async def handler() -> int:
        return await number()

    async with Client(application(handler, cache=cache)) as client:
        assert [(await client.get("/")).text for _ in range(2)] == ["1", "1"]
    assert cache.stats().hits == 1
