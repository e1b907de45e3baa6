"""Attacks on a shared cache by what is sent to it: fields that select, probe, remove, or are malformed.

All in ``rfc9111`` mode with its safe defaults; see also `test_shared_attacks`.
"""

from __future__ import annotations

import pytest

from tests.http_middleware.attacked import (
    ALICE,
    BOB,
    CREDENTIALS,
    PUBLIC,
    Asked,
    Said,
    Target,
    bodies,
    said,
    stale,
    validated,
)

# -- Vary ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hiding",
    [
        {"connection": "vary"},
        {"connection": "close, Vary"},
        {"cache-control": 'max-age=60, no-cache="vary"'},
        {"cache-control": 'max-age=60, private="vary"'},
    ],
    ids=str,
)
async def test_vary_cannot_be_hidden(hiding: dict[str, str]) -> None:
    """A response names Vary among the fields that are not kept: it varies all the same."""
    target = Target(lambda asked: said(asked.get("x-tenant"), fields=list(hiding.items()), vary="X-Tenant"))
    answers = [await target.get("/page", ("x-tenant", name)) for name in ("a", "b", "a")]

    assert bodies(answers) == ["a", "b", "a"]


@pytest.mark.parametrize("hidden", ["cache-control", "set-cookie", "content-encoding", "etag, cache-control"])
async def test_what_forbids_storing_cannot_be_hidden(hidden: str) -> None:
    """Connection names Cache-Control or Set-Cookie, so that a cache overlooks them: it reads them before."""
    target = Target(
        lambda asked: said(
            asked.run, connection=hidden, set_cookie="s=1", cache_control="private, max-age=60"
        )
    )

    assert bodies([await target.get(), await target.get()]) == ["1", "2"]


async def test_a_flood_of_variants_evicts_nobody() -> None:
    """An attacker invents values of a field that selects: 32 variants are kept, those that came first."""
    target = Target(lambda asked: said(asked.get("x-tenant"), vary="X-Tenant"))
    await target.get("/page", ("x-tenant", "victim"))
    flood = [await target.get("/page", ("x-tenant", str(number))) for number in range(100)]
    again = await target.get("/page", ("x-tenant", "victim"))

    assert bodies(flood) == [str(number) for number in range(100)]
    assert sum(answer.cache_status.endswith("; stored") for answer in flood) == 31
    assert (again.hit, again.text) == (True, "victim")


async def test_variants_that_vary_by_more_are_found_by_all_of_it() -> None:
    """One response says less of what it varies by than another: it does not answer in its place."""

    def answer(asked: Asked) -> Said:
        vary = "X-A" if asked.get("x-a") == "1" else "X-A, X-B"
        return said(f"{asked.get('x-a')}{asked.get('x-b')}", vary=vary)

    target = Target(answer)
    asked = [(a, b) for _ in range(3) for a in "12" for b in "12"]
    for a, b in asked:
        answer_ = await target.get("/page", ("x-a", a), ("x-b", b))
        assert answer_.text in ({f"{a}1", f"{a}2"} if a == "1" else {a + b})


async def test_a_language_does_not_stand_for_what_else_was_said() -> None:
    """A page shows what it was asked with: text that is no language would be shown to all who prefer one."""
    target = Target(
        lambda asked: said(asked.get("accept-language"), vary="Accept-Language", content_language="de")
    )
    await target.get("/page", ("accept-language", "de, <script>;q=0.1"))

    assert (await target.get("/page", ("accept-language", "de"))).text == "de"


# -- questions that tell something --------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ['"alices"', "*", 'W/"alices"', '"x", "alices"'])
async def test_if_none_match_is_no_oracle(tag: str) -> None:
    """A 304 would tell an attacker that a guess at Alice's page is right: only who gets it may ask."""

    def answer(asked: Asked) -> Said:
        name = asked.get("cookie").rpartition("=")[2] or "nobody"
        return said(f"page of {name}", etag=f'"{name}s"', vary="Cookie")

    target = Target(answer)
    await target.get("/page", ALICE)
    attacks = [await target.get("/page", *fields, ("if-none-match", tag)) for fields in ([BOB], [])]

    assert bodies(attacks) == ["page of bob", "page of nobody"]
    assert target.runs == 3


