"""asynccache in FastAPI: middleware and decorator, or drop-in classes, and the cache as a dependency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from asynccache import Cache
from asynccache.http import CacheContext, cache_context
from asynccache_fastapi._application import APIRouter, FastAPI
from asynccache_fastapi._control import CacheControl
from asynccache_fastapi._documents import document_cache
from asynccache_fastapi._middleware import CacheMiddleware
from asynccache_starlette import cache_response, get_cache, invalidate_route

__all__ = [
    "APIRouter",
    "CacheContext",
    "CacheContextDep",
    "CacheControl",
    "CacheDep",
    "CacheMiddleware",
    "FastAPI",
    "cache_context",
    "cache_response",
    "document_cache",
    "get_cache",
    "invalidate_route",
]

CacheDep = Annotated[Cache, Depends(get_cache)]
"""The application's cache, as a parameter of an endpoint or dependency."""


async def _context() -> CacheContext:
    return cache_context()


CacheContextDep = Annotated[CacheContext, Depends(_context)]
"""Where an endpoint or dependency says something about the response: ``ttl``, ``add_tags``, ``no_store``."""
