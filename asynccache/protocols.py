"""What a store, a codec and an observer look like. Match the methods; inheriting is optional.

`CacheBackendProtocol` is enough for a working store: bytes in, bytes out. Each ``Supports…``
protocol adds one capability. They are looked up once, when a cache is built: the engine supplies a
correct fallback for a capability that is missing, or reports it absent (``cache.capabilities``).

What the methods mean is the same for every store: ``asynccache.testing.BackendConformance`` is the
executable definition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from asynccache.events import Event

__all__ = [
    "BackendHealth",
    "CacheBackendProtocol",
    "Codec",
    "Observer",
    "SupportsAdd",
    "SupportsClear",
    "SupportsCompareAndSwap",
    "SupportsExists",
    "SupportsHealth",
    "SupportsIncrement",
    "SupportsInvalidationBus",
    "SupportsLeases",
    "SupportsLifecycle",
    "SupportsMany",
    "SupportsTouch",
]

Observer = Callable[[Event], object]
"""Receives every event; see `asynccache.events`."""


@runtime_checkable
class CacheBackendProtocol(Protocol):
    """A store. These three methods make a working one.

    Keys are non-empty ``str``; the caller has checked them. Time to live is in seconds, a positive
    float of millisecond resolution, or None for no expiry. Failures are raised as `BackendError`.
    """

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
        """Store ``value``, replacing what was there.

        Return False when the store refuses it (too large): then nothing is under ``key`` any more.
        True and None both mean stored.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        ...


@runtime_checkable
class SupportsMany(Protocol):
    """Bulk forms that cost one round trip (or one per server), not one per key."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        ...

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> set[str]:
        """Store all of ``items``; return the keys the store refused (see ``set``), usually none."""
        ...

    async def delete_many(self, keys: Sequence[str]) -> set[str]:
        """Remove ``keys``; return those that were there."""
        ...


@runtime_checkable
class SupportsExists(Protocol):
    """Tell whether a key is there without fetching its value."""

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        ...


@runtime_checkable
class SupportsTouch(Protocol):
    """Change the time to live without rewriting the value."""

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there."""
        ...


@runtime_checkable
class SupportsAdd(Protocol):
    """Atomic set-if-absent."""

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        ...


@runtime_checkable
class SupportsIncrement(Protocol):
    """Atomic counters, stored as plain decimal integers."""

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.
        Raise `BackendError` if what is there is not an integer.
        """
        ...


@runtime_checkable
class SupportsCompareAndSwap(Protocol):
    """Replace a value only if nobody else did: for read-modify-write cycles that span processes."""

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return the bytes under ``key`` and their version, or None when there are none or they expired.

        A version is never given twice to a key: one that was removed and set to the same bytes has another.
        """
        ...

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        """Store ``value`` only if what is under ``key`` still has ``version``; True if it was stored."""
        ...


@runtime_checkable
class SupportsClear(Protocol):
    """Remove everything under a prefix, and nothing else."""

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``."""
        ...


@runtime_checkable
class SupportsLeases(Protocol):
    """Leases (Nishtala et al., NSDI 2013): one computation across processes, never an outdated fill.

    Whatever else writes or removes a key voids its lease: ``set``, ``delete`` and ``clear`` always, ``add``,
    ``incr`` and ``compare_and_swap`` where they store something.
    """

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        ...

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not."""
        ...

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        ...


@runtime_checkable
class SupportsInvalidationBus(Protocol):
    """Tell other processes what was removed."""

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber, this process included."""
        ...

    def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over messages. Ends or raises when the connection is lost: some may be missed then."""
        ...


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """The answer of `SupportsHealth.health`."""

    healthy: bool
    backend_type: str
    latency_ms: float
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the store says of itself: server version, persistence, eviction policy, entries, bytes …"""


@runtime_checkable
class SupportsHealth(Protocol):
    """Describe the store's state."""

    async def health(self) -> BackendHealth:
        """Ask for a sign of life; raise `BackendError` or return ``healthy=False`` if there is none."""
        ...


@runtime_checkable
class SupportsLifecycle(Protocol):
    """Resources to open and close; both are safe to call twice."""

    async def open(self) -> None:
        """Connect, create tables, start what must run."""
        ...

    async def aclose(self) -> None:
        """Release everything; pending operations fail or finish, none hangs."""
        ...


class Codec(Protocol):
    """Turns values into bytes and back. Stateless, thread-safe, without I/O."""

    @property
    def name(self) -> str:
        """What an entry records, so that it is read back by the codec that wrote it."""
        ...

    def encode(self, value: Any) -> bytes:
        """Return ``value`` as bytes; raise `CodecError` if it cannot."""
        ...

    def decode(self, data: bytes, type: Any = None) -> Any:
        """Return the value, as ``type`` if one is given; raise `CodecError` on anything else."""
        ...
