"""Published attacks on caches, sent through the middleware: poisoning, deception, and keys that collide.

What can happen in both modes is tried in both. Those that the pure functions can show are in
`tests/http_rfc9111/test_published_cases.py` as well.
"""

from __future__ import annotations

import pytest

from asynccache import CachePolicy, HTTPConfig
from tests.http_middleware.attacked import MODES, Asked, Said, Target, bodies, said

both = pytest.mark.parametrize("mode", MODES)


FOREVER = "public, max-age=60"


def who(asked: Asked) -> Said:
    """Say who asked."""
    return said(f"for {asked.get('authorization')}{asked.get('cookie')}")


# -- Django -------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("control", ["max-age=60", "max-age=60, x-public", 'max-age=60, a="public"'])
async def test_django_cve_2026_35193_what_was_said_to_authorization(mode: str, control: str) -> None:
    """A page for Alice's Authorization became everyone's: it is stored only if it says that it is shared."""
    target = Target(lambda asked: who(asked)._replace(fields=[("cache-control", control)]), mode)
    alice = await target.get("/page", ("authorization", "alice"))
    others = [await target.get("/page", ("authorization", "bob")), await target.get()]

    assert "; stored" not in alice.cache_status
    assert alice.cache_status.endswith("; detail=authorization")
    assert bodies([alice, *others]) == ["for alice", "for bob", "for "]


@both
async def test_django_cve_2026_35193_the_fix_varies_by_authorization(mode: str) -> None:
    """With Vary: Authorization and a response that may be shared, every user has an own one."""
    target = Target(
        lambda asked: said(asked.get("authorization"), vary="Authorization", cache_control=FOREVER), mode
    )
    users = ["Basic YQ==", "basic YQ==", "Basic  YQ==", "Basic YQ=="]
    answers = [await target.get("/page", ("authorization", user)) for user in users]

    assert bodies(answers) == users
    assert [answer.hit for answer in answers] == [False, False, False, True]


@both
@pytest.mark.parametrize("vary", ["*", "Accept, *", "*, Accept", " * "])
async def test_django_cve_2026_6907_vary_any(mode: str, vary: str) -> None:
    """A response that varies by anything at all was stored and served: no request is ever known to match."""
    target = Target(lambda asked: said(asked.run, vary=vary, cache_control=FOREVER), mode)
    answers = [await target.get() for _ in range(2)]

    assert bodies(answers) == ["1", "2"]
    assert [answer.cache_status for answer in answers] == ["asynccache; fwd=uri-miss; detail=vary-any"] * 2


@both
@pytest.mark.parametrize("control", ["Private", "PRIVATE", "No-Store", "max-age=60 ,NO-STORE", "pRiVaTe,x"])
async def test_django_cve_2026_8404_directives_in_another_case(mode: str, control: str) -> None:
    """A directive in capitals was not seen, and the private page stored: names have no case."""
    target = Target(lambda asked: said(asked.run, cache_control=f"{control}, max-age=60"), mode)

    assert bodies([await target.get(), await target.get()]) == ["1", "2"]


@both
async def test_django_cve_2026_8404_look_alikes(mode: str) -> None:
    """A fix that looks for the text would keep out what only resembles a directive: tokens are compared."""
    control = 'max-age=60, x-private, no-stored, a="no-store, private"'
    target = Target(lambda asked: said(asked.run, cache_control=control), mode)

    assert bodies([await target.get(), await target.get()]) == ["1", "1"]


@both
@pytest.mark.parametrize(
    "vary", [" Cookie", "Cookie ", "\tcookie\t", "Accept-Encoding ,\tCookie ", ",,Cookie"]
)
async def test_django_cve_2026_48587_spaces_in_vary(mode: str, vary: str) -> None:
    """Padded, a name in Vary was not recognised, and one session's page went to others: names are trimmed."""
    target = Target(
        lambda asked: said(asked.get("cookie"), vary=vary, cache_control=FOREVER),
        mode,
        policy=CachePolicy(ttl=60, public=True),
    )
    sessions = ["s=alice", "s=bob", "s=alice"]
    answers = [await target.get("/page", ("cookie", session)) for session in sessions]

    assert bodies(answers) == sessions
    assert [answer.hit for answer in answers] == [False, False, True]


