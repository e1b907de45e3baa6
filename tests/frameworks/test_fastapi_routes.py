"""What is FastAPI's stays FastAPI's: models, validation, OpenAPI, dependencies, tasks, lifespan."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import BackgroundTasks, Depends, Header, HTTPException
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.websockets import WebSocket

import asynccache_fastapi
from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError, current_cache
from asynccache.testing import FakeClock
from asynccache_fastapi import CacheDep, cache_response, get_cache
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


class Item(BaseModel):
    """What clients see."""

    id: int
    name: str = "thing"


class Secret(Item):
    """What the handler knows."""

    price: float = 9.5


Register = Callable[[str, Any, Callable[..., Any]], Any]


def decorated(**options: Any) -> tuple[fastapi.FastAPI, Register]:
    """Return plain FastAPI with the middleware, and how a cached route is added to it."""
    app = fastapi.FastAPI(
        middleware=[Middleware(asynccache_fastapi.CacheMiddleware, config=configured())], **options
    )

    def register(path: str, policy: CachePolicy, endpoint: Callable[..., Any], **more: Any) -> Any:
        return app.get(path, **more)(cache_response(policy=policy)(endpoint))

    return app, register


def dropped_in(**options: Any) -> tuple[fastapi.FastAPI, Register]:
    """Return the drop-in class, and how a cached route is added to it."""
    app = asynccache_fastapi.FastAPI(cache=configured(), **options)

    def register(path: str, policy: CachePolicy, endpoint: Callable[..., Any], **more: Any) -> Any:
        return app.get(path, cache=policy, **more)(endpoint)

    return app, register


MAKERS = pytest.mark.parametrize("make", [decorated, dropped_in])
POLICY = CachePolicy(ttl=60)


@MAKERS
@pytest.mark.parametrize("public", [False, True])
async def test_response_model_filters_the_miss_and_so_the_hit(make: Any, public: bool) -> None:
    """What the model hides is in no answer, and a hit has the same bytes."""
    app, register = make()

    async def item(id: int) -> Secret:
        return Secret(id=id)

    register("/items/{id}", POLICY.but(public=public), item, response_model=Item, status_code=200)
    async with Client(app) as client:
        miss, hit = await client.get("/items/7"), await client.get("/items/7")
    assert miss.body == hit.body == b'{"id":7,"name":"thing"}'
    assert hit.hit
    assert hit.fields() == miss.fields()


@MAKERS
async def test_422_is_fastapis_and_never_stored(make: Any) -> None:
    """Arguments are validated before the cache is asked."""
    app, register = make()

    async def item(id: int) -> int:
        return id

    register("/items/{id}", POLICY, item)
    async with Client(app) as client:
        for _ in range(2):
            answer = await client.get("/items/x")
            assert (answer.status, answer.cache_status) == (422, "")


def documented(app: fastapi.FastAPI, add: Callable[..., Any]) -> dict[str, Any]:
    async def item(id: int, q: Annotated[str | None, Header()] = None) -> Item:
        """Return an item."""
        return Item(id=id)

    def listing(limit: int = 10) -> list[Item]:
        """Return items."""
        return []

    add("/items/{id}", POLICY, item, tags=["items"])
    add("/items", POLICY, listing)
    return app.openapi()


def dropped_in_silently(**options: Any) -> tuple[fastapi.FastAPI, Register]:
    """Return the drop-in class, told not to describe the cache."""
    return dropped_in(cache_openapi=False, **options)


@pytest.mark.parametrize("make", [decorated, dropped_in_silently])
def test_openapi_is_unchanged_by_caching_unless_the_cache_is_described(make: Any) -> None:
    """The schema is that of the same application without a cache."""
    plain = fastapi.FastAPI()

    def register(path: str, _: CachePolicy, endpoint: Callable[..., Any], **more: Any) -> Any:
        return plain.get(path, **more)(endpoint)

    expected = documented(plain, register)
    app, registering = make()
    assert documented(app, registering) == expected


@MAKERS
async def test_depends_run_before_every_hit(make: Any) -> None:
    """Dependencies, ``yield`` ones included, decide about every request that is not public."""
    log: list[str] = []

    async def user(x_user: Annotated[str, Header()]) -> AsyncGenerator[str]:
        if x_user == "mallory":
            raise HTTPException(403)
        log.append(f"enter {x_user}")
        yield x_user
        log.append(f"leave {x_user}")

    runs: list[str] = []

    async def endpoint(name: str = Depends(user)) -> str:
        runs.append(name)
        return "same for all users"

    app, register = make()
    register("/", POLICY, endpoint)
    async with Client(app) as client:
        names = ("alice", "bob", "alice", "mallory")
        answers = [await client.get("/", [("x-user", name)]) for name in names]
        none = await client.get("/")
    assert [answer.status for answer in answers] == [200, 200, 200, 403]
    assert none.status == 422
    assert runs == ["alice", "bob"]
    assert log == [f"{event} {name}" for name in ("alice", "bob", "alice") for event in ("enter", "leave")]


@MAKERS
@pytest.mark.parametrize("synchronous", [False, True])
async def test_background_tasks_run_on_the_miss_only(make: Any, synchronous: bool) -> None:
    """They belong to the run of the endpoint."""
    done: list[int] = []

    async def asynchronous_endpoint(tasks: BackgroundTasks) -> str:
        tasks.add_task(done.append, 1)
        return "x"

    def synchronous_endpoint(tasks: BackgroundTasks) -> str:
        tasks.add_task(done.append, 1)
        return "x"

    app, register = make()
    register("/", POLICY, synchronous_endpoint if synchronous else asynchronous_endpoint)
    async with Client(app) as client:
        for _ in range(3):
            await client.get("/")
    assert done == [1]


@MAKERS
async def test_exceptions_of_endpoints_are_fastapis(make: Any) -> None:
    """An HTTPException is answered as always and not stored."""
    app, register = make()
    runs: list[int] = []

    async def endpoint() -> str:
        runs.append(1)
        raise HTTPException(404, "nothing here", headers={"x-a": "1"})

    register("/", POLICY, endpoint)
    async with Client(app) as client:
        for _ in range(2):
            answer = await client.get("/")
            assert (answer.status, answer.text) == (404, '{"detail":"nothing here"}')
            assert answer.cache_status == "asynccache; fwd=uri-miss; detail=status"
    assert len(runs) == 2


async def test_stale_if_error_covers_endpoints() -> None:
    """An endpoint that raises, or an HTTPException of 5xx, is stood in for; a 4xx is an answer."""
    clock = FakeClock()
    errors: list[Exception] = []

    async def endpoint() -> str:
        if errors:
            raise errors.pop()
        return "good"

    app = asynccache_fastapi.FastAPI(cache=configured(clock))
    app.get("/", cache=CachePolicy(ttl=60, stale_if_error=60))(endpoint)
    async with Client(app) as client:
        await client.get("/")
        clock.advance(61)
        for error, status in ((OSError(), 200), (HTTPException(503), 200), (HTTPException(404), 404)):
            errors.append(error)
            assert (await client.get("/")).status == status


async def test_cachedep_and_get_cache_are_the_applications_cache() -> None:
    """In endpoints, dependencies and websockets; also before anything is cached."""
    cache = Cache(configured())
    app = asynccache_fastapi.FastAPI(cache=cache)
    seen: list[Cache] = []

    def dependency(cache: CacheDep) -> None:
        seen.append(cache)

    @app.get("/")
    async def endpoint(cache: CacheDep, request: Request, _: None = Depends(dependency)) -> str:
        seen.extend((cache, get_cache(request)))
        return "x"

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, cache: CacheDep) -> None:
        seen.extend((cache, get_cache(websocket)))
        await websocket.accept()
        await websocket.close()

    async with Client(app) as client:
        assert (await client.get("/")).status == 200
        await client.websocket("/ws")
    assert seen == [cache] * 5
    assert all("cache" not in str(path) for path in app.openapi()["paths"].values())


async def test_get_cache_without_a_middleware_says_so() -> None:
    """One clear error instead of an AttributeError."""
    app = fastapi.FastAPI()

    @app.get("/")
    async def endpoint(cache: CacheDep) -> None: ...

    with pytest.raises(ConfigurationError, match="no CacheMiddleware"):
        await Client(app).get("/")


@MAKERS
async def test_tags_are_filled_in_from_converted_arguments(make: Any) -> None:
    """``item:{id}`` is the id the endpoint got, so ``/items/007`` and ``/items/7`` are one item."""
    app, register = make()

    async def item(id: int) -> int:
        return id

    register("/items/{id}", POLICY.but(tags=["items", "item:{id}"]), item)

    async def change(id: int, cache: CacheDep) -> None:
        await cache.invalidate_tags(f"item:{id}")

    app.post("/change/{id}")(change)
    async with Client(app) as client:
        for target in ("/items/7", "/items/007", "/items/8"):
            await client.get(target)
        await client.request("POST", "/change/7")
        hits = [(await client.get(target)).hit for target in ("/items/7", "/items/007", "/items/8")]
    assert hits == [False, False, True]


@MAKERS
async def test_a_marked_function_called_by_another_endpoint_is_an_ordinary_function(make: Any) -> None:
    """Its policy is about its own route: another route's response is neither stored nor replaced by it."""
    made: tuple[fastapi.FastAPI, Register] = make()
    app = made[0]
    runs: list[str] = []

    @app.get("/item")
    @cache_response(ttl=60, public=True)
    async def item() -> dict[str, int]:
        runs.append("item")
        return {"price": 1}

    @app.get("/me")
    async def me(x_user: Annotated[str, Header()]) -> str:
        return f"{x_user} pays {(await item())['price']}"

    async with Client(app) as client:
        for name in ("alice", "bob", "alice"):
            answer = await client.get("/me", [("x-user", name)])
            assert (answer.text, answer.cache_status) == (f'"{name} pays 1"', "")
        assert [(await client.get("/item")).hit for _ in range(2)] == [False, True]


