"""`Rule`: what its paths match, what they refuse, and how the middleware goes by them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, strategies as st

from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError, InMemoryBackend
from asynccache.http import CacheMiddleware, MarkedApp, Rule
from asynccache.http._paths import Rules
from asynccache.testing import FakeClock
from tests.http_middleware.asgi_client import Client, until
from tests.http_middleware.tiny_apps import Handler, respond

POLICY = CachePolicy(ttl=60)


def scope(raw: str | bytes, *, method: str = "GET", root_path: str = "", **more: Any) -> dict[str, Any]:
    """Return the scope of a request, as a server that sends ``raw_path`` makes it."""
    made = Client(Handler()).scope(method, raw)
    return made | {"root_path": root_path} | more


def matches(path: str, raw: str | bytes, **more: Any) -> dict[str, str] | None:
    """Return the parameters by which a rule for ``path`` matches a target; None if it does not."""
    found = Rules([Rule(path, POLICY)]).match(scope(raw, **more))
    if found is None:
        return None
    assert found[0] is POLICY
    return dict(found[1])


@pytest.mark.parametrize(
    "path,target,parameters",
    [
        ("/", "/", {}),
        ("/about", "/about", {}),
        ("/about", "/about?x=1", {}),
        ("/about/", "/about/", {}),
        ("/café au lait", "/caf%C3%A9%20au%20lait", {}),
        ("/café", "/caf%c3%a9", {}),
        ("/about", "/%61bout", {}),
        ("/a.b", "/a.b", {}),
        ("/users/{id}", "/users/7", {"id": "7"}),
        ("/users/{id}", "/users/a%20b", {"id": "a b"}),
        ("/users/{id}/", "/users/7/", {"id": "7"}),
        ("/{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
        ("/users/{id}/posts/{post}", "/users/7/posts/8", {"id": "7", "post": "8"}),
        ("/*", "/", {}),
        ("/*", "/a/b/c", {}),
        ("/api/*", "/api/", {}),
        ("/api/*", "/api/v1/items", {}),
        ("/users/{id}/*", "/users/7/posts/8", {"id": "7"}),
        ("/...", "/...", {}),
        ("/.well-known/x", "/.well-known/x", {}),
    ],
)
def test_paths_that_match(path: str, target: str, parameters: dict[str, str]) -> None:
    """Exact paths, one segment for each parameter, everything below for a final star."""
    assert matches(path, target) == parameters


@pytest.mark.parametrize(
    "path,target",
    [
        ("/about", "/about/"),
        ("/about", "/About"),
        ("/about", "/abouts"),
        ("/about", "/x/about"),
        ("/a.b", "/axb"),
        ("/a+", "/aa"),
        ("/users/{id}", "/users/"),
        ("/users/{id}", "/users/7/posts"),
        ("/users/{id}", "/users/7/"),
        ("/api/*", "/api"),
        ("/api/*", "/apis/x"),
        ("/*", "http://evil.test/x"),
        ("/*", ""),
    ],
)
def test_paths_that_do_not_match(path: str, target: str) -> None:
    """Case and a slash at the end count; nothing in a path is a regular expression."""
    assert matches(path, target) is None


AMBIGUOUS = [
    "/api//x",
    "//api/x",
    "/api/./x",
    "/api/../x",
    "/api/..",
    "/api/%2e%2e/x",
    "/api/.%2E/x",
    "/api/a%2fb",
    "/api/a%2Fb",
    "/api/a%5cb",
    "/api/a\\b",
    "/api/%00",
    "/api/%0a",
    "/api/\x7f",
    "/api/%ff",
    "/api/%EF%BF%BD",
    "/api/%ed%a0%80",
    b"/api/\xff",
]


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_what_might_be_read_as_another_path_matches_no_rule(target: str | bytes) -> None:
    """So a rule that keeps something out of the cache cannot be walked around."""
    assert matches("/*", target) is None


@pytest.mark.parametrize(
    "target", ["/api/private/x", "/api/%70rivate/x", "/api/priv%61te/x", "/api/private/"]
)
def test_a_rule_without_a_policy_ends_the_search(target: str) -> None:
    """The first that matches decides, however the client spells it."""
    rules = Rules([Rule("/api/private/*", cache=False), Rule("/api/*", 5)])
    assert rules.match(scope(target)) is None
    assert rules.match(scope("/api/public")) is not None


def test_the_first_rule_that_matches_decides() -> None:
    """In the order in which they are written."""
    exact, one, all_ = (CachePolicy(ttl=ttl) for ttl in (1, 2, 3))
    rules = Rules([Rule("/a/b", exact), Rule("/{first}/{second}", one), Rule("/*", all_)])
    found = {path: rules.match(scope(path)) for path in ("/a/b", "/a/c", "/a/c/d", "/")}
    assert found == {
        "/a/b": (exact, {}),
        "/a/c": (one, {"first": "a", "second": "c"}),
        "/a/c/d": (all_, {}),
        "/": (all_, {}),
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_rules_are_for_get_and_head(method: str) -> None:
    """Of other methods they know nothing."""
    assert matches("/a", "/a", method="HEAD") == {}
    assert matches("/a", "/a", method=method) is None


def test_paths_are_below_what_the_application_is_mounted_at() -> None:
    """As in its routes; a root path that is not a prefix of whole segments is none."""
    assert matches("/a", "/shop/a", root_path="/shop") == {}
    assert matches("/a", "/caf%C3%A9/a", root_path="/café") == {}
    assert matches("/shop/a", "/shop/a", root_path="/shop") is None
    assert matches("/shops/a", "/shops/a", root_path="/shop") == {}
    assert matches("/*", "/shop", root_path="/shop") is None
    assert matches("/a", "/a", root_path="/shop") == {}  # a server that leaves it out of the path


def test_what_a_path_means_is_remembered_within_bounds() -> None:
    """Neither how many paths a client asks for nor how long they are makes it grow for ever."""
    rules = Rules([Rule("/{id}", POLICY)])
    for number in range(5000):
        assert rules.match(scope(f"/{number}")) == (POLICY, {"id": str(number)})
    assert len(rules._known) == 4096
    long = "x" * 300
    assert rules.match(scope(f"/{long}")) == rules.match(scope(f"/{long}")) == (POLICY, {"id": long})
    assert not any(long in path for _, path, _ in rules._known)
    assert rules.match(scope("/4999")) == (POLICY, {"id": "4999"})
    assert rules.match(scope("/4999", root_path="/4999")) is None


def test_a_server_that_sends_no_raw_path_is_taken_at_its_word() -> None:
    """The decoded path is what the application sees, too."""
    assert matches("/café", "/caf%C3%A9", raw_path=None) == {}
    assert matches("/*", "/a/../b", raw_path=None) is None
    assert matches("/*", "/%ff", raw_path=None) is None


@given(st.text())
def test_any_path_has_an_answer(path: str) -> None:
    """Nothing a client can send raises, and what matches a star comes out as one plain path."""
    raw = path.encode("utf-8", "surrogatepass")
    found = matches("/{x}/*", b"/" + raw)
    assert found is None or "/" not in found["x"]


@pytest.mark.parametrize(
    "path,message",
    [
        ("about", "begins with '/'"),
        ("", "begins with '/'"),
        (None, "begins with '/'"),
        (b"/a", "begins with '/'"),
        ("//a", "empty segment"),
        ("/a//b", "empty segment"),
        ("/a//*", "empty segment"),
        ("/a/../b", "dot segment"),
        ("/./*", "dot segment"),
        ("/*/a", "last segment only"),
        ("/a*", "last segment only"),
        ("/a/**", "last segment only"),
        ("/{id:int}", "malformed parameter"),
        ("/{}", "malformed parameter"),
        ("/{id}.json", "malformed parameter"),
        ("/a}", "malformed parameter"),
        ("/{id}/{id}", "parameter twice"),
        ("/a?b=1", "query="),
        ("/a#b", "path alone"),
        ("/caf%C3%A9", "write what"),
        ("/a\n", "no path may have"),
        ("/a\\b", "no path may have"),
        ("/\ufffd", "no path may have"),
    ],
)
def test_a_path_that_can_match_nothing_is_refused(path: Any, message: str) -> None:
    """When the rule is made, with the path and the way out."""
    with pytest.raises(ConfigurationError, match=message):
        Rule(path, POLICY)


def test_a_policy_is_checked_with_its_path() -> None:
    """What ``cache=`` means on a route it means here; tags name parameters of the path."""
    assert Rule("/a", 5).policy == CachePolicy(ttl=5)
    assert Rule("/a", cache=True).policy == CachePolicy()
    assert Rule("/a", cache=False).policy is None
    Rule("/{id}", CachePolicy(tags=["item:{id}"]))
    with pytest.raises(ConfigurationError, match="names 'id'"):
        Rule("/a", CachePolicy(tags=["item:{id}"]))
    with pytest.raises(ConfigurationError, match="cache must be"):
        Rule("/a", "60")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="more than 0"):
        Rule("/a", 0)


REACHABLE = [
    ("/a", "/a/"),
    ("/a", "/*"),
    ("/{x}", "/a/b"),
    ("/{x}", "/"),
    ("/a/*", "/a"),
    ("/a/*", "/{x}"),
    ("/a/{x}", "/a/*"),
    ("/a/*", "/{x}/*"),
    ("/{x}/*", "/*"),
]
SHADOWED = [
    ("/a", "/a"),
    ("/{x}", "/a"),
    ("/{x}", "/{y}"),
    ("/*", "/a"),
    ("/*", "/"),
    ("/*", "/a/*"),
    ("/a/*", "/a/*"),
    ("/a/*", "/a/"),
    ("/a/*", "/a/{x}"),
    ("/{x}/*", "/a/*"),
    ("/{x}/*", "/a/b/{c}"),
]


@pytest.mark.parametrize("first,second", REACHABLE)
def test_rules_that_overlap_are_fine(first: str, second: str) -> None:
    """As long as the later one has something left to match."""
    Rules([Rule(first, 1), Rule(second, 2)])


@pytest.mark.parametrize("first,second", SHADOWED)
def test_a_rule_that_is_never_reached_is_refused(first: str, second: str) -> None:
    """It would silently do nothing."""
    with pytest.raises(ConfigurationError, match="never reached"):
        CacheMiddleware(Handler(), rules=[Rule(first, 1), Rule("/other", 1), Rule(second, 2)])


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{y}"])
PATHS = (
    st.tuples(st.lists(SEGMENTS, max_size=3, unique=True), st.sampled_from(["", "/", "/*"]))
    .map(lambda drawn: "".join(f"/{part}" for part in drawn[0]) + drawn[1])
    .filter(bool)
)
TARGETS = (
    st.tuples(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), st.sampled_from(["", "/"]))
    .map(lambda drawn: "".join(f"/{part}" for part in drawn[0]) + drawn[1])
    .filter(bool)
)


@given(PATHS, PATHS, TARGETS)
def test_what_a_rule_covers_it_matches(first: str, second: str, target: str) -> None:
    """If one is said to cover another there is no path that only the other matches."""
    if Rule(first, 1).covers(Rule(second, 1)) and matches(second, target) is not None:
        assert matches(first, target) is not None


@pytest.mark.parametrize("rules", [["/a"], [("/a", 5)], [POLICY]])
def test_something_else_than_a_rule_is_refused(rules: Any) -> None:
    with pytest.raises(ConfigurationError, match="list of Rule"):
        CacheMiddleware(Handler(), rules=rules)


# -- in the middleware --------------------------------------------------------------------------------------


def ruled(app: Any, *rules: Rule) -> tuple[Client, Cache, FakeClock]:
    """Return a client of an application behind rules, its cache and its clock."""
    clock = FakeClock()
    cache = Cache(CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock)))
    return Client(CacheMiddleware(app, cache=cache, rules=rules)), cache, clock


async def test_what_no_rule_names_passes_through_untouched() -> None:
    """No field, no entry, the application's own scope."""
    handler = Handler()
    client, cache, _ = ruled(handler, Rule("/cached", 60))
    answers = [await client.get(path) for path in ("/cached", "/other", "/cached", "/other")]
    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1", "run 3"]
    assert [answer.hit for answer in answers] == [False, False, True, False]
    assert answers[1].raw == [(b"content-length", b"5")]
    assert cache.stats().stored == 1


