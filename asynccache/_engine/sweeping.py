"""Expired entries leave a store: a few at every write, the others by a timer while nobody writes."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle, get_running_loop
from collections.abc import Callable
from math import inf
from typing import Final
from weakref import ReferenceType, ref

from asynccache._engine.clock import Clock
from asynccache._engine.s3fifo import S3FIFO
from asynccache._engine.wheel import ExpiryWheel

__all__ = ["SLACK", "Sweeper"]

SLACK: Final = 1024
"""References to dead entries that are not worth sweeping."""
_WRITE_SLICE: Final = 32
_TIMER_SLICE: Final = 128
_LONGEST_NAP: Final = 60.0
_SHORTEST_NAP: Final = 0.1


class Sweeper:
    """Takes what expired out of ``table``, in slices small enough for an event loop to wait for.

    It runs on the loop that wrote last, as far as it noticed: asking for the running loop is a system call,
    so it asks only when an entry expires in another second than the one before it.
    """

    __slots__ = ("__weakref__", "_clock", "_loop", "_table", "_timer", "_until", "wheel")

    def __init__(self, table: S3FIFO, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._timer: TimerHandle | None = None
        self._loop: AbstractEventLoop | None = None
        self._until = inf  # what the timer waits for
        self.wheel = ExpiryWheel()

    def wake(self, now: float) -> None:
        """See to it that a timer of the running loop waits for what is due first, after a ``wheel.push``."""
        try:
            loop = get_running_loop()
        except RuntimeError:
            return
        if loop is not self._loop or self.wheel.due < self._until:
            self._arm(loop, now)

    def tidy(self, now: float) -> None:
        """Remove a few of the expired and of the references to the dead: no timer is needed then."""
        wheel = self.wheel
        if wheel.due <= now:
            self._expire(now, _WRITE_SLICE)
        dead = wheel.size - self._table.timed
        if dead > SLACK and (dead * 5 > wheel.size or not dead % 64):
            wheel.sweep()

    def forget(self) -> None:
        """Stop, and let go of all references; only while the table is empty."""
        self.wheel = ExpiryWheel()
        self._disarm()

    def on_timer(self, loop: AbstractEventLoop) -> None:
        """Do what is due, and wait for what is not."""
        if loop is not self._loop:  # another loop has taken over
            return
        self._timer = self._loop = None
        now = self._clock()
        self._expire(now, _TIMER_SLICE)
        self.tidy(now)
        self._arm(loop, now)

    def _expire(self, now: float, limit: int) -> None:
        for entry in self.wheel.take(now, limit):
            if now < entry.fresh_until or now < entry.stale_until or now < entry.error_until:
                self.wheel.push(entry, entry.expires, now)  # it was renewed in its place
            else:
                self._table.remove(entry)

    def _arm(self, loop: AbstractEventLoop, now: float) -> None:
        """Have a timer of ``loop`` remove what expires while nobody writes."""
        if loop is self._loop:
            self._disarm()
        due = self.wheel.due
        if not self.wheel.size:
            return
        nap = 0.0 if due <= now else min(max(due - now, _SHORTEST_NAP), _LONGEST_NAP)
        self._loop, self._until = loop, due
        # Only a weak reference: a store nobody uses any more must not live until its entries expire.
        self._timer = loop.call_later(nap, _ticker(ref(self)), loop)

    def _disarm(self) -> None:
        if self._timer is not None and self._loop is not None and not self._loop.is_closed():
            self._timer.cancel()
        self._timer = self._loop = None


def _ticker(sweeper: ReferenceType[Sweeper]) -> Callable[[AbstractEventLoop], None]:
    def tick(loop: AbstractEventLoop) -> None:
        if (alive := sweeper()) is not None:
            alive.on_timer(loop)

    return tick
