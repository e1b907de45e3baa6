from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from asynccache._engine.batching import Batched
from asynccache._engine.guard import Guard
from asynccache.errors import BackendUnavailableError
from tests.engine.engine_doubles import DictBackend, ticks


class Gated(DictBackend):
    """Holds every operation back until the gate is opened; notices when one is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.error: BaseException | None = None
        self.cancelled = 0

    async def visit(self, *call: object) -> None:
        self.calls.append(call)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        await self.visit("add", key)
        return self.data.setdefault(key, value) is value

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        await self.visit("get_versioned", key)
        return (self.data[key], "version") if key in self.data else None

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        await self.visit("compare_and_swap", key)
        self.data[key] = value
        return True

    async def clear(self, prefix: str) -> None:
        await self.visit("clear", prefix)
        self.data = {key: value for key, value in self.data.items() if not key.startswith(prefix)}


def go(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(work)


async def together(*works: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*works))


# -- reads ------------------------------------------------------------------------------------------


async def test_gets_of_one_turn_become_one_request() -> None:
    """Concurrent gets are asked for together, each key once."""
    store = DictBackend()
    store.data = {"a": b"1", "b": b"2"}
    batched = Batched(store)
    found = await together(*(batched.get(key) for key in ("a", "b", "a", "c")))
    assert found == [b"1", b"2", b"1", None]
    assert store.calls == [("get_many", "a", "b", "c")]


async def test_a_lone_get_is_a_plain_get() -> None:
    """No bulk operation for one key, whether asked once or by several at once."""
    store = DictBackend()
    batched = Batched(store)
    assert await batched.get("a") is None
    await asyncio.gather(batched.get("a"), batched.get("a"))
    assert store.calls == [("get", "a"), ("get", "a")]


async def test_a_lone_get_through_a_backend_that_owns_its_io_goes_straight_through() -> None:
    """Over a guard a lone get needs no task of ours; what comes while it is under way is batched."""
    store = Gated()
    batched = Batched(Guard(store, time.monotonic, timeout=5.0))
    tasks = [go(batched.get(key)) for key in "abc"]
    await ticks()
    assert store.calls == [("get", "a"), ("get_many", "b", "c")]
    store.gate.set()
    await asyncio.gather(*tasks)


async def test_get_many_joins_what_others_want() -> None:
    """An entry with its tags and other tasks' entries are one request; each gets what it asked for."""
    store = DictBackend()
    store.data = {"a": b"1", "t": b"2", "x": b"3"}
    batched = Batched(store)
    many, one, none = await asyncio.gather(
        batched.get_many(["a", "t", "gone"]), batched.get("x"), batched.get_many([])
    )
    assert (many, one, none) == ({"a": b"1", "t": b"2"}, b"3", {})
    assert store.calls == [("get_many", "a", "t", "gone", "x")]


async def test_batches_are_bounded() -> None:
    """No request asks for more than ``max_batch`` keys, however many are wanted."""
    store = DictBackend()
    store.data = {f"k{number}": b"%d" % number for number in range(25)}
    batched = Batched(store, max_batch=10)
    singles = [batched.get(f"k{number}") for number in range(25)]
    *values, everything = await asyncio.gather(*singles, batched.get_many(list(store.data)))
    assert values == list(store.data.values())
    assert everything == store.data
    assert max(len(call) - 1 for call in store.calls) == 10


async def test_a_get_never_joins_a_request_that_is_already_out() -> None:
    """The answer on its way may be older than a write acknowledged since."""
    store = Gated()
    store.data["k"] = b"old"
    batched = Batched(store)
    early = go(batched.get("k"))
    await ticks()
    late = go(batched.get("k"))
    await ticks()
    assert store.calls == [("get", "k"), ("get", "k")]
    store.gate.set()
    assert await together(early, late) == [b"old", b"old"]


# -- cancellation and errors ------------------------------------------------------------------------


OPERATIONS: list[Callable[[Any], Coroutine[Any, Any, Any]]] = [
    lambda batched: batched.get("k"),
    lambda batched: batched.get_many(["k", "l"]),
    lambda batched: batched.set("k", b"v"),
    lambda batched: batched.set_many({"k": b"v"}),
    lambda batched: batched.delete("k"),
    lambda batched: batched.delete_many(["k"]),
    lambda batched: batched.add("k", b"v"),
    lambda batched: batched.get_versioned("k"),
    lambda batched: batched.compare_and_swap("k", b"v", None, "version"),
    lambda batched: batched.clear("k"),
]


