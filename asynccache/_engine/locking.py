"""`KeyLocks`: one task at a time per key, for cycles that read, await and write."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from asynccache._engine.perloop import PerLoop

__all__ = ["KeyLocks"]


class _Locks:
    """What belongs to one event loop: each lock and how many hold it or wait for it."""

    __slots__ = ("held",)

    def __init__(self, _: AbstractEventLoop) -> None:
        self.held: dict[str, tuple[asyncio.Lock, list[None]]] = {}


class KeyLocks:
    """A lock for each key that somebody holds or waits for, among the tasks of one event loop."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks = PerLoop(_Locks)

    def __len__(self) -> int:
        return sum(len(locks.held) for locks in self._locks.everywhere())

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[None, None]:
        """Hold the lock of ``key``; those who wait get it in the order they came."""
        held = self._locks.here().held
        lock, users = held.setdefault(key, (asyncio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                del held[key]
