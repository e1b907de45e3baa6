"""Stale responses: while revalidating, if something fails, if it takes too long; and early refresh."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asynccache import CachePolicy, InMemoryBackend
from tests.http_middleware.asgi_client import ticks
from tests.http_middleware.tiny_apps import Handler, Site, respond

SWR = CachePolicy(ttl=60, stale_while_revalidate=30)
ERR = CachePolicy(ttl=60, stale_if_error=30)


@pytest.mark.parametrize("public", [False, True])
async def test_stale_is_served_at_once_and_refreshed_once(public: bool) -> None:
    """Within the window nobody waits, and however many come, one refresh runs in the background."""
    site = Site(handler := Handler(), SWR.but(public=public))
    await site.get("/")
    site.clock.advance(60)
    handler.gate.clear()
    stale = await site.client.gather(100, "/")
    assert {answer.text for answer in stale} == {"run 1"}
    assert {answer.cache_status for answer in stale} == {"asynccache; hit; ttl=0; detail=stale"}
    await ticks()
    assert handler.runs == 2
    assert (await site.get("/")).text == "run 1"
    handler.gate.set()
    await site.idle()

    fresh = await site.get("/")
    assert (fresh.text, fresh.hit, handler.runs) == ("run 2", True, 2)
    assert fresh.cache_status == "asynccache; hit; ttl=60"
    assert site.at_rest


async def test_the_stale_window_ends() -> None:
    """At its end the response is dead: the next request waits for a new one."""
    site = Site(Handler(), SWR)
    await site.get("/")
    site.clock.advance(90)
    assert (await site.get("/")).text == "run 2"


async def test_the_refresh_repeats_the_request_without_conditions() -> None:
    """Same method, target and fields, but nothing that would make the answer a part or a 304."""
    site = Site(handler := Handler(), SWR)
    await site.get("/a%20b?x=1", [("accept", "text/plain")])
    site.clock.advance(61)
    conditions = [
        ("if-none-match", '"x"'),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("if-match", '"y"'),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("range", "bytes=0-1"),
        ("if-range", '"z"'),
    ]
    await site.client.request("HEAD", "/a%20b?x=1", [("accept", "text/plain"), *conditions])
    await site.idle()
    first, second = handler.scopes

    for name in ("method", "path", "raw_path", "query_string", "headers", "scheme"):
        assert first[name] == second[name], name
    assert (await site.get("/a%20b?x=1")).text == "run 2"


async def test_a_refresh_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A failure in the background disturbs nobody, and the stale response lasts until its window ends."""
    site = Site(handler := Handler(), SWR)
    await site.get("/")
    site.clock.advance(61)
    handler.error = OSError("database")
    for runs in (2, 3):
        with caplog.at_level(logging.WARNING, "asynccache"):
            assert (await site.get("/")).text == "run 1"
            await site.idle()
        assert handler.runs == runs
    assert len(caplog.records) == 2
    handler.error, handler.status = None, 500
    assert (await site.get("/")).text == "run 1"
    await site.idle()
    handler.status = 200
    assert (await site.get("/")).text == "run 1"
    await site.idle()
    assert (await site.get("/")).text == "run 5"


async def test_a_refresh_sees_no_disconnect_and_sends_to_nobody() -> None:
    """What listens for the client's leaving while it answers must not end at once."""
    answered: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        leaving = asyncio.ensure_future(receive())
        await ticks()
        answered.append(not leaving.done())
        leaving.cancel()
        await respond(send, b"%d" % len(answered))

    site = Site(app, SWR)
    await site.get("/")
    site.clock.advance(61)
    await site.get("/")
    await site.idle()
    assert (answered, (await site.get("/")).text) == ([True, True], "2")


async def test_a_refresh_ends_with_the_application() -> None:
    """Shutting down does not wait for a background run that hangs."""
    site = Site(handler := Handler(), SWR)
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    await site.get("/")
    await ticks()
    await site.middleware.aclose()
    assert handler.cancelled == 1
    assert site.at_rest


async def test_an_invalidation_during_a_refresh_discards_it() -> None:
    """What the refresh read may be older than the invalidation, so it is not stored."""
    site = Site(handler := Handler(), SWR.but(tags=("t",)))
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    await site.get("/")
    await ticks()
    await site.cache.invalidate_tags("t")
    handler.gate.set()
    await site.idle()
    assert (await site.get("/")).text == "run 3"


