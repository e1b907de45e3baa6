"""The safety table of DESIGN.md section 5, row by row, in every spelling of the three frameworks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from asynccache import CachePolicy, HTTPConfig, InMemoryBackend
from asynccache.testing import FakeClock
from tests.frameworks.framework_apps import Counting, Page, Spelling
from tests.http_middleware.asgi_client import Headers

ALICE: Headers = [("authorization", "Bearer alice")]
BOB: Headers = [("authorization", "Bearer bob")]
NOBODY: Headers = []


def page(handler: Counting, policy: CachePolicy, path: str = "/page") -> Page:
    return Page(path, handler, policy)


def authorization(request: Request) -> str | None:
    return request.headers.get("authorization")


def user(request: Request) -> str:
    return request.headers["x-user"]


def echo(request: Request, run: int) -> Response:
    """Say who asked."""
    return PlainTextResponse(f"{run}: {request.headers.get('authorization')} {request.headers.get('cookie')}")


# -- requests with credentials ------------------------------------------------------------------------------


async def test_authorization_bypasses(spelling: Spelling, caplog: pytest.LogCaptureFixture) -> None:
    """A request with Authorization is neither answered from the cache nor stored, and one warning says so."""
    handler = Counting(echo)
    async with spelling.serve([page(handler, CachePolicy(ttl=60))]) as client:
        with caplog.at_level(logging.WARNING, "asynccache"):
            alice = [await client.get("/page", ALICE) for _ in range(3)]
        anonymous = await client.get("/page")
        bob = await client.get("/page", BOB)
        stored = await client.get("/page")

    assert [answer.text for answer in alice] == [f"{n}: Bearer alice None" for n in (1, 2, 3)]
    assert alice[0].cache_status == "asynccache; fwd=uri-miss; detail=authorization"
    assert [record.levelname for record in caplog.records if "authorization" in record.message] == ["WARNING"]
    assert anonymous.text == "4: None None"
    assert bob.text == "5: Bearer bob None"
    assert bob.cache_status == "asynccache; fwd=bypass; detail=authorization"
    assert (stored.hit, stored.text) == (True, "4: None None")


async def test_authorization_is_ignored_by_a_public_route(spelling: Spelling) -> None:
    """``public=True`` says that the response is the same for everyone who may ask."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=True))]) as client:
        answers = [
            await client.get("/page", headers) for headers in (ALICE, BOB, NOBODY, [("cookie", "a=b")])
        ]

    assert [answer.text for answer in answers] == ["run 1"] * 4
    assert [answer.hit for answer in answers] == [False, True, True, True]


@pytest.mark.parametrize("control", ["public", "public, max-age=5", "s-maxage=5"])
async def test_authorization_shares_only_what_says_itself_that_it_may_be_shared(
    spelling: Spelling, control: str
) -> None:
    """Without vary_on or public, an explicitly public response to Authorization is stored and shared."""
    handler = Counting(lambda _, run: PlainTextResponse(f"{run}", headers={"cache-control": control}))
    async with spelling.serve([page(handler, CachePolicy(ttl=60))]) as client:
        answers = [await client.get("/page", headers) for headers in (ALICE, BOB, NOBODY)]

    assert [answer.text for answer in answers] == ["1"] * 3


@pytest.mark.parametrize(
    "control", ["private", "max-age=60", "must-revalidate", "public, private", "s-maxage=0", 'x="public"']
)
async def test_authorization_is_not_shared_by_anything_less(spelling: Spelling, control: str) -> None:
    """Any other Cache-Control leaves the answer with the one who asked."""
    handler = Counting(lambda _, run: PlainTextResponse(f"{run}", headers={"cache-control": control}))
    async with spelling.serve([page(handler, CachePolicy(ttl=60))]) as client:
        answers = [await client.get("/page", headers) for headers in (ALICE, ALICE, BOB, NOBODY)]

    assert [answer.text for answer in answers] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("field", ["x-api-key", "x-auth-token", "private-token"])
async def test_an_api_key_bypasses(spelling: Spelling, field: str, caplog: pytest.LogCaptureFixture) -> None:
    """Credentials in a field of the application's own are credentials: alice's answer is not bob's."""
    handler = Counting(lambda request, run: PlainTextResponse(f"{run}: {request.headers.get(field)}"))
    async with spelling.serve([page(handler, CachePolicy(ttl=60))]) as client:
        with caplog.at_level(logging.WARNING, "asynccache"):
            keyed = [await client.get("/page", [(field, name)]) for name in ("alice", "bob", "alice")]
        anonymous = [await client.get("/page") for _ in range(2)]
        again = await client.get("/page", [(field, "bob")])

    assert [answer.text for answer in keyed] == ["1: alice", "2: bob", "3: alice"]
    assert keyed[0].cache_status == f"asynccache; fwd=bypass; detail={field}"
    assert len([record for record in caplog.records if field in record.message]) == 1
    assert [answer.text for answer in anonymous] == ["4: None"] * 2
    assert again.text == "5: bob"


async def test_an_api_key_in_vary_keeps_users_apart(spelling: Spelling) -> None:
    """With the field in ``vary`` each key has responses of its own."""
    handler = Counting(lambda request, run: PlainTextResponse(f"{run}: {request.headers.get('x-api-key')}"))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, vary=("x-api-key",)))]) as client:
        answers = [
            await client.get("/page", [("x-api-key", name)]) for name in ("alice", "bob", "alice", "bob")
        ]

    assert [answer.text for answer in answers] == ["1: alice", "2: bob", "1: alice", "2: bob"]
    assert [answer.hit for answer in answers] == [False, False, True, True]


