"""Attacks on a shared cache that stands in front of everything: ``rfc9111`` mode, its safe defaults.

What a stored response says is not only set when it is stored: a 304, a HEAD, a missing part and a background
refresh add to it later, each in answer to some client's request. So each of them is an attack's way in.
"""

from __future__ import annotations

import pytest

from asynccache import HTTPConfig
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

# -- credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda field: field[0])
async def test_what_was_said_to_somebody_is_not_for_all(credential: tuple[str, str]) -> None:
    """Alice's page has a lifetime and says nothing of her: kept from all, unless it says it is shared."""
    target = Target(lambda asked: said(asked.get(credential[0])))
    alice = await target.get("/page", credential)
    others = [await target.get("/page", (credential[0], "bob")), await target.get()]

    assert alice.cache_status == f"asynccache; fwd=uri-miss; detail={credential[0]}"
    assert bodies(others) == ["bob", ""]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda field: field[0])
async def test_what_was_said_to_nobody_is_not_for_somebody(credential: tuple[str, str]) -> None:
    """Alice would get the page of those who are not logged in, and her answer must not replace it."""
    target = Target(lambda asked: said(asked.get(credential[0], "log in")))
    answers = [await target.get(), await target.get("/page", credential), await target.get()]

    assert bodies(answers) == ["log in", credential[1], "log in"]
    assert answers[1].cache_status == f"asynccache; fwd=bypass; detail={credential[0]}"
    assert answers[2].hit


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda field: field[0])
async def test_waiting_for_another_gives_nobody_a_foreign_page(credential: tuple[str, str]) -> None:
    """Alice and Bob ask at once, and one is to be told what the other was: each is asked for."""
    target = Target(lambda asked: said(asked.get(credential[0], "nobody")))
    asked = [credential, (credential[0], "bob"), ("accept", "*/*"), credential]
    ongoing = [target.site.start("/page", [field]) for field in asked]
    answers = [await one.answer() for one in ongoing]

    assert bodies(answers) == [credential[1], "bob", "nobody", credential[1]]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda field: field[0])
async def test_a_front_does_not_overlook_credentials(credential: tuple[str, str]) -> None:
    """Hits that need no thinking are for those who say nothing of themselves, or pages that are shared."""
    target = Target(lambda asked: said(asked.get(credential[0], "log in")))
    for _ in range(3):
        await target.get()
    alice = await target.get("/page", credential)

    assert (alice.text, alice.hit) == (credential[1], False)


@pytest.mark.parametrize(
    "field, said_too",
    [
        (("authorization", "alice"), []),
        (ALICE, [("set-cookie", "session=alice")]),
        (ALICE, [("cache-control", "private, max-age=60")]),
        (ALICE, [("cache-control", "no-store, max-age=60")]),
        (ALICE, [("vary", "*")]),
    ],
    ids=str,
)
async def test_share_with_cookies_shares_no_more_than_that(
    field: tuple[str, str], said_too: list[tuple[str, str]]
) -> None:
    """Who declares cookies harmless has not declared Authorization, Set-Cookie or ``private`` harmless."""
    http = HTTPConfig(mode="rfc9111", share_with_cookies=True)
    target = Target(lambda asked: said(asked.run, fields=said_too), http=http)

    assert bodies([await target.get("/page", field), await target.get()]) == ["1", "2"]


async def test_share_with_cookies_shares_otherwise() -> None:
    """The test above can fail: a page that says nothing of the kind is for all."""
    target = Target(lambda asked: said(asked.run), http=HTTPConfig(mode="rfc9111", share_with_cookies=True))

    assert bodies([await target.get("/page", ALICE), await target.get()]) == ["1", "1"]


