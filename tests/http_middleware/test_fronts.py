"""What a front must still ask before it answers: all this holds on later hits as on the first."""

from __future__ import annotations

from typing import Any

from asynccache import CachePolicy
from asynccache.http import MarkedApp
from tests.http_middleware.tiny_apps import Handler, Site, by_path

POLICY = CachePolicy(ttl=60)


def nobody(scope: Any) -> None:
    """Distinguish users, in vain: None means that it cannot tell."""


async def warmed(site: Site, target: str = "/") -> str:
    """Store a response, hit it twice, and return its entity tag: from now on a front answers."""
    for _ in range(2):
        await site.get(target)
    answer = await site.get(target)
    assert site.middleware.fronts is not None
    assert "hit" in answer.all("cache-status")[0]
    return answer.all("etag")[0]


async def test_only_public_fronts_answer_before_routing() -> None:
    """Beside a public route, what guards another route still runs before each of its hits."""
    guarded = 0
    page = MarkedApp(Handler(), POLICY)

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        nonlocal guarded
        guarded += 1
        await page(scope, receive, send)

    public = MarkedApp(Handler(), CachePolicy(ttl=60, public=True))
    site = Site(by_path({"/page": guard, "/public": public}))
    await warmed(site, "/public")
    await warmed(site, "/page")
    await site.get("/page")
    assert guarded == 4


async def test_a_front_belongs_to_one_policy() -> None:
    """The same URL under another policy is looked up by that policy's rules."""
    handler = Handler()
    marked = MarkedApp(handler, POLICY)
    site = Site(marked)
    await warmed(site)
    marked.policy = CachePolicy(ttl=60, vary_on=nobody)
    assert (await site.get("/")).all("cache-status") == ["asynccache; fwd=bypass; detail=vary-on"]
    assert handler.runs == 2


async def test_another_entity_tag_gets_the_whole_response() -> None:
    """Only the response's own entity tag makes a front say 304."""
    site = Site(Handler(), POLICY)
    etag = await warmed(site)
    assert (await site.get("/", [("if-none-match", etag)])).status == 304
    answer = await site.get("/", [("if-none-match", '"another"')])
    assert (answer.status, answer.text) == (200, "run 1")


async def test_two_hosts_are_not_answered_by_a_front() -> None:
    """A request with two Host fields bypasses the cache, however well its URL is known."""
    site = Site(handler := Handler(), POLICY)
    await warmed(site)
    answer = await site.get("/", hosts=["shop.test", "shop.test"])
    assert answer.all("cache-status") == ["asynccache; fwd=bypass; detail=host"]
    assert handler.runs == 2


async def test_age_goes_on() -> None:
    """Age and the remaining freshness are those of the moment, hit after hit."""
    site = Site(Handler(), POLICY)
    await warmed(site)
    for seconds in (5, 8, 59):
        site.clock.set(site.clock() + seconds - int((await site.get("/")).all("age")[0]))
        answer = await site.get("/")
        assert answer.all("age") == [str(seconds)]
        assert answer.all("cache-status") == [f"asynccache; hit; ttl={60 - seconds}"]
