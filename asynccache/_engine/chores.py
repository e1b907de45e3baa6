"""`Chores`: what has to be done although whoever caused it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

__all__ = ["Chores"]

_log: Final = logging.getLogger("asynccache")


class Chores:
    """Tasks that nobody awaits, kept referenced; a failure is logged."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in a task."""
        self._keep(asyncio.get_running_loop().create_task(work))

    async def see_through(self, work: Awaitable[Any]) -> None:
        """Wait for ``work``, which goes on as a chore if the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._keep(task)
            raise

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a chore failed", exc_info=error)

    async def finish(self, timeout: float) -> None:
        """Wait until those of the running loop are done, at most ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        if own := [task for task in self._tasks if task.get_loop() is loop]:
            await asyncio.wait(own, timeout=timeout)
