"""Parts of a response: served, stored and put together, end to end (RFC 9110 14, RFC 9111 3.3 and 3.4)."""

from __future__ import annotations

import re

import pytest

from tests.e2e_http.web import Asked, Page, Web, says
from tests.http_messages import Reply
from tests.wire import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"
TAG = 'ETag: "a"'
LETTERS = b"abcdefghijklmnopqrstuvwxyz"


async def slices(wire: Wire, asked: Asked) -> None:
    """Serve the alphabet as an origin that knows single ranges does."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range"))
    if wanted is None or asked.get("if-range", '"a"') != '"a"':
        await says(FRESH, TAG, body=LETTERS)(wire, asked)
        return
    first, last = int(wanted[1]), min(int(wanted[2] or 25), 25)
    place = f"Content-Range: bytes {first}-{last}/26"
    await says(FRESH, TAG, place, status=206, body=LETTERS[first : last + 1])(wire, asked)


def part(reply: Reply) -> tuple[int, bytes, str]:
    """Return what matters of a partial response; its length is right in any case."""
    assert reply.get("content-length") == str(len(reply.body))
    return reply.status, reply.body, reply.get("content-range")


@pytest.mark.parametrize(
    "wanted, first, last",
    [
        ("0-4", 0, 4),
        ("10-10", 10, 10),
        ("20-", 20, 25),
        ("20-99", 20, 25),
        ("-3", 23, 25),
        ("-99", 0, 25),
        ("0-25", 0, 25),
        ("00000000000000000003-5", 3, 5),
        (f"0-{'9' * 40}", 0, 25),
    ],
)
async def test_a_range_of_what_is_stored(web: Web, wanted: str, first: int, last: int) -> None:
    """RFC 9110 sections 14.1.2 and 15.3.7.1."""
    page = web.page(says(FRESH, TAG, "Content-Type: text/x", body=LETTERS))
    await page.get()
    web.clock.advance(7)

    reply = await page.get(f"Range: bytes={wanted}")

    assert part(reply) == (206, LETTERS[first : last + 1], f"bytes {first}-{last}/26")
    assert (reply.get("etag"), reply.get("age"), reply.get("content-type")) == ('"a"', "7", "text/x")
    assert reply.cache_status == "asynccache; hit; ttl=53"


async def test_several_ranges_of_what_is_stored(web: Web) -> None:
    """RFC 9110 sections 14.6 and 15.3.7.2: multipart/byteranges, each part with its Content-Range."""
    page = web.page(says(FRESH, TAG, "Content-Type: text/x", body=LETTERS))
    await page.get()

    reply = await page.get("Range: bytes=0-1, -2,  5-5")

    status, body, place = part(reply)
    boundary = reply.get("content-type").removeprefix("multipart/byteranges; boundary=").strip('"').encode()
    parts = body.split(b"--" + boundary)
    assert (status, place, parts[0].strip(), parts[-1].strip()) == (206, "", b"", b"--")
    assert [each.strip().lower() for each in parts[1:-1]] == [
        b"content-type: text/x\r\ncontent-range: bytes 0-1/26\r\n\r\nab",
        b"content-type: text/x\r\ncontent-range: bytes 24-25/26\r\n\r\nyz",
        b"content-type: text/x\r\ncontent-range: bytes 5-5/26\r\n\r\nf",
    ]


@pytest.mark.parametrize("wanted", ["26-", "99-100", "-0"])
async def test_a_range_beyond_the_end(web: Web, wanted: str) -> None:
    """RFC 9110 sections 14.4 and 15.5.17: 416, with the length that there is."""
    page = web.page(says(FRESH, TAG, "Content-Type: text/x", body=LETTERS))
    await page.get()

    reply = await page.get(f"Range: bytes={wanted}")

    assert part(reply) == (416, b"", "bytes */26")
    assert reply.hit
    assert (await page.get()).body == LETTERS


@pytest.mark.parametrize(
    "wanted", ["bytes=5-2", "bytes=a-b", "bytes=", "lines=0-1", "0-1", "bytes=1", "bytes 0-1"]
)
async def test_what_is_no_range_is_ignored(web: Web, wanted: str) -> None:
    """RFC 9110 section 14.2: the whole."""
    page = web.page(says(FRESH, body=LETTERS))
    await page.get()

    reply = await page.get(f"Range: {wanted}")
    assert (reply.status, reply.body, reply.hit) == (200, LETTERS, True)


async def test_many_ranges_cost_no_more_than_the_whole(web: Web) -> None:
    """RFC 9110 section 17.15: hundreds of them, or such that overlap, are an attack."""
    page = web.page(says(FRESH, body=LETTERS))
    await page.get()

    for wanted in (", ".join(["0-0"] * 500), ", ".join(["0-"] * 5)):
        reply = await page.get(f"Range: bytes={wanted}")
        assert (reply.status, len(reply.body)) == (200, 26)


async def test_head_and_other_statuses_have_no_ranges(web: Web) -> None:
    """RFC 9110 section 14.2: Range is defined for GET, and for what would be a 200."""
    page, lost = web.page(says(FRESH, body=LETTERS)), web.page(says(FRESH, status=404, body=LETTERS))
    for each in (page, lost):
        await each.get()

    assert (await page.get("Range: bytes=0-1", method="HEAD")).status == 200
    assert (await lost.get("Range: bytes=0-1")).status == 404


@pytest.mark.parametrize(
    "condition, status",
    [
        ('"a"', 206),
        ('W/"a"', 200),
        ('"b"', 200),
        ("a", 200),
        ("{modified}", 206),
        ("{later}", 200),
        ("{earlier}", 200),
    ],
)
async def test_if_range_is_for_those_who_have_the_rest_of_the_same(
    web: Web, condition: str, status: int
) -> None:
    """RFC 9110 section 13.1.5: a strong comparison, and an exact one of dates."""
    dates = {"modified": web.date(-1000), "later": web.date(-999), "earlier": web.date(-1001)}
    page = web.page(says(FRESH, TAG, f"Last-Modified: {dates['modified']}", body=LETTERS))
    await page.get()

    reply = await page.get("Range: bytes=0-1", f"If-Range: {condition.format(**dates)}")
    assert (reply.status, reply.body) == (status, b"ab" if status == 206 else LETTERS)
    assert reply.hit


async def test_conditions_come_before_ranges(web: Web) -> None:
    """RFC 9110 section 13.2.2."""
    page = web.page(says(FRESH, TAG, body=LETTERS))
    await page.get()

    assert (await page.get("Range: bytes=0-1", 'If-None-Match: "a"')).status == 304
    assert (await page.get("Range: bytes=0-1", 'If-None-Match: "b"')).status == 206


async def test_conditions_come_before_ranges_of_a_part_too(web: Web) -> None:
    """RFC 9111 section 4.3.2: a stored part too says whether the client's copy is still good."""
    page = web.page(slices)
    await page.get("Range: bytes=4-")

    unchanged = await page.get("Range: bytes=10-12", 'If-None-Match: "a"')
    assert (unchanged.status, unchanged.get("etag"), unchanged.body) == (304, '"a"', b"")
    assert part(await page.get("Range: bytes=10-12", 'If-None-Match: "b"'))[1] == b"klm"
    assert len(page.asked) == 1


