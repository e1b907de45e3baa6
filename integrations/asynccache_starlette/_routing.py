"""`Route` and `Mount` with ``cache=``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal

from starlette import routing
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from asynccache import CachePolicy, ConfigurationError
from asynccache.http import SCOPE_KEY, Exchange, InheritingApp, MarkedApp
from asynccache_starlette._distinctions import dependency_of
from asynccache_starlette._endpoints import policy_of, refuse_stream

__all__ = ["Mount", "Route"]

CacheOption = CachePolicy | float | timedelta | bool | None


def _policy(cache: CacheOption) -> CachePolicy | None:
    policy = CachePolicy.of(cache)
    if policy is not None and dependency_of(policy) is not None:
        raise ConfigurationError("vary_on=Depends(...) is for FastAPI; here it is a function of the request")
    return policy


class Route(routing.Route):
    """A Starlette route whose responses may be cached.

    Args:
        path: As in Starlette.
        endpoint: As in Starlette: a function or an ASGI application such as an ``HTTPEndpoint`` class.
        cache: True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; False: not cached;
            None: as the nearest `Mount` with ``cache=`` says, else not cached.
        options: As in Starlette. The route's own middleware runs before every hit.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, cache: CacheOption = None, **options: Any
    ) -> None:
        policy = _policy(cache)
        if policy is not None:
            refuse_stream(endpoint)
        # The cache is the innermost of the route's middleware, so that the endpoint stays the user's own for
        # whoever looks at it: schema generators, tracing, comparing routes.
        around: Middleware | None = None
        if policy is not None:
            around = Middleware(MarkedApp, policy, Request)
        elif cache is None and not _is_marked(endpoint):
            around = Middleware(InheritingApp, Request)
        if around is not None:
            options["middleware"] = [*(options.get("middleware") or ()), around]
        super().__init__(path, endpoint, **options)
        self.cache: CachePolicy | Literal[False] | None = False if cache is False else policy
        """What it says itself."""


def _is_marked(endpoint: Any) -> bool:
    """Return whether ``cache_response`` stands on an endpoint or on a method of it: nearer than any layer."""
    methods = (getattr(endpoint, method, None) for method in ("get", "head"))
    return any(policy_of(marked) is not None for marked in (endpoint, *methods))


class Mount(routing.Mount):
    """A Starlette mount with a policy for what is below it.

    The policy is for GET and HEAD of every `Route` below, at any depth, that has no ``cache=`` of its own
    and no nearer `Mount` with one. A mounted application without routes, such as ``StaticFiles``, is cached
    as a whole.

    Args:
        path: As in Starlette.
        app: As in Starlette.
        routes: As in Starlette; those that are to be cached are of `asynccache_starlette.Route`.
        name: As in Starlette.
        cache: True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; False: not cached;
            None: as what is around it says.
        options: As in Starlette. The mount's middleware runs before every hit.
    """

    def __init__(
        self,
        path: str,
        app: ASGIApp | None = None,
        routes: Sequence[routing.BaseRoute] | None = None,
        name: str | None = None,
        *,
        cache: CacheOption = None,
        **options: Any,
    ) -> None:
        policy = _policy(cache)
        self.cache: CachePolicy | Literal[False] | None = False if cache is False else policy
        self.marked: MarkedApp | None = None
        """The mounted application, where it is cached as a whole."""
        if policy is not None and app is not None and not hasattr(app, "routes"):
            app = self.marked = MarkedApp(app, policy, Request)
        super().__init__(path, app, routes, name, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, under the policy."""
        exchange = scope.get(SCOPE_KEY)
        if self.cache is not None and isinstance(exchange, Exchange):
            exchange.inherited = self.cache or None
        await super().handle(scope, receive, send)