async def test_no_cookie_is_ever_replayed() -> None:
    """With ``store_set_cookie`` the page is stored, yet no hit, no waiter and no 304 gives a session away."""

    def answer(asked: Asked) -> Said:
        status = 304 if asked.get("if-none-match") == '"v"' else 200
        body = "" if status == 304 else "page"
        return said(body, status, etag='"v"', set_cookie=f"s={asked.run}", cache_control=PUBLIC)

    target = Target(answer, http=HTTPConfig(mode="rfc9111", store_set_cookie=True))
    answers = await target.site.client.gather(3, "/page")
    target.clock.advance(20)
    answers += [await target.get(), await target.get()]

    assert bodies(answers) == ["page"] * 5
    assert target.runs == 2
    assert [bool(answer.all("set-cookie")) for answer in answers][1:3] == [False, False]
    assert answers[-1].all("set-cookie") == []


@pytest.mark.parametrize("control", ['max-age=60, private="x-user"', 'max-age=60, no-cache="x-user"'])
async def test_fields_that_are_one_clients_go_to_that_one_only(control: str) -> None:
    """A qualified ``private`` or ``no-cache`` names a field of Alice's: others get the page without it."""
    target = Target(lambda _: said("page", x_user="alice", x_more="all", cache_control=control))
    answers = [*await target.site.client.gather(3, "/page"), await target.get()]

    assert target.runs == 1
    assert [answer.all("x-user") for answer in answers] == [["alice"], [], [], []]
    assert [answer.all("x-more") for answer in answers] == [["all"]] * 4


# -- what comes later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "control", ["private, max-age=60", "no-store, max-age=60", "max-age=60", "PRIVATE", "public, max-age=60"]
)
@pytest.mark.parametrize("head", [False, True], ids=["304", "head"])
async def test_a_confirmation_for_alice_does_not_put_her_into_the_page(control: str, head: bool) -> None:
    """Asked with Alice's cookie whether a page still holds, the application speaks to her, not to all."""
    fields = [("etag", '"v"'), ("cache-control", control), ("x-user", "{asked.fields}")]
    target = validated(said("", 200 if head else 304, fields), head=head)
    await stale(target)
    alice = await target.ask("HEAD" if head else "GET", "/page", ALICE)
    bob = await target.get()

    assert "alice" in str(alice.raw)
    if control.startswith("public"):
        assert bob.hit  # it says itself that it is for all
    else:
        assert "alice" not in str(bob.raw)
        assert bob.text == "page"


@pytest.mark.parametrize("head", [False, True], ids=["304", "head"])
@pytest.mark.parametrize("field", ["x-forwarded-host", "x-original-url", "forwarded"])
async def test_a_confirmation_does_not_carry_an_unkeyed_field_into_the_page(head: bool, field: str) -> None:
    """An attacker waits until a page has to be validated, and has its 304 say ``Link: //evil.test``."""

    def answer(asked: Asked) -> Said:
        fields = [
            ("etag", '"v"'),
            ("cache-control", PUBLIC),
            ("link", f"<//{asked.get(field, 'shop.test')}>"),
        ]
        if asked.get("if-none-match") == '"v"':
            return said("", 304, fields)
        return said("page", fields=fields, content_length="4")

    target = Target(answer)
    await stale(target)
    attack = await target.ask("HEAD" if head else "GET", "/page", (field, "evil.test"))
    victim = await target.get()

    assert attack.header("link") == "<//evil.test>"
    assert (victim.header("link"), victim.text) == ("<//shop.test>", "page")


async def test_a_confirmation_that_varies_by_anything_ends_the_page() -> None:
    """A 304 with ``Vary: *`` says that the next request is not to be answered with this page."""
    target = validated(said("", 304, etag='"v"', vary="*", cache_control="public, max-age=60"))
    await stale(target)
    await target.get()

    assert not (await target.get()).hit


async def test_a_confirmation_that_ends_the_lifetime_ends_the_page() -> None:
    """Where nothing is kept for longer than it is fresh, it is gone, and does not live on as it was."""
    ended = said("", 304, etag='"v"', cache_control="max-age=0")
    http = HTTPConfig(mode="rfc9111", keep_stale=0, honour_client_directives=True)
    target = Target(lambda a: ended if a.get("if-none-match") else said("page", etag='"v"'), http=http)
    await target.get()
    assert (await target.get("/page", ("cache-control", "no-cache"))).text == "page"

    assert not (await target.get()).hit


