"""`override_cache`: another cache for an application, for the length of a test."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from asynccache.backends.memory import InMemoryBackend
from asynccache.cache import Cache
from asynccache.config import CacheConfig
from asynccache.errors import ConfigurationError
from asynccache.testing._finding import found_in
from asynccache.testing.clock import FakeClock

__all__ = ["override_cache"]


@contextmanager
def override_cache(
    app: Any, cache: Cache | CacheConfig | None = None, *, clock: FakeClock | None = None
) -> Generator[Cache]:
    """Let an application use another cache within a block, and give that cache.

    ::

        def test_home_is_cached_for_a_minute():
            clock = FakeClock()
            with override_cache(app, clock=clock), TestClient(app) as client:
                client.get("/")
                clock.advance(60)
                ...

    It does not matter how the application got its cache, nor whether it has been started yet. The
    application's own store is neither opened nor asked; what the application remembers of it is forgotten.

    Args:
        app: A FastAPI, Starlette, Litestar or Quart application, or any ASGI application in or around which
            there is a `asynccache.http.CacheMiddleware`.
        cache: What it uses instead; left out: a fresh cache in memory with all of the application's own
            settings but the store and the clock.
        clock: The clock of that fresh cache; left out: a `FakeClock` that stands still.

    Raises:
        ConfigurationError: the application has no cache, or ``cache`` is something else or has a clock
            already.
    """
    if cache is not None and clock is not None:
        raise ConfigurationError("give either cache or clock: a cache has its clock already")
    if isinstance(cache, CacheConfig):
        cache = Cache(cache)
    if cache is not None and not isinstance(cache, Cache):
        raise ConfigurationError(f"cache must be a Cache or a CacheConfig, not {cache!r}")
    clock = FakeClock() if clock is None else clock
    with found_in(app) as middlewares:
        if not middlewares:
            raise ConfigurationError(
                f"no CacheMiddleware or CachePlugin was found in {app!r}; if it is hidden inside something"
                " else, pass the CacheMiddleware itself"
            )
        before = [(middleware, middleware.cache) for middleware in middlewares]
        # Several middlewares may share a cache, and then they go on to do so.
        others = {id(own): _fresh(own.config, clock) if cache is None else cache for _, own in before}
        try:
            for middleware, own in before:
                middleware.use(others[id(own)])
            yield others[id(before[0][1])]
        finally:
            for middleware, own in before:
                middleware.use(own)


def _fresh(config: CacheConfig, clock: FakeClock) -> Cache:
    return Cache(config.but(backend=InMemoryBackend(clock=clock), clock=clock))
