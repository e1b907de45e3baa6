"""`BulkLoader`: the missing ones of many keys, computed in one call and stored one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
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


class _Batch:
    """What a call came to."""

    __slots__ = ("outdated", "values")

    def __init__(self) -> None:
        self.values: dict[str, Loaded] = {}
        self.outdated = False
        """Whether another process may have invalidated some of it before the last of those who wait came."""


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
        batch, joined = await self._join(keys, load, lifetime, tags)
        if joined and batch.outdated:
            # As in `Loader`: what is under way by now was begun after this caller came.
            batch, _ = await self._join(keys, load, lifetime, tags)
        return batch.values

    async def _join(
        self, keys: Mapping[str, str], load: Load, lifetime: Lifetime, tags: Sequence[str]
    ) -> tuple[_Batch, bool]:
        """Return what a call came to, and whether it was under way already."""
        what = tuple(keys.values())
        runs: tuple[Run, ...] | None = self._batches.get(what)
        joined = runs is not None and not any(run.voided for run in runs) and self._flights.running(runs)
        if runs is None or not joined:
            hard = self._store.tag_keys(tags)
            runs = self._batches[what] = tuple([Run(full, hard) for full in what])
        for run in runs:
            run.joined = run.joined or joined
        own = runs
        try:
            work = partial(self._compute, keys, load, lifetime, tags, own)
            return await self._flights.run(own, work), joined
        finally:
            if not self._flights.running(own):
                self._close(own)

    def _close(self, runs: tuple[Run, ...]) -> None:
        """Let nobody join ``runs`` any more."""
        what = tuple([run.key for run in runs])
        if self._batches.get(what) is runs:
            del self._batches[what]

    async def _compute(
        self,
        keys: Mapping[str, str],
        load: Load,
        lifetime: Lifetime,
        tags: Sequence[str],
        runs: tuple[Run, ...],
    ) -> _Batch:
        store, coder = self._store, self._coder
        for run in runs:
            store.runs.add(run)
        leases: dict[str, Lease] = {}

        async def acquire(key: str) -> None:
            leases[key] = await store.acquire(key)

        try:
            taking = (acquire(run.key) for run in runs)
            # To the last, failures or not: what is taken has to be known when it is given back.
            for failure in await asyncio.gather(*taking, return_exceptions=True):
                if failure is not None:
                    raise failure
            stamps = await store.stamps(tags)
            started = stopwatch()
            values = await self._call(load, runs, list(keys))
            seconds_each = (stopwatch() - started) / len(keys)
            if any(lease.token for lease in leases.values()):
                self._close(runs)
            batch = _Batch()
            last: Entry | None = None
            for name, run in zip(keys, runs, strict=True):
                if name not in values:
                    continue
                value: Any = values[name]
                entry = coder.entry_if_possible(run.key, value, lifetime, stamps or (), seconds_each)
                if entry is not None and stamps is not None:
                    await store.fill(entry, run, leases[run.key])
                    last = entry
                batch.values[name] = Loaded(coder, entry, value)
            lost = any(lease.lost for lease in leases.values())
            dead = (
                runs[0].joined and last is not None and await store.is_outdated(last)
            )  # their tags are one's
            batch.outdated = lost or dead
            return batch
        finally:
            for run in runs:
                store.runs.end(run)
            await store.release_all(leases)

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