async def test_any_cookie_bypasses(spelling: Spelling, caplog: pytest.LogCaptureFixture) -> None:
    """A request with a cookie is neither answered from the cache nor stored, and one warning says so."""
    handler = Counting(echo)
    async with spelling.serve([page(handler, CachePolicy(ttl=60))]) as client:
        with caplog.at_level(logging.WARNING, "asynccache"):
            first = await client.get("/page", [("cookie", "session=alice")])
            again = await client.get("/page", [("cookie", "session=alice")])
        anonymous = await client.get("/page")
        bob = await client.get("/page", [("cookie", "theme=dark")])

    assert first.cache_status == "asynccache; fwd=bypass; detail=cookie"
    assert [first.text[0], again.text[0], anonymous.text[0], bob.text[0]] == ["1", "2", "3", "4"]
    assert len([record for record in caplog.records if "cookie" in record.message]) == 1


async def test_no_cookie_matters_where_the_policy_says_so(spelling: Spelling) -> None:
    """``cookies=()``: whatever cookies come, the response is the same."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, cookies=()))]) as client:
        answers = [await client.get("/page", [("cookie", cookie)]) for cookie in ("a=1", "b=2")]

    assert [answer.text for answer in answers] == ["run 1", "run 1"]


async def test_named_cookies_keep_responses_apart(spelling: Spelling) -> None:
    """``cookies=("lang",)``: one response per value of that cookie, in whatever line or company it comes."""
    handler = Counting()
    policy = CachePolicy(ttl=60, cookies=("lang",))
    sent: list[Headers] = [
        [("cookie", "lang=de; session=alice")],
        [("cookie", "session=bob;lang=de")],
        [("cookie", "session=bob"), ("cookie", "lang=de")],
        [("cookie", "lang=fr")],
        [("cookie", "lang=de; lang=fr")],
        [("cookie", "Lang=de")],
        [("cookie", "lang=")],
        [],
    ]
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page", headers) for headers in sent]

    assert [answer.text for answer in answers] == [f"run {n}" for n in (1, 1, 1, 2, 3, 4, 5, 4)]


async def test_vary_on_keeps_users_apart(spelling: Spelling) -> None:
    """Each user gets what was produced for that user, and only that; who cannot be told bypasses."""
    handler = Counting(echo)
    policy = CachePolicy(ttl=60, vary_on=authorization)
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page", headers) for headers in (ALICE, BOB, ALICE, BOB, NOBODY, NOBODY)]

    assert [answer.text for answer in answers] == [
        "1: Bearer alice None",
        "2: Bearer bob None",
        "1: Bearer alice None",
        "2: Bearer bob None",
        "3: None None",
        "4: None None",
    ]
    assert answers[4].cache_status == "asynccache; fwd=bypass; detail=vary-on"


async def test_vary_on_may_be_asynchronous_and_return_any_value(spelling: Spelling) -> None:
    """What tells users apart may have to be awaited; values of different types are different users."""

    async def tenant(request: Request) -> object:
        name = request.headers["x-tenant"]
        return int(name) if name.isdigit() else [name]

    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, vary_on=tenant))]) as client:
        tenants = ("1", "one", "1", "one", "['one']")
        answers = [await client.get("/page", [("x-tenant", name)]) for name in tenants]

    assert [answer.text for answer in answers] == [f"run {n}" for n in (1, 2, 1, 2, 3)]


async def test_more_than_32_users_are_kept_apart_and_cached(spelling: Spelling) -> None:
    """The bound on variants is against header values that clients invent, not against having users."""
    handler = Counting()
    policy = CachePolicy(ttl=60, vary_on=user)
    async with spelling.serve([page(handler, policy)]) as client:
        for name in range(40):
            await client.get("/page", [("x-user", str(name))])
        answers = [await client.get("/page", [("x-user", str(name))]) for name in range(40)]

    assert [answer.text for answer in answers] == [f"run {n + 1}" for n in range(40)]


# -- responses that are never stored ------------------------------------------------------------------------


async def never_stored(
    spelling: Spelling, policy: CachePolicy, respond: Callable[[Request, int], Response], reason: str
) -> None:
    """Ask three times: the handler answers each time, the same as without a cache, and the reason is told."""
    handler = Counting(respond)
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page") for _ in range(3)]
    assert handler.runs == 3
    for answer in answers:
        assert answer.cache_status.endswith(f"; detail={reason}")
        assert "stored" not in answer.cache_status


def with_header(name: str, value: str) -> Callable[[Request, int], Response]:
    return lambda _, run: PlainTextResponse(f"{run}", headers={name: value})


@pytest.mark.parametrize("name", ["set-cookie", "Set-Cookie", "SET-COOKIE2"])
async def test_set_cookie_is_never_stored(spelling: Spelling, public: bool, name: str) -> None:
    """A response with Set-Cookie is for its one client, whatever the route says."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), with_header(name, "session=1"), "set-cookie"
    )


@pytest.mark.parametrize("value", ["private", "PRIVATE", 'private="x-user"', "max-age=60 , Private"])
async def test_private_is_never_stored(spelling: Spelling, public: bool, value: str) -> None:
    """Cache-Control: private, in any case and form, wins over the route's policy."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), with_header("cache-control", value), "private"
    )


@pytest.mark.parametrize("value", ["no-store", "public, No-Store", "max-age=60;no-store"])
async def test_no_store_is_never_stored(spelling: Spelling, public: bool, value: str) -> None:
    """Cache-Control: no-store, in any case and form, wins over the route's policy."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), with_header("Cache-Control", value), "no-store"
    )


