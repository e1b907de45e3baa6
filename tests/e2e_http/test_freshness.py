"""How long a response answers, and how old it says it is, end to end (RFC 9111 section 4.2)."""

from __future__ import annotations

import pytest

from tests.e2e_http.web import Asked, Web, says, sends
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "control, seconds",
    [
        ("max-age=10", 10),
        ("MAX-AGE=10", 10),
        ("max-age=10, s-maxage=20", 20),
        ("s-maxage=5, max-age=20", 5),
        ('max-age="10"', 10),
        ("max-age=010", 10),
        ("public, x-y=z, max-age=10", 10),
        ('x="max-age=50", max-age=10', 10),
    ],
)
async def test_a_response_is_fresh_for_as_long_as_it_says(web: Web, control: str, seconds: int) -> None:
    """RFC 9111 sections 4.2.1, 5.2.2.1 and 5.2.2.10: s-maxage before max-age, names in any case."""
    page = web.page(says(f"Cache-Control: {control}"))

    await page.get()
    web.clock.advance(seconds - 1)
    last = await page.get()
    web.clock.advance(1)
    late = await page.get()

    assert (last.text, last.cache_status) == ("1", "asynccache; hit; ttl=1")
    assert (late.text, late.hit) == ("2", False)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "Thu, 99 Foo 2099 00:00:00 GMT", ""])
async def test_an_expires_that_is_no_date_is_in_the_past(web: Web, value: str) -> None:
    """RFC 9111 section 5.3."""
    page = web.page(says(f"Expires: {value}"))

    await page.get()
    assert (await page.get()).text == "2"


async def test_expires_counts_from_the_origins_date(web: Web) -> None:
    """RFC 9111 section 4.2.1: Expires minus Date, though the origin's clock is an hour slow."""
    page = web.page(says(f"Date: {web.date(-3600)}", f"Expires: {web.date(-3600 + 3610)}"))

    first = await page.get()
    assert first.cache_status == "asynccache; fwd=uri-miss; stored"
    assert (await page.get()).get("age") == "3600"
    web.clock.advance(9)
    assert (await page.get()).hit
    web.clock.advance(1)
    assert (await page.get()).text == "2"


async def test_expires_does_not_count_beside_max_age(web: Web) -> None:
    """RFC 9111 section 5.3: a max-age or s-maxage takes precedence, in either direction."""
    short = web.page(says("Cache-Control: max-age=1", f"Expires: {web.date(3600)}"))
    long = web.page(says("Cache-Control: max-age=3600", "Expires: 0"))

    for page in (short, long):
        await page.get()
    web.clock.advance(1)

    assert (await short.get()).text == "2"
    assert (await long.get()).hit


async def test_what_states_no_lifetime_is_not_stored(web: Web) -> None:
    """RFC 9111 section 4.2.2: guessing is optional, and off unless asked for."""
    page = web.page(says(f"Last-Modified: {web.date(-36000)}"))

    assert (await page.get()).cache_status == "asynccache; fwd=uri-miss; detail=no-lifetime"
    assert (await page.get()).text == "2"


async def test_a_tenth_of_its_age_is_guessed_where_that_is_wanted(web: Web) -> None:
    """RFC 9111 section 4.2.2, with ``heuristic=True``."""
    page = web.page(says(f"Last-Modified: {web.date(-1000)}"))

    async with web.cached(heuristic=True) as port:
        await page.get(port=port)
        web.clock.advance(99)
        assert (await page.get(port=port)).hit
        web.clock.advance(1)
        assert not (await page.get(port=port)).hit


async def test_age_is_what_the_response_brought_and_what_it_has_spent_here(web: Web) -> None:
    """RFC 9111 section 4.2.3: corrected_age_value plus resident_time, in one Age."""
    page = web.page(says("Cache-Control: max-age=100", "Age: 40"))

    assert (await page.get()).get("age") == "40"
    web.clock.advance(7)
    hit = await page.get()
    assert (hit.get("age"), hit.cache_status) == ("47", "asynccache; hit; ttl=53")
    web.clock.advance(52)
    assert (await page.get()).get("age") == "99"
    web.clock.advance(1)
    assert (await page.get()).text == "2"


async def test_the_date_counts_where_it_is_older_than_the_age_says(web: Web) -> None:
    """RFC 9111 section 4.2.3: apparent_age, if it is larger."""
    page = web.page(says("Cache-Control: max-age=100", f"Date: {web.date(-60)}", "Age: 10"))

    await page.get()
    web.clock.advance(5)
    assert (await page.get()).get("age") == "65"


async def test_a_date_in_the_future_makes_nothing_younger(web: Web) -> None:
    """RFC 9111 section 4.2.3: apparent_age is never below 0."""
    page = web.page(says("Cache-Control: max-age=10", f"Date: {web.date(500)}"))

    await page.get()
    web.clock.advance(4)
    assert (await page.get()).get("age") == "4"
    web.clock.advance(6)
    assert (await page.get()).text == "2"


