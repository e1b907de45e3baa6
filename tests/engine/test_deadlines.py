from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynccache._engine.deadlines import Call, Deadlines
from tests.engine.engine_doubles import ticks

SOON = 0.02


class Lenient:
    """A judge who admits everything and takes notes."""

    def __init__(self) -> None:
        self.notes: list[tuple[object, ...]] = []

    def hopeless(self) -> bool:
        return False

    def admit(self) -> int | None:
        return 7

    def refused(self, call: Call) -> Exception:
        raise AssertionError

    def no_slot(self, call: Call) -> Exception:
        return LookupError(call.name)

    def too_late(self, call: Call, *, silent: bool) -> Exception:
        return TimeoutError(call.name)

    def failed(self, call: Call, error: BaseException) -> BaseException:
        self.notes.append(("failed", call.name, type(error).__name__))
        return RuntimeError(call.name)

    def left(self, call: Call) -> None:
        self.notes.append(("left", call.name))

    def succeeded(self, ticket: int) -> None:
        self.notes.append(("succeeded", ticket))

    def stuck(self, call: Call) -> None:
        self.notes.append(("stuck", call.name))


def deadlines(timeout: float = SOON, slots: int = 10) -> tuple[Deadlines, Lenient]:
    judge = Lenient()
    return Deadlines(asyncio.get_running_loop(), timeout, slots, judge), judge


async def echo(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_result_in_time() -> None:
    """The caller gets it, the judge hears of it, nothing stays behind."""
    calls, judge = deadlines()
    assert await calls.run("echo", "k", echo, 1) == 1
    assert await calls.run_apart(1.0, "echo", lambda: echo(2)) == 2
    assert judge.notes == [("succeeded", 7)]
    assert (len(calls.under_way), len(calls.late)) == (0, 0)
    calls.stop()
    calls.stop()


async def test_a_call_apart_does_not_hold_up_the_deadlines_behind_it() -> None:
    """A connection that takes its time does not lengthen the deadline of what was asked meanwhile."""
    calls, _ = deadlines()
    slow = asyncio.create_task(calls.run_apart(60.0, "open", for_ever))
    await ticks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(calls.run("get", "k", for_ever), 5)
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    for call in list(calls.under_way):
        assert call.task is not None
        call.task.cancel()
    await ticks()


async def test_a_slot_is_passed_on_in_order_and_has_its_own_deadline() -> None:
    """One slot, three callers: one hangs to its deadline, which is also that of those who came with it."""
    calls, _ = deadlines(slots=1)
    tasks = [asyncio.create_task(calls.run(name, None, for_ever)) for name in "abc"]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in found} <= {TimeoutError, LookupError}
    assert await calls.run("echo", None, echo, 1) == 1


async def test_who_waited_for_a_slot_has_only_the_rest_of_the_deadline() -> None:
    """A turn that comes late ends in time all the same."""
    calls, _ = deadlines(timeout=0.5, slots=1)
    gate = asyncio.Event()
    first = asyncio.create_task(calls.run("first", None, gate.wait))
    await ticks()
    second = asyncio.create_task(calls.run("second", None, for_ever))
    await asyncio.sleep(0.05)
    gate.set()
    assert await first
    with pytest.raises(TimeoutError, match="second"):
        await asyncio.wait_for(second, 5)


async def test_a_task_cancelled_by_others_fails_its_call() -> None:
    """A sweep over all tasks reaches the judge as a failure, or at the latest the deadline."""
    calls, judge = deadlines()
    before = asyncio.all_tasks()
    caller = asyncio.create_task(calls.run("get", None, for_ever))
    await ticks()
    for task in asyncio.all_tasks() - before - {caller}:
        task.cancel()
    with pytest.raises(RuntimeError, match="get"):
        await caller
    assert judge.notes == [("failed", "get", "CancelledError")]


async def test_a_late_call_that_obeys_is_not_stuck() -> None:
    """Only what ignores its cancellation for another timeout is reported as stuck."""
    calls, judge = deadlines()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    release = asyncio.Event()
    found = await asyncio.gather(
        calls.run("obeys", None, for_ever), calls.run("deaf", None, deaf), return_exceptions=True
    )
    assert [type(error) for error in found] == [TimeoutError] * 2
    await asyncio.sleep(SOON * 1.5)
    assert judge.notes == [("stuck", "deaf")]
    release.set()
    await ticks()
    assert len(calls.late) == 0


# -- in the caller's own task --------------------------------------------------------------------------------


