"""Asking the origin whether what is stored still holds, and answering clients who ask that (RFC 9111 4.3)."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e_http.web import Asked, Page, Web, says, sends
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHORT = "Cache-Control: max-age=10"
TAG = 'ETag: "a"'


async def stale(web: Web, page: Page, *fields: str) -> None:
    """Have a response stored, and let it become stale."""
    assert (await page.get(*fields)).cache_status == "asynccache; fwd=uri-miss; stored"
    web.clock.advance(10)


async def test_the_entity_tag_is_sent_and_304_makes_the_response_fresh_again(web: Web) -> None:
    """RFC 9111 sections 4.3.1 and 4.3.4."""
    page = web.page(says(SHORT, TAG), says(SHORT, TAG, status=304))
    await stale(web, page)

    asked = await page.get()
    web.clock.advance(9)
    hit = await page.get()

    assert [page.asked[1].get("if-none-match"), page.asked[1].get("if-modified-since")] == ['"a"', ""]
    assert (asked.status, asked.text) == (200, "1")
    assert asked.cache_status == "asynccache; fwd=stale; fwd-status=304; stored"
    assert (asked.get("age"), hit.get("age")) == ("0", "9")
    assert (hit.text, hit.cache_status) == ("1", "asynccache; hit; ttl=1")


async def test_the_date_of_last_modification_is_sent(web: Web) -> None:
    """RFC 9111 section 4.3.1: exactly as it came, beside the entity tag where there is one."""
    modified = web.date(-5000)
    dated = web.page(says(SHORT, f"Last-Modified: {modified}"), says(status=304))
    both = web.page(says(SHORT, f"Last-Modified: {modified}", 'ETag: W/"a"'), says(status=304))

    for page in (dated, both):
        await page.get()
    web.clock.advance(10)
    for page, tag in ((dated, ""), (both, 'W/"a"')):
        assert (await page.get()).text == "1"
        assert page.asked[1].get("if-modified-since") == modified
        assert page.asked[1].get("if-none-match") == tag


async def test_what_has_no_validator_is_asked_for_anew(web: Web) -> None:
    """RFC 9111 section 4.3.1."""
    page = web.page(says(SHORT))
    await stale(web, page)

    reply = await page.get()
    assert (reply.text, reply.cache_status) == ("2", "asynccache; fwd=stale; stored")
    assert not {"if-none-match", "if-modified-since"} & {name for name, _ in page.asked[1].fields}


async def test_a_full_answer_replaces_what_is_stored(web: Web) -> None:
    """RFC 9111 section 4.3.3."""
    page = web.page(says(SHORT, TAG, "X-Old: 1"), says(SHORT, 'ETag: "b"'))
    await stale(web, page)

    for reply in (await page.get(), await page.get()):
        assert (reply.text, reply.get("etag"), reply.get("x-old")) == ("2", '"b"', "")


async def test_304_updates_the_fields_that_it_has_and_no_others(web: Web) -> None:
    """RFC 9111 section 3.2: all lines of a name are replaced; what speaks of the bytes is not."""
    page = web.page(
        says(SHORT, TAG, "X-Kept: 1", "X-Old: 1", "X-Old: 2", "Content-Type: text/plain", body=b"four"),
        sends(
            b'HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=30\r\nETag: "a"\r\nX-Old: 3\r\nX-New: 4\r\n'
            b"Content-Encoding: gzip\r\nContent-Range: bytes 0-1/9\r\nSet-Cookie: a=b\r\n"
            b"Content-Length: 4\r\n\r\n"
        ),
    )
    await stale(web, page)

    asked = await page.get()
    web.clock.advance(20)
    hit = await page.get()
    for reply in (asked, hit):
        assert (reply.status, reply.body) == (200, b"four")
        assert (reply.get("x-kept"), reply.all("x-old"), reply.get("x-new")) == ("1", ["3"], "4")
        assert reply.get("content-type") == "text/plain"
        assert (reply.get("content-encoding"), reply.get("content-range")) == ("", "")
        assert reply.get("cache-control") == "max-age=30"
    assert (asked.get("set-cookie"), hit.get("set-cookie")) == ("a=b", "")  # it is for one client
    assert len(page.asked) == 2


async def test_304_may_take_the_freshness_away(web: Web) -> None:
    """RFC 9111 section 4.3.4: freshness is computed from the updated fields."""
    page = web.page(says(SHORT, TAG), says("Cache-Control: no-cache", TAG, status=304))
    await stale(web, page)

    for _ in range(2):
        assert (await page.get()).text == "1"
    assert len(page.asked) == 3


async def test_304_about_something_else_is_not_believed(web: Web) -> None:
    """RFC 9111 section 4.3.4: with another strong validator it selects nothing; we ask anew."""
    page = web.page(says(SHORT, TAG), says(SHORT, 'ETag: "other"', status=304), says(SHORT, 'ETag: "c"'))
    await stale(web, page)

    reply = await page.get()
    assert (reply.status, reply.text) == (200, "3")
    assert page.asked[2].get("if-none-match") == ""


async def test_no_cache_is_asked_about_each_time(web: Web) -> None:
    """RFC 9111 section 5.2.2.4: stored, but never used without success at the origin."""
    page = web.page(says("Cache-Control: no-cache, max-age=60", TAG), says(TAG, status=304))

    assert (await page.get()).cache_status == "asynccache; fwd=uri-miss; stored"
    for count in (2, 3):
        reply = await page.get()
        assert (reply.status, reply.text, reply.hit) == (200, "1", False)
        assert len(page.asked) == count


async def test_fields_that_no_cache_names_are_not_repeated(web: Web) -> None:
    """RFC 9111 section 5.2.2.4, the qualified form."""
    page = web.page(
        says('Cache-Control: max-age=60, no-cache="x-secret, x-other"', "X-Secret: 1", "X-Mine: 2")
    )

    assert (await page.get()).get("x-secret") == "1"
    hit = await page.get()
    assert (hit.hit, hit.get("x-secret"), hit.get("x-mine")) == (True, "", "2")


@pytest.mark.parametrize(
    "field, status",
    [
        ('If-None-Match: "a"', 304),
        ('If-None-Match: W/"a"', 304),
        ('If-None-Match: "x", "a"', 304),
        ('If-None-Match: "x,", W/"a",', 304),
        ("If-None-Match: *", 304),
        ('If-None-Match: "A"', 200),
        ("If-None-Match: a", 200),
        ("If-Modified-Since: {modified}", 304),
        ("If-Modified-Since: {later}", 304),
        ("If-Modified-Since: {earlier}", 200),
        ("If-Modified-Since: nonsense", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_clients_who_have_it_are_told_so(web: Web, method: str, field: str, status: int) -> None:
    """RFC 9111 section 4.3.2, RFC 9110 sections 13.1.2 and 13.1.3."""
    modified = {"modified": web.date(-1000), "later": web.date(-999), "earlier": web.date(-1001)}
    page = web.page(
        says(
            "Cache-Control: max-age=60",
            TAG,
            f"Last-Modified: {modified['modified']}",
            "X-Mine: 1",
            "Vary: X-A",
        )
    )
    await page.get()
    web.clock.advance(5)

    reply = await page.get(field.format(**modified), method=method)

    assert (reply.status, reply.hit) == (status, True)
    assert (reply.get("etag"), reply.get("age"), reply.get("vary")) == ('"a"', "5", "X-A")
    assert reply.get("cache-control") == "max-age=60"
    if status == 304:
        assert (reply.body, reply.get("content-length"), reply.get("x-mine")) == (b"", "", "")
    assert len(page.asked) == 1


async def test_the_entity_tag_comes_before_the_date(web: Web) -> None:
    """RFC 9110 section 13.2.2: If-Modified-Since is ignored beside If-None-Match."""
    page = web.page(says("Cache-Control: max-age=60", TAG, f"Last-Modified: {web.date(-1000)}"))
    await page.get()

    since = f"If-Modified-Since: {web.date()}"
    assert (await page.get(since, 'If-None-Match: "b"')).status == 200
    assert (
        await page.get("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", 'If-None-Match: "a"')
    ).status == 304


async def test_a_clients_condition_is_answered_with_what_the_origin_says_to_ours(web: Web) -> None:
    """RFC 9111 section 4.3.2: we ask with our validator, then answer the client's condition."""
    page = web.page(says(SHORT, TAG), says(SHORT, TAG, status=304))
    await stale(web, page)
    theirs = await page.get('If-None-Match: "a"')
    web.clock.advance(10)
    others = await page.get('If-None-Match: "b"')

    assert [asked.get("if-none-match") for asked in page.asked[1:]] == ['"a"', '"a"']
    assert (theirs.status, theirs.body) == (304, b"")
    assert (others.status, others.text) == (200, "1")


