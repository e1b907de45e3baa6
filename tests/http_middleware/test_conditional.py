"""Conditional requests: entity tags, dates, 304, on a hit and on a miss."""

from __future__ import annotations

import asyncio

import pytest

from asynccache import CachePolicy
from tests.http_middleware.asgi_client import Headers, ticks
from tests.http_middleware.tiny_apps import Handler, Site

POLICY = CachePolicy(ttl=60)
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
OWN = [(b"etag", b'"own"'), (b"last-modified", MODIFIED.encode()), (b"x-other", b"1"), (b"vary", b"x-a")]


async def test_the_etag_is_strong_and_depends_on_the_bytes_only() -> None:
    """The same bytes have the same tag in every process and at every time; other bytes have another."""
    tags: set[str | None] = set()
    for body in ("one", "one", "two"):
        site = Site(Handler(body=body), POLICY)
        miss, hit = await site.get("/"), await site.get("/")
        assert miss.header("etag") == hit.header("etag")
        tags.add(hit.header("etag"))
    assert tags == {'"7692c3ad3540bb803c020b3aee66cd88"', '"3fc4ccfe745870e2c0d99f71f30ff065"'}


MATCHING = [
    '"own"',
    'W/"own"',
    '"a", "own"',
    '"a","b" , W/"own"',
    "*",
    '"with, comma", "own"',
]
OTHERS = ['"other"', "own", '"own', '"Own"', "", '"a", *', 'w/"own"', '"own"x']


@pytest.mark.parametrize("stored", [True, False], ids=["hit", "miss"])
@pytest.mark.parametrize("value", MATCHING)
async def test_304_where_the_client_has_it(stored: bool, value: str) -> None:
    """If-None-Match, alone, in a list, weak or ``*``, matches whether the response was stored or not."""
    site = Site(handler := Handler(headers=OWN), POLICY)
    if stored:
        await site.get("/")
    answer = await site.get("/", [("if-none-match", value)])

    assert (answer.status, answer.body, handler.runs) == (304, b"", 1)
    names = [name for name, _ in answer.raw]
    assert names == [b"etag", b"vary", b"cache-control", b"age", b"cache-status"]
    assert answer.hit is stored
    assert (await site.get("/")).hit, "a 304 must not keep the 200 from being stored"


@pytest.mark.parametrize("stored", [True, False], ids=["hit", "miss"])
@pytest.mark.parametrize("value", OTHERS)
async def test_200_where_the_client_has_something_else(stored: bool, value: str) -> None:
    """Another tag, or what is none, gets the whole response."""
    site = Site(Handler(headers=OWN), POLICY)
    if stored:
        await site.get("/")
    answer = await site.get("/", [("if-none-match", value)])
    assert (answer.status, answer.text) == (200, "run 1")


async def test_lines_of_if_none_match_are_one_list() -> None:
    """The tag may be on any of several lines."""
    site = Site(Handler(headers=OWN), POLICY)
    await site.get("/")
    assert (await site.get("/", [("if-none-match", '"a"'), ("if-none-match", '"own"')])).status == 304


@pytest.mark.parametrize("stored", [True, False], ids=["hit", "miss"])
@pytest.mark.parametrize(
    "headers,status",
    [
        ([("if-modified-since", MODIFIED)], 304),
        ([("if-modified-since", "Mon, 07 Nov 1994 08:49:37 GMT")], 304),
        ([("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], 304),
        ([("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200),
        ([("if-modified-since", "yesterday")], 200),
        ([("if-modified-since", MODIFIED), ("if-modified-since", MODIFIED)], 200),
        ([("if-modified-since", MODIFIED), ("if-none-match", '"other"')], 200),
        ([("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT"), ("if-none-match", '"own"')], 304),
    ],
)
async def test_if_modified_since(stored: bool, headers: Headers, status: int) -> None:
    """Judged by Last-Modified, if it is one valid date and there is no If-None-Match."""
    site = Site(Handler(headers=OWN), POLICY)
    if stored:
        await site.get("/")
    assert (await site.get("/", headers)).status == status


async def test_without_last_modified_dates_mean_nothing() -> None:
    """The cache invents no Last-Modified."""
    site = Site(Handler(), POLICY)
    await site.get("/")
    assert (await site.get("/", [("if-modified-since", "Mon, 07 Nov 2044 08:49:37 GMT")])).status == 200


async def test_head_gets_304_too() -> None:
    """Conditions count for HEAD as for GET."""
    site = Site(Handler(headers=OWN), POLICY)
    await site.get("/")
    assert (await site.client.request("HEAD", "/", [("if-none-match", '"own"')])).status == 304


async def test_only_a_200_becomes_a_304() -> None:
    """A stored redirect or 404 is replayed whatever the client has."""
    for status in (301, 404):
        site = Site(Handler(status=status, headers=OWN), CachePolicy(ttl=60, statuses=[status]))
        for _ in range(2):
            assert (await site.get("/", [("if-none-match", '"own"')])).status == status


async def test_those_who_waited_get_their_own_answer() -> None:
    """Of those who share one run, who has it gets a 304 and who has not gets the body."""
    handler = Handler(headers=OWN)
    handler.gate.clear()
    site = Site(handler, POLICY)
    sent: list[Headers] = [[], [("if-none-match", '"own"')], [("if-none-match", '"other"')], []]
    asked = [site.start("/", headers) for headers in sent]
    await ticks()
    handler.gate.set()
    answers = await asyncio.gather(*(request.answer() for request in asked))

    assert [(answer.status, answer.body) for answer in answers] == [
        (200, b"run 1"), (304, b""), (200, b"run 1"), (200, b"run 1"),
    ]  # fmt: skip
    assert handler.runs == 1


async def test_what_is_not_stored_is_not_made_a_304() -> None:
    """A response for one client passes as the application made it, tag or not."""
    site = Site(Handler(headers=[*OWN, (b"set-cookie", b"a=b")]), POLICY)
    assert (await site.get("/", [("if-none-match", '"own"')])).status == 200


async def test_304s_of_the_application_pass() -> None:
    """An application that answers conditions itself is left to it, and its 304 is not stored."""
    handler = Handler(status=304, body="")
    site = Site(handler, POLICY)
    assert (await site.get("/", [("if-none-match", '"x"')])).status == 304
    handler.status, handler.body = 200, "whole"
    assert [(await site.get("/")).text for _ in range(2)] == ["whole", "whole"]
    assert handler.runs == 2


async def test_a_condition_reaches_the_application_on_a_miss() -> None:
    """The request is passed on as it came."""
    site = Site(handler := Handler(), POLICY)
    await site.get("/", [("if-none-match", '"x"'), ("range", "bytes=0-1")])
    assert (b"if-none-match", b'"x"') in handler.scopes[0]["headers"]
    assert (b"range", b"bytes=0-1") in handler.scopes[0]["headers"]