async def test_the_refresh_of_one_variant_leaves_the_others() -> None:
    """Each variant is refreshed by a request for it."""
    site = Site(Handler(body="run {run}", headers=[(b"vary", b"x-a")]), SWR)
    for name in ("1", "2"):
        await site.get("/", [("x-a", name)])
    site.clock.advance(61)
    assert (await site.get("/", [("x-a", "1")])).text == "run 1"
    await site.idle()
    assert (await site.get("/", [("x-a", "1")])).text == "run 3"
    assert (await site.get("/", [("x-a", "2")])).text == "run 2"
    await site.idle()


@pytest.mark.parametrize("public", [False, True])
async def test_stale_stands_in_for_an_exception(public: bool, caplog: pytest.LogCaptureFixture) -> None:
    """``stale_if_error``: an endpoint that raises is covered until the window ends, and that is logged."""
    site = Site(handler := Handler(), ERR.but(public=public))
    await site.get("/")
    site.clock.advance(60)
    handler.error = OSError("database")
    with caplog.at_level(logging.WARNING, "asynccache"):
        answer = await site.get("/")
    assert (answer.text, answer.cache_status) == ("run 1", "asynccache; hit; ttl=0; detail=stale")
    assert [record.exc_info is not None for record in caplog.records] == [True]
    site.clock.advance(29.999)
    assert (await site.get("/")).text == "run 1"
    site.clock.advance(0.001)
    with pytest.raises(OSError, match="database"):
        await site.get("/")
    assert site.at_rest


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_stale_stands_in_for_a_server_error(status: int) -> None:
    """``stale_if_error``: an answer of 5xx is replaced as a whole."""
    site = Site(handler := Handler(), ERR)
    await site.get("/")
    site.clock.advance(61)
    handler.status = status
    answer = await site.get("/")
    assert (answer.status, answer.text) == (200, "run 1")
    assert len(answer.messages) == 2


async def test_a_client_error_is_an_answer() -> None:
    """A 404 is what the endpoint has to say: it is passed on, not covered up."""
    site = Site(handler := Handler(), ERR)
    await site.get("/")
    site.clock.advance(61)
    handler.status = 404
    assert (await site.get("/")).status == 404


async def test_a_success_replaces_what_stood_in() -> None:
    """Within the window every request tries; the first that succeeds ends it."""
    site = Site(handler := Handler(), ERR)
    await site.get("/")
    site.clock.advance(61)
    handler.error = OSError()
    await site.get("/")
    handler.error = None
    assert [(await site.get("/")).text for _ in range(2)] == ["run 3", "run 3"]


async def test_an_exception_behind_the_head_cannot_be_covered() -> None:
    """Once the client has a part of the new response, the old one is no help."""
    fail = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        if fail:
            raise OSError("disk")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    site = Site(app, ERR)
    await site.get("/")
    site.clock.advance(61)
    fail = True
    assert (await site.start("/").answer_despite_error()).body == b"part"


async def test_everyone_who_waited_for_a_failure_gets_the_stale_response() -> None:
    """The stand-in is for followers as well."""
    site = Site(handler := Handler(), ERR)
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    handler.error = OSError()
    asked = [site.start("/") for _ in range(20)]
    await ticks()
    handler.gate.set()
    answers = await asyncio.gather(*(request.answer() for request in asked))
    assert {answer.text for answer in answers} == {"run 1"}
    assert site.at_rest


async def test_soft_timeout_serves_stale_while_the_new_one_is_produced() -> None:
    """Who would wait too long gets the old response; the new one is stored when it is there."""
    site = Site(handler := Handler(), ERR.but(soft_timeout=0.01))
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    answers = await site.client.gather(10, "/")
    assert {answer.text for answer in answers} == {"run 1"}
    assert {answer.cache_status for answer in answers} == {"asynccache; hit; ttl=-1; detail=stale"}
    assert handler.runs == 2
    handler.gate.set()
    await site.idle()
    assert (await site.get("/")).text == "run 2"