async def test_no_task_is_made_for_work_that_lets_go() -> None:
    """The caller makes the call itself; what it returns and raises is judged as ever."""
    calls, judge = deadlines(timeout=5.0)
    before = asyncio.all_tasks()

    async def look() -> bool:
        await asyncio.sleep(0)
        return asyncio.all_tasks() == before

    async def fail() -> None:
        raise ValueError("oops")

    assert await calls.run_here("look", None, look)
    with pytest.raises(RuntimeError, match="fail"):
        await calls.run_here("fail", None, fail)
    assert judge.notes == [("succeeded", 7), ("failed", "fail", "ValueError")]
    assert (len(calls.under_way), len(calls.late)) == (0, 0)
    calls.stop()


async def test_the_deadline_ends_it_there_too() -> None:
    """The caller is not left cancelled by it: it can go on awaiting."""
    calls, _ = deadlines()
    task = asyncio.current_task()
    assert task is not None
    for _ in range(3):
        with pytest.raises(TimeoutError, match="get"):
            await asyncio.wait_for(calls.run_here("get", None, for_ever), 5)
        with pytest.raises(TimeoutError, match="get"):
            await calls.run_here("get", None, for_ever)
        await asyncio.sleep(0)
        assert task.cancelling() == 0
    assert (len(calls.under_way), len(calls.late)) == (0, 0)


async def test_many_miss_their_own_deadlines_there() -> None:
    """One timer serves all, in both ways of making a call."""
    calls, judge = deadlines(slots=100)
    ways = [calls.run_here if number % 2 else calls.run for number in range(40)]
    found = await asyncio.gather(*(way("get", None, for_ever) for way in ways), return_exceptions=True)
    assert {type(error) for error in found} == {TimeoutError}
    assert judge.notes == []
    await ticks()
    assert (len(calls.under_way), len(calls.late)) == (0, 0)


async def test_a_caller_that_is_cancelled_leaves() -> None:
    """Its slot is free at once, and the judge hears that the call tells nothing."""
    calls, judge = deadlines(timeout=5.0, slots=1)
    caller = asyncio.create_task(calls.run_here("get", None, for_ever))
    await ticks()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert judge.notes == [("left", "get")]
    assert await calls.run_here("echo", None, echo, 1) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await calls.run_here("get", None, for_ever)
    assert len(calls.under_way) == 0
    calls.stop()


async def test_a_cancellation_that_meets_the_deadline_is_not_lost() -> None:
    """Who is cancelled while its call is being ended is cancelled, not told of a timeout."""
    calls, _ = deadlines()
    ending = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await for_ever()
        finally:
            ending.set()
            await asyncio.sleep(60)

    caller = asyncio.create_task(calls.run_here("get", None, slow_to_end))
    await asyncio.wait_for(ending.wait(), 5)
    assert len(calls.late) == 1
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 5)
    assert len(calls.late) == 0


@pytest.mark.parametrize("raises", [False, True])
async def test_work_that_swallows_its_end_is_too_late_all_the_same(*, raises: bool) -> None:
    """The answer to a call that was counted as missed is not to be had any more."""
    calls, judge = deadlines()
    task = asyncio.current_task()
    assert task is not None

    async def stubborn() -> int:
        try:
            await for_ever()
        except asyncio.CancelledError:
            if raises:
                raise OSError("broken off") from None
        return 1

    with pytest.raises(TimeoutError, match="get"):
        await calls.run_here("get", None, stubborn)
    await asyncio.sleep(0)
    assert task.cancelling() == 0
    assert judge.notes == []


async def test_work_that_does_not_let_go_is_reported() -> None:
    """It said that it would: the judge hears of it, and may end it by other means."""
    calls, judge = deadlines()
    release = asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    caller = asyncio.create_task(calls.run_here("get", None, deaf))
    async with asyncio.timeout(5):
        while not judge.notes:  # noqa: ASYNC110 - the judge has no event
            await asyncio.sleep(0.005)
    assert judge.notes == [("stuck", "get")]
    release.set()
    with pytest.raises(TimeoutError, match="get"):
        await asyncio.wait_for(caller, 5)


async def test_a_cancellation_inside_the_work_is_its_failure() -> None:
    """Nobody cancelled the caller: it must not look as if somebody had."""
    calls, judge = deadlines(timeout=5.0)

    async def broken_off() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(RuntimeError, match="get"):
        await calls.run_here("get", None, broken_off)
    assert judge.notes == [("failed", "get", "CancelledError")]
    calls.stop()


@pytest.mark.parametrize("here", [False, True])
async def test_quiet_waits_for_what_is_under_way(*, here: bool) -> None:
    """For its end, or for as long as it is told to."""
    calls, _ = deadlines(timeout=5.0)
    await calls.quiet(5.0)
    gate = asyncio.Event()
    caller = asyncio.create_task((calls.run_here if here else calls.run)("get", None, gate.wait))
    await ticks()
    await calls.quiet(0.001)
    waiting = asyncio.create_task(calls.quiet(5.0))
    await ticks()
    assert not waiting.done()
    gate.set()
    await asyncio.wait_for(waiting, 5)
    assert await caller
    calls.stop()
