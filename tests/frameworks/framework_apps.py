"""The same small application in every spelling the three frameworks' integrations offer."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
from fastapi import Depends
from starlette import routing
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

import asynccache_fastapi
import asynccache_starlette
from asynccache import CacheConfig, CachePolicy, GuardConfig, HTTPConfig, InMemoryBackend
from asynccache.http import Rule
from asynccache.testing import FakeClock
from asynccache_starlette import cache_response
from tests.frameworks import layered_apps, litestar_apps
from tests.frameworks.declarations import declaring
from tests.frameworks.framework_stores import MEMORY, Store
from tests.http_middleware.asgi_client import Client

__all__ = ["SPELLINGS", "Counting", "Page", "Shop", "Spelling", "configured"]


class Counting:
    """A handler that counts its runs; it answers what ``respond`` says, by default the number of the run.

    Its endpoints have ``parameters`` beside the request: what they declare to read.
    """

    def __init__(
        self,
        respond: Callable[[Request, int], Response] | None = None,
        parameters: Sequence[inspect.Parameter] = (),
    ) -> None:
        self.runs = 0
        self.parameters = parameters
        self._respond = respond

    def __call__(self, request: Request) -> Response:
        """Answer."""
        self.runs += 1
        if self._respond is None:
            return PlainTextResponse(f"run {self.runs}")
        return self._respond(request, self.runs)


@dataclass(frozen=True)
class Page:
    """One route of the application."""

    path: str
    handler: Counting
    policy: CachePolicy | None = None
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclass
class Shop:
    """The application's description."""

    pages: Sequence[Page]
    config: CacheConfig
    guard: Callable[[Request], None] | None = None
    """Called before every request that reaches a route: it authenticates."""
    depends: Sequence[Any] = ()
    """More dependencies, as FastAPI takes them; where the guard is."""
    middleware: list[Middleware] = field(default_factory=list[Middleware])


@dataclass(frozen=True)
class Spelling:
    """One way to write it."""

    name: str
    build: Callable[[Shop], Any]
    guards_outside: bool = False
    """What authenticates stands in front of the cache, so it sees the hits of public routes too."""
    plain_paths_only: bool = False
    """Paths that might be read as others are not cached."""
    screens_hosts: bool = False
    """The framework itself answers 400 to some malformed Hosts, before routing and before the cache."""
    store: Store = MEMORY

    @asynccontextmanager
    async def serve(
        self,
        pages: Iterable[Page],
        *,
        clock: FakeClock | None = None,
        guard: Callable[[Request], None] | None = None,
        middleware: Iterable[Middleware] = (),
        http: HTTPConfig | None = None,
        depends: Sequence[Any] = (),
        **settings: Any,
    ) -> AsyncGenerator[Client]:
        """Run the application and return a client of it."""
        clock = clock or FakeClock()
        if "backend" not in settings:
            settings["backend"] = self.store.backend(clock)
        settings.setdefault("namespace", self.store.namespace)
        settings.setdefault("guard", GuardConfig(timeout=20))  # misses of a busy machine prove nothing
        config = configured(clock, http, **settings)
        shop = Shop(list(pages), config, guard, depends, list(middleware))
        async with Client(self.build(shop)) as client:
            yield client


def configured(
    clock: FakeClock | None = None, http: HTTPConfig | None = None, **settings: Any
) -> CacheConfig:
    """Return a configuration in memory on ``clock``."""
    clock = clock or FakeClock()
    settings.setdefault("backend", InMemoryBackend(clock=clock))
    return CacheConfig(clock=clock, http=http or HTTPConfig(), **settings)


def asynchronous(handler: Counting) -> Callable[..., Any]:
    """Return the handler as an asynchronous endpoint."""

    async def endpoint(request: Request) -> Response:
        return handler(request)

    return declaring(endpoint, handler.parameters)


def synchronous(handler: Counting) -> Callable[..., Any]:
    """Return the handler as a synchronous endpoint."""

    def endpoint(request: Request) -> Response:
        return handler(request)

    return declaring(endpoint, handler.parameters)