async def test_tags_are_filled_in_from_the_path() -> None:
    """So one item is invalidated and its neighbour is not."""
    client, cache, _ = ruled(Handler(), Rule("/items/{id}", CachePolicy(ttl=60, tags=["item:{id}"])))
    for path in ("/items/1", "/items/2"):
        await client.get(path)
    await cache.invalidate_tags("item:1")
    assert [(await client.get(path)).hit for path in ("/items/1", "/items/2")] == [False, True]


async def test_a_write_removes_what_a_rule_has_stored() -> None:
    """Rules are for reading; a successful unsafe request empties its own path all the same."""
    client, _, _ = ruled(Handler(), Rule("/*", 60))
    await client.get("/a")
    put = await client.request("PUT", "/a")
    assert put.cache_status == ""
    assert not (await client.get("/a")).hit


async def test_a_rule_decides_before_the_route() -> None:
    """Only one policy counts, and the rule is asked first; one that says no leaves it to the route."""
    clock = FakeClock()
    marked = MarkedApp(Handler(), CachePolicy(ttl=5))
    config = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock))
    client = Client(CacheMiddleware(marked, config, rules=[Rule("/own", cache=False), Rule("/*", 60)]))
    statuses = [(await client.get(path)).cache_status for path in ("/own", "/own", "/a", "/a")]
    assert statuses[1] == "asynccache; hit; ttl=5"
    assert statuses[3] == "asynccache; hit; ttl=60"