@both
async def test_django_cve_2026_48588_a_session_begun_beside_an_unrelated_cookie(mode: str) -> None:
    """A response that began a session was stored since some other cookie had come: Set-Cookie is enough."""

    def begin(asked: Asked) -> Said:
        return said(f"session {asked.run}", vary="Cookie", set_cookie=f"s={asked.run}", cache_control=FOREVER)

    target = Target(begin, mode, policy=CachePolicy(ttl=60, public=True))
    answers = [await target.get("/page", ("cookie", "theme=dark")) for _ in range(2)]

    assert bodies(answers) == ["session 1", "session 2"]
    assert [answer.header("set-cookie") for answer in answers] == ["s=1", "s=2"]


@both
async def test_django_cve_2026_113593_an_empty_field_is_not_an_absent_one(mode: str) -> None:
    """Whoever sent the field of Vary empty got what was stored for those without it, and the reverse."""

    def answer(asked: Asked) -> Said:
        sent = any(name == "x-tenant" for name, _ in asked.fields)
        return said("empty" if sent else "absent", vary="X-Tenant")

    target = Target(answer, mode)
    answers = [await target.get("/page", *fields) for fields in ([], [("x-tenant", "")], [])]

    assert bodies(answers) == ["absent", "empty", "absent"]


# -- Starlette, Litestar, fastapi-cache ---------------------------------------------------------------------

BAD_HOSTS = ["shop.test/admin?", "shop.test#", "shop.test?x=", "shop.test/", "a@shop.test", "shop.test\\x"]


@both
@pytest.mark.parametrize("host", BAD_HOSTS)
async def test_starlette_cve_2026_48710_a_host_with_a_path_in_it(mode: str, host: str) -> None:
    """A Host like ``shop.test/admin?`` made request.url another path: it is no host, so nothing is cached."""
    target = Target(lambda asked: said(f"{asked.run} {asked.get('host')}"), mode)
    attacks = [await target.get(hosts=[host]) for _ in range(2)]
    victim = await target.get()

    assert bodies(attacks) == [f"1 {host}", f"2 {host}"]
    assert attacks[0].cache_status == "asynccache; fwd=bypass; detail=host"
    assert victim.text == "3 shop.test"


@both
async def test_starlette_cve_2026_48710_invalidates_nothing_either(mode: str) -> None:
    """A write under an ambiguous Host does not remove what is stored for the true one."""
    target = Target(lambda asked: said(asked.run), mode)
    await target.get()
    for host in BAD_HOSTS:
        await target.ask("POST", "/page", hosts=[host])

    assert (await target.get()).hit


@both
async def test_litestar_cve_2026_25480_keys_of_unusual_characters(mode: str) -> None:
    """Folded or unseparated characters gave two URLs one file (``k-``, ``k45``): bytes are compared."""
    targets = ["/k-", "/k45", "/K", "/k", "/%E2%84%AA", "/%6B", "/%EF%AC%81", "/fi", "/%C3%A9", "/e%CC%81"]
    target = Target(lambda asked: said(asked.raw_path), mode)

    for hit in (False, True):
        answers = [await target.get(url) for url in targets]
        assert bodies(answers) == targets
        assert [answer.hit for answer in answers] == [hit] * len(targets)


@both
async def test_litestar_key_without_a_separator(mode: str) -> None:
    """``/itemsid=1`` poisoned ``/items?id=1``, their parts being joined bare: parts have their lengths."""
    targets = ["/itemsid=1", "/items?id=1", "/items%3Fid=1", "/items?id=1?", "/item?sid=1", "/items"]
    target = Target(lambda asked: said(f"{asked.raw_path} {asked.query}"), mode)
    answers = [await target.get(url) for url in targets]

    assert bodies(answers) == [
        f"{path} {query}" for path, _, query in (url.partition("?") for url in targets)
    ]
    assert not any(answer.hit for answer in answers)