async def test_a_cookie_on_a_confirmation_stays_with_its_client() -> None:
    """A 304 may renew Alice's session: nobody else gets that field, now or later."""
    target = validated(said("", 304, etag='"v"', set_cookie="session=alice", cache_control=PUBLIC))
    await stale(target)
    answers = [await target.get("/page", ALICE), await target.get(), await target.get("/page", BOB)]

    assert bodies(answers) == ["page"] * 3
    assert [answer.all("set-cookie") for answer in answers[1:] if answer.hit] == [[]] * sum(
        answer.hit for answer in answers[1:]
    )


async def test_a_confirmation_of_another_page_is_not_taken() -> None:
    """A 304 with another entity tag says nothing good of what is stored."""
    target = validated(said("", 304, etag='"w"', cache_control="public, max-age=60"))
    await stale(target)
    answers = [await target.get(), await target.get()]

    assert [answer.cache_status for answer in answers] == [
        "asynccache; fwd=stale; stored",  # of what came when it was asked once more
        "asynccache; hit; ttl=10",
    ]
    assert target.runs == 3


async def test_an_application_that_reads_the_body_can_be_asked_twice() -> None:
    """A confirmation that does not fit makes us ask again: who reads the body must not wait for ever."""
    target = validated(said("", 304, etag='"w"', cache_control=PUBLIC), reads_body=True)
    await stale(target)

    assert (await target.get()).text == "page"
    assert target.runs == 3


async def test_a_refresh_with_alices_cookie_is_not_for_all() -> None:
    """Alice is served a stale page, which is refreshed with her fields: what comes of it is hers alone."""

    def answer(asked: Asked) -> Said:
        control = "public, max-age=10, stale-while-revalidate=60" if asked.run == 1 else "max-age=60"
        return said(f"page of {asked.get('cookie', 'all')}", cache_control=control)

    target = Target(answer)
    await target.get()
    target.clock.advance(20)
    alice = await target.get("/page", ALICE)
    await target.site.idle()
    bob = await target.get()
    await target.site.idle()
    after = await target.get()

    assert target.asked[1].get("cookie") == "session=alice"
    assert bodies([alice, bob, after]) == ["page of all"] * 3
    assert [answer.cache_status for answer in (alice, bob)] == ["asynccache; hit; ttl=-10; detail=stale"] * 2


@pytest.mark.parametrize("field", [ALICE, ("x-forwarded-host", "alice"), ("authorization", "alice")])
async def test_a_refresh_that_is_confirmed_leaks_no_fields(field: tuple[str, str]) -> None:
    """The refresh asks with the fields of who came, and a 304 answers with theirs in it."""

    def answer(asked: Asked) -> Said:
        control = "public, max-age=10, stale-while-revalidate=60" if asked.run == 1 else "max-age=60"
        fields = [("etag", '"v"'), ("cache-control", control), ("x-echo", asked.get(field[0], "none"))]
        return said("", 304, fields) if asked.get("if-none-match") else said("page", fields=fields)

    target = Target(answer)
    await target.get()
    target.clock.advance(20)
    await target.get("/page", field)
    await target.site.idle()
    assert target.runs == 2
    bob = await target.get()

    assert bob.header("x-echo") == "none"


async def test_a_refresh_repeats_no_condition_and_no_range() -> None:
    """The refresh of who had a copy, or wanted a part, still brings the whole page."""
    target = Target(
        lambda asked: said(
            f"page {asked.run}", etag=f'"{asked.run}"', cache_control="max-age=10, stale-while-revalidate=60"
        )
    )
    await target.get()
    target.clock.advance(20)
    await target.get("/page", ("range", "bytes=0-1"), ("if-none-match", '"x"'), ("if-range", '"x"'))
    await target.site.idle()

    conditional = {name for name, _ in target.asked[1].fields} & {"range", "if-range", "if-modified-since"}
    assert conditional == set()
    assert target.asked[1].get("if-none-match") in ("", '"1"')
    assert (await target.get()).text == "page 2"


