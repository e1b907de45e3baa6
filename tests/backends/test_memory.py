"""`InMemoryBackend`: meaning, expiry, bounds, leases, the bus, and life across event loops."""

from __future__ import annotations

import asyncio
import gc
import weakref
from math import inf
from typing import Any

import pytest

from asynccache._engine.entry import COUNTER, Entry, SupportsEntries, pack
from asynccache._engine.fanout import Fanout
from asynccache._engine.leases import LeaseBook
from asynccache._engine.s3fifo import OVERHEAD, cost
from asynccache.backends.memory import InMemoryBackend
from asynccache.errors import BackendError, ConfigurationError, InvalidKeyError
from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsLifecycle,
    SupportsMany,
    SupportsTouch,
)


class Clock:
    """Time that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> InMemoryBackend:
    return InMemoryBackend(clock=clock)


def entry(
    key: str, *, fresh: float = inf, stale: float = 0, error: float = 0, payload: bytes = b"v"
) -> Entry:
    return Entry(key, payload, "raw", 1000.0, fresh, stale, error)


def size(store: InMemoryBackend) -> int:
    return store._table.entries


# -- what it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol",
    [
        CacheBackendProtocol,
        SupportsAdd,
        SupportsClear,
        SupportsEntries,
        SupportsExists,
        SupportsHealth,
        SupportsIncrement,
        SupportsInvalidationBus,
        SupportsLeases,
        SupportsLifecycle,
        SupportsMany,
        SupportsTouch,
    ],
)
def test_has_every_capability(store: InMemoryBackend, protocol: type) -> None:
    """One process can do all there is."""
    assert isinstance(store, protocol)


@pytest.mark.parametrize("name", ["max_bytes", "max_entries"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1mb", inf])
def test_wrong_bounds_are_refused(name: str, value: Any) -> None:
    """A bound that is no positive int is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match=name):
        InMemoryBackend(**{name: value})


def test_wrong_clock_and_a_store_too_small() -> None:
    """A clock that cannot be called, or room for nothing, is refused."""
    wrong: Any = 3
    with pytest.raises(ConfigurationError, match="clock"):
        InMemoryBackend(clock=wrong)
    with pytest.raises(ConfigurationError, match="max_bytes"):
        InMemoryBackend(max_bytes=100)


async def test_repr_and_health_tell_the_state(store: InMemoryBackend) -> None:
    """The store describes itself."""
    await store.set("k", b"v")
    health = await store.health()

    assert repr(store) == f"<InMemoryBackend 1 entries, {health.details['bytes']} of 134217728 bytes>"
    assert (health.healthy, health.backend_type, health.details["entries"]) == (True, "memory", 1)


# -- bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [bytearray(b"x"), memoryview(b"x"), "x", None, 1])
async def test_only_bytes_are_stored(store: InMemoryBackend, value: Any) -> None:
    """Whatever is not bytes is refused by every method that stores."""
    await store.set("k", b"old")
    for attempt in (
        store.set("k", value),
        store.add("n", value),
        store.set_many({"k": b"ok", "n": value}),
        store.fill("k", value, None, "1"),
    ):
        with pytest.raises(TypeError, match="bytes"):
            await attempt

    assert await store.get("k") == b"old"
    assert not await store.exists("n")


@pytest.mark.parametrize(
    "key,error", [("", InvalidKeyError), ("\ud800", InvalidKeyError), (b"k", TypeError), (7, TypeError)]
)
async def test_wrong_keys_are_refused(store: InMemoryBackend, key: Any, error: type[Exception]) -> None:
    """Every method that takes a key refuses one that no store could hold."""
    for attempt in (
        store.get(key),
        store.set(key, b"v"),
        store.delete(key),
        store.exists(key),
        store.touch(key, 1),
        store.add(key, b"v"),
        store.incr(key),
        store.clear(key),
        store.get_many([key]),
        store.set_many({key: b"v"}),
        store.delete_many([key]),
        store.acquire_lease(key, 1),
    ):
        with pytest.raises(error):
            await attempt
    with pytest.raises(error):
        store.set_entry(entry(key))


@pytest.mark.parametrize("ttl", [0, -1, inf, float("nan"), True, "1"])
async def test_wrong_ttl_is_refused(store: InMemoryBackend, ttl: Any) -> None:
    """A time to live is a finite number greater than 0."""
    with pytest.raises(ValueError, match="ttl"):
        await store.set("k", b"v", ttl)