@both
async def test_aspnet_2810_pairs_that_run_together(mode: str) -> None:
    """``key=12&key=34`` was ``key=1&key=234``: the query is part of the key as it was sent."""
    queries = [
        "key=12&key=34",
        "key=1&key=234",
        "key=1234",
        "key=34&key=12",
        "key=12&key=34&",
        "KEY=12&key=34",
    ]
    target = Target(lambda asked: said(asked.query), mode)

    assert bodies([await target.get(f"/page?{query}") for query in queries]) == queries


@both
async def test_litestar_replayed_a_session(mode: str) -> None:
    """Alice's body and her Set-Cookie went to Bob, though private: neither is kept."""

    def answer(asked: Asked) -> Said:
        return said(f"for {asked.run}", set_cookie=f"s={asked.run}", cache_control="private, no-store")

    target = Target(answer, mode, policy=CachePolicy(ttl=60, public=True))
    answers = [await target.get() for _ in range(2)]

    assert bodies(answers) == ["for 1", "for 2"]
    assert answers[1].header("set-cookie") == "s=2"


@both
async def test_litestar_ignored_host_and_vary(mode: str) -> None:
    """One tenant's page in one language went to all: Host, scheme and Vary are part of the key."""
    target = Target(
        lambda asked: said(f"{asked.get('host')} {asked.get('accept-language')}", vary="Accept-Language"),
        mode,
    )
    asked = [("a.test", "de"), ("b.test", "de"), ("a.test", "fr"), ("a.test", "de")]
    answers = [await target.get("/page", ("accept-language", lang), hosts=[host]) for host, lang in asked]

    assert bodies(answers) == [f"{host} {lang}" for host, lang in asked]
    assert [answer.hit for answer in answers] == [False, False, False, True]


@both
async def test_litestar_gave_gzip_to_a_client_that_asked_for_identity(mode: str) -> None:
    """Compressed bytes went to who cannot read them, without Vary: they answer who accepts the same."""

    def answer(asked: Asked) -> Said:
        zipped = asked.get("accept-encoding") == "gzip"
        return said("zipped", content_encoding="gzip") if zipped else said("plain")

    target = Target(answer, mode)
    zipped = await target.get("/page", ("accept-encoding", "gzip"))
    plain = [await target.get("/page", ("accept-encoding", "identity")), await target.get()]

    assert bodies([zipped, *plain]) == ["zipped", "plain", "plain"]


@both
async def test_litestar_stored_a_post(mode: str) -> None:
    """A POST to a cached path was stored for ever, one entry for each query: only GET is stored."""
    target = Target(lambda asked: said(f"{asked.method} {asked.run}"), mode)
    posts = [await target.ask("POST", "/page?n=1") for _ in range(2)]

    assert bodies(posts) == ["POST 1", "POST 2"]
    assert (await target.get("/page?n=1")).text == "GET 3"


@both
async def test_fastapi_cache_gave_alices_page_to_bob(mode: str) -> None:
    """``/me`` was keyed by the function's arguments: cookies and API keys keep a response out."""
    target = Target(lambda asked: said(f"{asked.get('cookie')}{asked.get('x-api-key')}"), mode)
    people = [("cookie", "s=alice"), ("cookie", "s=bob"), ("x-api-key", "alice"), ("x-api-key", "bob")]
    answers = [await target.get("/me", field) for field in people]

    assert bodies(answers) == [value for _, value in people]
    assert bodies([await target.get("/me")]) == [""]


@both
async def test_fastapi_cache_lost_status_and_fields(mode: str) -> None:
    """A hit came as 200 without its fields: what is replayed is the response, or nothing is."""
    target = Target(
        lambda _: said("gone", 410, x_reason="sold"), mode, policy=CachePolicy(ttl=60, statuses=(410,))
    )
    first, again = await target.get(), await target.get()

    assert again.hit
    assert (again.status, again.fields()) == (410, first.fields())


@both
async def test_vinext_text_that_decodes_alike(mode: str) -> None:
    """Bytes that all decode to U+FFFD, and commas, made one key of several: bytes are compared."""
    values = ["\xff", "\xfe", "\xef\xbf\xbd", "a,b", "a", ""]
    target = Target(lambda asked: said(asked.get("x-tenant").encode("latin-1").hex(), vary="X-Tenant"), mode)
    answers = [await target.get("/page", ("x-tenant", value)) for value in values]

    assert bodies(answers) == [value.encode("latin-1").hex() for value in values]


