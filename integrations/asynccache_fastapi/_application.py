"""`FastAPI` and `APIRouter` with ``cache=``: thin subclasses that put the policy on the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastapi
from fastapi import params
from starlette.middleware import Middleware

from asynccache import Cache, CacheConfig, CachePolicy, ConfigurationError
from asynccache_fastapi._arming import CACHED_METHODS
from asynccache_fastapi._control import CacheOption, control_in, controlling
from asynccache_fastapi._documents import describe_cache
from asynccache_fastapi._middleware import CacheMiddleware
from asynccache_starlette._application import with_cache
from asynccache_starlette._distinctions import dependency_of
from asynccache_starlette._endpoints import can_inherit, mark

__all__ = ["APIRouter", "FastAPI"]


class APIRouter(fastapi.APIRouter):
    """FastAPI's router with ``cache=``: of its own, on its routes and in ``include_router``.

    ``cache`` is True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; False: not cached;
    None: whatever is further away decides. The nearest one is in force: that of a route, of its router, of
    the ``include_router`` that includes it, of the router around that, and so on. What a route has not said
    itself concerns GET and HEAD only. Everything else is FastAPI's.

    Args:
        cache: For the routes of this router and of those it includes.
        options: As in FastAPI.
    """

    def __init__(self, *, cache: CacheOption = None, **options: Any) -> None:
        super().__init__(**options)
        self.cache = cache
        self.cache_policy: CachePolicy | None = CachePolicy.of(cache)

    def get(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a GET route."""
        return _registering(super().get, path, cache, self.cache_policy, options)

    def head(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a HEAD route."""
        return _registering(super().head, path, cache, self.cache_policy, options)

    def api_route(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a route for any methods; only GET and HEAD are cached."""
        return _registering(super().api_route, path, cache, self.cache_policy, options)

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, cache: CacheOption = None, **options: Any
    ) -> None:
        """Add a route for any methods; only GET and HEAD are cached."""
        endpoint = _routed(endpoint, cache, self.cache_policy, options)
        super().add_api_route(path, endpoint, **options)

    def include_router(self, router: fastapi.APIRouter, *, cache: CacheOption = None, **options: Any) -> None:
        """Include a router, with a policy for those of its routes that nothing nearer has one for."""
        super().include_router(router, **_including(cache, self.cache, options))


class FastAPI(fastapi.FastAPI):
    """A FastAPI application with a cache, and ``cache=`` on its routes and in ``include_router``.

    The cache is the innermost of the application's middleware: what authenticates or compresses is outside
    of it. See `APIRouter` for what ``cache=`` takes and which one is in force.

    Args:
        cache: The cache's configuration, or a cache to share; None: no cache.
        cache_policy: The policy of routes that nothing nearer has one for; as ``cache=`` of a route.
        cache_openapi: Describe in the OpenAPI document what the cache adds to responses.
        middleware: As in FastAPI.
        options: As in FastAPI.
    """

    def __init__(
        self,
        *,
        cache: CacheConfig | Cache | None = None,
        cache_policy: CacheOption = None,
        cache_openapi: bool = True,
        middleware: Sequence[Middleware] | None = None,
        **options: Any,
    ) -> None:
        self.cache_policy: CachePolicy | None = CachePolicy.of(cache_policy)
        self.cache_openapi = cache_openapi
        self._described: object = None
        config = cache.config if isinstance(cache, Cache) else cache
        self._shows_status = config is None or config.http.cache_status
        super().__init__(middleware=with_cache(CacheMiddleware, cache, middleware), **options)

    def get(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a GET route."""
        return _registering(super().get, path, cache, self.cache_policy, options)

    def head(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a HEAD route."""
        return _registering(super().head, path, cache, self.cache_policy, options)

    def api_route(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a route for any methods; only GET and HEAD are cached."""
        return _registering(super().api_route, path, cache, self.cache_policy, options)

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, cache: CacheOption = None, **options: Any
    ) -> None:
        """Add a route for any methods; only GET and HEAD are cached."""
        endpoint = _routed(endpoint, cache, self.cache_policy, options)
        super().add_api_route(path, endpoint, **options)

    def include_router(self, router: fastapi.APIRouter, *, cache: CacheOption = None, **options: Any) -> None:
        """Include a router, with a policy for those of its routes that nothing nearer has one for."""
        super().include_router(router, **_including(cache, self.cache_policy, options))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, with what the cache adds to responses."""
        document = super().openapi()
        if self.cache_openapi and document is not self._described:  # FastAPI keeps it until routes are added
            describe_cache(document, self.routes, status=self._shows_status)
            self._described = document
        return document


def _registering(
    register: Callable[..., Callable[[Any], Any]],
    path: str,
    cache: CacheOption,
    around: CachePolicy | None,
    options: dict[str, Any],
) -> Callable[[Any], Any]:
    """Return a decorator that registers the cached endpoint and returns the plain function."""
    CachePolicy.of(cache)  # a wrong one is reported here, on the route's own line

    def decorate(endpoint: Any) -> Any:
        own = dict(options)
        routed = _routed(endpoint, cache, around, own)
        register(path, **own)(routed)
        return endpoint

    return decorate


def _routed(
    endpoint: Callable[..., Any], cache: CacheOption, around: CachePolicy | None, options: dict[str, Any]
) -> Callable[..., Any]:
    """Return the endpoint to register, under its own policy or that of the router it is registered on."""
    dependencies: list[params.Depends] = list(options.get("dependencies") or ())
    policy = CachePolicy.of(cache)
    if policy is not None:
        return mark(endpoint, policy)
    if cache is False:
        options["dependencies"] = [*dependencies, controlling(None)]
        return endpoint
    methods = {method.upper() for method in options.get("methods") or ("GET",)}
    inherits = not CACHED_METHODS.isdisjoint(methods) and can_inherit(endpoint)
    if around is not None and inherits and control_in(dependencies) is None:
        return mark(endpoint, around.but(), own=False)
    return endpoint


def _including(cache: CacheOption, around: CacheOption, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of ``include_router`` with the policy as one more dependency."""
    said = around if cache is None else cache
    if said is None:
        return options
    policy = CachePolicy.of(said)
    if policy is not None and dependency_of(policy) is not None:
        raise ConfigurationError(
            "vary_on=Depends(...) belongs on a route or on its own APIRouter: a policy for included routers "
            "would make the dependency one of all their routes, whatever their method"
        )
    return {**options, "dependencies": [controlling(policy), *(options.get("dependencies") or ())]}
