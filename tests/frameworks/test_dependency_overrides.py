"""``dependency_overrides``: who replaces a dependency does not get what another one has left in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import fastapi
import pytest
from fastapi import Depends
from starlette.middleware import Middleware

from asynccache import Cache
from asynccache_fastapi import APIRouter, CacheMiddleware, FastAPI, cache_response
from tests.frameworks.framework_apps import configured
from tests.http_middleware.asgi_client import Client


async def user() -> str:
    return "real"


def as_user(name: str) -> Callable[[], str]:
    """Return a replacement; all of them have one name."""
    return lambda: name


async def page(name: Annotated[str, Depends(user)]) -> str:
    return name


def on_a_route(cache: Cache) -> fastapi.FastAPI:
    app = FastAPI(cache=cache)
    app.get("/", cache=60)(page)
    return app


def under_a_router(cache: Cache) -> fastapi.FastAPI:
    app = FastAPI(cache=cache)
    router = APIRouter(cache=60)
    router.get("/")(page)
    app.include_router(router)
    return app


def under_a_control(cache: Cache) -> fastapi.FastAPI:
    app = FastAPI(cache=cache, cache_policy=60)
    router = fastapi.APIRouter()
    router.get("/")(page)
    app.include_router(router)
    return app


def on_a_plain_application(cache: Cache) -> fastapi.FastAPI:
    app = fastapi.FastAPI(middleware=[Middleware(CacheMiddleware, cache=cache)])
    app.get("/")(cache_response(ttl=60)(page))
    return app


SPELLINGS = [on_a_route, under_a_router, under_a_control, on_a_plain_application]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("nothing", [{}, None])
async def test_what_is_made_with_another_dependency_is_another_response(spelling: Any, nothing: Any) -> None:
    """It is neither given to those with the former one nor kept for those with the next."""
    app = spelling(Cache(configured()))
    async with Client(app) as client:
        for _ in range(3):
            assert (await client.get("/")).text == '"real"'
        for name in ("alice", "bob", "alice"):
            app.dependency_overrides[user] = as_user(name)
            answers = [await client.get("/") for _ in range(3)]
            assert [answer.text for answer in answers] == [f'"{name}"'] * 3
            assert [answer.hit for answer in answers] == [False, True, True]
        app.dependency_overrides = nothing
        answers = [await client.get("/") for _ in range(2)]
        assert [answer.text for answer in answers] == ['"real"'] * 2
        assert answers[1].hit


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_what_an_application_is_made_of_is_shared(spelling: Any) -> None:
    """Overrides that are there at the first request keep no process from what another one has stored."""
    cache = Cache(configured())
    apps = [spelling(cache) for _ in range(2)]
    for app in apps:
        app.dependency_overrides[user] = as_user("adapter")
    async with Client(apps[0]) as one, Client(apps[1]) as other:
        answers = [await client.get("/") for client in (one, other)]
    assert [answer.text for answer in answers] == ['"adapter"'] * 2
    assert [answer.hit for answer in answers] == [False, True]
