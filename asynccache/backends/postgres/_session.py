"""Sends the statements of one event loop, to a table that is there; what fails fails with our errors."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from random import random
from typing import Any, Final

from asynccache._engine.clock import Clock
from asynccache.backends.postgres._borrowed import BorrowedConnections
from asynccache.backends.postgres._driver import Connection, Record, asyncpg
from asynccache.backends.postgres._failures import translated
from asynccache.backends.postgres._own import OwnConnections
from asynccache.backends.postgres._schema import State, ensure
from asynccache.backends.postgres._sweeping import Sweeper
from asynccache.backends.postgres._table import Statements, Table
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError

__all__ = ["Session"]

_ATTEMPTS: Final = 20
"""Where many write one key in a pool of the user's own whose transactions are serializable, most fail."""
_PAUSE: Final = 0.002
_SETUP_SECONDS: Final = 30.0
"""For each step of making or changing the table, waiting for another process that does so included."""
_UNDONE: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UndefinedTableError)
"""After these it is as if the statement had never been sent: whatever it was, it may be sent again."""


class Session:
    """What belongs to one event loop.

    Args:
        loop: The running loop.
        connections: Where statements are sent.
        table: Where everything is.
        statements: The statements over it.
        unlogged: What the table is to be.
        sweep_every: See `Sweeper`.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        connections: OwnConnections | BorrowedConnections,
        table: Table,
        statements: Statements,
        *,
        unlogged: bool,
        sweep_every: int,
        clock: Clock,
    ) -> None:
        self.loop = loop
        self.connections = connections
        self.state: State | None = None
        """The table as it was last seen; None: not seen yet, or missed since."""
        self.sweeper = Sweeper(self.fetch, table, statements, sweep_every, clock)
        self._table = table
        self._unlogged = unlogged
        self._setup: Task[State] | None = None

    async def fetch(self, key: str | None, sql: str, *args: Any) -> list[Record]:
        """Return the rows of a statement.

        Args:
            key: What it is about, for messages.
            sql: The statement, which is a transaction of its own.
            args: Its parameters.

        Raises:
            BackendError: it failed, with the driver's exception as its cause.
        """
        if self.state is None:
            await self.ready()
        for attempt in count(1):
            try:
                return await self.connections.fetch(sql, args)
            except Exception as error:
                if attempt == _ATTEMPTS or not isinstance(error, _UNDONE):
                    raised = translated(error, key)
                    if raised is error:
                        raise
                    raise raised from error
                if isinstance(error, asyncpg.UndefinedTableError):  # somebody dropped it
                    self.state = None
            if self.state is None:
                await self.ready()
            else:  # everyone else who was rolled back tries again as well
                await asyncio.sleep(random() * _PAUSE * attempt)
        raise AssertionError  # one counts for ever

    async def ready(self) -> State:
        """Return the table's state once it is what it must be.

        Raises:
            BackendUnavailableError: it cannot be made so.
            BackendTimeoutError: the server does not answer.
        """
        # In a task of ours, joined by all who need it: it may take longer than any of them can wait.
        if self._setup is None or self._setup.done():
            self._setup = self.loop.create_task(self._ensure())
            self._setup.add_done_callback(_seen)
        setup = self._setup
        try:
            return await asyncio.shield(setup)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if setup.cancelled() and caller is not None and not caller.cancelling():
                raise BackendUnavailableError("closed", backend="postgres") from None
            raise
        except Exception as error:
            raised = translated(error)
            if isinstance(raised, BackendError) and not isinstance(
                raised, BackendUnavailableError | BackendTimeoutError
            ):
                raised = BackendUnavailableError(f"table {self._table}: {error}", backend="postgres")
            if raised is error:
                raise
            raise raised from error

    async def _ensure(self) -> State:
        async with self.connections.connection() as connection:
            state = await ensure(connection, self._table, unlogged=self._unlogged, timeout=_SETUP_SECONDS)
        self.state = state
        return state

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Connection, None]:
        """Give a connection for one purpose only."""
        if self.state is None:
            await self.ready()
        try:
            async with self.connections.dedicated() as connection:
                yield connection
        except Exception as error:
            raised = translated(error)
            if raised is error:
                raise
            raise raised from error

    def terminate(self) -> None:
        """End everything at once."""
        self.sweeper.stop()
        if self._setup is not None:
            self._setup.cancel()
        self.state = None
        self.connections.terminate()

    async def aclose(self) -> None:
        """End everything, politely."""
        tasks: list[Task[Any]] = [task for task in (self.sweeper.stop(), self._setup) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.state = None
        await self.connections.aclose()


def _seen(task: Task[State]) -> None:
    """Look at the outcome, for those who left before it."""
    if not task.cancelled():
        task.exception()
