"""What is invalidated while it is being produced is neither stored nor shared with who asks afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from asynccache import CachePolicy, HTTPConfig, InMemoryBackend
from asynccache.http import MarkedApp
from asynccache.testing import ChaosBackend
from tests.http_middleware.asgi_client import ticks
from tests.http_middleware.tiny_apps import Handler, Site, by_path

POLICY = CachePolicy(ttl=60, tags=("t",))


async def by_tag(site: Site) -> None:
    await site.cache.invalidate_tags("t")


async def by_put(site: Site) -> None:
    await site.client.request("PUT", "/")


async def by_location(site: Site) -> None:
    await site.client.request("POST", "/collection")


async def by_clear(site: Site) -> None:
    await site.cache.clear()


WAYS = [by_tag, by_put, by_location, by_clear]


def site_with(handler: Handler, store: str, policy: CachePolicy) -> Site:
    app = by_path({
        "PUT /": Handler(),
        "POST /collection": Handler(status=201, headers=[(b"location", b"/")]),
        "/": MarkedApp(handler, policy),
    })  # fmt: skip
    http = HTTPConfig(coalesce_timeout=100)
    if store == "local":
        return Site(app, http=http)
    return Site(app, http=http, backend=ChaosBackend(InMemoryBackend()))


@pytest.mark.parametrize("store", ["local", "remote"])
@pytest.mark.parametrize("varying", [False, True], ids=["plain", "varying"])
@pytest.mark.parametrize("invalidate", WAYS)
async def test_an_invalidation_during_a_run(
    invalidate: Callable[[Site], Awaitable[None]], varying: bool, store: str
) -> None:
    """Its response goes to those who asked before; who asks afterwards gets a run begun afterwards."""
    handler = Handler(headers=[(b"vary", b"x-a")] if varying else [])
    site = site_with(handler, store, POLICY)
    if varying:
        await site.get("/", [("x-a", "other")])
    before = handler.runs
    handler.gate.clear()
    old = site.start("/")
    while handler.runs == before:
        await ticks(1)
    await invalidate(site)
    new = site.start("/")
    while handler.runs == before + 1:
        await ticks(1)
    handler.gate.set()
    first, second = await old.answer(), await new.answer()
    third = await site.get("/")

    assert first.text == f"run {before + 1}"
    assert second.text == f"run {before + 2}"
    assert third.text != first.text
    assert third.hit or varying
    assert site.at_rest


@pytest.mark.parametrize("store", ["local", "remote"])
@pytest.mark.parametrize("invalidate", WAYS)
async def test_an_invalidation_between_two_requests(
    invalidate: Callable[[Site], Awaitable[None]], store: str
) -> None:
    """Once an invalidation is acknowledged, what was stored before is gone, variants included."""
    for varying in (False, True):
        handler = Handler(headers=[(b"vary", b"x-a")] if varying else [])
        site = site_with(handler, store, POLICY)
        for name in ("1", "2"):
            await site.get("/", [("x-a", name)])
        await invalidate(site)
        for name in ("1", "2"):
            runs = handler.runs
            assert int((await site.get("/", [("x-a", name)])).text.removeprefix("run ")) > (
                2 if varying else 1
            )
            assert handler.runs >= runs


async def test_a_write_that_answers_late_invalidates_before_its_answer() -> None:
    """When the client sees that its write succeeded, nothing older is served any more."""
    handler = Handler()
    site = site_with(handler, "local", POLICY)
    await site.get("/")
    seen: list[str] = []

    async def watch(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            seen.append((await site.get("/")).text)

    await site.start("/", method="PUT", watch=watch).answer()
    assert seen == ["run 2"]
