"""Path rules in front of Quart, Falcon and Django: frameworks that asynccache knows nothing of."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from asynccache import Cache, CacheConfig, CachePolicy, InMemoryBackend
from asynccache.http import CacheMiddleware, Rule
from asynccache.testing import FakeClock, count, override_cache
from tests.frameworks.any_asgi_apps import EVENTS, FRAMEWORKS, Site
from tests.http_middleware.asgi_client import Client, Headers
from tests.servers.provision import missing

ALICE: Headers = [("authorization", "alice")]
BOB: Headers = [("authorization", "bob")]
NOBODY: Headers = []
COOKIE: Headers = [("cookie", "a=b")]


def authorization(scope: Any) -> str | None:
    return next((value.decode() for name, value in scope["headers"] if name == b"authorization"), None)


RULES = [
    Rule("/items/{id}", CachePolicy(ttl=60, stale_while_revalidate=30, tags=["item:{id}"])),
    Rule("/me", CachePolicy(ttl=60, vary_on=authorization)),
    Rule("/plain", cache=False),
    Rule("/*", 60),
]


class Running:
    """An application behind the middleware, and what there is to look at."""

    def __init__(self, name: str) -> None:
        self.site = Site()
        self.clock = FakeClock()
        backend = InMemoryBackend(clock=self.clock)
        self.cache = Cache(CacheConfig(backend=backend, clock=self.clock))
        self.app = FRAMEWORKS[name](self.site)
        if name == "quart":
            self.app.asgi_app = CacheMiddleware(self.app.asgi_app, cache=self.cache, rules=RULES)
        else:
            self.app = CacheMiddleware(self.app, cache=self.cache, rules=RULES)

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """Run the application."""
        async with Client(self.app) as client:
            yield client


@pytest.fixture(params=FRAMEWORKS)
def running(request: pytest.FixtureRequest) -> Running:
    if find_spec(request.param) is None:
        missing(request.param, "install the dependency group 'tests'")
    return Running(request.param)


async def test_a_hit_is_what_the_miss_was(running: Running) -> None:
    """Same status, bytes and fields; the entity tag revalidates; HEAD is answered too.

    Quart and Django say that a response is complete in a message of its own, so their misses are on the way
    before anything can be known of the whole: these say neither "stored" nor an entity tag, nor a length.
    """
    async with running.client() as client:
        miss, hit = [await client.get("/items/1") for _ in range(2)]
        unchanged = await client.get("/items/1", [("if-none-match", hit.header("etag") or "")])
        head = await client.request("HEAD", "/items/1")
    assert miss.cache_status.startswith("asynccache; fwd=uri-miss")
    assert hit.cache_status == "asynccache; hit; ttl=60"
    assert (hit.status, hit.body) == (miss.status, miss.body) == (200, b"item 1 run 1")
    added = [field for field in hit.fields() if field not in miss.fields()]
    assert {name for name, _ in added} <= {b"etag", b"content-length"}
    assert not [field for field in miss.fields() if field not in hit.fields()]
    assert (unchanged.status, head.status, head.body) == (304, 200, b"")
    assert running.site.runs["item"] == 1


async def test_what_has_no_policy_is_left_alone(running: Running) -> None:
    async with running.client() as client:
        answers = [await client.get("/plain") for _ in range(2)]
    assert [answer.text for answer in answers] == ["plain  run 1", "plain  run 2"]
    assert not any(answer.cache_status or answer.header("etag") for answer in answers)


async def test_items_are_invalidated_by_tag_and_by_writing(running: Running) -> None:
    """One and not its neighbour."""
    async with running.client() as client:
        for path in ("/items/1", "/items/2", "/items/3"):
            await client.get(path)
        await running.cache.invalidate_tags("item:1")
        assert (await client.request("PUT", "/items/2", body=b"")).text == "written 2"
        hits = [(await client.get(path)).hit for path in ("/items/1", "/items/2", "/items/3")]
    assert hits == [False, False, True]


async def test_users_are_kept_apart(running: Running) -> None:
    """By ``vary_on``; where nothing tells them apart, credentials bypass; whoever is nobody bypasses, too."""
    async with running.client() as client:
        mine = [await client.get("/me", headers) for headers in (ALICE, BOB, ALICE, NOBODY, NOBODY)]
        items = [await client.get("/items/1", headers) for headers in (ALICE, BOB, NOBODY, COOKIE)]
    assert [answer.text for answer in mine] == [
        "me alice run 1", "me bob run 2", "me alice run 1", "me None run 3", "me None run 4",
    ]  # fmt: skip
    assert not any(answer.hit for answer in items)
    assert running.site.runs["item"] == 4


async def test_what_must_not_be_stored_is_not(running: Running) -> None:
    """Cookies, errors and streams; a stream goes out part by part."""
    async with running.client() as client:
        logins = [await client.get("/login") for _ in range(2)]
        nowhere = [await client.get("/nowhere") for _ in range(2)]
        live = [await client.get("/live") for _ in range(2)]
    assert [answer.cache_status for answer in (*logins, *nowhere, *live)] == [
        f"asynccache; fwd=uri-miss; detail={reason}"
        for reason in ("set-cookie", "set-cookie", "status", "status", "stream", "stream")
    ]
    bodies = [message["body"] for message in live[0].messages if message.get("body")]
    assert bodies == list(EVENTS)
    assert running.site.runs["live"] == 2


async def test_many_ask_at_once_and_the_handler_runs_once(running: Running) -> None:
    async with running.client() as client:
        answers = await client.gather(20, "/items/1")
    assert {answer.text for answer in answers} == {"item 1 run 1"}


async def test_a_stale_answer_is_refreshed_in_the_background(running: Running) -> None:
    """The framework is asked again with the request of who got the stale one."""
    async with running.client() as client:
        await client.get("/items/1")
        running.clock.advance(61)
        stale = await client.get("/items/1")
        while (await client.get("/items/1")).text == "item 1 run 1":
            pass
    assert (stale.text, stale.cache_status) == ("item 1 run 1", "asynccache; hit; ttl=-1; detail=stale")
    assert running.site.runs["item"] == 2


async def test_the_cache_lives_as_long_as_the_application(running: Running) -> None:
    """Also around a framework that has no lifespan of its own; one that has keeps it."""
    opened: list[str] = []

    class Watched(InMemoryBackend):
        """Tells."""

        async def open(self) -> None:
            """Note it."""
            opened.append("open")

        async def aclose(self) -> None:
            """Note it."""
            opened.append("close")

    with override_cache(running.app, CacheConfig(backend=Watched())):
        async with running.client():
            assert opened == ["open"]
    assert opened == ["open", "close"]
    assert running.site.log in (["start", "stop"], [])


async def test_a_test_can_override_the_cache(running: Running) -> None:
    """As in the frameworks that asynccache knows."""
    clock = FakeClock()
    with override_cache(running.app, clock=clock) as cache, count(cache) as counted:
        async with running.client() as client:
            for _ in range(2):
                await client.get("/items/1")
            clock.advance(100)
            await client.get("/items/1")
    assert (counted.hits, counted.misses) == (1, 2)
    assert running.cache.stats().stored == 0
