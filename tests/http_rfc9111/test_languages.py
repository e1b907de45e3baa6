"""A variant in just the language that is wanted, found without having been asked for in just these words."""

from __future__ import annotations

from typing import Any

import pytest

from asynccache import CachePolicy, HTTPConfig
from asynccache.http._rfc9111.selection import content_language, preferred_language
from tests.http_middleware.tiny_apps import Site, respond

SHARED = HTTPConfig(mode="rfc9111")


@pytest.mark.parametrize(
    "asked,language",
    [
        ([], None),
        ([b""], None),
        ([b"de"], b"de"),
        ([b"DE-ch"], b"de-ch"),
        ([b"fr;q=0.5, de;q=1.0"], b"de"),
        ([b"fr;q=0.5", b"de"], b"de"),
        ([b"de , en;q=0.9"], b"de"),
        ([b"de;q=0.2, en ; Q=0.3"], b"en"),
        # Two of the same weight: some applications go by the order.
        ([b"de, en"], None),
        ([b"de;q=1, en;q=1.000"], None),
        ([b"de, en, fr;q=0.1"], None),
        # Two of a smaller weight do not matter.
        ([b"fr;q=0.1, it;q=0.1, de"], b"de"),
        # Whatever may be anything.
        ([b"*"], None),
        ([b"*;q=0.1, de"], b"de"),
        ([b"de;q=0"], None),
        # What cannot be read is nothing to go by.
        ([b"de;q=2"], None),
        ([b"de, <script>;q=0.1"], None),
        ([b"abcdefghi"], None),
    ],
)
def test_one_language_is_preferred_or_none(asked: list[bytes], language: bytes | None) -> None:
    """RFC 9110 section 12.5.4."""
    assert preferred_language([(b"accept-language", line) for line in asked]) == language


@pytest.mark.parametrize(
    "asked,said,language",
    [
        (b"de, en", [b"DE"], b"de"),
        (b"de, en;q=0.5, *;q=0.1", [b"de-CH"], b"de-ch"),
        (b"de", [], None),
        (b"de", [b"de, en"], None),
        (b"de", [b"de", b"en"], None),
        (b"de, (text)", [b"de"], None),
    ],
)
def test_a_response_is_for_others_in_one_language_that_was_asked_for_plainly(
    asked: bytes, said: list[bytes], language: bytes | None
) -> None:
    """RFC 9110 section 8.5."""
    fields = [(b"content-language", line) for line in said]
    assert content_language([(b"accept-language", asked)], fields) == language


class Speaker:
    """Knows German and English, and prefers German."""

    def __init__(self, vary: bytes = b"accept-language") -> None:
        self.runs = 0
        self.vary = vary

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        asked = dict(scope["headers"]).get(b"accept-language", b"")
        language = b"de" if b"de" in asked else b"en"
        fields = [
            (b"vary", self.vary),
            (b"cache-control", b"max-age=60"),
            (b"content-language", language),
            (b"etag", b'"%b"' % language),
        ]
        await respond(send, language, headers=fields)


async def ask(site: Site, language: str, *more: tuple[str, str]) -> str:
    return (await site.get("/", [("accept-language", language), *more])).text


async def test_the_preferred_language_finds_its_variant() -> None:
    """RFC 9111 section 4.1: whoever prefers German to all else gets what was stored as German."""
    site = Site(app := Speaker(), http=SHARED)
    assert await ask(site, "en, de") == "de"
    assert await ask(site, "fr;q=0.5, de;q=1.0") == "de"
    assert app.runs == 1
    assert await ask(site, "en;q=0.9, fr") == "en"
    assert await ask(site, "en") == "en"
    assert await ask(site, "de") == "de"
    assert app.runs == 2


async def test_only_where_nothing_else_differs() -> None:
    """Other fields that select are compared as ever."""
    site = Site(app := Speaker(b"accept-language, x-tenant"), http=SHARED)
    await ask(site, "en, de", ("x-tenant", "a"))
    await ask(site, "de", ("x-tenant", "b"))
    assert app.runs == 2
    await ask(site, "de", ("x-tenant", "a"))
    assert app.runs == 2


async def test_not_beyond_its_freshness_or_an_invalidation() -> None:
    """It is a stored response like any other."""
    site = Site(app := Speaker(), http=SHARED)
    await ask(site, "en, de")
    site.clock.advance(61)
    assert await ask(site, "de") == "de"
    assert app.runs == 2
    await ask(site, "fr, de")
    await site.client.request("POST", "/")
    runs = app.runs
    assert await ask(site, "de") == "de"
    assert app.runs == runs + 1


async def test_not_in_the_marked_mode() -> None:
    """There a route's response is for just those fields."""
    site = Site(app := Speaker(), CachePolicy(ttl=60))
    await ask(site, "en, de")
    await ask(site, "de")
    assert app.runs == 2