async def test_many(store: InMemoryBackend) -> None:
    """The bulk forms do what the single ones do."""
    assert await store.set_many({"a": b"1", "b": b"2", "big": bytes(2**27)}) == {"big"}
    assert await store.get_many(["a", "b", "c", "big"]) == {"a": b"1", "b": b"2"}
    assert await store.delete_many(["a", "c", "b"]) == {"a", "b"}
    assert size(store) == 0


async def test_add_stores_only_what_is_absent(store: InMemoryBackend, clock: Clock) -> None:
    """Present: not stored. Expired: absent."""
    assert await store.add("k", b"1", 5)
    assert not await store.add("k", b"2")
    clock.now += 5
    assert await store.add("k", b"3")
    assert await store.get("k") == b"3"


# -- expiry ------------------------------------------------------------------------------------------


async def test_nothing_at_its_expiry(store: InMemoryBackend, clock: Clock) -> None:
    """There until just before, gone exactly at the expiry, for every way to ask."""
    for key in "abcd":
        await store.set(key, b"1", 5)
        await store.get(key)
    store.set_entry(entry("e", fresh=1001.0, stale=1005.0))
    clock.now = 1004.999
    assert await store.get("a") == b"1"
    assert store.get_entry("e")
    assert await store.get("e")
    clock.now = 1005.0

    assert await store.get("a") is None
    assert not await store.exists("b")
    assert not await store.touch("c", 5)
    assert not await store.delete("d")
    assert store.get_entry("e") is None
    assert await store.get("e") is None
    assert size(store) == 0


async def test_touch_moves_the_expiry(store: InMemoryBackend, clock: Clock) -> None:
    """From now on, later or sooner, or never; also of entries."""
    await store.set("k", b"v", 5)
    store.set_entry(entry("e", fresh=1005.0))
    assert await store.touch("k", 100)
    assert await store.touch("e", 100)
    clock.now += 99
    assert await store.get("k") == b"v"
    assert (found := store.get_entry("e"))
    assert found.fresh_until == 1100.0
    assert await store.touch("k", None)
    clock.now += 1e6
    assert await store.get("k") == b"v"
    assert await store.touch("k", 1)
    clock.now += 1
    assert await store.get("k") is None
    assert not await store.touch("k", 1)


async def test_writing_sweeps_what_expired(store: InMemoryBackend, clock: Clock) -> None:
    """Without reading them and without a timer, the expired leave a few at each write."""
    for i in range(1000):
        store.set_entry(entry(f"k{i}", fresh=1010.0))
    clock.now += 20
    for _ in range(40):
        await store.set("other", b"v")

    assert size(store) == 1


async def test_bytes_renewed_in_place_live_as_long_as_the_last_one(
    store: InMemoryBackend, clock: Clock
) -> None:
    """Written again and again with a later end, or a sooner one: that end counts, and then it leaves."""
    for _ in range(5):
        await store.set("k", b"%d" % clock.now, 10)
        clock.now += 5
    assert store._sweeper.wheel.size == 1
    assert await store.get("k") == b"1020"
    await store.set("other", b"v")
    assert await store.get("k") == b"1020"
    await store.set("k", b"short", 2)
    assert await store.get("k") == b"short"
    clock.now += 2
    assert await store.get("k") is None
    await store.set("k", b"again", 10)
    clock.now += 100
    for _ in range(4):  # a bucket each
        await store.set("other", b"v")

    assert size(store) == 1
    assert store._table.timed == store._sweeper.wheel.size == 0


async def test_a_later_end_than_the_wheel_knew(store: InMemoryBackend, clock: Clock) -> None:
    """What the wheel still lists under its old end is listed anew, not lost, when that comes."""
    await store.set("k", b"v", 10)
    await store.set("k", b"v", 1000)
    clock.now += 20
    await store.set("other", b"v")
    assert await store.get("k") == b"v"
    clock.now += 1100
    for _ in range(2):
        await store.set("other", b"v")

    assert size(store) == 1


