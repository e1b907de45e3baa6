"""An application's request under a policy: answered from the cache, or by the application and recorded."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asynccache.http._exchange import Exchange
from asynccache.policy import CachePolicy

__all__ = ["ASGIApp", "serve"]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

logger = logging.getLogger("asynccache")


async def serve(
    app: ASGIApp,
    scope: Any,
    receive: Any,
    send: Any,
    *,
    exchange: Exchange,
    policy: CachePolicy,
    parameters: Mapping[str, Any] | None,
    connect: Callable[[Any], Any],
) -> None:
    """Answer a request from the cache, or let ``app`` answer and have it recorded.

    Args:
        app: The application.
        scope: The request, as the application gets it.
        receive: As the application gets it.
        send: As the application gets it; it leads through the exchange.
        exchange: The request's dealings with the cache.
        policy: What it is cached under.
        parameters: What ``{names}`` in the policy's tags stand for.
        connect: Makes of a scope what ``policy.vary_on`` is called with.
    """
    reply = exchange.ready(policy)
    if reply is None:
        connection = scope if policy.vary_on is None else connect(scope)
        reply = await exchange.lookup(policy, parameters, connection)
    if reply is None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            reply = await exchange.rescue(error)
            if reply is None:
                raise
            logger.warning("serving a stale response instead of an error", exc_info=True)
        else:
            return
    for message in reply.messages():
        await send(message)
