"""Clients who want the same at the same time (RFC 9111 section 4: collapsing requests)."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e_http.web import Asked, Web, gone, held, says
from tests.http_messages import Reply
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"


async def test_the_origin_is_asked_once(web: Web) -> None:
    """RFC 9111 section 4, RFC 9211 section 2.6."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH)))

    asked = await page.ask_together(20)
    gate.set()
    replies = await asyncio.gather(*asked)

    assert {reply.text for reply in replies} == {"1"}
    assert len(page.asked) == 1
    said = [reply.cache_status for reply in replies]
    assert said.count("asynccache; fwd=uri-miss; stored") == 1
    assert all(line.endswith("; collapsed") or "; hit" in line for line in said if "stored" not in line)


async def test_what_is_not_for_sharing_is_asked_for_by_all_at_once(web: Web) -> None:
    """RFC 9111 section 4: the origin answers none of them before it has seen all."""
    gate, all_here = asyncio.Event(), asyncio.Event()

    async def wait_for_all(wire: Wire, asked: Asked) -> None:
        if asked.number == 10:
            all_here.set()
        await all_here.wait()
        await says("Cache-Control: no-store")(wire, asked)

    page = web.page(held(gate, says("Cache-Control: no-store")), wait_for_all)

    asked = await page.ask_together(10)
    gate.set()
    replies = await asyncio.gather(*asked)

    assert sorted(int(reply.text) for reply in replies) == list(range(1, 11))


async def test_what_was_not_for_sharing_is_not_waited_for_again(web: Web) -> None:
    """RFC 9111 section 4: or requests would queue, one behind the other."""
    page = web.page(says("Cache-Control: no-store"))
    await page.get()
    both = asyncio.Event()

    async def wait_for_both(wire: Wire, asked: Asked) -> None:
        if asked.number == 3:
            both.set()
        await both.wait()
        await says("Cache-Control: no-store")(wire, asked)

    page.then(wait_for_both)
    assert {reply.text for reply in await asyncio.gather(page.get(), page.get())} == {"2", "3"}


async def test_others_are_answered_though_the_first_has_left(web: Web) -> None:
    """RFC 9111 section 4: one of them takes over."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH)))

    async with web.line() as first:
        await first.send(page.request())
        await page.until_asked(1)
        others = await page.ask_together(10)
    await page.until_asked(2)  # for the second of them; who has left is not answered
    gate.set()

    assert {reply.text for reply in await asyncio.gather(*others)} == {"2"}
    assert len(page.asked) == 2


async def test_those_who_wait_may_leave(web: Web) -> None:
    """RFC 9111 section 4: that is nothing to the one who asks, nor to those who go on waiting."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH)))

    first = await page.ask_together(1)
    async with web.line() as second:
        entered = web.entered
        await second.send(page.request())
        await web.until_entered(entered + 1)
        third = await page.ask_together(1)
    gate.set()

    assert [reply.text for reply in await asyncio.gather(*first, *third)] == ["1", "1"]
    assert len(page.asked) == 1


async def test_an_origin_that_fails_fails_those_it_failed(web: Web) -> None:
    """RFC 9111 section 4: an error of the first is no answer for the others."""
    gate = asyncio.Event()
    page = web.page(held(gate, gone()), says(FRESH))

    asked = await page.ask_together(5)
    gate.set()
    replies = await asyncio.gather(*asked)

    assert sorted(reply.status for reply in replies) in ([200] * 5, [200] * 4 + [502])
    assert (await page.get()).hit


