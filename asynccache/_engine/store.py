"""`EntryStore`: entries in and out of any backend. What the facade, decorators and HTTP stand on.

It knows packing, tags, leases and runs; it knows nothing of values, freshness or computing. Keys are full
keys (see `asynccache.keys.Namespace`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from typing import Final, TypeVar

from asynccache import events
from asynccache._engine.access import Access, or_failed
from asynccache._engine.entry import COUNTER, Entry
from asynccache._engine.expiry import Lifetime, is_fresh, store_ttl
from asynccache._engine.leasing import UNLEASED, Lease, Leasing
from asynccache._engine.runs import Run, settled
from asynccache._engine.stamping import Stamping
from asynccache._engine.tags import needed_stamps
from asynccache.keys import Namespace
from asynccache.protocols import SupportsCompareAndSwap

__all__ = ["EntryStore", "Lease"]

T = TypeVar("T")


class EntryStore:
    """The entries of one namespace."""

    def __init__(self, access: Access, namespace: Namespace) -> None:
        self.access = access
        self.namespace = namespace
        self.clock: Final = access.clock
        self.tally: Final = access.tally
        self.runs: Final = access.runs
        self.emit: Final = access.emit
        self.local: Final = access.local
        self._backend = access.backend
        self._stamping = Stamping(access, namespace)
        self.stamps: Final = self._stamping.for_entry
        self.common_stamp: Final = self._stamping.common
        self.alive: Final = self._stamping.alive
        self.tag_keys: Final = self._stamping.keys
        self.tags_of: Final = self._stamping.names
        self.generations: Final = self._stamping.generations
        leasing = Leasing(access)
        self.acquire: Final = leasing.acquire
        self.release: Final = leasing.release
        self.release_all: Final = leasing.release_all

    def __repr__(self) -> str:
        return f"<EntryStore {self.namespace.prefix!r} on {type(self._backend).__name__}>"

    @property
    def counters(self) -> bool:
        """Whether plain integers are stored so that the store itself can count with them."""
        return self.access.counting is not None

    # -- reading ------------------------------------------------------------------------------------

    def peek(self, key: str) -> Entry | None:
        """Return a live entry without awaiting; None also if the store is not in this process."""
        local = self.local
        entry = None if local is None else local.get_entry(key)
        if entry is None or (entry.stamps and not self.alive(entry)):
            return None
        return entry

    async def find(
        self,
        key: str,
        tags: Sequence[str] = (),
        why: dict[str, str] | None = None,
        read: dict[str, bytes] | None = None,
    ) -> Entry | None:
        """Return the entry under ``key`` if it is intact and its tags are live. The caller judges freshness.

        Args:
            key: Full key.
            tags: Tags the entry is likely to have; their stamps are fetched in the same round trip.
            why: Takes the reasons for which entries that are there are not returned, by key.
            read: Takes what was read, stamps included, for `stamps`; nothing if the store is in this process.
        """
        if self.local is not None:
            return self.peek(key)
        likely = self._stamping.likely(tags)
        if likely:
            raw = await self.access.read((key, *likely))
        else:
            data = await self.access.read_one(key)
            raw = {} if data is None else {key: data}
        if read is not None:
            read.update(raw)
        if key not in raw:
            return None
        entry = self.access.unpack(raw[key], key)
        if entry is not None:
            if not entry.stamps:
                return entry
            if all(stamp[0] in likely for stamp in entry.stamps) and self.alive(
                entry, partial(self._stamping.read_from, raw)
            ):
                return entry
        # Damaged, dead, or tagged otherwise than expected: the long way finds out.
        found = await self._live((key,), raw, likely, why)
        return found.get(key)

    async def find_many(
        self,
        keys: Sequence[str],
        tags: Sequence[str] = (),
        why: dict[str, str] | None = None,
        read: dict[str, bytes] | None = None,
    ) -> dict[str, Entry]:
        """Return the live entries among ``keys``."""
        if self.local is not None:
            return {key: entry for key in keys if (entry := self.peek(key)) is not None}
        likely = self._stamping.likely(tags)
        raw = await self.access.read((*keys, *likely))
        if read is not None:
            read.update(raw)
        return await self._live(keys, raw, likely, why)

    async def _live(
        self, keys: Sequence[str], raw: dict[str, bytes], likely: Sequence[str], why: dict[str, str] | None
    ) -> dict[str, Entry]:
        """Return the live entries under ``keys`` in what was read, the stamps of ``likely`` included."""
        why = {} if why is None else why
        entries: dict[str, Entry] = {}
        for key in keys:
            if key in raw:
                entry = self.access.unpack(raw[key], key)
                if entry is None:
                    why[key] = "damaged"
                    await self.access.delete(
                        key
                    )  # or it would be read again and again; a lost race is harmless
                else:
                    entries[key] = entry
        needed = needed_stamps(entries.values())
        if unread := [key for key in needed if key not in likely]:
            raw |= await self.access.read(unread)
        current = self._stamping.in_data(raw, needed)
        live = {key: entry for key, entry in entries.items() if self.alive(entry, current)}
        why.update(dict.fromkeys(entries.keys() - live.keys(), "tag"))
        return live

    async def find_versioned(
        self, key: str, swapping: SupportsCompareAndSwap
    ) -> tuple[Entry | None, str | None]:
        """Return the live entry under ``key``, if any, and the version of whatever is there.

        Raises:
            BackendError: the store failed; to take that for an absent key would lose what is there.
        """
        access = self.access
        generations = self._stamping.likely(())
        held, raw = await asyncio.gather(swapping.get_versioned(key), access.read_or_raise(generations))
        if held is None:
            return None, None
        entry = await self._judged(key, held[0], raw)
        if entry is None and generations:
            # Dead; or else it was written after its namespace was cleared, and the stamps were read before.
            # To find out they have to be read after it, which would be a round trip more for every counter.
            held = await swapping.get_versioned(key)
            if held is None:
                return None, None
            entry = await self._judged(key, held[0], await access.read_or_raise(generations))
        return entry, held[1]

    async def _judged(self, key: str, data: bytes, raw: dict[str, bytes]) -> Entry | None:
        """Return the entry in ``data`` if it is intact and live; stamps that are not in ``raw`` are read."""
        entry = self.access.unpack(data, key)
        if entry is None:
            return None
        needed = needed_stamps((entry,))
        if unread := [stamp for stamp in needed if stamp not in raw]:
            raw = raw | await self.access.read_or_raise(unread)
        return entry if self.alive(entry, self._stamping.in_data(raw, needed)) else None

    # -- writing ------------------------------------------------------------------------------------

    def write_now(self, entry: Entry) -> bool:
        """Do what `write` does, in a store of this process, with an entry that is not too large."""
        if self.runs.by_key:
            self.runs.void_key(entry.key)
        return self.access.write_now(entry)

    async def write(self, entry: Entry) -> bool:
        """Store ``entry`` because the caller says so: what is being computed for its key is outdated."""
        await settled(self.runs.void_key(entry.key))
        if self.local is not None:
            return await self.access.write(entry)
        if await self._alone((entry.key,), lambda: self.access.write(entry)):
            return True
        await self.access.delete(entry.key)  # a refused or failed write leaves nothing older behind
        return False

    async def _alone(self, keys: Sequence[str], act: Callable[[], Awaitable[T]]) -> T:
        """Return what ``act`` returns, which replaces or removes ``keys``, whose runs have been voided.

        What began meanwhile may have seen what was there before: it is void too. If it was already writing
        that back (a `touch`, where there are no leases to stop it), ``act`` has to follow it.
        """
        while True:
            outcome = await act()
            if not await settled(run for key in keys for run in self.runs.void_key(key)):
                return outcome

    async def write_many(self, entries: Sequence[Entry]) -> set[str]:
        """Store ``entries``, all with one lifetime, as `write` does; return the keys that were not stored."""
        access, many = self.access, self.access.many
        if self.local is not None or many is None:
            return {entry.key for entry in entries if not await self.write(entry)}
        for entry in entries:
            await settled(self.runs.void_key(entry.key))
        data = {entry.key: access.pack(entry) for entry in entries if not access.too_large(entry)}
        lost = {entry.key for entry in entries} - data.keys()
        if data:
            ttl = store_ttl(entries[0], self.clock())
            refused = await self._alone(
                tuple(data),
                lambda: access.attempt("set_many", entries[0].key, many.set_many(data, ttl), None),
            )
            lost |= data.keys() if refused is None else refused
        for entry in entries:
            if entry.key not in lost:
                access.stored(entry)
            else:
                access.refuse(entry, "store" if entry.key in data else "too_large")
        if lost:
            await access.delete_all(sorted(lost))
        return lost

    async def fill(self, entry: Entry, run: Run, lease: Lease) -> bool:
        """Store what ``run`` computed unless it was invalidated meanwhile.

        The store's answer, whichever, ends the lease.
        """
        access = self.access
        if run.voided or lease.token is None:
            return access.refuse(entry, "outdated")
        if access.leasing is None:
            with run:
                return await access.write(entry)
        if access.too_large(entry):
            return access.refuse(entry, "too_large")
        stored: bool | None
        if access.local is not None:
            stored = access.local.fill_entry(entry, lease.token)
        else:
            data, ttl = access.pack(entry), store_ttl(entry, self.clock())
            with run:
                filling = or_failed(access.leasing.fill(entry.key, data, ttl, lease.token))
                stored = await access.attempt("fill", entry.key, filling, None)
        if stored is None:
            return False
        lease.end(filled=stored)
        return access.stored(entry) if stored else access.refuse(entry, "outdated")

    async def add(self, entry: Entry) -> bool:
        """Store ``entry`` only if nothing usable is under its key."""
        access = self.access
        key = entry.key
        if await self._usable(key):
            return False
        if self.local is not None:  # nothing was awaited since the look-up that could suspend: atomic
            return await self.write(entry)
        if access.adding is None:
            raise access.absent("add")
        if access.too_large(entry):
            await self.remove((key,))
            return access.refuse(entry, "too_large")
        adding = access.adding.add(key, access.pack(entry), store_ttl(entry, self.clock()))
        if await access.attempt("add", key, adding, False):
            return access.stored(entry)
        return not await self._usable(key) and await self._replace_dead(entry)

    async def _usable(self, key: str) -> bool:
        entry = await self.find(key)
        return entry is not None and is_fresh(entry, self.clock())

    async def _replace_dead(self, entry: Entry) -> bool:
        """Store ``entry`` in place of one that the store still holds although it is of no use to anyone.

        Deleting it and adding again would let two callers succeed. The lease lets one, and the run keeps
        an invalidation meanwhile from being lost.
        """
        key = entry.key
        if key in self.access.replacing:
            return False  # somebody is doing just that, and comes first
        self.access.replacing.add(key)
        run, lease = self.runs.begin(key), UNLEASED
        try:
            lease = await self.acquire(key)
            return not await self._usable(key) and await self.fill(entry, run, lease)
        finally:
            self.access.replacing.discard(key)
            self.runs.end(run)
            await self.release(key, lease)

    async def touch(self, key: str, lifetime: Lifetime) -> bool:
        """Give the entry under ``key`` a new lifetime from now on; False if there is none.

        Its end is written in the entry itself, so it is stored anew, under the rules of any other
        computation.
        """
        run, lease = self.runs.begin(key), UNLEASED
        try:
            lease = await self.acquire(key)
            entry = await self.find(key)
            now = self.clock()
            if entry is not None and is_fresh(entry, now) and entry.codec != COUNTER:
                spans = lifetime.spans(now)
                renewed = Entry(
                    key, entry.payload, entry.codec, now, *spans, entry.compute_time, entry.stamps
                )
                return await self.fill(renewed, run, lease)
            if entry is None or not is_fresh(entry, now):
                return False
        finally:
            self.runs.end(run)
            await self.release(key, lease)
        touching = self.access.touching
        if touching is None:
            raise self.access.absent("touch")
        ttl = None if lifetime.ttl == inf else lifetime.ttl
        return await self.access.attempt("touch", key, touching.touch(key, ttl), False)

    # -- removing -----------------------------------------------------------------------------------

    async def remove(self, keys: Sequence[str]) -> int:
        """Remove ``keys`` and void what is being computed for them; return how many were there."""
        for key in keys:
            await settled(self.runs.void_key(key))
        removed = await self._alone(keys, lambda: self.access.delete_all(keys))
        for key in keys:
            self.emit(events.Invalidated(key))
        self.tally.invalidated += len(keys)
        return removed or 0

    async def invalidate_tags(self, tags: Sequence[str], *, soft: bool = False) -> bool:
        """Make every entry that carries one of ``tags`` dead (or stale); False if the store failed."""
        hard = self.tag_keys(tags)
        self.runs.void_tags(hard)
        done = await self._stamping.invalidate(tags, soft=soft)
        self.runs.void_tags(hard)  # what began meanwhile may have found what is no longer live
        for tag in tags:
            self.emit(events.Invalidated(f"#{tag}", soft=soft))
        self.tally.invalidated += len(tags)
        return done

    async def clear(self, prefix: str | None = None) -> bool:
        """Remove everything in this namespace and its children, nothing else; False if the store failed.

        Args:
            prefix: Remove the full keys that begin with this instead.

        Raises:
            ConfigurationError: there is a prefix, and the store cannot clear by one.
        """
        clearing = self.access.clearing
        if prefix is None:
            prefix = self.namespace.prefix
        elif clearing is None:
            raise self.access.absent("clear")
        await settled(self.runs.void_prefix(prefix))
        while True:
            if clearing is not None:
                done = await self.access.attempt("clear", prefix, _true(clearing.clear(prefix)), False)
            else:
                done = await self._stamping.next_generation()
            if not await settled(self.runs.void_prefix(prefix)):  # as in `_alone`
                break
        self.emit(events.Invalidated(prefix))
        self.tally.invalidated += 1
        return done

    async def is_outdated(self, entry: Entry) -> bool:
        """Return True if ``entry``, just computed, is dead already: its tags were invalidated meanwhile.

        Asks the store what only another process may have done. A store that fails cannot tell.
        """
        keys = needed_stamps((entry,))
        if not keys or self.local is not None:
            return False
        raw = await self.access.attempt("get_many", keys[0], self.access.read_or_raise(keys), None)
        return raw is not None and not self.alive(entry, self._stamping.in_data(raw, keys))


async def _true(doing: Awaitable[None]) -> bool:
    await doing
    return True
