"""Calls that end in time, whatever the thing called does.

A call runs in a task of this module, and its caller waits on a future. At the deadline the future fails
and the task is cancelled; one that does not end then is left behind, kept referenced and counted as late
(drivers may take seconds to give up after a cancellation, or never do). The caller's own cancellation does
not reach the task at all.

A call needs a slot. Waiting for one counts against its deadline.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, CancelledError, Future, Task, TimerHandle
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol

from asynccache._engine.raising import fail

__all__ = ["Call", "Deadlines", "Judge"]

_TIMER_SLACK: Final = 0.001
_start: Callable[..., Task[None]] = Task[None]
if sys.version_info >= (3, 12):
    # The first step, which sends the request, is taken at once: it saves a turn of the loop.
    _start = partial(Task[None], eager_start=True)


class Call:
    """One call: its name and key for messages, and where it stands."""

    __slots__ = ("deadline", "future", "key", "name", "task", "ticket", "timeout")

    def __init__(
        self, name: str, key: str | None, future: Future[Any], deadline: float, timeout: float
    ) -> None:
        self.name = name
        self.key = key
        self.future = future
        self.deadline = deadline
        self.timeout = timeout
        self.ticket: int | None = None
        """What the judge gave it; None if nobody judges it."""
        self.task: Task[None] | None = None


class Judge(Protocol):
    """Decides whether a call may be made, and what its end means."""

    def hopeless(self) -> bool:
        """Return True if a call should not even wait for a slot."""
        ...

    def admit(self) -> int | None:
        """Return the ticket of a call, or None if it is not to be made."""
        ...

    def refused(self, call: Call) -> Exception:
        """Return what the caller of a call that is not made raises."""
        ...

    def no_slot(self, call: Call) -> Exception:
        """Return what the caller of a call that got no slot in time raises."""
        ...

    def too_late(self, call: Call) -> Exception:
        """Return what the caller of a call that missed its deadline raises."""
        ...

    def failed(self, call: Call, error: BaseException) -> BaseException:
        """Return what the caller of a call that raised ``error`` raises."""
        ...

    def succeeded(self, ticket: int) -> None:
        """Take note that the call with ``ticket`` returned."""
        ...

    def stuck(self, call: Call) -> None:
        """Take note that ``call`` did not end although it was cancelled ``call.timeout`` seconds ago."""
        ...


class Deadlines:
    """The calls of one event loop.

    Args:
        loop: The loop.
        timeout: Seconds for a call, waiting for a slot included.
        slots: Calls made at once.
        judge: Decides what may be made and what came of it.
    """

    def __init__(self, loop: AbstractEventLoop, timeout: float, slots: int, judge: Judge) -> None:
        self.loop = loop
        self.under_way: dict[Call, None] = {}
        self.late: dict[Call, None] = {}
        """Past their deadline, cancelled, not ended."""
        self._timeout = timeout
        self._free = slots
        self._judge = judge
        self._waiting: deque[Future[None]] = deque()
        # One timer for all: calls are under way in the order of their deadlines, and nearly all end long
        # before. Setting up a timer for each would cost more than everything else here.
        self._timer: TimerHandle | None = None

    async def run(self, name: str, key: str | None, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Return the result of ``work(*args)``, or raise what the judge makes of its failure, in time."""
        loop = self.loop
        timeout = self._timeout
        deadline = loop.time() + timeout
        call = Call(name, key, loop.create_future(), deadline, timeout)
        waits = not self._free
        if waits:
            await self._take_slot(call)
        else:
            self._free -= 1
        call.ticket = self._judge.admit()
        if call.ticket is None:
            self._give_back()
            raise self._judge.refused(call)
        self.under_way[call] = None
        if waits:  # its turn came out of order: it needs a timer of its own
            loop.call_at(deadline, self._miss, call)
        elif self._timer is None:
            self._timer = loop.call_at(deadline, self._sweep)
        call.task = _start(self._perform(call, work, args), loop=loop)
        return await call.future

    async def run_apart(self, timeout: float, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do the same with a deadline of its own, without a slot, and without asking the judge."""
        deadline = self.loop.time() + timeout
        call = Call(name, None, self.loop.create_future(), deadline, timeout)
        self.under_way[call] = None
        timer = self.loop.call_at(deadline, self._miss, call)
        call.task = _start(self._perform(call, work, ()), loop=self.loop)
        try:
            return await call.future
        finally:
            if call.future.done():  # else its caller left: the deadline stands
                timer.cancel()

    def stop(self) -> None:
        """Cancel the timer; for when nothing is under way any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _perform(self, call: Call, work: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        try:
            result = await work(*args)
        except GeneratorExit:  # the loop is gone, and with it everyone who could wait
            raise
        except BaseException as error:
            ours = call in self.late and isinstance(error, CancelledError)
            if self._end(call):
                fail((call.future,), self._judge.failed(call, error))
            if isinstance(error, CancelledError | KeyboardInterrupt | SystemExit) and not ours:
                raise
        else:
            if self._end(call):
                if not call.future.done():
                    call.future.set_result(result)
                if (
                    call.ticket is not None
                ):  # last: what the judge starts now comes after what the caller does
                    self._judge.succeeded(call.ticket)

    def _end(self, call: Call) -> bool:
        """Take ``call`` off the books; False if it ended too late for anyone to care."""
        if self.under_way.pop(call, self) is self:
            self.late.pop(call, None)
            return False
        if call.ticket is not None:
            if self._waiting:
                self._give_back()
            else:
                self._free += 1
        return True

    # -- deadlines --------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """End what is past its deadline, and set the timer for the next."""
        self._timer = None
        now = self.loop.time() + _TIMER_SLACK
        missed: list[Call] = []
        for call in self.under_way:
            if call.ticket is None:
                continue  # apart, with a timer of its own
            if call.deadline > now:
                self._timer = self.loop.call_at(call.deadline, self._sweep)
                break
            missed.append(call)
        for call in missed:
            self._miss(call)

    def _miss(self, call: Call) -> None:
        if not self._end(call):
            return
        self.late[call] = None
        error = self._judge.too_late(call)
        if not call.future.done():
            call.future.set_exception(error)
        if call.task is not None:
            call.task.cancel()
            call.task.add_done_callback(lambda _: self.late.pop(call, None))  # if it never took a step
        self.loop.call_later(call.timeout, self._look_again, call)

    def _look_again(self, call: Call) -> None:
        if call in self.late:
            self._judge.stuck(call)

    # -- slots ------------------------------------------------------------------------------------------

    async def _take_slot(self, call: Call) -> None:
        if self._judge.hopeless():
            raise self._judge.refused(call)
        turn: Future[None] = self.loop.create_future()
        self._waiting.append(turn)
        timer = self.loop.call_at(call.deadline, self._give_up, turn, call)
        try:
            await turn
        except CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give_back()  # it was handed over at the moment its taker left
            raise
        finally:
            timer.cancel()

    def _give_up(self, turn: Future[None], call: Call) -> None:
        if not turn.done():
            turn.set_exception(self._judge.no_slot(call))

    def _give_back(self) -> None:
        """Pass a slot to the next in line."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