@pytest.mark.parametrize("call", OPERATIONS)
async def test_a_callers_cancellation_never_reaches_the_store(
    call: Callable[[Any], Coroutine[Any, Any, Any]],
) -> None:
    """The caller leaves; the operation ends as it would have."""
    store = Gated()
    batched = Batched(store)
    task = go(call(batched))
    await ticks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.gate.set()
    await ticks()
    assert (len(store.calls), store.cancelled) == (1, 0)
    await batched.set("k", b"after")
    assert await batched.get("k") == b"after"


async def test_one_callers_cancellation_does_not_disturb_the_batch() -> None:
    """The others of the same batch get their answers."""
    store = Gated()
    store.data = {"a": b"1", "b": b"2", "c": b"3"}
    batched = Batched(store)
    tasks = [go(batched.get(key)) for key in "abc"]
    await ticks()
    tasks[0].cancel()
    store.gate.set()
    assert await together(*tasks[1:]) == [b"2", b"3"]


async def test_the_error_of_a_batch_reaches_every_caller_once() -> None:
    """Each raises its own copy, nothing is retried, and the next request is a new one."""
    store = Gated()
    store.error = BackendUnavailableError("gone", backend="redis")
    store.gate.set()
    batched = Batched(store)
    for calls in (
        [batched.get(key) for key in "abc"],
        [batched.set(key, b"v") for key in "abc"],
        [batched.delete(key) for key in "abc"],
    ):
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in found] == [BackendUnavailableError] * 3
        assert {str(error) for error in found} == {"redis: gone"}
        assert len({id(error) for error in found}) == 3
    with pytest.raises(BackendUnavailableError):
        await batched.delete("a")
    assert [call[0] for call in store.calls] == ["get_many", "set_many", "delete_many", "delete"]
    store.error = None
    assert await batched.set("a", b"v")
    assert await batched.get("a") == b"v"


async def test_a_cancellation_inside_the_driver_is_an_error_not_a_cancellation() -> None:
    """Callers must not look cancelled because the driver's own task was."""
    store = Gated()
    store.error = asyncio.CancelledError()
    store.gate.set()
    batched = Batched(store)
    for call in (batched.get("k"), batched.set("k", b"v"), batched.delete("k")):
        with pytest.raises(BackendUnavailableError, match="CancelledError"):
            await asyncio.wait_for(call, 1)


async def test_tasks_cancelled_before_their_first_step_hang_nobody() -> None:
    """A sweep over all tasks (a server shutting down) fails what waits, and the wrapper works on."""
    batched = Batched(DictBackend())
    for calls in (
        lambda: [batched.get("k"), batched.get_many(["a", "b"])],
        lambda: [batched.set("k", b"v"), batched.set("l", b"v", 1.0)],
        lambda: [batched.delete("k"), batched.delete("l"), batched.set("m", b"v")],
    ):
        before = asyncio.all_tasks()
        callers = [go(call) for call in calls()]
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - before - set(callers):
            task.cancel()
        found = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 1)
        assert {type(error) for error in found} == {BackendUnavailableError}
    assert await batched.set("k", b"v")
    assert await batched.get("k") == b"v"
    assert await batched.delete("k")


# -- writes -----------------------------------------------------------------------------------------


async def test_sets_of_one_turn_and_ttl_become_one_request() -> None:
    """Sets are grouped by their ttl; of two sets of one key in a turn the last wins."""
    store = DictBackend()
    batched = Batched(store)
    sets = [("a", b"1", 5.0), ("b", b"2", 5.0), ("c", b"3", None), ("a", b"4", 5.0)]
    assert await together(*(batched.set(*each) for each in sets)) == [True] * 4
    assert store.data == {"a": b"4", "b": b"2", "c": b"3"}
    assert sorted(map(str, store.calls)) == ["('set', 'c', b'3', None)", "('set_many', 'a', 'b', 5.0)"]


async def test_a_refused_key_is_reported_to_its_caller_only() -> None:
    """The store's refusals of a bulk set find the right callers."""

    class Picky(DictBackend):
        async def set_many(self, items: Any, ttl: float | None = None) -> Any:
            return {key for key, value in items.items() if len(value) > 3}

        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
            return False

    batched = Batched(Picky())
    assert await together(batched.set("a", b"ok"), batched.set("b", b"too long")) == [True, False]
    assert await batched.set("c", b"alone") is False
    assert await batched.set_many({"d": b"ok", "e": b"too long"}) == {"e"}