@both
async def test_litellm_cve_2026_35030_tokens_with_the_same_beginning(mode: str) -> None:
    """Only the beginning of a token was the key, and an attacker's token began so too: all of it counts."""
    alice = "Bearer " + "eyJhbGciOiJSUzI1NiJ9." * 20
    tokens = [alice + "alice", alice + "mallory", alice]
    target = Target(
        lambda asked: said(asked.get("authorization"), vary="Authorization", cache_control=FOREVER), mode
    )

    assert bodies([await target.get("/page", ("authorization", token)) for token in tokens]) == tokens


# -- unkeyed input ------------------------------------------------------------------------------------------

OVERRIDES = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
]


@both
@pytest.mark.parametrize("field", OVERRIDES)
async def test_kettle_2018_unkeyed_fields(mode: str, field: str) -> None:
    """A field that overrides host, path or method changes the page for all: with it nothing is stored."""
    target = Target(
        lambda asked: said(f"//{asked.get(field, 'shop.test')}/app.js", cache_control=FOREVER),
        mode,
        policy=CachePolicy(ttl=60, public=True),
    )
    attack = await target.get("/page", (field, "evil.test"))
    victim = await target.get()
    after = await target.get("/page", (field, "evil.test"))

    assert attack.text == "//evil.test/app.js"
    assert attack.cache_status.endswith(f"; detail={field}")
    assert bodies([victim, after]) == ["//shop.test/app.js"] * 2


@both
@pytest.mark.parametrize("field", ["x-forwarded-host", "x-http-method-override"])
async def test_kettle_2018_unkeyed_fields_cannot_lead_others(mode: str, field: str) -> None:
    """Who waits for the attacker's request, being sent at the same time, gets an answer of its own."""
    target = Target(lambda asked: said(asked.get(field, "mine")), mode)
    attack = target.site.start("/page", [(field, "evil")])
    victims = await target.site.client.gather(3, "/page")

    assert (await attack.answer()).text == "evil"
    assert bodies(victims) == ["mine"] * 3


@both
@pytest.mark.parametrize(
    "length", [("content-length", "4"), ("transfer-encoding", "chunked"), ("content-length", "04")], ids=str
)
async def test_fat_get(mode: str, length: tuple[str, str]) -> None:
    """Parameters read from the body of a GET poison the page: what has a body stays out of the cache."""
    target = Target(lambda asked: said(asked.body.decode() or "page"), mode, reads_body=True)
    attack = await target.get("/page", length, body=b"evil")
    victim = await target.get()

    assert (attack.text, victim.text) == ("evil", "page")
    assert attack.cache_status == "asynccache; fwd=bypass; detail=content"


@both
async def test_fat_get_without_a_length(mode: str) -> None:
    """HTTP/2 has bodies whose length no field tells: the answer of who has read one is kept out."""
    target = Target(lambda asked: said(asked.body.decode() or "page"), mode, reads_body=True)
    attack = await target.get("/page", body=b"evil", http_version="2")
    victim = await target.get()

    assert (attack.text, victim.text) == ("evil", "page")


@both
async def test_hop_by_hop_abuse(mode: str) -> None:
    """A gateway drops what Connection names, Accept-Language say: its answer is not for all who send that."""

    def gateway(asked: Asked) -> Said:
        dropped = {name.strip().lower() for name in asked.get("connection").split(",")}
        language = "default" if "accept-language" in dropped else asked.get("accept-language")
        return said(language, vary="Accept-Language")

    target = Target(gateway, mode)
    attack = await target.get("/page", ("accept-language", "de"), ("connection", "close, Accept-Language"))
    victim = await target.get("/page", ("accept-language", "de"), ("connection", "keep-alive, TE"))

    assert (attack.text, victim.text) == ("default", "de")
    assert victim.cache_status.endswith("; stored")


