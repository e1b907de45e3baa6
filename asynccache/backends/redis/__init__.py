"""`RedisBackend`: Redis or Valkey, as a single server, behind sentinels, or as a cluster."""

from __future__ import annotations

from asynccache.errors import MissingDependencyError

try:
    from asynccache.backends.redis._backend import RedisBackend
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "redis":  # a mistake of ours
        raise
    raise MissingDependencyError("redis", "redis") from exc

__all__ = ["RedisBackend"]
