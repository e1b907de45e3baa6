"""A POST's response may be kept for GET if it says that it stands for its URL (RFC 9110 section 9.3.3)."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import HTTPConfig, InMemoryBackend
from asynccache.testing import FakeClock
from tests.cache_doubles import PATIENT, Gated
from tests.http_middleware.tiny_apps import Site, respond

SHARED = HTTPConfig(mode="rfc9111")
FULL = HTTPConfig(mode="rfc9111", heuristic=True, share_with_cookies=True, stale_on_error=True)
ITSELF = [(b"cache-control", b"max-age=60"), (b"content-location", b"/page")]
BODY = [("content-type", "text/plain")]


class Page:
    """Counts its runs, and answers a POST with the fields it is told."""

    def __init__(self, fields: list[tuple[bytes, bytes]] = ITSELF, status: int = 200) -> None:
        self.fields = fields
        self.status = status
        self.runs = 0
        self.meanwhile: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        run = self.runs
        if scope["method"] == "POST" and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        fields = self.fields if scope["method"] == "POST" else [(b"cache-control", b"max-age=60")]
        status = self.status if scope["method"] == "POST" else 200
        await respond(send, b"%s %d" % (scope["method"].encode(), run), status, fields)


async def post(site: Site, target: str = "/page") -> Any:
    return await site.client.request("POST", target, BODY, body=b"12345")


async def test_it_answers_the_gets_after_it() -> None:
    """And it replaces what was stored for the URL before."""
    site = Site(Page(), http=SHARED)
    assert (await site.get("/page")).text == "GET 1"
    answer = await post(site)
    assert (answer.text, answer.cache_status) == ("POST 2", "asynccache; fwd=method; stored")
    for _ in range(3):
        again = await site.get("/page")
        assert (again.text, again.hit) == ("POST 2", True)
    assert (await post(site)).text == "POST 3"
    assert (await site.get("/page")).text == "POST 3"


@pytest.mark.parametrize("http", [SHARED, FULL], ids=["safe", "full"])
@pytest.mark.parametrize(
    "fields,status",
    [
        ([(b"cache-control", b"max-age=60")], 200),
        ([(b"cache-control", b"max-age=60"), (b"content-location", b"/other")], 200),
        ([(b"cache-control", b"max-age=60"), (b"content-location", b"http://evil.test/page")], 200),
        ([(b"cache-control", b"max-age=60"), (b"location", b"/page")], 200),
        ([(b"content-location", b"/page"), (b"last-modified", b"Thu, 01 Jan 2015 00:00:00 GMT")], 200),
        ([(b"cache-control", b"public"), (b"content-location", b"/page")], 200),
        ([(b"cache-control", b"private, max-age=60"), (b"content-location", b"/page")], 200),
        (ITSELF, 201),
        (ITSELF, 404),
        (ITSELF, 500),
    ],
)
async def test_nothing_less_will_do(http: HTTPConfig, fields: list[tuple[bytes, bytes]], status: int) -> None:
    """Its own URL, a stated lifetime, and success."""
    site = Site(app := Page(fields, status), http=http)
    await post(site)
    assert (await site.get("/page")).text == "GET 2"
    assert app.runs == 2


@pytest.mark.parametrize("by", ["another request", "clear", "forget"])
async def test_it_is_not_kept_if_its_url_was_invalidated_while_it_ran(by: str) -> None:
    """What it says may be older than what the other has changed."""
    site = Site(app := Page(), http=SHARED)

    async def other() -> None:
        if by == "another request":
            await site.client.request("PUT", "/page")
        elif by == "clear":
            await site.cache.clear()
        else:
            await site.middleware.responses.forget([("http", "shop.test")], ["/page"])

    app.meanwhile = other
    await post(site)
    assert (await site.get("/page")).text.startswith("GET")


async def test_in_a_store_elsewhere_it_is_not_kept() -> None:
    """There, to know what was invalidated meanwhile would cost every POST a round trip."""
    gated = Gated(InMemoryBackend(clock=FakeClock()))
    site = Site(Page(), http=SHARED, backend=gated, guard=PATIENT)
    answer = await post(site)
    assert answer.cache_status == "asynccache; fwd=method"
    assert not any(operation == "acquire_lease" for operation, _ in gated.calls)
    assert (await site.get("/page")).text == "GET 2"
