"""Where a handler's policy comes from in Litestar, what is refused at start, and what is only reported."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from litestar import Controller, Litestar, Request, Router, asgi, get, post, route
from litestar.config.app import AppConfig
from litestar.config.compression import CompressionConfig
from litestar.config.csrf import CSRFConfig
from litestar.config.response_cache import CACHE_FOREVER, ResponseCacheConfig
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.exceptions import NotFoundException
from litestar.plugins import InitPlugin
from litestar.response import ServerSentEvent
from litestar.stores.memory import MemoryStore

from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError
from asynccache.testing import FakeClock
from asynccache_litestar import CachePlugin
from tests.frameworks.framework_apps import configured
from tests.frameworks.litestar_apps import application
from tests.http_middleware.asgi_client import Client, Headers

AnyRequest = Request[Any, Any, Any]


def handler(path: str = "/", **options: Any) -> Any:
    """Return a handler that says how often it ran."""
    runs: list[int] = []

    @get(path, **options)
    async def endpoint() -> str:
        runs.append(1)
        return f"{len(runs)}"

    return endpoint


async def _method(self: Any) -> str:
    return "x"


async def fresh_for(app: Litestar, target: str = "/") -> str:
    """Return how long the stored response is fresh: what Cache-Status says of a hit."""
    async with Client(app) as client:
        await client.get(target)
        return (await client.get(target)).cache_status


@pytest.mark.parametrize(
    "value,ttl",
    [
        (True, "300"),
        (30, "30"),
        (2.5, "2"),
        (timedelta(minutes=1), "60"),
        (CACHE_FOREVER, "999999999999999"),
        (CachePolicy(ttl=5), "5"),
    ],
)
@pytest.mark.parametrize("spelling", ["cache", "opt"])
async def test_every_kind_of_value_in_every_spelling(value: Any, ttl: str, spelling: str) -> None:
    """``cache=``, ``opt={"cache": ...}``."""
    options: dict[str, Any] = {"cache": value} if spelling == "cache" else {"opt": {"cache": value}}
    assert await fresh_for(application(handler(**options))) == f"asynccache; hit; ttl={ttl}"


async def test_an_option_may_be_the_policys_fields() -> None:
    """A dict, for applications that are configured from files."""
    fields = {"ttl": 7, "tags": ["a"]}
    assert await fresh_for(application(handler(opt={"cache": fields}))) == "asynccache; hit; ttl=7"


async def test_the_nearest_layer_wins() -> None:
    """Application, router, controller, handler; False switches off, Litestar's own ``cache=`` is nearest."""

    class Pages(Controller):
        """Says 4."""

        path = "/controller"
        opt = {"cache": 4}  # noqa: RUF012 - Litestar's way

        inherits = get("/inherits")(_method)
        own = get("/own", opt={"cache": 5})(_method)
        keyword = get("/keyword", cache=6)(_method)
        off = get("/off", opt={"cache": False})(_method)

    inner = Router("/inner", route_handlers=[Pages, handler("/plain")], opt={"cache": 3})
    outer = Router("/outer", route_handlers=[inner, handler("/plain")], opt={"cache": 2})
    app = application(outer, handler("/plain"), opt={"cache": 1})
    expected = {
        "/plain": "1",
        "/outer/plain": "2",
        "/outer/inner/plain": "3",
        "/outer/inner/controller/inherits": "4",
        "/outer/inner/controller/own": "5",
        "/outer/inner/controller/keyword": "6",
    }
    async with Client(app) as client:
        for path, ttl in expected.items():
            await client.get(path)
            assert (await client.get(path)).cache_status == f"asynccache; hit; ttl={ttl}", path
        for _ in range(2):
            assert (await client.get("/outer/inner/controller/off")).cache_status == ""


