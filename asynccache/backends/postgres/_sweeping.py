"""Removes expired rows: a stretch of the table now and then, so that nobody notices.

There is no index on the expiry (see `_schema`), so expired rows are found by reading the table, 64 pages at a
time. Writing pays for it: garbage comes from writes only, and where nothing is written nothing needs to be
swept. Each process walks through the table from a place of its own; rows that another one has just locked are
skipped. A row renewed in the meantime is looked at again by PostgreSQL before it is deleted, and stays.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Awaitable, Callable
from random import randrange
from typing import Any, Final

from asynccache._engine.clock import Clock
from asynccache.backends.postgres._driver import Record
from asynccache.backends.postgres._table import Statements, Table
from asynccache.errors import BackendError

__all__ = ["GRACE_SECONDS", "Sweeper"]

GRACE_SECONDS: Final = 60.0
"""Expired rows stay for so long: another process, whose clock is behind, may think that they live."""
_PAGES: Final = 64
_ROWS: Final = 1000
"""The most rows to delete, and hold locked, at once."""
_log: Final = logging.getLogger("asynccache")


class Sweeper:
    """The sweeps of one event loop.

    Args:
        fetch: Sends a statement.
        table: What is swept.
        statements: The statements over it.
        every: Rows to be written before each step; 0: only `lap` sweeps.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        fetch: Callable[..., Awaitable[list[Record]]],
        table: Table,
        statements: Statements,
        every: int,
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._table = table
        self._statements = statements
        self._every = every
        self._clock = clock
        self._written = 0
        self._page = 0
        self._pages = 0
        self._begun = False
        self._task: Task[None] | None = None

    def wrote(self, rows: int) -> None:
        """Count, and let a step be taken in the background when it is time."""
        self._written += rows
        if self._written >= self._every > 0 and self._task is None:
            self._written = 0
            self._task = asyncio.get_running_loop().create_task(self._in_background())

    def stop(self) -> Task[None] | None:
        """Cancel the step that is being taken, and return it."""
        task = self._task
        if task is not None:
            task.cancel()
        return task

    async def lap(self) -> int:
        """Sweep the whole table once; return how many rows were removed."""
        removed = 0
        pages = await self._count_pages()
        for page in range(0, pages, _PAGES):
            while gone := await self._sweep(page):
                removed += gone
                if gone < _ROWS:
                    break
        return removed

    async def step(self) -> None:
        """Sweep the next stretch."""
        if self._page >= self._pages:
            self._pages = await self._count_pages()
            self._page = 0 if self._begun or not self._pages else randrange(self._pages)
            self._begun = True
        if await self._sweep(self._page) < _ROWS:
            self._page += _PAGES

    async def _in_background(self) -> None:
        try:
            await self.step()
        except BackendError as error:  # it is tried again; whoever needs the store hears of it
            _log.debug("postgres: sweeping failed: %s", error)
        finally:
            self._task = None

    async def _count_pages(self) -> int:
        [row] = await self._fetch(None, self._statements.pages, str(self._table))
        return int(row[0] or 0)

    async def _sweep(self, page: int) -> int:
        now: Any = self._clock() - GRACE_SECONDS
        [row] = await self._fetch(None, self._statements.sweep, (page, 0), (page + _PAGES, 0), now, _ROWS)
        return int(row[0])
