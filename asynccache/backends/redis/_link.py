"""How commands reach Redis from one event loop: so many at once, the others wait."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from asynccache.backends.redis._scripts import Command
from asynccache.errors import BackendTimeoutError, BackendUnavailableError

__all__ = ["AT_ONCE", "Link", "OwnLink", "SingleLink"]

AT_ONCE: Final = 256
"""Keys in one command: a server does nothing else meanwhile."""

Call = Callable[..., Awaitable[Any]]


class Link(ABC):
    """What the store needs of a driver's client. It can be closed and used again.

    Args:
        slots: Commands under way at once; further ones wait.
        patience: Seconds they wait, and seconds that closing waits for those under way.
    """

    def __init__(self, slots: int, patience: float) -> None:
        # A semaphore, since the driver's waiting pool may lose a connection to a cancelled release.
        self._slots = asyncio.Semaphore(slots)
        self._patience = patience
        self._under_way = 0
        self._closings = 0
        self._idle: asyncio.Event | None = None
        self.kept: object = None
        """What lives as long as the link."""

    async def call(self, *command: bytes | str | int) -> Any:
        """Run one command that names its key, or none; return its reply."""
        return await self._within(self._call, *command)

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip a server; return their replies, errors among them."""
        replies: list[Any] = await self._within(self._pipeline, commands)
        return replies

    async def _within(self, run: Call, *args: Any) -> Any:
        """Run it in one of the slots."""
        slots = self._slots
        if slots.locked():
            await self._wait()
        else:
            await slots.acquire()
        self._under_way += 1
        try:
            return await run(*args)
        finally:
            slots.release()
            self._under_way -= 1
            if self._idle is not None and not self._under_way:
                self._idle.set()

    async def aclose(self) -> None:
        """Let what is under way end, then close every connection."""
        self._closings += 1
        for _ in range(2):  # whoever was connecting at the first attempt is done at the second
            if self._under_way:
                self._idle = asyncio.Event()
                try:
                    async with asyncio.timeout(self._patience):
                        await self._idle.wait()
                except TimeoutError:
                    pass
                finally:
                    self._idle = None
            await self._disconnect()
            if not self._under_way:
                return

    async def _wait(self) -> None:
        closings = self._closings
        try:
            async with asyncio.timeout(self._patience):
                await self._slots.acquire()
        except TimeoutError:
            raise BackendTimeoutError("no connection became free", backend="redis") from None
        if closings != self._closings:
            self._slots.release()
            raise BackendUnavailableError("closed while waiting for a connection", backend="redis")

    @abstractmethod
    def groups(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return ``keys`` in groups that one command may name."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and learn what has to be known."""

    @abstractmethod
    async def servers(self) -> list[Call]:
        """Return what runs a command on each server that holds keys of its own."""

    @abstractmethod
    async def listener(self, channel: str) -> AbstractConnection:
        """Return a connection of the caller's own to where ``channel`` is, not connected yet."""

    @abstractmethod
    async def _call(self, *command: bytes | str | int) -> Any: ...

    @abstractmethod
    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]: ...

    @abstractmethod
    async def _disconnect(self) -> None: ...


class SingleLink(Link):
    """One server at a time: a plain one, or the master that sentinels name.

    Args:
        client: The driver's client.
        slots: Commands under way at once.
        patience: Seconds.
        close: Closes what is ours; left out for a user's client, which is not.
    """

    def __init__(
        self, client: Redis, slots: int, patience: float, close: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        super().__init__(slots, patience)
        self._client: Any = client  # typed in part
        self._close = close

    def groups(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return ``keys`` in parts of moderate size."""
        return [list(keys[start : start + AT_ONCE]) for start in range(0, len(keys), AT_ONCE)]

    async def connect(self) -> None:
        """Ask for a sign of life."""
        await self.call("PING")

    async def servers(self) -> list[Call]:
        """Return the one."""
        return [partial(self._within, self._client.execute_command)]

    async def listener(self, channel: str) -> AbstractConnection:
        """Return a connection outside the pool."""
        connection: AbstractConnection = self._client.connection_pool.make_connection()
        return connection

    async def _call(self, *command: bytes | str | int) -> Any:
        return await self._client.execute_command(*command)

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    async def _disconnect(self) -> None:
        if self._close is not None:
            await self._close()


class OwnLink(SingleLink):
    """The same with a client of ours, of which a single command needs the pool only.

    What else the client does for it, retries (we have none) and telemetry, is a tenth of the cost.
    """

    async def _call(self, *command: bytes | str | int) -> Any:
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command(connection.pack_command(*command))
            return await connection.read_response()
        finally:
            await pool.release(connection)