async def test_vary_on_of_a_rule_gets_the_scope() -> None:
    """The plain middleware knows no request objects."""

    def key(scope: Any) -> str:
        keys = [value.decode() for name, value in scope["headers"] if name == b"x-key"]
        return str(keys[0])

    client, _, _ = ruled(Handler(), Rule("/*", CachePolicy(ttl=60, vary_on=key)))
    answers = [await client.get("/", [("x-key", name)]) for name in ("a", "b", "a")]
    assert [answer.text for answer in answers] == ["run 1", "run 2", "run 1"]


async def test_a_stale_response_is_refreshed_through_its_rule() -> None:
    """In the background, by the same path."""
    handler = Handler()
    client, _, clock = ruled(handler, Rule("/*", CachePolicy(ttl=1, stale_while_revalidate=9)))
    await client.get("/")
    clock.advance(2)
    assert (await client.get("/")).text == "run 1"
    await until(lambda: handler.runs == 2)
    await until(lambda: not handler.scopes[1]["asynccache"].open)
    assert (await client.get("/")).text == "run 2"


async def test_a_stale_response_stands_in_for_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """``stale_if_error``: the application's exception is logged, not raised."""
    handler = Handler()
    client, _, clock = ruled(handler, Rule("/*", CachePolicy(ttl=1, stale_if_error=9)))
    await client.get("/")
    clock.advance(2)
    handler.error = OSError("down")
    with caplog.at_level(logging.WARNING, "asynccache"):
        assert (await client.get("/")).text == "run 1"
    assert "instead of an error" in caplog.text


async def test_rules_hold_in_every_stack_of_a_middleware() -> None:
    """`around` shares them."""
    clock = FakeClock()
    config = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock))
    middleware = CacheMiddleware(Handler(), config, rules=[Rule("/*", 60)])
    client = Client(middleware.around(Handler()))
    assert [(await client.get("/")).hit for _ in range(2)] == [False, True]


async def test_websockets_and_lifespan_have_no_rules() -> None:
    """They pass."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http":
            await respond(send, b"x")

    client, _, _ = ruled(app, Rule("/*", 60))
    async with client:
        assert await client.websocket("/") == [{"type": "websocket.close"}]