async def test_a_range_of_what_is_not_stored_is_the_origins_and_is_stored(web: Web) -> None:
    """RFC 9111 section 3.3: a part answers whoever wants no more than that."""
    page = web.page(slices)

    first = await page.get("Range: bytes=5-14")
    assert part(first) == (206, LETTERS[5:15], "bytes 5-14/26")
    assert first.cache_status == "asynccache; fwd=uri-miss; stored"
    assert page.asked[0].get("range") == "bytes=5-14"
    again = [await page.get(f"Range: bytes={wanted}") for wanted in ("5-14", "7-8", "10-10")]
    assert [part(reply)[:2] for reply in again] == [(206, LETTERS[5:15]), (206, b"hi"), (206, b"k")]
    assert all(reply.hit for reply in again)
    assert len(page.asked) == 1


async def stored_whole(page: Page) -> bool:
    """Return whether the whole is stored."""
    count = len(page.asked)
    reply = await page.get()
    return (reply.status, reply.body, len(page.asked)) == (200, LETTERS, count)


@pytest.mark.parametrize(
    "ranges",
    [("0-9", "10-25"), ("10-25", "0-9"), ("0-15", "5-25"), ("5-9", "0-4", "10-"), ("0-9", "10-19", "20-25")],
)
async def test_parts_become_the_whole(web: Web, ranges: tuple[str, ...]) -> None:
    """RFC 9111 section 3.4, RFC 9110 section 15.3.7.3: with the same strong entity tag."""
    page = web.page(slices)

    for wanted in ranges:
        reply = await page.get(f"Range: bytes={wanted}")
        first, _, last = wanted.partition("-")
        assert part(reply)[:2] == (206, LETTERS[int(first) : int(last or 25) + 1])

    assert await stored_whole(page)


