"""Which policy is in force where several could be: that of the nearest layer, for GET and HEAD only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Depends, HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.websockets import WebSocket

from asynccache import CachePolicy, ConfigurationError
from asynccache_fastapi import APIRouter, CacheControl, CacheMiddleware, FastAPI, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


async def endpoint() -> str:
    return "x"


def synchronous_endpoint() -> str:
    return "x"


async def guard(request: Request) -> None:
    if request.headers.get("x-key") != "k":
        raise HTTPException(401)


async def ttl(client: Client, path: str) -> str:
    """Return the ttl of a hit, "" if there is none."""
    answers = [await client.get(path) for _ in range(2)]
    return answers[1].cache_status.removeprefix("asynccache; hit; ttl=") if answers[1].hit else ""


ENDPOINTS = pytest.mark.parametrize("function", [endpoint, synchronous_endpoint])


@ENDPOINTS
async def test_the_nearest_policy_decides(function: Callable[..., Any]) -> None:
    """That of the route, of its router, of the inclusion, of the router around, of the application."""
    app = FastAPI(cache=configured(), cache_policy=10)
    outer, inner, plain = APIRouter(cache=20), APIRouter(cache=40), fastapi.APIRouter()
    app.get("/app")(function)
    app.get("/app-off", cache=False)(function)
    for router in (outer, inner, plain):
        router.get("/layer")(function)
    for cache, path in ((50, "/route"), (False, "/off")):
        inner.get(path, cache=cache)(function)
    plain.get("/marked")(cache_response(ttl=70)(function))
    plain.get("/control", dependencies=[CacheControl(80)])(function)
    plain.get("/control-off", dependencies=[CacheControl(False)])(function)
    outer.include_router(inner, prefix="/inner")
    outer.include_router(plain, prefix="/plain", cache=60)
    outer.include_router(plain, prefix="/around")
    app.include_router(outer, prefix="/outer")
    app.include_router(plain, prefix="/included")
    app.include_router(plain, prefix="/uncached", cache=False)
    expected = {
        "/app": "10", "/app-off": "", "/outer/layer": "20", "/outer/inner/layer": "40",
        "/outer/inner/route": "50", "/outer/inner/off": "", "/outer/plain/layer": "60",
        "/outer/plain/marked": "70", "/outer/plain/control": "80", "/outer/plain/control-off": "",
        "/outer/around/layer": "20", "/included/layer": "10", "/included/marked": "70",
        "/uncached/layer": "", "/uncached/marked": "70", "/uncached/control": "80",
    }  # fmt: skip
    async with Client(app) as client:
        assert {path: await ttl(client, path) for path in expected} == expected


@ENDPOINTS
async def test_controls_of_plain_fastapi_reach_all_levels(function: Callable[..., Any]) -> None:
    """``dependencies=[CacheControl(...)]`` on application, router, inclusion and route."""
    app = fastapi.FastAPI(
        middleware=[Middleware(CacheMiddleware, config=configured())], dependencies=[CacheControl(10)]
    )
    router = fastapi.APIRouter(dependencies=[CacheControl(ttl=30)])
    plain = fastapi.APIRouter()
    app.get("/app")(function)
    router.get("/router")(function)
    router.get("/route", dependencies=[CacheControl(CachePolicy(ttl=40))])(function)
    router.get("/decorated")(cache_response(ttl=50)(function))
    plain.get("/x")(function)
    app.include_router(router, dependencies=[CacheControl(20)])
    app.include_router(plain, prefix="/included", dependencies=[CacheControl(20)])
    app.include_router(plain, prefix="/off", dependencies=[CacheControl(False)])
    expected = {
        "/app": "10", "/router": "30", "/route": "40", "/decorated": "50", "/included/x": "20", "/off/x": ""
    }  # fmt: skip
    async with Client(app) as client:
        assert {path: await ttl(client, path) for path in expected} == expected


async def test_one_control_on_two_layers_of_a_route_is_refused_at_start() -> None:
    """FastAPI would run it once, and then another one in between would seem to be the nearest."""
    control = CacheControl(30)
    app = FastAPI(cache=configured(), dependencies=[control])
    router = fastapi.APIRouter(dependencies=[CacheControl(False)])
    router.get("/x", dependencies=[control])(endpoint)
    app.include_router(router)
    client = Client(app)
    assert "/x" in (await client.startup())["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)


async def test_inherited_policies_leave_other_methods_and_sockets_alone() -> None:
    """A POST of a cached router shows no trace of the cache; nor does a stream, or a WebSocket."""
    router = APIRouter(cache=60)
    other = fastapi.APIRouter()

    async def stream() -> Any:
        yield {"line": 1}

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    for target in (router, other):
        target.post("/post")(endpoint)
        target.api_route("/both", methods=["GET", "POST"])(endpoint)
        target.get("/stream")(stream)
        target.websocket("/ws")(socket)
    app = FastAPI(cache=configured())
    app.include_router(router, prefix="/a")
    app.include_router(other, prefix="/b", cache=60)
    async with Client(app) as client:
        for prefix in ("/a", "/b"):
            for path, method in (("/post", "POST"), ("/both", "POST"), ("/stream", "GET")):
                answer = await client.request(method, prefix + path)
                assert (answer.status, answer.cache_status) == (200, ""), (prefix, path)
            assert await ttl(client, f"{prefix}/both") == "60"
            assert [message["type"] for message in await client.websocket(f"{prefix}/ws")] == [
                "websocket.accept", "websocket.close",
            ]  # fmt: skip


async def test_routes_added_while_the_application_runs_are_cached_too() -> None:
    """To the application and to a router that it has included before it started."""
    app = fastapi.FastAPI(
        middleware=[Middleware(CacheMiddleware, config=configured())], dependencies=[CacheControl(60)]
    )
    router = fastapi.APIRouter()
    app.include_router(router, prefix="/r")
    router.get("/early")(synchronous_endpoint)
    async with Client(app) as client:
        assert await ttl(client, "/r/early") == "60"
        router.get("/late")(synchronous_endpoint)
        app.get("/late")(endpoint)
        for path in ("/r/late", "/late", "/r/early"):
            await client.get(path)  # notices
            assert await ttl(client, path) == "60", path


async def test_without_a_lifespan_the_first_request_prepares_the_routes() -> None:
    """A test client that does not start the application gets cached answers from the second request on."""
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
    app.get("/", dependencies=[CacheControl(60)])(synchronous_endpoint)
    client = Client(app)
    assert [(await client.get("/")).hit for _ in range(3)] == [False, False, True]


async def test_a_router_in_two_applications_is_cached_in_both() -> None:
    """Each under the policy it has there."""
    router = fastapi.APIRouter()
    router.get("/x")(synchronous_endpoint)
    apps = [FastAPI(cache=configured()) for _ in range(3)]
    for app, cache in zip(apps, (10, 20, None), strict=True):
        app.include_router(router, cache=cache)
    for app, expected in zip(apps, ("10", "20", ""), strict=True):
        async with Client(app) as client:
            assert await ttl(client, "/x") == expected


async def test_a_mounted_application_has_layers_of_its_own() -> None:
    """The outer application's policy ends at the mount, where the inner one's begins; they share a cache."""
    inner = FastAPI(cache=configured(), cache_policy=20)
    plain = fastapi.FastAPI(dependencies=[CacheControl(30)])
    other = fastapi.FastAPI()
    outer = FastAPI(cache=configured(), cache_policy=10)
    for app in (inner, plain, other, outer):
        app.get("/x")(synchronous_endpoint)
    outer.mount("/inner", inner)
    outer.mount("/plain", plain)
    outer.mount("/other", other)
    async with Client(outer) as client:
        await client.get("/plain/x")
        assert [await ttl(client, f"{mount}/x") for mount in ("", "/inner", "/plain", "/other")] == [
            "10", "20", "30", "",
        ]  # fmt: skip


async def test_preparing_a_route_changes_nothing_else_about_it() -> None:
    """Status, model, tags, name, custom class: all that was said when the route was made."""
    seen: list[str] = []

    class Loud(fastapi.routing.APIRoute):
        def get_route_handler(self) -> Callable[..., Any]:
            handle = super().get_route_handler()

            async def handler(request: Request) -> Any:
                seen.append(self.name)
                return await handle(request)

            return handler

    def build(dependencies: list[Any]) -> fastapi.FastAPI:
        app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured())])
        router = fastapi.APIRouter(route_class=Loud, tags=["t"])

        @router.get(
            "/{id}", status_code=203, response_model=dict[str, int], name="named", summary="S",
            responses={404: {"description": "none"}}, response_description="R", deprecated=True,
            dependencies=dependencies, operation_id="op", openapi_extra={"x-a": 1},
        )  # fmt: skip
        def item(id: int, q: int = 3) -> Any:
            """Say what it is."""
            return {"id": id, "q": q}

        app.include_router(router, prefix="/items")
        return app

    cached = build([CacheControl(CachePolicy(ttl=60, statuses=[203]))])
    before = cached.openapi()
    async with Client(cached) as client:
        answers = [await client.get("/items/5?q=4") for _ in range(2)]
        assert (await client.get("/items/x")).status == 422
    assert [answer.hit for answer in answers] == [False, True]
    assert {(answer.status, answer.text) for answer in answers} == {(203, '{"id":5,"q":4}')}
    cached.openapi_schema = None
    assert cached.openapi() == before == build([]).openapi()
    assert cached.url_path_for("named", id=1) == "/items/1"
    assert seen == ["named"] * 3


async def test_a_guard_of_any_level_runs_before_an_inherited_hit() -> None:
    """Also where the policy stands further out than what authenticates."""
    app = fastapi.FastAPI(
        middleware=[Middleware(CacheMiddleware, config=configured())], dependencies=[CacheControl(60)]
    )

    @app.get("/")
    def guarded(_: Annotated[None, Depends(guard)]) -> str:
        return "secret"

    async with Client(app) as client:
        allowed = [await client.get("/", [("x-key", "k")]) for _ in range(2)]
        assert [answer.hit for answer in allowed] == [False, True]
        assert (await client.get("/")).status == 401


@pytest.mark.parametrize("where", ["router", "include", "app", "control"])
async def test_an_inherited_tag_that_a_route_cannot_fill_in_is_refused_at_start(where: str) -> None:
    """As a route's own would be."""
    policy = CachePolicy(ttl=60, tags=["item:{id}"])
    app = FastAPI(cache=configured(), cache_policy=policy if where == "app" else None)
    router = APIRouter(cache=policy if where == "router" else None)
    router.get("/items/{id}")(endpoint)
    router.get("/items", dependencies=[CacheControl(policy)] if where == "control" else [])(endpoint)
    app.include_router(router, cache=policy if where == "include" else None)
    client = Client(app)
    answer = await client.startup()
    assert answer["type"] == "lifespan.startup.failed"
    assert "id" in answer["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)


async def test_the_wrong_order_is_reported_in_mounted_applications_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the whole path."""
    inner, outer = fastapi.FastAPI(), FastAPI(cache=configured())

    @cache_response(ttl=60)
    @inner.get("/wrong")
    async def wrong() -> None: ...

    outer.mount("/in", inner)
    with caplog.at_level(logging.ERROR, "asynccache"):
        async with Client(outer):
            pass
    assert [record.getMessage().split()[0] for record in caplog.records] == ["/in/wrong"]


@pytest.mark.parametrize("value", ["60", 0, object(), [60]])
def test_wrong_options_are_refused_where_they_stand(value: Any) -> None:
    """On the line that says it, at import time."""
    app, router = FastAPI(), APIRouter()
    assert CacheControl(60, tags=["a"]).dependency is not None
    for refusing in (
        lambda: FastAPI(cache_policy=value),
        lambda: APIRouter(cache=value),
        lambda: app.include_router(router, cache=value),
        lambda: router.include_router(APIRouter(), cache=value),
        lambda: CacheControl(value),
        lambda: CacheControl(ttl="60"),  # type: ignore[arg-type]
        lambda: CacheControl(nonsense=1),
        lambda: CacheControl(False, ttl=60),
        lambda: CacheControl(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError):
            refusing()