async def test_only_if_cached_tells_nothing_of_what_is_withheld() -> None:
    """Probing, an attacker sees nothing of Alice's page, and the application is not asked for it."""
    target = Target(lambda asked: said(asked.get("cookie"), vary="Cookie"))
    await target.get("/page", ALICE)
    probe = ("cache-control", "only-if-cached")
    answers = [await target.get("/page", probe, field) for field in (BOB, ("accept", "*/*"))]
    own = await target.get("/page", probe, ALICE)

    assert [(answer.status, answer.text) for answer in answers] == [(504, "")] * 2
    assert (own.status, own.text) == (200, "session=alice")
    assert target.runs == 1


@pytest.mark.parametrize(
    "wish", ["max-stale", "max-stale=999", "stale-if-error=999", "min-fresh=0, max-stale"]
)
async def test_client_directives_do_not_reach_behind_must_revalidate(wish: str) -> None:
    """A client asks for what is stale, to see what has been withdrawn since: must-revalidate is stronger."""
    target = Target(lambda asked: said(asked.run, cache_control="max-age=10, must-revalidate"))
    await target.get()
    target.clock.advance(20)

    assert (await target.get("/page", ("cache-control", wish))).text == "2"


# -- methods ------------------------------------------------------------------------------------------------

ELSEWHERE = [
    "http://evil.test/other",
    "https://shop.test/other",
    "//evil.test/other",
    "http://shop.test:8080/other",
    "http://shop.test@evil.test/other",
    "http://evil.test\\@shop.test/other",
    "/\\shop.test/other",
    "http:///other",
    "javascript:/other",
    "/oth er",
    "/other\x00",
    "http:/other",
]


@pytest.mark.parametrize("field", ["location", "content-location"])
@pytest.mark.parametrize("location", ELSEWHERE)
async def test_a_write_empties_no_other_origin(field: str, location: str) -> None:
    """Who chooses where a form leads could empty pages of another origin: those are left alone."""
    target = Target(
        lambda asked: said(
            asked.run,
            201 if asked.method == "POST" else 200,
            [(field, location)] if asked.method == "POST" else [],
        )
    )
    await target.get("/other")
    await target.ask("POST", "/form")

    assert (await target.get("/other")).hit


@pytest.mark.parametrize(
    "location", ["/other", "other", "http://shop.test/other", "//SHOP.test:80/other", "/x/../other#f"]
)
async def test_a_write_empties_its_own_origin(location: str) -> None:
    """The test above can fail: a path of the same origin is emptied, however it is written."""
    target = Target(lambda asked: said(asked.run, location=location))
    await target.get("/other")
    await target.ask("POST", "/form")

    assert not (await target.get("/other")).hit


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 500])
async def test_a_write_that_was_refused_empties_nothing(status: int) -> None:
    """Else anyone could keep a page out of the cache, by writes that are not permitted."""
    target = Target(lambda asked: said(asked.run, status if asked.method == "DELETE" else 200))
    await target.get()
    await target.ask("DELETE")

    assert (await target.get()).hit


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("content-location", "/other")],
        [("content-location", "//evil.test/page")],
        [("content-location", "/page"), ("set-cookie", "s=1")],
        [("content-location", "/page"), ("cache-control", "private, max-age=60")],
        [("content-location", "/page"), ("vary", "*")],
        [("content-location", "/page"), ("cache-control", "public")],
    ],
    ids=str,
)
async def test_the_answer_to_a_post_is_not_the_page(fields: list[tuple[str, str]]) -> None:
    """What is posted comes back in the answer: it is the page only if it says so, and how long."""
    target = Target(
        lambda asked: said(asked.body.decode(), fields=fields) if asked.method == "POST" else said("page"),
        reads_body=True,
    )
    await target.ask("POST", "/page", ("content-length", "4"), body=b"evil")

    assert (await target.get()).text == "page"


@pytest.mark.parametrize(
    "field", [*CREDENTIALS, ("x-forwarded-host", "evil.test")], ids=lambda field: field[0]
)
async def test_the_answer_to_alices_post_is_not_the_page(field: tuple[str, str]) -> None:
    """Nor is what says that it is the page, if said to somebody, or under a field that is in no key."""
    target = Target(lambda asked: said(asked.get(field[0], "page"), content_location="/page"))
    await target.ask("POST", "/page", field)

    assert (await target.get()).text == "page"


