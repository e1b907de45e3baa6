"""Hits and misses, expiry to the bit, Age, and what Cache-Status says of each outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynccache import CachePolicy, ConfigurationError, HTTPConfig
from asynccache.http import MarkedApp
from asynccache.testing import RecordedEvents
from tests.http_middleware.asgi_client import ticks
from tests.http_middleware.tiny_apps import Handler, Site, by_path, respond

POLICY = CachePolicy(ttl=60)


async def test_a_response_lives_for_its_ttl_and_not_a_millisecond_longer() -> None:
    """Until just before its expiry it is served, at its expiry it is not."""
    site = Site(handler := Handler(), POLICY)
    assert (await site.get("/")).text == "run 1"
    site.clock.advance(59.999)
    assert (await site.get("/")).text == "run 1"
    site.clock.set(site.clock() + 0.001)
    assert (await site.get("/")).text == "run 2"
    site.clock.advance(60)
    assert (await site.get("/")).text == "run 3"
    assert handler.runs == 3


async def test_the_default_ttl_is_the_caches() -> None:
    """A policy without a ttl takes that of the configuration; None means until invalidated."""
    site = Site(Handler(), CachePolicy(), default_ttl=5)
    await site.get("/")
    site.clock.advance(5)
    assert (await site.get("/")).text == "run 2"

    forever = Site(Handler(), CachePolicy(ttl=None), default_ttl=5)
    await forever.get("/")
    forever.clock.advance(10**9)
    assert (await forever.get("/")).text == "run 1"


async def test_a_clock_that_was_set_back_makes_nothing_live_longer() -> None:
    """What comes from further in the future than clocks differ is dead."""
    site = Site(Handler(), CachePolicy(ttl=60))
    await site.get("/")
    site.clock.set(site.clock() - 3600)
    assert (await site.get("/")).text == "run 2"


@pytest.mark.parametrize(
    "headers,seconds,age",
    [
        ([], 0, "0"),
        ([], 5.9, "5"),
        ([], 59, "59"),
        ([(b"age", b"100")], 5, "105"),
        ([(b"age", b"nonsense")], 5, "5"),
    ],
)
async def test_age(headers: list[tuple[bytes, bytes]], seconds: float, age: str) -> None:
    """A hit says how many whole seconds old it is, those before it reached us included."""
    site = Site(Handler(headers=headers), POLICY)
    miss = await site.get("/")
    site.clock.advance(seconds)
    hit = await site.get("/")

    assert miss.all("age") == [value.decode() for _, value in headers]
    assert hit.header("age") == age


async def test_cache_status_of_a_miss_and_a_hit() -> None:
    """A miss says why and that it was stored, a hit how long it is still good for."""
    site = Site(Handler(), POLICY)
    assert (await site.get("/")).cache_status == "asynccache; fwd=uri-miss; stored"
    site.clock.advance(10.5)
    assert (await site.get("/")).cache_status == "asynccache; hit; ttl=49"


async def test_cache_status_of_an_expired_entry() -> None:
    """What is only there to stand in for failures is reported as stale, and what is gone as a miss."""
    site = Site(Handler(), CachePolicy(ttl=60, stale_if_error=60))
    await site.get("/")
    site.clock.advance(60)
    assert (await site.get("/")).cache_status == "asynccache; fwd=stale; stored"
    site.clock.advance(121)
    assert (await site.get("/")).cache_status == "asynccache; fwd=uri-miss; stored"


async def test_cache_status_of_a_stale_hit() -> None:
    """A stale hit says so, and since when."""
    site = Site(Handler(), CachePolicy(ttl=60, stale_while_revalidate=60))
    await site.get("/")
    site.clock.advance(70)
    assert (await site.get("/")).cache_status == "asynccache; hit; ttl=-10; detail=stale"
    await site.idle()


async def test_cache_status_of_a_new_variant() -> None:
    """A variant that is not stored yet is told from a URL that is not."""
    site = Site(Handler(headers=[(b"vary", b"x-a")]), POLICY)
    await site.get("/", [("x-a", "1")])
    assert (await site.get("/", [("x-a", "2")])).cache_status == "asynccache; fwd=vary-miss; stored"


async def test_cache_status_of_those_who_waited() -> None:
    """A request that was answered with another one's response says that it was collapsed."""
    handler = Handler()
    handler.gate.clear()
    site = Site(handler, POLICY)
    leader, follower = site.start("/"), site.start("/")
    await ticks()
    handler.gate.set()

    assert (await leader.answer()).cache_status == "asynccache; fwd=uri-miss; stored"
    assert (await follower.answer()).cache_status == "asynccache; fwd=uri-miss; collapsed"


