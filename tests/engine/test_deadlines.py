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

    def too_late(self, call: Call) -> Exception:
        return TimeoutError(call.name)

    def failed(self, call: Call, error: BaseException) -> BaseException:
        self.notes.append(("failed", call.name, type(error).__name__))
        return RuntimeError(call.name)

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
    calls, _ = deadlines(slots=1)
    gate = asyncio.Event()
    first = asyncio.create_task(calls.run("first", None, gate.wait))
    await ticks()
    second = asyncio.create_task(calls.run("second", None, for_ever))
    await asyncio.sleep(SOON / 2)
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