# -- targets ------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("target_form", ["http://evil.test/page", "*", "evil.test:443", "page", ""])
async def test_targets_that_are_no_path(mode: str, target_form: str) -> None:
    """Servers hand on an absolute-form target as a path, beside another Host: it stays out of the cache."""
    target = Target(lambda asked: said(asked.run), mode)
    answers = [await target.get(target_form) for _ in range(2)]

    assert bodies(answers) == ["1", "2"]
    assert answers[0].cache_status == "asynccache; fwd=bypass; detail=host"


@both
@pytest.mark.parametrize(
    "hosts", [["shop.test", "evil.test"], ["evil.test", "shop.test"], ["shop.test"] * 2, []]
)
async def test_host_ambiguity(mode: str, hosts: list[str]) -> None:
    """Of two Hosts the cache may take one and the application the other: both servers and apps disagree."""
    target = Target(lambda asked: said(f"{asked.run} {asked.get('host')}"), mode)
    attack = await target.get(hosts=hosts)
    victim = await target.get()

    assert attack.cache_status == "asynccache; fwd=bypass; detail=host"
    assert victim.text == "2 shop.test"


@both
async def test_key_normalisation_differences(mode: str) -> None:
    """A cache that decodes, folds or resolves a path serves one page for another: nothing is normalised."""
    targets = [
        "/a/b",
        "/a%2fb",
        "/a%2Fb",
        "/a/./b",
        "/a/x/../b",
        "//a/b",
        "/a//b",
        "/a/b/",
        "/a;x/b",
        "/A/b",
        "/a%00/b",
        "/a\\b",
        "/%ff",
        "/%fe",
        "/%EF%BF%BD",
        "/a/b?",
        "/a/b?x#f",
        "/a/b?x",
        "/a/b#f",
    ]
    target = Target(lambda asked: said(asked.run), mode)
    answers = [await target.get(url) for url in targets]

    runs: list[str] = bodies(answers)
    assert len(set(runs)) == len(targets) - (1 if runs[0] == runs[15] else 0)  # "?" alone is an empty query


@both
@pytest.mark.parametrize("target_form", ["/a\x00b", "/a\r\nHost: x", "/a b", "/a?x=\x7f", "/a?\n"])
async def test_control_bytes_in_a_target(mode: str, target_form: str) -> None:
    """Bytes that no request line can hold come from a server that parses differently: they are not cached."""
    target = Target(lambda asked: said(asked.run), mode)

    assert bodies([await target.get(target_form), await target.get(target_form)]) == ["1", "2"]


# -- the wrong kind of response -----------------------------------------------------------------------------


@both
async def test_gil_2017_web_cache_deception(mode: str) -> None:
    """A victim is led to ``/account/logo.css``, which shows the account: no suffix makes a page public."""

    def account(asked: Asked) -> Said:
        return said(
            f"account of {asked.get('cookie')}",
            content_type="text/html",
            last_modified=LONG_AGO,
            cache_control="x-nothing",
        )

    http = HTTPConfig(mode="rfc9111", heuristic=True) if mode == "rfc9111" else None
    target = Target(account, mode, http=http)
    victim = await target.get("/account/logo.css", ("cookie", "s=alice"))
    attacker = await target.get("/account/logo.css")

    assert (victim.text, attacker.text) == ("account of s=alice", "account of ")


LONG_AGO = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("status", [400, 403, 411, 413, 429, 431, 500, 502, 503])
async def test_cpdos_errors_that_a_request_provokes(status: int) -> None:
    """A header too long makes an error that replaces the page: errors are not stored unless they say so."""
    target = Target(
        lambda asked: (
            said("error", status, cache_control="x-nothing", last_modified=LONG_AGO)
            if asked.get("x-oversized")
            else said("page")
        ),
        http=HTTPConfig(mode="rfc9111", heuristic=True),
    )
    attack = await target.get("/page", ("x-oversized", "x" * 10_000))
    victim = await target.get()

    assert (attack.status, victim.text) == (status, "page")


