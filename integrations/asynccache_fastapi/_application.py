"""`FastAPI` and `APIRouter` with ``cache=``: thin subclasses that put the policy on the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import fastapi
from starlette.middleware import Middleware

from asynccache import Cache, CacheConfig, CachePolicy
from asynccache_fastapi._middleware import CacheMiddleware
from asynccache_starlette import cache_response
from asynccache_starlette._application import with_cache

__all__ = ["APIRouter", "FastAPI"]

CacheOption = CachePolicy | float | timedelta | bool | None


def _marked(cache: CacheOption, endpoint: Callable[..., Any]) -> Callable[..., Any]:
    policy = CachePolicy.of(cache)
    return endpoint if policy is None else cache_response(endpoint, policy=policy)


class APIRouter(fastapi.APIRouter):
    """FastAPI's router; ``get``, ``api_route`` and ``add_api_route`` take ``cache=``.

    ``cache`` is True (default ttl), seconds, a timedelta or a `asynccache.CachePolicy`; everything else is
    FastAPI's.
    """

    def get(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a GET route."""
        return _registering(super().get(path, **options), cache)

    def api_route(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a route for any methods; only GET and HEAD are cached."""
        return _registering(super().api_route(path, **options), cache)

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, cache: CacheOption = None, **options: Any
    ) -> None:
        """Add a route for any methods; only GET and HEAD are cached."""
        super().add_api_route(path, _marked(cache, endpoint), **options)


class FastAPI(fastapi.FastAPI):
    """A FastAPI application with a cache; ``get``, ``api_route`` and ``add_api_route`` take ``cache=``.

    The cache is the innermost of the application's middleware: what authenticates or compresses is outside
    of it.

    Args:
        cache: Its configuration, or a cache to share; None: no cache.
        middleware: As in FastAPI.
        options: As in FastAPI.
    """

    def __init__(
        self,
        *,
        cache: CacheConfig | Cache | None = None,
        middleware: Sequence[Middleware] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(middleware=with_cache(CacheMiddleware, cache, middleware), **options)

    def get(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a GET route."""
        return _registering(super().get(path, **options), cache)

    def api_route(self, path: str, *, cache: CacheOption = None, **options: Any) -> Callable[[Any], Any]:
        """Add a route for any methods; only GET and HEAD are cached."""
        return _registering(super().api_route(path, **options), cache)

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, cache: CacheOption = None, **options: Any
    ) -> None:
        """Add a route for any methods; only GET and HEAD are cached."""
        super().add_api_route(path, _marked(cache, endpoint), **options)


def _registering(register: Callable[[Any], Any], cache: CacheOption) -> Callable[[Any], Any]:
    """Return a decorator that registers the cached endpoint and returns the plain function."""
    CachePolicy.of(cache)  # a wrong one is reported here, on the route's own line

    def decorate(endpoint: Any) -> Any:
        register(_marked(cache, endpoint))
        return endpoint

    return decorate
