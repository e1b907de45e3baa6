"""`override_cache`: whatever put the cache there, a test may put another in its place."""

from __future__ import annotations

from typing import Any

import fastapi
import pytest
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import asynccache_fastapi
import asynccache_starlette
from asynccache import (
    Cache,
    CacheConfig,
    CachePolicy,
    ConfigurationError,
    HTTPConfig,
    InMemoryBackend,
    current_cache,
)
from asynccache.http import CacheMiddleware, MarkedApp, Rule
from asynccache.testing import FakeClock, override_cache
from asynccache_fastapi import CacheDep
from asynccache_litestar import CacheDep as LitestarCache, CachePlugin
from asynccache_starlette import get_cache
from tests.frameworks.framework_apps import SPELLINGS, Counting, Page, Shop, Spelling
from tests.http_middleware.asgi_client import Client
from tests.http_middleware.tiny_apps import Handler


class Untouched(InMemoryBackend):
    """The application's own store, which nobody may touch during a test."""

    async def open(self) -> None:
        """Fail."""
        raise AssertionError

    def get_entry(self, key: str) -> Any:
        """Fail."""
        raise AssertionError

    def set_entry(self, entry: Any) -> Any:
        """Fail."""
        raise AssertionError


def shop(backend: Any = None, **settings: Any) -> tuple[Shop, Counting]:
    handler = Counting()
    config = CacheConfig(backend=backend or Untouched(), fail_open=False, **settings)
    return Shop([Page("/page", handler, CachePolicy(ttl=60, tags=["t"]))], config), handler


@pytest.fixture(params=SPELLINGS, ids=[spelling.name for spelling in SPELLINGS])
def spelling(request: pytest.FixtureRequest) -> Spelling:
    chosen: Spelling = request.param
    return chosen


async def test_before_the_start_in_every_spelling(spelling: Spelling) -> None:
    """The application's own store is not even opened; time is the test's."""
    described, handler = shop()
    app = spelling.build(described)
    clock = FakeClock()
    with override_cache(app, clock=clock) as cache:
        async with Client(app) as client:
            assert [(await client.get("/page")).text for _ in range(2)] == ["run 1", "run 1"]
            assert cache.stats().hits == 1
            clock.advance(60)
            assert (await client.get("/page")).text == "run 2"
            await cache.invalidate_tags("t")
            assert (await client.get("/page")).text == "run 3"
    assert handler.runs == 3


async def test_while_it_runs_in_every_spelling(spelling: Spelling) -> None:
    """What was stored before is there again afterwards, and nothing that was stored meanwhile."""
    described, handler = shop(InMemoryBackend())
    app = spelling.build(described)
    async with Client(app) as client:
        assert [(await client.get("/page")).text for _ in range(3)] == ["run 1"] * 3
        with override_cache(app):
            assert [(await client.get("/page")).text for _ in range(3)] == ["run 2"] * 3
        assert [(await client.get("/page")).text for _ in range(3)] == ["run 1"] * 3
    assert handler.runs == 2


async def test_afterwards_everything_is_as_before(spelling: Spelling) -> None:
    """Of a test that fails, too; an application can be overridden, started and overridden again."""
    described, _ = shop(InMemoryBackend())
    app = spelling.build(described)
    for number in (1, 3):
        with pytest.raises(ZeroDivisionError), override_cache(app):  # noqa: PT012 - the block is the point
            async with Client(app) as client:
                assert (await client.get("/page")).text == f"run {number}"
            raise ZeroDivisionError
        async with Client(app) as client:
            assert (await client.get("/page")).text == f"run {number + 1}"
            assert (await client.get("/page")).hit


async def test_public_responses_are_forgotten_too() -> None:
    """What is answered before routing comes from the cache in force."""
    described, _ = shop(InMemoryBackend())
    described.pages = [Page("/page", Counting(), CachePolicy(ttl=60, public=True))]
    for spelling in SPELLINGS:
        app = spelling.build(described)
        async with Client(app) as client:
            for _ in range(3):
                await client.get("/page")
            with override_cache(app):
                assert [(await client.get("/page")).hit for _ in range(3)] == [False, True, True]


def test_settings_stay_but_for_store_and_clock() -> None:
    """A default ttl that a test relies on is the one the application has."""
    config = CacheConfig(
        backend=Untouched(), namespace="mine", default_ttl=7, http=HTTPConfig(cache_status=False)
    )
    clock = FakeClock()
    with override_cache(asynccache_fastapi.FastAPI(cache=config), clock=clock) as cache:
        assert cache.config == config.but(backend=cache.config.backend, clock=clock)
        assert isinstance(cache.config.backend, InMemoryBackend)
        assert cache.config.backend is not config.backend


def test_time_stands_still_by_default() -> None:
    """Nothing expires because the machine is busy."""
    app = asynccache_fastapi.FastAPI(cache=CacheConfig())
    with override_cache(app) as cache:
        assert isinstance(cache.config.clock, FakeClock)


@pytest.mark.parametrize("as_config", [True, False])
async def test_a_cache_of_ones_own(as_config: bool) -> None:
    """A configuration or a cache, used as it is."""
    described, _ = shop()
    own = CacheConfig(namespace="own", default_ttl=5)
    app = SPELLINGS[0].build(described)
    given = own if as_config else Cache(own)
    with override_cache(app, given) as cache:
        assert cache.config is own
        assert cache is given or as_config
        async with Client(app) as client:
            await client.get("/page")
        assert cache.stats().stored == 1


