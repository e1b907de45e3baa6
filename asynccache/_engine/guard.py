"""Keeps a store's troubles from becoming the application's.

Every operation has a deadline (see `deadlines`), failures in a row open a circuit (see `breaker`), and
exceptions are mapped to ours (see `failures`). A driver that ignores its cancellation is left behind:
counted in `Guard.abandoned`, and the backend's ``drop_connection()``, if it has one, is called. A backend
that says ``owns_io = True`` is called in the caller's own task: a caller that is cancelled merely leaves.

A removal that failed, or a set of which nobody knows whether it arrived, leaves an outdated value behind. It
is owed (see `owed`): the key is absent for every reader of this guard until a delete has been replayed (see
`replaying`), which happens as soon as the store answers again.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from asynccache._engine.breaker import Breaker, Circuit
from asynccache._engine.deadlines import Deadlines
from asynccache._engine.failures import CircuitOpenError, NoSlotError
from asynccache._engine.judging import StoreJudge
from asynccache._engine.owed import Owed
from asynccache._engine.perloop import PerLoop
from asynccache._engine.replaying import Replay
from asynccache._engine.wrapping import Wrapper, owns_its_io
from asynccache.errors import BackendError, CacheError
from asynccache.protocols import BackendHealth, CacheBackendProtocol, SupportsLifecycle, SupportsMany

__all__ = ["Guard"]

Keys = set[str]
_Work = Callable[..., Awaitable[Any]]

_log: Final = logging.getLogger("asynccache")


_NOT_SENT: Final = (CircuitOpenError, NoSlotError)


class _Lane:
    """What belongs to one event loop."""

    __slots__ = ("calls", "replay", "run")

    def __init__(self, calls: Deadlines, replay: Replay, *, here: bool) -> None:
        self.calls = calls
        self.replay = replay
        self.run = calls.run_here if here else calls.run


class Guard(Wrapper):
    """A backend that never takes longer than its deadline, around one that may.

    Args:
        backend: The store. Every capability it has is passed on.
        clock: Seconds on a clock that never goes backwards, for the breaker.
        timeout: Seconds for an operation, waiting for a slot included.
        max_concurrency: Operations under way at once.
        breaker_failures: Failures in a row that open the circuit.
        breaker_seconds: How long it stays open before one operation probes the store.
        max_owed: Failed invalidations to remember; beyond it the oldest are forgotten and counted.
        clear_timeout: Seconds for clearing, for which a store may have to look at all of its keys.
        lifecycle_timeout: Seconds for opening and closing the store, and for its health.
    """

    def __init__(
        self,
        backend: CacheBackendProtocol,
        clock: Callable[[], float],
        *,
        timeout: float = 0.25,
        max_concurrency: int = 1024,
        breaker_failures: int = 5,
        breaker_seconds: float = 2.0,
        max_owed: int = 65_536,
        clear_timeout: float = 60.0,
        lifecycle_timeout: float = 10.0,
    ) -> None:
        super().__init__(backend)
        self._timeout = timeout
        self._clear_timeout = clear_timeout
        self._lifecycle_timeout = lifecycle_timeout
        self._retry_seconds = breaker_seconds
        self._breaker = Breaker(breaker_failures, breaker_seconds, patience=2 * timeout + breaker_seconds)
        self._judge = StoreJudge(backend, self._breaker, clock, self._on_sign_of_life)
        self._owed = Owed(max_owed)
        self._max_concurrency = max_concurrency
        self._lanes = PerLoop(self._new_lane)
        self._lane = self._lanes.here
        self._get = self._inner.get

    def __repr__(self) -> str:
        under_way = sum(len(lane.calls.under_way) for lane in self._lanes.everywhere())
        return f"<Guard {self.backend!r} circuit {self.circuit.value}, {under_way} under way>"

    @property
    def circuit(self) -> Circuit:
        """The state of the breaker."""
        return self._breaker.circuit

    @property
    def timeouts(self) -> int:
        """Operations that missed their deadline so far."""
        return self._judge.timeouts

    @property
    def abandoned(self) -> int:
        """Operations past their deadline that the driver has not let go of yet."""
        return sum(len(lane.calls.late) for lane in self._lanes.everywhere())

    @property
    def owed(self) -> int:
        """Failed invalidations that wait to be replayed."""
        return len(self._owed)

    @property
    def lost_invalidations(self) -> int:
        """Failed invalidations that were forgotten because there were too many."""
        return self._owed.lost

    # -- reads ------------------------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        """Return what the store has under ``key``, unless a removal of it is owed."""
        owed = self._owed
        if owed.pending and self._is_owed(key):
            return None
        value: bytes | None = await self._lane().run("get", key, self._get, key)
        # Looked at again: the removal may have failed while the value was on its way.
        return None if owed.pending and self._is_owed(key) else value

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what the store has of ``keys``, without those of which a removal is owed."""
        if self._owed.pending:
            keys = [key for key in keys if not self._is_owed(key)]
            if not keys:
                return {}
        found: dict[str, bytes] = await self._run("get_many", None, self._inner.get_many, keys)
        if self._owed.pending:
            return {key: value for key, value in found.items() if not self._is_owed(key)}
        return found

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return what the store has under ``key`` and its version, unless a removal of it is owed."""
        if self._owed.pending and self._is_owed(key):
            return None
        held: tuple[bytes, str] | None = await self._run("get_versioned", key, self._inner.get_versioned, key)
        return None if self._owed.pending and self._is_owed(key) else held

    async def exists(self, key: str) -> bool:
        """Return True if the store has ``key`` and no removal of it is owed."""
        if self._owed.pending and self._is_owed(key):
            return False
        there: bool = await self._run("exists", key, self._inner.exists, key)
        return there and not (self._owed.pending and self._is_owed(key))

    # -- replacing --------------------------------------------------------------------------------------

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
        """Store ``value``; what was owed of ``key`` is settled by it if it succeeds."""
        upto = self._owed.now
        try:
            stored: bool | None = await self._run("set", key, self._inner.set, key, value, ttl)
        except _NOT_SENT:
            raise
        except BackendError:
            self._owe(key)
            raise
        self._owed.settle(key, upto)
        return stored

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        """Store all of ``items``; like `set` for each."""
        upto = self._owed.now
        try:
            refused: Keys = await self._run("set_many", None, self._inner.set_many, items, ttl)
        except _NOT_SENT:
            raise
        except BackendError:
            self._owe(*items)
            raise
        for key in items:
            self._owed.settle(key, upto)
        return refused

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        """Store ``value`` if ``token`` still holds the lease on ``key``."""
        upto = self._owed.now
        try:
            filled: bool = await self._run("fill", key, self._inner.fill, key, value, ttl, token)
        except _NOT_SENT:
            raise
        except BackendError:
            self._owe(key)
            raise
        if filled:
            self._owed.settle(key, upto)
        return filled

    # -- removing ---------------------------------------------------------------------------------------

    async def delete(self, key: str) -> bool:
        """Remove ``key``; if that fails it is owed, and ``key`` is absent for readers of this guard."""
        upto = self._owed.now
        try:
            removed: bool = await self._run("delete", key, self._inner.delete, key)
        except BaseException as error:
            if _leaves_debt(error):
                self._owe(key)
            raise
        self._owed.settle(key, upto)
        return removed

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        """Remove ``keys``; like `delete` for each."""
        upto = self._owed.now
        try:
            removed: Keys = await self._run("delete_many", None, self._inner.delete_many, keys)
        except BaseException as error:
            if _leaves_debt(error):
                self._owe(*keys)
            raise
        for key in keys:
            self._owed.settle(key, upto)
        return removed

    async def clear(self, prefix: str) -> None:
        """Remove everything that starts with ``prefix``; if that fails it is owed, as with `delete`."""
        upto = self._owed.now
        try:
            await self._clear(prefix)
        except BaseException as error:
            if _leaves_debt(error):
                self._owed.add_prefix(prefix)
                self._lane().replay.later()
            raise
        self._owed.settle_prefix(prefix, upto)

    # -- changing what is there, which must not be what is owed a removal -------------------------------

    async def touch(self, key: str, ttl: float | None) -> bool:
        """Set the time to live of ``key``; False if it is not there."""
        if self._owed.pending and self._is_owed(key):
            return False
        touched: bool = await self._run("touch", key, self._inner.touch, key, ttl)
        return touched

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` only if nothing is under ``key``; True if it was stored."""
        await self._pay_for(key)
        added: bool = await self._run("add", key, self._inner.add, key, value, ttl)
        return added

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        """Add ``delta`` to a counter and return the new value."""
        await self._pay_for(key)
        incr = partial(self._inner.incr, initial=initial, ttl=ttl)
        value: int = await self._run("incr", key, incr, key, delta)
        return value

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        """Store ``value`` only if what is there has ``version``.

        Nothing is owed if nobody knows what came of it: it cannot land after, and undo, anything newer, and
        what it leaves is either value, none of them outdated.
        """
        await self._pay_for(key)
        swap = self._inner.compare_and_swap
        swapped: bool = await self._run("compare_and_swap", key, swap, key, value, ttl, version)
        return swapped

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        """Return a token if nobody holds a lease on ``key``."""
        await self._pay_for(key)
        token: str | None = await self._run("acquire_lease", key, self._inner.acquire_lease, key, ttl)
        return token

    async def release_lease(self, key: str, token: str) -> None:
        """End a lease."""
        await self._run("release_lease", key, self._inner.release_lease, key, token)

    # -- the rest ---------------------------------------------------------------------------------------

    async def publish(self, message: bytes) -> None:
        """Send ``message`` to every subscriber."""
        await self._run("publish", None, self._inner.publish, message)

    def subscribe(self) -> AsyncIterator[bytes]:
        """Iterate over messages; a subscription has no deadline."""
        return self._inner.subscribe()  # type: ignore[no-any-return]

    async def health(self) -> BackendHealth:
        """Ask the store for a sign of life, even while the circuit is open; add the guard's own state."""
        health: BackendHealth = await self._run_apart("health", self._inner.health)
        own = {
            "circuit": self.circuit.value,
            "timeouts": self.timeouts,
            "abandoned": self.abandoned,
            "owed_invalidations": self.owed,
            "lost_invalidations": self.lost_invalidations,
        }
        return replace(health, details={**health.details, **own})

    async def open(self) -> None:
        """Open the store."""
        if isinstance(self.backend, SupportsLifecycle):
            await self._run_apart("open", self.backend.open)

    async def aclose(self) -> None:
        """Stop replaying, let what is under way end or miss its deadline, then close the store."""
        lane = self._lane()
        lane.replay.stop()
        await lane.calls.quiet(self._timeout)
        try:
            if isinstance(self.backend, SupportsLifecycle):
                await self._run_apart("aclose", self.backend.aclose)
        finally:
            lane.calls.stop()

    def _run(self, name: str, key: str | None, work: _Work, *args: Any) -> Awaitable[Any]:
        return self._lane().run(name, key, work, *args)

    async def _clear(self, prefix: str) -> None:
        # A sign of life, under the deadline of all others: only who answers may take a minute.
        await self._run("clear", prefix, self._get, prefix)
        clear = partial(self._inner.clear, prefix)
        await self._lane().calls.run_apart(self._clear_timeout, "clear", clear, prefix)

    def _run_apart(self, name: str, work: _Work) -> Awaitable[Any]:
        return self._lane().calls.run_apart(self._lifecycle_timeout, name, work)

    def _new_lane(self, loop: AbstractEventLoop) -> _Lane:
        replay = Replay(
            loop,
            self._owed,
            self._remove,
            self._clear,
            bulk=isinstance(self.backend, SupportsMany),
            hopeless=self._judge.hopeless,
            retry_seconds=self._retry_seconds,
        )
        calls = Deadlines(loop, self._timeout, self._max_concurrency, self._judge)
        return _Lane(calls, replay, here=owns_its_io(self.backend))

    def _on_sign_of_life(self) -> None:
        """Tell a store that answers what it missed."""
        if self._owed.pending:
            self._lane().replay.now()

    # -- debts ------------------------------------------------------------------------------------------

    def _is_owed(self, key: str) -> bool:
        if not self._owed.covers(key):
            return False
        self._lane().replay.now()
        return True

    def _owe(self, *keys: str) -> None:
        for key in keys:
            self._owed.add(key)
        self._lane().replay.later()

    async def _pay_for(self, key: str) -> None:
        """Remove ``key`` first if that is owed."""
        if self._owed.pending and self._owed.covers(key):
            await self.delete(key)

    def _remove(self, keys: Sequence[str]) -> Awaitable[Any]:
        if len(keys) == 1:
            return self._run("delete", keys[0], self._inner.delete, keys[0])
        return self._run("delete_many", None, self._inner.delete_many, keys)


def _leaves_debt(error: BaseException) -> bool:
    """Return True unless nothing was to be removed: a key that no store could hold, a loop that is gone."""
    return isinstance(error, BackendError) or not isinstance(error, CacheError | GeneratorExit)
