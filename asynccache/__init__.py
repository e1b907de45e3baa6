"""The cache for ASGI applications: one small store protocol, one facade, safe response caching."""

from __future__ import annotations

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
    "MissingDependencyError",
    "cached",
    "current_cache",
    "set_default_cache",
]