async def test_the_timer_sweeps_while_nobody_writes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a loop runs and time is up, everything expired goes, slice by slice."""
    monkeypatch.setattr("asynccache._engine.sweeping._SHORTEST_NAP", 0.0)
    monkeypatch.setattr("asynccache._engine.sweeping._LONGEST_NAP", 0.0)
    store = InMemoryBackend(clock=clock)
    for i in range(1000):
        await store.set(f"k{i}", b"v", 5)
    await asyncio.sleep(0)
    assert size(store) == 1000
    clock.now += 10
    for _ in range(100):
        await asyncio.sleep(0)

    assert size(store) == 0
    assert store._sweeper._timer is None
    assert store._sweeper.wheel.size == 0


async def test_an_earlier_expiry_moves_the_timer(store: InMemoryBackend) -> None:
    """The timer always waits for the first to expire."""
    await store.set("late", b"v", 50)
    late = store._sweeper._timer
    await store.set("soon", b"v", 5)
    assert late is not None
    assert store._sweeper._timer is not None
    assert late.cancelled()
    assert store._sweeper._timer.when() < late.when()


async def test_a_dropped_store_is_freed_before_its_entries_expire() -> None:
    """The timer does not keep a store alive."""
    store = InMemoryBackend()
    await store.set("k", b"v", 3600)
    alive = weakref.ref(store)
    del store
    gc.collect()

    assert alive() is None


def test_another_loop_later() -> None:
    """Written in one loop, used in the next; each sweeps with a timer of its own; none is kept running."""
    clock = Clock()
    store = InMemoryBackend(clock=clock)
    store.set_entry(entry("before", fresh=1500.0))

    async def write(key: str) -> None:
        await store.set(key, b"v", 60)
        assert store._sweeper._loop is asyncio.get_running_loop()
        async with store.lock("k"):
            await asyncio.sleep(0)

    asyncio.run(write("a"))
    clock.now += 1  # which loop it is in is looked at about once a second
    asyncio.run(write("b"))

    async def read() -> dict[str, bytes]:
        return await store.get_many(["a", "b"])

    assert asyncio.run(read()) == {"a": b"v", "b": b"v"}
    assert store.get_entry("before")
    asyncio.run(store.aclose())
    assert size(store) == 0


def test_a_timer_of_a_loop_that_was_left_does_nothing() -> None:
    """When another loop has taken over, the first one's timer steps back."""
    clock = Clock()
    store = InMemoryBackend(clock=clock)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(store.set("a", b"v", 5))
        clock.now += 1
        second.run_until_complete(store.set("b", b"v", 5))
        clock.now += 10
        store._sweeper.on_timer(first)
        assert size(store) == 2
        store._sweeper.on_timer(second)
        assert size(store) == 0
    finally:
        first.close()
        second.close()


# -- entries -----------------------------------------------------------------------------------------


async def test_an_entry_is_kept_as_it_is(store: InMemoryBackend) -> None:
    """get_entry answers with the very object; get with its packed form."""
    mine = entry("k", fresh=2000.0)
    assert store.set_entry(mine)

    assert store.get_entry("k") is mine
    assert store.get_entry("k") is mine
    assert await store.get("k") == pack(mine)
    assert store.get_entry("absent") is None


async def test_packed_bytes_become_an_entry(store: InMemoryBackend) -> None:
    """What another process would have written is unpacked once and kept, but never outlives the bytes."""
    mine = entry("k", fresh=1100.0, stale=1200.0)
    await store.set("k", pack(mine), 50)
    found = store.get_entry("k")

    assert found is not None
    assert found is store.get_entry("k")
    assert (found.payload, found.codec, found.expires) == (b"v", "raw", 1050.0)
    assert size(store) == 1


async def test_bytes_that_are_no_entry(store: InMemoryBackend, clock: Clock) -> None:
    """Opaque bytes, another key's entry and an expired entry are no entries, and stay what they are."""
    other, old = pack(entry("other")), pack(entry("old", fresh=999.0))
    await store.set_many({"k": b"opaque", "stolen": other, "old": old})

    assert [store.get_entry(key) for key in ("k", "stolen", "old")] == [None] * 3
    assert await store.get_many(["k", "stolen", "old"]) == {"k": b"opaque", "stolen": other, "old": old}
    await store.set("k", b"opaque", 1)
    clock.now += 1
    assert store.get_entry("k") is None