@pytest.mark.parametrize("value", ["*", "accept, *", "accept language"])
async def test_vary_star_is_never_stored(spelling: Spelling, public: bool, value: str) -> None:
    """A response that varies by everything, or by something no request can have, answers nobody else."""
    await never_stored(spelling, CachePolicy(ttl=60, public=public), with_header("vary", value), "vary-any")


async def test_206_is_never_stored(spelling: Spelling, public: bool) -> None:
    """A part is not the whole."""
    await never_stored(
        spelling,
        CachePolicy(ttl=60, public=public),
        lambda _, run: PlainTextResponse("part", 206, {"content-range": "bytes 0-3/10"}),
        "partial",
    )


async def test_content_range_under_200_is_never_stored(spelling: Spelling, public: bool) -> None:
    """A 200 that says it is a part is not stored either."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), with_header("content-range", "bytes 0-3/10"), "partial"
    )


async def test_1xx_is_never_stored(spelling: Spelling, public: bool) -> None:
    """An interim status is no response."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), lambda _, __: Response(status_code=103), "status"
    )


class WithTrailers(Response):
    """Sends trailers behind its body."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send head, body, trailers."""
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body", "more_body": False})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False})


async def test_trailers_are_never_stored(spelling: Spelling, public: bool) -> None:
    """A response with trailers passes, trailers included, and is not stored without them."""
    handler = Counting(lambda _, __: WithTrailers())
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for run in (1, 2):
            answer = await client.get("/page")
            assert handler.runs == run
            assert answer.messages[-1] == {
                "type": "http.response.trailers",
                "headers": [(b"x-sum", b"1")],
                "more_trailers": False,
            }
            assert answer.cache_status.endswith("; detail=trailers")