@pytest.mark.parametrize("tag", ['ETag: W/"a"', "X-Mine: none", 'ETag: "b"'])
async def test_parts_that_may_be_of_different_things_are_not_put_together(web: Web, tag: str) -> None:
    """RFC 9110 section 15.3.7.3: a weak entity tag, none, or another one."""
    page = web.page(
        says(
            FRESH,
            'ETag: "a"' if tag.endswith('"b"') else tag,
            "Content-Range: bytes 0-1/4",
            status=206,
            body=b"ab",
        ),
        says(FRESH, tag, "Content-Range: bytes 2-3/4", status=206, body=b"CD"),
        says(FRESH, body=b"WXYZ"),
    )

    await page.get("Range: bytes=0-1")
    assert (await page.get("Range: bytes=2-3")).body == b"CD"
    assert (await page.get()).body == b"WXYZ"


async def test_only_what_is_missing_is_asked_for(web: Web) -> None:
    """RFC 9111 section 3.4, RFC 9110 section 13.1.5: the rest, if it is still of the same."""
    page = web.page(slices)
    await page.get("Range: bytes=0-9")

    reply = await page.get()

    assert (reply.status, reply.body, reply.get("content-length")) == (200, LETTERS, "26")
    assert [(asked.get("range"), asked.get("if-range")) for asked in page.asked[1:]] == [("bytes=10-", '"a"')]
    assert reply.cache_status == "asynccache; fwd=partial; fwd-status=206; stored"
    assert await stored_whole(page)


async def test_the_rest_of_something_else_is_the_whole_of_it(web: Web) -> None:
    """RFC 9110 section 13.1.5: the origin ignores Range where If-Range does not hold."""
    page = web.page(slices)
    await page.get("Range: bytes=0-9")
    page.then(says(FRESH, 'ETag: "b"', body=b"something else"))

    for reply in (await page.get(), await page.get()):
        assert (reply.status, reply.body, reply.get("etag")) == (200, b"something else", '"b"')


async def test_an_origin_that_answers_the_rest_with_something_else(web: Web) -> None:
    """RFC 9110 section 15.3.7.3: what does not fit is not put together, and the client gets its whole."""
    page = web.page(slices)
    await page.get("Range: bytes=0-9")
    page.then(
        says(FRESH, 'ETag: "b"', "Content-Range: bytes 10-25/26", status=206, body=LETTERS[10:].upper()),
        says(FRESH, 'ETag: "b"', body=LETTERS.upper()),
    )

    reply = await page.get()
    assert (reply.status, reply.body) == (200, LETTERS.upper())


@pytest.mark.parametrize(
    "place", ["bytes 0-1/*", "bytes 0-5/26", "bytes 3-1/26", "bytes 0-1/1", "lines 0-1/26", ""]
)
async def test_a_part_that_does_not_say_which_is_only_passed_on(web: Web, place: str) -> None:
    """RFC 9110 sections 14.4 and 15.3.7: an invalid Content-Range must not be put together with anything."""
    page = web.page(says(FRESH, TAG, f"Content-Range: {place}", status=206, body=b"ab"))

    for count in (1, 2):
        reply = await page.get("Range: bytes=0-1")
        assert (reply.status, reply.body, "stored" in reply.cache_status) == (206, b"ab", False)
        assert len(page.asked) == count


