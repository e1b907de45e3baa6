"""docs/shared-cache.md lists what Cache-Status says: each row is true, and nothing else is said."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asynccache import HTTPConfig
from tests.http_middleware.asgi_client import Answer, ticks
from tests.http_middleware.attacked import Asked, Said, Target, said
from tests.http_middleware.tiny_apps import Handler, Site

PAGE = (Path(__file__).parents[2] / "docs" / "shared-cache.md").read_text(encoding="utf-8")
STATUS = PAGE.partition("\n## Cache-Status\n")[2].partition("\n## ")[0]
SHARED = HTTPConfig(mode="rfc9111")
FRESH = "max-age=60"
SOON = "max-age=10"
Fields = list[tuple[str, str]]
Told = Callable[[], Awaitable[Answer]]

pytestmark = pytest.mark.docs


def listed(named: dict[str, str]) -> Fields:
    return [(name.replace("_", "-"), value) for name, value in named.items()]


def once(status: int = 200, asked: Fields | None = None, body: str = "page", **named: str) -> Told:
    """Return what asks once for a page with these fields."""
    fields = listed({"cache_control": FRESH} | named)
    return lambda: Target(lambda _: said(body, status, fields)).get("/page", *(asked or []))


def twice(asked: Fields, **named: str) -> Told:
    """Return what asks for a page, and once more with the fields ``asked``."""

    async def ask() -> Answer:
        target = Target(lambda _: said("page", fields=listed(named)))
        await target.get()
        return await target.get("/page", *asked)

    return ask


def later(control: str, then: Callable[[Asked], Said], *asked: tuple[str, str]) -> Told:
    """Return what asks for a page, and for what has become of it 13 seconds later."""

    async def ask() -> Answer:
        target = Target(lambda a: said("page", cache_control=control, etag='"v"') if a.run == 1 else then(a))
        await target.get()
        target.clock.advance(13)
        return await target.get("/page", *asked)

    return ask


def sends(message: dict[str, Any], length: int | None = None) -> Told:
    """Return what asks an application that sends this message after its head."""
    fields = [(b"cache-control", FRESH.encode())]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send(message)

    return lambda: Site(app, http=SHARED).get("/page")


async def collapsed() -> Answer:
    """Two ask at once."""
    handler = Handler(headers=[(b"cache-control", FRESH.encode())])
    handler.gate.clear()
    site = Site(handler, http=SHARED)
    first, second = site.start("/page"), site.start("/page")
    await ticks(50)
    handler.gate.set()
    await first.answer()
    return await second.answer()


async def invalidated() -> Answer:
    """A tag goes while the application runs."""
    handler = Handler(headers=[(b"cache-control", FRESH.encode()), (b"cache-tag", b"a")])
    handler.gate.clear()
    site = Site(handler, http=SHARED)
    asked = site.start("/page")
    await ticks(50)
    await site.cache.invalidate_tags("a")
    handler.gate.set()
    return await asked.answer()


async def partial() -> Answer:
    """The whole of which a part is stored."""

    def answer(asked: Asked) -> Said:
        ranges = {"bytes=0-3": "0123", "bytes=4-": "456789"}
        body = ranges.get(asked.get("range"), "0123456789")
        if body == "0123456789":
            return said(body, etag='"v"')
        first = body[0]
        return said(body, 206, etag='"v"', content_range=f"bytes {first}-{body[-1]}/10")

    target = Target(answer)
    await target.get("/page", ("range", "bytes=0-3"))
    return await target.get()


async def kept_post() -> Answer:
    """A POST that answers with what its URL stands for."""
    return await Target(lambda _: said("page", content_location="/page")).ask("POST")


async def unkept_post() -> Answer:
    """The same without a lifetime."""
    page = said("page", content_location="/page", cache_control="public")
    return await Target(lambda _: page).ask("POST")


async def session() -> Answer:
    """The application changes the session."""

    async def app(scope: Any, _: Any, send: Any) -> None:
        scope["session"]["user"] = 1
        headers = [(b"cache-control", FRESH.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    site = Site(app, http=SHARED)
    inner = site.client.app

    async def with_session(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "session": {}}, receive, send)

    site.client.app = with_session
    return await site.get("/page")


def stale_for_now(asked: Asked) -> Said:
    return said("", 304, etag='"v"', cache_control=SOON) if asked.get("if-none-match") else said("new")


VALUES: dict[str, Told] = {
    "hit; ttl=59": twice([], cache_control="max-age=59"),
    "hit; ttl=-3; detail=stale": later(f"{SOON}, stale-while-revalidate=60", stale_for_now),
    "fwd=uri-miss; stored": once(),
    "fwd=vary-miss; stored": twice([("x-tenant", "b")], vary="X-Tenant"),
    "fwd=stale; stored": later(SOON, lambda _: said("new")),
    "fwd=stale; fwd-status=304; stored": later(SOON, stale_for_now),
    "fwd=stale; fwd-status=503; detail=stale-if-error": later(
        f"{SOON}, stale-if-error=60", lambda _: said("", 503)
    ),
    "fwd=request; stored": twice([("cache-control", "no-cache")]),
    "fwd=partial; fwd-status=206; stored": partial,
    "fwd=uri-miss; collapsed": collapsed,
    "detail=only-if-cached": once(asked=[("cache-control", "only-if-cached")]),
    "fwd=uri-miss": sends({"type": "http.response.body", "body": b"a stream"}),
    "fwd=method": lambda: Target(lambda _: said("made")).ask("POST"),
}
DETAILS: dict[str, Told] = {
    "no-lifetime": once(cache_control="x-nothing"),
    "stale": once(cache_control="max-age=0"),
    "no-store": once(cache_control="no-store"),
    "private": once(cache_control="private, max-age=60"),
    "vary-any": once(vary="*"),
    "set-cookie": once(set_cookie="a=b"),
    "must-understand": once(299, cache_control="must-understand, no-store, max-age=60"),
    "authorization": once(asked=[("authorization", "a")]),
    "cookie": twice([("cookie", "a=b")]),
    "x-api-key": once(asked=[("x-api-key", "a")]),
    "x-forwarded-host": once(asked=[("x-forwarded-host", "evil.test")]),
    "connection": once(asked=[("connection", "x-tenant")]),
    "request": once(asked=[("cache-control", "no-store")]),
    "status": once(304, [("if-none-match", '"v"')], ""),
    "method": unkept_post,
    "partial": once(206, [("range", "bytes=0-3")], content_range="bytes 0-8/9"),
    "length": once(content_length="9"),
    "trailers": once(trailer="x"),
    "hop-by-hop": once(transfer_encoding="gzip, chunked"),
    "malformed": once(x_evil="a\r\nb"),
    "stream": once(content_type="text/event-stream"),
    "too-large": once(content_length="99999999"),
    "tags": invalidated,
    "pathsend": sends({"type": "http.response.pathsend", "path": "page"}, length=9),
    "zerocopysend": sends({"type": "http.response.zerocopysend", "file": 3}, length=9),
    "session": session,
    "host": lambda: Target(lambda _: said("page")).get("/page", hosts=["a", "b"]),
    "content": once(asked=[("content-length", "1")]),
    "precondition": once(asked=[("if-match", '"v"')]),
}


def rows(heading: str) -> list[str]:
    """Return the first cells of the table under ``heading``."""
    table = STATUS.partition(f"| {heading} | ")[2].partition("\n\n")[0]
    return [row[2:].partition(" | ")[0] for row in table.splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("value", VALUES)
async def test_the_value_is_said(value: str) -> None:
    assert (await VALUES[value]()).cache_status == f"asynccache; {value}"


@pytest.mark.parametrize("detail", DETAILS)
async def test_the_detail_is_said(detail: str) -> None:
    answer = await DETAILS[detail]()

    assert answer.cache_status.endswith(f"detail={detail}")
    assert "stored" not in answer.cache_status


async def test_what_a_post_brought_is_said_to_be_stored() -> None:
    assert (await kept_post()).cache_status == "asynccache; fwd=method; stored"


def test_every_value_of_the_page_is_tried() -> None:
    told = {value for cell in rows("value") for value in names(cell) if "…" not in value}
    assert told == set(VALUES)


def test_every_detail_of_the_page_is_tried() -> None:
    assert {name for cell in rows("detail") for name in names(cell)} == DETAILS.keys()