class Pieces(Response):
    """Sends the pieces of a body under a Content-Length; an exception among them is raised in its place."""

    def __init__(self, length: int | None, *pieces: bytes | Exception) -> None:
        self.length = length
        self.pieces = pieces
        self.background = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        headers = [] if self.length is None else [(b"content-length", b"%d" % self.length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


@pytest.mark.parametrize("length", [None, 6])
async def test_failed_body_is_never_stored(spelling: Spelling, public: bool, length: int | None) -> None:
    """What was sent before an exception is no response for others."""
    handler = Counting(lambda _, __: Pieces(length, b"abc", OSError("disk")))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for run in (1, 2):
            ongoing = client.start("/page")
            answer = await ongoing.answer_despite_error()
            assert (handler.runs, answer.body) == (run, b"abc")


@pytest.mark.parametrize("length", [2, 9])
async def test_body_of_another_length_is_never_stored(spelling: Spelling, public: bool, length: int) -> None:
    """A body that is shorter or longer than its Content-Length passes as it is and is not stored."""
    handler = Counting(lambda _, __: Pieces(length, b"abc", b"def"))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for run in (1, 2):
            answer = await client.get("/page")
            assert (handler.runs, answer.body) == (run, b"abcdef")


# -- statuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 301, 308])
async def test_default_statuses_are_stored_and_replayed(
    spelling: Spelling, public: bool, status: int
) -> None:
    """200 and the permanent redirects are stored, and come back with their status and fields."""
    handler = Counting(lambda _, run: PlainTextResponse(f"{run}", status, {"location": "/there"}))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        miss, hit = await client.get("/page"), await client.get("/page")

    assert (handler.runs, miss.status, hit.status, hit.hit) == (1, status, status, True)
    assert (hit.body, hit.fields()) == (miss.body, miss.fields())


@pytest.mark.parametrize(
    "status", [201, 202, 203, 204, 300, 302, 303, 304, 307, 400, 401, 403, 404, 410, 429, 500, 503]
)
async def test_other_statuses_are_not_stored(spelling: Spelling, public: bool, status: int) -> None:
    """No other status is stored unless the policy says so, and a failure never."""
    await never_stored(
        spelling, CachePolicy(ttl=60, public=public), lambda _, __: Response(status_code=status), "status"
    )


@pytest.mark.parametrize("status", [203, 204, 300, 404, 405, 410, 414, 501])
async def test_allowed_statuses_are_replayed_exactly(spelling: Spelling, public: bool, status: int) -> None:
    """A status that the policy allows comes back as it was, with no field more or less."""
    handler = Counting(lambda _, __: Response(b"" if status == 204 else b"body", status, {"x-a": "1"}))
    policy = CachePolicy(ttl=60, public=public, statuses=[status])
    async with spelling.serve([page(handler, policy)]) as client:
        miss, hit = await client.get("/page"), await client.get("/page")

    assert (handler.runs, hit.status, hit.hit) == (1, status, True)
    assert (hit.body, hit.fields()) == (miss.body, miss.fields())


# -- methods ------------------------------------------------------------------------------------------------


async def test_head_is_answered_from_get_and_never_stored(spelling: Spelling, public: bool) -> None:
    """HEAD gets the head of the stored GET; a HEAD's own answer is stored for nobody."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        early = await client.request("HEAD", "/page")
        get = await client.get("/page")
        head = await client.request("HEAD", "/page")
        again = await client.get("/page")

    assert handler.runs == 2
    assert early.cache_status == "asynccache; fwd=uri-miss; detail=head"
    assert (get.text, again.text, again.hit) == ("run 2", "run 2", True)
    assert (head.hit, head.status, head.body) == (True, 200, b"")
    assert head.header("content-length") == "5"
    assert head.fields() == again.fields()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_unsafe_methods_are_never_stored(spelling: Spelling, public: bool, method: str) -> None:
    """A policy on a route for several methods concerns GET and HEAD only."""
    handler = Counting()
    shared = Page("/page", handler, CachePolicy(ttl=60, public=public), ("GET", "HEAD", method))
    async with spelling.serve([shared]) as client:
        unsafe = [await client.request(method, "/page", body=b"x") for _ in range(2)]
        get = await client.get("/page")

    assert [answer.text for answer in unsafe] == ["run 1", "run 2"]
    assert (get.text, get.hit) == ("run 3", False)


WRITES: Headers = [("content-type", "text/plain")]


def writing(status: int = 200, **headers: str) -> Counting:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Counting(lambda _, __: PlainTextResponse("written", status, fields))


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
async def test_put_invalidates_the_uri_and_location(spelling: Spelling, public: bool, method: str) -> None:
    """A successful unsafe request removes its own URI and those that Location and Content-Location name."""
    handler = Counting()
    policy = CachePolicy(ttl=60, public=public)
    write = writing(201, location="http://shop.test/other", content_location="/third?x=1")
    pages = [page(handler, policy, path) for path in ("/page", "/other", "/third", "/kept")]
    targets = ("/page", "/other", "/third?x=1", "/kept", "/third")
    async with spelling.serve([*pages, Page("/page", write, None, (method,))]) as client:
        for target in targets:
            await client.get(target)
        await client.request(method, "/page", WRITES)
        hits = [(await client.get(target)).hit for target in targets]

    assert hits == [False, False, False, True, True]


async def test_put_on_a_marked_route_invalidates_too(spelling: Spelling, public: bool) -> None:
    """It makes no difference whether the route that is written to has a policy itself."""
    handler = Counting()
    both = Page("/page", handler, CachePolicy(ttl=60, public=public), ("GET", "HEAD", "PUT"))
    async with spelling.serve([both]) as client:
        await client.get("/page")
        await client.request("PUT", "/page")
        after = await client.get("/page")

    assert (after.hit, after.text) == (False, "run 3")


@pytest.mark.parametrize("status", [400, 404, 409, 500])
async def test_failed_put_invalidates_nothing(spelling: Spelling, public: bool, status: int) -> None:
    """Who may not write cannot empty the cache."""
    handler = Counting()
    policy = CachePolicy(ttl=60, public=public)
    pages = [page(handler, policy), Page("/page", writing(status, location="/page"), None, ("PUT",))]
    async with spelling.serve(pages) as client:
        await client.get("/page")
        await client.request("PUT", "/page")
        assert (await client.get("/page")).hit


@pytest.mark.parametrize(
    "location",
    ["http://other.test/other", "https://shop.test/other", "//other.test/other", "http://shop.test:81/other"],
)
async def test_put_does_not_invalidate_other_origins(spelling: Spelling, public: bool, location: str) -> None:
    """A Location at another origin is not ours to remove, whichever of our paths it resembles."""
    handler = Counting()
    policy = CachePolicy(ttl=60, public=public)
    pages = [page(handler, policy, "/other"), Page("/page", writing(201, location=location), None, ("PUT",))]
    async with spelling.serve(pages) as client:
        await client.get("/other")
        await client.request("PUT", "/page")
        assert (await client.get("/other")).hit


# -- the key ------------------------------------------------------------------------------------------------


def path_of(request: Request, run: int) -> Response:
    return PlainTextResponse(f"{run} {request.scope['raw_path']!r}")


AMBIGUOUS = {"/f/a%2fb", "/f/a%2Fb", "/f/a//b", "/f/%ff", "/f/%fe", "/f/%EF%BF%BD", "/f/%80"}
"""Targets that an application may read as others."""


async def test_key_uses_raw_path(spelling: Spelling, public: bool) -> None:
    """Paths that differ on the wire differ in the cache, whatever they decode to."""
    handler = Counting(path_of)
    targets = [
        "/f/a%2fb",
        "/f/a/b",
        "/f/a%2Fb",
        "/f/%61/b",
        "/f/a;x=1/b",
        "/f/a//b",
        "/f/a/b/",
        "/f/a%20b",
        "/f/a+b",
    ]
    async with spelling.serve(
        [page(handler, CachePolicy(ttl=60, public=public), "/f/{rest:path}")]
    ) as client:
        for hit in (False, True):
            for number, target in enumerate(targets, 1):
                answer = await client.get(target)
                stored = hit and not (spelling.plain_paths_only and target in AMBIGUOUS)
                assert answer.hit == stored
                assert answer.text.endswith(f" {target.encode()!r}")
                assert stored != hit or answer.text.startswith(f"{number} ")


async def test_paths_that_are_not_utf8_are_kept_apart(spelling: Spelling, public: bool) -> None:
    """Different bytes that all decode to U+FFFD are different paths."""
    handler = Counting(path_of)
    targets = ["/f/%ff", "/f/%fe", "/f/%EF%BF%BD", "/f/%80"]
    async with spelling.serve(
        [page(handler, CachePolicy(ttl=60, public=public), "/f/{rest:path}")]
    ) as client:
        for hit in (False, True):
            for number, target in enumerate(targets, 1):
                answer = await client.get(target)
                stored = hit and not (spelling.plain_paths_only and target in AMBIGUOUS)
                assert answer.hit == stored
                assert answer.text.endswith(f" {target.encode()!r}")
                assert stored != hit or answer.text.startswith(f"{number} ")


async def test_path_and_query_cannot_pass_for_each_other(spelling: Spelling, public: bool) -> None:
    """``/f/itemsid=1`` is not ``/f/items?id=1``, nor is an encoded question mark a real one."""
    handler = Counting()
    targets = [
        "/f/items?id=1",
        "/f/itemsid=1",
        "/f/items%3Fid=1",
        "/f/items?id=",
        "/f/items?id",
        "/f/items?",
        "/f/item?sid=1",
    ]
    async with spelling.serve(
        [page(handler, CachePolicy(ttl=60, public=public), "/f/{rest:path}")]
    ) as client:
        texts = [(await client.get(target)).text for target in targets]

    assert texts == ["run 1", "run 2", "run 3", "run 4", "run 5", "run 6", "run 7"]


async def test_host_and_scheme_are_part_of_the_key(spelling: Spelling, public: bool) -> None:
    """Tenants by host get their own; case and the default port make no difference."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        hosts = ["a.test", "b.test", "A.TEST:80", "a.test:8080", "[::1]"]
        answers = [await client.get("/page", hosts=[host]) for host in hosts]
        secure = await client.get("/page", hosts=["a.test"], scheme="https")

    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1", "run 3", "run 4"]
    assert secure.text == "run 5"


BAD_HOSTS = [
    ["shop.test", "shop.test"],
    ["shop.test", "evil.test"],
    [],
    [""],
    ["shop.test/evil"],
    ["shop.test?x"],
    ["shop.test#x"],
    ["user@shop.test"],
    ["shop.test,evil.test"],
    ["shop test"],
    ["shop.test:80:90"],
    ["shop.test\x00"],
    ["shöp.test"],
]


@pytest.mark.parametrize("hosts", BAD_HOSTS, ids=repr)
async def test_two_hosts_bypass(spelling: Spelling, public: bool, hosts: list[str]) -> None:
    """Not exactly one valid Host: not answered from the cache, and nothing is stored for it."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        await client.get("/page")
        answers = [await client.get("/page", hosts=hosts) for _ in range(2)]
        good = await client.get("/page")

    if spelling.screens_hosts and answers[0].status == 400:
        assert handler.runs == 1
        assert [(answer.status, answer.cache_status) for answer in answers] == [(400, "")] * 2
    else:
        assert [answer.text for answer in answers] == ["run 2", "run 3"]
        assert answers[0].cache_status == "asynccache; fwd=bypass; detail=host"
    assert (good.text, good.hit) == ("run 1", True)


@pytest.mark.parametrize(
    "target", ["/f/a\x00b", "/f/a\nb", "/f/a b", "/f/a\x7fb", "/f/a?x=\x01", "/f/a?x= y", "/f/a?\x7f"]
)
async def test_control_bytes_bypass(spelling: Spelling, public: bool, target: str) -> None:
    """A target with bytes that no request line can hold stays out of the cache."""
    handler = Counting()
    async with spelling.serve(
        [page(handler, CachePolicy(ttl=60, public=public), "/f/{rest:path}")]
    ) as client:
        answers = [await client.get(target) for _ in range(2)]

    assert handler.runs == len([answer for answer in answers if answer.status == 200])
    assert not any(answer.hit for answer in answers)


# -- query strings ------------------------------------------------------------------------------------------


async def test_query_is_kept_as_sent(spelling: Spelling, public: bool) -> None:
    """Order, duplicates and encoding of a query belong to the application; nothing is merged."""
    handler = Counting()
    queries = [
        "a=1&b=2",
        "b=2&a=1",
        "a=1&a=2",
        "a=1",
        "a=%31",
        "a=1&",
        "A=1",
        "a=1#x",
        "key=12&key=34",
        "key=1&key=234",
    ]
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for query in queries:
            await client.get(f"/page?{query}")
        texts = [(await client.get(f"/page?{query}")).text for query in queries]

    assert texts == [f"run {number + 1}" for number in range(len(queries))]


async def test_query_allow_list(spelling: Spelling, public: bool) -> None:
    """``query=("page",)``: only that parameter counts; all of its values, as sent."""
    handler = Counting()
    policy = CachePolicy(ttl=60, public=public, query=("page",))
    queries = [
        "page=1",
        "utm=x&page=1",
        "page=1&utm=y",
        "page=2",
        "page=1&page=2",
        "",
        "utm=z",
        "Page=1",
        "p%61ge=1",
    ]
    async with spelling.serve([page(handler, policy)]) as client:
        texts = [(await client.get(f"/page?{query}")).text for query in queries]

    assert texts == [f"run {n}" for n in (1, 1, 1, 2, 3, 4, 4, 4, 5)]


async def test_put_reaches_what_an_allow_list_has_merged(spelling: Spelling, public: bool) -> None:
    """A write to ``/page`` removes what is stored for it, whatever ignored parameters it was asked with."""
    handler = Counting()
    pages = [
        page(handler, CachePolicy(ttl=60, public=public, query=())),
        Page("/page", writing(), None, ("PUT",)),
    ]
    async with spelling.serve(pages) as client:
        await client.get("/page?utm=x")
        await client.request("PUT", "/page")
        assert not (await client.get("/page?utm=x")).hit


async def test_query_flood_does_not_evict_hot(spelling_in_memory: Spelling, public: bool) -> None:
    """Thousands of distinct queries cannot push out what is asked for again and again."""
    handler = Counting()
    clock = FakeClock()
    backend = InMemoryBackend(max_entries=64, clock=clock)
    flooded = spelling_in_memory.serve(
        [page(handler, CachePolicy(ttl=60, public=public))], clock=clock, backend=backend
    )
    async with flooded as client:
        for _ in range(5):
            await client.get("/page")
        for number in range(400):
            await client.get(f"/page?cachebuster={number}")
        hot = await client.get("/page")

    assert (hot.text, hot.hit) == ("run 1", True)


# -- unkeyed inputs -----------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("name", OVERRIDES)
async def test_unkeyed_override_headers_are_not_stored(
    spelling: Spelling, public: bool, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a client produced with an override header is for that client only; one warning names it."""
    handler = Counting(lambda request, run: PlainTextResponse(f"{run} {request.headers.get(name)}"))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        with caplog.at_level(logging.WARNING, "asynccache"):
            poison = [await client.get("/page", [(name, "evil.test")]) for _ in range(2)]
        clean = await client.get("/page")
        again = await client.get("/page")

    assert [answer.text for answer in poison] == ["1 evil.test", "2 evil.test"]
    assert poison[0].cache_status == f"asynccache; fwd=uri-miss; detail={name}"
    assert len([record for record in caplog.records if name in record.message]) == 1
    assert (clean.text, again.text, again.hit) == ("3 None", "3 None", True)


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-forwarded-proto", "x-original-url"])
async def test_override_headers_listed_in_vary_are_part_of_the_key(
    spelling: Spelling, public: bool, name: str
) -> None:
    """``vary=`` names what the application reads: one response per value."""
    handler = Counting()
    policy = CachePolicy(ttl=60, public=public, vary=(name.title(),))
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page", [(name, value)]) for value in ("/a", "/b", "/a")]
        without = await client.get("/page")

    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1"]
    assert without.text == "run 3"


@pytest.mark.parametrize(
    "headers",
    [
        [("x-forwarded-host", "SHOP.test")],
        [("x-forwarded-proto", "http")],
        [("x-forwarded-scheme", "HTTP"), ("x-forwarded-proto", "http"), ("x-forwarded-host", "shop.test")],
        [("x-forwarded-host", "shop.test"), ("x-forwarded-host", "shop.test")],
    ],
)
async def test_override_headers_that_override_nothing_are_harmless(
    spelling: Spelling, public: bool, headers: Headers
) -> None:
    """What every proxy sends, equal to the request's own host and scheme, keeps nothing from being stored."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        first, second = await client.get("/page", headers), await client.get("/page")

    assert (first.text, second.text, second.hit) == ("run 1", "run 1", True)


@pytest.mark.parametrize("values", [("evil.test", "shop.test"), ("shop.test", "evil.test")])
async def test_a_harmless_line_does_not_excuse_another(
    spelling: Spelling, public: bool, values: tuple[str, str]
) -> None:
    """Two lines of an override field: applications read either one, so both have to be harmless."""
    handler = Counting()
    sent = [("x-forwarded-host", value) for value in values]
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        await client.get("/page", sent)
        assert not (await client.get("/page")).hit


@pytest.mark.parametrize("headers", [[("content-length", "4")], [("transfer-encoding", "chunked")]])
async def test_a_get_with_a_body_stays_out_of_the_cache(
    spelling: Spelling, public: bool, headers: Headers
) -> None:
    """A body is no part of the key, and an application may answer by it."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        fat = await client.get("/page", headers, body=b"evil")
        thin = await client.get("/page")
        fat_again = await client.get("/page", headers, body=b"evil")
        empty = await client.get("/page", [("content-length", "0")])

    assert (fat.text, thin.text, fat_again.text) == ("run 1", "run 2", "run 3")
    assert (empty.text, empty.hit) == ("run 2", True)


# -- Vary ---------------------------------------------------------------------------------------------------


def by_language(request: Request, run: int) -> Response:
    language = request.headers.get("accept-language")
    return PlainTextResponse(f"{run} {language}", headers={"vary": "Accept-Language"})


async def test_vary_is_learned_and_normalised(spelling: Spelling, public: bool) -> None:
    """The first response teaches by what responses vary; what means the same is one variant."""
    handler = Counting(by_language)
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        languages = ["de", "fr", "DE", "fr", "de, en", "de,en", "de;q=0.5"]
        answers = [await client.get("/page", [("accept-language", value)]) for value in languages]
        none = [await client.get("/page") for _ in range(2)]

    assert [answer.text for answer in answers] == [
        "1 de", "2 fr", "1 de", "2 fr", "3 de, en", "3 de, en", "4 de;q=0.5",
    ]  # fmt: skip
    assert answers[1].cache_status.startswith("asynccache; fwd=vary-miss")
    assert [(answer.text, answer.hit) for answer in none] == [("5 None", False), ("5 None", True)]


async def test_responses_that_vary_by_different_fields_are_kept_apart(
    spelling: Spelling, public: bool
) -> None:
    """A route that varies by more for some requests than for others never mixes them up."""

    def respond(request: Request, run: int) -> Response:
        language, plan = request.headers["accept-language"], request.headers["x-plan"]
        vary = "accept-language" if language == "de" else "accept-language, x-plan"
        return PlainTextResponse(f"{language} {plan if language == 'fr' else ''}", headers={"vary": vary})

    handler = Counting(respond)
    combinations = [(language, plan) for language in ("de", "fr") for plan in ("a", "b")]
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for _ in range(3):
            for language, plan in combinations:
                answer = await client.get("/page", [("accept-language", language), ("x-plan", plan)])
                assert answer.text == f"{language} {plan if language == 'fr' else ''}"
        answer = await client.get("/page", [("accept-language", "fr"), ("x-plan", "b")])

    assert answer.hit


async def test_at_most_32_variants(spelling: Spelling, public: bool) -> None:
    """Whoever invents header values fills 32 places of a URL, and those stored before stay."""
    handler = Counting(by_language)
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        await client.get("/page", [("accept-language", "de")])
        for number in range(100):
            await client.get("/page", [("accept-language", f"x-{number}")])
        german = await client.get("/page", [("accept-language", "de")])
        kept = 0
        for number in range(100):
            kept += (await client.get("/page", [("accept-language", f"x-{number}")])).hit

    assert (german.text, german.hit) == ("1 de", True)
    assert kept == 31


async def test_vary_cookie_keeps_sessions_apart(spelling: Spelling, public: bool) -> None:
    """Even where the policy ignores cookies, a response that varies by them is stored per cookie."""
    handler = Counting(lambda request, run: PlainTextResponse(
        f"{run} {request.headers.get('cookie')}", headers={"vary": "cookie"}
    ))  # fmt: skip
    policy = CachePolicy(ttl=60, public=True) if public else CachePolicy(ttl=60, cookies=())
    async with spelling.serve([page(handler, policy)]) as client:
        answers = [await client.get("/page", [("cookie", cookie)]) for cookie in ("s=1", "s=2", "s=1")]

    assert [answer.text for answer in answers] == ["1 s=1", "2 s=2", "1 s=1"]


# -- what clients ask for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["no-cache", "no-store", "max-age=0", "min-fresh=1000"])
async def test_client_directives_mean_nothing_by_default(
    spelling: Spelling, public: bool, value: str
) -> None:
    """Else any client could defeat the cache."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        headers = [("cache-control", value), ("pragma", "no-cache")]
        answers = [await client.get("/page", headers) for _ in range(2)]

    assert [answer.text for answer in answers] == ["run 1", "run 1"]


@pytest.mark.parametrize(
    "value,text,status",
    [
        ("no-cache", "run 2", "fwd=request"),
        ("no-store", "run 2", "fwd=request; detail=request"),
        ("max-age=9", "run 2", "fwd=request"),
        ("max-age=10", "run 1", "hit; ttl=50"),
        ("min-fresh=51", "run 2", "fwd=request"),
        ("min-fresh=50", "run 1", "hit; ttl=50"),
    ],
)
async def test_client_directives_only_with_the_switch(
    spelling: Spelling, public: bool, value: str, text: str, status: str
) -> None:
    """``honour_client_directives=True``: ten seconds old and good for fifty more, judged by them."""
    handler = Counting()
    clock = FakeClock()
    http = HTTPConfig(honour_client_directives=True)
    serving = spelling.serve([page(handler, CachePolicy(ttl=60, public=public))], clock=clock, http=http)
    async with serving as client:
        await client.get("/page")
        clock.advance(10)
        answer = await client.get("/page", [("cache-control", value)])

    assert answer.text == text
    assert answer.cache_status.startswith(f"asynccache; {status}")


async def test_only_if_cached_gets_504_with_the_switch(spelling: Spelling, public: bool) -> None:
    """``only-if-cached``: what is not stored is not produced either (RFC 9111 section 5.2.1.7)."""
    handler = Counting()
    http = HTTPConfig(honour_client_directives=True)
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))], http=http) as client:
        missing = await client.get("/page", [("cache-control", "only-if-cached")])
        await client.get("/page")
        stored = await client.get("/page", [("cache-control", "only-if-cached")])

    assert (missing.status, handler.runs) == (504, 1)
    assert (stored.status, stored.hit) == (200, True)


async def test_no_store_of_a_request_keeps_its_response_out_with_the_switch(
    spelling: Spelling, public: bool
) -> None:
    """A client may ask that what it gets is not stored (RFC 9111 section 5.2.1.5)."""
    handler = Counting()
    http = HTTPConfig(honour_client_directives=True)
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))], http=http) as client:
        await client.get("/page", [("cache-control", "no-store")])
        assert not (await client.get("/page")).hit


# -- what passes through ------------------------------------------------------------------------------------


async def test_streams_are_passed_on_and_stored_whole_or_not_at_all(spelling: Spelling, public: bool) -> None:
    """A stream that ends within the limit is stored complete; its pieces pass as they come."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    handler = Counting(lambda _, __: StreamingResponse(pieces(), media_type="text/plain"))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        miss, hit = await client.get("/page"), await client.get("/page")

    bodies = [message["body"] for message in miss.messages if message["type"] == "http.response.body"]
    assert bodies == [b"0", b"1", b"2", b""]
    assert (hit.body, hit.hit, handler.runs) == (b"012", True, 1)


async def test_sse_is_never_stored(spelling: Spelling, public: bool) -> None:
    """Server-sent events are produced for each client."""

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"

    await never_stored(
        spelling,
        CachePolicy(ttl=60, public=public),
        lambda _, __: StreamingResponse(events(), media_type="text/event-stream"),
        "stream",
    )


class PathSend(Response):
    """What FileResponse sends where the server can send files itself."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send a head and a path."""
        headers = [(b"content-length", b"4"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": "/srv/file"})


async def test_pathsend_is_passed_on_and_not_cached_empty(spelling: Spelling, public: bool) -> None:
    """A file that the server sends has no body messages: it must not be stored without a body."""
    handler = Counting(lambda _, __: PathSend())
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for run in (1, 2):
            answer = await client.get("/page")
            assert handler.runs == run
            assert answer.messages[1] == {"type": "http.response.pathsend", "path": "/srv/file"}
            assert answer.header("content-length") == "4"


async def test_background_tasks_run_on_the_miss_only(spelling: Spelling, public: bool) -> None:
    """A background task belongs to the run of the handler; a hit runs neither."""
    done: list[int] = []
    handler = Counting(lambda _, run: PlainTextResponse("x", background=BackgroundTask(done.append, run)))
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        for _ in range(3):
            await client.get("/page")

    assert done == [1]


# -- who may ask --------------------------------------------------------------------------------------------


class RefusedError(Exception):
    """The guard says no."""


async def test_what_authenticates_runs_before_every_hit(spelling: Spelling) -> None:
    """A hit of a route that is not public is served after the guard has let the request pass."""
    asked: list[str | None] = []

    def guard(request: Request) -> None:
        asked.append(request.headers.get("x-key"))
        if asked[-1] != "good":
            raise RefusedError

    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60))], guard=guard) as client:
        good = [await client.get("/page", [("x-key", "good")]) for _ in range(3)]
        for headers in ([("x-key", "bad")], NOBODY):
            with pytest.raises(RefusedError):
                await client.get("/page", headers)
        after = await client.get("/page", [("x-key", "good")])

    assert [answer.text for answer in (*good, after)] == ["run 1"] * 4
    assert after.hit
    assert asked == ["good", "good", "good", "bad", None, "good"]


