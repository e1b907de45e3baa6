"""`BulkLoader`: the missing ones of many keys, computed in one call and stored one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asynccache import events
from asynccache._engine.clock import stopwatch
from asynccache._engine.coding import Coder
from asynccache._engine.entry import MISSING, Entry
from asynccache._engine.expiry import Lifetime
from asynccache._engine.runs import Run
from asynccache._engine.singleflight import SingleFlight
from asynccache._engine.store import EntryStore, Lease
from asynccache.errors import ConfigurationError

__all__ = ["BulkLoader", "Loaded"]

Load = Callable[[list[str]], Awaitable[Mapping[str, Any]]]


class Loaded:
    """A computed value, for several callers."""

    __slots__ = ("_coder", "_entry", "_value")

    def __init__(self, coder: Coder, entry: Entry | None, value: Any) -> None:
        self._coder = coder
        self._entry = entry
        self._value = value

    def take(self, type: Any) -> Any:
        """Return the value, as an object that no other caller holds."""
        own = MISSING if self._entry is None else self._coder.value_of(self._entry, type)
        return self._value if own is MISSING else own


class BulkLoader:
    """Many values of one namespace, computed under the rules of `asynccache._engine.loading.Loader`."""

    def __init__(self, store: EntryStore, coder: Coder, flights: SingleFlight) -> None:
        self._store = store
        self._coder = coder
        self._flights = flights
        self._batches = store.runs.joinable

    async def load(
        self, keys: Mapping[str, str], load: Load, lifetime: Lifetime, tags: Sequence[str]
    ) -> dict[str, Loaded]:
        """Compute the values of ``keys`` in one call and store them, or join a call for the same keys.

        Args:
            keys: What ``load`` calls them, and their full keys.
            load: Returns the values; what it leaves out is left out here.
            lifetime: How long they live.
            tags: Their tags.
        """
        what = tuple(keys.values())
        batch: tuple[Run, ...] | None = self._batches.get(what)
        if batch is None or any(run.voided for run in batch) or not self._flights.running(batch):
            hard = self._store.tag_keys(tags)
            batch = tuple([Run(full, hard) for full in what])
            self._batches[what] = batch
        runs = batch
        try:
            return await self._flights.run(runs, lambda: self._compute(keys, load, lifetime, tags, runs))
        finally:
            if self._batches.get(what) is runs and not self._flights.running(runs):
                del self._batches[what]

    async def _compute(
        self,
        keys: Mapping[str, str],
        load: Load,
        lifetime: Lifetime,
        tags: Sequence[str],
        runs: Sequence[Run],
    ) -> dict[str, Loaded]:
        store, coder = self._store, self._coder
        for run in runs:
            store.runs.add(run)
        leases: list[Lease] = []
        try:
            leases = await asyncio.gather(*(store.acquire(run.key) for run in runs))
            stamps = await store.stamps(tags)
            started = stopwatch()
            values = await self._call(load, runs, list(keys))
            seconds_each = (stopwatch() - started) / len(keys)
            loaded: dict[str, Loaded] = {}
            for name, run, lease in zip(keys, runs, leases, strict=True):
                if name in values:
                    value: Any = values[name]
                    entry = coder.entry_if_possible(run.key, value, lifetime, stamps or (), seconds_each)
                    if entry is not None and stamps is not None:
                        await store.fill(entry, run, lease)
                    loaded[name] = Loaded(coder, entry, value)
            return loaded
        finally:
            for run in runs:
                store.runs.end(run)
            await asyncio.gather(
                *(store.release(run.key, lease) for run, lease in zip(runs, leases, strict=False))
            )

    async def _call(self, load: Load, runs: Sequence[Run], names: list[str]) -> Mapping[str, Any]:
        """Return what ``load`` returns, and tell of it as if the keys had been computed one by one."""
        started = stopwatch()
        error: str | None = None
        try:
            values: object = await load(names)
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            seconds_each = (stopwatch() - started) / len(names)
            for run in runs:
                self._store.tally.computed += 1
                self._store.emit(events.Computed(run.key, seconds_each, error))
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"load must return a mapping of keys to values, not {values!r}")
        return values
