"""`Loader`: a value from the cache, or computed. Once per key, refreshed in time, never outdated.

The order of a computation is what makes it safe, so it is written down here: register the run (from now
on an invalidation voids it), take the lease (other processes wait), look again (somebody may just have
filled; the tags' stamps are read with it), compute, let nobody join any more, and fill only if nothing was
voided.

What another process invalidates does not void the run, but the lease, or the stamps of the value: that shows
when it is stored. Those who had joined may have come after the invalidation, so they begin again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from msgspec.structs import replace

from asynccache import events
from asynccache._engine.clock import stopwatch
from asynccache._engine.coding import Coder
from asynccache._engine.entry import MISSING, Entry
from asynccache._engine.expiry import Freshness, Lifetime, age, judge
from asynccache._engine.runs import Run
from asynccache._engine.singleflight import SingleFlight
from asynccache._engine.store import EntryStore, Lease
from asynccache.codecs import is_immutable
from asynccache.errors import ConfigurationError

__all__ = ["Job", "Loader"]

_ANY: Final = -inf
_NEVER: Final = inf
"""When a value must have been created to make computing one superfluous: any time, never, or later than …"""

logger = logging.getLogger("asynccache")

_SHORTEST_PAUSE: Final = 0.005
_USUAL_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.1
"""Seconds between two looks at what another process is computing."""
_POLLS_FOR_A_WRITE: Final = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What to compute and how to keep it."""

    key: str
    """Full key."""
    load: Callable[[], Awaitable[Any]]
    lifetime: Lifetime
    tags: tuple[str, ...] = ()
    type: Any = None
    store_if: Callable[[Any], bool] | None = None


def awaitable(loading: object) -> Awaitable[Any]:
    """Return what a loader returned; raise `ConfigurationError` if it cannot be awaited."""
    if not inspect.isawaitable(loading):
        raise ConfigurationError(f"load must be asynchronous: it returned {type(loading).__name__}")
    return loading


class _Outcome:
    """What a run produced, for everyone who waited for it."""

    __slots__ = ("entry", "original", "outdated", "taken")

    def __init__(self, entry: Entry | None, original: Any = MISSING, *, outdated: bool = False) -> None:
        self.entry = entry
        self.outdated = outdated
        """Whether another process may have invalidated it before the last of those who wait came."""
        self.original = original
        """The very object the loader returned, for the first taker; the others get one of their own."""
        self.taken = False


def pause_after(waited: float) -> float:
    """Return the most seconds to pause before another look, after ``waited`` seconds."""
    return min(max(_SHORTEST_PAUSE, min(waited / 5, _USUAL_PAUSE), waited / 50), _LONGEST_PAUSE)


class _Patience:
    """How to wait for another process: at most 20 ms too long, but what takes seconds may take 2 % more.

    Args:
        most: Seconds after which to wait no longer.
    """

    __slots__ = ("_most", "_polls", "_started")

    def __init__(self, most: float) -> None:
        self._most = most
        self._started = stopwatch()
        self._polls = 0

    def is_over(self) -> bool:
        """Return True if the other process must be taken for dead."""
        return stopwatch() - self._started > self._most

    def allows_a_write(self) -> bool:
        """Return True every few times: reading is cheap, trying to take a lease is a write."""
        self._polls += 1
        return self._polls % _POLLS_FOR_A_WRITE == 0

    async def pause(self) -> None:
        """Wait for a random time that suits how long it has been."""
        await asyncio.sleep(pause_after(stopwatch() - self._started) * random.uniform(0.5, 1.0))


