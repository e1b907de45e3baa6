"""The same application with its policies on what is around the routes: routers, inclusions, mounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fastapi
from fastapi import Depends
from starlette import routing
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

import asynccache_fastapi
import asynccache_starlette
from tests.frameworks.declarations import declaring

if TYPE_CHECKING:
    from tests.frameworks.framework_apps import Page, Shop

__all__ = ["by_dependency", "by_inclusion", "by_mount", "by_router", "by_router_dependency"]


def _endpoint(page: Page, *, in_a_thread: bool = False) -> Callable[..., Any]:
    handler = page.handler

    async def asynchronous(request: Request) -> Response:
        return handler(request)

    def synchronous(request: Request) -> Response:
        return handler(request)

    return declaring(synchronous if in_a_thread else asynchronous, handler.parameters)


def _authentication(shop: Shop) -> list[Any]:
    guard = shop.guard
    if guard is None:
        return [*shop.depends]

    async def authenticate(request: Request) -> None:
        guard(request)

    return [Depends(authenticate), *shop.depends]


class _Guarded:
    """The guard as a middleware of one route."""

    def __init__(self, app: Any, guard: Callable[[Request], None]) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask the guard, then go on."""
        self.guard(Request(scope))
        await self.app(scope, receive, send)


def _router(page: Page, kind: Any, endpoint: Callable[..., Any], **options: Any) -> tuple[str, Any]:
    """Return the prefix and the router of one page, so that a layer's policy is that page's."""
    first, slash, rest = page.path.removeprefix("/").partition("/")
    router = kind(**options)
    router.api_route(slash + rest, methods=list(page.methods))(endpoint)
    return f"/{first}", router


def _plain(shop: Shop) -> fastapi.FastAPI:
    cache = Middleware(asynccache_fastapi.CacheMiddleware, config=shop.config)
    return fastapi.FastAPI(middleware=[*shop.middleware, cache])


def _controls(page: Page) -> list[Any]:
    return [] if page.policy is None else [asynccache_fastapi.CacheControl(page.policy)]


def by_router(shop: Shop) -> Any:
    """Drop-in classes; the policy is the router's."""
    app = asynccache_fastapi.FastAPI(
        cache=shop.config, middleware=shop.middleware, dependencies=_authentication(shop)
    )
    for page in shop.pages:
        prefix, router = _router(
            page, asynccache_fastapi.APIRouter, _endpoint(page, in_a_thread=True), cache=page.policy
        )
        app.include_router(router, prefix=prefix)
    return app


def by_inclusion(shop: Shop, *, in_a_thread: bool = False) -> Any:
    """The policy is given where a plain router is included; what authenticates is on the routes."""
    app = asynccache_fastapi.FastAPI(cache=shop.config, middleware=shop.middleware, cache_policy=False)
    for page in shop.pages:
        endpoint = _endpoint(page, in_a_thread=in_a_thread)
        prefix, router = _router(page, fastapi.APIRouter, endpoint, dependencies=_authentication(shop))
        app.include_router(router, prefix=prefix, cache=page.policy)
    return app


def by_dependency(shop: Shop, *, in_a_thread: bool = False) -> Any:
    """Plain FastAPI; the policy is a dependency of the route, and stands before what authenticates."""
    app = _plain(shop)
    for page in shop.pages:
        dependencies = [*_controls(page), *_authentication(shop)]
        endpoint = _endpoint(page, in_a_thread=in_a_thread)
        app.api_route(page.path, methods=list(page.methods), dependencies=dependencies)(endpoint)
    return app


def by_router_dependency(shop: Shop) -> Any:
    """Plain FastAPI; the policy is a dependency of a router inside of a router."""
    outer = fastapi.APIRouter(dependencies=_authentication(shop))
    for page in shop.pages:
        prefix, router = _router(page, fastapi.APIRouter, _endpoint(page), dependencies=_controls(page))
        outer.include_router(router, prefix=prefix)
    app = _plain(shop)
    app.include_router(outer)
    return app


def by_mount(shop: Shop, *, classes: bool = False) -> Any:
    """The policy is that of a mount around all routes; pages with another one say so themselves."""
    policies = [page.policy for page in shop.pages if page.policy is not None]
    policy = policies[0] if policies else None
    guard = None if shop.guard is None else [Middleware(_Guarded, guard=shop.guard)]
    routes: list[routing.BaseRoute] = []
    for page in shop.pages:
        endpoint: Any = _endpoint(page)
        methods: list[str] | None = list(page.methods)
        if classes:
            names = [method.lower() for method in page.methods if method != "HEAD"]
            endpoint = type("Endpoint", (HTTPEndpoint,), dict.fromkeys(names, _method(page)))
        own = None if page.policy is policy else False if page.policy is None else page.policy
        routes.append(
            asynccache_starlette.Route(page.path, endpoint, methods=methods, cache=own, middleware=guard)
        )
    mount = asynccache_starlette.Mount("", routes=[routing.Mount("", routes=routes)], cache=policy)
    return asynccache_starlette.Starlette(routes=[mount], cache=shop.config, middleware=shop.middleware)


def _method(page: Page) -> Callable[..., Any]:
    async def method(_: HTTPEndpoint, request: Request) -> Response:
        return page.handler(request)

    return method
