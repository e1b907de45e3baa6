"""A message bus inside one process: every subscriber gets every message, or learns that it missed some."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from weakref import WeakSet

from asynccache.errors import BackendError

__all__ = ["Fanout", "Subscription"]

BACKLOG: Final = 10_000
"""Messages a subscriber may be behind."""


class Subscription:
    """An async iterator over what is published from now on.

    Ends when the bus is closed; raises `BackendError` once it has fallen too far behind. For one task.
    """

    __slots__ = ("__weakref__", "_arrived", "_backlog", "_ended", "_lost", "_messages")

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog
        self._messages: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        self._lost = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._lost:
                raise BackendError("a bus subscriber fell behind: messages were missed", backend="memory")
            if self._messages:
                return self._messages.popleft()
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()

    async def aclose(self) -> None:
        """Stop receiving."""
        self._messages.clear()
        self.end()

    def offer(self, message: bytes) -> bool:
        """Queue ``message``; False if the subscriber takes no more."""
        if self._ended:
            return False
        if len(self._messages) >= self._backlog:
            # A gap would be invisible in what is left: better nothing than a part.
            self._messages.clear()
            self._lost = True
            self.end()
            return False
        self._messages.append(message)
        return self._wake()

    def end(self) -> None:
        """Let the iteration end after what is queued."""
        self._ended = True
        self._wake()

    def _wake(self) -> bool:
        try:
            self._arrived.set()
        except RuntimeError:  # the subscriber's event loop was closed while it waited
            self._ended = True
            return False
        return True


class Fanout:
    """The bus. Subscribers that are no longer referenced leave by themselves."""

    __slots__ = ("_backlog", "_subscribers")

    def __init__(self, backlog: int = BACKLOG) -> None:
        self._backlog = backlog
        self._subscribers: WeakSet[Subscription] = WeakSet()

    def publish(self, message: bytes) -> None:
        """Hand ``message`` to every subscriber."""
        for subscriber in tuple(self._subscribers):
            if not subscriber.offer(message):
                self._subscribers.discard(subscriber)

    def subscribe(self) -> Subscription:
        """Return an iterator that misses nothing published after this call."""
        subscriber = Subscription(self._backlog)
        self._subscribers.add(subscriber)
        return subscriber

    def close(self) -> None:
        """End every subscription; new ones may follow."""
        for subscriber in tuple(self._subscribers):
            subscriber.end()
        self._subscribers.clear()