async def test_a_head_of_another_length_cannot_change_the_page() -> None:
    """A HEAD that disagrees with what is stored puts an end to it, and never becomes part of it."""
    target = validated(
        said("", 200, etag='"v"', content_length="99", x_evil="1", cache_control=PUBLIC), head=True
    )
    await stale(target)
    await target.ask("HEAD")
    answer = await target.get()

    assert (answer.text, answer.header("content-length"), answer.header("x-evil")) == ("page", "4", None)


# -- fields with hostile values -----------------------------------------------------------------------------

TAGS = [
    "a\x00b",
    "\xff\xfe",
    "x" * 20_000,
    ",".join(f"tag-{number}" for number in range(500)),
    ", ,, ,",
    "url:http:9:shop.test:5:/page?",
    "../../etc/passwd",
    "a b\tc",
    "*",
]


@pytest.mark.parametrize("field", ["cache-tag", "surrogate-key"])
@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: repr(tags[:20]))
async def test_hostile_tags_do_no_harm(field: str, tags: str) -> None:
    """Names of tags that users made up: the page is served, and goes by no name but its own."""
    target = Target(lambda asked: said(asked.run, fields=[(field, tags)]))
    other = Target(lambda asked: said(asked.run))
    answers = [await target.get() for _ in range(3)]

    assert all(answer.status == 200 for answer in answers)
    assert answers[-1].hit or answers[-1].cache_status.endswith(("detail=tags", "detail=malformed"))
    await target.cache.invalidate_tags("tag", "x", "**")
    assert (await target.get()).hit == answers[-1].hit
    assert other.runs == 0


@pytest.mark.parametrize(
    "targeted",
    [
        'max-age=60, private="',
        "",
        "max-age=60;;",
        "MAX-AGE=60",
        "max-age=60, private",
        "no-store",
        '"',
        "\xff",
    ],
)
async def test_a_targeted_field_does_not_undo_private_by_being_malformed(targeted: str) -> None:
    """CDN-Cache-Control takes precedence only if it is well-formed, and forbids what Cache-Control would."""
    target = Target(
        lambda asked: said(
            asked.run, cache_control="private, max-age=60", fields=[("cdn-cache-control", targeted)]
        )
    )

    assert bodies([await target.get(), await target.get()]) == ["1", "2"]


SMUGGLING = [
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "xchunked"),
    ("transfer-encoding", "\x0bchunked"),
    ("content-length", "5"),
    ("content-length", "+0"),
    ("content-length", "0, 5"),
    ("content-length", "0x5"),
]


@pytest.mark.parametrize("field", SMUGGLING, ids=repr)
async def test_a_get_that_may_have_a_body_stays_outside(field: tuple[str, str]) -> None:
    """Where two servers see different ends of a request, its answer may be that to another one."""
    target = Target(lambda asked: said(asked.run))
    answers = [await target.get("/page", field), await target.get()]

    assert bodies(answers) == ["1", "2"]
    assert answers[0].cache_status == "asynccache; fwd=bypass; detail=content"


@pytest.mark.parametrize(
    "fields",
    [
        [("content-length", "4"), ("content-length", "5")],
        [("content-length", "4, 5")],
        [("content-length", "-4")],
        [("content-length", "4 4")],
        [("content-length", "5")],
        [("content-length", "3")],
        [("content-length", "4"), ("transfer-encoding", "gzip, chunked")],
    ],
    ids=str,
)
async def test_a_response_of_another_length_is_not_stored(fields: list[tuple[str, str]]) -> None:
    """Replayed with a length that is ours, half a page, or two, would be the page for all."""
    target = Target(lambda asked: said("page", fields=fields))

    assert [(await target.get()).hit, (await target.get()).hit] == [False, False]


async def test_age_and_cache_status_are_not_the_applications_to_say_for_us() -> None:
    """A response may claim to be a hit of ours: what we say comes last, and is computed."""
    target = Target(lambda _: said("page", cache_status="asynccache; hit; ttl=999", age="7"))
    await target.get()
    answer = await target.get()

    assert answer.all("cache-status") == ["asynccache; hit; ttl=999, asynccache; hit; ttl=53"] or answer.all(
        "cache-status"
    ) == ["asynccache; hit; ttl=999", "asynccache; hit; ttl=53"]
    assert answer.header("age") == "7"
