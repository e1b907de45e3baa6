"""The cache for ASGI applications: one small store protocol, one facade, safe response caching."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asynccache.backends.memory import InMemoryBackend
from asynccache.cache import Cache, CacheCapabilities, CacheStats
from asynccache.config import CacheConfig, GuardConfig, HTTPConfig
from asynccache.decorators import CachedFunction, cached
from asynccache.defaults import current_cache, set_default_cache
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    CacheError,
    CodecError,
    ConfigurationError,
    InvalidKeyError,
    MissingDependencyError,
)
from asynccache.policy import DEFAULT, CachePolicy
from asynccache.protocols import BackendHealth, CacheBackendProtocol

if TYPE_CHECKING:
    from asynccache.backends.adapters import SyncBackendAdapter
    from asynccache.backends.memcached import MemcachedBackend
    from asynccache.backends.mongodb import MongoDBBackend
    from asynccache.backends.postgres import PostgresBackend
    from asynccache.backends.redis import RedisBackend
    from asynccache.backends.sqlite import SQLiteBackend

__version__ = "0.1.0"

__all__ = [
    "DEFAULT",
    "BackendError",
    "BackendHealth",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "Cache",
    "CacheBackendProtocol",
    "CacheCapabilities",
    "CacheConfig",
    "CacheError",
    "CachePolicy",
    "CacheStats",
    "CachedFunction",
    "CodecError",
    "ConfigurationError",
    "GuardConfig",
    "HTTPConfig",
    "InMemoryBackend",
    "InvalidKeyError",
    "MemcachedBackend",
    "MissingDependencyError",
    "MongoDBBackend",
    "PostgresBackend",
    "RedisBackend",
    "SQLiteBackend",
    "SyncBackendAdapter",
    "cached",
    "current_cache",
    "set_default_cache",
]

_ON_DEMAND = {
    "MemcachedBackend": "memcached",
    "MongoDBBackend": "mongodb",
    "PostgresBackend": "postgres",
    "RedisBackend": "redis",
    "SQLiteBackend": "sqlite",
    "SyncBackendAdapter": "adapters",
}
"""The stores' names and modules, imported when first asked for: each of them imports its driver."""


def __getattr__(name: str) -> Any:
    module = _ON_DEMAND.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"asynccache.backends.{module}"), name)
    globals()[name] = found
    return found
