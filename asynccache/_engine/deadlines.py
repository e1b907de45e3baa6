"""Calls that end in time, whatever the thing called does.

A call runs in a task of this module, and its caller waits on a future. At the deadline the future fails
and the task is cancelled; one that does not end then is left behind, kept referenced and counted as late
(drivers may take seconds to give up after a cancellation, or never do). The caller's own cancellation does
not reach the task at all.

Of something that lets a cancelled caller go at once, whatever becomes of the call, the task is not needed:
the caller makes the call itself, and at the deadline is cancelled for as long as it takes to come back here.

A call needs a slot. Waiting for one counts against its deadline.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, CancelledError, Future, Task, TimerHandle, current_task, wait
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NoReturn, Protocol

from asynccache._engine.raising import fail

__all__ = ["Call", "Deadlines", "Judge"]

_TIMER_SLACK: Final = 0.001
_BUSY: Final = 0.02
"""A timer that is so many seconds late was kept from running."""
_TURN: Final = 0.005
_start: Callable[..., Task[None]] = Task[None]
if sys.version_info >= (3, 12):
    # The first step, which sends the request, is taken at once: it saves a turn of the loop.
    _start = partial(Task[None], eager_start=True)


class Call:
    """One call: its name and key for messages, and where it stands."""

    __slots__ = ("deadline", "ended_before", "future", "key", "missed", "name", "task", "ticket", "timeout")

    def __init__(
        self, name: str, key: str | None, future: Future[Any] | None, deadline: float, timeout: float
    ) -> None:
        self.name = name
        self.key = key
        self.future = future
        """What the caller waits on; None if it makes the call itself."""
        self.deadline = deadline
        self.timeout = timeout
        self.ended_before = -1
        """How many calls had ended when it began."""
        self.ticket: int | None = None
        """What the judge gave it; None if nobody judges it."""
        self.task: Task[Any] | None = None
        """Where the call is made."""
        self.missed: Exception | None = None
        """What the caller raises because its deadline has passed, where it makes the call itself."""


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

    def too_late(self, call: Call, *, silent: bool) -> Exception:
        """Return what the caller of a call that missed its deadline raises.

        Args:
            call: The call.
            silent: No other call has ended since it began.
        """
        ...

    def failed(self, call: Call, error: BaseException) -> BaseException:
        """Return what the caller of a call that raised ``error`` raises."""
        ...

    def left(self, call: Call) -> None:
        """Take note that the caller of ``call`` left: nobody will know what came of it."""
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
        self._idle: Future[None] | None = None
        self._ended = 0

    async def run(self, name: str, key: str | None, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Return the result of ``work(*args)``, or raise what the judge makes of its failure, in time."""
        loop = self.loop
        timeout = self._timeout
        deadline = loop.time() + timeout
        future: Future[Any] = loop.create_future()
        call = Call(name, key, future, deadline, timeout)
        if self._free:
            self._free -= 1
            self._admit(call, waited=False)
        else:
            await self._take_slot(call)
            self._admit(call, waited=True)
        call.task = _start(self._perform(call, work, args), loop=loop)
        return await future

    async def run_here(
        self, name: str, key: str | None, work: Callable[..., Awaitable[Any]], *args: Any
    ) -> Any:
        """Do the same in the caller's own task, with work that lets a cancelled caller go at once."""
        task = current_task()
        if task is None:
            return await self.run(name, key, work, *args)
        timeout = self._timeout
        call = Call(name, key, None, self.loop.time() + timeout, timeout)
        if self._free:
            self._free -= 1
            self._admit(call, waited=False)
        else:
            await self._take_slot(call)
            self._admit(call, waited=True)
        call.task = task
        cancelling = task.cancelling()
        try:
            result = await work(*args)
        except GeneratorExit:
            raise
        except BaseException as error:
            if call.missed is not None:
                self._come_back(call, task, cancelling, error)
            self._end(call)
            if isinstance(error, CancelledError) and task.cancelling() > cancelling:
                self._judge.left(call)
                raise
            raised = self._judge.failed(call, error)
            if raised is error:
                raise
            raise raised  # noqa: B904 - the judge has given it its cause
        if call.missed is not None:
            self._come_back(call, task, cancelling, None)
        self._end(call)
        if call.ticket is not None:
            self._judge.succeeded(call.ticket)
        return result

    def _come_back(
        self, call: Call, task: Task[Any], cancelling: int, error: BaseException | None
    ) -> NoReturn:
        """Take back the cancellation by which `_miss` has ended ``call``; raise that it was too late."""
        self.late.pop(call, None)
        left = task.uncancel() > cancelling
        if left and isinstance(error, CancelledError):
            raise error  # its caller was cancelled besides
        assert call.missed is not None  # noqa: S101 - asked by the callers
        raise call.missed from None

    def _admit(self, call: Call, *, waited: bool) -> None:
        """Put ``call``, which has a slot, on the books."""
        call.ticket = self._judge.admit()
        if call.ticket is None:
            self._give_back()
            raise self._judge.refused(call)
        self.under_way[call] = None
        call.ended_before = self._ended
        if waited:  # its turn came out of order: it needs a timer of its own
            self.loop.call_at(call.deadline, self._miss, call)
        elif self._timer is None:
            self._timer = self.loop.call_at(call.deadline, self._sweep)

    async def run_apart(
        self, timeout: float, name: str, work: Callable[[], Awaitable[Any]], key: str | None = None
    ) -> Any:
        """Do the same with a deadline of its own, without a slot, and without asking the judge."""
        deadline = self.loop.time() + timeout
        future: Future[Any] = self.loop.create_future()
        call = Call(name, key, future, deadline, timeout)
        self.under_way[call] = None
        timer = self.loop.call_at(deadline, self._miss, call)
        call.task = _start(self._perform(call, work, ()), loop=self.loop)
        try:
            return await future
        finally:
            if future.done():  # else its caller left: the deadline stands
                timer.cancel()

    async def quiet(self, timeout: float) -> None:
        """Wait until nothing is under way, at most ``timeout`` seconds."""
        if self.under_way:
            if self._idle is None or self._idle.done():
                self._idle = self.loop.create_future()
            await wait((self._idle,), timeout=timeout)

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
            if self._end(call) and call.future is not None:
                fail((call.future,), self._judge.failed(call, error))
            if isinstance(error, CancelledError | KeyboardInterrupt | SystemExit) and not ours:
                raise
        else:
            if self._end(call):
                if call.future is not None and not call.future.done():
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
        self._ended += 1
        if call.ticket is not None:
            if self._waiting:
                self._give_back()
            else:
                self._free += 1
        if self._idle is not None and not self.under_way and not self._idle.done():
            self._idle.set_result(None)
        return True

    # -- deadlines --------------------------------------------------------------------------------------

    def _sweep(self, *, patient: bool = True) -> None:
        """End what is past its deadline, and set the timer for the next.

        A timer that is late means that the loop was kept busy, and that answers may be waiting to be read:
        they get a turn first.
        """
        self._timer = None
        now = self.loop.time() + _TIMER_SLACK
        first = next((call for call in self.under_way if call.ticket is not None), None)
        if patient and first is not None and now - first.deadline > _BUSY:
            self._timer = self.loop.call_later(_TURN, partial(self._sweep, patient=False))
            return
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
        silent = call.ended_before == self._ended
        if not self._end(call):
            return
        self.late[call] = None
        error = self._judge.too_late(call, silent=silent)
        if call.future is None:
            call.missed = error
        elif not call.future.done():
            call.future.set_exception(error)
        if call.task is not None:
            call.task.cancel()
            if call.future is not None:  # if it never took a step
                call.task.add_done_callback(lambda _: self.late.pop(call, None))
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
