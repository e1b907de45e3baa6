"""`RedisBackend`: Redis or Valkey, as a single server, behind sentinels, or as a cluster."""

from __future__ import annotations

from asynccache.errors import MissingDependencyError

try:
    from asynccache.backends.redis._backend import RedisBackend
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] != "redis":  # a mistake of ours
        raise
    raise MissingDependencyError("redis", "redis") from _error

__all__ = ["RedisBackend"]
