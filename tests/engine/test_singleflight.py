from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import random
import threading
import traceback
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from asynccache._engine.singleflight import SingleFlight
from asynccache.errors import CacheError
from tests.engine.engine_doubles import ticks


class Work:
    """A computation that waits at a gate and counts its runs."""

    def __init__(self, result: object = "value") -> None:
        self.gate = asyncio.Event()
        self.result = result
        self.runs = 0
        self.cancelled = 0

    async def __call__(self) -> Any:
        self.runs += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def start(flights: SingleFlight, work: Callable[[], Awaitable[Any]], count: int) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(flights.run("k", work)) for _ in range(count)]


async def test_a_thousand_callers_one_run() -> None:
    """However many ask at once, the work runs once and all get the very result."""
    flights, work = SingleFlight(), Work(object())
    tasks = start(flights, work, 1_000)
    await ticks()
    assert flights.running("k")
    assert repr(flights) == "<SingleFlight 1 in flight>"
    work.gate.set()
    assert set(await asyncio.gather(*tasks)) == {work.result}
    assert work.runs == 1
    assert len(flights) == 0
    assert not flights.running("k")


async def test_keys_do_not_wait_for_each_other() -> None:
    """A slow computation holds up its own key only."""
    flights, slow = SingleFlight(), Work()
    waiting = asyncio.create_task(flights.run("slow", slow))
    fast = Work(1)
    fast.gate.set()
    assert await flights.run("fast", fast) == 1
    slow.gate.set()
    assert await waiting == "value"


async def test_nothing_is_remembered() -> None:
    """The next caller after the landing starts a new run."""
    flights, work = SingleFlight(), Work()
    work.gate.set()
    await flights.run("k", work)
    await flights.run("k", work)
    assert work.runs == 2


@pytest.mark.parametrize("leader", [0, 3, 5])
async def test_a_cancelled_waiter_harms_no_other(leader: int) -> None:
    """The leader's, or any follower's, client goes away: the others get their answer from the one run."""
    flights, work = SingleFlight(), Work()
    tasks = start(flights, work, 6)
    await ticks()
    tasks.pop(leader).cancel()
    await ticks()
    work.gate.set()
    assert await asyncio.gather(*tasks) == ["value"] * 5
    assert (work.runs, work.cancelled) == (1, 0)


async def test_a_leader_with_a_deadline_leaves_alone() -> None:
    """The leader's own timeout is a TimeoutError for the leader and for nobody else."""
    flights, work = SingleFlight(), Work()

    async def hasty() -> Any:
        async with asyncio.timeout(0.005):
            return await flights.run("k", work)

    leader = asyncio.create_task(hasty())
    await ticks()
    followers = start(flights, work, 5)
    with pytest.raises(TimeoutError):
        await leader
    work.gate.set()
    assert await asyncio.gather(*followers) == ["value"] * 5
    assert work.runs == 1


async def test_work_that_nobody_waits_for_is_cancelled() -> None:
    """With the last waiter the computation ends too."""
    flights, work = SingleFlight(), Work()
    tasks = start(flights, work, 3)
    await ticks()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await ticks()
    assert all(task.cancelled() for task in tasks)
    assert (work.runs, work.cancelled, len(flights)) == (1, 1, 0)


async def test_a_dying_run_is_not_joined() -> None:
    """Who comes while a cancelled computation still cleans up gets a run of their own."""
    flights, cleaning = SingleFlight(), asyncio.Event()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await cleaning.wait()
        return "unreachable"

    first = start(flights, stubborn, 1)[0]
    await ticks()
    first.cancel()
    await ticks()
    fresh = Work("fresh")
    second = asyncio.create_task(flights.run("k", fresh))
    await ticks()
    assert flights.running("k")
    cleaning.set()
    await ticks()
    assert flights.running("k"), "the end of the old run must not end the new one's place in the table"
    fresh.gate.set()
    assert await second == "fresh"


async def test_cancelled_before_its_first_step() -> None:
    """A computation that is cancelled before it began leaves the table clean."""
    flights, work = SingleFlight(), Work()
    flights.spawn("k", work)
    await flights.aclose()
    assert (work.runs, len(flights)) == (0, 0)
    work.gate.set()
    assert await flights.run("k", work) == "value"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1))
def test_random_cancellations(seed: int, share: float) -> None:
    """1,000 waiters in waves, a random share cancelled at random moments: every survivor is answered.

    There is exactly one run as long as somebody waits throughout.
    """

    async def scene() -> None:
        dice, flights, work = random.Random(seed), SingleFlight(), Work()
        anchor = start(flights, work, 1)[0]
        tasks: list[asyncio.Task[Any]] = []
        for _ in range(10):
            tasks += start(flights, work, 100)
            if dice.random() < 0.7:
                await asyncio.sleep(0)
            for task in dice.sample(tasks, int(len(tasks) * share / 4)):
                task.cancel()
        work.gate.set()
        for task in dice.sample(tasks, int(len(tasks) * share / 4)):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result == "value" or isinstance(result, asyncio.CancelledError) for result in results)
        assert all(
            result == "value" for task, result in zip(tasks, results, strict=True) if not task.cancelling()
        )
        assert await anchor == "value"
        assert (work.runs, work.cancelled, len(flights)) == (1, 0, 0)

    asyncio.run(scene())


