"""Pays what is `Owed`: removes from a store, when it is back, what could not be removed before."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Task, TimerHandle
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from asynccache._engine.owed import Owed
from asynccache.errors import BackendTimeoutError, BackendUnavailableError

__all__ = ["Replay"]

_AT_ONCE: Final = 512
_log: Final = logging.getLogger("asynccache")


class Replay:
    """The replaying of one event loop; at most one runs at a time.

    Args:
        loop: The loop.
        owed: What is to be removed.
        remove: Removes some keys from the store.
        clear: Removes a prefix.
        bulk: ``remove`` can take more than one key.
        hopeless: Tells that the store would not even be asked now.
        retry_seconds: How long to wait after a failure, if no other operation succeeds before.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        owed: Owed,
        remove: Callable[[Sequence[str]], Awaitable[object]],
        clear: Callable[[str], Awaitable[object]],
        *,
        bulk: bool,
        hopeless: Callable[[], bool],
        retry_seconds: float,
    ) -> None:
        self._loop = loop
        self._owed = owed
        self._remove = remove
        self._clear = clear
        self._at_once = _AT_ONCE if bulk else 1
        self._hopeless = hopeless
        self._retry_seconds = retry_seconds
        self._task: Task[None] | None = None
        self._timer: TimerHandle | None = None

    def now(self) -> None:
        """Begin unless it has begun, or is hopeless: then try later."""
        if self._task is not None:
            return
        if self._hopeless():
            self.later()
            return
        self._task = Task(self._pay(), loop=self._loop)
        self._task.add_done_callback(self._done)

    def later(self) -> None:
        """See to it that it happens even if nobody asks the store for anything."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._retry_seconds, self._retry)

    def stop(self) -> None:
        """Give up; what is owed stays owed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    def _retry(self) -> None:
        self._timer = None
        if self._owed.pending:
            self.now()

    def _done(self, task: Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.result()
            if self._owed.pending:
                self.later()

    async def _pay(self) -> None:
        try:
            for prefix in self._owed.prefixes():
                await self._settle_prefix(prefix)
            keys = self._owed.keys()
            for start in range(0, len(keys), self._at_once):
                await self._settle(keys[start : start + self._at_once])
        except (BackendUnavailableError, BackendTimeoutError):
            pass  # it is not back after all

    async def _settle_prefix(self, prefix: str) -> None:
        upto = self._owed.now
        try:
            await self._clear(prefix)
        except (BackendUnavailableError, BackendTimeoutError):
            raise
        except Exception:  # noqa: BLE001 - one that cannot be cleared must not keep the others waiting
            _log.warning("the failed clear of %r cannot be replayed", prefix, exc_info=True)
        else:
            self._owed.settle_prefix(prefix, upto)

    async def _settle(self, keys: Sequence[str]) -> None:
        upto = self._owed.now
        try:
            await self._remove(keys)
        except (BackendUnavailableError, BackendTimeoutError):
            raise
        except Exception:  # noqa: BLE001 - one that cannot be removed must not keep the others waiting
            if len(keys) > 1:
                for key in keys:
                    await self._settle([key])
            else:
                _log.warning("the failed delete of %r cannot be replayed", keys[0], exc_info=True)
        else:
            for key in keys:
                self._owed.settle(key, upto)
