"""`InMemoryBackend`: the store in this process, bounded in bytes and entries and scan-resistant."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Any, Final

from msgspec.structs import replace

from asynccache._engine.arguments import INT64, check_count, check_integer, check_value, lifetime
from asynccache._engine.clock import Clock, wall_clock
from asynccache._engine.entry import COUNTER, Entry, pack
from asynccache._engine.fanout import Fanout
from asynccache._engine.holding import Holding
from asynccache._engine.locking import KeyLocks
from asynccache._engine.s3fifo import S3FIFO, USED
from asynccache._engine.urls import parse_count, parse_size, query_options, split_url
from asynccache.errors import BackendError, ConfigurationError
from asynccache.keys import check_key
from asynccache.policy import seconds
from asynccache.protocols import BackendHealth

__all__ = ["InMemoryBackend"]

_MIB: Final = 2**20
_LEAST_BYTES: Final = 4096


class InMemoryBackend(Holding):
    """A store in this process, for one event loop at a time.

    It holds at most ``max_bytes`` (keys, values and its own overhead of about 370 bytes an entry; not
    decoded values kept beside them) and ``max_entries``. When it is full, S3-FIFO chooses what goes
    (`asynccache._engine.s3fifo`). An entry that would take more than an eighth of ``max_bytes`` is refused.

    Nothing is returned at or after its expiry; the memory is given back up to a second, or 1/64 of its
    time to live, later. There is no thread. It belongs to the thread of the event loop that uses it, and may
    be used from another loop of that thread later. `open` is not needed; `aclose` drops all data, and
    the store can be used again afterwards.

    Args:
        max_bytes: Memory to use, at least 4096.
        max_entries: Most entries to hold; None: ``max_bytes`` is the only bound.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: an argument is not what it must be.
    """

    # Without an await in between, reading and writing back cannot be interrupted on an event loop: `add`,
    # `incr`, `touch` and `fill` are atomic by construction and take no lock. `lock` is for users' own cycles.

    __slots__ = ("_bus", "_locks")

    def __init__(
        self,
        *,
        max_bytes: int = 128 * _MIB,
        max_entries: int | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        check_count(max_bytes, "max_bytes", _LEAST_BYTES)
        if max_entries is not None:
            check_count(max_entries, "max_entries", 1)
        if not callable(clock):  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError(f"clock must be callable, not {clock!r}")
        super().__init__(S3FIFO(max_bytes, max_entries), clock)
        self._bus = Fanout()
        self._locks = KeyLocks()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> InMemoryBackend:
        """Return a store for ``memory://?max_bytes=64mb&max_entries=10000``.

        Args:
            url: Both options may be left out; sizes are bytes, or end in kb, mb, gb, kib, mib, gib.
            options: Further arguments of the class.

        Raises:
            ConfigurationError: the URL has a host or a path, or an option is unknown, malformed or repeated.
        """
        parts = split_url(url)
        if parts.netloc or parts.path or parts.fragment:
            raise ConfigurationError("memory:// takes no user, host, port, path or fragment")
        parsers = {"max_bytes": parse_size, "max_entries": parse_count}
        if unknown := options.keys() - parsers.keys() - {"clock"}:
            raise ConfigurationError(
                f"unknown option {min(unknown)!r}: memory:// takes {', '.join(parsers)}, clock"
            )
        return cls(**query_options(parts.query, parsers, options, "memory"))

    def __repr__(self) -> str:
        table = self._table
        return f"<InMemoryBackend {table.entries} entries, {table.bytes} of {table.max_bytes} bytes>"

    # -- bytes -------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return the bytes stored under ``key``, or None when there are none or they expired."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._shards[hash(key) & self._mask].get(key)
            if entry is None:
                if key.__class__ is not str or not key or not key.isascii():
                    check_key(key)
                return None
        clock = self._clock  # calling the attribute itself is a slower kind of call
        if not entry.codec and clock() < entry.fresh_until:
            hits = entry.hits
            if hits < USED:
                entry.hits = hits + 2
            return entry.payload
        entry = self._used(entry, clock())
        if entry is None:
            return None
        return pack(entry) if entry.codec else entry.payload

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value``, replacing what was there; False if it is too large, and then nothing is there.

        Raises:
            TypeError: ``value`` is not ``bytes``, or ``key`` not a ``str``.
            InvalidKeyError: ``key`` is empty or cannot be written as UTF-8.
        """
        if value.__class__ is not bytes:
            check_value(value)
        clock = self._clock
        now = clock()
        return self._set(key, value, inf if ttl is None else now + lifetime(ttl), now)

    async def delete(self, key: str) -> bool:
        """Remove ``key``; True if something was there."""
        check_key(key)
        return self._delete(key, self._clock())

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what was found of ``keys``; absent keys are left out."""
        found = {key: await self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> builtins.set[str]:
        """Store all of ``items``; return the keys that were refused because their value is too large."""
        for key, value in items.items():  # all or nothing
            check_key(key)
            check_value(value)
        now = self._clock()
        until = now + lifetime(ttl)
        return {key for key, value in items.items() if not self._set(key, value, until, now)}

    async def delete_many(self, keys: Sequence[str]) -> builtins.set[str]:
        """Remove ``keys``; return those that were there."""
        for key in keys:
            check_key(key)
        now = self._clock()
        return {key for key in keys if self._delete(key, now)}

    async def exists(self, key: str) -> bool:
        """Return True if ``key`` is there and has not expired."""
        return self._live(key, self._clock()) is not None

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key`` from now on; False if it is not there.

        A value with windows in which it may be served stale loses them: it is fresh for ``ttl``.
        """
        life, now = lifetime(ttl), self._clock()
        entry = self._live(key, now)
        if entry is None:
            return False
        until = now + life
        self._store(
            replace(entry, fresh_until=until, stale_until=until, error_until=until, hits=0), until, now
        )
        return True

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        check_key(key)
        check_value(value)
        life, now = lifetime(ttl), self._clock()
        return self._live(key, now) is None and self._set(key, value, now + life, now)

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` and return the new value.

        An absent counter starts at ``initial`` and gets ``ttl``; an existing one keeps its expiry.

        Raises:
            BackendError: what is there is not an integer, or the result would not fit in 64 bits.
        """
        check_key(key)
        check_integer(delta, "delta")
        check_integer(initial, "initial")
        life, now = lifetime(ttl), self._clock()
        entry = self._live(key, now)
        if entry is not None and entry.codec != COUNTER:
            entry = None if entry.codec else self._revealed(entry, now)
            if entry is None or entry.codec != COUNTER:
                raise BackendError("not an integer", backend="memory", key=key)
        value = delta + (initial if entry is None else entry.value)
        if not -INT64 <= value < INT64:
            raise BackendError("the result does not fit in 64 bits", backend="memory", key=key)
        self._leases.void(key)
        payload = b"%d" % value
        if entry is None:
            until = now + life
            self._store(Entry(key, payload, COUNTER, now, until, until, until, value=value), until, now)
        else:
            self._table.resize(entry, payload)
            entry.value = value
        return value

    async def clear(self, prefix: str) -> None:
        """Remove every key that starts with the non-empty ``prefix``.

        What is there at the call is gone when it returns; the event loop runs in between.
        """
        check_key(prefix, "prefix")
        self._leases.void_prefix(prefix)
        await self._clear(prefix)

    # -- entries -----------------------------------------------------------------------------------

    def get_entry(self, key: str) -> Entry | None:
        """Return the entry under ``key``, counting the use for eviction; None if it is absent or useless.

        Bytes put there by `set` are answered for if they are an intact entry, or a plain decimal
        integer; the entry then takes their place, and never outlives them.
        """
        entry = self._young.get(key)
        if entry is None:
            entry = self._shards[hash(key) & self._mask].get(key)
            if entry is None:
                return None
        clock = self._clock
        if entry.codec and clock() < entry.fresh_until:
            hits = entry.hits
            if hits < USED:
                entry.hits = hits + 2
            return entry
        now = clock()
        if entry.codec or not now < entry.fresh_until:
            return self._used(entry, now)
        found = self._revealed(entry, now)
        return found if found is None or not found.hits else self._used(found, now)

    def set_entry(self, entry: Entry) -> bool:
        """Store ``entry`` until ``entry.expires``; False if it is too large, and then the old one is gone.

        An entry that is, or was, in a store is copied: two stores must not kill each other's.
        """
        clock = self._clock
        now = clock()
        expires = entry.fresh_until
        if expires < entry.stale_until or expires < entry.error_until:
            expires = entry.expires
        if not now < expires:
            self._delete(check_key(entry.key), now)
            return True
        if self._leases.held:
            self._leases.void(entry.key)
        return self._store(replace(entry, hits=0) if entry.hits else entry, expires, now)

    def fill_entry(self, entry: Entry, token: str) -> bool:
        """Store a copy and end the lease if ``token`` still holds it; False if not, or if too large.

        Whoever made the entry still answers with it, and must not see it die.
        """
        held = self._leases.end(check_key(entry.key), token, self._clock())
        return held and self.set_entry(replace(entry))

    # -- leases and the bus ------------------------------------------------------------------------

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a fresh token if nobody holds an unexpired lease on ``key``, else None."""
        check_key(key)
        now = self._clock()
        return self._leases.acquire(key, now + seconds(ttl, "ttl"), now)

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` and end the lease if ``token`` still holds it; False if not, or if too large."""
        check_key(key)
        check_value(value)
        life, now = lifetime(ttl), self._clock()
        return self._leases.end(key, token, now) and self._set(key, value, now + life, now)

    async def release_lease(self, key: str, token: str) -> None:
        """End the lease without storing anything; no effect if ``token`` no longer holds it."""
        self._leases.end(key, token, self._clock())

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber of this object."""
        check_value(message, "message")
        self._bus.publish(message)

    def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over the messages published after this call.

        Ends when the store is closed. Raises `BackendError` where the reader fell 10,000 messages behind.
        """
        return self._bus.subscribe()

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Return a lock on ``key`` among this loop's tasks, for a read-modify-write that awaits in between.

        It keeps out other holders of the lock only: single operations neither need nor take it.
        """
        return self._locks.hold(key)

    # -- life --------------------------------------------------------------------------------------

    async def health(self) -> BackendHealth:
        """Describe the store; always healthy."""
        table = self._table
        details = {
            "entries": table.entries,
            "bytes": table.bytes,
            "max_entries": table.max_entries,
            "max_bytes": table.max_bytes,
            "eviction_policy": "s3-fifo",
            "persistence": "none",
        }
        return BackendHealth(healthy=True, backend_type="memory", latency_ms=0.0, details=details)

    async def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    async def aclose(self) -> None:
        """Drop all data and leases and end the subscriptions. The store may be used again."""
        self._leases.held.clear()
        self._bus.close()
        await self._clear("")
        if not self._table.entries:
            self._table.forget()
            self._sweeper.forget()
