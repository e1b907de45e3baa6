"""Connections of our own to one server, for one event loop.

asyncpg's pool sends a RESET after each use, which doubles the cost of a read, and waits for the server to
confirm a cancellation, which a frozen one never does. Nothing here changes a session's state, so a connection
that has answered is as good as new. One whose answer is outstanding, for whatever reason, is dropped: no
reply can reach the wrong caller.

Connecting happens in tasks of this module: a caller whose deadline is shorter than the time it takes to
connect merely leaves, and the connection is there for the next.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, CancelledError, Future, Task
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from asynccache._engine.loopend import before_loop_ends
from asynccache.backends.postgres._driver import Connection, Record, asyncpg
from asynccache.backends.postgres._failures import elsewhere
from asynccache.errors import BackendTimeoutError, BackendUnavailableError

__all__ = ["IDLE_SECONDS", "OwnConnections"]

IDLE_SECONDS: Final = 120.0
"""A connection unused for so long is closed: firewalls forget it after minutes, without a word."""
_CLOSING_SECONDS: Final = 1.0
_CROWDED_SECONDS: Final = 1.0
"""Pause after a refusal while the connections that are there can do the work: the server may have no more."""


class OwnConnections:
    """Up to ``size`` connections, opened when needed.

    Args:
        loop: The running loop.
        url: Whom to connect to.
        size: The most connections at once; further callers wait, in turn.
        timeout: Seconds for a statement, and for the wait.
        connect_timeout: Seconds to connect in.
        pgbouncer: Prepare nothing, and set nothing at the start of a session.
        idle_seconds: When an unused connection is closed.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        url: str,
        *,
        size: int,
        timeout: float,
        connect_timeout: float,
        pgbouncer: bool,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._loop = loop
        self._url = url
        self._size = size
        self._timeout = timeout
        self._idle_seconds = idle_seconds
        settings = {} if "application_name=" in url else {"application_name": "asynccache"}
        if not pgbouncer:
            # Where we have given up, the server must not go on waiting for a lock with nobody to tell.
            settings["statement_timeout"] = str(round(timeout * 1000))
        self._options: dict[str, Any] = {
            "timeout": connect_timeout,
            "command_timeout": timeout,
            "statement_cache_size": 0 if pgbouncer else 100,
            "max_cached_statement_lifetime": 0,
            "server_settings": settings,
        }
        self._free: deque[tuple[Any, float]] = deque()  # used last at the right
        self._busy: dict[Any, None] = {}  # longest in use first
        self._apart: set[Any] = set()
        self._opening: set[Task[None]] = set()
        self._waiting: deque[Future[Any]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._crowded_until = 0.0
        self._end = before_loop_ends(self._end_with_loop)

    def __len__(self) -> int:
        return len(self._free) + len(self._busy)

    @property
    def idle(self) -> int:
        """Connections that nobody uses."""
        return len(self._free)

    async def fetch(self, sql: str, args: Sequence[Any]) -> list[Record]:
        """Return the rows of a statement."""
        connection = await self._take()
        try:
            rows: list[Record] = await connection.fetch(sql, *args)
        except asyncpg.PostgresError as error:  # an answer: nothing is outstanding
            if elsewhere(error):
                self._drop(connection)
            else:
                self._give_back(connection)
            raise
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)
        return rows

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """Give a connection for several statements; it is dropped if the block raises."""
        connection = await self._take()
        try:
            yield connection
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Connection, None]:
        """Give a connection that does not count as one of ours, and is closed afterwards."""
        connection = await asyncpg.connect(self._url, **self._options)
        self._apart.add(connection)
        try:
            yield connection
        finally:
            self._apart.discard(connection)
            connection.terminate()

    def drop_oldest(self) -> None:
        """End what has been under way for the longest time."""
        if self._busy:
            self._drop(next(iter(self._busy)))

    def terminate(self) -> None:
        """End everything at once; what is under way fails."""
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        for task in self._opening:
            task.cancel()
        self._fail(BackendUnavailableError("closed", backend="postgres"))
        for connection in [*self._apart, *self._busy, *(connection for connection, _ in self._free)]:
            connection.terminate()
        self._free.clear()
        self._busy.clear()

    async def _end_with_loop(self) -> None:
        self.terminate()
        await asyncio.sleep(0)  # closing a transport takes a turn of the loop

    async def aclose(self) -> None:
        """Say good-bye on what is idle, and end everything else."""
        if self._opening:  # asyncpg grumbles about a connection that ends before it has begun
            await asyncio.wait(self._opening, timeout=_CLOSING_SECONDS)
        idle = [connection for connection, _ in self._free]
        self._free.clear()
        opening = list(self._opening)
        self.terminate()
        await asyncio.gather(
            *opening,
            *(connection.close(timeout=_CLOSING_SECONDS) for connection in idle),
            return_exceptions=True,
        )

    # -- taking and giving back ---------------------------------------------------------------------

    async def _take(self) -> Any:
        free = self._free
        while free:
            connection, _ = free.pop()
            if not connection.is_closed():
                self._busy[connection] = None
                return connection
            connection.terminate()
        caller: Future[Any] = self._loop.create_future()
        self._waiting.append(caller)
        self._open_more()
        timer = self._loop.call_later(self._timeout, self._give_up, caller)
        try:
            return await caller
        except BaseException:
            if caller.done() and not caller.cancelled() and caller.exception() is None:
                self._give_back(caller.result())  # handed over at the moment its taker left
            raise
        finally:
            timer.cancel()

    def _give_back(self, connection: Any) -> None:
        if connection.is_closed():
            self._drop(connection)
            return
        waiting = self._waiting
        while waiting:
            caller = waiting.popleft()
            if not caller.done():
                self._busy[connection] = self._busy.pop(connection, None)  # to the end
                caller.set_result(connection)
                return
        if self._busy.pop(connection, self) is self:
            connection.terminate()  # closed meanwhile
            return
        self._free.append((connection, self._loop.time()))
        if self._reaper is None:
            self._reaper = self._loop.call_later(self._idle_seconds, self._reap)

    def _drop(self, connection: Any) -> None:
        self._busy.pop(connection, None)
        connection.terminate()
        self._open_more()

    def _give_up(self, caller: Future[Any]) -> None:
        if not caller.done():
            message = f"no connection of {self._size} was free within {self._timeout:g} s"
            caller.set_exception(BackendTimeoutError(message, backend="postgres"))

    def _reap(self) -> None:
        self._reaper = None
        free = self._free
        now = self._loop.time()
        while free and free[0][1] + self._idle_seconds <= now:
            free.popleft()[0].terminate()
        if free:
            self._reaper = self._loop.call_at(free[0][1] + self._idle_seconds, self._reap)

    # -- connecting ---------------------------------------------------------------------------------

    def _open_more(self) -> None:
        """Connect once for each caller who waits, as far as the size allows."""
        if self._busy and self._loop.time() < self._crowded_until:
            return
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        wanted = min(len(self._waiting), self._size - len(self._busy) - len(self._free))
        while len(self._opening) < wanted:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        try:
            connection = await asyncpg.connect(self._url, **self._options)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - those who wait raise it
            self._crowded_until = self._loop.time() + _CROWDED_SECONDS
            if not self._busy:  # nobody will give them a connection: do not let them wait for it
                self._fail(error)
        else:
            self._busy[connection] = None
            self._give_back(connection)

    def _fail(self, error: Exception) -> None:
        while self._waiting:
            caller = self._waiting.popleft()
            if not caller.done():
                caller.set_exception(error)
