"""asynccache in Starlette: middleware, ``cache=`` on routes and mounts, a decorator, `get_cache`."""

from __future__ import annotations

from asynccache.http import CacheContext, cache_context
from asynccache_starlette._application import Starlette
from asynccache_starlette._endpoints import cache_response, get_cache
from asynccache_starlette._invalidation import invalidate_route
from asynccache_starlette._middleware import CacheMiddleware
from asynccache_starlette._routing import Mount, Route

__all__ = [
    "CacheContext",
    "CacheMiddleware",
    "Mount",
    "Route",
    "Starlette",
    "cache_context",
    "cache_response",
    "get_cache",
    "invalidate_route",
]