class TaggedError(Exception):
    """An exception whose constructor builds its message, and takes more than its args say."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class UncopyableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one}/{two}")


async def failures_of(error: BaseException, count: int = 3) -> list[BaseException]:
    flights, work = SingleFlight(), Work(error)
    tasks = start(flights, work, count)
    await ticks()
    work.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.runs == 1
    assert len(flights) == 0
    return found


async def test_every_waiter_raises_its_own_exception() -> None:
    """Same type, message, attributes, cause, notes and traceback; but no two waiters share the object."""
    error = TaggedError(7)
    error.add_note("while testing")
    error.__cause__ = KeyError("below")
    found = await failures_of(error)
    assert len({id(each) for each in found}) == 3
    for each in found:
        assert isinstance(each, TaggedError)
        assert (str(each), each.code, each.__notes__) == ("code 7", 7, ["while testing"])
        assert each.__cause__ is error.__cause__
        assert any(frame.name == "__call__" for frame in traceback.extract_tb(each.__traceback__))
    found[0].add_note("mine")
    assert found[1].__notes__ == ["while testing"]


async def test_an_exception_that_cannot_be_copied_is_shared() -> None:
    """A constructor that does not take its own args is no reason to lose the error."""
    found = await failures_of(UncopyableError(1, 2))
    assert all(each is found[0] for each in found)


async def test_an_exception_is_not_remembered() -> None:
    """The next caller tries again."""
    flights, work = SingleFlight(), Work(ValueError("first"))
    work.gate.set()
    with pytest.raises(ValueError, match="first"):
        await flights.run("k", work)
    work.result = "second"
    assert await flights.run("k", work) == "second"


async def test_base_exceptions_reach_the_waiters() -> None:
    """An unusual BaseException (a test's outcome, say) is the waiters', not the loop's."""

    class Outcome(BaseException):
        pass

    found = await failures_of(Outcome("odd"))
    assert [type(each) for each in found] == [Outcome] * 3


async def test_stop_iteration_does_not_hang_anyone() -> None:
    """A future refuses StopIteration; the waiters hear of it as a RuntimeError."""

    def work() -> Awaitable[object]:
        return next(iter(()))

    with pytest.raises(RuntimeError):
        await asyncio.wait_for(SingleFlight().run("k", work), 1)


async def test_cancelled_from_within_is_an_error_not_a_cancellation() -> None:
    """Work that awaited something cancelled must not look as if its waiters had been cancelled."""

    async def work() -> None:
        inner = asyncio.ensure_future(asyncio.Event().wait())
        inner.cancel()
        await inner

    flights = SingleFlight()
    tasks = start(flights, work, 3)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [CacheError] * 3
    assert len({id(each) for each in found}) == 3
    assert "'k' was cancelled from within" in str(found[0])
    assert isinstance(found[0], CacheError)
    assert isinstance(found[0].__cause__, asyncio.CancelledError)
    assert not any(task.cancelled() for task in tasks)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_loop_and_hangs_no_waiter(kind: type[BaseException]) -> None:
    """Ctrl-C inside the work leaves `run_until_complete`, as from any task; a loop that goes on is told."""
    loop = asyncio.new_event_loop()

    async def work() -> None:
        raise kind

    try:
        task = loop.create_task(SingleFlight().run("k", work))
        with pytest.raises(kind):
            loop.run_until_complete(task)
        with pytest.raises(CacheError, match=f"ended by {kind.__name__}"):
            loop.run_until_complete(task)
    finally:
        loop.close()


async def test_work_that_asks_for_itself_is_told_so() -> None:
    """A loader that needs its own result, directly or through another key, fails instead of hanging."""
    flights = SingleFlight()

    async def direct() -> Any:
        return await flights.run("k", direct)

    async def roundabout() -> Any:
        return await flights.run("via", lambda: flights.run("k", direct))

    for work in (direct, roundabout):
        with pytest.raises(CacheError, match="'k' needs its own result"):
            await asyncio.wait_for(flights.run("k", work), 1)
    assert len(flights) == 0


async def test_work_may_ask_for_others() -> None:
    """Nested computations of different keys are fine, and so is the same key once it has landed."""
    flights = SingleFlight()

    async def inner() -> int:
        return 1

    async def outer() -> int:
        return await flights.run("inner", inner) + await flights.run("inner", inner)

    assert await flights.run("outer", outer) == 2


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")


async def test_work_sees_its_starters_context_and_leaves_it_alone() -> None:
    """The work runs in a copy of the context of whoever started it."""
    flights = SingleFlight()

    async def work() -> str:
        seen = variable.get()
        variable.set("work")
        return seen

    variable.set("starter")
    assert await flights.run("k", work) == "starter"
    assert variable.get() == "starter"


async def test_spawn_runs_without_waiters_and_can_be_joined() -> None:
    """A background refresh needs nobody; a caller who comes meanwhile shares it and may leave it."""
    flights, work = SingleFlight(), Work()
    assert flights.spawn("k", work)
    assert not flights.spawn("k", work)
    await ticks()
    leaver, stayer = start(flights, work, 2)
    await ticks()
    leaver.cancel()
    await ticks()
    work.gate.set()
    assert await stayer == "value"
    assert (work.runs, work.cancelled) == (1, 0)

    alone = Work()
    flights.spawn("k", alone)
    await ticks()
    gone = start(flights, alone, 1)[0]
    await ticks()
    gone.cancel()
    await ticks()
    assert flights.running("k")
    alone.gate.set()
    await ticks()
    assert (alone.cancelled, len(flights)) == (0, 0)


async def test_a_background_failure_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that no waiter raises goes to the callback, else to our log, never to the loop."""
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    flights, work, heard = SingleFlight(), Work(ValueError("background")), list[BaseException]()
    work.gate.set()
    flights.spawn("k", work, heard.append)
    await ticks()
    assert [str(error) for error in heard] == ["background"]
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "asynccache"):
        flights.spawn("k", work)
        await ticks()
    assert [record.name for record in caplog.records] == ["asynccache"]
    gc.collect()
    await ticks()
    assert unhandled == []


async def test_aclose_ends_everything() -> None:
    """Waiters hear a clear error, the work is cancelled and waited for, the table can be used again."""
    flights, work, refresh = SingleFlight(), Work(), Work()
    tasks = start(flights, work, 3)
    flights.spawn("background", refresh)
    await ticks()
    await flights.aclose()
    assert (work.cancelled, refresh.cancelled, len(flights)) == (1, 1, 0)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in found] == [CacheError] * 3
    await flights.aclose()
    again = Work()
    again.gate.set()
    assert await flights.run("k", again) == "value"


async def test_aclose_does_not_wait_for_ever() -> None:
    """Work that ignores its cancellation is left behind."""
    flights, done = SingleFlight(), asyncio.Event()

    async def stubborn() -> None:
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue

    flights.spawn("k", stubborn)
    await ticks()
    await flights.aclose(timeout=0.01)
    assert len(flights) == 0
    done.set()
    await ticks()


async def test_aclose_from_within_a_computation() -> None:
    """A computation that closes the cache does not wait for itself."""
    flights = SingleFlight()

    async def work() -> str:
        await flights.aclose()
        return "closed"

    assert await asyncio.wait_for(flights.run("k", work), 1) == "closed"


def test_a_second_loop_does_not_join_the_first() -> None:
    """Two event loops in two threads compute for themselves; each gets its own answer."""
    flights, inside, leave = SingleFlight(), threading.Event(), threading.Event()

    async def slow() -> str:
        inside.set()
        await asyncio.to_thread(leave.wait, 5)
        return "first loop"

    async def quick() -> str:
        return "second loop"

    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(flights.run("k", slow))))
    thread.start()
    try:
        assert inside.wait(5)
        assert asyncio.run(flights.run("k", quick)) == "second loop"
    finally:
        leave.set()
        thread.join()
    assert answers == ["first loop"]
    assert len(flights) == 0


def test_what_a_closed_loop_left_behind_is_dropped() -> None:
    """A loop that was closed in the middle of a computation leaves no trace and blocks no later loop."""
    flights = SingleFlight()

    async def endless() -> None:
        await asyncio.Event().wait()

    async def begin() -> None:
        flights.spawn("k", endless)
        await ticks()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    remaining = asyncio.all_tasks(loop)
    loop.close()
    for task in remaining:  # else asyncio reports them as destroyed while pending
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert len(flights) == 1

    async def later() -> str:
        return "later"

    assert asyncio.run(flights.run("other", later)) == "later"
    assert len(flights) == 0


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="needs Python 3.12")
async def test_with_eager_tasks() -> None:
    """Work that finishes at its very start, inside `create_task`, is delivered all the same."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009

    async def work() -> int:
        return 1

    flights = SingleFlight()
    assert await asyncio.gather(*(flights.run(key, work) for key in "aab")) == [1, 1, 1]
    assert len(flights) == 0


async def test_results_reach_waiters_in_the_order_they_came() -> None:
    """First come, first served."""
    flights, work, order = SingleFlight(), Work(), list[int]()

    async def caller(number: int) -> None:
        await flights.run("k", work)
        order.append(number)

    tasks = [asyncio.create_task(caller(number)) for number in range(50)]
    await ticks()
    work.gate.set()
    await asyncio.gather(*tasks)
    assert all(one < two for one, two in pairwise(order))
