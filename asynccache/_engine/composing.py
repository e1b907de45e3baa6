"""What stands between a cache and its store."""

from __future__ import annotations

from typing import Any

from asynccache._engine.batching import Batched
from asynccache._engine.clock import stopwatch
from asynccache._engine.entry import SupportsEntries
from asynccache._engine.guard import Guard
from asynccache.protocols import CacheBackendProtocol, SupportsMany

__all__ = ["compose"]


def compose(backend: CacheBackendProtocol, *, batching: bool, **guard: Any) -> CacheBackendProtocol:
    """Return ``backend`` as a cache uses it: guarded and batched, unless it is in this process.

    Args:
        backend: The store, or something already guarded or batched, which is left as it is.
        batching: Join concurrent operations into bulk ones, where the store has them.
        guard: Arguments of `Guard`.
    """
    if isinstance(backend, (SupportsEntries, Guard, Batched)):
        return backend
    guarded = Guard(backend, stopwatch, **guard)
    return Batched(guarded) if batching and isinstance(guarded, SupportsMany) else guarded
