"""When what is stale may still answer, end to end (RFC 9111 section 4.2.4, RFC 5861)."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e_http.web import Asked, Page, Web, gone, held, says
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
TAG = 'ETag: "a"'
WHILE = "Cache-Control: max-age=10, stale-while-revalidate=30"
ON_ERROR = "Cache-Control: max-age=10, stale-if-error=30"


async def hit(page: Page, text: str, *fields: str) -> None:
    """Ask until the answer of the origin that is on its way has been stored."""
    async with asyncio.timeout(30):
        while True:
            reply = await page.get(*fields)
            if reply.hit and reply.text == text and "stale" not in reply.cache_status:
                return


async def test_it_is_served_at_once_and_asked_for_in_the_background(web: Web) -> None:
    """RFC 5861 section 3: nobody waits for the origin, which is asked once."""
    gate = asyncio.Event()
    page = web.page(says(WHILE), held(gate, says(WHILE)))
    await page.get()
    web.clock.advance(15)

    replies = [await page.get() for _ in range(5)]  # while the origin does not answer
    await page.until_asked(2)
    gate.set()
    await hit(page, "2")

    assert {reply.text for reply in replies} == {"1"}
    assert {reply.cache_status for reply in replies} == {"asynccache; hit; ttl=-5; detail=stale"}
    assert {reply.get("age") for reply in replies} == {"15"}
    assert len(page.asked) == 2


async def test_the_question_in_the_background_repeats_the_clients_fields(web: Web) -> None:
    """RFC 5861 section 3, RFC 9111 section 4.3.1: the same request, with conditions of ours."""
    page = web.page(says(WHILE, TAG, "Vary: X-A"), says(WHILE, TAG, "Vary: X-A", status=304))
    fields = ["X-A: 1", "User-Agent: me", "Accept: text/html", "Accept: */*", "X-Other: 2"]
    await page.get(*fields)
    web.clock.advance(15)

    assert (await page.get(*fields, 'If-None-Match: "a"')).status == 304
    await page.until_asked(2)
    await hit(page, "1", *fields)

    first, second = page.asked
    assert second.get("if-none-match") == '"a"'
    assert [field for field in second.fields if field[0] != "if-none-match"] == list(first.fields)
    assert (second.method, second.target) == ("GET", page.path)


async def test_head_has_the_body_asked_for_in_the_background(web: Web) -> None:
    """RFC 5861 section 3, RFC 9110 section 9.3.2: a HEAD would bring nothing to store."""
    page = web.page(says(WHILE))
    await page.get()
    web.clock.advance(15)

    assert (await page.get(method="HEAD")).hit
    await page.until_asked(2)
    await hit(page, "2")
    assert [asked.method for asked in page.asked] == ["GET", "GET"]


async def test_after_the_window_clients_wait_again(web: Web) -> None:
    """RFC 5861 section 3."""
    page = web.page(says(WHILE))
    await page.get()
    web.clock.advance(40)

    reply = await page.get()
    assert (reply.text, reply.cache_status) == ("2", "asynccache; fwd=stale; stored")


async def test_a_background_question_that_fails_harms_nobody(web: Web) -> None:
    """RFC 5861 section 3: within the window what is stored goes on to answer, and is asked about again."""
    page = web.page(says(WHILE), gone())
    await page.get()
    web.clock.advance(15)

    async with asyncio.timeout(30):
        while len(page.asked) < 6:  # the gateway asks twice: the connection was not new
            assert (await page.get()).text == "1"
    page.then(says(WHILE, body=b"new"))
    await hit(page, "new")


@pytest.mark.parametrize("why", ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"])
async def test_whoever_insists_on_being_asked_is_asked(web: Web, why: str) -> None:
    """RFC 9111 sections 4.2.4, 5.2.2.2, 5.2.2.4, 5.2.2.8 and 5.2.2.10: no window changes that."""
    page = web.page(says(f"{WHILE}, stale-if-error=30, {why}", TAG), says(status=503))
    await page.get()
    web.clock.advance(15)

    assert (await page.get("Cache-Control: max-stale")).status == 503
    assert len(page.asked) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_error_of_the_origin_is_replaced_by_what_is_stale(web: Web, status: int) -> None:
    """RFC 5861 section 4: 500, 502, 503 and 504 are errors."""
    page = web.page(says(ON_ERROR, TAG), says(status=status))
    await page.get()
    web.clock.advance(39)

    for count in (2, 3):
        reply = await page.get()
        assert (reply.status, reply.text, reply.get("age")) == (200, "1", "39")
        assert reply.cache_status == f"asynccache; fwd=stale; fwd-status={status}; detail=stale-if-error"
        assert len(page.asked) == count
    web.clock.advance(1)
    assert (await page.get()).status == status


@pytest.mark.parametrize("status", [501, 404, 403])
async def test_other_statuses_are_the_origins_answer(web: Web, status: int) -> None:
    """RFC 5861 section 4: only a failure counts as one."""
    page = web.page(says(ON_ERROR, TAG), says(status=status))
    await page.get()
    web.clock.advance(11)

    assert (await page.get()).status == status


async def test_a_conditional_request_is_answered_from_what_stands_in(web: Web) -> None:
    """RFC 5861 section 4, RFC 9111 section 4.3.2."""
    page = web.page(says(ON_ERROR, TAG), says(status=503))
    await page.get()
    web.clock.advance(11)

    assert (await page.get('If-None-Match: "a"')).status == 304
    assert (await page.get('If-None-Match: "b"')).status == 200


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nX-Half: "])
async def test_an_origin_that_breaks_off_is_replaced_by_what_is_stale(web: Web, after: bytes) -> None:
    """RFC 9111 section 4.2.4, RFC 5861 section 4: disconnected counts as an error."""
    page = web.page(says(ON_ERROR, TAG), gone(after=after))
    await page.get()
    web.clock.advance(20)

    reply = await page.get()
    assert (reply.status, reply.text) == (200, "1")
    assert reply.cache_status == "asynccache; fwd=stale; detail=stale-if-error"


async def test_an_origin_that_breaks_off_before_its_body_is_replaced_by_what_is_stale(web: Web) -> None:
    """RFC 5861 section 4: nothing of it has left for the client yet."""
    head = f"HTTP/1.1 200 OK\r\n{ON_ERROR}\r\nContent-Length: 4\r\n\r\n"
    page = web.page(says(ON_ERROR), gone(after=head.encode()))
    await page.get()
    web.clock.advance(20)

    reply = await page.get()
    assert (reply.status, reply.text) == (200, "1")


async def test_a_dead_origin_is_replaced_for_as_long_as_it_allowed(web: Web) -> None:
    """RFC 5861 section 4, with nobody at the other end at all."""
    async with Web(web.http).serving() as own:
        page, strict = own.page(says(ON_ERROR)), own.page(says("Cache-Control: max-age=10, must-revalidate"))
        for each in (page, strict):
            await each.get()
        own.clock.advance(11)
        await own.origin.die()

        replies = [await page.get() for _ in range(3)]
        assert {(reply.status, reply.text, reply.get("age")) for reply in replies} == {(200, "1", "11")}
        assert (await page.get(method="HEAD")).status == 200
        assert (await strict.get()).status == 502
        own.clock.advance(29)
        assert (await page.get()).status == 502


async def test_nothing_stands_in_without_permission(web: Web) -> None:
    """RFC 9111 section 4.2.4 leaves it to the cache; it has to be asked for: ``stale_on_error=True``."""
    page = web.page(says("Cache-Control: max-age=10", TAG), says(status=503))
    await page.get()
    async with web.cached(stale_on_error=True) as port:
        page.then(says("Cache-Control: max-age=10"), says(status=503))
        await page.get(port=port)
        web.clock.advance(11)

        assert (await page.get()).status == 503
        assert (await page.get(port=port)).status == 200


async def test_a_client_may_give_the_permission(web: Web) -> None:
    """RFC 5861 section 4: stale-if-error of a request."""
    page = web.page(says("Cache-Control: max-age=10", TAG), says(status=503))
    await page.get()
    web.clock.advance(20)

    assert (await page.get("Cache-Control: stale-if-error=11")).status == 200
    assert (await page.get("Cache-Control: stale-if-error=10")).status == 503


async def test_a_half_sent_body_is_not_replaced(web: Web) -> None:
    """RFC 9112 section 8: who has read a part of a response must learn that it is not complete."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"
    page = web.page(says(ON_ERROR, body=b"full"), gone(after=half), says(ON_ERROR, body=b"new"))
    await page.get()
    web.clock.advance(11)

    broken = await page.get()
    assert (broken.body, broken.complete) == (b"ha", False)
    assert (await page.get()).body == b"new"