async def test_a_set_is_seen_by_the_get_that_follows_it() -> None:
    """A task reads what it wrote, in whatever company."""
    batched = Batched(DictBackend())

    async def visitor(number: int) -> None:
        for turn in range(20):
            value = b"%d/%d" % (number, turn)
            await batched.set(f"k{number}", value)
            assert await batched.get(f"k{number}") == value

    await asyncio.gather(*(visitor(number) for number in range(20)))


async def test_a_set_whose_caller_left_cannot_undo_a_later_one() -> None:
    """Writes of one key never overlap: the older is over before the younger is sent."""
    store = Gated()
    batched = Batched(store)
    first = go(batched.set("k", b"old"))
    await ticks()
    first.cancel()
    second, third = go(batched.set("k", b"newer")), go(batched.set("k", b"newest"))
    await ticks()
    assert len(store.calls) == 1
    store.gate.set()
    assert await together(second, third) == [True, True]
    assert store.calls == [("set", "k", b"old", None), ("set", "k", b"newest", None)]
    assert store.data == {"k": b"newest"}


async def test_a_swap_keeps_the_order_of_writes() -> None:
    """It waits for the set before it, and the set after it waits for it."""
    store = Gated()
    batched = Batched(store)
    writes = [go(batched.set("k", b"1"))]
    await ticks()
    writes += [go(batched.compare_and_swap("k", b"2", None, "version")), go(batched.set("k", b"3"))]
    await ticks()
    assert len(store.calls) == 1
    store.gate.set()
    assert await together(*writes) == [True, True, True]
    assert [call[0] for call in store.calls] == ["set", "compare_and_swap", "set"]
    assert store.data == {"k": b"3"}


REMOVALS: list[Callable[[Any], Coroutine[Any, Any, Any]]] = [
    lambda batched: batched.delete("k:1"),
    lambda batched: batched.delete_many(["x", "k:1"]),
    lambda batched: batched.clear("k:"),
]


@pytest.mark.parametrize("removal", REMOVALS, ids=["delete", "delete_many", "clear"])
async def test_a_removal_waits_for_the_set_before_it(removal: Callable[[Any], Any]) -> None:
    """An abandoned set does not land after, and survive, an acknowledged invalidation."""
    store = Gated()
    batched = Batched(store)
    first = go(batched.set("k:1", b"old"))
    await ticks()
    first.cancel()
    removing = go(removal(batched))
    await ticks()
    assert len(store.calls) == 1
    store.gate.set()
    await removing
    assert store.data == {}


async def test_deletes_of_one_turn_become_one_request() -> None:
    """Each caller hears whether something was there for it: of two for one key only the first does."""
    store = DictBackend()
    store.data = {"a": b"1", "b": b"2"}
    batched = Batched(store)
    removed = await together(*(batched.delete(key) for key in ("a", "gone", "a", "b")))
    assert removed == [True, False, False, True]
    assert store.calls == [("delete_many", "a", "gone", "b")]
    assert await batched.delete("a") is False
    assert store.calls[1:] == [("delete", "a")]


async def test_sets_and_deletes_of_one_turn_keep_their_order() -> None:
    """What is written to one key is done in the order it was asked for, whatever it is sent with."""
    store = DictBackend()
    store.data = {"a": b"old", "b": b"old"}
    batched = Batched(store)
    answers = await together(
        batched.delete("a"),
        batched.set("a", b"new"),
        batched.set("b", b"new"),
        batched.delete("b"),
        batched.delete("c"),
        batched.set("d", b"new"),
    )
    assert answers == [True, True, True, True, False, True]
    assert store.data == {"a": b"new", "d": b"new"}
    assert sorted(str(call[0]) for call in store.calls) == ["delete", "delete_many", "set", "set_many"]


