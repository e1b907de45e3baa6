"""One computation per key at a time, however many callers want it.

The computation runs in a task that the flight owns, so no caller's cancellation reaches it; each caller
waits on a future of its own, which costs a tenth of `asyncio.shield`. There is no lock.

What happens when

- a waiter is cancelled: it leaves, nobody else notices. With the last one the computation is cancelled too
  (unless it was spawned in the background); whoever comes next starts a new one rather than join a dying one.
- the computation raises: every waiter raises its own copy. Nothing is remembered.
- the computation is cancelled from within (it awaited something that was cancelled): the waiters raise
  `CacheError`. A bare CancelledError would look as if they had been cancelled themselves, and running
  the computation again might repeat what it did so far.
- it raises KeyboardInterrupt or SystemExit: that ends the loop, as from any task; waiters get `CacheError`.
- it asks for its own key: `CacheError` instead of waiting for itself for ever.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, CancelledError, Future, Task
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from asynccache._engine.raising import copy_of
from asynccache._engine.runningloop import running_loop
from asynccache.errors import CacheError

__all__ = ["SingleFlight"]

T = TypeVar("T")
OnError = Callable[[BaseException], object]

_log: Final = logging.getLogger("asynccache")


class _Flight:
    """One running computation and those who wait for it."""

    __slots__ = ("abandoned", "detached", "key", "landed", "loop", "on_error", "task", "waiters")

    def __init__(
        self, loop: AbstractEventLoop, key: Hashable, on_error: OnError | None, *, detached: bool
    ) -> None:
        self.loop = loop
        self.key = key
        self.on_error = on_error
        self.detached = detached  # runs to its end even if nobody waits
        self.abandoned = False
        self.landed = False
        self.task: Task[Any] | None = None
        self.waiters: dict[Future[Any], None] = {}  # a set that remembers who came first


_within: Final[ContextVar[tuple[_Flight, ...]]] = ContextVar("asynccache_within", default=())
"""The running flights that the current code is a part of, the outermost first."""


async def _fly(flight: _Flight, work: Callable[[], Awaitable[T]]) -> T:
    _within.set((*(outer for outer in _within.get() if not outer.landed), flight))
    return await work()


class SingleFlight:
    """A table of running computations.

    It may be used from several event loops: a flight is joined within its own loop only.
    """

    __slots__ = ("_flights", "_last_loop", "_tasks")

    def __init__(self) -> None:
        self._flights: dict[tuple[AbstractEventLoop, Hashable], _Flight] = {}
        self._tasks: dict[Task[Any], _Flight] = {}  # strong references, also to what nobody can join any more
        self._last_loop: AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def __repr__(self) -> str:
        return f"<SingleFlight {len(self)} in flight>"

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the running computation of ``key``, or of ``work`` if there is none.

        ``work`` runs in a copy of the context of whoever started it.

        Raises:
            CacheError: the computation was cancelled from within, needs its own result, or `aclose` ended it.
            ConfigurationError: no asyncio event loop is running.
        """
        loop = running_loop()
        flight = self._flights.get((loop, key))
        waiter: Future[T] = loop.create_future()
        if flight is None:
            flight = _Flight(loop, key, None, detached=False)
            flight.waiters[waiter] = None  # before the start: an eager task may land at once
            self._start(flight, work)
        elif flight in _within.get():
            raise CacheError(f"computing {key!r} needs its own result")
        else:
            flight.waiters[waiter] = None
        try:
            return await waiter
        finally:
            flight.waiters.pop(waiter, None)
            if not (flight.waiters or flight.landed or flight.detached):
                self._abandon(flight)

    def spawn(
        self, key: Hashable, work: Callable[[], Awaitable[object]], on_error: OnError | None = None
    ) -> bool:
        """Start ``work`` in the background unless ``key`` is being computed; True if it was started.

        It can be joined by `run` and runs to its end even if nobody does; then an exception goes to
        ``on_error``, or is logged.
        """
        loop = running_loop()
        if (loop, key) in self._flights:
            return False
        self._start(_Flight(loop, key, on_error, detached=True), work)
        return True

    def running(self, key: Hashable) -> bool:
        """Return True while ``key`` is being computed in this event loop."""
        return (running_loop(), key) in self._flights

    async def aclose(self, timeout: float = 5.0) -> None:
        """Cancel every computation and wait for them to end; their waiters raise `CacheError` at once.

        One that ignores its cancellation is left behind after ``timeout`` seconds.
        """
        loop = running_loop()
        own: list[Task[Any]] = []
        for task, flight in list(self._tasks.items()):
            if flight in _within.get():
                continue  # closed from within a computation: it cannot wait for itself
            if flight.loop is loop:
                self._end(flight)
                own.append(task)
            elif not flight.loop.is_closed():
                flight.loop.call_soon_threadsafe(self._end, flight)
        self._drop_closed_loops()
        if own:
            await asyncio.wait(own, timeout=timeout)

    def _start(self, flight: _Flight, work: Callable[[], Awaitable[object]]) -> None:
        if flight.loop is not self._last_loop:
            self._last_loop = flight.loop
            self._drop_closed_loops()
        self._flights[flight.loop, flight.key] = flight
        flight.task = task = flight.loop.create_task(_fly(flight, work))
        self._tasks[task] = flight
        # A callback rather than the end of `_fly`: a task cancelled before its first step never runs at all.
        task.add_done_callback(self._land)

    def _land(self, task: Task[Any]) -> None:
        """Hand out what the computation came to."""
        flight = self._tasks.pop(task)
        flight.landed = True
        flight.task = None
        self._unlist(flight)
        waiters = [waiter for waiter in flight.waiters if not waiter.done()]
        flight.waiters.clear()
        error = _outcome(task, flight)
        if error is None:
            for waiter in waiters:
                waiter.set_result(task.result())
        elif waiters:
            waiters[0].set_exception(error)
            for waiter in waiters[1:]:
                waiter.set_exception(copy_of(error))
        elif not (task.cancelled() or isinstance(error.__cause__, KeyboardInterrupt | SystemExit)):
            _report(flight, error)

    def _abandon(self, flight: _Flight) -> None:
        """Cancel a computation nobody waits for, and let whoever comes now start a new one."""
        self._unlist(flight)
        flight.abandoned = True
        if flight.task is not None:
            flight.task.cancel()

    def _end(self, flight: _Flight) -> None:
        msg = f"the cache was closed while {flight.key!r} was computed"
        for waiter in flight.waiters:
            if not waiter.done():
                waiter.set_exception(CacheError(msg))
        flight.waiters.clear()
        self._abandon(flight)

    def _unlist(self, flight: _Flight) -> None:
        where = (flight.loop, flight.key)
        if self._flights.get(where) is flight:
            del self._flights[where]

    def _drop_closed_loops(self) -> None:
        """Forget what a loop left unfinished when it was closed: it will never land."""
        for task, flight in list(self._tasks.items()):
            if flight.loop.is_closed():
                self._unlist(flight)
                self._tasks.pop(task, None)


def _outcome(task: Task[Any], flight: _Flight) -> BaseException | None:
    """Return what the waiters are to raise; None if there is a result."""
    try:
        error = task.exception()
    except CancelledError as cancelled:
        ended = CacheError(f"computing {flight.key!r} was cancelled from within")
        ended.__cause__ = cancelled
        return ended
    if isinstance(error, KeyboardInterrupt | SystemExit):
        ended = CacheError(f"computing {flight.key!r} was ended by {type(error).__name__}")
        ended.__cause__ = error
        return ended
    return error


def _report(flight: _Flight, error: BaseException) -> None:
    """Hand an exception that no waiter is left to raise to whoever asked for it, else to the log."""
    if flight.on_error is not None:
        flight.on_error(error)
    else:
        _log.warning("computing %r failed, and nobody waits for it any more", flight.key, exc_info=error)
