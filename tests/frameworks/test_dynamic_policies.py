"""`cache_context`: a handler says what it found, and the cache acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

import fastapi
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

import asynccache_fastapi
import asynccache_starlette
from asynccache import DEFAULT, Cache, CachePolicy, ConfigurationError
from asynccache.http import CacheContext, cache_context
from asynccache.testing import FakeClock
from asynccache_fastapi import CacheContextDep, CacheControl, CacheMiddleware, FastAPI
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client, ticks

Say = Callable[[CacheContext], Any]
Build = Callable[[Say, CachePolicy, FakeClock], Any]


def by_starlette(say: Say, policy: CachePolicy, clock: FakeClock) -> Any:
    async def page(request: Request) -> Response:
        say(cache_context())
        return PlainTextResponse("x")

    routes = [asynccache_starlette.Route("/", page, cache=policy)]
    return asynccache_starlette.Starlette(routes=routes, cache=configured(clock))


def by_class(say: Say, policy: CachePolicy, clock: FakeClock) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        say(cache_context())
        await PlainTextResponse("x")(scope, receive, send)

    mount = asynccache_starlette.Mount("/", app=application, cache=policy)
    return asynccache_starlette.Starlette(routes=[mount], cache=configured(clock))


def by_dependency(say: Say, policy: CachePolicy, clock: FakeClock) -> Any:
    app = FastAPI(cache=configured(clock))

    @app.get("/", cache=policy)
    async def page(context: CacheContextDep) -> str:
        say(context)
        return "x"

    return app


def by_function_in_a_thread(say: Say, policy: CachePolicy, clock: FakeClock) -> Any:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=configured(clock))])

    @app.get("/", dependencies=[CacheControl(policy)])
    def page() -> str:
        say(cache_context())
        return "x"

    return app


BUILDS = pytest.mark.parametrize("build", [by_starlette, by_class, by_dependency, by_function_in_a_thread])


@BUILDS
@pytest.mark.parametrize("ttl", [5, timedelta(seconds=500), None])
async def test_the_ttl_is_what_the_handler_says(build: Build, ttl: Any) -> None:
    """Shorter, longer, or until invalidated."""
    clock = FakeClock()

    def say(context: CacheContext) -> None:
        assert context.ttl is DEFAULT
        context.ttl = ttl

    async with Client(build(say, CachePolicy(ttl=60), clock)) as client:
        hits = [(await client.get("/")).hit]
        for seconds in (4, 2, 100, 1000):
            clock.advance(seconds)
            hits.append((await client.get("/")).hit)
    assert hits == {5: [False, True, False, False, False], None: [False, True, True, True, True]}.get(
        ttl, [False, True, True, True, False]
    )


@BUILDS
async def test_no_store_keeps_one_response_out(build: Build) -> None:
    """The next one may be stored."""
    said: list[int] = []

    def say(context: CacheContext) -> None:
        said.append(1)
        if len(said) == 1:
            context.no_store()

    async with Client(build(say, CachePolicy(ttl=60), FakeClock())) as client:
        answers = [await client.get("/") for _ in range(3)]
    assert [answer.cache_status for answer in answers] == [
        "asynccache; fwd=uri-miss; detail=no-store",
        "asynccache; fwd=uri-miss; stored",
        "asynccache; hit; ttl=60",
    ]


@BUILDS
async def test_added_tags_invalidate(build: Build) -> None:
    """Although nobody could expect them."""
    app = build(lambda context: context.add_tags("a", "b"), CachePolicy(ttl=60), FakeClock())
    async with Client(app) as client:
        assert (await client.get("/")).cache_status == "asynccache; fwd=uri-miss; stored"
        assert (await client.get("/")).hit
        for tag, hit in (("b", False), ("other", True), ("a", False)):
            await cache_of(app).invalidate_tags(tag)
            assert (await client.get("/")).hit is hit
            assert (await client.get("/")).hit


def cache_of(app: Any) -> Cache:
    layer = app.middleware_stack
    while not isinstance(layer, asynccache_fastapi.CacheMiddleware | asynccache_starlette.CacheMiddleware):
        layer = layer.app
    return layer.cache


async def test_an_invalidation_while_the_handler_runs_is_not_lost() -> None:
    """It reads, the tag is invalidated, it adds the tag: what it has read is served to nobody else."""
    data, found = ["old"], asyncio.Event()
    go = asyncio.Event()
    go.set()
    app = FastAPI(cache=configured())

    @app.get("/", cache=60)
    async def page(context: CacheContextDep) -> str:
        value = data[-1]
        found.set()
        await go.wait()
        context.add_tags("shop")
        return value

    async with Client(app) as client:
        for known in (False, True):
            found.clear()
            go.clear()
            slow = client.start("/")
            await found.wait()
            data.append(f"new {known}")
            await cache_of(app).invalidate_tags("shop")
            go.set()
            await slow.answer()
            assert (await client.get("/")).text == f'"new {known}"'
            await cache_of(app).invalidate_tags("shop")


async def test_those_who_wait_for_a_response_with_unexpected_tags_get_it() -> None:
    """One run is enough."""
    runs: list[int] = []
    app = FastAPI(cache=configured())

    @app.get("/", cache=60)
    async def page(context: CacheContextDep) -> int:
        runs.append(1)
        await asyncio.sleep(0.01)
        context.add_tags("a")
        return len(runs)

    async with Client(app) as client:
        answers = await client.gather(20, "/")
    assert len(runs) == 1
    assert {answer.text for answer in answers} == {"1"}


async def test_users_do_not_displace_each_others_tags() -> None:
    """What is expected is expected of a URL and a user, and more than one run may contribute."""
    app = FastAPI(cache=configured())

    def user(request: Request) -> str:
        return request.headers["x-user"]

    @app.get("/", cache=CachePolicy(ttl=60, vary_on=user))
    async def page(request: Request, context: CacheContextDep) -> str:
        context.add_tags(f"user:{request.headers['x-user']}", request.headers["accept-language"])
        return "x"

    requests = [[("x-user", user), ("accept-language", language)] for user in "ab" for language in "de"]
    async with Client(app) as client:
        for _ in range(2):
            for headers in requests:
                await client.get("/", headers)
        assert all([(await client.get("/", headers)).hit for headers in requests[::2]])


async def test_a_stream_may_decide_late() -> None:
    """Until its last part."""

    async def page(request: Request) -> Response:
        async def parts() -> AsyncGenerator[bytes]:
            yield b"a"
            cache_context().no_store()
            yield b"b"

        return StreamingResponse(parts())

    routes = [asynccache_starlette.Route("/", page, cache=60)]
    async with Client(asynccache_starlette.Starlette(routes=routes, cache=configured())) as client:
        answers = [await client.get("/") for _ in range(2)]
    assert [(answer.text, answer.hit) for answer in answers] == [("ab", False)] * 2


async def test_a_refresh_in_the_background_says_so_too() -> None:
    """It is a request like others."""
    clock = FakeClock()
    ttls = iter([10, 1000])

    def say(context: CacheContext) -> None:
        context.ttl = next(ttls)

    app = by_dependency(say, CachePolicy(ttl=60, stale_while_revalidate=60), clock)
    async with Client(app) as client:
        await client.get("/")
        clock.advance(11)
        assert (await client.get("/")).cache_status.endswith("detail=stale")
        async with asyncio.timeout(5):
            while (answer := await client.get("/")).cache_status.endswith("detail=stale"):
                await ticks()
    assert answer.cache_status == "asynccache; hit; ttl=1000"


async def test_elsewhere_it_does_nothing() -> None:
    """In a route without a policy, in one for another method, without a cache, outside of a request."""

    def say() -> str:
        context = cache_context()
        context.ttl = 5
        context.add_tags("a")
        context.no_store()
        return "x"

    cached, plain = FastAPI(cache=configured()), fastapi.FastAPI()
    cached.api_route("/", methods=["POST"], cache=60)(say)
    for app in (cached, plain):
        app.get("/plain")(say)
        async with Client(app) as client:
            for _ in range(2):
                answer = await client.get("/plain")
                assert (answer.text, answer.cache_status) == ('"x"', "")
    async with Client(cached) as client:
        assert (await client.request("POST", "/")).cache_status == "asynccache; fwd=method"
    assert say() == "x"
    assert cache_context().ttl is DEFAULT


@pytest.mark.parametrize("wrong", [0, -1, "60", float("nan"), True])
def test_a_wrong_ttl_is_refused(wrong: Any) -> None:
    """As in a policy; "not at all" is `no_store`."""
    context = CacheContext()
    with pytest.raises(ConfigurationError, match="ttl"):
        context.ttl = wrong
    with pytest.raises(ConfigurationError, match="tags"):
        context.add_tags("")
    assert context.ttl is DEFAULT
    assert context.tags == ()
