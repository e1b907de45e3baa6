"""asynccache in Litestar: a plugin that takes over ``cache=``, the cache by injection, and a store."""

from __future__ import annotations

from asynccache_litestar._injection import CacheDep
from asynccache_litestar._plugin import CachePlugin, get_cache
from asynccache_litestar._store import CacheStore

__all__ = ["CacheDep", "CachePlugin", "CacheStore", "get_cache"]
