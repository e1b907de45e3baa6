"""Where the small application of `framework_apps` keeps its responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asynccache import InMemoryBackend
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import FakeClock

__all__ = ["MEMORY", "Store"]


class Outliving(InMemoryBackend):
    """A store that survives the application, as a remote one does."""

    async def aclose(self) -> None:
        """Keep everything."""


@dataclass(frozen=True)
class Store:
    """A kind of store, and the part of it that is this test's."""

    backend: Callable[[FakeClock], CacheBackendProtocol]
    namespace: str


MEMORY = Store(lambda clock: Outliving(clock=clock), "asynccache")
