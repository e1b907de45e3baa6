"""The pytest plugin: a cache of its own for every test that asks for one.

Loaded by pytest where asynccache is installed. It costs nothing until a fixture is used::

    async def test_second_call_is_a_hit(asynccache_cache, asynccache_clock):
        await load_user(42)
        await load_user(42)
        assert asynccache_cache.stats().hits == 1
        asynccache_clock.advance(61)
        ...

And an application on a cache of its own, whatever store it is configured for::

    def test_home_is_cached_for_a_minute(asynccache_override, asynccache_clock):
        cache = asynccache_override(app)
        with TestClient(app) as client:
            ...

The fixtures are synchronous: any plugin for async tests will do, and so will none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asynccache.cache import Cache
    from asynccache.testing.clock import FakeClock

__all__ = ["asynccache_cache", "asynccache_clock", "asynccache_override"]

pytest.register_assert_rewrite("asynccache.testing._conformance")


@pytest.fixture
def asynccache_clock() -> FakeClock:
    """The clock of `asynccache_cache` and `asynccache_override`: stands still until the test advances it."""
    from asynccache.testing.clock import FakeClock  # noqa: PLC0415  (nothing is loaded for who does not use it)

    return FakeClock()


@pytest.fixture
def asynccache_cache(asynccache_clock: FakeClock) -> Iterator[Cache]:
    """A fresh cache in memory, on `asynccache_clock`; during the test also the default of ``@cached``."""
    from asynccache.backends.memory import InMemoryBackend  # noqa: PLC0415
    from asynccache.cache import Cache  # noqa: PLC0415
    from asynccache.config import CacheConfig  # noqa: PLC0415
    from asynccache.defaults import set_default_cache  # noqa: PLC0415

    backend = InMemoryBackend(clock=asynccache_clock)
    cache = Cache(CacheConfig(backend=backend, clock=asynccache_clock))
    before = set_default_cache(cache)
    yield cache
    set_default_cache(before)


@pytest.fixture
def asynccache_override(asynccache_clock: FakeClock) -> Iterator[Callable[[Any], Cache]]:
    """A function that gives an application a fresh cache in memory for the test, and returns that cache."""
    from asynccache.testing.overriding import override_cache  # noqa: PLC0415

    with ExitStack() as overrides:
        yield lambda app: overrides.enter_context(override_cache(app, clock=asynccache_clock))
