"""The user's own pool: we take connections from it and give them back, and never open or close it."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from asynccache.backends.postgres._driver import Connection, Pool, Record, asyncpg
from asynccache.errors import ConfigurationError

__all__ = ["BorrowedConnections"]


class BorrowedConnections:
    """Connections of ``pool``.

    A connection whose answer is outstanding is terminated before it goes back, and the pool replaces it:
    asyncpg would wait until the server confirms the cancellation.

    Args:
        loop: The running loop; it must be the pool's.
        pool: An `asyncpg.Pool` that is open, or will be when it is used.
        timeout: Seconds for a statement, for taking a connection and for giving it back.
    """

    def __init__(self, loop: AbstractEventLoop, pool: Pool, *, timeout: float) -> None:
        if getattr(pool, "_loop", loop) is not loop:
            raise ConfigurationError("this asyncpg pool belongs to another event loop: give each its own")
        self._pool = pool
        self._timeout = timeout
        self._busy: dict[Any, None] = {}
        self._apart: set[Any] = set()

    def __len__(self) -> int:
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        """Connections that nobody uses."""
        return self._pool.get_idle_size()

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Record]:
        """Return the rows of a statement."""
        connection: Any = await self._pool.acquire(timeout=self._timeout)
        self._busy[connection] = None
        try:
            rows: list[Record] = await connection.fetch(sql, *args, timeout=self._timeout)
        except asyncpg.PostgresError:  # an answer: nothing is outstanding
            raise
        except BaseException:
            _end(connection)
            raise
        finally:
            del self._busy[connection]
            await self._pool.release(connection)
        return rows

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """Give a connection for several statements; it is dropped if the block raises."""
        connection: Any = await self._pool.acquire(timeout=self._timeout)
        self._busy[connection] = None
        try:
            yield connection
        except BaseException:
            _end(connection)
            raise
        finally:
            self._busy.pop(connection, None)
            await self._pool.release(connection)

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Connection, None]:
        """Give a connection of the pool for as long as the block runs; the pool replaces it afterwards."""
        connection: Any = await self._pool.acquire(timeout=self._timeout)
        self._apart.add(connection)
        try:
            yield connection
        finally:
            self._apart.discard(connection)
            _end(connection)  # with what it listens to: no other user of the pool shall hear it
            await self._pool.release(connection)

    def drop_oldest(self) -> None:
        """End what has been under way for the longest time."""
        if self._busy:
            _end(next(iter(self._busy)))

    def terminate(self) -> None:
        """End what we have under way; the pool stays."""
        for connection in [*self._apart, *self._busy]:
            _end(connection)

    async def aclose(self) -> None:
        """Do the same, and let it show."""
        self.terminate()
        await asyncio.sleep(0)


def _end(connection: Any) -> None:
    """Terminate ``connection``, unless that was done before and the pool has taken it back already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()
