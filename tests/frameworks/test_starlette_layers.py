"""Starlette's ways to put something around routes: mounts, middleware, nested instances, static files."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette import applications, routing
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from asynccache import Cache, CachePolicy, ConfigurationError
from asynccache_starlette import CacheMiddleware, Mount, Route, Starlette, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


async def page(request: Request) -> Response:
    return PlainTextResponse("x")


def page_in_a_thread(request: Request) -> Response:
    return PlainTextResponse("x")


class Page(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("x")

    async def post(self, request: Request) -> Response:
        return PlainTextResponse("posted")


class Decorated(HTTPEndpoint):
    @cache_response(ttl=70)
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("x")


async def ttl(client: Client, path: str) -> str:
    """Return the ttl of a hit, "" if there is none."""
    answers = [await client.get(path) for _ in range(2)]
    return answers[1].cache_status.removeprefix("asynccache; hit; ttl=") if answers[1].hit else ""


@pytest.mark.parametrize("endpoint", [page, page_in_a_thread, Page])
async def test_the_nearest_policy_decides(endpoint: Any) -> None:
    """That of a route, of its mount, of the mount around; plain mounts in between pass it on."""
    app = Starlette(
        routes=[
            Mount(
                "/outer",
                cache=10,
                routes=[
                    Route("/x", endpoint),
                    Route("/own", endpoint, cache=20),
                    Route("/off", endpoint, cache=False),
                    Route("/decorated", cache_response(ttl=60)(page)),
                    Route("/method", Decorated),
                    Mount("/inner", routes=[Route("/x", endpoint)], cache=30),
                    Mount("/said-nothing", routes=[Route("/x", endpoint)]),
                    Mount(
                        "/off", routes=[Route("/x", endpoint), Route("/on", endpoint, cache=40)], cache=False
                    ),
                    routing.Mount("/plain", routes=[Mount("/deep", routes=[Route("/x", endpoint)])]),
                    Mount("/app", app=applications.Starlette(routes=[Route("/x", endpoint)])),
                ],
            ),
            Route("/x", endpoint),
        ],
        cache=configured(),
    )
    expected = {
        "/x": "", "/outer/x": "10", "/outer/own": "20", "/outer/off": "", "/outer/decorated": "60",
        "/outer/method": "70", "/outer/inner/x": "30", "/outer/said-nothing/x": "10", "/outer/off/x": "",
        "/outer/off/on": "40", "/outer/plain/deep/x": "10", "/outer/app/x": "10",
    }  # fmt: skip
    async with Client(app) as client:
        assert {path: await ttl(client, path) for path in expected} == expected


async def test_inherited_policies_leave_other_methods_alone() -> None:
    """No trace of the cache on a POST; it still invalidates its URL."""
    app = Starlette(routes=[Mount("/m", routes=[Route("/x", Page)], cache=60)], cache=configured())
    async with Client(app) as client:
        assert await ttl(client, "/m/x") == "60"
        answer = await client.request("POST", "/m/x")
        assert (answer.text, answer.cache_status) == ("posted", "")
        assert not (await client.get("/m/x")).hit


async def test_tags_of_a_mount_are_filled_in_from_all_path_parameters() -> None:
    """Those of the mounts around included; a name that is not there is refused at start."""
    cache = Cache(configured())

    def build(tag: str) -> Starlette:
        policy = CachePolicy(ttl=60, tags=[tag])
        inner = Mount("/{shop}", routes=[Route("/{id}", page), Route("/c/{id}", Page)], cache=policy)
        return Starlette(routes=[Mount("/t/{tenant}", routes=[inner])], cache=cache)

    async with Client(build("{tenant}:{shop}:{id}")) as client:
        targets = ["/t/a/b/c", "/t/a/b/d", "/t/a/b/c/c"]
        for target in targets:
            assert await ttl(client, target) == "60"
        await cache.invalidate_tags("a:b:c")
        assert [(await client.get(target)).hit for target in targets] == [False, True, False]
    client = Client(build("{path}"))
    assert "path" in (await client.startup())["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)


async def test_a_plain_route_in_a_cached_mount_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Its own middleware would have to run before a hit, and there is no way to get inside of it."""

    async def own(request: Request) -> Response:
        return PlainTextResponse("x")

    mount = Mount("/m", routes=[routing.Route("/plain", own), Route("/ours", own)], cache=60)
    with caplog.at_level(logging.ERROR, "asynccache"):
        async with Client(Starlette(routes=[mount], cache=configured())) as client:
            assert [await ttl(client, path) for path in ("/m/plain", "/m/ours")] == ["", "60"]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["/m/plain"]


