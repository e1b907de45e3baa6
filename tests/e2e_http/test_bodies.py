"""Bodies on their way through the cache: whole, broken, large and without end (RFC 9111 section 3.3)."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from asynccache import InMemoryBackend
from asynccache.testing import ChaosBackend
from tests.e2e_http.web import Asked, Play, Web, gone, says, sends
from tests.http_messages import request
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
LENGTH = HEAD + b"Content-Length: 4\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024


@pytest.mark.parametrize("play", [sends(LENGTH + b"four"), sends(CHUNKED + b"4\r\nfour\r\n0\r\n\r\n")])
async def test_who_has_read_the_last_byte_finds_it_stored(web: Web, play: Play) -> None:
    """RFC 9111 section 4: also with a store that takes its time, and on another connection."""
    page = web.page(play)
    slow = ChaosBackend(InMemoryBackend(clock=web.clock), latency=(0.01, 0.01))

    async with web.cached(backend=slow) as port, web.line(port) as one, web.line(port) as other:
        for number in range(3):
            await one.send(page.request(f"X-Number: {number}"))
            assert (await one.reply()).body == b"four"
            await other.send(page.request())
            assert (await other.reply()).hit
    assert len(page.asked) == 1


@pytest.mark.parametrize(
    "play",
    [
        gone(after=LENGTH + b"fou"),
        gone(after=LENGTH),
        gone(after=CHUNKED + b"4\r\nfour\r\n"),
        gone(after=CHUNKED + b"4\r\nfo"),
        sends(CHUNKED + b"4\r\nfour\r\nnonsense\r\n", close=True),
        sends(CHUNKED + b"-4\r\nfour\r\n0\r\n\r\n", close=True),
    ],
)
@pytest.mark.parametrize("stale", [False, True])
async def test_what_breaks_off_is_not_stored_and_not_taken_for_complete(
    web: Web, play: Play, stale: bool
) -> None:
    """RFC 9111 section 3.3, RFC 9112 section 8: an incomplete response."""
    page = web.page(says("Cache-Control: max-age=1", body=b"old"), play, says(FRESH, body=b"whole"))
    if stale:
        await page.get()
        web.clock.advance(5)
    else:
        page.then(play, says(FRESH, body=b"whole"))

    broken = await page.get()
    whole = await page.get()

    # Where nothing of it has left, the gateway can still say what has happened.
    assert broken.status == 502 or (not broken.complete and b"four".startswith(broken.body))
    assert "stored" not in broken.cache_status
    assert (whole.body, whole.hit) == (b"whole", False)
    assert (await page.get()).hit


async def test_what_is_broken_is_not_given_to_those_who_wait(web: Web) -> None:
    """RFC 9111 section 3.3: each of them asks for itself."""
    gate = asyncio.Event()

    async def breaking(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        await gone(after=LENGTH + b"fo")(wire, asked)

    page = web.page(breaking, says(FRESH, body=b"whole"))

    first = asyncio.ensure_future(page.get())
    await page.until_asked(1)
    others = await page.ask_together(5)
    gate.set()

    assert not (await first).complete
    assert {(reply.body, reply.complete) for reply in await asyncio.gather(*others)} == {(b"whole", True)}


async def test_more_than_was_announced_belongs_to_nobody(web: Web) -> None:
    """RFC 9112 section 6.3: what follows the content is not part of it, and not the next response either."""
    page, other = web.page(sends(LENGTH + b"four" + LENGTH + b"evil")), web.page(says(FRESH, body=b"good"))

    for reply in (await page.get(), await page.get()):
        assert reply.body == b"four"
    assert (await other.get()).body == b"good"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n",
        HEAD + b"Content-Length: 4, 5\r\n\r\n",
        HEAD + b"Content-Length: -4\r\n\r\n",
        HEAD + b"Content-Length: four\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b" X-Folded: 1\r\n\r\n",
        HEAD + b"X Y: 1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_a_response_that_means_two_things_means_nothing(web: Web, head: bytes) -> None:
    """RFC 9112 section 6.3: an invalid response of the origin is a 502, or is at least not stored."""
    page = web.page(sends(head + b"four", close=True), says(FRESH, body=b"good"))

    assert (await page.get()).status in (200, 502)
    assert (await page.get()).body == b"good"


async def test_a_response_that_ends_with_its_connection_is_complete(web: Web) -> None:
    """RFC 9112 sections 6.3 and 8: an HTTP/1.0 origin knows no other end."""
    page = web.page(sends(b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nall of it", close=True))

    for reply in (await page.get(), await page.get()):
        assert (reply.body, reply.complete) == (b"all of it", True)
    assert len(page.asked) == 1


async def test_trailers_are_no_fields_of_what_is_stored(web: Web) -> None:
    """RFC 9112 section 7.1.2, RFC 9110 section 6.5.1: they are discarded, not merged."""
    trailers = b"Cache-Control: no-store\r\nX-Late: 1\r\n"
    page = web.page(sends(CHUNKED + b"4\r\nfour\r\n0\r\n" + trailers + b"\r\n"))

    for reply in (await page.get(), await page.get()):
        assert (reply.body, reply.get("x-late"), reply.get("cache-control")) == (b"four", "", "max-age=60")


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
@pytest.mark.parametrize("control", ["max-age=60", "no-store"])
async def test_what_the_origin_sends_arrives_before_it_sends_more(web: Web, kind: str, control: str) -> None:
    """RFC 9112 section 7.1: head and chunks of a stream pass at once, whether it will be stored or not."""
    heard = [asyncio.Event() for _ in range(4)]

    async def speak(wire: Wire, asked: Asked) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: {control}\r\n"
        await wire.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for number, event in enumerate(heard):
            await event.wait()
            await wire.send(b"9\r\ndata: %d\n\n\r\n" % number)
        await wire.send(b"0\r\n\r\n")

    page = web.page(speak)
    async with web.line() as line:
        await line.send(page.request())
        assert f"\r\ncontent-type: {kind}\r\n".encode() in await line.wire.head()
        for number, event in enumerate(heard):
            event.set()
            await line.wire.exactly(b"9\r\ndata: %d\n\n\r\n" % number)
        await line.wire.exactly(b"0\r\n\r\n")

    assert (await page.get()).hit is (kind == "text/plain" and control == "max-age=60")


async def test_parts_of_known_length_pass_at_once_as_well(web: Web) -> None:
    """RFC 9110 section 8.6: a progress bar needs no more than the announced length."""
    heard = [asyncio.Event() for _ in range(3)]

    async def speak(wire: Wire, asked: Asked) -> None:
        await wire.send(HEAD + b"Content-Length: 4\r\n\r\n0")
        for number, event in enumerate(heard):
            await event.wait()
            await wire.send(b"%d" % (number + 1))

    page = web.page(speak)
    async with web.line() as line:
        await line.send(page.request())
        assert b"\r\ncontent-length: 4\r\n" in await line.wire.head()
        await line.wire.exactly(b"0")
        for number, event in enumerate(heard):
            event.set()
            await line.wire.exactly(b"%d" % (number + 1))
    assert (await page.get()).body == b"0123"
    assert len(page.asked) == 1


async def test_a_client_that_leaves_amid_a_body_leaves_nothing_behind(web: Web) -> None:
    """RFC 9111 section 3.3: the origin is told, nothing is stored, and the next one gets all of it."""
    left = asyncio.Event()

    async def endless(wire: Wire, asked: Asked) -> None:
        await wire.send(CHUNKED + b"4\r\nhalf\r\n")
        await wire.rest()
        left.set()

    page = web.page(endless, says(FRESH, body=b"whole"))
    async with web.line() as line:
        await line.send(page.request())
        await line.wire.head()
        await line.wire.exactly(b"4\r\nhalf\r\n")
    await asyncio.wait_for(left.wait(), 30)

    reply = await page.get()
    assert (reply.body, reply.hit) == (b"whole", False)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size, stored", [(1000, True), (1001, False)])
async def test_what_is_larger_than_allowed_passes_and_is_not_stored(
    web: Web, size: int, stored: bool, chunked: bool
) -> None:
    """RFC 9111 section 3: a cache decides how much it holds; ``max_body_bytes``, to the byte."""
    page = web.page(says(FRESH, body=b"x" * size, chunked=chunked))

    async with web.cached(max_body_bytes=1000) as port:
        first, second = await page.get(port=port), await page.get(port=port)

    assert (len(first.body), len(second.body)) == (size, size)
    assert second.hit is stored
    if not stored and not chunked:
        assert first.cache_status == "asynccache; fwd=uri-miss; detail=too-large"


@pytest.mark.parametrize("chunked", [False, True])
async def test_fifty_megabytes_pass_through_a_few(web: Web, chunked: bool) -> None:
    """RFC 9111 section 3: per response in flight, no more is held than ``max_body_bytes``."""
    part, count = b"x" * 65536, 800

    async def pour(wire: Wire, asked: Asked) -> None:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(part) * count)
        await wire.send(HEAD + framing + b"\r\n\r\n")
        data = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
        for _ in range(count):
            await wire.send(data)
        if chunked:
            await wire.send(b"0\r\n\r\n")

    page = web.page(pour)
    async with web.line() as line:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await line.send(page.request())
            await line.wire.head()
            received = 0
            while received < len(part) * count:
                if chunked:
                    size = int(await line.wire.line(), 16)
                    received += len(await line.wire.take(size))
                    await line.wire.exactly(b"\r\n")
                else:
                    received += len(await line.wire.take(min(len(part), len(part) * count - received)))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        if chunked:
            await line.wire.exactly(b"0\r\n\r\n")
        # All of the origin, the gateway, the cache, uvicorn and the client.
        assert most - before < 6 * MIB
        await line.send(request(page.path, "Cache-Control: only-if-cached"))
        assert (await line.reply()).status == 504


@pytest.mark.parametrize(
    "parts, raises",
    [
        ([b"fo"], False),
        ([b"fo", b""], False),
        ([b"fourfour"], False),
        ([b"four", b"four"], False),
        ([b"fo"], True),
    ],
)
async def test_an_application_that_does_not_keep_its_word_has_nothing_stored(
    web: Web, parts: list[bytes], raises: bool
) -> None:
    """RFC 9110 section 8.6: a body that is not as long as announced, also of what is no gateway."""
    runs = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal runs
        if scope["type"] == "lifespan":
            return
        runs += 1
        headers = [(b"cache-control", b"max-age=60"), (b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if runs > 1:
            await send({"type": "http.response.body", "body": b"four"})
            return
        for number, part in enumerate(parts):
            more = raises or number < len(parts) - 1
            await send({"type": "http.response.body", "body": part, "more_body": more})
        if raises:
            raise ZeroDivisionError

    async with web.cached(application) as port:
        broken = await web.ask("/", port=port)
        replies = [await web.ask("/", port=port) for _ in range(2)]

    assert "stored" not in broken.cache_status
    assert not broken.complete or broken.status == 500 or broken.body == b"four"
    assert [(reply.body, reply.hit) for reply in replies] == [(b"four", False), (b"four", True)]
