"""What those around and inside a route may say: a layer's policy, a handler's wishes, and what to forget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from asynccache.errors import ConfigurationError
from asynccache.http import rules
from asynccache.http._context import CacheContext
from asynccache.http._exchange import Exchange
from asynccache.http._marking import ASGIApp
from asynccache.http._middleware import SCOPE_KEY
from asynccache.http._responses import ResponseCache
from asynccache.http._routes import MarkedApp, current_exchange
from asynccache.policy import CachePolicy

__all__ = ["InheritingApp", "cache_context", "inherited_policy", "invalidate_paths"]

_HTTP: Final = {"ws": "http", "wss": "https"}


def cache_context() -> CacheContext:
    """Return where a running handler, or what it calls, says something about the response it will give.

    >>> context = cache_context()
    >>> context.ttl = 5
    >>> context.add_tags("shop:7")
    >>> context.no_store()

    Outside of a request, or in a route that is not cached, saying so does nothing: a function that says what
    it found may be called from anywhere.
    """
    exchange = current_exchange()
    return CacheContext() if exchange is None else exchange.context


def inherited_policy(exchange: Exchange) -> CachePolicy | None:
    """Return the policy that layers around a route give to this request; only GET and HEAD have one."""
    return exchange.inherited if exchange.method in ("GET", "HEAD") else None


class InheritingApp:
    """An ASGI application (a route's, say) that is cached under the policy of a layer around it, if any.

    Args:
        app: The application.
        connect: Makes of a scope what ``vary_on`` is called with; left out: the scope itself.
    """

    def __init__(self, app: ASGIApp, connect: Callable[[Any], Any] | None = None) -> None:
        self.app = app
        self._connect = connect

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as a `MarkedApp` of the policy in force, or as the application alone."""
        exchange: Exchange | None = scope.get(SCOPE_KEY) if scope["type"] == "http" else None
        policy = None if exchange is None else inherited_policy(exchange)
        app = self.app if policy is None else MarkedApp(self.app, policy, self._connect)
        await app(scope, receive, send)


async def invalidate_paths(scope: Any, paths: Iterable[str], base_urls: Iterable[str] = ()) -> bool:
    """Remove every stored response of some paths: all variants, all users, all queries.

    Args:
        scope: A connection of the application.
        paths: Decoded paths, as the server sends them to the application.
        base_urls: Scheme and host under which they are asked for; none: those of the connection.

    Returns:
        False if the store failed; it is told again when it is back.

    Raises:
        ConfigurationError: the application has no `CacheMiddleware`, or there is no valid host.
    """
    holder = scope.get(SCOPE_KEY)
    if holder is None:
        raise ConfigurationError("nothing can be invalidated: the application has no CacheMiddleware")
    origins = [rules.origin(url) for url in base_urls]
    if not origins:
        scheme: str = scope.get("scheme", "http")
        origins = [(_HTTP.get(scheme, scheme), rules.examine(scope).host)]
    if not all(scheme and host for scheme, host in origins):
        raise ConfigurationError(
            "no scheme and host to invalidate for: base_url is like 'https://shop.example'; without it the "
            "request has to have a valid Host"
        )
    return await ResponseCache(holder.cache).forget(origins, paths)
