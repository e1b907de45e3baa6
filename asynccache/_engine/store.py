"""`EntryStore`: entries in and out of any backend. What the facade, decorators and HTTP stand on.

It knows packing, tags, leases, events and what a failing store means; it knows nothing of values,
freshness or computing. Keys are full keys (see `asynccache.keys.Namespace`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from asynccache import events
from asynccache._engine.clock import Clock
from asynccache._engine.entry import Entry, Sealer, SupportsEntries, pack, unpack
from asynccache._engine.expiry import store_ttl
from asynccache._engine.observing import Observers, Tally
from asynccache._engine.report import CacheCapabilities
from asynccache._engine.runs import Run, Runs, settled
from asynccache._engine.tags import STAMP_TTL, Liveness, liveness, new_stamp, stamp_in, stamp_keys, stamps_of
from asynccache.errors import BackendError, ConfigurationError
from asynccache.keys import Namespace
from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsMany,
    SupportsTouch,
)

__all__ = ["EntryStore", "Lease", "StoreSettings"]

T = TypeVar("T")

_RENEWAL: Final = 1 / 64
"""How often a write renews the stamps it carries: hot tags for certain, at the cost of one touch in 64 writes."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What all namespaces of one cache share."""

    backend: CacheBackendProtocol
    sealer: Sealer | None
    clock: Clock
    max_value_bytes: int
    fail_open: bool
    lease_ttl: float
    observers: Observers
    tally: Tally = field(default_factory=Tally)
    runs: Runs = field(default_factory=Runs)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill a key, or the lack of it."""

    token: str | None = None
    """None: what is computed must not be stored."""
    held_by_other: bool = False


_UNLEASED: Final = Lease("")
"""For stores without leases: the runs of this process are all there is to guard against."""
_FAILED: Final = Lease()
_HELD: Final = Lease(held_by_other=True)


class EntryStore:
    """The entries of one namespace."""

    def __init__(self, settings: StoreSettings, namespace: Namespace) -> None:
        self.settings = settings
        self.namespace = namespace
        self.clock = settings.clock
        self.tally = settings.tally
        self.runs = settings.runs
        self.emit = settings.observers.emit
        self._backend = backend = settings.backend
        self._sealer = settings.sealer
        self.local: SupportsEntries | None = None
        """The backend, where it is in this process and may hold entries as objects."""
        if isinstance(backend, SupportsEntries) and settings.sealer is None:
            self.local = backend
        self._generations: tuple[str, ...] = ()
        if not isinstance(backend, SupportsClear):
            path = namespace.segments
            self._generations = tuple(Namespace(*path[: n + 1]).tag_prefix for n in range(len(path)))

    def __repr__(self) -> str:
        return f"<EntryStore {self.namespace.prefix!r} on {type(self._backend).__name__}>"

    # -- reading ------------------------------------------------------------------------------------

    def peek(self, key: str) -> Entry | None:
        """Return a live entry of a process-local store, without awaiting; None also where the store is remote."""
        local = self.local
        if local is None:
            return None
        entry = local.get_entry(key)
        if entry is None or not entry.stamps:
            return entry
        return self._checked(entry, self._local_stamp)

    def alive(self, entry: Entry) -> bool:
        """Return whether the tags of an entry of a process-local store are live; a soft invalidation makes it stale."""
        return self._checked(entry, self._local_stamp) is not None

    async def find(self, key: str, tags: Sequence[str] = ()) -> Entry | None:
        """Return the entry under ``key`` if it is intact and its tags are live. The caller judges freshness.

        Args:
            key: Full key.
            tags: Tags the entry is likely to have; their stamps are fetched in the same round trip.
        """
        if self.local is not None:
            return self.peek(key)
        found = await self.find_many((key,), tags)
        return found.get(key)

    async def find_many(self, keys: Sequence[str], tags: Sequence[str] = ()) -> dict[str, Entry]:
        """Return the live entries among ``keys``."""
        if self.local is not None:
            return {key: entry for key in keys if (entry := self.peek(key)) is not None}
        likely = stamp_keys((*self._generations, *self.tag_keys(tags)))
        raw = await self._read((*keys, *likely))
        entries: dict[str, Entry] = {}
        for key in keys:
            data = raw.get(key)
            if data is not None:
                entry = unpack(data, key, self._sealer)
                if entry is None:
                    await self._drop_damaged(key)
                else:
                    entries[key] = entry
        needed = stamp_keys(dict.fromkeys(stamp[0] for entry in entries.values() for stamp in entry.stamps))
        if missing := [key for key in needed if key not in raw and key not in likely]:
            raw |= await self._read(missing)
        current = {key: stamp for key in needed if (stamp := self._stamp(raw, key)) is not None}.get
        return {k: live for k, e in entries.items() if (live := self._checked(e, current)) is not None}

    def _checked(self, entry: Entry, current: Callable[[str], str | None]) -> Entry | None:
        """Return ``entry`` unless a tag of it was invalidated; a softly invalidated one is no longer fresh."""
        verdict = liveness(entry.stamps, current)
        if verdict is Liveness.DEAD:
            return None
        if verdict is Liveness.SOFT:
            entry.fresh_until = min(entry.fresh_until, entry.created)
        return entry

    def _local_stamp(self, key: str) -> str | None:
        entry = self.local.get_entry(key) if self.local is not None else None
        return None if entry is None else entry.value

    def _stamp(self, raw: Mapping[str, bytes], key: str) -> str | None:
        data = raw.get(key)
        entry = None if data is None else unpack(data, key, self._sealer)
        return None if entry is None else stamp_in(entry)

    async def _read(self, keys: Sequence[str]) -> dict[str, bytes]:
        backend = self._backend
        if len(keys) == 1:
            data = await self._attempt("get", keys[0], backend.get(keys[0]), None)
            return {} if data is None else {keys[0]: data}
        if isinstance(backend, SupportsMany):
            return await self._attempt("get_many", keys[0], backend.get_many(keys), {})
        answers = await asyncio.gather(*(self._attempt("get", key, backend.get(key), None) for key in keys))
        return {key: data for key, data in zip(keys, answers, strict=True) if data is not None}

    async def _drop_damaged(self, key: str) -> None:
        """Remove what is no entry, so that it is not read again and again. Lost races are harmless: it is a cache."""
        self.emit(events.Miss(key, "damaged"))
        await self._attempt("delete", key, self._backend.delete(key), False)

    # -- tags ---------------------------------------------------------------------------------------

    def tag_keys(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return the full keys of ``tags`` in this namespace."""
        prefix = self.namespace.tag_prefix
        return tuple(prefix + tag for tag in tags)

    async def stamps(self, tags: Iterable[str]) -> tuple[tuple[str, str, str], ...] | None:
        """Return the stamps an entry with ``tags`` has to carry; read them before computing its value.

        None if the store cannot tell: then the value must not be stored.
        """
        hard = (*self._generations, *self.tag_keys(tags))
        if not hard:
            return ()
        keys = stamp_keys(hard)
        if self.local is not None:
            found = {key: self._local_stamp(key) or self._plant_local(key) for key in keys}
        else:
            raw = await self._read(keys)
            found = {key: self._stamp(raw, key) or await self._plant(key) for key in keys}
            if random.random() < _RENEWAL:
                await self._renew(keys)
        known = {key: stamp for key, stamp in found.items() if stamp is not None}
        return stamps_of(hard, known) if len(known) == len(keys) else None

    def _plant_local(self, key: str) -> str | None:
        entry = new_stamp(key, self.clock())
        return entry.value if self.local is not None and self.local.set_entry(entry) else None

    async def _plant(self, key: str) -> str | None:
        """Store a fresh stamp unless somebody else just did; return the one in force."""
        entry = new_stamp(key, self.clock())
        data = pack(entry, self._sealer)
        backend = self._backend
        if not isinstance(backend, SupportsAdd):
            stored = await self._attempt("set", key, backend.set(key, data, STAMP_TTL), False)
            return None if stored is False else stamp_in(entry)
        if await self._attempt("add", key, backend.add(key, data, STAMP_TTL), False):
            return stamp_in(entry)
        return self._stamp(await self._read((key,)), key)

    async def _renew(self, keys: Iterable[str]) -> None:
        backend = self._backend
        if isinstance(backend, SupportsTouch):
            for key in keys:
                await self._attempt("touch", key, backend.touch(key, STAMP_TTL), False)

    async def invalidate_tags(self, tags: Sequence[str], *, soft: bool = False) -> bool:
        """Make every entry that carries one of ``tags`` dead (or stale); False if the store failed."""
        hard = self.tag_keys(tags)
        self.runs.void_tags(hard)
        keys = [
            key for key in stamp_keys(hard) if ("~" in key.removeprefix(self.namespace.prefix)[:1]) is soft
        ]
        done = await self._remove_all(keys)
        for tag in tags:
            self.emit(events.Invalidated(f"#{tag}", soft=soft))
        self.tally.invalidated += len(tags)
        return done

    # -- writing ------------------------------------------------------------------------------------

    async def put(self, entry: Entry) -> bool:
        """Store ``entry`` beside whatever is being computed; for records that are not values."""
        return await self._put(entry)

    async def write(self, entry: Entry) -> bool:
        """Store ``entry`` because the caller says so: what is being computed for its key is outdated."""
        await settled(self.runs.void_key(entry.key))
        if await self._put(entry):
            return True
        if self.local is None:  # a failed or refused write must not leave the older value behind
            await self._attempt("delete", entry.key, self._backend.delete(entry.key), False)
        return False

    async def fill(self, entry: Entry, run: Run, lease: Lease) -> bool:
        """Store what ``run`` computed, unless it was invalidated meanwhile. The lease is used up if it is stored."""
        token = lease.token
        if run.voided or token is None:
            return self._refuse(entry, "outdated")
        backend = self._backend
        if not isinstance(backend, SupportsLeases):
            return await self._fill_under(run, self._put(entry))
        if self._too_large(entry):
            return self._refuse(entry, "too_large")
        data = pack(entry, self._sealer)
        filling = self._attempt(
            "fill", entry.key, backend.fill(entry.key, data, store_ttl(entry, self.clock()), token), None
        )
        stored = await self._fill_under(run, filling)
        if stored is False:
            return self._refuse(entry, "outdated")
        return self._stored(entry) if stored else False

    async def _fill_under(self, run: Run, writing: Awaitable[T]) -> T:
        """Await ``writing`` in such a way that a removal of the key can wait for it."""
        run.stored = asyncio.get_running_loop().create_future()
        try:
            return await writing
        finally:
            run.stored.set_result(None)
            run.stored = None

    async def _put(self, entry: Entry) -> bool:
        if self._too_large(entry):
            if self.local is not None:
                await self._backend.delete(entry.key)
            return self._refuse(entry, "too_large")
        if self.local is not None:
            return self._stored(entry) if self.local.set_entry(entry) else self._refuse(entry, "store")
        ttl = store_ttl(entry, self.clock())
        writing = self._backend.set(entry.key, pack(entry, self._sealer), ttl)
        outcome = await self._attempt("set", entry.key, _accepted(writing), None)
        if outcome is False:
            return self._refuse(entry, "store")
        return self._stored(entry) if outcome else False

    async def write_many(self, entries: Sequence[Entry]) -> set[str]:
        """Store ``entries``, all with the same lifetime, as `write` does; return the keys that were not stored."""
        backend = self._backend
        if self.local is not None or not isinstance(backend, SupportsMany) or not entries:
            return {entry.key for entry in entries if not await self.write(entry)}
        for entry in entries:
            await settled(self.runs.void_key(entry.key))
        small = [entry for entry in entries if not self._too_large(entry)]
        data = {entry.key: pack(entry, self._sealer) for entry in small}
        writing = backend.set_many(data, store_ttl(entries[0], self.clock()))
        refused = await self._attempt("set_many", entries[0].key, writing, None)
        failed = set(data) if refused is None else refused
        for entry in entries:
            if entry.key in failed or entry.key not in data:
                failed.add(entry.key)
                self._refuse(entry, "store" if entry.key in data else "too_large")
            else:
                self._stored(entry)
        if failed:
            await self._attempt("delete_many", entries[0].key, backend.delete_many(sorted(failed)), 0)
        return failed

    async def add(self, entry: Entry) -> bool:
        """Store ``entry`` only if nothing usable is under its key."""
        backend = self._backend
        if self.local is None and not isinstance(backend, SupportsAdd):
            raise self._absent("add")
        existing = await self.find(entry.key)
        if existing is not None and self.clock() < existing.fresh_until:
            return False
        if (
            self.local is not None
        ):  # nothing awaited since the look-up (a local find does not suspend): atomic
            return await self.write(entry)
        if existing is not None or self._too_large(entry):
            await self.remove(
                (entry.key,)
            )  # expired by its own judgement, or refused; the store may still hold it
        if self._too_large(entry):
            return self._refuse(entry, "too_large")
        assert isinstance(backend, SupportsAdd)  # noqa: S101
        adding = backend.add(entry.key, pack(entry, self._sealer), store_ttl(entry, self.clock()))
        return self._stored(entry) if await self._attempt("add", entry.key, adding, False) else False

    async def increment(self, key: str, delta: int, initial: int, ttl: float | None) -> int:
        """Count in the store. The one operation that raises whatever ``fail_open`` says: there is no honest number."""
        backend = self._backend
        if not isinstance(backend, SupportsIncrement):
            raise self._absent("incr")
        if self._sealer is not None:
            raise ConfigurationError(
                "incr needs a plain number in the store: it is not available with encryption_keys"
            )
        await settled(self.runs.void_key(key))
        try:
            return await backend.incr(key, delta, initial=initial, ttl=ttl)
        except BackendError as error:
            self._failed("incr", key, error)
            raise

    # -- removing -----------------------------------------------------------------------------------

    async def remove(self, keys: Sequence[str]) -> int:
        """Remove ``keys`` and void what is being computed for them; return how many were there."""
        for key in keys:
            await settled(self.runs.void_key(key))
        backend = self._backend
        if len(keys) == 1:
            removed = int(await self._attempt("delete", keys[0], backend.delete(keys[0]), False))
        elif isinstance(backend, SupportsMany):
            removed = await self._attempt("delete_many", keys[0], backend.delete_many(keys), 0)
        else:
            removed = sum([await self._attempt("delete", key, backend.delete(key), False) for key in keys])
        for key in keys:
            self.emit(events.Invalidated(key))
        self.tally.invalidated += len(keys)
        return removed

    async def _remove_all(self, keys: Sequence[str]) -> bool:
        backend = self._backend
        if isinstance(backend, SupportsMany):
            return await self._attempt("delete_many", keys[0], backend.delete_many(keys), None) is not None
        outcomes = [await self._attempt("delete", key, backend.delete(key), None) for key in keys]
        return None not in outcomes

    async def clear(self) -> bool:
        """Remove everything in this namespace and its children, and nothing else; False if the store failed."""
        prefix = self.namespace.prefix
        await settled(self.runs.void_prefix(prefix))
        backend = self._backend
        if isinstance(backend, SupportsClear):
            done = await self._attempt("clear", prefix, _true(backend.clear(prefix)), False)
        else:
            done = await self._remove_all((self.namespace.tag_prefix,))
        self.emit(events.Invalidated(prefix))
        self.tally.invalidated += 1
        return done

    # -- leases -------------------------------------------------------------------------------------

    async def acquire(self, key: str) -> Lease:
        """Return the right to fill ``key``, where nobody else has it."""
        backend = self._backend
        if not isinstance(backend, SupportsLeases):
            return _UNLEASED
        try:
            token = await backend.acquire_lease(key, self.settings.lease_ttl)
        except BackendError as error:
            self._failed("acquire_lease", key, error)
            if not self.settings.fail_open:
                raise
            return _FAILED
        return _HELD if token is None else Lease(token)

    async def release(self, key: str, lease: Lease) -> None:
        """Give a lease back; harmless after a fill, which has used it up."""
        backend = self._backend
        if lease.token and isinstance(backend, SupportsLeases):
            await self._attempt("release_lease", key, backend.release_lease(key, lease.token), None)

    # -- helpers ------------------------------------------------------------------------------------

    @property
    def capabilities(self) -> CacheCapabilities:
        """What the store can do."""
        backend = self._backend
        return CacheCapabilities(
            many=isinstance(backend, SupportsMany),
            add=self.local is not None or isinstance(backend, SupportsAdd),
            increment=self._sealer is None and isinstance(backend, SupportsIncrement),
            clear=isinstance(backend, SupportsClear),
            leases=isinstance(backend, SupportsLeases),
            bus=isinstance(backend, SupportsInvalidationBus),
            local=self.local is not None,
        )

    @property
    def counters(self) -> bool:
        """Whether plain integers are stored so that `increment` can count with them."""
        return self._sealer is None and not self._generations and isinstance(self._backend, SupportsIncrement)

    def _too_large(self, entry: Entry) -> bool:
        return len(entry.payload) > self.settings.max_value_bytes

    def _stored(self, entry: Entry) -> bool:
        self.tally.stored += 1
        if self.settings.observers:
            self.emit(events.Stored(entry.key, len(entry.payload), store_ttl(entry, self.clock())))
        return True

    async def attempt(self, operation: str, doing: Awaitable[None]) -> None:
        """Await an operation that concerns no key, under the cache's rules for failures."""
        await self._attempt(operation, "", doing, None)

    async def touch_counter(self, key: str, ttl: float | None) -> bool:
        """Change the time to live of a counter, which only the store knows."""
        backend = self._backend
        if not isinstance(backend, SupportsTouch):
            raise self._absent("touch")
        return await self._attempt("touch", key, backend.touch(key, ttl), False)

    def _refuse(self, entry: Entry, reason: str) -> bool:
        self.tally.refused += 1
        self.emit(events.Refused(entry.key, reason, len(entry.payload)))
        return False

    def _absent(self, operation: str) -> ConfigurationError:
        return ConfigurationError(f"{type(self._backend).__name__} offers no atomic {operation}")

    def _failed(self, operation: str, key: str, error: BackendError) -> None:
        self.tally.failed += 1
        self.emit(events.Failed(operation, key, error))

    async def _attempt(self, operation: str, key: str, doing: Awaitable[T], otherwise: T) -> T:
        """Await a store operation; a failure is an event and ``otherwise``, or raised where ``fail_open`` is off."""
        try:
            return await doing
        except BackendError as error:
            self._failed(operation, key, error)
            if not self.settings.fail_open:
                raise
            return otherwise


async def _accepted(writing: Awaitable[bool | None]) -> bool:
    return await writing is not False


async def _true(doing: Awaitable[None]) -> bool:
    await doing
    return True