async def test_a_failure_shows_nobody_a_page_that_is_withheld() -> None:
    """An attacker has the application fail, to be served what is stale: only what it could get anyway."""

    def answer(asked: Asked) -> Said:
        if asked.run > 1:
            return said("failed", 500, cache_control="x-nothing")
        return said(
            f"page of {asked.get('cookie')}",
            vary="Cookie",
            etag='"v"',
            cache_control="max-age=10, stale-if-error=60",
        )

    target = Target(answer)
    await target.get("/page", ALICE)
    target.clock.advance(20)
    answers = [await target.get("/page", field) for field in (ALICE, BOB, ("accept", "*/*"))]

    assert bodies(answers) == ["page of session=alice", "failed", "failed"]


# -- parts --------------------------------------------------------------------------------------------------


def in_parts(rest: Said) -> Target:
    """Return an application whose page is stored in part; asked for the rest, it answers ``rest``."""

    def answer(asked: Asked) -> Said:
        if asked.get("range") == "bytes=4-":
            return rest
        if asked.get("range"):
            return said("whol", 206, content_range="bytes 0-3/13", etag='"v"', cache_control=PUBLIC)
        return said("whole content", etag='"v"', cache_control=PUBLIC)

    return Target(answer)


@pytest.mark.parametrize(
    "rest",
    [
        said("EVIL!!!!!", 206, content_range="bytes 4-12/13", etag='"w"', cache_control=PUBLIC),
        said("EVIL!!!!!", 206, content_range="bytes 4-12/13", cache_control=PUBLIC),
        said("EVIL!!!!!", 206, content_range="bytes 4-12/13", etag='W/"v"', cache_control=PUBLIC),
        said("EVIL!!!!!", 206, content_range="bytes 4-12/99", etag='"v"', cache_control=PUBLIC),
        said("EVIL!!!!!", 206, content_range="bytes 5-13/14", etag='"v"', cache_control=PUBLIC),
        said("e content", 206, content_range="bytes 4-12/13", etag='"v"', cache_control="private"),
        said("e content", 206, content_range="bytes 4-12/13", etag='"v"', set_cookie="s=1"),
        said("e content", 206, content_range="bytes 4-12/13", etag='"v"', vary="*", cache_control=PUBLIC),
        said("e content", 206, content_range="bytes 4-12/13", etag='"v"', content_length="99"),
        said("e content", 206, content_range="bytes */13", etag='"v"', cache_control=PUBLIC),
        said("e content", 206, etag='"v"', cache_control=PUBLIC),
        said("", 416, content_range="bytes */13", cache_control=PUBLIC),
        said("", 304, etag='"v"', cache_control=PUBLIC),
    ],
    ids=lambda rest: f"{rest.status} {dict(rest.fields)}",
)
async def test_a_part_is_not_filled_up_with_something_else(rest: Said) -> None:
    """Who asks for the whole gets the whole, whatever comes as the rest of a stored part."""
    target = in_parts(rest)
    await target.get("/page", ("range", "bytes=0-3"))
    answers = [await target.get(), await target.get()]

    assert [(answer.status, answer.text) for answer in answers] == [(200, "whole content")] * 2


async def test_a_part_for_alice_is_not_for_bob() -> None:
    """Parts are withheld like wholes."""
    target = Target(
        lambda asked: said("part", 206, content_range="bytes 0-3/13", etag='"v"', x_user=asked.get("cookie"))
    )
    await target.get("/page", ("range", "bytes=0-3"), ALICE)
    bob = await target.get("/page", ("range", "bytes=0-3"), BOB)

    assert (bob.header("x-user"), bob.hit) == ("session=bob", False)