async def test_cache_status_of_a_bypass_by_method() -> None:
    """Another method than GET and HEAD is forwarded for that reason."""
    site = Site(Handler(), POLICY)
    assert (await site.client.request("POST", "/")).cache_status == "asynccache; fwd=method"


async def test_cache_status_comes_after_that_of_caches_further_in() -> None:
    """Each cache adds its member behind those that were there (RFC 9211 section 2)."""
    site = Site(Handler(headers=[(b"cache-status", b"inner; fwd=miss")]), POLICY)
    assert (await site.get("/")).all("cache-status") == [
        "inner; fwd=miss",
        "asynccache; fwd=uri-miss; stored",
    ]
    assert (await site.get("/")).all("cache-status") == ["inner; fwd=miss", "asynccache; hit; ttl=60"]


async def test_cache_status_can_be_switched_off() -> None:
    """``cache_status=False``: hits, misses and bypasses say nothing."""
    site = Site(Handler(), CachePolicy(ttl=60, stale_while_revalidate=9), http=HTTPConfig(cache_status=False))
    answers = [await site.get("/"), await site.get("/"), await site.get("/", [("cookie", "a=b")])]
    site.clock.advance(61)
    answers.append(await site.get("/"))
    await site.idle()

    assert [answer.text for answer in answers] == ["run 1", "run 1", "run 2", "run 1"]
    assert not any(answer.all("cache-status") for answer in answers)


@pytest.mark.parametrize(
    "policy,own,expected",
    [
        (CachePolicy(ttl=60), None, "private, no-cache"),
        (CachePolicy(ttl=60, public=True), None, "public, no-cache"),
        (CachePolicy(ttl=60, client_ttl=5), None, "private, max-age=5"),
        (CachePolicy(ttl=60, client_ttl=5, public=True), None, "public, max-age=5"),
        (CachePolicy(ttl=60, client_ttl=0), None, "private, max-age=0"),
        (CachePolicy(ttl=60, client_ttl=5), b"max-age=7", "max-age=7"),
    ],
)
async def test_clients_are_told_how_long_they_may_keep_it(
    policy: CachePolicy, own: bytes | None, expected: str
) -> None:
    """The application's Cache-Control stands; else client_ttl, else revalidation; public by policy."""
    site = Site(Handler(headers=[] if own is None else [(b"cache-control", own)]), policy)
    for _ in range(2):
        assert (await site.get("/")).header("cache-control") == expected


async def test_fields_of_one_connection_are_not_replayed() -> None:
    """Connection, what it names, and its like belong to the response that carried them."""
    fields = [(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"keep-alive", b"timeout=5"), (b"x-kept", b"1")]
    site = Site(Handler(headers=fields), POLICY)
    await site.get("/")
    hit = await site.get("/")
    assert [name for name, _ in hit.raw] == [
        b"x-kept", b"etag", b"cache-control", b"age", b"cache-status", b"content-length",
    ]  # fmt: skip