async def test_a_delete_whose_caller_left_is_still_the_first() -> None:
    """It was sent and took what was there: whoever joined it finds nothing, as if each had been sent."""
    store = DictBackend()
    store.data = {"a": b"1"}
    batched = Batched(store)
    first, second = go(batched.delete("a")), go(batched.delete("a"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is False
    assert store.data == {}


async def test_bulk_deletes_are_split_and_their_answers_joined() -> None:
    """No request names more than ``max_batch`` keys, each key once."""
    store = DictBackend()
    store.data = {f"k{number}": b"" for number in range(7)}
    batched = Batched(store, max_batch=3)
    there = set(store.data)
    assert await batched.delete_many([*there, "k0", "gone"]) == there
    assert await batched.delete_many([]) == set()
    assert await batched.set_many({}) == set()


async def test_writers_of_a_busy_key_are_served_in_turn() -> None:
    """A delete is not starved by a stream of sets."""
    store = DictBackend()
    batched = Batched(store)
    stop = False

    async def writer() -> None:
        while not stop:
            await batched.set("k", b"v")

    writers = [go(writer()) for _ in range(5)]
    await ticks()
    await asyncio.wait_for(batched.delete("k"), 1)
    stop = True
    await asyncio.gather(*writers)


async def test_aclose_lets_what_is_under_way_end() -> None:
    """A set whose caller left still arrives when the cache is closed right after."""
    store = DictBackend()
    batched = Batched(store)
    task = go(batched.set("k", b"v"))
    await asyncio.sleep(0)
    task.cancel()
    await batched.aclose()
    assert store.data == {"k": b"v"}
    assert repr(batched).startswith("<Batched <")


def test_another_event_loop_has_batches_of_its_own() -> None:
    """A wrapper used from one loop after another keeps working."""
    store = DictBackend()
    batched = Batched(store)

    async def visit() -> list[bytes | None]:
        await batched.set("a", b"1")
        return await together(batched.get("a"), batched.get("b"))

    assert [asyncio.run(visit()) for _ in range(3)] == [[b"1", None]] * 3


# -- against a model --------------------------------------------------------------------------------


class Slow(DictBackend):
    """Takes a random number of turns before and after it acts, like several connections at once."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice

    async def visit(self, *call: object) -> None:
        await ticks(self.dice.randrange(4))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), guarded=st.booleans())
def test_random_interleavings_and_cancellations(seed: int, guarded: bool) -> None:
    """Never a wrong value: a read returns what was last acknowledged before it, or something newer.

    Each key has one writer, whose writes are numbered, some of them deletes. A cancelled write may or may not
    happen, but never after a later one of the same key.
    """

    async def scene() -> None:
        dice = random.Random(seed)
        store = Slow(dice)
        batched = Batched(Guard(store, time.monotonic, timeout=60.0) if guarded else store, max_batch=4)
        keys = [f"k{number}" for number in range(6)]
        least, most = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
        deleted: dict[str, set[int]] = {key: {0} for key in keys}

        async def cancelled_at_random(work: Coroutine[Any, Any, Any]) -> bool:
            task = go(work)
            if dice.random() < 0.3:
                await ticks(dice.randrange(6))
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            return not task.cancelled()

        async def writer(key: str) -> None:
            for number in range(1, 12):
                most[key] = number
                value = f"{key}={number}".encode()
                if dice.random() < 0.2:
                    write: Coroutine[Any, Any, Any] = batched.set_many({key: value})
                elif dice.random() < 0.25:
                    deleted[key].add(number)
                    write = batched.delete(key)
                elif dice.random() < 0.1:
                    deleted[key].add(number)
                    write = batched.delete_many([key])
                else:
                    write = batched.set(key, value, dice.choice([None, 5.0]))
                if await cancelled_at_random(write):
                    least[key] = number

        def check(key: str, value: bytes | None, floor: int) -> None:
            if value is None:
                assert floor <= max(deleted[key])
                return
            name, _, number = value.decode().partition("=")
            assert name == key
            assert floor <= int(number) <= most[key]

        async def reader() -> None:
            for _ in range(15):
                wanted = dice.sample(keys, dice.randrange(1, 6))
                floors = {key: least[key] for key in wanted}
                if dice.random() < 0.5:
                    key = wanted[0]
                    task = go(batched.get(key))
                    if dice.random() < 0.3:
                        await ticks(dice.randrange(6))
                        task.cancel()
                    await asyncio.wait([task])
                    if not task.cancelled():
                        check(key, task.result(), floors[key])
                else:
                    found = await batched.get_many(wanted)
                    assert set(found) <= set(wanted)
                    for key in wanted:
                        check(key, found.get(key), floors[key])

        await asyncio.gather(*map(writer, keys), *(reader() for _ in range(6)))
        await batched.aclose()
        for key in keys:
            check(key, store.data.get(key), least[key])

    asyncio.run(scene())