async def test_a_clients_condition_is_held_against_the_new_response(web: Web) -> None:
    """RFC 9111 section 4.3.2: somebody else may have the new one already."""
    page = web.page(says(SHORT, TAG), says("Cache-Control: max-age=60", 'ETag: "b"'))
    await stale(web, page)

    assert (await page.get('If-None-Match: "b"')).status == 304
    assert (await page.get()).text == "2"


async def test_a_condition_about_which_nothing_is_stored_is_the_origins(web: Web) -> None:
    """RFC 9111 section 4.3.2: the client's own condition is passed on, and a 304 to it is the client's."""
    page = web.page(
        says(TAG, "Cache-Control: max-age=60", status=304), says("Cache-Control: max-age=60", TAG)
    )

    reply = await page.get('If-None-Match: "a"')
    assert (reply.status, reply.body, reply.get("etag")) == (304, b"", '"a"')
    assert page.asked[0].get("if-none-match") == '"a"'
    assert (await page.get()).text == "2"


@pytest.mark.parametrize("field", ['If-Match: "a"', "If-Unmodified-Since: {date}"])
async def test_conditions_that_only_the_origin_can_answer_reach_it(web: Web, field: str) -> None:
    """RFC 9111 section 4.3.2: caches do not evaluate If-Match and If-Unmodified-Since."""
    page = web.page(says("Cache-Control: max-age=60", TAG))
    await page.get()

    reply = await page.get(field.format(date=web.date(-60)))

    assert (reply.text, reply.cache_status) == ("2", "asynccache; fwd=bypass; detail=precondition")
    assert (await page.get()).text == "1"


