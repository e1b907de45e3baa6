"""What the middleware offers to integrations: one cache around stacks, a lifespan, a key part, a veto."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import Cache, CacheConfig, CachePolicy, InMemoryBackend, current_cache
from asynccache.http import CacheMiddleware, Exchange, MarkedApp, current_exchange
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Client, until
from tests.http_middleware.tiny_apps import Handler, Site, respond

POLICY = CachePolicy(ttl=60)


def exchange() -> Exchange:
    """Return that of the request being handled."""
    found = current_exchange()
    assert found is not None
    return found


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def shared() -> CacheMiddleware:
    clock = FakeClock()
    cache = Cache(CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock)))
    return CacheMiddleware(nowhere, cache=cache)


async def test_around_shares_everything_but_the_application() -> None:
    """What one stack has stored or remembers answers in the other; a write in one empties it in both."""
    middleware = shared()
    handlers = [Handler(body="a"), Handler(body="b")]
    a, b = (Client(middleware.around(MarkedApp(each, POLICY))) for each in handlers)
    assert (await a.get("/")).text == "a"
    assert [(await client.get("/")).text for client in (a, b)] == ["a", "a"]
    await b.request("PUT", "/")
    assert (await b.get("/")).text == "b"
    assert (await a.get("/")).text == "b"
    assert middleware.app is nowhere


async def test_a_refresh_stays_in_its_own_stack() -> None:
    """It repeats the request where that was made."""
    clock = FakeClock()
    cache = Cache(CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock)))
    middleware = CacheMiddleware(nowhere, cache=cache)
    handler = Handler()
    client = Client(middleware.around(MarkedApp(handler, CachePolicy(ttl=1, stale_while_revalidate=9))))
    await client.get("/")
    clock.advance(2)
    assert (await client.get("/")).text == "run 1"
    await until(lambda: handler.runs == 2)


async def test_repeating_is_told_of_the_scope() -> None:
    """An integration may forget what its framework remembers in there."""
    told: list[Any] = []

    class Telling(CacheMiddleware):
        """Tells."""

        def repeating(self, scope: Any) -> None:
            """Note it."""
            told.append(scope)
            scope["repeated"] = True

    clock = FakeClock()
    config = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock))
    handler = Handler()
    client = Client(Telling(MarkedApp(handler, CachePolicy(ttl=1, stale_while_revalidate=9)), config))
    await client.get("/", [("if-none-match", '"x"')])
    clock.advance(2)
    await client.get("/", [("if-none-match", '"x"')])
    await until(lambda: handler.runs == 2)
    assert ["repeated" in scope for scope in handler.scopes] == [False, True]
    assert [name for name, _ in told[0]["headers"]] == [b"host"]


async def test_a_stream_that_waits_for_its_client_ends_when_it_is_refreshed() -> None:
    """Once the response is complete the client is gone, as servers say it; else such a stream never ends."""
    ended: list[str] = []

    async def listening(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await respond(send, b"x")
        ended.append((await receive())["type"])

    site = Site(listening, CachePolicy(ttl=1, stale_while_revalidate=9))
    await site.get("/")
    site.clock.advance(2)
    await site.get("/")
    await site.idle()
    assert ended == ["http.disconnect"] * 2


async def test_lifespan_opens_and_closes_and_names_the_cache() -> None:
    """For frameworks whose middleware is not told."""
    log: list[str] = []

    class Watched(InMemoryBackend):
        """Tells."""

        async def open(self) -> None:
            """Note it."""
            log.append("open")

        async def aclose(self) -> None:
            """Note it."""
            log.append("close")

    middleware = CacheMiddleware(nowhere, CacheConfig(backend=Watched()))
    async with middleware.lifespan():
        assert log == ["open"]
        assert current_cache() is middleware.cache
    assert log == ["open", "close"]
    log.clear()
    with pytest.raises(OSError, match="inside"):
        async with middleware.lifespan():
            raise OSError("inside")
    assert log == ["open", "close"]
    assert current_cache() is not middleware.cache


def parted(app: Any, policy: CachePolicy) -> Any:
    """Return a marked application whose key has the query's first letter as one more part."""

    async def marked(scope: Any, receive: Any, send: Any) -> None:
        exchange().part = dict(scope["headers"]).get(b"x-part", b"").decode()
        await MarkedApp(app, policy)(scope, receive, send)

    return marked


@pytest.mark.parametrize("public", [False, True])
async def test_a_part_of_the_key_keeps_apart_and_says_nothing_about_users(public: bool) -> None:
    """Unlike ``vary_on``: who has credentials still bypasses, unless the policy says otherwise."""
    handler = Handler()
    site = Site(parted(handler, POLICY.but(public=public)))
    parts = ["a", "b", ""]
    for hit in (False, True):
        answers = [await site.get("/", [("x-part", part)]) for part in parts]
        assert [answer.text for answer in answers] == ["run 1", "run 2", "run 3"]
        assert [answer.hit for answer in answers] == [hit] * 3
    for credentials in (("cookie", "a=b"), ("authorization", "x")):
        answer = await site.get("/", [("x-part", "a"), credentials])
        assert answer.hit == public
    await site.client.request("PUT", "/")
    assert not any([(await site.get("/", [("x-part", part)])).hit for part in parts])


async def test_a_refused_response_is_not_stored_and_those_who_wait_go_ahead() -> None:
    """The reason is told; nothing is left behind."""
    handler = Handler()

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await exchange().refuse("because")
        await handler(scope, receive, send)

    site = Site(refusing, POLICY)
    handler.gate.clear()
    waiting = [site.client.start("/") for _ in range(3)]
    await until(lambda: handler.runs == 3)
    handler.gate.set()
    answers = [await each.answer() for each in waiting]
    assert sorted(answer.text for answer in answers) == ["run 1", "run 2", "run 3"]
    assert all(answer.cache_status.endswith("; detail=because") for answer in answers)
    assert site.at_rest


async def test_refusing_is_harmless_where_there_is_nothing_to_refuse() -> None:
    """After the response has begun it is too late; without a policy there was nothing."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"x")
        await exchange().refuse("because")

    site = Site(late, POLICY)
    assert [(await site.get("/")).hit for _ in range(2)] == [False, True]
    assert (await Site(late).get("/")).cache_status == ""


async def test_refusing_after_the_head_is_too_late() -> None:
    """It is held back, and must reach the client."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await exchange().refuse("because")
        await send({"type": "http.response.body", "body": b"x"})

    site = Site(late, POLICY)
    assert [(await site.get("/")).text for _ in range(2)] == ["x", "x"]
