"""What the sections on the facade share: a cache over the store under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import pytest_asyncio

from asynccache._engine.clock import wall_clock
from asynccache.cache import Cache
from asynccache.config import CacheConfig
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing._conformance.section import Section
from asynccache.testing._conformance.spying import Spy

__all__ = ["Facade"]


class Facade(Section):
    """A section that works on ``cache``."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Arguments for `CacheConfig` beside the store, the clock and the namespace."""

    cache_type: ClassVar[type[Cache]] = Cache
    """A subclass of `Cache` of your own, if there is one."""

    if TYPE_CHECKING:
        config: Any
    else:

        @pytest.fixture
        def config(self, backend: CacheBackendProtocol) -> CacheConfig:
            """Give the configuration: the store under test, a namespace of this test's own, and `options`."""
            settings = {"namespace": self.mark, **self.options}
            return CacheConfig(backend=backend, clock=self.clock or wall_clock, **settings)

    @pytest_asyncio.fixture
    async def cache(self, config: CacheConfig) -> AsyncIterator[Cache]:
        """Give an open cache."""
        async with self.cache_type(config) as cache:
            yield cache

    @pytest_asyncio.fixture
    async def elsewhere(self, cache: Cache, config: CacheConfig) -> AsyncIterator[Cache]:
        """Give a second cache on the same store: what another process has."""
        other = self.cache_type(config)
        yield other
        await other.aclose()

    @pytest.fixture
    def spy(self, config: CacheConfig) -> Spy:
        """Give the store with a spy in front."""
        if isinstance(config.backend, str):
            pytest.skip("needs the store as an object, not as a URL")
        return Spy(config.backend)

    @pytest_asyncio.fixture
    async def watched(self, config: CacheConfig, spy: Spy) -> AsyncIterator[Cache]:
        """Give an open cache over ``spy``."""
        async with self.cache_type(config.but(backend=spy)) as cache:
            yield cache
