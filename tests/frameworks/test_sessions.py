"""Sessions whose middleware stands outside of the cache, which so does not see the cookie that they set."""

from __future__ import annotations

from typing import Any

import litestar
import pytest
from litestar.middleware.session.client_side import CookieBackendConfig
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

import asynccache_fastapi
import asynccache_litestar
import asynccache_starlette
from asynccache import CacheConfig, HTTPConfig, InMemoryBackend
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Client

FRESH = {"cache-control": "max-age=60"}
SESSIONS = [Middleware(SessionMiddleware, secret_key="of no use")]


async def writes(request: Request) -> Response:
    """Begin a session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return PlainTextResponse("yours", headers=FRESH)


async def reads(request: Request) -> Response:
    """Look at the session, and leave it as it is."""
    return PlainTextResponse(f"{request.session.get('visits')}", headers=FRESH)


def fastapi_app(config: CacheConfig) -> Any:
    app = asynccache_fastapi.FastAPI(cache=config, middleware=SESSIONS)
    app.get("/writes", cache=60)(writes)
    app.get("/reads", cache=60)(reads)
    return app


def starlette_app(config: CacheConfig) -> Any:
    routes = [asynccache_starlette.Route(f"/{page.__name__}", page, cache=60) for page in (writes, reads)]
    return asynccache_starlette.Starlette(routes=routes, cache=config, middleware=SESSIONS)


def litestar_app(config: CacheConfig) -> Any:
    async def writing(request: litestar.Request[Any, Any, Any]) -> litestar.Response[str]:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return litestar.Response("yours", headers=FRESH)

    async def reading(request: litestar.Request[Any, Any, Any]) -> litestar.Response[str]:
        return litestar.Response(f"{request.session.get('visits')}", headers=FRESH)

    return litestar.Litestar(
        [litestar.get("/writes", cache=60)(writing), litestar.get("/reads", cache=60)(reading)],
        plugins=[asynccache_litestar.CachePlugin(config)],
        middleware=[CookieBackendConfig(secret=b"of no use at all").middleware],
        logging_config=None,
    )


@pytest.mark.parametrize("mode", ["marked", "rfc9111"])
@pytest.mark.parametrize("build", [fastapi_app, starlette_app, litestar_app], ids=lambda app: app.__name__)
async def test_a_page_that_begins_a_session_is_not_for_all(build: Any, mode: Any) -> None:
    """It would be stored without its Set-Cookie, and its session's page be shown to everyone."""
    clock = FakeClock()
    http = HTTPConfig(mode=mode)
    config = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock), http=http)
    async with Client(build(config)) as client:
        written = [await client.get("/writes") for _ in range(2)]
        read = [await client.get("/reads") for _ in range(2)]

    assert [answer.cache_status for answer in written] == ["asynccache; fwd=uri-miss; detail=session"] * 2
    assert all(answer.all("set-cookie") for answer in written)
    assert [(answer.text, answer.hit) for answer in read] == [("None", False), ("None", True)]
