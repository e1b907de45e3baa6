"""`invalidate_route`: what is stored for a route goes, however it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastapi
import pytest
from starlette import applications, routing
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import NoMatchFound
from starlette.websockets import WebSocket

import asynccache_starlette
from asynccache import CachePolicy, ConfigurationError
from asynccache_fastapi import APIRouter, FastAPI, invalidate_route
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client

Undo = Callable[[Request], Any]
Build = Callable[[Undo], Any]


def user(request: Request) -> str:
    return request.headers.get("x-user", "-")


POLICY = CachePolicy(ttl=60, vary_on=user, vary=["x-vary"])
QUERIES = ["", "?page=2", "?page=2&page=2", "?%61"]


def by_fastapi(undo: Undo) -> Any:
    app = FastAPI(cache=configured())
    inner, outer = APIRouter(), fastapi.APIRouter()

    @inner.get("/items/{id}", cache=POLICY)
    async def item(id: str) -> str:
        return id

    @app.post("/undo")
    async def undoing(request: Request) -> None:
        await undo(request)

    outer.include_router(inner, prefix="/shop")
    app.include_router(outer)
    return app


async def page(request: Request) -> Response:
    return PlainTextResponse(request.path_params["id"])


def by_starlette(undo: Undo) -> Any:
    async def undoing(request: Request) -> Response:
        await undo(request)
        return Response()

    shop = routing.Mount(
        "/shop", routes=[asynccache_starlette.Route("/items/{id}", page, cache=POLICY, name="item")]
    )
    routes: list[routing.BaseRoute] = [shop, routing.Route("/undo", undoing, methods=["POST"])]
    return asynccache_starlette.Starlette(routes=routes, cache=configured())


BUILDS = pytest.mark.parametrize("build", [by_fastapi, by_starlette])


@BUILDS
async def test_all_queries_variants_and_users_go_and_nothing_else(build: Build) -> None:
    """However the path was escaped; other parameters' responses stay."""
    app = build(lambda request: invalidate_route(request, "item", id="5"))
    targets = [f"/shop/items/5{query}" for query in QUERIES] + ["/shop/items/%35", "/shop/items/%35?a"]
    others = ["/shop/items/55", "/shop/items/55?page=2", "/shop/items/4?5"]
    users = [[("x-user", user), ("x-vary", vary)] for user in "ab" for vary in "cd"]
    async with Client(app) as client:
        for _ in range(2):
            for target in targets + others:
                for headers in users:
                    await client.get(target, headers)
            for target in targets + others:
                assert [(await client.get(target, headers)).hit for headers in users] == [True] * 4, target
            await client.request("POST", "/undo")
            for target in others:
                assert [(await client.get(target, headers)).hit for headers in users] == [True] * 4, target
            for target in targets:
                assert not (await client.get(target, users[0])).hit, target
                assert not (await client.get(target, users[3])).hit, target


@BUILDS
@pytest.mark.parametrize(
    "value, target",
    [("ä b", "/shop/items/%C3%A4%20b"), ("a?b#c", "/shop/items/a%3Fb%23c"), ("100%", "/shop/items/100%25")],
)
async def test_parameters_are_what_the_handler_gets(build: Build, value: str, target: str) -> None:
    """Decoded; whatever needs escapes in a URL."""
    async with Client(build(lambda request: invalidate_route(request, "item", id=value))) as client:
        assert [(await client.get(target)).hit for _ in range(2)] == [False, True]
        await client.request("POST", "/undo")
        assert not (await client.get(target)).hit


@BUILDS
@pytest.mark.parametrize(
    "base, left",
    [
        (None, [False, True]),
        ("http://OTHER.test:8000/x", [True, False]),
        ("http://shop.test:80", [False, True]),
        ("https://shop.test", [True, True]),
    ],
)
async def test_the_origin_is_the_requests_or_the_one_that_is_named(
    build: Build, base: str | None, left: list[bool]
) -> None:
    """An answer to one host says nothing about another's."""
    app = build(lambda request: invalidate_route(request, "item", base_url=base, id=5))
    async with Client(app) as client:
        clients = [client, Client(app, host="other.test:8000")]
        for one in clients:
            assert [(await one.get("/shop/items/5")).hit for _ in range(2)] == [False, True]
        await client.request("POST", "/undo")
        assert [(await one.get("/shop/items/5")).hit for one in clients] == left


@BUILDS
@pytest.mark.parametrize("base", ["", "shop.test", "http://", "http://a b/", "//shop.test"])
async def test_what_is_no_origin_is_refused(build: Build, base: str) -> None:
    """An invalidation that reaches nothing is a mistake to hear of."""
    app = build(lambda request: invalidate_route(request, "item", base_url=base, id=5))
    async with Client(app) as client:
        with pytest.raises(ConfigurationError, match="base_url"):
            await client.request("POST", "/undo")


