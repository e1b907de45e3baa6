"""What is Starlette's stays Starlette's: routes, names, mounts, methods, files, lifespan."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette import routing
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.schemas import BaseSchemaGenerator
from starlette.websockets import WebSocket

from asynccache import Cache, CachePolicy, ConfigurationError
from asynccache_starlette import CacheMiddleware, Route, Starlette, cache_response, get_cache
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client

POLICY = CachePolicy(ttl=60)


class Counted:
    """Endpoints that count."""

    def __init__(self) -> None:
        self.runs = 0

    async def home(self, request: Request) -> Response:
        """Answer with the number of the run."""
        self.runs += 1
        return PlainTextResponse(f"{self.runs}")

    @cache_response(ttl=60)
    async def marked(self, request: Request) -> Response:
        """Answer with the number of the run."""
        return await self.home(request)


async def test_methods_and_partials_are_endpoints_like_others(caplog: pytest.LogCaptureFixture) -> None:
    """Bound methods, marked in their class or on the route, and partials are cached; none is reported."""

    async def add(request: Request, number: int) -> Response:
        return PlainTextResponse(str(number))

    routes = [
        Route("/method", Counted().home, cache=60),
        Route("/marked", Counted().marked),
        Route("/partial", partial(add, number=1), cache=60),
    ]
    with caplog.at_level(logging.ERROR, "asynccache"):
        async with Client(Starlette(routes=routes, cache=configured())) as client:
            for path in ("/method", "/marked", "/partial"):
                assert [(await client.get(path)).hit for _ in range(2)] == [False, True], path
    assert not caplog.records


async def test_names_and_url_for_are_unchanged() -> None:
    """A cached route is found under the name it would have without a cache."""

    class Home(HTTPEndpoint):
        """An endpoint."""

    async def page(request: Request) -> Response:
        return PlainTextResponse(request.url_for("page", id=1).path + request.url_for("Home").path)

    routes = [Route("/page/{id}", page, cache=60), Route("/home", Home, cache=60)]
    async with Client(Starlette(routes=routes, cache=configured())) as client:
        assert (await client.get("/page/2")).text == "/page/1/home"


async def test_mounted_routes_are_cached_by_their_full_path() -> None:
    """The same inner path under two mounts is two responses."""

    def inner(name: str) -> routing.Mount:
        async def page(request: Request) -> Response:
            return PlainTextResponse(name)

        return routing.Mount(f"/{name}", routes=[Route("/page", page, cache=60)])

    app = Starlette(routes=[inner("a"), inner("b")], cache=configured())
    async with Client(app) as client:
        for hit in (False, True):
            for name in ("a", "b"):
                answer = await client.get(f"/{name}/page")
                assert (answer.text, answer.hit) == (name, hit)


async def test_a_mounted_application_with_a_cache_of_its_own() -> None:
    """Inside another cache's application the outer cache does it all, once."""
    endpoint = Counted()
    inner = Starlette(routes=[Route("/page", endpoint.home, cache=60)], cache=configured())
    outer = Starlette(routes=[routing.Mount("/in", app=inner)], cache=configured())
    async with Client(outer) as client:
        answers = [await client.get("/in/page") for _ in range(2)]
    assert [answer.cache_status for answer in answers] == [
        "asynccache; fwd=uri-miss; stored", "asynccache; hit; ttl=60",
    ]  # fmt: skip
    assert endpoint.runs == 1


async def test_files_are_stored_when_the_server_reads_them_through_us(tmp_path: Path) -> None:
    """A FileResponse that is sent as bytes is stored whole; its ranges are not."""
    path = tmp_path / "file.txt"
    path.write_text("0123456789")

    async def file(request: Request) -> Response:
        return FileResponse(path)

    async with Client(Starlette(routes=[Route("/", file, cache=60)], cache=configured())) as client:
        part = await client.get("/", [("range", "bytes=0-3")])
        whole = await client.get("/")
        hit = await client.get("/")
        unchanged = await client.get("/", [("if-none-match", hit.header("etag") or "")])
        since = await client.get("/", [("if-modified-since", hit.header("last-modified") or "")])
    assert (part.status, part.text) == (206, "0123")
    assert (whole.status, whole.text, whole.hit) == (200, "0123456789", False)
    assert (hit.text, hit.hit, hit.fields()) == ("0123456789", True, whole.fields())
    assert (unchanged.status, since.status) == (304, 304)