async def test_the_time_the_origin_took_is_part_of_the_age(web: Web) -> None:
    """RFC 9111 section 4.2.3: response_delay is added to the Age, since nobody knows where it was spent."""

    async def slow(wire: Wire, asked: Asked) -> None:
        web.clock.advance(8)
        await says("Cache-Control: max-age=100", "Age: 1")(wire, asked)

    page = web.page(slow)

    await page.get()
    assert (await page.get()).get("age") == "9"


async def test_the_origins_date_is_repeated(web: Web) -> None:
    """RFC 9110 section 6.6.1: Date is when the message was made, not when it was repeated."""
    page = web.page(says("Cache-Control: max-age=100"))

    made = (await page.get()).get("date")
    web.clock.advance(50)
    assert (await page.get()).get("date") == made


@pytest.mark.parametrize("value", ["nonsense", "-5", "3.5"])
async def test_an_age_that_is_none_does_not_count(web: Web, value: str) -> None:
    """RFC 9111 section 5.1: an invalid Age is ignored."""
    page = web.page(says("Cache-Control: max-age=10", f"Age: {value}"))

    await page.get()
    assert (await page.get()).get("age") == "0"


async def test_what_is_stale_on_arrival_is_not_repeated(web: Web) -> None:
    """RFC 9111 section 4.2: its age is its lifetime already."""
    page = web.page(says("Cache-Control: max-age=10", "Age: 10"))

    await page.get()
    assert (await page.get()).text == "2"


@pytest.mark.parametrize(
    "fields, cached",
    [
        (["CDN-Cache-Control: max-age=60", "Cache-Control: no-store"], True),
        (["CDN-Cache-Control: max-age=60", "Cache-Control: private, max-age=1", "Expires: 0"], True),
        (["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"], False),
        (["CDN-Cache-Control: private", "Cache-Control: public, max-age=60"], False),
        (["CDN-Cache-Control: max-age=0", "Cache-Control: s-maxage=60"], False),
        (["CDN-Cache-Control: max-age=0", "CDN-Cache-Control: max-age=60", "Cache-Control: no-cache"], True),
        (["CDN-Cache-Control: max-age=;;", "Cache-Control: max-age=60"], True),
        (["CDN-Cache-Control:", "Cache-Control: max-age=60"], True),
        (["CDN-Cache-Control: public", "Cache-Control: max-age=60", "Expires: 0"], False),
        (["Surrogate-Control: max-age=60", "Cache-Control: no-store"], False),
    ],
)
async def test_what_is_said_to_cdns_comes_before_what_is_said_to_all(
    web: Web, fields: list[str], cached: bool
) -> None:
    """RFC 9213 section 2.2: a valid, non-empty targeted field replaces Cache-Control and Expires."""
    page = web.page(says(*fields))

    await page.get()
    web.clock.advance(30)
    assert (await page.get()).text == ("1" if cached else "2")


async def test_what_is_said_to_cdns_is_passed_on(web: Web) -> None:
    """RFC 9213 section 2.1: others further out may be its target as well; clients obey Cache-Control."""
    fields = ["CDN-Cache-Control: max-age=60", "Cache-Control: no-cache"]
    page = web.page(says(*fields))

    for reply in (await page.get(), await page.get()):
        assert reply.get("cdn-cache-control") == "max-age=60"
        assert reply.get("cache-control") == "no-cache"


@pytest.mark.parametrize(
    "wish, origin",
    [
        ("no-cache", True),
        ("max-age=0", True),
        ("max-age=19", True),
        ("max-age=20", False),
        ("min-fresh=81", True),
        ("min-fresh=80", False),
        ("max-stale", False),
        ("no-transform", False),
    ],
)
async def test_a_client_may_want_it_fresher_than_the_origin_says(web: Web, wish: str, origin: bool) -> None:
    """RFC 9111 section 5.2.1: max-age, min-fresh and no-cache of a request."""
    page = web.page(says("Cache-Control: max-age=100"))

    await page.get()
    web.clock.advance(20)
    reply = await page.get(f"Cache-Control: {wish}")

    assert reply.text == ("2" if origin else "1")
    assert reply.hit is not origin
    if origin:
        assert reply.cache_status == "asynccache; fwd=request; stored"
        assert (await page.get()).text == "2"


async def test_pragma_counts_where_there_is_no_cache_control(web: Web) -> None:
    """RFC 9111 section 5.4."""
    page = web.page(says("Cache-Control: max-age=100"))

    await page.get()
    assert (await page.get("Pragma: no-cache", "Cache-Control: max-age=50")).text == "1"
    assert (await page.get("Pragma: no-cache")).text == "2"


@pytest.mark.parametrize("wish, hit", [("max-stale", True), ("max-stale=5", True), ("max-stale=4", False)])
async def test_a_client_may_take_what_is_stale(web: Web, wish: str, hit: bool) -> None:
    """RFC 9111 section 5.2.1.2."""
    page = web.page(says("Cache-Control: max-age=10", 'ETag: "a"'))

    await page.get()
    web.clock.advance(15)
    reply = await page.get(f"Cache-Control: {wish}")

    assert reply.text == ("1" if hit else "2")
    assert reply.cache_status == (
        "asynccache; hit; ttl=-5; detail=stale" if hit else "asynccache; fwd=stale; stored"
    )


