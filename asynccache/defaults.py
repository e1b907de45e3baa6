"""Which cache is meant where none is named: the request's, else the default, else the environment's."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol

from asynccache.cache import Cache
from asynccache.errors import ConfigurationError

__all__ = ["HasCache", "current", "current_cache", "set_default_cache"]


class HasCache(Protocol):
    """Whatever a request runs under."""

    @property
    def cache(self) -> Cache:
        """The application's cache."""
        ...


current: Final[ContextVar[HasCache | None]] = ContextVar("asynccache_current", default=None)
"""Set by the middleware around every request."""


class _Default:
    """The cache that is meant outside of requests."""

    cache: Cache | None = None
    """The one in force: chosen, or made from the environment when it was first needed."""
    chosen: Cache | None = None
    from_environment: Cache | None = None


default: Final = _Default()


def set_default_cache(cache: Cache | None) -> Cache | None:
    """Name the cache that ``cached`` uses outside of requests; None goes back to the environment's.

    Returns:
        The one named before, None if there was none.
    """
    if cache is not None and not isinstance(cache, Cache):
        raise ConfigurationError(f"cache must be a Cache or None, not {cache!r}")
    before, default.chosen = default.chosen, cache
    default.cache = default.from_environment if cache is None else cache
    return before


def current_cache() -> Cache:
    """Return the cache of the current request's application, else the default, else the environment's.

    The last is made on first use, from ``ASYNCCACHE_URL``, else ``REDIS_URL``, else ``memory://``.
    """
    context = current.get()
    if context is not None:
        return context.cache
    if default.cache is None:
        default.cache = default.from_environment = Cache.from_env()
    return default.cache
