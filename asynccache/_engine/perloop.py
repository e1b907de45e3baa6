"""State that belongs to an event loop: futures and tasks of one loop are of no use to another."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Generic, TypeVar

from asynccache._engine.runningloop import running_loop

__all__ = ["PerLoop"]

S = TypeVar("S")


class PerLoop(Generic[S]):
    """One ``S`` for each event loop that asks.

    Args:
        make: Makes the state of a loop that is seen for the first time.
    """

    __slots__ = ("_last", "_make", "_states")

    def __init__(self, make: Callable[[AbstractEventLoop], S]) -> None:
        self._make = make
        self._states: dict[AbstractEventLoop, S] = {}
        self._last: tuple[AbstractEventLoop, S] | None = None  # read and replaced whole: threads may race

    def here(self) -> S:
        """Return the state of the running loop."""
        loop = running_loop()
        last = self._last
        if last is not None and last[0] is loop:
            return last[1]
        state = self._states.get(loop)
        if state is None:
            for other in [other for other in list(self._states) if other.is_closed()]:
                self._states.pop(other, None)
            state = self._states[loop] = self._make(loop)
        self._last = (loop, state)
        return state

    def everywhere(self) -> list[S]:
        """Return the states of all loops."""
        return list(self._states.values())