async def test_compression_belongs_outside_and_works_there() -> None:
    """With GZip outside, identity bytes are stored and each client gets its own encoding."""

    async def page(request: Request) -> Response:
        return PlainTextResponse("x" * 5000)

    app = Starlette(
        routes=[Route("/", page, cache=60)], middleware=[Middleware(GZipMiddleware)], cache=configured()
    )
    async with Client(app) as client:
        zipped = [await client.get("/", [("accept-encoding", "gzip")]) for _ in range(2)]
        plain = await client.get("/")
    assert [answer.header("content-encoding") for answer in zipped] == ["gzip", "gzip"]
    assert plain.text == "x" * 5000
    assert plain.hit


async def test_base_http_middleware_inside_and_outside() -> None:
    """Starlette's own middleware base, which re-streams bodies, changes nothing about what is cached."""

    class Passing(BaseHTTPMiddleware):
        """Does nothing."""

        async def dispatch(self, request: Request, call_next: Any) -> Response:
            """Pass on."""
            response: Response = await call_next(request)
            return response

    for order in ([Middleware(Passing), "cache"], ["cache", Middleware(Passing)]):
        endpoint = Counted()
        cache = Middleware(CacheMiddleware, config=configured())
        stack = [cache if item == "cache" else item for item in order]
        app = Starlette(routes=[Route("/", endpoint.home, cache=60)], middleware=stack)  # type: ignore[arg-type]
        async with Client(app) as client:
            answers = [await client.get("/") for _ in range(3)]
        assert [answer.text for answer in answers] == ["1"] * 3
        assert [answer.hit for answer in answers] == [False, True, True]


@pytest.mark.parametrize("value", ["60", 0, -1, float("inf"), object(), [60]])
def test_wrong_cache_options_are_refused_on_the_routes_own_line(value: Any) -> None:
    """The error comes from ``Route(...)``, not from the first request."""

    async def page(request: Request) -> Response:
        return PlainTextResponse("x")

    with pytest.raises(ConfigurationError, match="cache"):
        Route("/", page, cache=value)
    with pytest.raises(ConfigurationError):
        cache_response(ttl=value)


@pytest.mark.parametrize("value", [True, 10, 2.5, timedelta(seconds=5), POLICY])
async def test_every_kind_of_cache_option_caches(value: Any) -> None:
    """True, seconds, a timedelta or a policy."""
    app = Starlette(routes=[Route("/", Counted().home, cache=value)], cache=configured())
    async with Client(app) as client:
        assert [(await client.get("/")).hit for _ in range(2)] == [False, True]


async def test_get_cache_in_endpoints_and_websockets() -> None:
    """``get_cache(request)`` is the application's cache wherever there is a connection."""
    cache = Cache(configured())
    seen: list[Cache] = []

    async def page(request: Request) -> Response:
        seen.append(get_cache(request))
        return JSONResponse(None)

    async def socket(websocket: WebSocket) -> None:
        seen.append(get_cache(websocket))
        await websocket.accept()
        await websocket.close()

    routes = [Route("/", page), routing.WebSocketRoute("/ws", socket)]
    async with Client(Starlette(routes=routes, cache=cache)) as client:
        await client.get("/")
        messages = await client.websocket("/ws")
    assert seen == [cache, cache]
    assert [message["type"] for message in messages] == ["websocket.accept", "websocket.close"]


async def test_get_cache_without_a_middleware_says_so() -> None:
    """One clear error instead of an AttributeError."""

    async def page(request: Request) -> Response:
        get_cache(request)
        raise AssertionError

    with pytest.raises(ConfigurationError, match="no CacheMiddleware"):
        await Client(Starlette(routes=[Route("/", page)])).get("/")


async def test_the_lifespan_of_the_application_is_intact() -> None:
    """Its state reaches requests as it was yielded."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, str]]:
        yield {"database": "connected"}

    async def page(request: Request) -> Response:
        return PlainTextResponse(request.state.database)

    app = Starlette(routes=[Route("/", page, cache=60)], lifespan=lifespan, cache=configured())
    async with Client(app) as client:
        assert [(await client.get("/")).text for _ in range(2)] == ["connected"] * 2


@pytest.mark.parametrize("kind", ["function", "class"])
async def test_a_tag_that_names_an_unknown_parameter_is_refused_at_start(kind: str) -> None:
    """Startup fails, in a way that servers take seriously, for functions and endpoint classes."""

    class Endpoint(HTTPEndpoint):
        """An endpoint."""

    endpoint: Any = Counted().home if kind == "function" else Endpoint
    app = Starlette(
        routes=[Route("/items/{id}", endpoint, cache=POLICY.but(tags=["item:{idd}"]))], cache=configured()
    )
    client = Client(app)
    answer = await client.startup()
    assert answer["type"] == "lifespan.startup.failed"
    assert "idd" in answer["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)


async def test_a_marked_function_called_by_another_endpoint_is_an_ordinary_function() -> None:
    """Its policy is about its own route: another route's response is neither stored nor replaced by it."""

    @cache_response(ttl=60, public=True)
    async def inner(request: Request) -> Response:
        return PlainTextResponse(request.headers["x-user"])

    async def outer(request: Request) -> Response:
        return await inner(request)

    app = Starlette(routes=[Route("/outer", outer)], cache=configured())
    async with Client(app) as client:
        for name in ("alice", "bob"):
            answer = await client.get("/outer", [("x-user", name)])
            assert (answer.text, answer.cache_status) == (name, "")