async def test_the_lifespan_of_the_application_is_intact() -> None:
    """Its state reaches requests, its cache is open in it, and both end in order."""
    log: list[object] = []

    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncGenerator[dict[str, str]]:
        log.append(current_cache() is cache)
        yield {"database": "connected"}
        log.append("down")

    cache = Cache(configured())
    app = asynccache_fastapi.FastAPI(cache=cache, lifespan=lifespan)

    @app.get("/", cache=True)
    async def endpoint(request: Request) -> str:
        return str(request.state.database)

    async with Client(app) as client:
        assert (await client.get("/")).text == '"connected"'
        assert log == [True]
    assert log == [True, "down"]


@pytest.mark.parametrize("value", ["60", 0, -1, float("nan"), object(), [60], CacheConfig()])
def test_wrong_cache_options_are_refused_on_the_routes_own_line(value: Any) -> None:
    """The error comes from ``app.get(...)``, not from the first request."""
    app, router = asynccache_fastapi.FastAPI(), asynccache_fastapi.APIRouter()
    for register in (app.get, router.get, app.api_route, router.api_route):
        with pytest.raises(ConfigurationError, match="cache"):
            register("/", cache=value)
    for target in (app, router):
        with pytest.raises(ConfigurationError, match="cache"):
            target.add_api_route("/", lambda: None, cache=value)
    with pytest.raises(ConfigurationError):
        cache_response(policy=value)