async def test_soft_timeout_serves_what_came_in_time() -> None:
    """A new response that is ready in time is the answer."""
    site = Site(Handler(), ERR.but(soft_timeout=30))
    await site.get("/")
    site.clock.advance(61)
    answer = await site.get("/")
    assert (answer.text, answer.cache_status) == ("run 2", "asynccache; hit; ttl=60")


async def test_soft_timeout_serves_nothing_past_its_window() -> None:
    """A response that died while somebody waited is not served."""
    site = Site(handler := Handler(), ERR.but(soft_timeout=0.5))
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    waiting = site.start("/")
    await ticks()
    site.clock.advance(30)
    await asyncio.sleep(0.6)
    handler.gate.set()
    assert (await waiting.answer()).text != "run 1"
    await site.idle()


async def test_soft_timeout_keeps_credentials_apart() -> None:
    """What is refreshed meanwhile for everyone is no answer to a request with Authorization."""
    handler = Handler(headers=[(b"cache-control", b"public")])
    site = Site(handler, ERR.but(soft_timeout=30))
    alice = [("authorization", "alice")]
    await site.get("/", alice)
    site.clock.advance(61)
    handler.headers = [(b"cache-control", b"max-age=1")]
    handler.gate.clear()
    anonymous = site.start("/")
    await ticks()
    waiting = site.start("/", alice)
    await ticks()
    handler.gate.set()
    first, second = await anonymous.answer(), await waiting.answer()
    assert first.text == "run 2"
    assert second.text != first.text


async def test_early_refresh_renews_a_hot_response_before_it_expires() -> None:
    """With ``early_refresh`` somebody refreshes a little ahead, while everyone still gets a fresh hit."""
    slow = Handler()
    site = Site(slow, CachePolicy(ttl=60, early_refresh=1_000_000))
    await site.get("/")
    site.clock.advance(59.999999)
    for _ in range(200):
        answer = await site.get("/")
        assert answer.cache_status.startswith("asynccache; hit; ttl=")
        assert "stale" not in answer.cache_status
        await site.idle()
        if slow.runs > 1:
            break
    assert slow.runs == 2
    assert (await site.get("/")).text == "run 2"


async def test_without_early_refresh_nobody_refreshes_ahead() -> None:
    """By default a fresh response is left alone until it expires."""
    site = Site(handler := Handler(), SWR)
    await site.get("/")
    site.clock.advance(59.999)
    for _ in range(50):
        assert (await site.get("/")).text == "run 1"
    assert handler.runs == 1


async def test_jitter_only_ever_shortens() -> None:
    """No response is fresh for longer than its ttl; with jitter some expire before."""
    shorter = 0
    for _ in range(40):
        site = Site(Handler(), CachePolicy(ttl=60, jitter=0.5))
        await site.get("/")
        site.clock.advance(29)
        assert (await site.get("/")).text == "run 1"
        site.clock.advance(30)
        shorter += (await site.get("/")).text == "run 2"
        site.clock.advance(60)
        assert not (await site.get("/")).hit
    assert shorter


async def test_a_refresh_that_is_cancelled_before_it_began_is_forgotten() -> None:
    """The cache is closed in the same moment: what is refreshed under that key later is not taken for it."""
    site = Site(Handler(), CachePolicy(ttl=60, stale_while_revalidate=3600))
    await site.get("/")
    site.clock.advance(61)
    asked = site.middleware.repeat(site.client.scope("GET", "/"), "key")
    await site.middleware.aclose()
    assert asked.cancelled()
    assert not site.middleware._refreshing


@pytest.mark.parametrize("raises", [False, True])
async def test_what_stands_in_may_have_left_the_store_meanwhile(raises: bool) -> None:
    """It was evicted while the handler ran: it is still what was found, and says how old it is."""
    site = Site(handler := Handler(), ERR)
    store = site.cache.entries.access.backend
    assert isinstance(store, InMemoryBackend)
    await site.get("/")
    site.clock.advance(65)
    handler.status, handler.error = 500, RuntimeError() if raises else None
    handler.gate.clear()
    asked = site.start("/")
    await ticks()
    await store.clear("asynccache:")
    handler.gate.set()
    answer = await asked.answer()

    assert (answer.status, answer.text) == (200, "run 1")
    assert answer.cache_status == "asynccache; hit; ttl=-5; detail=stale"