async def test_a_stale_whole_is_validated_for_a_range(web: Web) -> None:
    """RFC 9111 section 4.3.2: we ask about the whole, and answer with the part."""
    page = web.page(says(FRESH, TAG, body=LETTERS), says(FRESH, TAG, status=304))
    await page.get()
    web.clock.advance(60)

    assert part(await page.get("Range: bytes=2-3")) == (206, b"cd", "bytes 2-3/26")
    assert (page.asked[1].get("if-none-match"), page.asked[1].get("range")) == ('"a"', "")
    assert await stored_whole(page)


async def test_a_range_of_a_new_whole(web: Web) -> None:
    """RFC 9110 section 14.2: a server may ignore Range, so what the origin now has is an answer as well."""
    page = web.page(says(FRESH, TAG, body=LETTERS), says(FRESH, 'ETag: "b"', body=LETTERS.upper()))
    await page.get()
    web.clock.advance(60)

    reply = await page.get("Range: bytes=2-3")
    assert (reply.status, reply.body) in ((206, b"CD"), (200, LETTERS.upper()))
    assert part(await page.get("Range: bytes=2-3")) == (206, b"CD", "bytes 2-3/26")


async def test_a_range_stands_in_for_an_error_as_well(web: Web) -> None:
    """RFC 5861 section 4."""
    page = web.page(says("Cache-Control: max-age=1, stale-if-error=60", TAG, body=LETTERS), says(status=503))
    await page.get()
    web.clock.advance(5)

    assert part(await page.get("Range: bytes=2-3")) == (206, b"cd", "bytes 2-3/26")


async def test_a_416_is_no_answer_to_who_wants_the_whole(web: Web) -> None:
    """RFC 9110 section 15.5.17: it is about the range, which is no part of the key."""
    place = "Content-Range: bytes */26"
    page = web.page(says(FRESH, place, status=416, body=b""), says(FRESH, body=LETTERS))

    assert (await page.get("Range: bytes=99-")).status == 416
    assert (await page.get()).body == LETTERS


async def test_a_part_that_nobody_asked_for_is_not_the_whole(web: Web) -> None:
    """RFC 9110 section 15.3.7: an origin that answers a plain GET with 206."""
    page = web.page(says(FRESH, TAG, "Content-Range: bytes 0-1/26", status=206, body=b"ab"), slices)

    await page.get()
    assert (await page.get()).body == LETTERS


async def test_the_whole_that_answers_a_range_is_stored_as_such(web: Web) -> None:
    """RFC 9110 section 14.2: an origin may ignore Range."""
    page = web.page(says(FRESH, TAG, body=LETTERS))

    assert (await page.get("Range: bytes=0-1")).body == LETTERS
    assert part(await page.get("Range: bytes=0-1")) == (206, b"ab", "bytes 0-1/26")
    assert await stored_whole(page)


async def test_parts_are_not_stored_beside_the_wrong_variant(web: Web) -> None:
    """RFC 9111 sections 3.4 and 4.1: two parts with one entity tag, of two representations."""

    async def shout(wire: Wire, asked: Asked) -> None:
        loud = asked.get("x-loud") == "1"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.get("range"))
        body = LETTERS.upper() if loud else LETTERS
        if wanted is None:
            await says(FRESH, TAG, "Vary: X-Loud", body=body)(wire, asked)
        else:
            first, last = int(wanted[1]), int(wanted[2])
            place = f"Content-Range: bytes {first}-{last}/26"
            content = body[first : last + 1]
            await says(FRESH, TAG, "Vary: X-Loud", place, status=206, body=content)(wire, asked)

    page = web.page(shout)

    await page.get("Range: bytes=0-9", "X-Loud: 1")
    await page.get("Range: bytes=10-25", "X-Loud: 0")
    assert (await page.get("X-Loud: 1")).body == LETTERS.upper()
    assert (await page.get("X-Loud: 0")).body == LETTERS
