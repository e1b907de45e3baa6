"""`Counting`: integers to which many tasks in many processes add without losing anything.

A store that counts, and clears by prefix, does it all: its counters are plain decimals. But a plain decimal
has no room for a generation (see `asynccache._engine.tags`) nor for a seal. So where the store cannot clear,
and where entries are encrypted, a counter is an entry like any other: read, judged, and replaced by
compare-and-swap, again until nobody came in between.
"""

from __future__ import annotations

import asyncio
import random
from math import inf
from typing import Final

from asynccache._engine.arguments import INT64
from asynccache._engine.coding import Coder
from asynccache._engine.entry import Entry
from asynccache._engine.expiry import is_fresh, store_ttl
from asynccache._engine.runs import settled
from asynccache._engine.store import EntryStore
from asynccache.codecs import MsgpackCodec
from asynccache.errors import BackendError, BackendUnavailableError, ConfigurationError

__all__ = ["Counting"]

_TRIES: Final = 50
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.01
"""Seconds between two tries, at most. Whenever one fails, somebody else's has succeeded."""


class Counting:
    """The counters of one namespace."""

    def __init__(self, store: EntryStore, coder: Coder) -> None:
        self._store = store
        self._coder = coder
        # Always readable, whatever codec the application chose: that one may not take integers.
        self._codec = MsgpackCodec()

    async def increment(self, key: str, delta: int, initial: int, ttl: float | None) -> int:
        """Add ``delta`` and return the sum.

        It raises whatever ``fail_open`` says: no made-up number is honest.

        Args:
            key: Full key.
            delta: What to add.
            initial: What an absent counter starts from.
            ttl: Seconds that a new counter lives; None for ever.

        Raises:
            BackendError: the store failed, or holds no integer, or the sum does not fit in 64 bits.
            ConfigurationError: the store cannot count atomically.
        """
        access = self._store.access
        if access.counting is None and access.swapping is None:
            raise self._refusal()
        await settled(self._store.runs.void_key(key))
        try:
            if access.counting is not None:
                return await access.counting.incr(key, delta, initial=initial, ttl=ttl)
            # Those of this process take turns: they would only make each other's tries fail.
            async with access.locks.hold(key):
                return await self._swap(key, delta, initial, ttl)
        except BackendError as error:
            access.failed("incr", key, error)
            raise

    def _refusal(self) -> ConfigurationError:
        access = self._store.access
        if access.sealer is not None:
            return ConfigurationError(
                "incr needs a plain number in the store: it excludes encryption_keys, except where the store"
                " can compare and swap"
            )
        return access.absent("incr")

    async def _swap(self, key: str, delta: int, initial: int, ttl: float | None) -> int:
        access = self._store.access
        swapping, adding = access.swapping, access.adding
        assert swapping is not None  # noqa: S101 - asked by `increment`
        assert adding is not None  # noqa: S101 - `Access` takes no store that lacks one of them
        pause = _FIRST_PAUSE
        for _ in range(_TRIES):
            found, version = await self._store.find_versioned(key, swapping)
            now = self._store.clock()
            if found is not None and is_fresh(found, now):
                total = self._number_in(found) + delta
                entry = self._entry_like(found, total, now)
            else:
                total = initial + delta
                entry = await self._new_entry(key, total, ttl)
            data, life = access.pack(entry), store_ttl(entry, now)
            if version is None:
                done = await adding.add(key, data, life)
            else:
                done = await swapping.compare_and_swap(key, data, life, version)
            if done:
                self._store.runs.void_key(key)  # what began meanwhile may have read the old number
                return total
            await asyncio.sleep(random.uniform(0.0, pause))
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise BackendError(f"incr: others came first {_TRIES} times in a row", key=key)

    def _number_in(self, entry: Entry) -> int:
        number = self._coder.value_of(entry)
        if type(number) is not int:
            raise BackendError("not an integer", key=entry.key)
        return number

    def _payload(self, key: str, number: int) -> bytes:
        if not -INT64 <= number < INT64:
            raise BackendError("the result does not fit in 64 bits", key=key)
        return self._codec.encode(number)

    def _entry_like(self, old: Entry, number: int, now: float) -> Entry:
        """Return an entry of ``number`` that ends when ``old`` does, and is invalidated by the same."""
        spans = old.fresh_until, old.stale_until, old.error_until
        payload = self._payload(old.key, number)
        return Entry(old.key, payload, self._codec.name, now, *spans, old.compute_time, old.stamps)

    async def _new_entry(self, key: str, number: int, ttl: float | None) -> Entry:
        payload = self._payload(key, number)
        stamps = await self._store.stamps(())
        if stamps is None:
            raise BackendUnavailableError("incr: the namespace's generation cannot be had", key=key)
        now = self._store.clock()
        until = inf if ttl is None else now + ttl
        return Entry(key, payload, self._codec.name, now, until, until, until, 0.0, stamps)
