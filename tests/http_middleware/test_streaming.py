"""Bytes pass as they come; what is copied on the side is bounded, complete, or dropped."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from asynccache import CachePolicy, HTTPConfig
from asynccache.http import SCOPE_KEY
from tests.http_middleware.asgi_client import Answer, ticks
from tests.http_middleware.tiny_apps import Site

POLICY = CachePolicy(ttl=60)


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def head(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def sending(*messages: dict[str, Any] | Exception) -> Any:
    """Return an application that sends these messages, raising what is an exception."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        app_runs.append(scope)
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)

    app_runs: list[Any] = []
    app.runs = app_runs  # type: ignore[attr-defined]
    return app


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("content", [b"text/plain", b"text/event-stream"])
async def test_each_chunk_passes_at_once(content: bytes, framed: bool) -> None:
    """The application produces its next chunk only after the client has seen the one before."""
    order: list[str] = []
    seen = asyncio.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"3")] if framed else []
        await send(head((b"content-type", content), *length))
        for number in range(3):
            order.append(f"made {number}")
            await send(body(b"%d" % number, more=True))
            await seen.acquire()
        await send(body(b""))

    async def watch(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            order.append(f"seen {message['body'].decode()}")
            seen.release()

    answer = await Site(app, POLICY).start("/", watch=watch).answer()
    assert answer.body == b"012"
    assert order == ["made 0", "seen 0", "made 1", "seen 1", "made 2", "seen 2"]


@pytest.mark.parametrize("content", [b"text/plain", b"text/event-stream"])
async def test_the_head_of_a_stream_arrives_before_its_first_event(content: bytes) -> None:
    """A client that waits for the head of an event stream gets it, although nothing has happened yet."""
    event = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head((b"content-type", content)))
        await event.wait()
        await send(body(b"data: 1\n\n"))

    ongoing = Site(app, POLICY).start("/")
    messages = await ongoing.until(1)
    assert messages[0]["type"] == "http.response.start"
    event.set()
    assert (await ongoing.answer()).body == b"data: 1\n\n"


async def test_followers_do_not_wait_for_an_event_stream() -> None:
    """As soon as the head says what it is, those who waited go ahead."""
    event = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send(head((b"content-type", b"text/event-stream")))
        await event.wait()
        await send(body(b""))

    site = Site(app, POLICY, http=HTTPConfig(coalesce_timeout=100))
    ongoing = [site.start("/") for _ in range(3)]
    for request in ongoing:
        await request.until(1)
    event.set()
    for request in ongoing:
        await request.answer()


@pytest.mark.parametrize(
    "messages",
    [
        [head((b"content-length", b"9")), body(b"abc")],
        [head((b"content-length", b"2")), body(b"abc")],
        [head((b"content-length", b"3"), (b"content-length", b"4")), body(b"abc")],
        [head((b"content-length", b"x")), body(b"abc")],
        [head((b"content-length", b"-3")), body(b"abc")],
        [head(), body(b"a", more=True), body(b"b" * 100, more=True), body(b"c")],
        [head((b"content-length", b"101")), body(b"b" * 101)],
        [head(status=206), body(b"abc")],
        [head(trailers=True), body(b"abc")],
        [head((b"trailer", b"x")), body(b"abc")],
        [head(), {"type": "http.response.pathsend", "path": "/f"}],
        [head((b"content-length", b"3")), {"type": "http.response.pathsend", "path": "/f"}],
        [head((b"content-length", b"3")), {"type": "http.response.zerocopysend", "file": 3}],
    ],
)
async def test_what_cannot_be_stored_passes_unchanged(messages: list[dict[str, Any]]) -> None:
    """Wrong lengths, too much, parts, trailers, files: the client gets just what the application sent."""
    app = sending(*messages)
    site = Site(app, POLICY, http=HTTPConfig(max_body_bytes=100, cache_status=False))
    for runs in (1, 2):
        answer = await site.get("/")
        assert len(app.runs) == runs
        sent, got = Answer(messages), answer
        assert (got.status, got.body) == (sent.status, sent.body)
        assert answer.messages[1:] == messages[1:]
        assert [field for field in got.raw if field[0] != b"cache-control"] == sent.raw
    assert site.at_rest


@pytest.mark.parametrize("framed", [False, True])
async def test_an_exception_in_the_middle_stores_nothing(framed: bool) -> None:
    """What was sent passes, the exception reaches the server, and the next request starts over."""
    length = [(b"content-length", b"6")] if framed else []
    app = sending(head(*length), body(b"abc", more=True), OSError("disk"))
    site = Site(app, POLICY)
    for runs in (1, 2):
        assert (await site.start("/").answer_despite_error()).body == b"abc"
        assert len(app.runs) == runs
    assert site.at_rest


