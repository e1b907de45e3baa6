"""A cache service: values in this process's memory, for everybody who can reach it over HTTP.

``CACHE_SIZE=1gb uvicorn examples.custom_http_backend.service:app``

====================================  ================================================================
``GET, HEAD /values/{key}``           200, or 404
``PUT /values/{key}?ttl=60``          204, or 413: too large, and the old value is gone
    ``If-None-Match: *``              204, or 412: something is there
    ``If-Match: "{lease}"``           204, or 412: the lease is void
``PATCH /values/{key}?ttl=60``        204: from now on so long to live; or 404
``DELETE /values/{key}``              204, or 404: nothing was there
``POST /counters/{key}?delta=1``      200 and the new value, or 409: what is there is no integer
``DELETE /prefixes/{prefix}``         204: everything under the prefix is gone
``POST /leases/{key}?ttl=30``         201 and the lease, or 409: somebody else has it
``DELETE /leases/{key}``              204: the lease in ``If-Match`` has ended
``GET /health``                       200 and some facts
====================================  ================================================================

A key in a path is its UTF-8 in URL-safe Base64: no proxy on the way finds a slash or dots to tidy up.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from asynccache import InMemoryBackend
from asynccache.backends import parse_size
from asynccache.errors import BackendError

store = InMemoryBackend(max_bytes=parse_size(os.environ.get("CACHE_SIZE", "256mb"), "CACHE_SIZE"))


def _key(request: Request) -> str:
    return urlsafe_b64decode(request.path_params["key"]).decode()


def _ttl(request: Request) -> float | None:
    ttl = request.query_params.get("ttl")
    return None if ttl is None else float(ttl)


def _lease(request: Request) -> str:
    return request.headers.get("if-match", "").strip('"')


def _empty(*, when: bool, otherwise: int) -> Response:
    return Response(status_code=204 if when else otherwise)


async def read(request: Request) -> Response:
    """Answer GET, and HEAD: the server sends no body then."""
    value = await store.get(_key(request))
    return Response(status_code=404) if value is None else Response(value)


async def write(request: Request) -> Response:
    """Set; or add, or fill a lease, as the request's conditions say."""
    key, ttl, value = _key(request), _ttl(request), await request.body()
    if "if-none-match" in request.headers:
        return _empty(when=await store.add(key, value, ttl), otherwise=412)
    if "if-match" in request.headers:
        return _empty(when=await store.fill(key, value, ttl, _lease(request)), otherwise=412)
    return _empty(when=await store.set(key, value, ttl), otherwise=413)


async def touch(request: Request) -> Response:
    """Change how long a value has to live."""
    return _empty(when=await store.touch(_key(request), _ttl(request)), otherwise=404)


async def delete(request: Request) -> Response:
    """Remove a value."""
    return _empty(when=await store.delete(_key(request)), otherwise=404)


async def count(request: Request) -> Response:
    """Add to a counter."""
    delta, initial = (int(request.query_params.get(name, value)) for name, value in _COUNTING)
    total = await store.incr(_key(request), delta, initial=initial, ttl=_ttl(request))
    return PlainTextResponse(str(total))


async def clear(request: Request) -> Response:
    """Remove everything under a prefix."""
    await store.clear(_key(request))
    return Response(status_code=204)


async def acquire(request: Request) -> Response:
    """Give out the lease on a key."""
    lease = await store.acquire_lease(_key(request), _ttl(request) or 30.0)
    return Response(status_code=409) if lease is None else PlainTextResponse(lease, 201)


async def release(request: Request) -> Response:
    """End a lease."""
    await store.release_lease(_key(request), _lease(request))
    return Response(status_code=204)


async def health(_: Request) -> Response:
    """Tell how full it is."""
    return JSONResponse((await store.health()).details)


async def bad_request(_: Request, error: Exception) -> Response:
    """Answer a request that makes no sense: a key that is no Base64, a time to live below zero."""
    return PlainTextResponse(str(error), 400)


async def conflict(_: Request, error: Exception) -> Response:
    """Answer a request that does not fit what is stored: counting on a text."""
    return PlainTextResponse(str(error), 409)


_COUNTING = (("delta", 1), ("initial", 0))
_ROUTES = (
    ("GET", "/values/{key}", read),
    ("PUT", "/values/{key}", write),
    ("PATCH", "/values/{key}", touch),
    ("DELETE", "/values/{key}", delete),
    ("POST", "/counters/{key}", count),
    ("DELETE", "/prefixes/{key}", clear),
    ("POST", "/leases/{key}", acquire),
    ("DELETE", "/leases/{key}", release),
    ("GET", "/health", health),
)
app = Starlette(
    routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in _ROUTES],
    exception_handlers={ValueError: bad_request, BackendError: conflict},
)