async def test_encoded_responses_are_stored_only_with_vary() -> None:
    """Bytes encoded for one client would otherwise be sent to all."""
    bare = Site(Handler(headers=[(b"content-encoding", b"gzip")]), POLICY)
    assert [(await bare.get("/")).text for _ in range(2)] == ["run 1", "run 2"]

    fields = [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
    varying = Site(Handler(headers=fields), POLICY)
    sent = ["gzip", "br", "gzip", "gzip, br", "br,gzip"]
    answers = [await varying.get("/", [("accept-encoding", value)]) for value in sent]
    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1", "run 3", "run 3"]


async def test_header_fields_may_be_any_iterable() -> None:
    """ASGI lets an application pass its fields as a generator, which can be read only once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = ((name, b"1") for name in (b"x-a", b"x-b"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x"})

    for policy, target in ((POLICY, "/"), (CachePolicy(ttl=60, statuses=[404]), "/"), (None, "/")):
        site = Site(app, policy)
        for _ in range(2):
            assert (await site.get(target)).header("x-b") == "1"


async def test_a_hit_may_be_changed_by_whoever_is_outside() -> None:
    """An outer middleware that edits a hit's fields edits its own copy."""
    site = Site(Handler(), POLICY)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-outer", b"1"))
                message["status"] = 299
            await send(message)

        await site.middleware(scope, receive, sending)

    site.client.app = outer
    for _ in range(3):
        assert (await site.get("/")).all("x-outer") == ["1"]
    site.client.app = site.middleware
    clean = await site.get("/")
    assert (clean.status, clean.all("x-outer")) == (200, [])


async def test_events_tell_what_happened() -> None:
    """Observers see a miss, what it cost, what was stored, and a hit with its age."""
    events = RecordedEvents()
    site = Site(Handler(), POLICY, observers=[events])
    await site.get("/")
    site.clock.advance(3)
    await site.get("/")

    assert [type(event).__name__ for event in events] == ["Miss", "Computed", "Stored", "Hit"]
    assert [hit.age for hit in events.hits] == [3]
    assert "testserver" not in events.hits[0].key
    assert events.hits[0].key == events.misses[0].key


async def test_one_store_for_two_namespaces() -> None:
    """Caches with different namespaces in one store never answer for each other."""
    first = Site(Handler(body="first"), POLICY, namespace="first")
    second = Site(Handler(body="second"), POLICY, namespace="second", backend=first.cache.config.backend)
    for _ in range(2):
        assert (await first.get("/")).text == "first"
        assert (await second.get("/")).text == "second"


async def test_tags_are_filled_in_and_invalidate() -> None:
    """A tag with a path parameter removes the responses it names, and no others."""
    marked = MarkedApp(Handler(), CachePolicy(ttl=60, tags=("items", "item:{id}")))

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        scope["path_params"] = {"id": scope["path"].removeprefix("/")}
        await marked(scope, receive, send)

    site = Site(routed)
    for target in ("/1", "/2"):
        await site.get(target)
    await site.cache.invalidate_tags("item:1")
    assert [(await site.get(target)).hit for target in ("/1", "/2")] == [False, True]
    await site.cache.invalidate_tags("items")
    assert [(await site.get(target)).hit for target in ("/1", "/2")] == [False, False]


async def test_soft_invalidation_makes_responses_stale() -> None:
    """``soft=True``: served once more, as stale, while it is refreshed."""
    site = Site(Handler(), CachePolicy(ttl=60, stale_while_revalidate=60, tags=("t",)))
    await site.get("/")
    site.clock.advance(1)
    await site.cache.invalidate_tags("t", soft=True)
    stale = await site.get("/")
    await site.idle()
    fresh = await site.get("/")

    assert (stale.text, stale.cache_status) == ("run 1", "asynccache; hit; ttl=-1; detail=stale")
    assert (fresh.text, fresh.hit) == ("run 2", True)


async def test_two_routes_and_an_unmarked_one() -> None:
    """What is not marked is neither stored nor touched."""
    plain = Handler()
    site = Site(by_path({"/a": MarkedApp(Handler(body="a"), POLICY), "/b": plain}))
    for _ in range(2):
        assert (await site.get("/a")).text == "a"
        answer = await site.get("/b")
        assert answer.raw == [(b"content-length", b"5")]
    assert plain.runs == 2


async def test_a_marked_application_without_middleware_just_works() -> None:
    """Without a cache the application answers as if it were not marked."""
    handler = Handler()
    site = Site(handler)
    site.client.app = MarkedApp(handler, POLICY)
    for _ in range(2):
        answer = await site.get("/")
        assert answer.raw == [(b"content-length", b"5")]
    assert handler.runs == 2


async def test_a_policy_inside_another_leaves_the_decision_to_the_outer_one() -> None:
    """Marked twice is marked once."""
    handler = Handler()
    site = Site(MarkedApp(handler, CachePolicy(ttl=1)), POLICY)
    await site.get("/")
    site.clock.advance(30)
    assert (await site.get("/")).text == "run 1"
    assert handler.runs == 1


async def test_a_tag_that_cannot_be_filled_in_is_an_error_and_not_a_wrong_tag() -> None:
    """Without the parameter there is no telling what to invalidate."""
    site = Site(Handler(), CachePolicy(ttl=60, tags=("item:{id}",)))
    with pytest.raises(ConfigurationError, match="id"):
        await site.get("/")
    assert site.at_rest


async def test_what_vary_on_raises_reaches_the_application() -> None:
    """An error while telling users apart is an error of the request, never an answer for somebody."""

    def vary_on(scope: Any) -> str:
        raise LookupError(scope["path"])

    site = Site(handler := Handler(), CachePolicy(ttl=60, vary_on=vary_on))
    with pytest.raises(LookupError):
        await site.get("/")
    assert (handler.runs, site.at_rest) == (0, True)


async def test_a_server_without_raw_path_has_the_decoded_path_as_key() -> None:
    """``raw_path`` is optional in ASGI; the path that is there instead tells URLs apart as far as it can."""
    site = Site(Handler(), POLICY)
    answers = [await site.get(target, raw_path=None) for target in ("/a%20b", "/ä", "/a b", "/a")]
    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1", "run 3"]


async def test_bodies_of_the_size_limit_are_stored_and_larger_ones_pass() -> None:
    """``max_body_bytes`` bounds what is copied, by policy or by configuration; the client gets every byte."""
    for policy, http in (
        (CachePolicy(ttl=60, max_body_bytes=10), None),
        (POLICY, HTTPConfig(max_body_bytes=10)),
    ):
        for size, hit in ((10, True), (11, False)):
            site = Site(Handler(body="x" * size), policy, http=http)
            first = await site.get("/")
            again = await site.get("/")
            assert (first.text, again.text, again.hit) == ("x" * size, "x" * size, hit)
            if not hit:
                assert first.cache_status == "asynccache; fwd=uri-miss; detail=too-large"


async def test_a_value_the_cache_refuses_is_served_all_the_same() -> None:
    """Larger than ``max_value_bytes``: nothing is stored, and Cache-Status does not claim it."""
    site = Site(Handler(body="x" * 2000), POLICY, max_value_bytes=1000)
    for _ in range(2):
        answer = await site.get("/")
        assert (len(answer.body), answer.cache_status) == (2000, "asynccache; fwd=uri-miss")


async def test_nothing_is_left_over() -> None:
    """After hits, misses, refusals and errors no flight and no run remains."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/error":
            raise OSError
        await respond(send, b"x", 500 if scope["path"] == "/500" else 200)

    site = Site(app, POLICY)
    for target in ("/", "/", "/500", "/error", "/error"):
        ongoing = site.start(target)
        await asyncio.wait({ongoing.task})
        ongoing.task.exception()
    assert site.at_rest


async def test_what_is_tagged_for_one_user_leaves_the_others_alone() -> None:
    """Invalidating it removes that user's response of a URL and no other's."""

    def user(scope: Any) -> Any:
        return scope["path_params"]["user"]

    site = Site(Handler(), CachePolicy(ttl=60, vary_on=user, tags=["page:{user}", "pages"]))
    for name in ("alice", "bob"):
        await site.get("/", path_params={"user": name})
    await site.cache.invalidate_tags("page:alice")
    hits = [(await site.get("/", path_params={"user": name})).hit for name in ("bob", "alice", "bob")]
    assert hits == [True, False, True]
    await site.cache.invalidate_tags("pages")
    hits = [(await site.get("/", path_params={"user": name})).hit for name in ("bob", "alice", "bob")]
    assert hits == [False, False, True]