@pytest.mark.parametrize("more", ['If-Match: "a"', "If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT"])
async def test_only_if_cached_is_no_less_so_with_conditions_that_only_the_origin_knows(
    web: Web, more: str
) -> None:
    """RFC 9111 section 5.2.1.7: 504 where no stored response will do."""
    page = web.page(says("Cache-Control: max-age=10", 'ETag: "a"'))
    await page.get()

    reply = await page.get("Cache-Control: only-if-cached", more)
    assert (reply.status, reply.cache_status) == (504, "asynccache; detail=only-if-cached")
    assert len(page.asked) == 1


async def test_only_if_cached_never_reaches_the_origin(web: Web) -> None:
    """RFC 9111 section 5.2.1.7: a stored response or 504, which has been forwarded to nobody (RFC 9211)."""
    page = web.page(says("Cache-Control: max-age=10", 'ETag: "a"'))

    nothing = await page.get("Cache-Control: only-if-cached")
    assert (nothing.status, nothing.cache_status) == (504, "asynccache; detail=only-if-cached")
    await page.get()
    assert (await page.get("Cache-Control: only-if-cached")).text == "1"
    web.clock.advance(10)
    stale = await page.get("Cache-Control: only-if-cached")
    assert (stale.status, stale.cache_status) == (504, "asynccache; detail=only-if-cached")
    assert len(page.asked) == 1


@pytest.mark.parametrize(
    "status", [200, 201, 203, 204, 299, 301, 302, 307, 308, 400, 404, 410, 418, 451, 500, 599]
)
async def test_any_final_status_may_have_a_lifetime(web: Web, status: int) -> None:
    """RFC 9111 section 3: any final status code, if freshness is explicit; the phrase need not be known."""
    line = f"HTTP/1.1 {status} Whatever\r\n".encode()
    head = line + b"Cache-Control: max-age=10\r\nX-Mine: 1\r\n"
    page = web.page(sends(head + (b"\r\n" if status == 204 else b"Content-Length: 2\r\n\r\nok")))

    for reply in (await page.get(), await page.get()):
        assert (reply.status, reply.get("x-mine")) == (status, "1")
        assert reply.body == (b"" if status == 204 else b"ok")
    assert len(page.asked) == 1


@pytest.mark.parametrize("status, cached", [(200, True), (599, False)])
async def test_must_understand_takes_no_store_back_for_those_who_do(
    web: Web, status: int, cached: bool
) -> None:
    """RFC 9111 section 5.2.2.3."""
    head = b"HTTP/1.1 %d X\r\nCache-Control: no-store, must-understand, max-age=9\r\n" % status
    page = web.page(sends(head + b"Content-Length: 2\r\n\r\nok"))

    await page.get()
    await page.get()
    assert len(page.asked) == (1 if cached else 2)


@pytest.mark.parametrize(
    "control", ["no-store", "no-store, max-age=60", "private, max-age=60", "NO-STORE, public"]
)
async def test_what_the_origin_forbids_is_not_stored(web: Web, control: str) -> None:
    """RFC 9111 sections 5.2.2.5 and 5.2.2.7."""
    page = web.page(says(f"Cache-Control: {control}", 'ETag: "a"'))

    await page.get()
    second = await page.get()
    assert (second.text, second.hit) == ("2", False)


async def test_a_request_that_must_not_be_stored_is_not_but_is_answered_from_what_is(web: Web) -> None:
    """RFC 9111 section 5.2.1.5: no part of the request or of any response to it is stored."""
    page = web.page(says("Cache-Control: max-age=60"))

    assert (
        await page.get("Cache-Control: no-store")
    ).cache_status == "asynccache; fwd=uri-miss; detail=request"
    assert (await page.get()).text == "2"
    assert (await page.get("Cache-Control: no-store")).text == "2"


async def test_queries_and_hosts_are_kept_apart(web: Web) -> None:
    """RFC 9111 section 2: the key is the whole target URI, as it was sent."""
    page = web.page(says("Cache-Control: max-age=60"))
    asked = [
        await page.get(),
        await page.get(query="?"),
        await page.get(query="?a=1&b=2"),
        await page.get(query="?b=2&a=1"),
        await page.get(query="?a=1%26b=2"),
        await page.get(host="other.test"),
        await page.get(host="shop.test:8080"),
    ]
    again = [
        await page.get(query="?a=1&b=2"),
        await page.get(host="other.test"),
        await page.get(host="SHOP.test"),
    ]

    texts = [reply.text for reply in asked]
    assert texts in (["1", "2", "3", "4", "5", "6", "7"], ["1", "1", "2", "3", "4", "5", "6"])
    assert [reply.text for reply in again] == [texts[2], texts[5], texts[0]]
