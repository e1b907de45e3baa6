"""Applications are let go: a test-suite makes one for each test, and must not keep them all."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Annotated, Any
from weakref import ref

import fastapi
import pytest
from fastapi import Depends, Header
from litestar import Litestar, get
from litestar.testing import TestClient as LitestarClient
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from asynccache import CacheConfig, HTTPConfig
from asynccache_fastapi import CacheMiddleware, FastAPI, cache_response
from asynccache_litestar import CachePlugin
from asynccache_starlette import Route, Starlette


class Marker:
    """Lives as long as the application that has it; some applications cannot be referred to weakly."""


def dependency(x_tenant: Annotated[str, Header()] = "") -> str:
    return x_tenant


def fastapi_drop_in() -> Any:
    app = FastAPI(cache=CacheConfig())

    @app.get("/", cache=60)
    def read(tenant: Annotated[str, Depends(dependency)]) -> dict[str, str]:
        return {"tenant": tenant}

    app.dependency_overrides[dependency] = lambda: "replaced"
    return app


def fastapi_plain() -> Any:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, config=CacheConfig())])

    @app.get("/")
    @cache_response(ttl=60)
    async def read(tenant: Annotated[str, Depends(dependency)]) -> dict[str, str]:
        return {"tenant": tenant}

    return app


def fastapi_shared() -> Any:
    app = FastAPI(cache=CacheConfig(http=HTTPConfig(mode="rfc9111")))

    @app.get("/")
    def read(response: fastapi.Response) -> str:
        response.headers["cache-control"] = "max-age=60"
        return "page"

    return app


def starlette() -> Any:
    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    return Starlette(routes=[Route("/", read, cache=60)], cache=CacheConfig())


def litestar() -> Any:
    @get("/", cache=60)
    async def read() -> str:
        return "page"

    return Litestar([read], plugins=[CachePlugin(CacheConfig())])


def plain_litestar() -> Any:
    @get("/")
    async def read() -> str:
        return "page"

    return Litestar([read])


def survivors(make: Callable[[], Any], client: Any) -> int:
    """Return how many of three applications there still are after their requests and their end."""
    kept: list[ref[Marker]] = []
    for _ in range(3):
        app = make()
        app.state.marker = marker = Marker()
        kept.append(ref(marker))
        with client(app) as asking:
            assert [asking.get("/").status_code for _ in range(4)] == [200] * 4
        del app, asking, marker
    gc.collect()
    return sum(marker() is not None for marker in kept)


@pytest.mark.parametrize("make", [fastapi_drop_in, fastapi_plain, fastapi_shared, starlette])
def test_an_application_is_let_go(make: Callable[[], Any]) -> None:
    """Nothing refers to it any more, and so to nothing of its cache."""
    assert survivors(make, TestClient) == 0


def test_an_application_of_litestar_is_let_go() -> None:
    """Unless Litestar keeps it, as it did once."""
    if survivors(plain_litestar, LitestarClient):
        pytest.skip("this version of Litestar keeps applications for ever")
    assert survivors(litestar, LitestarClient) == 0