async def test_a_decorated_method_of_an_endpoint_class_is_cached() -> None:
    """In a class the decorator stands on the method."""

    class Endpoint(HTTPEndpoint):
        """An endpoint."""

        @cache_response(ttl=60)
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("x")

    async with Client(Starlette(routes=[Route("/", Endpoint)], cache=configured())) as client:
        assert [(await client.get("/")).hit for _ in range(2)] == [False, True]


class Described(HTTPEndpoint):
    """An endpoint that a schema describes."""

    async def get(self, request: Request) -> Response:
        """Answer."""
        return PlainTextResponse("x")

    async def post(self, request: Request) -> Response:
        """Answer to what was posted."""
        return PlainTextResponse("x", status_code=201)


@pytest.mark.parametrize("cache", [None, False, 60])
@pytest.mark.parametrize("endpoint", [Described, Counted().home])
def test_a_routes_endpoint_is_the_users_own(endpoint: Any, cache: Any) -> None:
    """Schema generators, tracing and comparisons of routes see what they would see without a cache."""
    plain = routing.Route("/x", endpoint)
    route = Route("/x", endpoint, cache=cache)
    generator = BaseSchemaGenerator()
    assert route.endpoint == endpoint
    assert generator.get_endpoints([route]) == generator.get_endpoints([plain]) != []
    assert (route.name, route.methods) == (plain.name, plain.methods)
    assert route == plain == route
    assert route == Route("/x", endpoint, cache=cache)
    assert route != Route("/y", endpoint, cache=cache)
    assert route != Route("/x", endpoint, methods=["PUT"], cache=cache)


async def test_a_request_knows_its_own_endpoint() -> None:
    """``scope["endpoint"]``, by which tracing names a request, is not something of the cache."""
    seen: list[Any] = []

    class Page(HTTPEndpoint):
        """An endpoint."""

        async def get(self, request: Request) -> Response:
            seen.append(request.scope["endpoint"])
            return PlainTextResponse("x")

    async with Client(Starlette(routes=[Route("/", Page, cache=60)], cache=configured())) as client:
        await client.get("/")
    assert seen == [Page]


@pytest.mark.parametrize("status, text", [(410, "gone"), (503, "x")])
async def test_an_answer_of_an_exception_handler_is_the_endpoints_answer(status: int, text: str) -> None:
    """What the application makes of an exception is meant below 500; else a stale response is better."""

    class Gone(Exception):  # noqa: N818  (not an error)
        """The page is no more."""

    gone = False

    async def page(request: Request) -> Response:
        if gone:
            raise Gone
        return PlainTextResponse("x")

    def answer(request: Request, error: Exception) -> Response:
        return PlainTextResponse("gone", status_code=status)

    config = configured()
    app = Starlette(
        routes=[Route("/", page, cache=CachePolicy(ttl=60, stale_if_error=60))],
        exception_handlers={Gone: answer},
        cache=config,
    )
    async with Client(app) as client:
        assert (await client.get("/")).text == "x"
        gone = True
        config.clock.advance(61)  # type: ignore[attr-defined]
        assert (await client.get("/")).text == text


@pytest.mark.parametrize("endpoint", [Described, Counted().home])
async def test_a_cached_route_without_a_middleware_says_so_once(
    endpoint: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers all the same."""
    client = Client(Starlette(routes=[Route("/page", endpoint, cache=60), Route("/other", endpoint)]))
    for path in ("/page", "/page", "/other"):
        assert (await client.get(path)).status == 200
    assert [record.message for record in caplog.records] == [
        "/page is not cached: the application has no CacheMiddleware"
    ]


async def test_a_stream_by_yielding_is_refused_on_the_routes_own_line() -> None:
    """Starlette has no such endpoints; neither has the cache."""

    async def stream(request: Request) -> AsyncGenerator[str]:
        yield "x"

    with pytest.raises(ConfigurationError, match="stream is a stream"):
        Route("/", stream, cache=60)