async def test_head_is_answered_from_get(web: Web) -> None:
    """RFC 9111 section 4: same fields, same length, no content."""
    page = web.page(says("Cache-Control: max-age=60", "X-Mine: 1", body=b"four"))
    await page.get()
    web.clock.advance(3)

    reply = await page.get(method="HEAD")

    assert (reply.status, reply.body, reply.hit) == (200, b"", True)
    assert (reply.get("content-length"), reply.get("x-mine"), reply.get("age")) == ("4", "1", "3")


async def test_head_is_never_the_answer_to_get(web: Web) -> None:
    """RFC 9110 section 9.3.2: its response has no content that could be stored."""
    page = web.page(says("Cache-Control: max-age=60", body=b"four"))

    assert (await page.get(method="HEAD")).get("content-length") == "4"
    assert (await page.get()).body == b"four"
    assert [asked.method for asked in page.asked] == ["HEAD", "GET"]


async def test_what_head_says_of_a_stale_response_counts(web: Web) -> None:
    """RFC 9111 section 4.3.5: the same validator and length freshen it, others make it invalid."""
    page = web.page(says(SHORT, TAG, body=b"four"))
    await stale(web, page)
    await page.get(method="HEAD")
    web.clock.advance(5)
    assert (await page.get()).hit

    web.clock.advance(5)
    page.then(says(SHORT, 'ETag: "b"', body=b"longer"))
    await page.get(method="HEAD")
    assert (await page.get()).body == b"longer"


@pytest.mark.parametrize("status", [500, 503, 404])
async def test_an_error_is_passed_on_where_nothing_may_stand_in(web: Web, status: int) -> None:
    """RFC 9111 section 4.3.3: the origin's answer is forwarded; what is stored is not lost by a 5xx."""
    page = web.page(says(SHORT, TAG), says(status=status), says(SHORT, TAG, status=304))
    await stale(web, page)

    reply = await page.get()
    assert (reply.status, reply.text) == (status, "2")
    if status >= 500:
        assert (await page.get()).text == "1"
        assert page.asked[2].get("if-none-match") == '"a"'


async def test_others_who_want_it_wait_for_the_answer_to_one_question(web: Web) -> None:
    """RFC 9111 section 4: a cache may collapse requests, also those that validate."""
    gate = asyncio.Event()

    async def confirm(wire: Wire, asked: Asked) -> None:
        await gate.wait()
        await says(SHORT, TAG, status=304)(wire, asked)

    page = web.page(says(SHORT, TAG), confirm)
    await stale(web, page)

    asked = [asyncio.ensure_future(page.get()) for _ in range(8)]
    await page.until_asked(2)
    gate.set()
    replies = await asyncio.gather(*asked)

    assert {(reply.status, reply.text) for reply in replies} == {(200, "1")}
    assert len(page.asked) == 2


async def test_304_for_something_else_is_asked_once_more_and_that_is_stored(web: Web) -> None:
    """RFC 9111 section 4.3.4: what is stored is not confirmed; the client gets what there is now."""
    page = web.page(says(SHORT, TAG), says(SHORT, 'ETag: "b"', status=304), says(SHORT, 'ETag: "b"'))
    await stale(web, page)

    asked, hit = await page.get(), await page.get()

    assert [request.get("if-none-match") for request in page.asked] == ["", '"a"', ""]
    assert (asked.text, asked.cache_status) == ("3", "asynccache; fwd=stale; stored")
    assert (hit.text, hit.cache_status) == ("3", "asynccache; hit; ttl=10")