async def test_everyone_gets_the_variant_that_was_asked_for(web: Web) -> None:
    """RFC 9111 section 4.1: nobody knows by what the response varies before it is there."""
    gate = asyncio.Event()

    async def echo(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        await says(FRESH, "Vary: X-A", body=asked.get("x-a").encode())(wire, asked)

    page = web.page(echo)

    asked = {value: await page.ask_together(4, f"X-A: {value}") for value in ("1", "2", "3")}
    gate.set()

    for value, requests in asked.items():
        assert {reply.text for reply in await asyncio.gather(*requests)} == {value}
    for value in asked:
        assert (await page.get(f"X-A: {value}")).text == value


@pytest.mark.parametrize("field", ["Authorization: Basic eDp5", "Cookie: a=b", "X-Api-Key: 1"])
@pytest.mark.parametrize("mine_first", [True, False])
async def test_nobody_waits_for_what_is_anothers(web: Web, field: str, mine_first: bool) -> None:
    """RFC 9111 section 3.5: what somebody with credentials is told is not told to who waits for it."""
    gate = asyncio.Event()

    async def echo(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        name, value = field.split(": ")
        body = b"mine" if asked.get(name.lower()) == value else b"all"
        await says(FRESH, body=body)(wire, asked)

    page = web.page(echo)

    mine: list[asyncio.Task[Reply]] = []
    theirs: list[asyncio.Task[Reply]] = []
    for turn in (mine, theirs, mine) if mine_first else (theirs, mine, theirs):
        turn.extend(await page.ask_together(3, *([field] if turn is mine else [])))
        await page.until_asked(1)
    gate.set()

    assert {reply.text for reply in await asyncio.gather(*mine)} == {"mine"}
    assert {reply.text for reply in await asyncio.gather(*theirs)} == {"all"}
    assert (await page.get()).text == "all"


async def test_who_wants_it_fresh_does_not_wait_for_what_began_before(web: Web) -> None:
    """RFC 9111 section 5.2.1.4: no-cache is answered by the origin."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH)), says(FRESH))

    first = await page.ask_together(1)
    await page.until_asked(1)
    assert (await page.get("Cache-Control: no-cache")).text == "2"
    gate.set()

    assert (await first[0]).text == "1"


async def test_who_asks_after_a_change_does_not_get_what_was_asked_for_before_it(web: Web) -> None:
    """RFC 9111 section 4.4: what is on its way when something is changed may be outdated."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH, body=b"old")), says(), says(FRESH, body=b"new"))

    before = await page.ask_together(1)
    await page.until_asked(1)
    await page.get(method="POST", body=b"")
    after = await page.get()
    gate.set()

    assert (after.text, (await before[0]).text) == ("new", "old")
    assert (await page.get()).text == "new"


async def test_nobody_waits_for_the_end_of_what_is_not_for_sharing(web: Web) -> None:
    """RFC 9111 section 4: its head has said so, though its body goes on."""
    answered = asyncio.Event()

    async def endless(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n")
        await answered.wait()
        await wire.send(b"1\r\n1\r\n0\r\n\r\n")

    gate = asyncio.Event()
    page = web.page(endless, says("Cache-Control: no-store"))

    first = await page.ask_together(1)
    await page.until_asked(1)
    others = await page.ask_together(3)
    gate.set()
    assert {reply.text for reply in await asyncio.gather(*others)} == {"2", "3", "4"}
    answered.set()
    assert (await first[0]).text == "1"


async def test_nobody_waits_for_the_end_of_what_is_too_large(web: Web) -> None:
    """RFC 9111 section 4: as soon as that is known."""
    answered = asyncio.Event()

    async def large(wire: Wire, asked: Asked) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
        await gate.wait()
        await wire.send(b"4\r\nfull\r\n")
        await answered.wait()
        await wire.send(b"0\r\n\r\n")

    gate = asyncio.Event()
    page = web.page(large, says(FRESH))

    async with web.cached(max_body_bytes=3) as port:
        first = await page.ask_together(1, port=port)
        await page.until_asked(1)
        others = await page.ask_together(2, port=port)
        gate.set()
        assert {reply.text for reply in await asyncio.gather(*others)} <= {"2", "3"}
        answered.set()
        assert (await first[0]).text == "full"


async def test_nobody_waits_for_ever(web: Web) -> None:
    """RFC 9111 section 4: ``coalesce_timeout`` is for how long; then everyone asks for itself."""
    gate = asyncio.Event()
    page = web.page(held(gate, says(FRESH)), says(FRESH))

    async with web.cached(coalesce_timeout=0.02) as port:
        first = await page.ask_together(1, port=port)
        await page.until_asked(1)
        assert (await page.get(port=port)).text == "2"
        gate.set()
        assert (await first[0]).text == "1"


async def test_others_are_answered_though_the_first_has_left_amid_the_body(web: Web) -> None:
    """RFC 9111 sections 3.3 and 4: what there is of it is thrown away, and one of them asks anew."""
    left = asyncio.Event()

    async def half(wire: Wire, asked: Asked) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nha")
        await wire.rest()
        left.set()

    page = web.page(half, says(FRESH, body=b"full"))

    async with web.line() as first:
        await first.send(page.request())
        await first.wire.head()
        await first.wire.exactly(b"ha")
        others = await page.ask_together(5)
    await asyncio.wait_for(left.wait(), 30)

    assert {(reply.body, reply.complete) for reply in await asyncio.gather(*others)} == {(b"full", True)}
    assert len(page.asked) == 2


async def test_others_do_not_wait_for_a_client_that_does_not_read(web: Web) -> None:
    """RFC 9111 section 4: who reads slowly must not keep a response from all who want the same."""
    size = 12 * 1024 * 1024  # more than the buffers of a connection take
    page = web.page(says(FRESH, body=b"x" * size))

    async with web.cached(max_body_bytes=size) as port, web.line(port) as first:
        await first.send(page.request())
        await page.until_asked(1)
        other = await page.get(port=port)
    assert len(other.body) == size
    assert len(page.asked) == 2