async def test_a_guard_of_a_public_route_is_not_asked_again(spelling: Spelling) -> None:
    """That is what ``public=True`` means: known hits are served before routing."""
    asked: list[str] = []
    handler = Counting()
    pages = [page(handler, CachePolicy(ttl=60, public=True))]
    async with spelling.serve(pages, guard=lambda request: asked.append(request.url.path)) as client:
        for _ in range(3):
            assert (await client.get("/page")).text == "run 1"

    assert asked == ["/page"] * (3 if spelling.guards_outside else 1)


async def test_policy_flip_from_public_does_not_serve_the_old_entry(spelling: Spelling) -> None:
    """What was stored as the same for everyone is not served once a new release says otherwise."""
    clock = FakeClock()
    backend = spelling.store.backend(clock)
    handler = Counting(echo)
    texts: list[str] = []
    for is_public in (True, False, False):
        policy = CachePolicy(ttl=60, public=is_public)
        serving = spelling.serve([page(handler, policy)], clock=clock, backend=backend)
        async with serving as client:
            texts.append((await client.get("/page", ALICE if is_public else [])).text)

    assert texts == ["1: Bearer alice None", "2: None None", "2: None None"]


# -- hits ---------------------------------------------------------------------------------------------------


async def test_a_hit_is_what_the_miss_was(spelling: Spelling, public: bool) -> None:
    """Status, body and header fields are the same, duplicates included, but for Age and Cache-Status."""

    def respond(_: Request, run: int) -> Response:
        response = PlainTextResponse("bödy" * 100, headers={"x-one": "1", "Link": "</a>; rel=preload"})
        response.headers.append("link", "</b>; rel=preload")
        response.headers.append("x-one", "2")
        return response

    async with spelling.serve([page(Counting(respond), CachePolicy(ttl=60, public=public))]) as client:
        miss, hit, again = [await client.get("/page") for _ in range(3)]

    assert hit.hit
    assert (hit.status, hit.body, hit.fields()) == (miss.status, miss.body, miss.fields())
    assert again.raw == hit.raw
    assert hit.all("link") == ["</a>; rel=preload", "</b>; rel=preload"]
    assert hit.header("cache-control") == ("public, no-cache" if public else "private, no-cache")
    assert hit.header("age") == "0"


