"""Middleware between the cache and a route says its part on a hit as on the miss: once."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from asynccache import CacheConfig, CachePolicy
from asynccache_fastapi import FastAPI
from asynccache_starlette import Route, Starlette


class Adding:
    """Appends a field, and sets another to something new each time."""

    runs = 0

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def adding(message: Any) -> None:
            if message["type"] == "http.response.start":
                Adding.runs += 1
                others = [field for field in message["headers"] if field[0] != b"x-run"]
                others += [(b"link", b"</a>; rel=next"), (b"x-run", b"%d" % Adding.runs)]
                message["headers"] = others
            await send(message)

        await self.app(scope, receive, adding)


async def page(request: Any) -> PlainTextResponse:
    response = PlainTextResponse("hello")
    response.headers.append("link", "</style>; rel=preload")
    return response


def starlette() -> Any:
    return Starlette(
        routes=[Route("/", page, cache=60)], middleware=[Middleware(Adding)], cache=CacheConfig()
    )


def starlette_route() -> Any:
    route = Route("/", page, cache=60, middleware=[Middleware(Adding)])
    return Starlette(routes=[route], cache=CacheConfig())


def fastapi() -> Any:
    app = FastAPI(middleware=[Middleware(Adding)], cache=CacheConfig())

    @app.get("/", cache=CachePolicy(ttl=60))
    async def read() -> PlainTextResponse:
        return await page(None)

    return app


@pytest.mark.parametrize("make", [starlette, starlette_route, fastapi])
def test_what_middleware_adds_is_there_once_on_every_answer(make: Any) -> None:
    """What it sets anew is new, what it adds is not doubled, and the route's own lines of that name stay."""
    with TestClient(make()) as client:
        answers = [client.get("/") for _ in range(4)]
    statuses = [answer.headers["cache-status"].partition(";")[2].split(";")[0] for answer in answers]
    assert statuses == [" fwd=uri-miss", " hit", " hit", " hit"]
    for answer in answers:
        assert answer.headers.get_list("link") == ["</style>; rel=preload", "</a>; rel=next"]
    runs = [int(answer.headers.get_list("x-run")[-1]) for answer in answers]
    assert runs == sorted(set(runs))