async def test_handlers_functions_and_lifespans_see_it() -> None:
    """`get_cache`, `CacheDep` and `current_cache` all mean the cache in force."""
    seen: list[Cache] = []

    async def home(request: Request) -> Response:
        seen.extend([get_cache(request), current_cache()])
        return PlainTextResponse("")

    async def nothing(cache: CacheDep) -> None:
        seen.append(cache)

    starlette = asynccache_starlette.Starlette(
        routes=[Route("/", home)], cache=CacheConfig(backend=Untouched())
    )
    api = asynccache_fastapi.FastAPI(cache=CacheConfig(backend=Untouched()))
    api.get("/")(nothing)
    for app in (starlette, api):
        with override_cache(app) as cache, TestClient(app) as client:
            client.get("/")
            assert seen
            assert all(each is cache for each in seen)
        seen.clear()


async def test_litestar_injects_it_and_names_it() -> None:
    """The plugin has one cache, wherever it is asked for."""
    seen: list[Cache] = []

    @get("/")
    async def home(cache: LitestarCache) -> None:
        seen.append(cache)

    plugin = CachePlugin(CacheConfig(backend=Untouched(), fail_open=False))
    app = Litestar([home], plugins=[plugin], logging_config=None)
    own = plugin.cache
    with override_cache(app) as cache:
        async with Client(app) as client:
            await client.get("/")
        assert seen == [cache]
        assert plugin.cache is cache
    assert plugin.cache is own


def stacks(handler: Any) -> dict[str, Any]:
    """Return applications whose cache is not where one looks first."""
    config = CacheConfig(backend=Untouched(), fail_open=False)
    marked = MarkedApp(handler, CachePolicy(ttl=60))
    cached = CacheMiddleware(marked, config)
    inner = asynccache_starlette.Starlette(
        routes=[asynccache_starlette.Route("/page", marked, cache=60)], cache=config
    )
    router = fastapi.APIRouter()
    router.mount("/sub", cached)
    api = fastapi.FastAPI()
    api.include_router(router)

    class Quartlike:
        """Keeps what it calls in an attribute, as Quart does."""

        def __init__(self, app: Any) -> None:
            self.asgi_app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """Pass on."""
            await self.asgi_app(scope, receive, send)

    return {
        "itself": cached,
        "outside": CacheMiddleware(Starlette(routes=[Mount("/", handler)]), config, rules=[Rule("/*", 60)]),
        "wrapped": GZipMiddleware(GZipMiddleware(cached)),
        "behind": Starlette(
            routes=[Mount("/", marked)],
            middleware=[Middleware(GZipMiddleware), Middleware(CacheMiddleware, config=config)],
        ),
        "on a route": Starlette(
            routes=[Route("/page", marked, middleware=[Middleware(CacheMiddleware, config=config)])]
        ),
        "on a mount": Starlette(
            routes=[
                Mount("/", routes=[Route("/page", marked)], middleware=[Middleware(CacheMiddleware, config)])
            ]
        ),
        "in a mounted application": Starlette(routes=[Mount("/sub", inner)]),
        "in an included router": api,
        "like Quart": Quartlike(cached),
    }


@pytest.mark.parametrize("name", stacks(Handler()))
async def test_wherever_the_middleware_is(name: str) -> None:
    """In front, behind other middleware, at one route, in what is mounted."""
    handler = Handler()
    app = stacks(handler)[name]
    path = "/sub/page" if name.startswith("in ") else "/page"
    with override_cache(app) as cache:
        client = Client(app)
        assert [(await client.get(path)).text for _ in range(2)] == ["run 1", "run 1"]
        assert cache.stats().stored == 1


async def test_several_caches_stay_several() -> None:
    """And one that is shared stays shared; the outermost is the one that is given."""
    shared, other = Cache(CacheConfig(namespace="shared")), Cache(CacheConfig(namespace="other"))
    parts = [CacheMiddleware(Handler(), cache=cache) for cache in (shared, other, shared)]
    app = Starlette(routes=[Mount(f"/{number}", part) for number, part in enumerate(parts)])
    with override_cache(app) as cache:
        assert [part.cache.config.namespace for part in parts] == ["shared", "other", "shared"]
        assert parts[0].cache is parts[2].cache is cache
        assert not {shared, other} & {part.cache for part in parts}
    assert [part.cache for part in parts] == [shared, other, shared]


def test_an_application_without_a_cache_is_an_error() -> None:
    """Else the test would test nothing."""
    hidden = CacheMiddleware(Handler())

    async def hiding(scope: Any, receive: Any, send: Any) -> None:
        await hidden(scope, receive, send)

    for app in (Starlette(), fastapi.FastAPI(), Litestar([]), hiding, None):
        with pytest.raises(ConfigurationError, match="pass the CacheMiddleware itself"), override_cache(app):
            pytest.fail("not reached")


def test_looking_leaves_no_trace() -> None:
    """Middleware can still be added afterwards: the application has not begun."""
    app = asynccache_fastapi.FastAPI(cache=CacheConfig())
    with override_cache(app):
        pass
    app.add_middleware(GZipMiddleware)
    assert app.middleware_stack is None


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"cache": "memory://"}, "a Cache or a CacheConfig"),
        ({"cache": InMemoryBackend()}, "a Cache or a CacheConfig"),
        ({"cache": CacheConfig(), "clock": FakeClock()}, "either cache or clock"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=message),
        override_cache(CacheMiddleware(Handler()), **arguments),
    ):
        pytest.fail("not reached")