@BUILDS
@pytest.mark.parametrize("arguments", [("nothing", {}), ("item", {}), ("item", {"id": 1, "more": 2})])
async def test_an_unknown_route_is_an_error(build: Build, arguments: Any) -> None:
    """The frameworks' own, as from ``url_for``."""
    name, parameters = arguments
    async with Client(build(lambda request: invalidate_route(request, name, **parameters))) as client:
        with pytest.raises(NoMatchFound):
            await client.request("POST", "/undo")


async def test_named_mounts_and_endpoint_classes() -> None:
    """``mount:route``, as in ``url_for``; a class's name is its route's."""

    class Item(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("x")

    async def undo(request: Request) -> Response:
        await asynccache_starlette.invalidate_route(request, "a:b:Item", tenant="t", id=1)
        return Response()

    inner = routing.Mount("/b", routes=[asynccache_starlette.Route("/{id:int}", Item)], name="b")
    outer = asynccache_starlette.Mount("/{tenant}", routes=[inner], name="a", cache=60)
    routes = [routing.Route("/undo", undo), outer]
    async with Client(asynccache_starlette.Starlette(routes=routes, cache=configured())) as client:
        for target in ("/t/b/1", "/t/b/1?q", "/u/b/1"):
            assert [(await client.get(target)).hit for _ in range(2)] == [False, True]
        await client.get("/undo")
        assert [(await client.get(target)).hit for target in ("/t/b/1", "/t/b/1?q", "/u/b/1")] == [
            False, False, True,
        ]  # fmt: skip


@pytest.mark.parametrize("root", ["sent", "cut off"])
async def test_root_paths(root: str) -> None:
    """Whether the server sends the root path to the application or a proxy cuts it off."""
    app = FastAPI(cache=configured())

    @app.get("/items/{id}", cache=60)
    async def item(id: int) -> int:
        return id

    @app.post("/undo")
    async def undo(request: Request) -> None:
        await invalidate_route(request, "item", id=5)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        scope["root_path"] = "/api"
        await app(scope, receive, send)

    prefix = "/api" if root == "sent" else ""
    async with Client(served) as client:
        for target in ("/items/5", "/items/5?q"):
            assert [(await client.get(prefix + target)).hit for _ in range(2)] == [False, True]
        await client.request("POST", prefix + "/undo")
        assert [(await client.get(prefix + target)).hit for target in ("/items/5", "/items/5?q")] == [
            False
        ] * 2


async def test_public_routes_and_filtered_queries() -> None:
    """Hits before routing end too; where the query is no part of the key, one key is all there is."""
    app = FastAPI(cache=configured())

    @app.get("/public/{id}", cache=CachePolicy(ttl=60, public=True))
    async def public(id: int) -> int:
        return id

    @app.get("/filtered", cache=CachePolicy(ttl=60, query=["q"]))
    async def filtered() -> int:
        return 1

    @app.post("/undo")
    async def undo(request: Request) -> None:
        assert await invalidate_route(request, "public", id=5)
        assert await invalidate_route(request, "filtered")

    targets = ["/public/5", "/public/5?a", "/filtered?x=1", "/filtered?q=1"]
    async with Client(app) as client:
        for _ in range(2):
            for target in targets:
                await client.get(target)
                assert (await client.get(target)).hit
            await client.request("POST", "/undo")
            assert [(await client.get(target)).hit for target in targets] == [False] * 4


async def test_from_a_websocket() -> None:
    """It has an application, a host and a scheme too."""
    app = FastAPI(cache=configured())

    @app.get("/x", cache=60)
    async def x() -> str:
        return "x"

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await invalidate_route(websocket, "x")
        await websocket.close()

    async with Client(app) as client:
        assert [(await client.get("/x")).hit for _ in range(2)] == [False, True]
        await client.websocket("/ws")
        assert not (await client.get("/x")).hit


async def test_without_a_cache_it_says_so() -> None:
    """One clear error."""

    async def undo(request: Request) -> Response:
        await asynccache_starlette.invalidate_route(request, "undo")
        raise AssertionError

    app = applications.Starlette(routes=[routing.Route("/undo", undo)])
    with pytest.raises(ConfigurationError, match="no CacheMiddleware"):
        await Client(app).get("/undo")
    with pytest.raises(ConfigurationError, match="request"):
        await asynccache_starlette.invalidate_route(Request({"type": "http", "headers": []}), "undo")
