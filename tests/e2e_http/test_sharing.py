"""What may be for one user only, and what is for one connection only, end to end (RFC 9111 3.1 and 3.5)."""

from __future__ import annotations

import pytest

from tests.e2e_http.web import Web, says

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRESH = "Cache-Control: max-age=60"
USER = "Authorization: Basic dXNlcjpzZWNyZXQ="


async def test_what_is_said_to_a_user_is_said_to_nobody_else(web: Web) -> None:
    """RFC 9111 section 3.5."""
    page = web.page(says(FRESH))

    assert (await page.get(USER)).cache_status == "asynccache; fwd=uri-miss; detail=authorization"
    assert (await page.get(USER)).text == "2"
    assert (await page.get()).text == "3"
    assert page.asked[0].get("authorization") == USER.partition(": ")[2]


@pytest.mark.parametrize("allowance", ["public", "s-maxage=60", "must-revalidate"])
async def test_unless_the_origin_allows_it(web: Web, allowance: str) -> None:
    """RFC 9111 section 3.5: public, s-maxage and must-revalidate do."""
    page = web.page(says(f"{FRESH}, {allowance}"))

    assert (await page.get(USER)).text == "1"
    assert (await page.get("Authorization: Basic eDp5")).text == "1"


async def test_users_do_not_get_what_is_for_nobody_in_particular(web: Web) -> None:
    """More careful than RFC 9111 section 3.5 demands: it may say something else to them."""
    page = web.page(says(FRESH))
    await page.get()

    assert (await page.get(USER)).cache_status == "asynccache; fwd=bypass; detail=authorization"
    assert (await page.get()).text == "1"


@pytest.mark.parametrize("field", ["Cookie: session=1", "X-Api-Key: 1"])
async def test_cookies_and_keys_are_credentials(web: Web, field: str) -> None:
    """RFC 9111 section 7.2: not by the letter of section 3.5, but of the same kind."""
    page, varying = web.page(says(FRESH)), web.page(says(FRESH, f"Vary: {field.partition(':')[0]}"))

    texts = [(await page.get(field)).text for _ in range(2)]
    assert [*texts, (await page.get()).text, (await page.get(field)).text] == ["1", "2", "3", "4"]
    texts = [(await varying.get(field)).text for _ in range(2)]
    assert [*texts, (await varying.get(f"{field}2")).text, (await varying.get()).text] == ["1", "1", "2", "3"]
    async with web.cached(share_with_cookies=True) as port:
        texts = [(await page.get(field, port=port)).text, (await page.get(port=port)).text]
    assert texts == ["5", "5"]


@pytest.mark.parametrize("control", [FRESH, "Cache-Control: public, max-age=60"])
async def test_a_response_that_sets_a_cookie_is_not_stored(web: Web, control: str) -> None:
    """RFC 9111 section 7.3: safer than the RFC, which leaves it to the origin."""
    page = web.page(says(control, "Set-Cookie: session=1"))

    for count in (1, 2):
        reply = await page.get()
        assert (reply.text, reply.get("set-cookie")) == (str(count), "session=1")
        assert reply.cache_status == "asynccache; fwd=uri-miss; detail=set-cookie"


async def test_nobody_gets_anothers_cookie_even_where_it_is_stored(web: Web) -> None:
    """RFC 9111 section 7.3, with ``store_set_cookie=True``: the field is for the one who asked."""
    page = web.page(says("Cache-Control: max-age=10", 'ETag: "a"', "Set-Cookie: session=1"))
    page.then(page.play(), says("Set-Cookie: session=2", 'ETag: "a"', status=304))

    async with web.cached(store_set_cookie=True) as port:
        assert (await page.get(port=port)).get("set-cookie") == "session=1"
        hit = await page.get(port=port)
        assert (hit.hit, hit.text, hit.all("set-cookie")) == (True, "1", [])
        web.clock.advance(10)
        assert (await page.get(port=port)).all("set-cookie") == ["session=2"]
        assert (await page.get(port=port)).all("set-cookie") == []


async def test_private_with_names_keeps_only_those_from_others(web: Web) -> None:
    """RFC 9111 section 5.2.2.7, the qualified form."""
    page = web.page(says('Cache-Control: max-age=60, private="x-user, x-other"', "X-User: me", "X-Mine: 1"))

    assert (await page.get()).get("x-user") == "me"
    hit = await page.get()
    assert (hit.hit, hit.get("x-user"), hit.get("x-mine")) == (True, "", "1")


async def test_fields_of_one_connection_are_not_stored(web: Web) -> None:
    """RFC 9111 section 3.1, RFC 9110 section 7.6.1."""
    hop = [
        "Connection: X-Hop, keep-alive",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "Upgrade: h2c",
        "TE: trailers",
    ]
    proxy = ["Proxy-Authenticate: Basic", "Proxy-Authentication-Info: x=y", "Proxy-Connection: keep-alive"]
    page = web.page(says(FRESH, *hop, *proxy, "X-Mine: 1"))

    for reply in (await page.get(), await page.get()):
        assert {name for name, _ in reply.fields} - {"age"} == {
            "cache-control", "x-mine", "date", "content-length", "via", "cache-status",
        }  # fmt: skip


async def test_all_other_fields_are_repeated_as_they_came(web: Web) -> None:
    """RFC 9111 section 3.1: unknown ones as well, each line, in order, also empty and not in ASCII."""
    mine = [
        "X-A: 1",
        "X-B: ",
        "X-A: 2",
        "X-C: caf\u00e9, \u00ff",
        "Content-Type: text/x; a=b",
        "Link: </>; rel=x",
    ]
    page = web.page(says(FRESH, *mine))

    wanted = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in mine)]
    for reply in (await page.get(), await page.get()):
        assert [field for field in reply.fields if field in wanted] == wanted


@pytest.mark.parametrize(
    "field", ["X-Forwarded-Host: evil.test", "X-Original-URL: /admin", "X-HTTP-Method-Override: POST"]
)
async def test_what_may_have_been_made_for_another_host_is_for_its_client_only(web: Web, field: str) -> None:
    """RFC 9111 section 7.1: a field that is no part of the key could poison what others get."""
    page = web.page(says(FRESH))

    name = field.partition(":")[0].lower()
    assert (await page.get(field)).cache_status == f"asynccache; fwd=uri-miss; detail={name}"
    assert (await page.get()).text == "2"


async def test_a_get_with_content_is_the_origins(web: Web) -> None:
    """RFC 9110 section 9.3.1: its content may matter, and is no part of the key."""
    page = web.page(says(FRESH))
    await page.get()

    reply = await page.get(body=b"which")
    assert (reply.text, reply.cache_status) == ("2", "asynccache; fwd=bypass; detail=content")
    assert page.asked[1].body == b"which"
    assert (await page.get()).text == "1"