class _Guard:
    """The guard as a middleware of one route."""

    def __init__(self, app: Any, guard: Callable[[Request], None]) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask the guard, then go on."""
        self.guard(Request(scope))
        await self.app(scope, receive, send)


def _marked(page: Page, endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if page.policy is None:
        return endpoint
    marked: Callable[..., Any] = cache_response(policy=page.policy)(endpoint)
    return marked


def _dependencies(shop: Shop) -> list[Any]:
    guard = shop.guard
    if guard is None:
        return [*shop.depends]

    async def authenticate(request: Request) -> None:
        guard(request)

    return [Depends(authenticate), *shop.depends]


def _fastapi_decorator(shop: Shop) -> Any:
    cache = Middleware(asynccache_fastapi.CacheMiddleware, config=shop.config)
    app = fastapi.FastAPI(middleware=[*shop.middleware, cache], dependencies=_dependencies(shop))
    for page in shop.pages:
        app.api_route(page.path, methods=list(page.methods))(_marked(page, asynchronous(page.handler)))
    return app


def _fastapi_drop_in(shop: Shop, convert: Callable[[Counting], Callable[..., Any]] = asynchronous) -> Any:
    app = asynccache_fastapi.FastAPI(
        cache=shop.config, middleware=shop.middleware, dependencies=_dependencies(shop)
    )
    for page in shop.pages:
        app.api_route(page.path, methods=list(page.methods), cache=page.policy)(convert(page.handler))
    return app


def _split(path: str) -> tuple[str, str]:
    first, slash, rest = path.removeprefix("/").partition("/")
    return f"/{first}", slash + rest


def _fastapi_routers(shop: Shop) -> Any:
    outer = asynccache_fastapi.APIRouter()
    for page in shop.pages:
        prefix, rest = _split(page.path)
        inner = asynccache_fastapi.APIRouter()
        inner.api_route(rest, methods=list(page.methods), cache=page.policy)(asynchronous(page.handler))
        outer.include_router(inner, prefix=prefix)
    app = asynccache_fastapi.FastAPI(cache=shop.config, middleware=shop.middleware)
    app.include_router(outer, dependencies=_dependencies(shop))
    return app


def _fastapi_plain_routers(shop: Shop) -> Any:
    outer = fastapi.APIRouter()
    for page in shop.pages:
        prefix, rest = _split(page.path)
        inner = fastapi.APIRouter(prefix=prefix, dependencies=_dependencies(shop))
        inner.api_route(rest, methods=list(page.methods))(_marked(page, asynchronous(page.handler)))
        outer.include_router(inner)
    cache = Middleware(asynccache_fastapi.CacheMiddleware, config=shop.config)
    app = fastapi.FastAPI(middleware=[*shop.middleware, cache])
    app.include_router(outer)
    return app


def _route_middleware(shop: Shop) -> list[Middleware] | None:
    return None if shop.guard is None else [Middleware(_Guard, guard=shop.guard)]


def _starlette_decorator(shop: Shop) -> Any:
    routes = [
        routing.Route(
            page.path,
            _marked(page, asynchronous(page.handler)),
            methods=list(page.methods),
            middleware=_route_middleware(shop),
        )
        for page in shop.pages
    ]
    cache = Middleware(asynccache_starlette.CacheMiddleware, config=shop.config)
    return Starlette(routes=routes, middleware=[*shop.middleware, cache])


def _starlette_drop_in(shop: Shop, convert: Callable[[Counting], Callable[..., Any]] = asynchronous) -> Any:
    routes = [
        asynccache_starlette.Route(
            page.path,
            convert(page.handler),
            methods=list(page.methods),
            cache=page.policy,
            middleware=_route_middleware(shop),
        )
        for page in shop.pages
    ]
    return asynccache_starlette.Starlette(routes=routes, cache=shop.config, middleware=shop.middleware)


def _starlette_classes(shop: Shop) -> Any:
    """One class per path, for all its methods: the whole route carries the policy."""
    paths: dict[str, list[Page]] = {}
    for page in shop.pages:
        paths.setdefault(page.path, []).append(page)
    routes: list[routing.Route] = []
    for path, pages in paths.items():
        methods = {
            method.lower(): _method(page.handler)
            for page in pages
            for method in page.methods
            if method != "HEAD"
        }
        policies = [page.policy for page in pages if page.policy is not None]
        endpoint = type("Endpoint", (HTTPEndpoint,), methods)
        policy = policies[0] if policies else None
        middleware = _route_middleware(shop)
        routes.append(asynccache_starlette.Route(path, endpoint, cache=policy, middleware=middleware))
    return asynccache_starlette.Starlette(routes=routes, cache=shop.config, middleware=shop.middleware)


def _method(handler: Counting) -> Callable[..., Any]:
    async def method(_: HTTPEndpoint, request: Request) -> Response:
        return handler(request)

    return method


def _rules(shop: Shop) -> Any:
    """Nothing of ours in the application: paths with policies around it."""
    endpoints = [
        routing.Route(page.path, asynchronous(page.handler), methods=list(page.methods))
        for page in shop.pages
    ]
    policies: dict[str, CachePolicy] = {}
    for page in shop.pages:
        if page.policy is not None:
            policies.setdefault(page.path, page.policy)
    rules = [Rule(path.replace("{rest:path}", "*"), policy) for path, policy in policies.items()]
    app = Starlette(routes=endpoints)
    cached: Any = asynccache_starlette.CacheMiddleware(app, shop.config, rules=rules)
    if shop.guard is not None:
        cached = _HTTPOnly(_Guard(cached, shop.guard), cached)
    for outer in reversed(shop.middleware):
        cached = outer.cls(cached, *outer.args, **outer.kwargs)
    return cached


class _HTTPOnly:
    """A guard in front of an application is not asked about its lifespan."""

    def __init__(self, app: Any, other: Any) -> None:
        self.app = app
        self.other = other

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a connection."""
        await (self.app if scope["type"] == "http" else self.other)(scope, receive, send)


