"""How routes get at the cache: the current exchange, and a policy around any ASGI application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asynccache.defaults import current
from asynccache.http._exchange import Exchange
from asynccache.http._marking import ASGIApp, serve
from asynccache.http._middleware import SCOPE_KEY
from asynccache.policy import CachePolicy

__all__ = ["MarkedApp", "current_exchange"]

logger = logging.getLogger("asynccache")


def current_exchange() -> Exchange | None:
    """Return the exchange of the request being handled; None outside of one, or without a middleware."""
    context = current.get()
    return context if isinstance(context, Exchange) else None


class MarkedApp:
    """An ASGI application (a route's, say) whose responses are cached under a policy.

    Args:
        app: The application.
        policy: The policy.
        connect: Makes of a scope what ``policy.vary_on`` is called with; left out: the scope itself.
    """

    def __init__(
        self, app: ASGIApp, policy: CachePolicy, connect: Callable[[Any], Any] | None = None
    ) -> None:
        self.app = app
        self.policy = policy
        self._connect = _itself if connect is None else connect
        self._told = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer from the cache, or let the application answer and have it recorded."""
        http: bool = scope["type"] == "http"
        exchange: Exchange | None = scope.get(SCOPE_KEY) if http else None
        if exchange is None:
            if http and not self._told:
                self._told = True
                logger.warning("%s is not cached: the application has no CacheMiddleware", scope["path"])
            await self.app(scope, receive, send)
            return
        await serve(
            self.app,
            scope,
            receive,
            send,
            exchange=exchange,
            policy=self.policy,
            parameters=scope.get("path_params"),
            connect=self._connect,
        )


def _itself(scope: Any) -> Any:
    return scope