class Loader:
    """Values of one namespace, decoded."""

    def __init__(self, store: EntryStore, coder: Coder, flights: SingleFlight) -> None:
        self.store = store
        self.coder = coder
        self._flights = flights
        self._running = store.runs.joinable

    async def load(self, job: Job) -> Any:
        """Return the value of ``job.key``, computing it if nothing usable is stored.

        Raises:
            Exception: what the computation raised, if no stale value may stand in for it.
        """
        store = self.store
        why: dict[str, str] = {}
        entry = await store.find(job.key, job.tags, why)
        reason = why.get(job.key, "absent")
        fallback: Any = MISSING
        if entry is not None:
            freshness = judge(entry, store.clock(), job.lifetime.beta)
            reason = "expired"
            if freshness is not Freshness.DEAD:
                value = self.coder.value_of(entry, job.type)
                if value is MISSING:
                    reason = "damaged"
                elif freshness is Freshness.ERROR_ONLY:
                    fallback = value
                else:
                    self._note_hit(entry, stale=freshness is Freshness.STALE)
                    if freshness is not Freshness.FRESH:
                        self.refresh(job, entry)
                    return value
        store.tally.misses += 1
        if store.access.observers:
            store.emit(events.Miss(job.key, reason))
        if fallback is MISSING:
            return await self._take(await self._fly(job), job)
        return await self._load_or(fallback, entry, job)

    async def compute(self, job: Job) -> Any:
        """Compute and store whatever is stored, joining a computation that is under way."""
        return await self._take(await self._fly(job, after=_NEVER), job)

    def refresh(self, job: Job, seen: Entry) -> None:
        """Compute in the background unless that is under way; a failure is logged."""
        run = self._run_for(job)
        self._flights.spawn(run, lambda: self._compute(job, run, seen.created))

    async def _load_or(self, fallback: Any, entry: Entry | None, job: Job) -> Any:
        """Compute, but let the stale ``fallback`` stand in for a failure or a late answer."""
        assert entry is not None  # noqa: S101
        timeout = job.lifetime.soft_timeout
        try:
            if timeout is None:
                return await self._take(await self._fly(job), job)
            self.refresh(job, entry)  # keeps the computation going when this waiter leaves
            async with asyncio.timeout(timeout):
                return await self._take(await self._fly(job), job)
        except Exception:
            logger.warning("serving a stale value of %s", job.key, exc_info=True)
            self._note_hit(entry, stale=True)
            return fallback

    async def _take(self, outcome: _Outcome, job: Job) -> Any:
        """Return the value in ``outcome`` as an object no other caller holds, as far as it can be copied."""
        original, entry = outcome.original, outcome.entry
        if original is not MISSING and not outcome.taken:
            outcome.taken = not is_immutable(original)
            return original
        value = MISSING if entry is None else self.coder.value_of(entry, job.type)
        if value is not MISSING:
            return value
        # What another process stored, or another reader asked for, does not decode to what this one wants.
        return await job.load() if original is MISSING else original

    def _run_for(self, job: Job) -> Run:
        """Return the run to join: the one under way unless it is outdated or abandoned."""
        run: Run | None = self._running.get(job.key)
        if run is None or run.voided or not self._flights.running(run):
            run = Run(job.key, self.store.tag_keys(job.tags))
            self._running[job.key] = run
        return run

    async def _fly(self, job: Job, after: float = _ANY) -> _Outcome:
        outcome, joined = await self._join(job, after)
        if joined and outcome.outdated:
            # What is under way by now was begun after this caller came: it will do in any case, so this ends.
            outcome, _ = await self._join(job, after)
        return outcome

    async def _join(self, job: Job, after: float) -> tuple[_Outcome, bool]:
        """Return what a computation came to, and whether it was under way already."""
        run = self._run_for(job)
        joined = self._flights.running(run)
        run.joined = run.joined or joined
        try:
            return await self._flights.run(run, lambda: self._compute(job, run, after)), joined
        finally:
            # Cancelled before its first step, it has not cleaned up after itself.
            if self._running.get(job.key) is run and not self._flights.running(run):
                del self._running[job.key]

    async def _compute(self, job: Job, run: Run, after: float) -> _Outcome:
        """Compute, unless somebody has stored a value created later than ``after`` meanwhile."""
        store = self.store
        store.runs.add(run)
        lease: Lease | None = None
        try:
            lease = await store.acquire(job.key)
            patience = _Patience(store.access.lease_ttl)
            while True:
                read: dict[str, bytes] = {}
                entry = await self._look_again(job, run, after, read)
                if entry is not None:
                    return _Outcome(entry, outdated=run.joined)
                if not lease.held_by_other or patience.is_over():
                    looked = after != _NEVER and store.local is None
                    return await self._produce(job, run, lease, read if looked else None)
                if patience.allows_a_write():
                    lease = await store.acquire(job.key)
                    if not lease.held_by_other:
                        continue
                await patience.pause()
        finally:
            self._close(run)
            store.runs.end(run)
            if lease is not None:
                await store.release(job.key, lease)

    def _close(self, run: Run) -> None:
        """Let nobody join ``run`` any more."""
        if self._running.get(run.key) is run:
            del self._running[run.key]

    async def _look_again(self, job: Job, run: Run, after: float, read: dict[str, bytes]) -> Entry | None:
        """Return what somebody else has stored meanwhile, if that will do; ``read`` takes what was read."""
        if after == _NEVER:
            return None
        run.joined = False  # what is read from now on is good enough for those who came before
        entry = await self.store.find(job.key, job.tags, None, read)
        if entry is None or not self._is_news(entry, after):
            return None
        # A copy: those who wait may get to it after the store has dropped, and so killed, its own.
        return None if self.coder.value_of(entry, job.type) is MISSING else replace(entry)

    def _is_news(self, entry: Entry, after: float) -> bool:
        newer = after == _ANY or entry.created > after
        return newer and judge(entry, self.store.clock()) is Freshness.FRESH

    async def _produce(self, job: Job, run: Run, lease: Lease, read: Mapping[str, bytes] | None) -> _Outcome:
        store = self.store
        stamps = await store.stamps(job.tags, read)
        started = stopwatch()
        try:
            value: Any = await awaitable(job.load())
        except BaseException as error:
            self._note_computed(job.key, stopwatch() - started, type(error).__name__)
            raise
        seconds = stopwatch() - started
        self._note_computed(job.key, seconds)
        if job.store_if is not None and not job.store_if(value):
            return _Outcome(self.coder.copy_of(job.key, value), value)
        entry = self.coder.entry_if_possible(job.key, value, job.lifetime, stamps or (), seconds)
        if entry is None or stamps is None:
            return _Outcome(entry, value)
        if lease.token:  # the lease keeps whoever comes now from computing it once more
            self._close(run)
        await store.fill(entry, run, lease)
        outdated = lease.lost or (run.joined and await store.is_outdated(entry))
        return _Outcome(entry, value, outdated=outdated)

    # -- telling ------------------------------------------------------------------------------------

    def _note_hit(self, entry: Entry, *, stale: bool) -> None:
        tally = self.store.tally
        tally.hits += 1
        tally.stale_hits += stale
        if self.store.access.observers:
            self.store.emit(events.Hit(entry.key, age(entry, self.store.clock()), stale))

    def _note_computed(self, key: str, seconds: float, error: str | None = None) -> None:
        self.store.tally.computed += 1
        self.store.emit(events.Computed(key, seconds, error))
