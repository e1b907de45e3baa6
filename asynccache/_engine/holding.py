"""`Holding`: what a store in this process does with entries. It never waits, so nothing can come between."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from asynccache._engine.clock import Clock
from asynccache._engine.entry import COUNTER, Entry, unpack
from asynccache._engine.leases import LeaseBook
from asynccache._engine.s3fifo import S3FIFO, USED, cost
from asynccache._engine.sweeping import SLACK, Sweeper
from asynccache.keys import check_key

__all__ = ["Holding"]

_SCAN_SLICE: Final = 2000
_PAST: Final = -inf  # one object for all


class Holding:
    """A table, what expires in it, and who may fill it: the base of `asynccache.InMemoryBackend`.

    Bytes are held as entries without a codec. They are no one else's: nobody gets to see such an entry, so it
    can be written anew in place.
    """

    __slots__ = ("__weakref__", "_clock", "_leases", "_mask", "_shards", "_sweeper", "_table", "_young")

    def __init__(self, table: S3FIFO, clock: Clock) -> None:
        self._clock = clock
        self._table = table
        # The table never replaces these; one attribute less on every read.
        self._young = table.young
        self._shards = table.shards
        self._mask = table.mask
        self._sweeper = Sweeper(table, clock)
        self._leases = LeaseBook()

    def _live(self, key: str, now: float) -> Entry | None:
        entry = self._table.find(check_key(key))
        if entry is None or now < entry.expires:
            return entry
        self._table.remove(entry)
        return None

    def _used(self, entry: Entry, now: float) -> Entry | None:
        """Return ``entry``, counting a use, unless it is of no use any more."""
        if not now < entry.expires:
            self._table.remove(entry)
            return None
        if entry.hits < USED:
            entry.hits += 2
        return entry

    def _set(self, key: str, value: bytes, until: float, now: float) -> bool:
        if self._leases.held:
            self._leases.void(key)
        entry = self._young.get(key)
        if entry is None:
            entry = self._shards[hash(key) & self._mask].get(key)
        if entry is not None and not entry.codec and self._table.renew(entry, value, until):
            if self._sweeper.wheel.due <= now:
                self._sweeper.tidy(now)
            return True
        return self._store(Entry(key, value, "", _PAST, until, _PAST, _PAST), until, now)

    def _store(self, entry: Entry, expires: float, now: float) -> bool:
        sweeper, table = self._sweeper, self._table
        wheel = sweeper.wheel
        if wheel.due <= now or wheel.size - table.timed > SLACK:
            sweeper.tidy(now)
        if not table.add(entry):
            return False
        if expires < inf and wheel.push(entry, expires, now):
            sweeper.wake(now)
        return True

    def _delete(self, key: str, now: float) -> bool:
        self._leases.void(key)
        entry = self._table.find(key)
        if entry is None:
            return False
        there = now < entry.expires
        self._table.remove(entry)
        return there

    def _revealed(self, entry: Entry, now: float) -> Entry | None:
        """Return what opaque bytes hold, in whose place it is kept."""
        found = unpack(entry.payload, entry.key)
        if found is None:
            return None
        until = entry.expires
        found.fresh_until = min(found.fresh_until, until)
        found.stale_until = min(found.stale_until, until)
        found.error_until = min(found.error_until, until)
        if found.codec == COUNTER:
            found.created = entry.created
        if not now < found.expires:
            return None
        if cost(found) <= self._table.max_cost:  # the tags of one on the edge may weigh more than as bytes
            self._store(found, found.expires, now)
        return found

    async def _clear(self, prefix: str) -> None:
        scanned, now = 0, self._clock()
        for part in self._table.parts():
            doomed = [entry for key, entry in part.items() if key.startswith(prefix)]
            scanned += len(part)
            for entry in doomed:
                self._table.remove(entry)
            for _ in range(len(doomed) // 64):
                self._sweeper.tidy(now)
            if scanned > _SCAN_SLICE:
                scanned = 0
                await asyncio.sleep(0)
