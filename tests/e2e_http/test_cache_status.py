"""What the cache says about itself, end to end (RFC 9211)."""

from __future__ import annotations

import pytest

from tests.e2e_http.web import Web, gone, says

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"
TAG = 'ETag: "a"'


@pytest.mark.parametrize(
    "others",
    [["Inner; hit"], ["One; fwd=miss, Two; hit; ttl=5"], ["One; hit", "Two; hit"], ['"un, "closed', ",,;"]],
)
async def test_it_comes_after_what_caches_further_in_have_said(web: Web, others: list[str]) -> None:
    """RFC 9211 section 2: the list is in the order of the caches, the one nearest to the client last."""
    page = web.page(says(FRESH, *(f"Cache-Status: {value}" for value in others)))

    assert (await page.get()).all("cache-status") == [*others, "asynccache; fwd=uri-miss; stored"]
    assert (await page.get()).all("cache-status") == [*others, "asynccache; hit; ttl=60"]


async def test_a_cache_of_the_same_name_further_in_is_not_mistaken_for_this_one(web: Web) -> None:
    """RFC 9211 section 2: two of our gateways in a row, each with its member."""
    page = web.page(says(FRESH, "Cache-Status: asynccache; hit; ttl=5"))

    assert (await page.get()).all("cache-status") == [
        "asynccache; hit; ttl=5",
        "asynccache; fwd=uri-miss; stored",
    ]


async def test_the_end_of_freshness_is_counted_down(web: Web) -> None:
    """RFC 9211 section 2.4: ttl in whole seconds, by the response's own age, negative once it is stale."""
    page = web.page(says("Cache-Control: max-age=60, stale-while-revalidate=9", "Age: 20"))

    await page.get()
    said: list[str] = []
    for seconds in (0, 10.5, 29, 4.5):
        web.clock.advance(seconds)
        said.append((await page.get()).cache_status.removeprefix("asynccache; "))
    assert said == ["hit; ttl=40", "hit; ttl=29", "hit; ttl=0", "hit; ttl=-4; detail=stale"]


async def test_each_reason_for_asking_has_its_name(web: Web) -> None:
    """RFC 9211 section 2.2: method, bypass, uri-miss, vary-miss, request, stale, partial."""
    page = web.page(says(FRESH, TAG, "Vary: X-A"))
    part = web.page(says(FRESH, TAG, "Content-Range: bytes 0-0/2", status=206, body=b"a"), says(FRESH, TAG))

    said = [
        (await page.get(method="OPTIONS")).cache_status,
        (await page.get('If-Match: "a"')).cache_status,
        (await page.get()).cache_status,
        (await page.get("X-A: 1")).cache_status,
        (await page.get("Cache-Control: no-cache")).cache_status,
        (await part.get("Range: bytes=0-0")).cache_status,
        (await part.get()).cache_status,
    ]
    web.clock.advance(60)
    said.append((await page.get()).cache_status)

    assert [line.removeprefix("asynccache; ") for line in said] == [
        "fwd=method",
        "fwd=bypass; detail=precondition",
        "fwd=uri-miss; stored",
        "fwd=vary-miss; stored",
        "fwd=request; stored",
        "fwd=uri-miss; stored",
        "fwd=partial; stored",
        "fwd=stale; stored",
    ]


async def test_the_status_of_the_origin_is_told_where_it_is_not_that_of_the_response(web: Web) -> None:
    """RFC 9211 section 2.3: fwd-status."""
    page = web.page(says(FRESH, TAG), says(FRESH, TAG, status=304), says(FRESH, 'ETag: "b"'))
    said: list[str] = []
    for _ in range(3):
        said.append((await page.get()).cache_status)
        web.clock.advance(60)

    assert [line.removeprefix("asynccache; ") for line in said] == [
        "fwd=uri-miss; stored", "fwd=stale; fwd-status=304; stored", "fwd=stale; stored",
    ]  # fmt: skip


async def test_stored_is_only_said_where_it_is_true(web: Web) -> None:
    """RFC 9211 section 2.5: whoever reads it may count on the next one being a hit."""
    plays = {
        "length": says(FRESH),
        "chunked": says(FRESH, chunked=True),
        "empty": says(FRESH, body=b""),
        "404": says(FRESH, status=404),
        "private": says("Cache-Control: private, max-age=60"),
        "cookie": says(FRESH, "Set-Cookie: a=b"),
        "validator": says("Cache-Control: no-cache", TAG),
        "useless": says("Cache-Control: no-cache"),
        "events": says(FRESH, "Content-Type: text/event-stream"),
    }
    told: dict[str, bool] = {}
    for name, play in plays.items():
        page = web.page(play)
        first, second = await page.get(), await page.get()
        told[name] = first.cache_status == "asynccache; fwd=uri-miss; stored"
        known = second.hit or "if-none-match" in dict(page.asked[-1].fields)
        # Of a stream, it is not known when its head leaves.
        assert known is (told[name] or name == "chunked"), (name, first.cache_status, second.cache_status)

    assert {name for name, stored in told.items() if stored} == {"length", "empty", "404", "validator"}


async def test_what_can_have_no_content_is_said_to_be_stored(web: Web) -> None:
    """RFC 9211 section 2.5, RFC 9110 section 15.3.5: a 204 is complete with its head."""
    page = web.page(says(FRESH, status=204))

    first = await page.get()
    assert (await page.get()).hit
    assert first.cache_status == "asynccache; fwd=uri-miss; stored"


async def test_nothing_is_claimed_for_an_error_of_the_gateway(web: Web) -> None:
    """RFC 9211 section 2: what was made outside of the cache is no answer of the cache."""
    page = web.page(gone())

    reply = await page.get()
    assert (reply.status, reply.all("cache-status")) == (502, [])


async def test_it_can_be_kept_quiet(web: Web) -> None:
    """RFC 9211 section 6: what it tells may help an attacker; ``cache_status=False``."""
    page = web.page(says(FRESH, "Cache-Status: Inner; hit"))

    async with web.cached(cache_status=False) as port:
        for _ in range(2):
            assert (await page.get(port=port)).all("cache-status") == ["Inner; hit"]
    assert len(page.asked) == 1
