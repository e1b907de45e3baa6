"""`Spy`: a store that notes what it is asked, and lets a test put in what no cache would write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asynccache.protocols import CacheBackendProtocol
from asynccache.testing._forwarding import Forwarding

__all__ = ["Spy"]

T = TypeVar("T")


class Spy(Forwarding):
    """Passes everything on to ``inner`` and remembers which operation touched which keys."""

    def __init__(self, inner: CacheBackendProtocol) -> None:
        super().__init__(inner)
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append((operation, tuple(keys)))
        return await call()

    def written(self) -> str:
        """Return the key of the last write."""
        return next(keys[-1] for operation, keys in reversed(self.calls) if operation in {"set", "set_many"})