async def test_an_entry_too_large_as_an_object_is_answered_but_not_kept() -> None:
    """Tags weigh more unpacked: an entry on the edge is returned, and stays as bytes."""
    store = InMemoryBackend(max_bytes=16384)
    mine = entry("k", payload=bytes(900))
    mine.stamps = tuple((f"tag{i}", "x", "y") for i in range(5))
    await store.set("k", pack(mine))
    found = store.get_entry("k")

    assert found is not None
    assert found.payload == bytes(900)
    assert await store.get("k") == pack(mine)


def test_an_expired_entry_is_not_stored_and_replaces(store: InMemoryBackend) -> None:
    """What is useless on arrival leaves nothing under its key."""
    store.set_entry(entry("k"))
    assert store.set_entry(entry("k", fresh=1000.0))
    assert store.get_entry("k") is None
    assert size(store) == 0


def test_one_entry_in_two_stores(clock: Clock) -> None:
    """The second store takes a copy: what one drops, the other keeps."""
    first, second = InMemoryBackend(clock=clock), InMemoryBackend(clock=clock)
    mine = entry("k")
    first.set_entry(mine)
    second.set_entry(mine)
    asyncio.run(first.delete("k"))
    found = second.get_entry("k")

    assert found is not None
    assert found.payload == b"v"


def test_storing_an_entry_again(store: InMemoryBackend) -> None:
    """The object that is there already may be stored again."""
    mine = entry("k")
    store.set_entry(mine)
    store.set_entry(mine)
    found = store.get_entry("k")

    assert found is not None
    assert found.payload == b"v"


async def test_everything_dropped_is_killed(clock: Clock) -> None:
    """Deleted, replaced, expired, cleared, evicted, closed: references elsewhere die."""
    store = InMemoryBackend(max_entries=2, clock=clock)
    dropped: list[Entry] = []

    def put(fresh: float = inf) -> None:
        dropped.append(entry("k", fresh=fresh))
        store.set_entry(dropped[-1])

    put()
    await store.delete("k")
    put()
    await store.set("k", b"v")
    put(1005.0)
    clock.now += 10
    store.get_entry("k")
    put()
    await store.clear("k")
    put()
    await store.set_many({f"other{i}": b"" for i in range(5)})
    put()
    await store.aclose()

    assert [(e.expires, e.payload) for e in dropped] == [(-inf, b"")] * 6


# -- counters ----------------------------------------------------------------------------------------


async def test_counters(store: InMemoryBackend, clock: Clock) -> None:
    """Absent starts at initial; present keeps its expiry; signs do not matter; bytes are plain decimals."""
    assert await store.incr("n", 2, initial=10, ttl=5) == 12
    assert await store.incr("n", -20, ttl=500) == -8
    assert await store.get("n") == b"-8"
    found = store.get_entry("n")
    assert found is not None
    assert (found.codec, found.value, found.expires) == (COUNTER, -8, 1005.0)
    clock.now += 5
    assert await store.incr("n") == 1


async def test_decimal_bytes_are_a_counter(store: InMemoryBackend, clock: Clock) -> None:
    """A number written as bytes can be counted with, and keeps its expiry."""
    await store.set("n", b"41", 5)
    assert await store.incr("n") == 42
    clock.now += 5
    assert await store.get("n") is None


async def test_only_integers_are_counted(store: InMemoryBackend) -> None:
    """Other bytes, entries, a result beyond 64 bits: a BackendError, and nothing changes."""
    await store.set_many({"word": b"x", "float": b"1.5", "most": b"%d" % (2**63 - 1)})
    store.set_entry(entry("entry", payload=b"5"))
    before = await store.get_many(["word", "float", "most", "entry"])
    for key in before:
        with pytest.raises(BackendError, match=key):
            await store.incr(key)
    wrong: Any = 1.5
    with pytest.raises(TypeError, match="delta"):
        await store.incr("n", wrong)
    with pytest.raises(TypeError, match="initial"):
        await store.incr("n", initial=wrong)

    assert await store.get_many(list(before)) == before


# -- bounds ------------------------------------------------------------------------------------------


async def test_bounded_in_entries_and_bytes() -> None:
    """Neither bound is ever exceeded, and the last one written is there."""
    store = InMemoryBackend(max_bytes=20_000, max_entries=20)
    for i in range(300):
        assert await store.set(f"k{i}", bytes(i % 2000))
        assert await store.get(f"k{i}") == bytes(i % 2000)
        assert size(store) <= 20
        assert store._table.bytes <= 20_000


