"""What type checkers know about asynccache. Checked by `test_from_outside`, never run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_type

from starlette.requests import Request
from starlette.responses import Response

from asynccache import Cache, CacheConfig, CachePolicy, CacheStats, cached, current_cache
from asynccache.http import CacheMiddleware, Rule
from asynccache.testing import Counted, count, override_cache
from asynccache_fastapi import CacheDep, FastAPI, get_cache
from asynccache_litestar import CachePlugin
from asynccache_starlette import Route, Starlette, cache_response


@dataclass
class User:
    """What is cached."""

    id: int


@cached(ttl=60, tags=["user:{id}"])
async def load(id: int) -> User:
    return User(id)


@cached
def name(user: User, *, upper: bool = False) -> str:
    return str(user.id).upper() if upper else str(user.id)


async def loaded() -> User:
    return User(1)


async def functions() -> None:
    assert_type(await load(1), User)
    assert_type(await name(User(1), upper=True), str)
    await load.invalidate(1)
    assert_type(load.key(1), str)
    await load("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await name(User(1), lower=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def values(cache: Cache) -> None:
    assert_type(await cache.get("k", type=User), User | None)
    assert_type(await cache.get("k", User(1), type=User), User)
    assert_type(await cache.get_or_set("k", loaded), User)
    assert_type(await cache.set("k", 1, ttl=60), bool)
    assert_type(cache.namespace("inner"), Cache)
    assert_type(cache.stats(), CacheStats)
    assert_type(current_cache(), Cache)
    async with Cache.from_url("memory://") as opened:
        assert_type(opened, Cache)


@cache_response(ttl=60)
async def endpoint(request: Request) -> Response:
    return Response()


@cache_response
def synchronous(request: Request, number: int) -> dict[str, Any]:
    return {"number": number}


async def endpoints(request: Request) -> None:
    assert_type(await endpoint(request), Response)
    assert_type(await synchronous(request, 1), dict[str, Any])


def applications(application: Callable[[Any, Any, Any], Coroutine[Any, Any, None]]) -> None:
    config = CacheConfig(backend="memory://", default_ttl=60)
    app = FastAPI(cache=config)
    middleware = CacheMiddleware(application, config, rules=[Rule("/a", 60), Rule("/b", cache=False)])
    assert_type(middleware.cache, Cache)
    Starlette(cache=config, routes=[Route("/", endpoint, cache=CachePolicy(ttl=60))])
    assert_type(CachePlugin(config).cache, Cache)
    with override_cache(app) as cache, count(cache) as counted:
        assert_type(cache, Cache)
        assert_type(counted, Counted)
        assert_type(counted.hits, int)
    Rule("/a", "60")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CacheConfig(ttl=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    FastAPI(cache="memory://")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def dependencies(cache: CacheDep, connection: Any) -> None:
    assert_type(cache, Cache)
    assert_type(get_cache(connection), Cache)
