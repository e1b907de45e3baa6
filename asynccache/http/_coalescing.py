"""Requests that wait for another one that is producing the response they want.

Unlike `asynccache._engine.singleflight` nothing runs in a task of its own: the leader is an ordinary request,
with its own dependencies and its own client. If it ends without an answer, one of those who wait takes
over; if
its answer is not to be shared, they all go ahead at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from asynccache._engine.clock import stopwatch
from asynccache._engine.entry import Entry
from asynccache._engine.runningloop import running_loop
from asynccache._engine.runs import Run
from asynccache._engine.store import Lease
from asynccache.http._bounded import BoundedDict
from asynccache.http._responses import Wanted
from asynccache.http._rfc9111.stored import StoredResponse

__all__ = ["Answer", "Flight", "Flights", "Shared"]

_GLANCE: Final = 1.0
"""Seconds after which those who wait look at what the leader is doing."""
_REMEMBERED: Final = 1024
"""Landings, for as long as a look-up may take."""


class Shared(NamedTuple):
    """A response that may answer others than the one who asked for it."""

    entry: Entry
    response: StoredResponse
    names: tuple[bytes, ...]
    """The request fields it varies by."""
    wanted: Wanted
    """The request that it answered."""


class Answer(Enum):
    """What those who wait are told when there is no response for them."""

    GO = "go"
    """Go ahead alone: the response was for its own client only, or producing it failed."""
    RETRY = "retry"
    """Look again: there is something stored now, or it varies by more than was known."""
    LEAD = "lead"
    """Take over: the leader is gone."""


@dataclass(slots=True, eq=False)
class Flight:
    """One request at work and those who wait for its response."""

    key: str
    run: Run
    waiters: deque[asyncio.Future[Shared | Answer]]
    flights: Flights
    sending_since: float | None = None
    """Since when, by the stopwatch, the leader has been waiting for its client; None: it is not."""

    async def wait(self, timeout: float) -> Shared | Answer:
        """Wait for the response, at most ``timeout`` seconds; then `Answer.GO`.

        Nor is there any waiting for a leader whose own client does not read what it gets.
        """
        waiter: asyncio.Future[Shared | Answer] = running_loop().create_future()
        self.waiters.append(waiter)
        until = stopwatch() + timeout
        try:
            while True:
                glance = max(0.0, min(_GLANCE, until - stopwatch()))
                done, _ = await asyncio.wait({waiter}, timeout=glance)
                if done:
                    return waiter.result()
                now = stopwatch()
                stalled = self.sending_since is not None and now - self.sending_since >= _GLANCE
                if stalled or now >= until:
                    self._decline(waiter)
                    return Answer.GO
        except asyncio.CancelledError:
            self._decline(waiter)
            raise

    def _decline(self, waiter: asyncio.Future[Shared | Answer]) -> None:
        """Leave; if this one was told to take over in the same moment, somebody else has to."""
        if not waiter.done():
            waiter.cancel()  # nobody is there any more to take over
        elif not waiter.cancelled() and waiter.result() is Answer.LEAD:
            self.flights.abandon(self)

    def tell(self, answer: Shared | Answer) -> None:
        """Answer all who wait."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(answer)

    def pass_on(self) -> bool:
        """Let one of those who wait take over; False if nobody is left."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(Answer.LEAD)
                return True
        return False


class Flights:
    """The flights of one middleware, by the key of the response."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._landed: BoundedDict[str, int] = BoundedDict(_REMEMBERED)
        self.landings: int = 0
        """How many flights have ended with a response."""
        self.leases: dict[str, Lease] = {}
        """What this process holds, by key. A leader takes it from who went ahead alone or is outdated."""

    def __len__(self) -> int:
        return len(self._flights)

    def current(self, key: str) -> Flight | None:
        """Return the flight to join, unless an invalidation has outdated what it is producing."""
        flight = self._flights.get(key)
        return None if flight is None or flight.run.voided else flight

    def start(self, key: str, run: Run) -> Flight:
        """Begin a flight that the caller leads."""
        flight = self._flights[key] = Flight(key, run, deque(), self)
        return flight

    def land(self, flight: Flight, answer: Shared | Answer) -> None:
        """End a flight with a response for those who wait, or with `Answer.GO`."""
        self._drop(flight)
        if isinstance(answer, Shared):
            self.landings += 1
            self._landed.pop(flight.key, None)  # to be the newest again
            self._landed[flight.key] = self.landings
        flight.tell(answer)

    def landed_since(self, key: str, landings: int) -> bool:
        """Return whether a flight for ``key`` has ended with a response since there were ``landings``."""
        return self._landed.get(key, 0) > landings

    def abandon(self, flight: Flight) -> None:
        """End the leader's part without an answer."""
        if not flight.pass_on():
            self._drop(flight)

    def _drop(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