async def test_a_304_answers_a_client_that_has_it(spelling: Spelling, public: bool) -> None:
    """The entity tag of the first answer revalidates the next."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        first = await client.get("/page")
        second = await client.get("/page", [("if-none-match", first.header("etag") or "")])

    assert (second.status, second.body, handler.runs) == (304, b"", 1)


async def test_a_route_without_a_policy_is_left_alone(spelling: Spelling) -> None:
    """No entry, no field, no opinion."""
    handler = Counting()
    async with spelling.serve([Page("/page", handler)]) as client:
        answers = [await client.get("/page", ALICE) for _ in range(2)]

    assert [answer.text for answer in answers] == ["run 1", "run 2"]
    for answer in answers:
        assert [name for name, _ in answer.raw] == [b"content-length", b"content-type"]


async def test_many_ask_at_once_and_the_handler_runs_once(spelling: Spelling, public: bool) -> None:
    """Simultaneous misses share one run."""
    handler = Counting()
    async with spelling.serve([page(handler, CachePolicy(ttl=60, public=public))]) as client:
        answers = await client.gather(50, "/page")

    assert {answer.text for answer in answers} == {"run 1"}
    assert handler.runs == 1


async def test_policy_flip_to_vary_on_does_not_serve_the_old_entry(spelling: Spelling) -> None:
    """What was stored for all before users were told apart is not served to any of them."""
    clock = FakeClock()
    backend = spelling.store.backend(clock)
    handler = Counting(echo)
    texts: list[str] = []
    for policy in (CachePolicy(ttl=60, cookies=()), CachePolicy(ttl=60, vary_on=authorization)):
        serving = spelling.serve([page(handler, policy)], clock=clock, backend=backend)
        async with serving as client:
            sent = (NOBODY,) if policy.vary_on is None else (ALICE, BOB, ALICE)
            texts += [(await client.get("/page", headers)).text for headers in sent]

    assert texts == ["1: None None", "2: Bearer alice None", "3: Bearer bob None", "2: Bearer alice None"]
