"""Counting by compare-and-swap: several processes, clears in between, and stores that fail."""

from __future__ import annotations

import asyncio
import random

import pytest

from asynccache import BackendError, BackendUnavailableError, Cache, ConfigurationError
from asynccache.codecs import generate_key
from asynccache.events import Failed
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import Counting, Gated, Loads, Swapping, SwappingMany, local, over, ticks


def operations(gated: Gated) -> list[str]:
    """Return what ``gated`` was asked since this was last called."""
    asked = [operation for operation, _ in gated.calls]
    gated.calls.clear()
    return asked


def counting_cache(clock: FakeClock, **settings: object) -> tuple[Gated, Cache]:
    gated = Gated(SwappingMany(clock))
    return gated, over(gated, clock, **settings)


async def test_processes_count_exactly() -> None:
    """Four caches with a connection of their own lose no increment, nor tell any number twice."""
    clock = FakeClock()
    store = Swapping(clock)
    caches = [over(store, clock) for _ in range(4)]

    async def count(cache: Cache) -> list[int]:
        return [await cache.incr("n") for _ in range(25)]

    answers = await asyncio.gather(*(count(cache) for cache in caches for _ in range(2)))
    assert sorted(number for each in answers for number in each) == list(range(1, 201))
    assert [await cache.get("n") for cache in caches] == [200] * 4


async def test_tasks_of_a_process_do_not_fight() -> None:
    """A thousand increments at once are a thousand swaps, not one more."""
    clock = FakeClock()
    gated, cache = counting_cache(clock)
    assert await cache.incr("n", initial=-1) == 0
    operations(gated)
    numbers = await asyncio.gather(*(cache.incr("n") for _ in range(1000)))
    assert sorted(numbers) == list(range(1, 1001))
    assert operations(gated).count("compare_and_swap") == 1000


async def test_what_an_increment_costs() -> None:
    """Two round trips for a counter that is there: the reads go out together, then the swap."""
    clock = FakeClock()
    gated, cache = counting_cache(clock)
    await cache.incr("n")
    operations(gated)
    assert await cache.incr("n") == 2
    assert sorted(operations(gated)) == ["compare_and_swap", "get", "get_versioned"]


async def test_integers_and_counters_are_the_same() -> None:
    """What was set can be counted on, with its tags and its end; what was counted reads as an integer."""
    clock = FakeClock()
    _, cache = counting_cache(clock)
    await cache.set("n", 5, 60, tags=["t"])
    clock.advance(20)
    assert await cache.incr("n", 2, ttl=600) == 7
    assert await cache.get("n", type=int) == 7
    assert await cache.ttl("n") == 40
    await cache.invalidate_tags("t")
    assert await cache.incr("n", 2, ttl=600) == 2
    assert await cache.ttl("n") == 600
    assert await cache.touch("n", 30)
    assert await cache.incr("n") == 3
    assert await cache.ttl("n") == 30


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1], 2**63], ids=repr)
async def test_what_is_no_integer_is_not_counted_on(value: object) -> None:
    """Only an ``int`` of 64 bits is; what else is there stays."""
    clock = FakeClock()
    _, cache = counting_cache(clock)
    await cache.set("k", value)
    with pytest.raises(BackendError, match=r"integer|64 bits"):
        await cache.incr("k")
    assert await cache.get("k") == value


async def test_a_counter_that_expired_starts_anew_at_that_moment() -> None:
    """The entry tells the moment, however late the store may remove it."""
    clock = FakeClock()
    store = SwappingMany(lambda: 0.0)  # its own clock stands still
    cache = over(store, clock)
    assert await cache.incr("n", ttl=10) == 1
    clock.advance(9.999)
    assert await cache.incr("n", ttl=10) == 2
    clock.advance(0.001)
    assert await cache.incr("n", 5, initial=10, ttl=10) == 15


async def test_a_damaged_entry_is_no_counter() -> None:
    """What nobody can read is replaced, not an error for ever."""
    clock = FakeClock()
    store = SwappingMany(clock)
    cache = over(store, clock)
    await cache.incr("n")
    full = cache.entries.namespace.value_prefix + "n"
    store.values[full] = (b"\xac\xca garbage", clock() + 60)
    assert await cache.incr("n", 3) == 3


@pytest.mark.parametrize("operation", ["get_versioned", "get", "add", "compare_and_swap"])
async def test_a_failing_store_is_an_error_and_no_new_counter(operation: str) -> None:
    """A read that failed must not look like an absent key: the count would be lost."""
    clock = FakeClock()
    events = RecordedEvents()
    gated, cache = counting_cache(clock, observers=[events])
    if operation != "add":
        assert await cache.incr("n", 41) == 41
    gated.failures[operation] = BackendUnavailableError("down")
    with pytest.raises(BackendUnavailableError):
        await cache.incr("n")
    assert events.of(Failed)[-1].operation == "incr"
    gated.failures.clear()
    assert await cache.incr("n") == (1 if operation == "add" else 42)


