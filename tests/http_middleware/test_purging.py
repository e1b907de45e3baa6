"""`purge` removes by URL and by prefix, on every store, in both modes, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError, HTTPConfig
from asynccache.http import CacheMiddleware, purge
from tests.http_middleware.asgi_client import Client
from tests.http_middleware.tiny_apps import Handler, Site

SHARED = HTTPConfig(mode="rfc9111")
FRESH = [(b"cache-control", b"max-age=60, public"), (b"vary", b"accept-language")]
TARGETS = ("/a/1", "/a/1?x=1", "/a/2", "/a/b/3?y", "/ab", "/a")
STORES = ("memory", "sqlite", "redis", "postgres", "mongo", "memcached")
"""All but the last can remove by prefix."""


def url_of(request: pytest.FixtureRequest, store: str) -> str:
    if store == "memory":
        return "memory://"
    if store == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/cache.db"
    url: str = request.getfixturevalue(f"{store}_server").fresh_url()
    return url


@pytest.fixture(params=STORES)
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    async with Cache(CacheConfig(backend=url_of(request, request.param), http=SHARED)) as opened:
        yield opened


async def stored(client: Client) -> list[str]:
    """Return which targets are answered from the cache, in either language."""
    found: list[str] = []
    for target in TARGETS:
        for language in ("de", "en"):
            only = [("accept-language", language), ("cache-control", "only-if-cached")]
            if (await client.get(target, only)).status == 200:
                found.append(f"{target} {language}")
    return found


async def fill(client: Client) -> None:
    for target in TARGETS:
        for language in ("de", "en"):
            await client.get(target, [("accept-language", language)])


def but(*prefixes: str) -> list[str]:
    both = [f"{target} {language}" for target in TARGETS for language in ("de", "en")]
    return [name for name in both if not name.startswith(prefixes)]


async def test_one_url_goes_with_all_its_variants(cache: Cache) -> None:
    """The query counts; other URLs stay."""
    client = Client(CacheMiddleware(Handler(headers=FRESH), cache=cache))
    await fill(client)
    assert await stored(client) == but()
    assert await purge(cache, "http://shop.test/a/1")
    assert await stored(client) == but("/a/1 ")
    assert await purge(cache, "http://SHOP.test:80/a/1?x=1", "http://shop.test/ab")
    assert await stored(client) == but("/a/1", "/ab")


async def test_a_prefix_goes_with_all_that_is_below(cache: Cache) -> None:
    """Paths end at slashes: ``/a/*`` is not ``/ab``. A store that cannot do it says so and does nothing."""
    client = Client(CacheMiddleware(Handler(headers=FRESH), cache=cache))
    await fill(client)
    if cache.entries.access.clearing is None:
        with pytest.raises(ConfigurationError, match="clear"):
            await purge(cache, "http://shop.test/a/1", "http://shop.test/a/*")
        assert await stored(client) == but()
        return
    assert await purge(cache, "http://shop.test/a/b/*")
    assert await stored(client) == but("/a/b/")
    assert await purge(cache, "http://other.test/*")
    assert await stored(client) == but("/a/b/")
    assert await purge(cache, "http://shop.test/a/*")
    assert await stored(client) == but("/a/")
    await cache.set("value", 1)
    assert await purge(cache, "http://shop.test/*")
    assert await stored(client) == []
    assert await cache.get("value") == 1


async def test_what_is_on_its_way_is_purged_too() -> None:
    """A response that began before the purge is not stored after it."""
    handler = Handler(headers=FRESH)
    for url in ("http://shop.test/a/1", "http://shop.test/a/*"):
        site = Site(handler, http=SHARED)
        handler.gate.clear()
        asked = site.start("/a/1")
        for _ in range(20):
            await asyncio.sleep(0)
        await purge(site.cache, url)
        handler.gate.set()
        await asked.answer()
        assert not (await site.get("/a/1")).hit
        handler.scopes.clear()


async def test_routes_with_a_policy_are_purged_likewise() -> None:
    """Marked mode stores under the same names."""
    site = Site(Handler(), CachePolicy(ttl=60))
    for target in ("/a/1", "/a/2?x", "/b"):
        await site.get(target)
    await purge(site.cache, "http://shop.test/a/*")
    assert [(await site.get(target)).hit for target in ("/a/1", "/a/2?x", "/b")] == [False, False, True]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/a",
        "shop.test/a",
        "ftp://shop.test/a",
        "http:///a",
        "http://a b/c",
        "http://shop.test/ä",
        "http://x/#f",
        "http://shop.test/a\r\nb",
        "*",
        "/*",
    ],
)
async def test_what_is_no_whole_url_is_refused_before_anything_is_removed(url: str) -> None:
    """The message says what one looks like."""
    site = Site(Handler(headers=FRESH), http=SHARED)
    await site.get("/a")
    with pytest.raises(ConfigurationError, match="whole URLs"):
        await purge(site.cache, "http://shop.test/a", url)
    assert (await site.get("/a")).hit
