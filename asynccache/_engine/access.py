"""`Access`: the backend under the rules of one cache, and what all namespaces of that cache share.

A failing store is an event and a harmless answer, or an exception where ``fail_open`` is off: that is decided
here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from asynccache import events
from asynccache._engine.chores import Chores
from asynccache._engine.clock import Clock
from asynccache._engine.entry import Entry, Sealer, SupportsEntries, pack, unpack
from asynccache._engine.expiry import store_ttl
from asynccache._engine.locking import KeyLocks
from asynccache._engine.observing import Observers, Tally
from asynccache._engine.report import CacheCapabilities
from asynccache._engine.runs import Runs
from asynccache.errors import BackendError, ConfigurationError
from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsCompareAndSwap,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsMany,
    SupportsTouch,
)

__all__ = ["Access", "accepted", "or_failed"]

T = TypeVar("T")


class Access:
    """A backend, and how a cache deals with it.

    Args:
        backend: The store, guarded and batched.
        sealer: Encrypts payloads; None for none.
        clock: Seconds since the epoch.
        max_value_bytes: Larger payloads are refused.
        fail_open: Whether a failing store is an event rather than an exception.
        lease_ttl: Seconds a lease lasts.
        observers: Who is told of events.
    """

    def __init__(
        self,
        backend: CacheBackendProtocol,
        *,
        sealer: Sealer | None,
        clock: Clock,
        max_value_bytes: int,
        fail_open: bool,
        lease_ttl: float,
        observers: Observers,
    ) -> None:
        self.backend: Final = backend
        self.sealer: Final = sealer
        self.clock = clock
        self.max_value_bytes: Final = max_value_bytes
        self.lease_ttl: Final = lease_ttl
        self.observers: Final = observers
        self.emit: Final = observers.emit
        self.tally: Final = Tally()
        self.runs: Final = Runs()
        self.replacing: Final[set[str]] = set()
        """Keys whose dead entries are being replaced, where ``add`` found one."""
        self.chores: Final = Chores()
        self.locks: Final = KeyLocks()
        """For those who count by compare-and-swap."""
        self._fail_open = fail_open
        # Asked once, since isinstance of a protocol takes microseconds. None: it lacks that.
        self.many: Final = backend if isinstance(backend, SupportsMany) else None
        self.adding: Final = backend if isinstance(backend, SupportsAdd) else None
        self.touching: Final = backend if isinstance(backend, SupportsTouch) else None
        self.clearing: Final = backend if isinstance(backend, SupportsClear) else None
        # A plain number has no room for a generation, which stands in for clearing, nor for a seal.
        plain = self.clearing is not None and sealer is None
        self.counting: Final = backend if plain and isinstance(backend, SupportsIncrement) else None
        can_swap = self.adding is not None and self.counting is None
        self.swapping: Final = backend if can_swap and isinstance(backend, SupportsCompareAndSwap) else None
        self.leasing: Final = backend if isinstance(backend, SupportsLeases) else None
        entries = backend if isinstance(backend, SupportsEntries) and sealer is None else None
        self.local: Final[SupportsEntries | None] = entries
        """The backend, where it is in this process and may hold entries as objects."""
        self.capabilities: Final = CacheCapabilities(
            many=self.many is not None,
            add=self.adding is not None or entries is not None,
            increment=self.counting is not None or self.swapping is not None,
            clear=self.clearing is not None,
            leases=self.leasing is not None,
            bus=isinstance(backend, SupportsInvalidationBus),
            local=entries is not None,
        )

    # -- failures -----------------------------------------------------------------------------------

    async def attempt(self, operation: str, key: str, doing: Awaitable[T], otherwise: T) -> T:
        """Return what ``doing`` returns, or ``otherwise`` if the store fails and that is not to be raised."""
        try:
            return await doing
        except BackendError as error:
            self.failed(operation, key, error)
            return otherwise

    def failed(self, operation: str, key: str, error: BackendError) -> None:
        """Report a failure; raise it where ``fail_open`` is off."""
        self.tally.failed += 1
        self.emit(events.Failed(operation, key, error))
        if not self._fail_open:
            raise error

    def absent(self, operation: str) -> ConfigurationError:
        """Return the error for an operation that cannot be done atomically here."""
        return ConfigurationError(f"{type(self.backend).__name__} offers no atomic {operation}")

    # -- bytes --------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the store has under ``keys``, in one request if it can."""
        if not keys:
            return {}
        if len(keys) == 1:
            data = await self.read_one(keys[0])
            return {} if data is None else {keys[0]: data}
        if self.many is not None:
            return await self.attempt("get_many", keys[0], self.many.get_many(keys), {})
        answers = await asyncio.gather(*map(self.read_one, keys))
        return {key: data for key, data in zip(keys, answers, strict=True) if data is not None}

    async def read_one(self, key: str) -> bytes | None:
        """Return what the store has under ``key``."""
        try:  # `attempt` would be one coroutine more on the path of every hit
            return await self.backend.get(key)
        except BackendError as error:
            self.failed("get", key, error)
            return None

    async def read_or_raise(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Do what `read` does, for those to whom a failure must not look like an absent key.

        Raises:
            BackendError: the store failed.
        """
        if len(keys) > 1 and self.many is not None:
            return await self.many.get_many(keys)
        answers = await asyncio.gather(*(self.backend.get(key) for key in keys))
        return {key: data for key, data in zip(keys, answers, strict=True) if data is not None}

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        return await self.attempt("delete", key, self.backend.delete(key), False)

    async def delete_all(self, keys: Sequence[str]) -> int | None:
        """Remove ``keys``; return how many were there, None if the store failed."""
        backend = self.backend
        if len(keys) > 1 and self.many is not None:
            found = await self.attempt("delete_many", keys[0], self.many.delete_many(keys), None)
            return None if found is None else len(found)
        removed = [await self.attempt("delete", key, or_failed(backend.delete(key)), None) for key in keys]
        return None if None in removed else sum(map(bool, removed))

    # -- entries ------------------------------------------------------------------------------------

    def pack(self, entry: Entry) -> bytes:
        """Return ``entry`` as the store holds it."""
        return pack(entry, self.sealer)

    def unpack(self, data: bytes | None, key: str) -> Entry | None:
        """Return the entry in what the store has under ``key``, None if there is no intact one."""
        return None if data is None else unpack(data, key, self.sealer)

    async def write(self, entry: Entry) -> bool:
        """Store ``entry``, replacing what is there; False, reported, if that did not happen."""
        if self.too_large(entry):
            if self.local is not None:
                await self.backend.delete(entry.key)
            return self.refuse(entry, "too_large")
        if self.local is not None:
            return self.write_now(entry)
        ttl = store_ttl(entry, self.clock())
        writing = self.backend.set(entry.key, self.pack(entry), ttl)
        outcome = await self.attempt("set", entry.key, accepted(writing), None)
        if outcome is None:
            return False
        return self.stored(entry) if outcome else self.refuse(entry, "store")

    def write_now(self, entry: Entry) -> bool:
        """Do the same in a store of this process, with an entry that is not too large."""
        done = self.local is not None and self.local.set_entry(entry)
        return self.stored(entry) if done else self.refuse(entry, "store")

    def too_large(self, entry: Entry) -> bool:
        """Return whether ``entry`` is beyond the cache's own limit."""
        return len(entry.payload) > self.max_value_bytes

    def stored(self, entry: Entry) -> bool:
        """Report that ``entry`` was stored; always True."""
        self.tally.stored += 1
        if self.observers:
            self.emit(events.Stored(entry.key, len(entry.payload), store_ttl(entry, self.clock())))
        return True

    def refuse(self, entry: Entry, reason: str) -> bool:
        """Report that ``entry`` was not stored although nothing failed; always False."""
        self.tally.refused += 1
        self.emit(events.Refused(entry.key, reason, len(entry.payload)))
        return False


async def accepted(writing: Awaitable[bool | None]) -> bool | None:
    """Return what a backend's ``set`` says, where None means stored too."""
    return await writing is not False


async def or_failed(doing: Awaitable[bool]) -> bool | None:
    """Return what a backend says, as a type that has room for None: "failed"."""
    return await doing
