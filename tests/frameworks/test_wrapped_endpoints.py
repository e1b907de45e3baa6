"""Decorators of others around cached endpoints: they need not know that a cache made one asynchronous."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import fastapi
import pytest
from starlette import routing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from asynccache_fastapi import CacheControl, FastAPI
from asynccache_starlette import CacheMiddleware, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


def passing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do nothing, by way of a synchronous function, as tracing and older SDKs do."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def plain(request: Request) -> Response:
    return PlainTextResponse("x")


async def coroutine(request: Request) -> Response:
    return PlainTextResponse("x")


async def assert_cached(app: Any) -> None:
    async with Client(app) as client:
        answers = [await client.get("/") for _ in range(2)]
    assert [(answer.status, answer.text, answer.hit) for answer in answers] == [
        (200, "x", False), (200, "x", True),
    ]  # fmt: skip


async def test_a_synchronous_wrapper_around_a_synchronous_endpoint_in_starlette() -> None:
    """It was called in a thread; now what it returns is awaited."""
    endpoint = passing(passing(cache_response(ttl=60)(plain)))
    await assert_cached(
        Starlette(
            routes=[routing.Route("/", endpoint)],
            middleware=[Middleware(CacheMiddleware, config=configured())],
        )
    )


@pytest.mark.parametrize("function", [plain, coroutine])
async def test_a_synchronous_wrapper_around_an_endpoint_in_fastapi(function: Any) -> None:
    """FastAPI looks at the innermost function, and finds out that it has to await all the same."""
    app = FastAPI(cache=configured())
    app.get("/")(passing(passing(cache_response(ttl=60)(function))))
    await assert_cached(app)


@pytest.mark.parametrize("function", [plain, coroutine])
@pytest.mark.parametrize("layer", ["route", "application", "router", "dependency"])
async def test_whoever_wraps_the_endpoints_of_fastapi_may_do_so(
    function: Any, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some SDKs wrap whatever FastAPI is about to call, for each route again."""
    handler = fastapi.routing.get_request_handler

    def wrapping(*args: Any, **kwargs: Any) -> Any:
        kwargs["dependant"].call = passing(kwargs["dependant"].call)
        return handler(*args, **kwargs)

    monkeypatch.setattr(fastapi.routing, "get_request_handler", wrapping)
    app = FastAPI(cache=configured(), cache_policy=60 if layer == "application" else None)
    router = fastapi.APIRouter(dependencies=[CacheControl(ttl=60)] if layer == "dependency" else [])
    if layer == "route":
        app.get("/", cache=60)(function)
    else:
        router.get("/")(function)
        app.include_router(router, cache=60 if layer == "router" else None)
    await assert_cached(app)