SPELLINGS = (
    Spelling("fastapi-decorator", _fastapi_decorator),
    Spelling("fastapi-drop-in", _fastapi_drop_in),
    Spelling("fastapi-drop-in-sync", lambda shop: _fastapi_drop_in(shop, synchronous)),
    Spelling("fastapi-drop-in-routers", _fastapi_routers),
    Spelling("fastapi-plain-routers", _fastapi_plain_routers),
    Spelling("fastapi-router-policy", layered_apps.by_router),
    Spelling("fastapi-include-policy", layered_apps.by_inclusion),
    Spelling("fastapi-include-policy-sync", lambda shop: layered_apps.by_inclusion(shop, in_a_thread=True)),
    Spelling("fastapi-dependency", layered_apps.by_dependency),
    Spelling("fastapi-dependency-sync", lambda shop: layered_apps.by_dependency(shop, in_a_thread=True)),
    Spelling("fastapi-router-dependency", layered_apps.by_router_dependency),
    Spelling("starlette-decorator", _starlette_decorator),
    Spelling("starlette-drop-in", _starlette_drop_in),
    Spelling("starlette-drop-in-sync", lambda shop: _starlette_drop_in(shop, synchronous)),
    Spelling("starlette-endpoint-class", _starlette_classes),
    Spelling("starlette-mount", layered_apps.by_mount),
    Spelling("starlette-mount-class", lambda shop: layered_apps.by_mount(shop, classes=True)),
    Spelling("any-asgi-rules", _rules, guards_outside=True, plain_paths_only=True),
    Spelling("litestar-handler", litestar_apps.by_handler, screens_hosts=True),
    Spelling("litestar-cache-option", litestar_apps.by_cache_option, screens_hosts=True),
    Spelling("litestar-handler-sync", litestar_apps.in_a_thread, screens_hosts=True),
    Spelling("litestar-controller", litestar_apps.by_controller, screens_hosts=True),
    Spelling("litestar-router", litestar_apps.by_router, screens_hosts=True),
)
