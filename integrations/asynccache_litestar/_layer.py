"""Where the cache stands: inside of all middleware of a route, outside of its guards and its handler.

    middleware of application, router, controller, handler > compression > the cache > allowed hosts > CSRF
    > exception handlers > guards > before_request > dependencies > handler > DTO > after_request

So identity bytes are stored, a cookie of the CSRF protection is seen, and what middleware adds to responses
is added to hits as it is to misses.
"""

from __future__ import annotations

from typing import Any

from litestar.types import ASGIApp
from litestar.utils.scope.state import CONNECTION_STATE_KEY, ScopeState

from asynccache import Cache, http
from asynccache.http import current_exchange
from asynccache_litestar._reading import Readings
from asynccache_litestar._settings import StatusFilter

__all__ = ["Filter", "Layer"]


class Layer(http.CacheMiddleware):
    """The core's middleware, which all routes of an application share by `around`.

    Args:
        app: As the core's.
        cache: As the core's.
    """

    def __init__(self, app: ASGIApp, *, cache: Cache) -> None:
        super().__init__(app, cache=cache)
        self.readings = Readings()
        """What the handlers read."""

    def around_mounted(self, app: ASGIApp) -> ASGIApp:
        """Return the middleware of a mounted application, of whose path Litestar has cut off the beginning.

        Only a server that sends ``raw_path`` still tells what was asked for; else the cache stays out of it.
        """
        inside = self.around(app)

        async def mounted(scope: Any, receive: Any, send: Any) -> None:
            known = scope["type"] != "http" or scope.get("raw_path") is not None
            await (inside if known else app)(scope, receive, send)

        return mounted

    def reads(self, scope: Any) -> http.Reads:
        """Return what the handler and its dependencies declare to read of the request."""
        return self.readings.of(scope.get("route_handler"))

    def repeating(self, scope: Any) -> None:
        """Forget what Litestar remembers of the earlier request: its fields, dependencies and so on."""
        scope["state"].pop(CONNECTION_STATE_KEY, None)
        ScopeState.from_scope(scope).exception_handlers = scope["route_handler"].resolve_exception_handlers()


class Filter:
    """Keeps out of the store what ``cache_response_filter`` of the application's configuration says no to.

    Args:
        app: The rest of the route.
        keep: The filter.
    """

    def __init__(self, app: ASGIApp, keep: StatusFilter) -> None:
        self._app = app
        self._keep = keep

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask the filter when the response begins."""
        exchange = current_exchange()
        if exchange is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def filtered(message: Any) -> None:
            if (
                message["type"] == "http.response.start"
                and exchange.open
                and not self._keep(scope, message["status"])
            ):
                await exchange.refuse("filter")
            await send(message)

        await self._app(scope, receive, filtered)