async def test_handlers_of_other_methods_do_not_inherit() -> None:
    """A controller's option concerns what can be cached, and its POST handlers work as ever."""

    @post("/")
    async def write() -> str:
        return "written"

    @asgi("/mounted", copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mounted"})

    async with Client(application(write, mounted, opt={"cache": 60})) as client:
        for _ in range(2):
            answer = await client.request("POST", "/")
            assert (answer.status, answer.text, answer.cache_status) == (201, "written", "")
            assert (await client.get("/mounted")).cache_status == ""


@pytest.mark.parametrize("options", [{"cache": True}, {"cache": 5}, {"opt": {"cache": 5}}])
def test_a_policy_on_a_handler_that_cannot_be_cached_is_refused(options: Any) -> None:
    """Litestar itself stores answers to POST, for ever: whoever asked for that asked for something else."""

    @post("/", **options)
    async def write() -> None: ...

    with pytest.raises(ConfigurationError, match="GET and HEAD"):
        application(write)


def test_a_policy_on_a_mounted_application_is_refused() -> None:
    """It is cached by what it marks itself."""

    @asgi("/", opt={"cache": 5}, copy_scope=True)
    async def mounted(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="GET and HEAD"):
        application(mounted)


@pytest.mark.parametrize("value", ["60", 0, -1, float("inf"), object(), [60]])
@pytest.mark.parametrize("spelling", ["cache", "opt"])
def test_wrong_values_are_refused_with_the_handlers_name(value: Any, spelling: str) -> None:
    """When the application is made, not at the first request."""
    options: dict[str, Any] = {"cache": value} if spelling == "cache" else {"opt": {"cache": value}}
    with pytest.raises(ConfigurationError, match=r"endpoint: cache must be"):
        application(handler(**options))


def test_two_policies_on_one_handler_are_refused() -> None:
    """Neither is nearer."""
    with pytest.raises(ConfigurationError, match="keep one"):
        application(handler(cache=5, opt={"cache": 6}))


def test_a_tag_that_names_an_unknown_parameter_is_refused() -> None:
    """Tags are filled in from path parameters and arguments, which are known now."""
    with pytest.raises(ConfigurationError, match="idd"):
        application(handler("/items/{id:int}", opt={"cache": CachePolicy(tags=["item:{idd}"])}))


async def test_tags_are_filled_in_from_the_path_and_invalidate() -> None:
    """``item:{id}`` of one item is that item's alone."""
    cache = Cache(configured())
    items = handler("/items/{id:int}", opt={"cache": CachePolicy(tags=["items", "item:{id}"])})
    async with Client(application(items, cache=cache)) as client:
        for path in ("/items/1", "/items/2"):
            await client.get(path)
        await cache.invalidate_tags("item:1")
        assert [(await client.get(path)).hit for path in ("/items/1", "/items/2")] == [False, True]
        await cache.invalidate_tags("items")
        assert not (await client.get("/items/2")).hit


# -- Litestar's own configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize("default,ttl", [(60, "300"), (61, "61"), (None, "999999999999999")])
async def test_default_expiration_is_honoured_where_it_is_set(default: int | None, ttl: str) -> None:
    """``cache=True`` lasts as long as the application says, else as long as the cache's default_ttl."""
    config = ResponseCacheConfig(default_expiration=default)
    app = application(handler(cache=True), response_cache_config=config)
    assert await fresh_for(app) == f"asynccache; hit; ttl={ttl}"


@pytest.mark.parametrize("layer", ["application", "handler"])
async def test_a_key_builder_adds_to_the_key_and_takes_nothing_from_it(layer: str) -> None:
    """It can keep requests apart, never merge URLs, and says nothing about users."""

    def build(request: AnyRequest) -> str:
        return request.headers.get("x-tenant", "")

    options: dict[str, Any] = {"cache_key_builder": build} if layer == "handler" else {}
    config = ResponseCacheConfig(key_builder=build) if layer == "application" else None
    app = application(handler(cache=60, **options), response_cache_config=config)
    async with Client(app) as client:
        sent: list[tuple[str, Headers]] = [
            ("/", [("x-tenant", "a")]),
            ("/", [("x-tenant", "b")]),
            ("/", []),
            ("/?q", [("x-tenant", "a")]),
        ]
        for hit in (False, True):
            answers = [await client.get(target, headers) for target, headers in sent]
            assert [answer.text for answer in answers] == ["1", "2", "3", "4"]
            assert [answer.hit for answer in answers] == [hit] * 4
        for name in ("authorization", "cookie"):
            alice = await client.get("/", [("x-tenant", "a"), (name, "alice")])
            assert (alice.hit, "stored" in alice.cache_status) == (False, False)


async def test_the_response_filter_decides_about_statuses() -> None:
    """With ``cache=`` it may allow what a cache may keep at all; with a policy it may only refuse."""
    runs: list[int] = []

    def keep(scope: Any, status: int) -> bool:
        return scope["path"] != "/no" and status in {200, 404}

    async def missing() -> str:
        runs.append(1)
        raise NotFoundException

    app = application(
        get("/plain", cache=60)(missing),
        get("/policy", opt={"cache": CachePolicy(ttl=60)})(missing),
        handler("/no", cache=60),
        handler("/yes", cache=60),
        response_cache_config=ResponseCacheConfig(cache_response_filter=keep),
    )
    async with Client(app) as client:
        seen = {
            path: [await client.get(path) for _ in range(2)][1]
            for path in ("/plain", "/policy", "/no", "/yes")
        }
    assert (seen["/plain"].hit, seen["/plain"].status) == (True, 404)
    assert seen["/policy"].cache_status.endswith("; detail=status")
    assert seen["/no"].cache_status == "asynccache; fwd=uri-miss; detail=filter"
    assert seen["/yes"].hit


@pytest.mark.parametrize(
    "options",
    [
        {"response_cache_config": ResponseCacheConfig(store="redis")},
        {"stores": {"response_cache": MemoryStore()}},
    ],
)
def test_a_store_for_responses_is_refused(options: Any) -> None:
    """It would be ignored: responses are kept in the plugin's."""
    with pytest.raises(ConfigurationError, match="keeps responses in its own store"):
        application(handler(cache=60), **options)


def test_compression_that_is_configured_behind_our_back_is_refused() -> None:
    """Then it would stand inside of the cache."""

    class Compressing(InitPlugin):
        """Sets compression."""

        def on_app_init(self, app_config: AppConfig) -> AppConfig:
            """Set it."""
            app_config.compression_config = CompressionConfig(backend="gzip")
            return app_config

    with pytest.raises(ConfigurationError, match="compression belongs outside"):
        application(handler(), plugins=[Compressing()])


@pytest.mark.parametrize("value", [1, "memory://", object()])
def test_a_plugin_takes_a_configuration_or_a_cache(value: Any) -> None:
    """Nothing else."""
    with pytest.raises(ConfigurationError, match="CacheConfig"):
        CachePlugin(value)
    assert CachePlugin().cache.config == CacheConfig()


# -- what is only reported ----------------------------------------------------------------------------------


async def _text() -> str:
    return "x"


async def _events() -> ServerSentEvent:
    return ServerSentEvent("x")


HOPELESS: list[tuple[str, dict[str, Any], Any]] = [
    ("response_cookies", {"response_cookies": [Cookie(key="a", value="b")]}, _text),
    ("Cache-Control is private", {"cache_control": CacheControlHeader(private=True)}, _text),
    ("status 202", {"status_code": 202}, _text),
    ("server-sent events", {}, _events),
]


@pytest.mark.parametrize("reason,options,function", HOPELESS, ids=[row[0] for row in HOPELESS])
def test_what_will_never_be_stored_is_reported(
    reason: str, options: Any, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning when the application is made; without a policy none."""
    with caplog.at_level(logging.WARNING, "asynccache"):
        application(get("/", **options)(function))
        assert not caplog.records
        application(get("/", cache=60, **options)(function))
    assert [reason in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "policy,reported",
    [(CachePolicy(), True), (CachePolicy(cookies=()), False), (CachePolicy(public=True), False)],
)
async def test_csrf_protection_is_compatible_where_cookies_do_not_matter(
    policy: CachePolicy, reported: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A response that carries a new token is for one client; hits get a token of their own."""
    csrf = CSRFConfig(secret="secret")
    with caplog.at_level(logging.WARNING, "asynccache"):
        app = application(handler(opt={"cache": policy}), csrf_config=csrf)
    assert any("CSRF" in record.getMessage() for record in caplog.records) == reported
    if reported:
        return
    async with Client(app) as client:
        first = await client.get("/")
        assert first.cache_status == "asynccache; fwd=uri-miss; detail=set-cookie"
        cookie = (first.header("set-cookie") or "").partition(";")[0]
        stored = await client.get("/", [("cookie", cookie)])
        hit = await client.get("/", [("cookie", cookie)])
    assert stored.cache_status.endswith("; stored")
    assert (hit.hit, hit.text, hit.header("set-cookie")) == (True, "2", None)


async def test_a_handler_that_writes_to_the_session_is_not_stored() -> None:
    """The session's cookie is added outside of the cache, so we look at the session itself."""

    def sessions(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            scope["session"] = {}
            await app(scope, receive, send)

        return middleware

    @get("/writes", cache=60)
    async def writes(request: AnyRequest) -> str:
        request.session["user"] = "alice"
        return "welcome alice"

    @get("/replaces", cache=60)
    async def replaces(request: AnyRequest) -> str:
        request.scope["session"] = {"user": "alice"}
        return "welcome alice"

    async with Client(
        application(writes, replaces, handler("/reads", cache=60), middleware=[sessions])
    ) as client:
        for path, status in (
            ("/writes", "detail=session"),
            ("/replaces", "detail=session"),
            ("/reads", "hit; ttl=60"),
        ):
            await client.get(path)
            assert (await client.get(path)).cache_status.endswith(status)


async def test_litestars_key_collision_is_none_here() -> None:
    """Litestar joins method, path and query with nothing between: /itemsid=1 is /items?id=1 there."""
    app = application(handler("/items", cache=60), handler("/{name:str}", cache=60))
    async with Client(app) as client:
        assert (await client.get("/itemsid=1")).text == "1"
        answer = await client.get("/items?id=1")
    assert (answer.hit, answer.text) == (False, "1")


async def test_head_is_answered_from_get_where_a_route_has_both() -> None:
    """And a route of both methods has one policy."""

    @route("/", http_method=["GET", "HEAD"], cache=60, sync_to_thread=False)
    def both() -> str:
        return "x"

    async with Client(application(both, cache=configured(FakeClock()))) as client:
        await client.get("/")
        head = await client.request("HEAD", "/")
    assert (head.hit, head.body) == (True, b"")
