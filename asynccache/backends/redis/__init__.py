"""`RedisBackend`: Redis or Valkey, as a single server, behind sentinels, or as a cluster."""

from __future__ import annotations

from asynccache.errors import MissingDependencyError

try:
    import redis.asyncio  # noqa: F401 - asked for here, so that its absence has one explanation
except ImportError as exc:  # pragma: no cover - the tests' environment has it
    raise MissingDependencyError("redis", "redis") from exc

from asynccache.backends.redis._backend import RedisBackend

__all__ = ["RedisBackend"]
