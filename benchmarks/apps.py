# ruff: noqa: ARG001, I001, PLC0415  (an application has the signature it has; each imports only what it needs)
"""The applications of the table 'http', and a server for one: ``python -m benchmarks.apps NAME PORT``.

All answer GET /items/0 to /items/99 with the same 10 KiB of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel

__all__ = ["APPS", "BODY", "ITEMS", "URLS", "Item"]

URLS: Final = 100
_SECONDS: Final = 3600


class Item(BaseModel):
    """What the pydantic routes answer with."""

    id: int
    name: str
    price: float
    tags: list[str]


ITEMS: Final = [
    {
        "id": number,
        "name": f"item number {number:04d} of many",
        "price": number * 1.25,
        "tags": ["red", "round"],
    }
    for number in range(123)
]
BODY: Final = json.dumps(ITEMS, separators=(",", ":")).encode()


def bare() -> Any:
    """The floor: nothing but the bytes."""
    return _constant([])


def bare_with_fields() -> Any:
    """The same, with the fields that a hit has besides: a server writes each of them anew."""
    return _constant([
        (b"cache-control", b"public, max-age=%d" % _SECONDS),
        (b"age", b"0"),
        (b"cache-status", b"asynccache; hit; ttl=%d" % (_SECONDS - 1)),
    ])  # fmt: skip


def _constant(fields: list[tuple[bytes, bytes]]) -> Any:
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            *fields,
            (b"content-length", b"%d" % len(BODY)),
        ],
    }
    body = {"type": "http.response.body", "body": BODY}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        await send(start)
        await send(body)

    return app


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def bare_304() -> Any:
    """A 304 without a cache: the smallest of answers."""
    message = {"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"x"')]}
    end = {"type": "http.response.body", "body": b""}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        await send(message)
        await send(end)

    return app


def public() -> Any:
    """Ours in front of FastAPI, the route public."""
    return _ours_fastapi(public=True)


def public_outermost() -> Any:
    """The same, but the middleware around the application instead of inside FastAPI's own."""
    from asynccache import CacheConfig
    from asynccache_fastapi import CacheMiddleware, cache_response
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/items/{number}")
    @cache_response(ttl=_SECONDS, public=True)
    async def items(number: int) -> list[Item]:
        return [Item(**item) for item in ITEMS]  # pyright: ignore[reportArgumentType]

    return CacheMiddleware(app, CacheConfig())


def shared_cache() -> Any:
    """Ours as a shared cache by RFC 9111, around the bare application."""
    from asynccache import CacheConfig, HTTPConfig
    from asynccache.http import CacheMiddleware

    inner = bare()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def lasting(message: Any) -> None:
            if message["type"] == "http.response.start":
                lifetime = (b"cache-control", b"public, max-age=%d" % _SECONDS)
                message = {**message, "headers": [*message["headers"], lifetime]}
            await send(message)

        await inner(scope, receive, lasting)

    return CacheMiddleware(app, CacheConfig(http=HTTPConfig(mode="rfc9111")))


def default() -> Any:
    """Ours in front of FastAPI, hits after dependencies."""
    return _ours_fastapi()


def _ours_fastapi(**policy: Any) -> Any:
    from asynccache import CacheConfig
    from asynccache_fastapi import CacheMiddleware, cache_response
    from fastapi import FastAPI

    app = FastAPI()
    app.add_middleware(CacheMiddleware, config=CacheConfig())

    @app.get("/items/{number}")
    @cache_response(ttl=_SECONDS, **policy)
    async def items(number: int) -> list[Item]:
        return [Item(**item) for item in ITEMS]  # pyright: ignore[reportArgumentType]

    return app


def default_starlette() -> Any:
    """Ours in front of Starlette, hits after routing."""
    from asynccache import CacheConfig
    from asynccache_starlette import CacheMiddleware, cache_response
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.routing import Route

    @cache_response(ttl=_SECONDS)
    async def items(request: Any) -> Any:
        return Response(BODY, media_type="application/json")

    return Starlette(
        routes=[Route("/items/{number:int}", items)],
        middleware=[Middleware(CacheMiddleware, config=CacheConfig())],
    )


def starlette_bytes() -> Any:
    """A Starlette route that returns ready bytes."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def items(request: Any) -> Any:
        return Response(BODY, media_type="application/json")

    return Starlette(routes=[Route("/items/{number:int}", items)])


def fastapi_bytes() -> Any:
    """A FastAPI route that returns ready bytes."""
    from fastapi import FastAPI
    from starlette.responses import Response

    app = FastAPI()

    @app.get("/items/{number}")
    async def items(number: int) -> Any:
        return Response(BODY, media_type="application/json")

    return app


def _fastapi_model(decorate: Callable[[Any], Any], app: Any = None) -> Any:
    from fastapi import FastAPI

    app = FastAPI() if app is None else app

    async def items(number: int) -> list[Item]:
        return [Item(**item) for item in ITEMS]  # pyright: ignore[reportArgumentType]

    app.get("/items/{number}", response_model=list[Item])(decorate(items))
    return app


def fastapi_model() -> Any:
    """The uncached pydantic route."""
    return _fastapi_model(lambda function: function)


def fastapi_cache2() -> Any:
    """fastapi-cache2 on the pydantic route."""
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.init(InMemoryBackend(), prefix="benchmark")
    return _fastapi_model(cache(expire=_SECONDS))


def fastapi_cachekit() -> Any:
    """fastapi-cachekit on the pydantic route."""
    from fast_cache import FastAPICache, InMemoryBackend
    from fastapi import FastAPI

    app, cache = FastAPI(), FastAPICache()
    cache.init_app(app, InMemoryBackend())
    return _fastapi_model(cache.cached(expire=_SECONDS), app)


def cashews() -> Any:
    """Cashews on the pydantic route."""
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")
    return _fastapi_model(cache(ttl=_SECONDS))


def aiocache() -> Any:
    """Aiocache on the pydantic route."""
    from aiocache import cached

    return _fastapi_model(cached(ttl=_SECONDS))


def litestar_cache() -> Any:
    """Litestar's own response cache."""
    from litestar import Litestar, get

    @get("/items/{number:int}", cache=_SECONDS, media_type="application/json")
    async def items(number: int) -> bytes:
        return BODY

    return Litestar([items])


APPS: Final[dict[str, Callable[[], Any]]] = {
    "bare": bare,
    "bare, fields of a hit": bare_with_fields,
    "bare 304": bare_304,
    "ours public": public,
    "ours public, outermost": public_outermost,
    "ours shared cache": shared_cache,
    "ours default FastAPI": default,
    "ours default Starlette": default_starlette,
    "Starlette bytes": starlette_bytes,
    "FastAPI bytes": fastapi_bytes,
    "FastAPI model": fastapi_model,
    "litestar cache": litestar_cache,
    "fastapi-cachekit": fastapi_cachekit,
    "cashews": cashews,
    "aiocache": aiocache,
    "fastapi-cache2": fastapi_cache2,
}
OURS: Final = (
    "bare",
    "bare, fields of a hit",
    "bare 304",
    "ours public",
    "ours public, outermost",
    "ours shared cache",
    "ours default FastAPI",
    "ours default Starlette",
)
REFERENCES: Final = ("Starlette bytes", "FastAPI bytes", "FastAPI model")


def _serve(name: str, port: int) -> None:
    import uvicorn

    uvicorn.run(
        APPS[name](), port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
