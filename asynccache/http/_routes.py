"""How routes get at the cache: the current exchange, and a policy around any ASGI application."""

from __future__ import annotations

import logging
from typing import Any

from asynccache.defaults import current
from asynccache.http._exchange import Exchange
from asynccache.http._middleware import SCOPE_KEY, ASGIApp
from asynccache.policy import CachePolicy

__all__ = ["MarkedApp", "current_exchange"]

logger = logging.getLogger("asynccache")

def current_exchange() -> Exchange | None:
    """Return the exchange of the request being handled; None outside of one, or without a middleware."""
    context = current.get()
    return context if isinstance(context, Exchange) else None


class MarkedApp:
    """An ASGI application (a route's, say) whose responses are cached under a policy."""

    def __init__(self, app: ASGIApp, policy: CachePolicy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer from the cache, or let the application answer and have it recorded."""
        exchange: Exchange | None = scope.get(SCOPE_KEY) if scope["type"] == "http" else None
        if exchange is None:
            await self.app(scope, receive, send)
            return
        reply = await exchange.lookup(self.policy, scope.get("path_params"))
        if reply is None:
            try:
                await self.app(scope, receive, send)
            except Exception as error:
                reply = exchange.rescue(error)
                if reply is None:
                    raise
                logger.warning("serving a stale response instead of an error", exc_info=True)
            else:
                return
        for message in reply.messages():
            await send(message)
