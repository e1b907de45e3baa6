"""asynccache in FastAPI: middleware and decorator, or drop-in classes, and the cache as a dependency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from asynccache import Cache
from asynccache_fastapi._application import APIRouter, FastAPI
from asynccache_fastapi._middleware import CacheMiddleware
from asynccache_starlette import cache_response, get_cache

__all__ = ["APIRouter", "CacheDep", "CacheMiddleware", "FastAPI", "cache_response", "get_cache"]

CacheDep = Annotated[Cache, Depends(get_cache)]
"""The application's cache, as a parameter of an endpoint or dependency."""