class Counted:
    """A middleware that counts what reaches it."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["path"])
        await self.app(scope, receive, send)


async def test_middleware_of_mounts_and_routes_runs_before_inherited_hits() -> None:
    """What authenticates does so for every request."""
    seen: list[str] = []
    guard = [Middleware(Counted, seen=seen)]
    inner = Mount("/in", routes=[Route("/x", page, middleware=guard)], middleware=guard)
    app = Starlette(routes=[Mount("/m", routes=[inner], middleware=guard, cache=60)], cache=configured())
    async with Client(app) as client:
        assert [(await client.get("/m/in/x")).hit for _ in range(3)] == [False, True, True]
    assert seen == ["/m/in/x"] * 9


async def test_the_middleware_on_one_route() -> None:
    """A cache for just that route; it needs no lifespan."""
    local = [Middleware(CacheMiddleware, config=configured())]
    marked = cache_response(ttl=60)(page)
    app = applications.Starlette(
        routes=[
            routing.Route("/with", marked, middleware=local),
            routing.Mount("/mount", routes=[routing.Route("/with", marked)], middleware=local),
            routing.Route("/without", page),
        ]
    )
    client = Client(app)
    assert [await ttl(client, path) for path in ("/with", "/mount/with", "/without")] == ["60", "60", ""]


async def test_nested_instances_never_cache_twice() -> None:
    """The outermost does it all, on mounts and routes alike; the others store nothing."""
    caches = [Cache(configured()) for _ in range(3)]
    around = [[Middleware(CacheMiddleware, cache=cache)] for cache in caches]
    route = routing.Route("/x", cache_response(ttl=60)(page), middleware=around[2])
    app = applications.Starlette(
        routes=[routing.Mount("/m", routes=[route], middleware=around[1])], middleware=around[0]
    )
    async with Client(app) as client:
        assert await ttl(client, "/m/x") == "60"
    stored = [cache.stats().hits for cache in caches]
    assert stored == [1, 0, 0]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("content")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("<p>")
    return tmp_path


async def test_static_files_pass_through_untouched(files: Path) -> None:
    """Message by message what Starlette sends, also where files are sent by path, and in a cached mount."""
    statics = [routing.Mount("/static", app=StaticFiles(directory=files, html=True))]
    plain = applications.Starlette(routes=statics)
    cached = Starlette(routes=[*statics, Route("/x", page, cache=60)], cache=configured())
    around = Starlette(routes=[Mount("", routes=statics, cache=60)], cache=configured())
    targets = ["/static/a.txt", "/static/sub/", "/static/none", "/static/sub"]
    offers: list[dict[str, Any]] = [{}, {"http.response.pathsend": {}}]
    for extensions in offers:
        for headers in ([], [("range", "bytes=0-2")], [("if-none-match", "*")]):
            for target in targets:
                answers = [
                    await messages(app, target, headers, extensions)
                    for app in (plain, cached, cached, around)
                ]
                assert answers[1:] == answers[:1] * 3, target
        if extensions:
            sent = await messages(cached, "/static/a.txt", [], extensions)
            assert [message["type"] for message in sent][-1] == "http.response.pathsend"


async def messages(app: Any, target: str, headers: Any, extensions: Any) -> list[Any]:
    """Return all that an application sends, as it sends it."""
    scope = {**Client(app).scope("GET", target, headers), "extensions": extensions}
    sent: list[Any] = []

    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(requests, None) or await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_a_mounted_application_may_be_cached_as_a_whole(files: Path) -> None:
    """Files that are sent as bytes are stored; those that the server is to send itself are not."""
    mount = Mount("/static", app=StaticFiles(directory=files), cache=60, name="static")
    app = Starlette(routes=[mount], cache=configured())
    async with Client(app) as client:
        assert await ttl(client, "/static/a.txt") == "60"
        assert mount.url_path_for("static", path="a.txt") == "/static/a.txt"
    for _ in range(2):
        sent = await messages(app, "/static/sub/index.html", [], {"http.response.pathsend": {}})
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]


async def test_a_hit_is_what_the_miss_was() -> None:
    """Status, fields and bytes, of every kind of response, under a policy of the mount."""

    async def several(request: Request) -> Response:
        response = PlainTextResponse("x", headers={"link": "<a>", "x-a": "1"})
        response.headers.append("link", "<b>")
        return response

    async def moved(request: Request) -> Response:
        return Response(b"", 301, {"location": "/x"}, media_type=None)

    def streamed(request: Request) -> Response:
        return StreamingResponse(iter([b"a", b"b"]), headers={"content-length": "2", "etag": '"e"'})

    endpoints: list[Any] = [several, moved, streamed, Page]
    routes = [Route(f"/{number}", endpoint) for number, endpoint in enumerate(endpoints)]
    plain = applications.Starlette(
        routes=[routing.Route(f"/{number}", endpoint) for number, endpoint in enumerate(endpoints)]
    )
    async with Client(Starlette(routes=[Mount("", routes=routes, cache=60)], cache=configured())) as client:
        for number in range(len(endpoints)):
            expected = await Client(plain).get(f"/{number}")
            miss, hit = await client.get(f"/{number}"), await client.get(f"/{number}")
            assert (miss.hit, hit.hit) == (False, True), number
            assert (hit.status, hit.body, hit.fields()) == (miss.status, miss.body, miss.fields())
            assert (miss.status, miss.body) == (expected.status, expected.body)
            assert set(expected.fields()) <= set(miss.fields())


@pytest.mark.parametrize("value", ["60", 0, object(), [60]])
def test_wrong_options_are_refused_where_they_stand(value: Any) -> None:
    """On the mount's own line."""
    with pytest.raises(ConfigurationError, match="cache"):
        Mount("/", routes=[], cache=value)