@pytest.mark.parametrize("value", [True, 10, 2.5, timedelta(seconds=5), POLICY])
async def test_every_kind_of_cache_option_caches(value: Any) -> None:
    """True, seconds, a timedelta or a policy; on application and router, by decorator and by call."""
    app, router = asynccache_fastapi.FastAPI(cache=configured()), asynccache_fastapi.APIRouter()

    async def endpoint() -> str:
        return "x"

    assert app.get("/a", cache=value)(endpoint) is endpoint
    router.get("/b", cache=value)(endpoint)
    app.add_api_route("/c", endpoint, cache=value)
    router.add_api_route("/d", endpoint, cache=value)
    app.include_router(router)
    async with Client(app) as client:
        for path in "abcd":
            assert [(await client.get(f"/{path}")).hit for _ in range(2)] == [False, True], path


@pytest.mark.parametrize("value", [None, False])
async def test_no_cache_option_caches_nothing(value: Any) -> None:
    """Without ``cache=``, or with False, a route is FastAPI's own."""
    app = asynccache_fastapi.FastAPI(cache=configured())

    @app.get("/", cache=value)
    async def endpoint() -> str:
        return "x"

    async with Client(app) as client:
        assert [(await client.get("/")).cache_status for _ in range(2)] == ["", ""]


def test_classes_and_generators_are_refused() -> None:
    """The decorator is for functions that return their response."""

    class Endpoint:
        pass

    async def stream() -> AsyncGenerator[int]:
        yield 1

    def lines() -> Any:
        yield 1

    for wrong in (Endpoint, stream, lines):
        with pytest.raises(ConfigurationError, match=r"function|stream"):
            cache_response(ttl=5)(wrong)


async def test_a_decorator_in_the_wrong_order_is_reported_at_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Above the route's decorator it has no effect; that is said at start, of included routers too."""
    app = fastapi.FastAPI(middleware=[Middleware(asynccache_fastapi.CacheMiddleware, config=configured())])
    router = fastapi.APIRouter()

    @cache_response(ttl=60)
    @router.get("/wrong/{id}")
    async def wrong(id: int) -> None: ...

    @app.get("/right")
    @cache_response(ttl=60)
    async def right() -> None: ...

    app.include_router(router, prefix="/v1")
    with caplog.at_level(logging.ERROR, "asynccache"):
        async with Client(app):
            pass
    assert [record.getMessage().split()[0] for record in caplog.records] == ["/v1/wrong/{id}"]


async def test_a_decorator_without_middleware_logs_once_and_works(caplog: pytest.LogCaptureFixture) -> None:
    """The endpoint answers uncached."""
    app = fastapi.FastAPI()
    runs: list[int] = []

    @app.get("/")
    @cache_response(ttl=60)
    async def endpoint() -> int:
        runs.append(1)
        return len(runs)

    client = Client(app)
    with caplog.at_level(logging.WARNING, "asynccache"):
        assert [(await client.get("/")).text for _ in range(3)] == ["1", "2", "3"]
    assert len(caplog.records) == 1


@MAKERS
async def test_a_tag_that_names_an_unknown_parameter_is_refused_at_start(make: Any) -> None:
    """Startup fails, in a way that servers take seriously."""
    app, register = make()

    async def item(id: int) -> None: ...

    register("/items/{id}", POLICY.but(tags=["item:{idd}"]), item)
    client = Client(app)
    answer = await client.startup()
    assert answer["type"] == "lifespan.startup.failed"
    assert "idd" in answer["message"]
    assert isinstance(await client.lifespan_error(), ConfigurationError)