async def test_a_namespace_whose_generation_cannot_be_had_counts_nothing() -> None:
    """A counter without it could not be cleared."""
    clock = FakeClock()
    gated, cache = counting_cache(clock)
    planting = gated.stop("add")
    counting_up = asyncio.create_task(cache.incr("n"))
    await planting.reached.wait()
    gated.failures["add"] = gated.failures["get"] = BackendUnavailableError("down")
    planting.go()
    with pytest.raises(BackendError):
        await counting_up
    gated.failures.clear()
    assert await cache.get("n") is None


@pytest.mark.parametrize("operation", ["get_versioned", "get", "compare_and_swap"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_counter_of_the_next_generation_is_not_lost(operation: str, *, after: bool) -> None:
    """A clear and an increment elsewhere, at any moment of ours: what came after the clear counts."""
    clock = FakeClock()
    store = SwappingMany(clock)
    gated = Gated(store)
    ours, theirs = over(gated, clock), over(store, clock)
    assert await ours.incr("n", 10) == 10
    stop = gated.stop(operation, after=after)
    increment = asyncio.create_task(ours.incr("n"))
    await stop.reached.wait()
    await theirs.clear()
    assert await theirs.incr("n") == 1
    stop.go()
    done = await increment
    assert await theirs.get("n") == (1 if (operation, after) == ("compare_and_swap", True) else 2)
    assert done in {2, 11}


async def test_an_increment_before_the_clear_is_cleared() -> None:
    """One that landed between the clear and its answer carries the old generation: it is gone with it."""
    clock = FakeClock()
    gated, cache = counting_cache(clock)
    await cache.incr("n")
    stop = gated.stop("compare_and_swap")
    increment = asyncio.create_task(cache.incr("n"))
    await stop.reached.wait()
    await over(gated.inner, clock).clear()
    stop.go()
    await increment
    assert await cache.get("n") is None
    assert await cache.incr("n") == 1


async def test_it_gives_up_where_others_always_come_first() -> None:
    """A store that never lets a swap through is an error in the end, not a loop for ever."""

    class Jealous(SwappingMany):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            return False

    clock = FakeClock()
    cache = over(Jealous(clock), clock)
    await cache.incr("n")
    with pytest.raises(BackendError, match="others came first"):
        await cache.incr("n")


async def test_a_lost_race_is_tried_again() -> None:
    """Whoever lost counts on from what the winner left."""
    clock = FakeClock()
    gated, cache = counting_cache(clock)
    await cache.incr("n")
    for _ in range(2):
        stop = gated.stop("compare_and_swap")
        increment = asyncio.create_task(cache.incr("n"))
        await stop.reached.wait()
        await over(gated.inner, clock).incr("n")
        stop.go()
        await increment
    assert await cache.get("n") == 5


async def test_an_increment_outdates_what_is_being_computed() -> None:
    """A value computed before it is not stored after it."""
    clock = FakeClock()
    _, cache = counting_cache(clock)
    loads = Loads(7)
    gate = loads.close()
    computing = asyncio.create_task(cache.get_or_set("n", loads))
    await loads.reading.wait()
    assert await cache.incr("n") == 1
    gate.set()
    assert await computing == 7
    assert await cache.get("n") == 1


async def test_cancelled_callers_lose_and_invent_nothing() -> None:
    """Whenever a caller leaves: its increment counts once or not at all, and nobody waits for it."""
    clock = FakeClock()
    dice = random.Random(3)
    _, cache = counting_cache(clock)

    async def impatient() -> bool:
        task = asyncio.create_task(cache.incr("n"))
        await ticks(dice.randrange(60))
        task.cancel()
        await asyncio.wait([task])
        return not task.cancelled()

    done = await asyncio.gather(*(impatient() for _ in range(200)))
    await ticks(20)
    assert sum(done) <= (await cache.get("n") or 0) <= 200
    assert len(cache.entries.access.locks) == 0


async def test_counters_can_be_encrypted_there() -> None:
    """The number is in no byte of the store, and counts all the same."""
    clock = FakeClock()
    store = SwappingMany(clock)
    cache = over(store, clock, encryption_keys=[generate_key()])
    assert cache.capabilities.increment
    assert await cache.incr("n", 1234567) == 1234567
    assert await cache.incr("n") == 1234568
    assert not [value for value, _ in store.values.values() if b"1234568" in value]


async def test_what_cannot_count_says_so() -> None:
    """Without compare-and-swap, neither a sealed cache nor a store that cannot clear counts."""
    clock = FakeClock()
    for cache in (
        local(clock, encryption_keys=[generate_key()]),
        over(Counting(clock), clock),
    ):
        assert cache.capabilities.increment is False
        with pytest.raises(ConfigurationError, match="incr"):
            await cache.incr("n")
