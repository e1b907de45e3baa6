"""asynccache in Starlette: middleware, ``cache=`` on routes, a decorator, and the cache in handlers."""

from __future__ import annotations

from asynccache_starlette._application import Starlette
from asynccache_starlette._endpoints import cache_response, get_cache
from asynccache_starlette._middleware import CacheMiddleware
from asynccache_starlette._routing import Route

__all__ = ["CacheMiddleware", "Route", "Starlette", "cache_response", "get_cache"]