@pytest.mark.parametrize("status", [204, 404, 410])
async def test_nextjs_cve_2025_49826_an_empty_answer_that_nobody_asked_to_keep(status: int) -> None:
    """A 204 provoked by one request emptied the page for all: without a lifetime it is not stored."""
    target = Target(
        lambda asked: said("", status, cache_control="x-nothing") if asked.get("purpose") else said("page")
    )
    await target.get("/page", ("purpose", "prefetch"))

    assert (await target.get()).text == "page"


@both
async def test_a_head_is_not_a_get(mode: str) -> None:
    """The answer to a HEAD has no body: stored as that of the GET, it would empty the page."""
    target = Target(lambda asked: said(f"page {asked.run}"), mode)
    head = await target.ask("HEAD")
    page = await target.get()
    again = await target.ask("HEAD")

    assert (head.body, page.text, page.hit) == (b"", "page 2", False)
    assert (again.body, again.hit, again.header("content-length")) == (b"", True, "6")


@both
async def test_a_part_is_not_the_whole(mode: str) -> None:
    """A client asks for four bytes, and everyone gets those: parts are parts, whatever they look like."""
    target = Target(
        lambda asked: (
            said("evil", 206, content_range="bytes 0-3/13", etag='"v"')
            if asked.get("range")
            else said("whole content", etag='"v"')
        ),
        mode,
    )
    part = await target.get("/page", ("range", "bytes=0-3"))
    victim = await target.get()

    assert (part.status, victim.status, victim.text) == (206, 200, "whole content")


@both
@pytest.mark.parametrize(
    "value", [None, "bytes 0-3/*", "bytes 9-12/4", "bytes 0-9/13", "items 0-3/4", "bytes */4"]
)
async def test_a_part_that_does_not_say_which(mode: str, value: str | None) -> None:
    """A 206 with a Content-Range that is missing or cannot be is passed on and never used again."""
    fields = [] if value is None else [("content-range", value)]
    target = Target(lambda asked: said("evil", 206, fields) if asked.get("range") else said("whole"), mode)
    await target.get("/page", ("range", "bytes=0-3"))

    assert (await target.get()).text == "whole"


@both
async def test_a_part_in_the_guise_of_a_whole(mode: str) -> None:
    """An application answers a range with 200 and Content-Range: its bytes are not the page for all."""
    target = Target(
        lambda asked: (
            said("evil", content_range="bytes 0-3/13") if asked.get("range") else said("whole content")
        ),
        mode,
    )
    await target.get("/page", ("range", "bytes=0-3"))

    assert (await target.get()).text == "whole content"


@both
async def test_a_304_for_one_client_is_not_the_page(mode: str) -> None:
    """A 304 to a client's own condition would be an empty page for all: no 304 is stored."""
    target = Target(
        lambda asked: said("", 304, etag='"v"') if asked.get("if-none-match") else said("page", etag='"v"'),
        mode,
    )
    first = await target.get("/page", ("if-none-match", '"v"'))
    victim = await target.get()

    assert (first.status, victim.status, victim.text) == (304, 200, "page")


@both
@pytest.mark.parametrize(
    "field, value",
    [
        ("x-evil", "a\r\nset-cookie: s=1"),
        ("x-evil", "a\nb"),
        ("x-evil", "a\rb"),
        ("x-evil", "a\x00b"),
        ("x-evil", "\r\n\r\n<script>"),
        ("x\r\ny", "a"),
        ("x-evil: a\nset-cookie", "s=1"),
    ],
)
async def test_response_splitting(mode: str, field: str, value: str) -> None:
    """A field that holds another, or an end of line, is written out anew for every hit: it is not stored."""
    target = Target(lambda asked: said(asked.run, fields=[(field, value)]), mode)

    assert bodies([await target.get(), await target.get()]) == ["1", "2"]


@both
@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND", "SEARCH", "FROBNICATE", "get", "POST"])
async def test_other_methods_are_not_stored(mode: str, method: str) -> None:
    """TRACE shows the cookies of who sent it, and others what only they ask for: only GET fills the cache."""
    target = Target(lambda asked: said(f"{asked.method} {asked.get('cookie')}"), mode)
    await target.ask(method, "/page", ("cookie", "s=alice"))

    assert (await target.get()).text == "GET "
