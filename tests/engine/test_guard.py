from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asynccache._engine.breaker import Circuit
from asynccache._engine.failures import CircuitOpenError, NoSlotError
from asynccache._engine.guard import Guard
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    InvalidKeyError,
)
from asynccache.protocols import BackendHealth
from tests.engine.engine_doubles import DictBackend, FakeClock, Keys, ticks

SOON = 0.02
LONG = 60.0


class Moody(DictBackend):
    """A store that works, fails, hangs, or ignores its cancellation, as told."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self.hangs = False
        self.deaf = False
        self.release = asyncio.Event()
        self.dropped = 0

    async def visit(self, *call: object) -> None:
        self.calls.append(call)
        while self.hangs and not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
        if self.error is not None:
            raise self.error

    async def exists(self, key: str) -> bool:
        await self.visit("exists", key)
        return key in self.data

    async def touch(self, key: str, ttl: float | None) -> bool:
        await self.visit("touch", key)
        return key in self.data

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        await self.visit("add", key)
        return self.data.setdefault(key, value) is value

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        await self.visit("incr", key)
        self.data[key] = b"%d" % (int(self.data.get(key, b"%d" % initial)) + delta)
        return int(self.data[key])

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        await self.visit("get_versioned", key)
        return (self.data[key], self.data[key].hex()) if key in self.data else None

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        await self.visit("compare_and_swap", key)
        if key not in self.data or self.data[key].hex() != version:
            return False
        self.data[key] = value
        return True

    async def clear(self, prefix: str) -> None:
        await self.visit("clear", prefix)
        self.data = {key: value for key, value in self.data.items() if not key.startswith(prefix)}

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        await self.visit("acquire_lease", key)
        return "token"

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        await self.visit("fill", key)
        self.data[key] = value
        return True

    async def release_lease(self, key: str, token: str) -> None:
        await self.visit("release_lease", key)

    async def health(self) -> BackendHealth:
        await self.visit("health")
        return BackendHealth(healthy=True, backend_type="moody", latency_ms=0.0, details={"version": 1})

    def drop_connection(self) -> None:
        self.dropped += 1


def circuit(guard: Guard) -> Circuit:
    return guard.circuit


def guarded(store: Any = None, **options: Any) -> tuple[Guard, Any, FakeClock]:
    clock = FakeClock()
    store = store or Moody()
    settings: dict[str, Any] = {"timeout": LONG, "breaker_failures": 3, **options}
    return Guard(store, clock, **settings), store, clock


async def failing(guard: Guard, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(BackendError):
            await guard.get("any")


# -- deadlines --------------------------------------------------------------------------------------


async def test_a_working_store_is_passed_through() -> None:
    """In good times the guard changes nothing."""
    guard, store, _ = guarded()
    assert await guard.set("k", b"v", 5.0)
    assert await guard.get("k") == b"v"
    assert await guard.set_many({"l": b"w"}) == set()
    assert await guard.get_many(["k", "l", "m"]) == {"k": b"v", "l": b"w"}
    assert await guard.exists("k")
    assert await guard.touch("k", 1.0)
    assert not await guard.add("k", b"x")
    assert await guard.incr("n", 2, initial=40) == 42
    assert await guard.delete("k")
    assert await guard.delete_many(["l", "m"]) == {"l"}
    held = await guard.get_versioned("n")
    assert held is not None
    assert await guard.compare_and_swap("n", b"43", None, held[1])
    assert not await guard.compare_and_swap("n", b"44", None, held[1])
    await guard.clear("n")
    token = await guard.acquire_lease("k", 1.0)
    assert token is not None
    assert await guard.fill("k", b"v", None, token)
    await guard.release_lease("k", token)
    assert store.data == {"k": b"v"}
    assert (guard.timeouts, guard.abandoned, guard.owed, guard.lost_invalidations) == (0, 0, 0, 0)
    assert "circuit closed, 0 under way" in repr(guard)


async def test_a_hanging_store_costs_one_deadline() -> None:
    """The caller gets a timeout error; the operation is cancelled and gone."""
    guard, store, _ = guarded(timeout=SOON)
    store.hangs = True
    with pytest.raises(BackendTimeoutError, match=r"Moody: get: no answer within 0.02 s \(key 'k'\)"):
        await guard.get("k")
    await ticks()
    assert (guard.timeouts, guard.abandoned) == (1, 0)


async def test_a_store_that_owns_its_io_needs_no_task() -> None:
    """The caller makes the call itself; deadlines, errors, the circuit and debts are the same."""

    class Owning(Moody):
        owns_io = True

    guard, store, _ = guarded(Owning(), timeout=SOON)
    before = asyncio.all_tasks()
    assert await guard.set("k", b"v")
    assert await guard.get("k") == b"v"
    assert asyncio.all_tasks() == before
    store.hangs = True
    with pytest.raises(BackendTimeoutError, match="no answer within"):
        await guard.delete("k")
    with pytest.raises(CircuitOpenError):
        await guard.get("other")
    assert guard.owed == 1
    assert (guard.timeouts, guard.abandoned) == (1, 0)
    assert await guard.get("k") is None
    store.hangs = False
    store.release.set()
    await guard.aclose()


async def test_clearing_has_a_deadline_of_its_own() -> None:
    """A store that looks at all of its keys takes longer than any other operation may, but not for ever."""

    class Thorough(Moody):
        async def clear(self, prefix: str) -> None:
            await self.release.wait()
            await super().clear(prefix)

    guard, store, _ = guarded(Thorough(), timeout=SOON)
    store.data = {"p:k": b"v", "q:k": b"v"}
    clearing = asyncio.ensure_future(guard.clear("p:"))
    await asyncio.sleep(SOON * 2)
    store.release.set()
    await clearing
    assert store.data == {"q:k": b"v"}
    assert guard.owed == 0

    guard, store, _ = guarded(Thorough(), clear_timeout=SOON)
    with pytest.raises(BackendTimeoutError):
        await guard.clear("p:")
    assert guard.owed == 1
    store.release.set()
    await guard.aclose()


async def test_clearing_a_silent_store_takes_no_longer_than_anything_else() -> None:
    """Who does not even answer a read is not given a minute."""
    guard, store, _ = guarded(timeout=SOON)
    store.hangs = True
    with pytest.raises(BackendTimeoutError):
        await guard.clear("p:")
    assert "clear" not in [name for name, *_ in store.calls]
    assert guard.owed == 1
    store.release.set()
    await guard.aclose()


async def test_an_open_circuit_clears_nothing_and_owes_it() -> None:
    """Nobody waits for a store that is left alone."""
    guard, store, _ = guarded()
    store.error = ConnectionError()
    await failing(guard)
    store.error = None
    with pytest.raises(CircuitOpenError) as refused:
        await guard.clear("p:")
    assert refused.value.key == "p:"
    assert "clear" not in [name for name, *_ in store.calls]
    assert guard.owed == 1
    await guard.aclose()


async def test_a_store_that_says_nothing_costs_one_deadline_in_all() -> None:
    """Silence opens the circuit at once: what comes after it in the same request costs next to nothing."""
    guard, store, clock = guarded(timeout=SOON)
    store.hangs = True
    with pytest.raises(BackendTimeoutError):
        await guard.get("k")
    assert guard.circuit is Circuit.OPEN
    with pytest.raises(CircuitOpenError):
        await guard.set("k", b"v")
    store.release.set()
    clock.advance(LONG)
    assert await guard.get("k") is None
    assert circuit(guard) is Circuit.CLOSED
    await guard.aclose()


async def test_one_late_answer_among_others_is_no_silence() -> None:
    """A store that answers others meanwhile has one slow key: that counts as one failure."""

    class SlowKey(Moody):
        async def visit(self, *call: object) -> None:
            if "slow" in call:
                await self.release.wait()
            await super().visit(*call)

    guard, store, _ = guarded(SlowKey(), timeout=SOON)
    slow = asyncio.ensure_future(guard.get("slow"))
    await ticks()
    await guard.get("quick")
    with pytest.raises(BackendTimeoutError):
        await slow
    assert guard.circuit is Circuit.CLOSED
    store.release.set()


async def test_a_loop_that_was_kept_busy_blames_no_store() -> None:
    """A handler that blocks makes timers late; an answer that has arrived meanwhile is taken first."""
    guard, store, _ = guarded(timeout=SOON)
    store.hangs = True
    asking = asyncio.ensure_future(guard.get("k"))
    await ticks()
    time.sleep(SOON * 3)  # noqa: ASYNC251  (that is the point)
    asyncio.get_running_loop().call_later(0.001, store.release.set)  # like a socket that has data to read
    assert await asking is None
    assert guard.timeouts == 0


async def test_many_hanging_operations_all_miss_their_own_deadline() -> None:
    """One timer serves all: each operation ends at its deadline, not at somebody else's."""
    guard, store, _ = guarded(timeout=SOON, breaker_failures=100)
    store.hangs = True
    started = time.perf_counter()
    first = [asyncio.create_task(guard.get("k")) for _ in range(5)]
    await asyncio.sleep(SOON / 2)
    second = [asyncio.create_task(guard.get("k")) for _ in range(5)]
    found = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [type(error) for error in found] == [BackendTimeoutError] * 10
    assert time.perf_counter() - started >= SOON * 1.4
    assert guard.timeouts == 10