async def test_each_variant_is_asked_for_with_its_own_fields(web: Web) -> None:
    """RFC 5861 section 3, RFC 9111 section 4.1."""

    async def echo(wire: Wire, asked: Asked) -> None:
        await says(WHILE, "Vary: X-A", body=f"{asked.get('x-a')}{asked.number > 2}".encode())(wire, asked)

    page = web.page(echo)
    for value in ("1", "2"):
        assert (await page.get(f"X-A: {value}")).text == f"{value}False"
    web.clock.advance(15)

    for value in ("1", "2"):
        assert (await page.get(f"X-A: {value}")).text == f"{value}False"
    for value in ("1", "2"):
        await hit(page, f"{value}True", f"X-A: {value}")
    assert len(page.asked) == 4


async def test_a_change_counts_though_the_background_is_still_asking(web: Web) -> None:
    """RFC 9111 section 4.4: what was asked before the change is not stored after it."""
    gate = asyncio.Event()
    page = web.page(says(WHILE), held(gate, says(WHILE, body=b"old")), says(), says(WHILE, body=b"new"))
    await page.get()
    web.clock.advance(15)

    assert (await page.get()).text == "1"
    await page.until_asked(2)
    await page.get(method="POST", body=b"")
    assert (await page.get()).text == "new"
    gate.set()
    for _ in range(5):
        assert (await page.get()).text == "new"
