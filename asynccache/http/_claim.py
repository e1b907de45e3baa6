"""`Claim`: the right to produce one response, in this process and among others; how a request gets it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from asynccache._engine.clock import stopwatch
from asynccache._engine.runningloop import running_loop
from asynccache._engine.store import Lease
from asynccache._engine.tags import Stamp
from asynccache.http._coalescing import Answer, Flight, Shared
from asynccache.http._replies import Reply
from asynccache.http._responses import Found, Wanted

if TYPE_CHECKING:
    from asynccache.http._middleware import CacheMiddleware

__all__ = ["Approach", "Claim", "approach"]

_POLL: Final = 0.02
"""Seconds between two looks at what another process is producing."""


class Approach(NamedTuple):
    """How far a request has come without the application."""

    reply: Reply | None
    """The answer; None: there is none yet."""
    found: Found
    leading: Flight | None
    """The flight that this request has been told to take over."""
    alone: bool
    """It goes ahead beside others that want the same."""


async def approach(
    middleware: CacheMiddleware,
    look: Callable[[], Awaitable[tuple[Found, Reply | None]]],
    accept: Callable[[Shared], Reply | Literal[Answer.GO] | None],
    *,
    alone: bool,
) -> Approach:
    """Answer from the store or with a response that is being produced; else say who is to produce one.

    Between its last look at the flights and its return nothing is awaited: whoever starts a flight at once is
    its only leader.

    Args:
        middleware: The middleware.
        look: Looks into the store.
        accept: Makes another request's response the answer to this one; `Answer.GO`: it is none, and another
            one will not be either; None: look again.
        alone: Do not wait for others.
    """
    flights = middleware.flights
    leading: Flight | None = None
    again = False
    while True:
        landings = flights.landings
        try:
            found, reply = await look()
        except BaseException:
            if leading is not None:
                flights.abandon(leading)
            raise
        if leading is not None and (reply is not None or leading.key != found.key):
            flights.land(leading, Answer.RETRY)
            leading = None
        if reply is not None or alone or leading is not None or middleware.uncacheable(found.key):
            return Approach(reply, found, leading, alone)
        other = flights.current(found.key)
        if other is None:
            if again or not flights.landed_since(found.key, landings):
                return Approach(None, found, None, alone)
            again = True  # this look-up was slow: what it has missed is there by now
            continue
        answer: Shared | Answer | Reply | None = await other.wait(middleware.coalesce_timeout)
        if isinstance(answer, Shared):
            answer = accept(answer)
            if isinstance(answer, Reply):
                return Approach(answer, found, None, alone)
        if answer is Answer.LEAD:
            leading = other
        elif answer is Answer.GO:
            alone = True


class Claim:
    """One response to be produced, and all that others know of it."""

    __slots__ = (
        "_common_stamp",
        "_middleware",
        "_tags",
        "_wanted",
        "ended",
        "flight",
        "found",
        "lease",
        "run",
        "stamps",
    )

    def __init__(
        self, middleware: CacheMiddleware, wanted: Wanted, tags: tuple[str, ...], found: Found
    ) -> None:
        running_loop()  # others may come to wait for this, in the loop; better to say now that there is none
        store = middleware.responses.store
        self.found = found
        self.run = store.runs.begin(wanted.url, store.tag_keys(tags))
        self.flight: Flight | None = None
        self.lease = Lease()
        self.stamps: tuple[Stamp, ...] | None = None
        """The stamps of its tags, as they were before the application began; None: it must not be stored."""
        self.ended = False
        self._common_stamp: str | None = None
        self._middleware = middleware
        self._wanted = wanted
        self._tags = tags

    def lead(self, leading: Flight | None, *, alone: bool) -> None:
        """Start a flight, or take one over, unless this request goes ahead alone."""
        flights, key = self._middleware.flights, self.found.key
        if leading is not None:
            leading.run = self.run
            self.flight = leading
        elif not (alone or self._middleware.uncacheable(key) or flights.current(key) is not None):
            self.flight = flights.start(key, self.run)

    # -- before -------------------------------------------------------------------------------------

    async def take_lease(self) -> Found:
        """Take the lease; return what is stored by then.

        The leader of a flight waits for another process that has it. Who goes ahead alone does not
        wait for anyone: without the lease the response is just not stored.
        """
        responses = self._middleware.responses
        found = self.found
        await self.take_free_lease()
        if self.flight is None:
            return found
        give_up = stopwatch() + responses.store.access.lease_ttl
        while self.lease.held_by_other and stopwatch() < give_up:
            await asyncio.sleep(_POLL * random.uniform(0.5, 1.0))
            found = await responses.find(self._wanted, self._tags)
            if _age(found) != _age(self.found):
                break  # somebody stored a new one
            await self.take_free_lease()
        return found

    async def take_free_lease(self) -> None:
        """Take the lease unless another process has it."""
        store, key = self._middleware.responses.store, self.found.key
        held = None if self.flight is None else self._middleware.flights.leases.get(key)
        if held is not None:
            await store.release(key, held)
        self.lease = await store.acquire(key)
        if self.lease.token:
            self._middleware.flights.leases[key] = self.lease

    async def read_stamps(self) -> None:
        """Note the tags' stamps as they are before the application begins."""
        responses = self._middleware.responses
        self.stamps = await responses.store.stamps(self._tags)
        self._common_stamp = await responses.common_stamp()

    async def add_tags(self, tags: Sequence[str]) -> bool:
        """Carry the tags that the response turns out to have; False: it must not be stored.

        One of them may have been invalidated while the application ran, or nobody knows.
        """
        more = [tag for tag in tags if tag not in self._tags]
        if not more:
            return True
        responses = self._middleware.responses
        responses.learn(self._wanted, tags)
        responses.late_tags = True
        self.run.add_tags(responses.store.tag_keys(more))
        if self.run.voided or self.stamps is None or self._common_stamp is None:
            return False
        stamps = await responses.store.stamps(more)
        if stamps is None or await responses.common_stamp() != self._common_stamp:
            return False
        self.stamps = (*self.stamps, *stamps)
        return True

    async def passing(self, sending: Awaitable[None]) -> None:
        """Await the sending of a part; those who wait for the response see how long that takes."""
        flight = self.flight
        if flight is None:
            await sending
            return
        flight.sending_since = stopwatch()
        try:
            await sending
        finally:
            flight.sending_since = None

    # -- ending -------------------------------------------------------------------------------------

    async def give_up(self) -> None:
        """The response will not be stored: those who wait go ahead, and so does everyone for a while."""
        if not self.ended:
            self._middleware.remember_uncacheable(self.found.key)
        await self.end(Answer.GO)

    async def abandon(self, answer: Answer) -> None:
        """The response will not come from here."""
        if self.flight is not None and answer is Answer.LEAD:
            self._middleware.flights.abandon(self.flight)
            self.flight = None
        await self.end(answer)

    async def end(self, answer: Shared | Answer) -> None:
        """Tell those who wait, and give the lease back if it was not used."""
        if self.ended:
            return
        self.ended = True
        self._middleware.responses.store.runs.end(self.run)
        if self.flight is not None:
            self._middleware.flights.land(self.flight, answer)
            self.flight = None
        lease, self.lease = self.lease, Lease()
        leases = self._middleware.flights.leases
        if leases.get(self.found.key) is lease:
            del leases[self.found.key]
        await self._middleware.responses.store.release(self.found.key, lease)


def _age(found: Found) -> float | None:
    return None if found.entry is None else found.entry.created
