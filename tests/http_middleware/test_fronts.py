"""What a front must still ask before it answers: all this holds on later hits as on the first."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import CachePolicy, HTTPConfig
from asynccache.http import MarkedApp, purge
from tests.http_middleware.tiny_apps import Handler, Site, by_path, respond

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


async def test_age_is_that_of_the_moment() -> None:
    """It has grown when a whole second of the response's own has passed, not of the clock (RFC 9111 5.1)."""
    site = Site(Handler(), CachePolicy(ttl=60, public=True))
    site.clock.advance(0.9)
    await warmed(site)
    for step, age in ((0.05, 0), (0.9, 0), (0.05, 1), (0.95, 1), (0.06, 2)):
        site.clock.advance(step)
        assert (await site.get("/")).all("age") == [str(age)]


LANGUAGES = ("de", "en", "fr")
MODES = [("marked", POLICY), ("rfc9111", None)]


def in_language(asked: str) -> list[tuple[str, str]]:
    return [("accept-language", asked)]


async def speaking(scope: Any, receive: Any, send: Any) -> None:
    """Answer in the language asked for, and count."""
    language = dict(scope["headers"]).get(b"accept-language", b"none")
    fields = [(b"vary", b"accept-language"), (b"cache-control", b"max-age=60"), (b"cache-tag", b"t")]
    await respond(send, language, headers=fields)


@pytest.fixture(params=MODES, ids=lambda mode: mode[0])
async def site(request: pytest.FixtureRequest) -> Site:
    """A site whose every variant is answered by a front."""
    mode, policy = request.param
    made = Site(speaking, policy, http=HTTPConfig(mode=mode))
    for _ in range(4):
        for language in LANGUAGES:
            await made.get("/", in_language(language))
    assert made.middleware.fronts is not None
    assert len(made.middleware.fronts._fronts) == len(LANGUAGES)
    return made


async def test_each_variant_has_a_front_of_its_own(site: Site) -> None:
    """Whoever asks otherwise, or not at all, is not answered by one of them."""
    for language in (*LANGUAGES, "de, en", "it", "DE"):
        asked = await site.get("/", in_language(language))
        assert asked.text.lower() == language.lower()
    assert (await site.get("/")).text == "none"
    assert (await site.get("/", in_language("de") + in_language("en"))).text in {"de", "en", "de, en"}


@pytest.mark.parametrize("end", ["unsafe", "purged", "cleared", "expired"])
async def test_no_front_outlives_its_variant(site: Site, end: str) -> None:
    """What makes a variant unreachable ends its front, though the variant itself may still be in memory."""
    if end == "unsafe":
        await site.client.request("POST", "/")
    elif end == "purged":
        await purge(site.cache, "http://shop.test/")
    elif end == "cleared":
        await site.cache.clear()
    else:
        site.clock.advance(60)
    for language in LANGUAGES:
        assert not (await site.get("/", in_language(language))).hit


async def test_a_page_that_stops_varying_is_one_for_all() -> None:
    """And one that begins to vary is no longer one for all."""
    varies = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        language = dict(scope["headers"])[b"accept-language"] if varies else b"all"
        fields = [(b"vary", b"accept-language")] if varies else []
        await respond(send, language, headers=fields)

    site = Site(app, POLICY)
    for varying, expected in ((False, ["all"] * 3), (True, list(LANGUAGES)), (False, ["all"] * 3)):
        varies = varying
        site.clock.advance(60)
        await purge(site.cache, "http://shop.test/")
        for _ in range(4):
            told = [(await site.get("/", in_language(language))).text for language in LANGUAGES]
            assert told == expected
