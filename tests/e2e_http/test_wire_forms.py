"""The same cache for every way to speak HTTP/1: versions, pipelines, requests in pieces (RFC 9112)."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e_http.web import Web, held, says, sends

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"
TAG = 'ETag: "a"'


async def test_an_old_client_without_host_is_answered_by_the_origin(web: Web) -> None:
    """RFC 9112 section 3.2: HTTP/1.0 knows no Host, and without one there is no key."""
    page = web.page(says(FRESH))

    for count in ("1", "2"):
        async with web.line() as line:
            await line.send(page.request(host=None, version="1.0"))
            reply = await line.reply()
            assert await line.wire.rest() == b""
        assert (reply.status, reply.text) == (200, count)
        assert reply.cache_status == "asynccache; fwd=bypass; detail=host"
    assert (await page.get()).text == "3"


async def test_an_old_client_with_host_is_answered_from_what_others_have_stored(web: Web) -> None:
    """RFC 9112 section 2.3, RFC 9111 section 2: the version is no part of the key."""
    page = web.page(says(FRESH))
    await page.get()

    async with web.line() as line:
        await line.send(page.request(version="1.0"))
        reply = await line.reply()
        assert await line.wire.rest() == b""
    assert (reply.text, reply.hit, reply.get("content-length")) == ("1", True, "1")


async def test_what_an_old_client_has_asked_for_is_stored(web: Web) -> None:
    """RFC 9111 section 3."""
    page = web.page(says(FRESH))

    assert (await page.get(version="1.0")).cache_status == "asynccache; fwd=uri-miss; stored"
    assert (await page.get()).text == "1"


async def test_an_old_client_is_sent_no_chunks(web: Web, request: pytest.FixtureRequest) -> None:
    """RFC 9112 section 6.1: a response of unknown length ends with its connection."""
    if web.http == "httptools":
        request.applymarker(pytest.mark.xfail(reason="uvicorn with httptools sends chunks to HTTP/1.0"))
    page = web.page(says(FRESH, body=b"four", chunked=True))

    for _ in range(2):
        reply = await page.get(version="1.0")
        assert (reply.body, reply.get("transfer-encoding")) == (b"four", "")


async def test_one_connection_serves_hits_and_misses_for_as_long_as_the_client_likes(web: Web) -> None:
    """RFC 9112 section 9.3."""
    pages = [web.page(says(FRESH, TAG, body=b"x" * size)) for size in (0, 1, 1000, 70000)]

    async with web.line() as line:
        for _ in range(5):
            for page in pages:
                await line.send(page.request())
                whole = await line.reply()
                await line.send(page.request('If-None-Match: "a"'))
                assert (await line.reply()).status == 304
                await line.send(page.request(method="HEAD"))
                assert (await line.reply("HEAD")).get("content-length") == str(len(whole.body))
        await line.send(pages[0].request("Connection: close"))
        last = await line.reply()
        assert (last.get("connection"), await line.wire.rest()) == ("close", b"")
    assert [len(page.asked) for page in pages] == [1, 1, 1, 1]


async def test_pipelined_hits_and_misses_are_answered_in_order(web: Web) -> None:
    """RFC 9112 section 9.3.2: though the first is the slowest, and hits need nobody."""
    gate = asyncio.Event()
    slow = web.page(held(gate, says(FRESH, body=b"slow")))
    hit = web.page(says(FRESH, TAG, body=b"hit"))
    passed = web.page(says("Cache-Control: no-store", body=b"passed", chunked=True))
    await hit.get()
    asked = [
        (slow.request(), "GET", b"slow"),
        (hit.request(), "GET", b"hit"),
        (hit.request(method="HEAD"), "HEAD", b""),
        (passed.request(), "GET", b"passed"),
        (hit.request('If-None-Match: "a"'), "GET", b""),
        (slow.request(), "GET", b"slow"),
        (passed.request(method="POST", body=b"content"), "POST", b"passed"),
        (hit.request("Range: bytes=1-"), "GET", b"it"),
        (passed.request(), "GET", b"passed"),
    ]

    async with web.line() as line:
        await line.send(b"".join(data for data, _, _ in asked))
        await slow.until_asked(1)
        gate.set()
        replies = [await line.reply(method) for _, method, _ in asked]

    assert [reply.body for reply in replies] == [body for _, _, body in asked]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 304, 200, 200, 206, 200]
    assert [reply.hit for reply in replies] == [False, True, True, False, True, True, False, True, False]
    assert passed.asked[1].body == b"content"


async def test_a_change_in_a_pipeline_counts_for_what_comes_after_it(web: Web) -> None:
    """RFC 9112 section 9.3.2, RFC 9111 section 4.4: requests on a connection happen in their order."""
    page = web.page(says(FRESH))

    async with web.line() as line:
        get, post = page.request(), page.request(method="POST", body=b"x")
        await line.send(get + get + post + get + get)
        texts = [(await line.reply()).text for _ in range(5)]

    assert texts == ["1", "1", "2", "3", "3"]


async def test_pipelines_of_several_clients_do_not_mix(web: Web) -> None:
    """RFC 9112 section 9.3.2."""
    pages = [web.page(says(FRESH, body=b"page %d" % number)) for number in range(8)]

    async def client(start: int) -> list[bytes]:
        order = [pages[(start + step) % len(pages)] for step in range(2 * len(pages))]
        async with web.line() as line:
            await line.send(b"".join(page.request() for page in order))
            return [(await line.reply()).body for _ in order]

    for start, bodies in enumerate(await asyncio.gather(*map(client, range(8)))):
        assert bodies == [b"page %d" % ((start + step) % 8) for step in range(16)]
    assert [len(page.asked) for page in pages] == [1] * 8


async def test_a_request_may_come_byte_by_byte(web: Web) -> None:
    """RFC 9112 section 2.2: where the pieces of a message end means nothing."""
    page = web.page(says(FRESH, TAG, "Vary: X-A"))
    asked = page.request("X-A: one,  two", 'If-None-Match: "b"', "X-Empty:", "Accept: */*")

    async with web.line() as line:
        for _ in range(2):
            await line.drip(asked)
            assert (await line.reply()).text == "1"
        await line.drip(page.request("X-A: one,  two", 'If-None-Match: "a"'))
        assert (await line.reply()).status == 304
    assert len(page.asked) == 1
    assert page.asked[0].get("x-a") == "one,  two"


async def test_pipelined_requests_may_be_cut_anywhere(web: Web) -> None:
    """RFC 9112 section 2.2: in the middle of a field, of its name, of an empty line, of content."""
    page, changed = web.page(says(FRESH)), web.page(says())
    stream = (
        page.request("X-Long: " + "x" * 40)
        + changed.request(method="POST", body=b"content")
        + page.request("Range: bytes=0-0", "Connection: keep-alive")
    )

    for cut in range(1, len(stream), 7):
        async with web.line() as line:
            await line.send(stream[:cut])
            await asyncio.sleep(0)
            await line.send(stream[cut:])
            replies = [await line.reply() for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 206]
    assert len(page.asked) == 1
    assert {asked.body for asked in changed.asked} == {b"content"}


async def test_content_that_waits_for_permission_gets_it(web: Web) -> None:
    """RFC 9110 section 10.1.1: 100 before the final response, which is the only one that counts."""
    page = web.page(says(FRESH))
    await page.get()
    head, body = page.request("Expect: 100-continue", method="POST", body=b"content").split(b"\r\n\r\n")

    async with web.line() as line:
        await line.send(head + b"\r\n\r\n")
        assert (await line.wire.head()).startswith(b"HTTP/1.1 100 ")
        await line.drip(body)
        assert (await line.reply()).text == "2"
    assert page.asked[1].body == b"content"
    assert (await page.get()).text == "3"


async def test_interim_responses_of_the_origin_are_not_what_is_stored(web: Web) -> None:
    """RFC 9110 section 15.2, RFC 8297: only a final response is stored."""
    early = b"HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=9\r\nLink: </a>\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
    page = web.page(sends(early + early + final))

    for reply in (await page.get(), await page.get()):
        assert (reply.status, reply.text, reply.get("link")) == (200, "ok", "")
    assert len(page.asked) == 1


async def test_names_of_fields_have_no_case(web: Web) -> None:
    """RFC 9110 section 5.1: neither those of a request nor those of a response."""
    page = web.page(
        sends(
            b'HTTP/1.1 200 OK\r\nCACHE-control: max-age=60\r\neTAG: "a"\r\nVARY: x-A\r\n'
            b"Content-length: 2\r\n\r\nok"
        )
    )
    await page.get("X-a: 1")

    assert (await page.get("x-A: 1", 'IF-NONE-match: "a"')).status == 304
    assert not (await page.get("x-a: 2")).hit


async def test_two_hosts_are_none(web: Web) -> None:
    """RFC 9112 section 3.2: 400."""
    page = web.page(says(FRESH))
    await page.get()

    assert (await page.get("Host: evil.test")).status == 400
    assert (await page.get("Host: shop.test")).status == 400
    assert (await page.get()).text == "1"


async def test_an_absolute_target_poisons_nothing(web: Web) -> None:
    """RFC 9112 section 3.2.2: h11 shows it to the gateway, which refuses it; httptools hides its host."""
    page = web.page(says(FRESH))

    reply = await web.ask(f"http://evil.test{page.path}")
    assert reply.status == (400 if web.http == "h11" else 200)
    for host in ("evil.test", "shop.test"):
        count = len(page.asked)
        reply = await page.get(host=host)
        assert reply.text == str(count + 1) or page.asked[int(reply.text) - 1].get("host") == host


async def test_a_client_that_leaves_amid_its_request_has_not_asked(web: Web) -> None:
    """RFC 9112 section 8: an incomplete request is none, and nothing waits for the rest of it."""
    page = web.page(says(FRESH))
    asked = page.request("X-Any: 1")

    for cut in range(1, len(asked), 9):
        async with web.line() as line:
            await line.send(asked[:cut])
    assert (await page.get()).text == "1"
    assert len(page.asked) == 1


async def test_a_client_that_leaves_amid_its_pipeline_blocks_nobody(web: Web) -> None:
    """RFC 9112 sections 9.3.2 and 9.6: what has been asked for on its connection is anyone's to ask for."""
    gate = asyncio.Event()
    slow = [web.page(held(gate, says(FRESH))), web.page(held(gate, says(FRESH)))]
    hit = web.page(says(FRESH))
    await hit.get()

    async with web.line() as line:
        await line.send(hit.request() + slow[0].request() + slow[1].request() + hit.request())
        assert (await line.reply()).hit
        await slow[0].until_asked(1)
    asked = [await page.ask_together(2) for page in slow]
    gate.set()

    for requests in asked:
        assert {reply.status for reply in await asyncio.gather(*requests)} == {200}
    assert (await hit.get()).hit
    for page in slow:
        assert (await page.get()).hit
