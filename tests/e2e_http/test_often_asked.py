"""What is asked for again and again is answered without thinking, not without looking."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e_http.web import Page, Web, says

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = b"abcdef"
FIELDS = ["Cache-Control: max-age=60", 'ETag: "a"', "Content-Type: text/x"]


async def popular(web: Web) -> Page:
    """Return a page that has been asked for often enough to be known by heart."""
    page = web.page(says(*FIELDS, body=BODY))
    replies = [await page.get() for _ in range(5)]
    assert [reply.hit for reply in replies] == [False, True, True, True, True]
    return page


@pytest.mark.parametrize(
    "fields, options, status, member",
    [
        ([], {}, 200, "hit; ttl=60"),
        (["X-Any: 1", "Accept-Encoding: gzip", "User-Agent: me"], {}, 200, "hit; ttl=60"),
        (["Cache-Control: only-if-cached"], {}, 200, "hit; ttl=60"),
        (["Cache-Control: no-store"], {}, 200, "hit; ttl=60"),
        (["Cache-Control: no-cache"], {}, 200, "fwd=request; stored"),
        (["Cache-Control: min-fresh=61"], {}, 200, "fwd=request; stored"),
        (["Pragma: no-cache"], {}, 200, "fwd=request; stored"),
        (['If-None-Match: "a"'], {}, 304, "hit; ttl=60"),
        (['If-None-Match: "b"'], {}, 200, "hit; ttl=60"),
        (['If-Match: "a"'], {}, 200, "fwd=bypass; detail=precondition"),
        (["Range: bytes=0-1"], {}, 206, "hit; ttl=60"),
        (["Range: bytes=9-"], {}, 416, "hit; ttl=60"),
        (["Authorization: Basic eDp5"], {}, 200, "fwd=bypass; detail=authorization"),
        (["Cookie: a=b"], {}, 200, "fwd=bypass; detail=cookie"),
        (["X-Api-Key: 1"], {}, 200, "fwd=bypass; detail=x-api-key"),
        ([], {"body": b"x"}, 200, "fwd=bypass; detail=content"),
        ([], {"host": None, "version": "1.0"}, 200, "fwd=bypass; detail=host"),
        ([], {"version": "1.0"}, 200, "hit; ttl=60"),
        ([], {"method": "HEAD"}, 200, "hit; ttl=60"),
        ([], {"method": "OPTIONS"}, 200, "fwd=method"),
        ([], {"host": "other.test"}, 200, "fwd=uri-miss; stored"),
        ([], {"query": "?a"}, 200, "fwd=uri-miss; stored"),
    ],
)
async def test_each_field_counts_as_it_did_the_first_time(
    web: Web, fields: list[str], options: dict[str, Any], status: int, member: str
) -> None:
    """RFC 9111 sections 3.5, 4, 4.3.2 and 5.2.1."""
    page = await popular(web)

    reply = await page.get(*fields, **options)

    assert (reply.status, reply.cache_status) == (status, f"asynccache; {member}")
    assert len(page.asked) == (1 if "hit" in member else 2)
    assert (await page.get()).hit


async def test_it_ages_and_ends_to_the_second(web: Web) -> None:
    """RFC 9111 section 4.2."""
    page = await popular(web)

    for age in range(1, 60):
        web.clock.advance(1)
        reply = await page.get()
        assert (reply.get("age"), reply.cache_status) == (str(age), f"asynccache; hit; ttl={60 - age}")
    web.clock.advance(0.999)
    assert (await page.get()).hit
    web.clock.advance(0.001)
    assert not (await page.get()).hit


async def test_a_change_counts_at_once(web: Web) -> None:
    """RFC 9111 section 4.4: its own URL, and the one it names."""
    page, named = await popular(web), await popular(web)
    page.then(says(f"Location: {named.path}", status=201), says(*FIELDS, body=b"new"))
    named.then(says(*FIELDS, body=b"new"))

    await page.get(method="POST", body=b"")

    assert [(await each.get()).body for each in (page, named)] == [b"new", b"new"]


async def test_a_new_response_replaces_it_at_once(web: Web) -> None:
    """RFC 9111 section 4.3.3: the one that a client has insisted on."""
    page = await popular(web)
    page.then(says("Cache-Control: max-age=60", 'ETag: "b"', "Vary: X-A", body=b"new"))

    await page.get("Cache-Control: no-cache", "X-A: 1")

    assert (await page.get("X-A: 1")).body == b"new"
    other = await page.get("X-A: 2")
    assert (other.body, other.hit) == (b"new", False)


async def test_what_it_says_is_updated_at_once(web: Web) -> None:
    """RFC 9111 section 4.3.4."""
    page = await popular(web)
    page.then(says("Cache-Control: max-age=30", 'ETag: "a"', "X-New: 1", status=304))

    confirmed = await page.get("Cache-Control: max-age=0, no-cache")
    hit = await page.get()

    assert page.asked[-1].get("if-none-match") == '"a"'
    assert confirmed.cache_status == "asynccache; fwd=request; fwd-status=304; stored"
    assert (hit.body, hit.get("x-new"), hit.cache_status) == (BODY, "1", "asynccache; hit; ttl=30")


async def test_answers_differ_by_nothing_but_their_age(web: Web) -> None:
    """RFC 9111 section 4: the second hit, which is thought about, and the hundredth, which is not."""
    page = await popular(web)
    replies = [await page.get() for _ in range(100)]

    assert len({(reply.first, reply.fields, reply.body) for reply in replies}) == 1
    assert dict(replies[0].fields) == {
        "cache-control": "max-age=60",
        "etag": '"a"',
        "content-type": "text/x",
        "date": web.date(),
        "via": "1.1 asynccache",
        "age": "0",
        "cache-status": "asynccache; hit; ttl=60",
        "content-length": "6",
    }