async def test_too_large_is_refused() -> None:
    """More than an eighth of the store: False, and the old value is gone."""
    store = InMemoryBackend(max_bytes=80_000)
    fits = 10_000 - OVERHEAD - 1
    assert await store.set("k", bytes(fits))
    assert not await store.set("k", bytes(fits + 1))
    assert await store.get("k") is None
    assert store.set_entry(entry("k"))
    assert not store.set_entry(entry("k", payload=bytes(fits + 1)))
    assert size(store) == 0


# -- clear and close ---------------------------------------------------------------------------------


async def test_clear_takes_the_prefix_and_nothing_else(store: InMemoryBackend) -> None:
    """Everything there at the call is gone, whatever runs meanwhile; other keys stay."""
    for i in range(5000):
        await store.set(f"a:{i}", b"v", 60)
        await store.set(f"ab:{i}", b"v", 60)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(others())
    await store.clear("a:")
    busy.cancel()

    assert size(store) == 5000
    assert turns > 1
    assert not await store.exists("a:17")
    assert await store.exists("ab:17")


async def test_references_to_what_was_cleared_do_not_pile_up(store: InMemoryBackend) -> None:
    """Long before they would have expired, removed entries leave the wheel."""
    for round_ in range(5):
        for i in range(3000):
            await store.set(f"a:{round_}:{i}", b"v", 3600)
        await store.clear("a:")

    assert store._sweeper.wheel.size < 5000


async def test_closing_drops_and_reopens(store: InMemoryBackend) -> None:
    """After aclose there is nothing; the store works again, twice closed and opened or not."""
    subscription = store.subscribe()
    await store.set("k", b"v", 60)
    token = await store.acquire_lease("k2", 60)
    assert token
    await store.aclose()
    await store.aclose()

    assert [message async for message in subscription] == []
    assert store._sweeper._timer is None
    await store.open()
    await store.open()
    assert await store.get("k") is None
    assert not await store.fill("k2", b"v", None, token)
    await store.set("k", b"w", 60)
    assert await store.get("k") == b"w"


# -- leases ------------------------------------------------------------------------------------------


async def test_one_lease_at_a_time(store: InMemoryBackend, clock: Clock) -> None:
    """A second is given when the first was filled, released or has expired; tokens differ."""
    first = await store.acquire_lease("k", 5)
    assert first
    assert await store.acquire_lease("k", 5) is None
    await store.release_lease("k", "not mine")
    assert await store.acquire_lease("k", 5) is None
    await store.release_lease("k", first)
    second = await store.acquire_lease("k", 5)
    assert second not in {None, first}
    clock.now += 5
    third = await store.acquire_lease("k", 5)
    assert third not in {None, second}


async def test_fill_stores_once(store: InMemoryBackend) -> None:
    """The holder's value is stored with its time to live; the token is spent."""
    token = await store.acquire_lease("k", 5)
    assert token
    assert await store.fill("k", b"v", 3, token)
    assert not await store.fill("k", b"w", 3, token)
    assert await store.get("k") == b"v"


async def test_fill_after_the_lease_expired(store: InMemoryBackend, clock: Clock) -> None:
    """At its expiry a lease is void."""
    token = await store.acquire_lease("k", 5)
    assert token
    clock.now += 5
    assert not await store.fill("k", b"v", None, token)
    assert not await store.exists("k")


@pytest.mark.parametrize(
    "how", ["set", "set_many", "delete", "delete_many", "clear", "add", "incr", "set_entry"]
)
async def test_writing_voids_the_lease(store: InMemoryBackend, how: str) -> None:
    """A computation that began before the key was written or removed cannot overwrite that."""
    token = await store.acquire_lease("k", 5)
    assert token
    match how:
        case "set":
            await store.set("k", b"1")
        case "set_many":
            await store.set_many({"k": b"1"})
        case "delete":
            await store.delete("k")
        case "delete_many":
            await store.delete_many(["k"])
        case "clear":
            await store.clear("k")
        case "add":
            await store.add("k", b"1")
        case "incr":
            await store.incr("k")
        case _:
            store.set_entry(entry("k"))
    before = await store.get("k")

    assert not await store.fill("k", b"outdated", None, token)
    assert not store.fill_entry(entry("k", payload=b"outdated"), token)
    assert await store.get("k") == before