async def test_other_messages_pass_in_their_place() -> None:
    """Early hints and extensions unknown to the cache are not held back nor reordered."""
    hint = {"type": "http.response.early_hint", "links": [b"</a>"]}
    debug: dict[str, Any] = {"type": "http.response.debug", "info": {}}
    app = sending(hint, head((b"content-length", b"1")), debug, body(b"x"))
    site = Site(app, POLICY)
    answer = await site.get("/")
    assert [message["type"] for message in answer.messages] == [
        "http.response.early_hint", "http.response.start", "http.response.debug", "http.response.body",
    ]  # fmt: skip
    hit = await site.get("/")
    assert [message["type"] for message in hit.messages] == ["http.response.start", "http.response.body"]


async def test_messages_of_the_application_are_not_changed() -> None:
    """The application's own objects stay as they were: it may send them again."""
    start, rest = head((b"content-length", b"1")), body(b"x")
    site = Site(sending(start, rest), CachePolicy(ttl=0.001))
    for _ in range(3):
        await site.get("/")
        site.clock.advance(1)
    assert (start, rest) == (head((b"content-length", b"1")), body(b"x"))


async def test_an_uncacheable_stream_is_not_copied() -> None:
    """Once it is known that nothing will be stored, no chunk is held any longer than its passing takes."""

    class Watched(bytearray):
        """A chunk that tells when it is gone."""

    alive: list[weakref.ref[Watched]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head((b"set-cookie", b"a=b")))
        for _ in range(10):
            chunk = Watched(b"x" * 1000)
            alive.append(weakref.ref(chunk))
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk
            gc.collect()
            held.append(sum(ref() is not None for ref in alive))
        await send(body(b""))

    held: list[int] = []
    site = Site(app, POLICY)
    start = site.start

    async def forget(scope: Any, receive: Any, send: Any) -> None:
        async def nowhere(message: Any) -> None:
            pass

        await site.middleware(scope, receive, nowhere)

    site.client.app = forget
    await start("/").task
    assert set(held) == {0}


async def test_at_most_max_body_bytes_are_held() -> None:
    """A stream that grows over the limit is let go of at that point."""

    class Watched(bytearray):
        """A chunk that tells when it is gone."""

    alive: list[weakref.ref[Watched]] = []
    held: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head())
        for _ in range(10):
            chunk = Watched(b"x" * 100)
            alive.append(weakref.ref(chunk))
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk
            gc.collect()
            held.append(sum(ref() is not None for ref in alive))
        await send(body(b""))

    site = Site(app, POLICY, http=HTTPConfig(max_body_bytes=350))

    async def forget(scope: Any, receive: Any, send: Any) -> None:
        async def nowhere(message: Any) -> None:
            pass

        await site.middleware(scope, receive, nowhere)

    site.client.app = forget
    await site.start("/").task
    assert max(held) <= 3
    assert held[3:] == [0] * 7


@pytest.mark.parametrize("framed", [False, True])
async def test_the_entry_is_there_before_the_last_byte_has_left(framed: bool) -> None:
    """A client that has its answer and asks again finds it stored."""
    length = [(b"content-length", b"2")] if framed else []
    app = sending(head(*length), body(b"a", more=True), body(b"b"))
    site = Site(app, POLICY)
    seen: list[bool] = []

    async def watch(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            seen.append((await site.get("/")).hit)

    await site.start("/", watch=watch).answer()
    assert seen == [True]


async def test_a_slow_client_holds_up_no_follower() -> None:
    """Followers are answered when the handler is done, however slowly the leader's client reads."""
    reading = asyncio.Event()

    async def watch(message: dict[str, Any]) -> None:
        await reading.wait()

    site = Site(sending(head((b"content-length", b"1")), body(b"x")), POLICY)
    slow = site.start("/", watch=watch)
    await ticks()
    assert (await site.get("/")).body == b"x"
    reading.set()
    await slow.answer()


async def test_websockets_pass_with_the_cache_at_hand() -> None:
    """A websocket is none of the cache's business, but its handler can use the cache."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[SCOPE_KEY].cache)
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})

    site = Site(app)
    messages = await site.client.websocket("/ws")
    assert [message["type"] for message in messages] == ["websocket.accept", "websocket.send"]
    assert seen == [site.cache]
