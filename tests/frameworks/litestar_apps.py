"""The small application of `framework_apps` in every spelling that Litestar's integration offers.

Its handlers are written for Starlette's requests and responses, as all are there. Litestar sends any ASGI
application that a handler returns, so a response of Starlette's passes as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from litestar import Controller, Litestar, Request, Router, route
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from asynccache import Cache, CacheConfig, InMemoryBackend
from asynccache.testing import FakeClock
from asynccache_litestar import CachePlugin
from tests.frameworks.declarations import declaring

try:
    from litestar.params import HeaderParameter
except ImportError:  # before 2.23
    from litestar.params import Parameter

    def header(name: str) -> Any:
        """Return what marks a parameter that is taken from a header."""
        return Parameter(header=name)

else:

    def header(name: str) -> Any:
        """Return what marks a parameter that is taken from a header."""
        return HeaderParameter(name=name)


if TYPE_CHECKING:
    from tests.frameworks.framework_apps import Page, Shop

__all__ = [
    "application",
    "by_cache_option",
    "by_controller",
    "by_handler",
    "by_router",
    "header",
    "in_a_thread",
]


def application(*handlers: Any, cache: CacheConfig | Cache | None = None, **options: Any) -> Litestar:
    """Return an application with the plugin; without ``cache`` on a cache in memory."""
    if cache is None:
        clock = FakeClock()
        cache = CacheConfig(clock=clock, backend=InMemoryBackend(clock=clock))
    plugins = [CachePlugin(cache), *options.pop("plugins", ())]
    return Litestar(handlers, plugins=plugins, logging_config=None, **options)


def _asynchronous(page: Page) -> Callable[..., Any]:
    async def endpoint(request: Request[Any, Any, Any]) -> Response:
        return page.handler(StarletteRequest(request.scope))  # type: ignore[arg-type]

    return declaring(endpoint, page.handler.parameters)


def _synchronous(page: Page) -> Callable[..., Any]:
    def endpoint(request: Request[Any, Any, Any]) -> Response:
        return page.handler(StarletteRequest(request.scope))  # type: ignore[arg-type]

    return declaring(endpoint, page.handler.parameters)


def _route(path: str, page: Page, **options: Any) -> HTTPRouteHandler:
    # The status is that of the response in any case; 200 keeps Litestar from expecting none of DELETE.
    return route(path, http_method=list(page.methods), status_code=200, **options)  # type: ignore[arg-type]


def _opt(page: Page) -> dict[str, Any]:
    return {} if page.policy is None else {"cache": page.policy}


def _guards(shop: Shop) -> list[Any]:
    guard = shop.guard
    if guard is None:
        return []

    async def authenticate(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
        guard(StarletteRequest(connection.scope))  # type: ignore[arg-type]

    return [authenticate]


class _Raising:
    """Raises what a handler or guard has raised once it is answered: as Starlette does, not Litestar."""

    def __init__(self, app: Litestar) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a connection."""
        await self.app(scope, receive, send)
        if scope["type"] == "http" and "raised" in scope["state"]:
            raise scope["state"]["raised"]


async def _note(error: Exception, scope: Any) -> None:
    if not isinstance(error, HTTPException):
        scope["state"]["raised"] = error


def _application(shop: Shop, handlers: Sequence[Any], **options: Any) -> _Raising:
    return _Raising(
        Litestar(
            handlers,
            plugins=[CachePlugin(shop.config)],
            middleware=[DefineMiddleware(item.cls, *item.args, **item.kwargs) for item in shop.middleware],
            after_exception=[_note],
            logging_config=None,
            openapi_config=None,
            **options,
        )
    )


def by_handler(shop: Shop) -> Any:
    """``opt`` on the handlers, the guard on the application."""
    handlers = [_route(page.path, page, opt=_opt(page))(_asynchronous(page)) for page in shop.pages]
    return _application(shop, handlers, guards=_guards(shop))


def by_cache_option(shop: Shop) -> Any:
    """Litestar's own ``cache=``, guards on the handlers."""
    handlers = [
        _route(page.path, page, cache=page.policy or False, guards=_guards(shop))(_asynchronous(page))
        for page in shop.pages
    ]
    return _application(shop, handlers)


def in_a_thread(shop: Shop) -> Any:
    """Synchronous handlers in a thread."""
    handlers = [
        _route(page.path, page, opt=_opt(page), sync_to_thread=True)(_synchronous(page))
        for page in shop.pages
    ]
    return _application(shop, handlers, guards=_guards(shop))


def by_controller(shop: Shop) -> Any:
    """A controller for each path, with everything on the controller."""

    def controller(path: str, pages: Sequence[Page]) -> Any:
        fields: dict[str, Any] = {"path": path, "opt": _shared_opt(pages), "guards": _guards(shop)}
        for number, page in enumerate(pages):
            fields[f"endpoint_{number}"] = _route("/", page)(_method(page))
        return type("PageController", (Controller,), fields)

    return _application(shop, [controller(path, pages) for path, pages in _by_path(shop)])


def by_router(shop: Shop) -> Any:
    """A router in a router for each path; the nearer one has the policy."""

    def router(path: str, pages: Sequence[Page]) -> Router:
        first, slash, rest = path.removeprefix("/").partition("/")
        handlers = [_route(slash + rest or "/", page)(_asynchronous(page)) for page in pages]
        inner = Router(f"/{first}", route_handlers=handlers, opt=_shared_opt(pages) or {"cache": False})
        return Router("/", route_handlers=[inner], opt={"cache": 1}, guards=_guards(shop))

    return _application(shop, [router(path, pages) for path, pages in _by_path(shop)])


def _by_path(shop: Shop) -> Iterable[tuple[str, list[Page]]]:
    """Group the pages: of two controllers or routers, Litestar takes no handlers of one path."""
    paths: dict[str, list[Page]] = {}
    for page in shop.pages:
        paths.setdefault(page.path, []).append(page)
    return paths.items()


def _shared_opt(pages: Sequence[Page]) -> dict[str, Any]:
    """Return the ``opt`` of what GET has a policy for; handlers of other methods inherit it."""
    return next((_opt(page) for page in pages if page.policy is not None), _opt(pages[0]))


def _method(page: Page) -> Callable[..., Any]:
    async def endpoint(self: Any, request: Request[Any, Any, Any]) -> Response:
        return page.handler(StarletteRequest(request.scope))  # type: ignore[arg-type]

    return declaring(endpoint, page.handler.parameters)