async def test_an_entry_fills_a_lease_once(store: InMemoryBackend) -> None:
    """As bytes do: by the holder only, and then the lease is over. What the store drops is its own."""
    token = await store.acquire_lease("k", 5)
    assert token
    mine = entry("k")

    assert not store.fill_entry(entry("k"), "forged")
    assert store.get_entry("k") is None
    assert store.fill_entry(mine, token)
    assert await store.get("k") == pack(mine)
    assert not store.fill_entry(entry("k"), token)
    await store.delete("k")
    assert (mine.payload, mine.fresh_until) == (b"v", entry("k").fresh_until)
    assert await store.acquire_lease("k", 5) is not None


def test_abandoned_leases_do_not_pile_up() -> None:
    """Leases whose holders never came back are dropped now and then."""
    book = LeaseBook()
    for i in range(100_000):
        book.acquire(f"k{i}", i + 10.0, float(i))

    assert len(book.held) <= 1024


# -- the bus -----------------------------------------------------------------------------------------


async def test_every_subscriber_gets_every_message(store: InMemoryBackend) -> None:
    """From the call of subscribe on, in order."""
    await store.publish(b"before")
    first, second = store.subscribe(), store.subscribe()
    for number in range(3):
        await store.publish(b"%d" % number)

    assert [await anext(first) for _ in range(3)] == [b"0", b"1", b"2"]
    assert [await anext(second) for _ in range(3)] == [b"0", b"1", b"2"]

    async def coming() -> bytes:
        return await anext(first)

    waiting = asyncio.create_task(coming())
    await asyncio.sleep(0)
    await store.publish(b"3")
    assert await waiting == b"3"
    wrong: Any = "text"
    with pytest.raises(TypeError, match="message"):
        await store.publish(wrong)


async def test_falling_behind_is_an_error() -> None:
    """A subscriber never misses a message without being told; the others go on."""
    bus = Fanout(backlog=3)
    slow, quick = bus.subscribe(), bus.subscribe()
    for number in range(5):
        bus.publish(b"%d" % number)
        assert await anext(quick) == b"%d" % number

    for _ in range(2):
        with pytest.raises(BackendError, match="missed"):
            await anext(slow)
    assert len(bus._subscribers) == 1


async def test_leaving_the_bus() -> None:
    """A closed subscription ends; one that nobody holds is forgotten."""
    bus = Fanout()
    closed = bus.subscribe()
    bus.publish(b"unread")
    await closed.aclose()
    bus.publish(b"more")
    assert [message async for message in closed] == []
    bus.subscribe()
    gc.collect()

    assert len(bus._subscribers) == 0


def test_a_subscriber_whose_loop_was_closed() -> None:
    """Publishing goes on when a subscriber's loop ended while it waited."""
    bus = Fanout()
    subscription = bus.subscribe()
    loop = asyncio.new_event_loop()
    waiting: Any = loop.create_task(subscription.__anext__())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    bus.publish(b"1")

    assert len(bus._subscribers) == 0
    waiting._log_destroy_pending = False  # it was meant to be left behind


# -- locks -------------------------------------------------------------------------------------------


async def test_lock_serialises_a_key_and_is_forgotten(store: InMemoryBackend) -> None:
    """Read-modify-write cycles on one key do not interleave; other keys are free; nothing remains."""
    await store.set("n", b"0")

    async def add_one() -> None:
        async with store.lock("n"):
            value = await store.get("n")
            await asyncio.sleep(0)
            await store.set("n", b"%d" % (int(value or b"0") + 1))

    await asyncio.gather(*(add_one() for _ in range(20)))
    assert await store.get("n") == b"20"
    async with store.lock("a"), store.lock("b"):
        assert len(store._locks) == 2
    assert not store._locks


async def test_a_cancelled_waiter_leaves_no_lock(store: InMemoryBackend) -> None:
    """Giving up waiting harms neither the holder nor the registry."""

    async def hold() -> None:
        async with store.lock("k"):
            pass

    async with store.lock("k"):
        waiter = asyncio.create_task(hold())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert store._locks
    assert not store._locks


def test_the_charge_covers_key_payload_and_overhead() -> None:
    """Documented: about 370 bytes an entry beside key and value."""
    assert cost(entry("key", payload=bytes(100))) == OVERHEAD + 103