async def test_a_driver_that_ignores_its_cancellation_is_left_behind() -> None:
    """The caller is free at the deadline; the operation is counted, the backend told."""
    guard, store, clock = guarded(timeout=SOON)
    store.hangs = store.deaf = True
    with pytest.raises(BackendTimeoutError):
        await guard.get("k")
    assert guard.abandoned == 1
    await ticks()
    assert (guard.abandoned, store.dropped) == (1, 0)
    await asyncio.sleep(SOON * 1.5)
    assert (guard.abandoned, store.dropped) == (1, 1)
    store.release.set()
    await ticks()
    assert guard.abandoned == 0
    clock.advance(LONG)
    assert await guard.get("k") is None


async def test_a_hook_that_fails_disturbs_nobody() -> None:
    """``drop_connection`` may be a coroutine, and may fail."""

    class Clumsy(Moody):
        async def drop_connection(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            self.dropped += 1
            raise OSError

    guard, store, _ = guarded(Clumsy(), timeout=SOON)
    store.hangs = store.deaf = True
    with pytest.raises(BackendTimeoutError):
        await guard.get("k")
    await asyncio.sleep(SOON * 1.5)
    assert store.dropped == 1
    store.release.set()
    await ticks()


async def test_a_callers_cancellation_does_not_reach_the_store() -> None:
    """The caller leaves, the operation ends as it would have."""
    guard, store, _ = guarded()
    store.hangs = True
    task = asyncio.create_task(guard.set("k", b"v"))
    await ticks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.release.set()
    await ticks()
    assert store.data == {"k": b"v"}


async def test_concurrency_is_bounded() -> None:
    """No more operations than slots reach the store; the others follow in order."""
    guard, store, _ = guarded(max_concurrency=2)
    store.hangs = True
    tasks = [asyncio.create_task(guard.get(f"k{number}")) for number in range(5)]
    await ticks()
    assert store.calls == [("get", "k0"), ("get", "k1")]
    tasks[3].cancel()
    store.release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [call[1] for call in store.calls] == ["k0", "k1", "k2", "k4"]
    assert await asyncio.gather(*(guard.get("k") for _ in range(5))) == [None] * 5


async def test_waiting_for_a_slot_counts_against_the_deadline() -> None:
    """Whoever gets a slot only when the store is silent already is refused, and the store was not asked."""
    guard, store, clock = guarded(max_concurrency=1, timeout=SOON)
    store.hangs = store.deaf = True
    busy = asyncio.create_task(guard.get("busy"))
    await asyncio.sleep(SOON / 4)
    started = time.perf_counter()
    late = asyncio.create_task(guard.get("late"))
    with pytest.raises(BackendTimeoutError):
        await busy
    with pytest.raises(CircuitOpenError):
        await late
    assert time.perf_counter() - started < 10 * SOON
    assert store.calls == [("get", "busy")]
    store.release.set()
    clock.advance(LONG)
    await ticks()
    assert await guard.get("free again") is None


async def test_no_slot_at_all() -> None:
    """A slot that never comes free is a `NoSlotError`; the slots are not lost by it."""
    guard, store, _ = guarded(max_concurrency=1, timeout=SOON)
    store.hangs = True
    gate = store.release
    waiting: list[asyncio.Task[Any]] = []
    busy = asyncio.create_task(guard.get("busy"))
    await ticks()
    lane = guard._lane()
    call = next(iter(lane.calls.under_way))
    call.deadline += LONG  # as if it had begun later
    waiting = [asyncio.create_task(guard.get(f"w{number}")) for number in range(3)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in found] == [NoSlotError] * 3
    gate.set()
    assert await busy is None
    assert await guard.get("k") is None


async def test_a_slot_handed_to_a_caller_who_just_left_is_not_lost() -> None:
    """Cancellation and hand-over in the same turn."""
    guard, store, _ = guarded(max_concurrency=1)
    store.hangs = True
    busy = asyncio.create_task(guard.get("busy"))
    leaver = asyncio.create_task(guard.get("leaver"))
    await ticks()
    store.release.set()
    while not busy.done():
        await asyncio.sleep(0)
        if not guard._lane().calls.under_way:
            leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    assert await asyncio.wait_for(guard.get("k"), 1) is None


# -- the circuit ------------------------------------------------------------------------------------


async def test_the_circuit_opens_and_a_probe_closes_it() -> None:
    """After failures in a row the store is left alone; after a while one operation at a time probes it."""
    guard, store, clock = guarded(breaker_seconds=10.0)
    store.error = ConnectionResetError("reset")
    await failing(guard)
    assert circuit(guard) is Circuit.OPEN
    asked = len(store.calls)
    with pytest.raises(CircuitOpenError, match="Moody: left alone"):
        await guard.get("k")
    assert len(store.calls) == asked
    clock.advance(13.0)
    store.error = None
    store.hangs = True
    probe = asyncio.create_task(guard.get("k"))
    await ticks()
    with pytest.raises(CircuitOpenError):
        await guard.get("k")
    store.release.set()
    assert await probe is None
    assert circuit(guard) is Circuit.CLOSED
    assert await guard.get("k") is None


async def test_a_failed_probe_opens_the_circuit_again() -> None:
    """A store that is still down is asked once per period."""
    guard, store, clock = guarded(breaker_seconds=10.0)
    store.error = ConnectionResetError()
    await failing(guard)
    clock.advance(13.0)
    await failing(guard, 1)
    assert circuit(guard) is Circuit.OPEN
    asked = len(store.calls)
    for _ in range(5):
        with pytest.raises(CircuitOpenError):
            await guard.get("k")
    assert len(store.calls) == asked


async def test_timeouts_open_the_circuit_also_for_those_who_wait() -> None:
    """A frozen store costs one deadline; after it nobody waits for another."""
    guard, store, _ = guarded(timeout=SOON, max_concurrency=3)
    store.hangs = True
    tasks = [asyncio.create_task(guard.get("k")) for _ in range(3)]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert circuit(guard) is Circuit.OPEN
    with pytest.raises(CircuitOpenError):
        await guard.get("k")


async def test_an_open_circuit_is_quick() -> None:
    """Refusing costs microseconds: far less than a millisecond, on any machine."""
    guard, store, _ = guarded()
    store.error = ConnectionResetError()
    await failing(guard)
    quickest = 1.0
    for _ in range(200):
        started = time.perf_counter()
        with pytest.raises(CircuitOpenError):
            await guard.get("k")
        quickest = min(quickest, time.perf_counter() - started)
    assert quickest < 0.001


async def test_full_and_open_refuses_at_once() -> None:
    """With all slots taken by a frozen store, an open circuit does not make anyone wait for one."""
    guard, store, _ = guarded(max_concurrency=4)
    store.error = ConnectionResetError()
    store.hangs = True
    stuck = asyncio.create_task(guard.get("stuck"))
    await ticks()
    store.hangs = False
    await failing(guard)
    store.hangs = True
    guard._lane().calls._free = 0
    with pytest.raises(CircuitOpenError):
        await guard.get("k")
    store.release.set()
    with pytest.raises(BackendUnavailableError):
        await stuck


# -- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised,expected",
    [
        (ConnectionRefusedError("refused"), BackendUnavailableError),
        (asyncio.IncompleteReadError(b"", 5), BackendUnavailableError),
        (TimeoutError("slow"), BackendTimeoutError),
        (RuntimeError("Event loop is closed"), BackendError),
        (KeyError("reply"), BackendError),
        (asyncio.CancelledError(), BackendUnavailableError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_exceptions_of_a_backend_are_mapped_and_counted(
    raised: BaseException, expected: type[BackendError]
) -> None:
    """Whatever a custom backend raises arrives as a `BackendError` with its cause, and opens the circuit."""
    guard, store, _ = guarded()
    store.error = raised
    for _ in range(3):
        with pytest.raises(BackendError) as caught:
            await guard.get("k")
        assert type(caught.value) is expected
        assert caught.value.__cause__ is raised
        assert (caught.value.backend, caught.value.key) == ("Moody", "k")
    assert circuit(guard) is Circuit.OPEN


@pytest.mark.parametrize("error", [BackendUnavailableError("x"), BackendTimeoutError("x")])
async def test_the_backends_own_errors_are_raised_as_they_are(error: BackendError) -> None:
    """A backend that maps its driver's errors itself is believed."""
    guard, store, _ = guarded(breaker_failures=1)
    store.error = error
    with pytest.raises(type(error)) as caught:
        await guard.get("k")
    assert caught.value is error
    assert circuit(guard) is Circuit.OPEN


@pytest.mark.parametrize("error", [BackendError("not an integer"), InvalidKeyError("k"), TypeError("a bug")])
async def test_answers_mistakes_and_bugs_do_not_open_the_circuit(error: Exception) -> None:
    """A store that says no is alive; a bug is raised as it is and says nothing about the store."""
    guard, store, _ = guarded(breaker_failures=1)
    store.error = error
    for _ in range(3):
        with pytest.raises(type(error)) as caught:
            await guard.get("k")
        assert caught.value is error
    assert circuit(guard) is Circuit.CLOSED


async def test_an_answer_closes_the_circuit_a_bug_does_not() -> None:
    """A probe that is told "no" has found the store alive; one that stumbles over a bug has found nothing."""
    guard, store, clock = guarded(breaker_seconds=10.0)
    store.error = ConnectionResetError()
    await failing(guard)
    clock.advance(13.0)
    store.error = TypeError("bug")
    with pytest.raises(TypeError):
        await guard.get("k")
    assert circuit(guard) is Circuit.OPEN
    store.error = BackendError("not an integer")
    with pytest.raises(BackendError):
        await guard.get("k")
    assert circuit(guard) is Circuit.CLOSED


def test_an_interrupt_is_not_swallowed() -> None:
    """Ctrl-C inside a driver ends the loop."""

    async def scene() -> None:
        guard, store, _ = guarded()
        store.error = KeyboardInterrupt()
        await guard.get("k")

    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(scene())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        if task.done():  # eager tasks (Python 3.12): the interrupt went through the caller itself
            assert isinstance(task.exception(), KeyboardInterrupt)
        else:
            with pytest.raises(BackendUnavailableError):
                loop.run_until_complete(task)
    finally:
        loop.close()


# -- what is owed -----------------------------------------------------------------------------------


def stale(*keys: str, **options: Any) -> tuple[Guard, Any, FakeClock]:
    """A store in trouble that holds a value for each key."""
    guard, store, clock = guarded(**options)
    store.data = dict.fromkeys(keys, b"stale")
    store.error = ConnectionResetError()
    return guard, store, clock


REMOVALS: list[Callable[[Guard], Coroutine[Any, Any, Any]]] = [
    lambda guard: guard.delete("a:1"),
    lambda guard: guard.delete_many(["a:1", "a:2"]),
    lambda guard: guard.clear("a:"),
]


@pytest.mark.parametrize("removal", REMOVALS, ids=["delete", "delete_many", "clear"])
async def test_a_failed_removal_is_replayed_before_anyone_reads_the_key(
    removal: Callable[[Guard], Any],
) -> None:
    """The key is absent from the failure on; once the store answers, the outdated value is removed."""
    guard, store, _ = stale("a:1", "b")
    with pytest.raises(BackendUnavailableError):
        await removal(guard)
    assert guard.owed
    store.error = None
    asked = len(store.calls)
    assert await guard.get("a:1") is None
    assert await guard.get_many(["a:1"]) == {}
    assert not await guard.exists("a:1")
    assert not await guard.touch("a:1", 5.0)
    assert not [call for call in store.calls[asked:] if call[0] in {"get", "get_many", "exists", "touch"}]
    assert await guard.get_many(["a:1", "b"]) == {"b": b"stale"}
    await ticks(20)
    assert (guard.owed, store.data) == (0, {"b": b"stale"})


@pytest.mark.parametrize("removal", REMOVALS, ids=["delete", "delete_many", "clear"])
async def test_any_success_starts_the_replay(removal: Callable[[Guard], Any]) -> None:
    """The store is told what it missed as soon as it answers anything."""
    guard, store, _ = stale("a:1", "b")
    with pytest.raises(BackendUnavailableError):
        await removal(guard)
    store.error = None
    assert await guard.get("b") == b"stale"
    await ticks(20)
    assert (guard.owed, store.data) == (0, {"b": b"stale"})


async def test_what_is_owed_is_paid_even_if_nobody_asks() -> None:
    """Other processes would go on reading the outdated value from an idle process's store."""
    guard, store, _ = stale("k", breaker_seconds=0.01)
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    store.error = None
    for _ in range(200):
        if not store.data:
            break
        await asyncio.sleep(0.005)
    assert store.data == {}


async def test_a_replay_that_fails_is_tried_again() -> None:
    """Nothing is forgotten because the store was not back after all."""
    guard, store, clock = stale("k", breaker_seconds=0.01)
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    for _ in range(4):
        assert await guard.get("k") is None
        await ticks(10)
    assert circuit(guard) is Circuit.OPEN
    assert guard.owed == 1
    store.error = None
    clock.advance(1.0)
    assert await guard.get("k") is None
    await ticks(20)
    assert (guard.owed, store.data) == (0, {})


async def test_an_open_circuit_owes_as_well() -> None:
    """A removal that was not even sent counts the same."""
    guard, store, clock = stale("k")
    await failing(guard)
    with pytest.raises(CircuitOpenError):
        await guard.delete("k")
    store.error = None
    clock.advance(10.0)
    assert await guard.get("k") is None
    await ticks(20)
    assert store.data == {}
    assert circuit(guard) is Circuit.CLOSED


async def test_a_removal_whose_caller_left_is_owed() -> None:
    """A deadline around `delete` that strikes first does not lose the invalidation."""
    guard, store, _ = guarded(max_concurrency=1)
    store.data = {"k": b"stale"}
    store.hangs = True
    busy = asyncio.create_task(guard.get("busy"))
    await ticks()
    task = asyncio.create_task(guard.delete("k"))
    await ticks()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.release.set()
    await busy
    assert await guard.get("k") is None
    await ticks(20)
    assert store.data == {}


async def test_only_a_successful_set_replaces_what_is_owed() -> None:
    """A set that succeeds makes the key readable again; one that fails does not."""
    guard, store, _ = stale("k", breaker_failures=100)
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    for write in (guard.set("k", b"v"), guard.set_many({"k": b"v"}), guard.fill("k", b"v", None, "t")):
        with pytest.raises(BackendUnavailableError):
            await write
    store.error = None
    assert guard.owed == 1
    await guard.set("k", b"new")
    assert await guard.get("k") == b"new"
    await ticks(20)
    assert store.data == {"k": b"new"}


OTHER_WRITES: list[Callable[[Guard], Coroutine[Any, Any, Any]]] = [
    lambda guard: guard.set_many({"k": b"new", "l": b"new"}),
    lambda guard: guard.fill("k", b"new", None, "t"),
    lambda guard: guard.add("k", b"new"),
]


@pytest.mark.parametrize("write", OTHER_WRITES, ids=["set_many", "fill", "add"])
async def test_other_writes_replace_what_is_owed_too(write: Callable[[Guard], Any]) -> None:
    """``add`` finds the key absent although the store still holds the outdated value."""
    guard, store, _ = stale("k")
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    store.error = None
    await write(guard)
    assert await guard.get("k") == b"new"


async def test_counters_and_leases_do_not_build_on_what_is_owed() -> None:
    """`incr` starts anew, and a lease is taken on an absent key."""
    guard, store, _ = guarded()
    store.data = {"n": b"41", "k": b"stale"}
    store.error = ConnectionResetError()
    for key in ("n", "k"):
        with pytest.raises(BackendUnavailableError):
            await guard.delete(key)
    store.error = None
    assert await guard.incr("n", 1) == 1
    assert await guard.acquire_lease("k", 1.0) == "token"
    assert "k" not in store.data


async def test_a_swap_does_not_build_on_what_is_owed() -> None:
    """What is owed a removal has no version, and the version it had is of no use any more."""
    guard, store, _ = guarded()
    store.data = {"n": b"41"}
    held = await guard.get_versioned("n")
    assert held is not None
    store.error = ConnectionResetError()
    with pytest.raises(BackendUnavailableError):
        await guard.delete("n")
    assert await guard.get_versioned("n") is None
    store.error = None
    assert await guard.compare_and_swap("n", b"42", None, held[1]) is False
    assert store.data == {}


async def test_a_failed_swap_is_not_owed() -> None:
    """Both values are true ones, and a swap cannot land after anything newer: a counter keeps its count."""
    guard, store, _ = guarded()
    store.data = {"n": b"41"}
    held = await guard.get_versioned("n")
    assert held is not None
    store.error = ConnectionResetError()
    with pytest.raises(BackendUnavailableError):
        await guard.compare_and_swap("n", b"42", None, held[1])
    store.error = None
    assert guard.owed == 0
    assert await guard.get("n") == b"41"


async def test_a_set_that_began_before_the_delete_does_not_settle_it() -> None:
    """Of two that overlapped, the removal is taken as the later one."""
    guard, store, _ = guarded()
    store.hangs = True
    setting = asyncio.create_task(guard.set("k", b"older"))
    await ticks()
    store.hangs = False
    store.error = ConnectionResetError()
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    store.error = None
    store.release.set()
    assert await setting
    assert await guard.get("k") is None


READS: list[tuple[Callable[[Guard], Coroutine[Any, Any, Any]], object]] = [
    (lambda guard: guard.get("k"), None),
    (lambda guard: guard.get_many(["k", "l"]), {"l": b"fresh"}),
    (lambda guard: guard.exists("k"), False),
]


@pytest.mark.parametrize("read,answer", READS, ids=["get", "get_many", "exists"])
async def test_a_read_on_its_way_does_not_return_what_is_owed(
    read: Callable[[Guard], Coroutine[Any, Any, Any]], answer: object
) -> None:
    """A removal that fails while the answer is on its way makes the answer a miss."""
    guard, store, _ = guarded()
    store.data = {"k": b"stale", "l": b"fresh"}
    store.hangs = True
    reading = asyncio.create_task(read(guard))
    await ticks()
    store.hangs = False
    store.error = ConnectionResetError()
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    store.error = None
    store.release.set()
    assert await reading == answer


SETS: list[Callable[[Guard], Coroutine[Any, Any, Any]]] = [
    lambda guard: guard.set("k", b"new"),
    lambda guard: guard.set_many({"k": b"new"}),
    lambda guard: guard.fill("k", b"new", None, "t"),
]


@pytest.mark.parametrize("write", SETS, ids=["set", "set_many", "fill"])
async def test_a_set_of_unknown_outcome_leaves_no_outdated_value(write: Callable[[Guard], Any]) -> None:
    """Whether it arrived or not, what is under the key now may be the value it was to replace."""
    guard, store, _ = stale("k")
    with pytest.raises(BackendUnavailableError):
        await write(guard)
    store.error = None
    assert await guard.get("k") is None
    await ticks(20)
    assert (guard.owed, store.data) == (0, {})


async def test_a_set_that_was_never_sent_owes_nothing() -> None:
    """An outage does not fill the memory with every key that could not be stored."""
    guard, store, _ = guarded()
    store.error = ConnectionResetError()
    await failing(guard)
    for write in (guard.set("k", b"v"), guard.set_many({"k": b"v"}), guard.fill("k", b"v", None, "t")):
        with pytest.raises(CircuitOpenError):
            await write
    assert guard.owed == 0


async def test_what_is_owed_is_bounded_and_the_loss_is_counted() -> None:
    """Only so many failed removals are remembered."""
    guard, _, _ = stale(max_owed=2, breaker_failures=100)
    for key in "abc":
        with pytest.raises(BackendUnavailableError):
            await guard.delete(key)
    assert (guard.owed, guard.lost_invalidations) == (2, 1)


async def test_an_impossible_key_is_not_owed() -> None:
    """What no store could hold needs no removal."""
    guard, store, _ = guarded()
    store.error = InvalidKeyError("k")
    for removal in REMOVALS:
        with pytest.raises(InvalidKeyError):
            await removal(guard)
    assert guard.owed == 0


async def test_one_key_that_cannot_be_removed_does_not_hold_up_the_others() -> None:
    """A bulk replay that the store refuses is done key by key."""

    class Picky(Moody):
        async def delete(self, key: str) -> bool:
            if key == "bad":
                raise BackendError("no", key=key)
            return await super().delete(key)

        async def delete_many(self, keys: Any) -> set[str]:
            if "bad" in keys:
                raise BackendError("no")
            return await super().delete_many(keys)

    guard, store, _ = guarded(Picky(), breaker_failures=100)
    store.data = dict.fromkeys(("a", "bad", "c"), b"stale")
    store.error = ConnectionResetError()
    for key in ("a", "bad", "c"):
        with pytest.raises(BackendError):
            await guard.delete(key)
    with pytest.raises(BackendError):
        await guard.clear("p:")
    store.error = None
    assert await guard.get("a") is None
    await ticks(40)
    assert (guard.owed, sorted(store.data)) == (1, ["bad"])


async def test_a_store_without_bulk_operations_is_paid_key_by_key() -> None:
    """Capabilities the store lacks are not needed for the replay."""

    class Plain:
        def __init__(self) -> None:
            self.data = {"a": b"stale", "b": b"stale"}
            self.down = True

        async def get(self, key: str) -> bytes | None:
            return self.data.get(key)

        async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
            self.data[key] = value

        async def delete(self, key: str) -> bool:
            if self.down:
                raise OSError
            return self.data.pop(key, None) is not None

    guard, store, _ = guarded(Plain())
    for key in "ab":
        with pytest.raises(BackendUnavailableError):
            await guard.delete(key)
    store.down = False
    assert await guard.get("a") is None
    await ticks(20)
    assert store.data == {}


# -- life -------------------------------------------------------------------------------------------


async def test_health_is_asked_even_while_the_circuit_is_open() -> None:
    """A health check tells of the store and of the guard, whatever the circuit says."""
    guard, store, _ = guarded()
    store.error = ConnectionResetError()
    await failing(guard)
    store.error = None
    health = await guard.health()
    assert health.healthy
    assert dict(health.details) == {
        "version": 1,
        "circuit": "open",
        "timeouts": 0,
        "abandoned": 0,
        "owed_invalidations": 0,
        "lost_invalidations": 0,
    }


async def test_opening_and_closing_have_a_deadline() -> None:
    """A store that is dead at start or stop holds up neither."""

    class Frozen(Moody):
        async def open(self) -> None:
            await self.visit("open")

        async def aclose(self) -> None:
            await self.visit("aclose")

    guard, store, _ = guarded(Frozen(), lifecycle_timeout=SOON)
    store.hangs = True
    for call in (guard.open, guard.aclose):
        with pytest.raises(BackendTimeoutError):
            await call()
    store.release.set()
    await guard.open()
    await guard.aclose()


async def test_aclose_waits_for_what_is_under_way_and_stops_replaying() -> None:
    """A set whose caller left arrives; debts are not chased any more."""
    guard, store, _ = guarded(timeout=SOON)
    task = asyncio.create_task(guard.set("k", b"v"))
    await asyncio.sleep(0)
    task.cancel()
    await guard.aclose()
    assert store.data == {"k": b"v"}
    store.error = ConnectionResetError()
    with pytest.raises(BackendUnavailableError):
        await guard.delete("k")
    await guard.aclose()
    asked = len(store.calls)
    await asyncio.sleep(SOON)
    assert len(store.calls) == asked


def test_another_event_loop_is_served_too() -> None:
    """The breaker and the debts are the store's; tasks and timers are each loop's own."""
    store = DictBackend()
    guard = Guard(store, FakeClock(), breaker_failures=1)

    async def visit() -> bytes | None:
        await guard.set("k", b"v")
        return await guard.get("k")

    assert [asyncio.run(visit()) for _ in range(3)] == [b"v"] * 3


async def test_refused_keys_pass_through() -> None:
    """What the store refuses is reported as it said it."""

    class Picky(DictBackend):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
            return False

        async def set_many(self, items: Any, ttl: float | None = None) -> Keys:
            return set(items)

    guard, _, _ = guarded(Picky())
    assert await guard.set("k", b"v") is False
    assert await guard.set_many({"k": b"v"}) == {"k"}
