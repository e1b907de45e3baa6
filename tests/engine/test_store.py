"""The store and the loader in every interleaving: nothing outdated is stored, or handed to who asks later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asynccache import (
    BackendError,
    BackendUnavailableError,
    Cache,
    CachePolicy,
    ConfigurationError,
    InMemoryBackend,
)
from asynccache.events import Failed, Refused
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import Counting, Gated, Loads, ThreeMethods, local, over, ticks

Invalidate = Callable[[Cache], Awaitable[object]]

INVALIDATIONS: dict[str, Invalidate] = {
    "delete": lambda cache: cache.delete("k"),
    "delete_many": lambda cache: cache.delete_many(["other", "k"]),
    "set": lambda cache: cache.set("k", "new"),
    "set_many": lambda cache: cache.set_many({"k": "new", "other": "x"}),
    "set with tags": lambda cache: cache.set("k", "new", tags=["t"]),
    "clear": lambda cache: cache.clear(),
    "tag": lambda cache: cache.invalidate_tags("t"),
    "two tags": lambda cache: cache.invalidate_tags("u", "t"),
    "soft tag": lambda cache: cache.invalidate_tags("t", soft=True),
}
WITH_LEASES: dict[str, tuple[str, bool, int]] = {
    "before the look-up": ("get_many", False, 0),
    "after the look-up": ("get_many", True, 0),
    "before the lease": ("acquire_lease", False, 0),
    "after the lease": ("acquire_lease", True, 0),
    "before the second look": ("get_many", False, 1),
    "after the second look": ("get_many", True, 1),
    "before a stamp is planted": ("add", False, 0),
    "after a stamp is planted": ("add", True, 0),
    "while loading": ("", False, 0),
    "before the fill": ("fill", False, 0),
    "after the fill": ("fill", True, 0),
}
BARE: dict[str, tuple[str, bool, int]] = {
    "before the look-up": ("get", False, 0),
    "after the look-up": ("get", True, 0),
    "before the second look": ("get", False, 4),
    "after the second look": ("get", True, 4),
    "before a stamp is planted": ("set", False, 0),
    "after a stamp is planted": ("set", True, 1),
    "while loading": ("", False, 0),
    "before the write": ("set", False, 3),
    "after the write": ("set", True, 3),
}


async def race(
    caches: tuple[Cache, Cache, Cache], gated: Gated, point: tuple[str, bool, int], how: Invalidate
) -> tuple[Any, Any, Cache]:
    """Stop a computation at ``point``, invalidate through the second cache, and ask the third."""
    computing, invalidating, asking = caches
    load = Loads("old")
    operation, after, skip = point
    gate = load.close() if not operation else None
    stop = gated.stop(operation, after=after, skip=skip) if operation else None
    first = asyncio.create_task(computing.get_or_set("k", load, tags=["t"]))
    await (load.reading if stop is None else stop.reached).wait()
    load.value = "new"
    invalidation = asyncio.ensure_future(how(invalidating))
    await ticks(60)  # a removal waits for a write that is under way
    acknowledged = invalidation.done()
    fresh = Loads("new")
    second = asyncio.create_task(asking.get_or_set("k", fresh, tags=["t"])) if acknowledged else None
    await ticks(60)
    if stop is not None:
        stop.go()
    if gate is not None:
        gate.set()
    await invalidation
    if second is None:
        second = asyncio.create_task(asking.get_or_set("k", fresh, tags=["t"]))
    return await first, await second, asking


@pytest.mark.parametrize("how", INVALIDATIONS)
@pytest.mark.parametrize("point", WITH_LEASES)
@pytest.mark.parametrize("where", ["here", "elsewhere", "elsewhere, and asked for here"])
async def test_invalidated_at_every_point(point: str, how: str, where: str) -> None:
    """Whoever asks after an invalidation, wherever the computation was then, gets a new value."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    computing = over(gated, clock)
    invalidating = computing if where == "here" else over(gated, clock)
    asking = computing if where.endswith("here") else invalidating
    async with asyncio.timeout(10):
        _, second, cache = await race(
            (computing, invalidating, asking), gated, WITH_LEASES[point], INVALIDATIONS[how]
        )
    assert second == "new"
    assert await cache.get("k") in {None, "new"}
    assert await computing.get("k") in {None, "new"}
    assert len(computing.entries.runs) == 0
    assert not computing.entries.runs.joinable


@pytest.mark.parametrize("how", INVALIDATIONS)
@pytest.mark.parametrize("point", BARE)
async def test_invalidated_at_every_point_without_leases(point: str, how: str) -> None:
    """The same in one process on a store of three methods."""
    clock = FakeClock()
    gated = Gated(ThreeMethods(clock))
    cache = over(gated, clock)
    async with asyncio.timeout(10):
        _, second, _ = await race((cache, cache, cache), gated, BARE[point], INVALIDATIONS[how])
    assert second == "new"
    assert await cache.get("k") in {None, "new"}
    assert len(cache.entries.runs) == 0


@pytest.mark.parametrize("how", INVALIDATIONS)
async def test_invalidated_while_loading_in_this_process(how: str) -> None:
    """The same on the store in this process, which works on objects."""
    cache = local(FakeClock())
    load = Loads("old")
    gate = load.close()
    first = asyncio.create_task(cache.get_or_set("k", load, tags=["t"]))
    await load.reading.wait()
    load.value = "new"
    await INVALIDATIONS[how](cache)
    load.gate = None
    second = await cache.get_or_set("k", Loads("new"), tags=["t"]) if "tag" not in how else "new"
    gate.set()
    assert await first == "old"
    assert second == "new"
    assert await cache.get("k") in {None, "new"}
    assert await cache.get_or_set("k", Loads("new"), tags=["t"]) == "new"


@pytest.mark.parametrize("how", ["delete", "delete_many", "clear"])
async def test_nobody_joins_who_saw_what_was_removed(how: str) -> None:
    """A run that began while a removal was under way, and saw the value, has no joiners after the removal."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    cache, other = over(gated, clock, batching=False), over(gated, clock)
    looked = gated.stop("get", after=True)
    first = asyncio.create_task(cache.get_or_set("k", Loads("unused")))
    await looked.reached.wait()
    await other.set("k", "old")
    removal = gated.stop({"delete": "delete", "delete_many": "delete_many", "clear": "clear"}[how])
    removing = asyncio.ensure_future(INVALIDATIONS[how](cache))
    await removal.reached.wait()
    releasing = gated.stop("release_lease")
    looked.go()
    await releasing.reached.wait()  # it has found the old value and is about to hand it out
    removal.go()
    await removing
    asking = asyncio.create_task(cache.get_or_set("k", Loads("new")))
    await ticks(40)
    releasing.go()
    assert await asking == "new"
    assert await first == "old"  # it asked before


@pytest.mark.parametrize("how", ["delete", "set", "clear"])
@pytest.mark.parametrize("stopped", ["get", "set"])
async def test_touch_revives_nothing_that_is_being_removed(how: str, stopped: str) -> None:
    """A touch that read the value before a removal never writes it back after it, without leases either."""
    clock = FakeClock()
    gated = Gated(ThreeMethods(clock))
    cache = over(gated, clock)
    await cache.set("k", "old")
    acting = gated.stop("set" if how == "set" else "delete")
    removing = asyncio.ensure_future(INVALIDATIONS[how](cache))
    await acting.reached.wait()
    stop = gated.stop(stopped, after=stopped == "get")
    touching = asyncio.create_task(cache.touch("k", 600))
    await stop.reached.wait()
    acting.go()
    await ticks(40)
    stop.go()
    await removing
    await touching
    assert await cache.get("k") == ("new" if how == "set" else None)


async def test_abandoned_run_does_not_unregister_its_successor() -> None:
    """When everyone left a computation, the one started next is still voided by an invalidation."""
    clock = FakeClock()
    gated = Gated(ThreeMethods(clock))
    cache = over(gated, clock)
    load = Loads("old")
    gate = load.close()
    first = asyncio.create_task(cache.get_or_set("k", load))
    await load.reading.wait()
    first.cancel()
    second = asyncio.create_task(cache.get_or_set("k", load))
    load.reading.clear()
    await asyncio.gather(first, return_exceptions=True)
    await load.reading.wait()
    await cache.delete("k")
    gate.set()
    assert await second == "old"
    assert await cache.get("k") is None
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


async def test_cancelled_before_the_first_step() -> None:
    """A caller who leaves at once leaves nothing behind."""
    cache = over(Gated(ThreeMethods(FakeClock())), FakeClock())
    for key in map(str, range(20)):
        caller = asyncio.create_task(cache.get_or_set(key, Loads()))
        for _ in range(int(key)):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    await ticks()
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


# -- leases ------------------------------------------------------------------------------------------------


async def test_lease_expiry() -> None:
    """When a holder takes longer than its lease another takes over, and the late result is not stored."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    events = RecordedEvents()
    slow, other = over(gated, clock, lease_ttl=10, observers=[events]), over(gated, clock, lease_ttl=10)
    late = Loads("late")
    gate = late.close()
    first = asyncio.create_task(slow.get_or_set("k", late))
    await late.reading.wait()
    second = asyncio.create_task(other.get_or_set("k", Loads("in time")))
    await asyncio.sleep(0.02)
    assert not second.done()
    clock.advance(10)
    assert await second == "in time"
    gate.set()
    assert await first == "late"
    assert await slow.get("k") == "in time"
    assert [event.reason for event in events.of(Refused)] == ["outdated"]


async def test_holder_that_died() -> None:
    """A lease whose holder never comes back delays the others for its life at most; then they do without."""
    clock = FakeClock()  # stands still: the store never ends the lease
    backend = InMemoryBackend(clock=clock)
    events = RecordedEvents()
    cache = over(Gated(backend), clock, lease_ttl=0.05, observers=[events])
    full = cache.entries.namespace.value_prefix + "k"
    await backend.acquire_lease(full, 3600)
    assert await cache.get_or_set("k", Loads("v")) == "v"
    assert await cache.get("k") is None
    assert [event.reason for event in events.of(Refused)] == ["outdated"]


async def test_one_run_in_two_processes() -> None:
    """50 callers in each of two processes: one run; it is stored once and everyone gets it."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    here, there = over(gated, clock), over(gated, clock)
    load = Loads(["v"])
    gate = load.close()
    callers = [asyncio.create_task(cache.get_or_set("k", load)) for cache in (here, there) for _ in range(50)]
    await load.reading.wait()
    await asyncio.sleep(0.02)
    gate.set()
    answers = await asyncio.gather(*callers)
    assert answers == [["v"]] * 100
    assert load.runs == 1
    assert len({id(answer) for answer in answers}) == 100


async def test_lease_is_given_back_after_a_failure() -> None:
    """A loader that raises gives its lease back at once."""
    clock = FakeClock()
    backend = InMemoryBackend(clock=clock)
    cache = over(Gated(backend), clock)
    load = Loads()
    load.error = LookupError("gone")
    with pytest.raises(LookupError):
        await cache.get_or_set("k", load)
    assert await backend.acquire_lease(cache.entries.namespace.value_prefix + "k", 10) is not None


@pytest.mark.parametrize("how", ["absent", "voided"])
async def test_touch_gives_its_lease_back(how: str) -> None:
    """A touch that stores nothing leaves no lease behind."""
    clock = FakeClock()
    backend = InMemoryBackend(clock=clock)
    gated = Gated(backend)
    cache = over(gated, clock)
    if how == "absent":
        assert await cache.touch("k") is False
    else:
        await cache.set("k", 1, tags=["t"])
        stop = gated.stop("get", after=True)
        touching = asyncio.create_task(cache.touch("k"))
        await stop.reached.wait()
        cache.entries.runs.void_key(cache.entries.namespace.value_prefix + "k")
        stop.go()
        assert await touching is False
    assert await backend.acquire_lease(cache.entries.namespace.value_prefix + "k", 10) is not None


# -- a store that fails ------------------------------------------------------------------------------------

UNSTORED = CachePolicy(store_if=lambda _: False)
"""For a computation that gives its lease back unused."""

STEPS = ["get", "get_many", "acquire_lease", "add", "fill", "release_lease"]


@pytest.mark.parametrize("step", STEPS)
async def test_the_store_fails_at_one_step(step: str) -> None:
    """Whatever operation of the store fails, get_or_set answers and tells."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    events = RecordedEvents()
    cache = over(gated, clock, observers=[events])
    gated.failures[step] = BackendUnavailableError("down")
    assert await cache.get_or_set("k", Loads("v"), tags=["t"]) == "v"
    assert await cache.get_or_set("l", Loads("w")) == "w"
    assert await cache.get_or_set("m", Loads("x"), policy=UNSTORED) == "x"
    failed = {event.operation for event in events.of(Failed)}
    assert failed <= set(STEPS)
    assert step in failed
    gated.failures.clear()
    assert len(cache.entries.runs) == 0
    assert cache.stats().failed == len(events.of(Failed))


@pytest.mark.parametrize("step", STEPS)
async def test_the_store_fails_and_may_be_heard(step: str) -> None:
    """With fail_open off the failure is raised, and leaves no run and no lease behind."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    cache = over(gated, clock, fail_open=False)
    gated.failures[step] = BackendUnavailableError("down")
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: cache.get_or_set("k", Loads("v"), tags=["t"]),
        lambda: cache.get_or_set("l", Loads("v")),
        lambda: cache.get_or_set("m", Loads("v"), policy=UNSTORED),
        lambda: cache.get_or_set_many(["a", "b"], bulk),
    ]
    raised = 0
    for call in calls:
        try:
            await call()
        except BackendError:
            raised += 1
    assert raised
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


async def bulk(missing: list[str]) -> dict[str, str]:
    return dict.fromkeys(missing, "v")


FAILING: list[tuple[str, Callable[[Cache], Awaitable[object]], object]] = [
    ("get", lambda cache: cache.get("k"), None),
    ("get", lambda cache: cache.exists("k"), False),
    ("get", lambda cache: cache.ttl("k"), None),
    ("get_many", lambda cache: cache.get_many(["k", "l"]), {}),
    ("set", lambda cache: cache.set("k", "v"), False),
    ("set_many", lambda cache: cache.set_many({"k": "v", "l": "v"}), False),
    ("add", lambda cache: cache.set("k", "v", tags=["t"]), False),
    ("add", lambda cache: cache.set_many({"k": "v"}, tags=["t"]), False),
    ("add", lambda cache: cache.add("n", "v"), True),
    ("delete", lambda cache: cache.delete("k"), False),
    ("delete_many", lambda cache: cache.delete_many(["k", "l"]), 0),
    ("delete", lambda cache: cache.invalidate_tags("t"), False),
    ("delete_many", lambda cache: cache.invalidate_tags("t", "u"), False),
    ("clear", lambda cache: cache.clear(), False),
    ("acquire_lease", lambda cache: cache.touch("k"), False),
    ("fill", lambda cache: cache.touch("k"), False),
]


@pytest.mark.parametrize("operation, call, answer", FAILING)
async def test_failing_calls(
    operation: str, call: Callable[[Cache], Awaitable[object]], answer: object
) -> None:
    """A call on a failing store answers harmlessly and tells once; with fail_open off it raises."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    events = RecordedEvents()
    cache = over(gated, clock, observers=[events])
    await cache.set("k", "old")
    gated.failures[operation] = BackendUnavailableError("down")
    assert await call(cache) == answer
    assert events.of(Failed)[0].operation == operation
    broken = Gated(InMemoryBackend(clock=clock))
    strict = over(broken, clock, fail_open=False)
    await strict.set("k", "old")
    broken.failures[operation] = BackendUnavailableError("down")
    with pytest.raises(BackendError):
        await call(strict)


async def test_incr_always_raises() -> None:
    """There is no harmless number: a failing increment raises even where fail_open is on, and is told."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    events = RecordedEvents()
    cache = over(gated, clock, observers=[events])
    gated.failures["incr"] = BackendUnavailableError("down")
    with pytest.raises(BackendUnavailableError):
        await cache.incr("k")
    assert [event.operation for event in events.of(Failed)] == ["incr"]


async def test_a_failed_write_leaves_nothing_older() -> None:
    """When a set fails the older value is gone for readers of this process."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    cache = over(gated, clock)
    await cache.set("k", "old")
    gated.failures["set"] = BackendUnavailableError("down")
    assert await cache.set("k", "new") is False
    assert await cache.get("k") is None


# -- refusals, damage, other keys --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "remote", "bare"])
@pytest.mark.parametrize("call", ["set", "set_many", "add", "get_or_set"])
async def test_too_large(kind: str, call: str) -> None:
    """A value over the limit is refused and removes what was there; a loader's caller still gets it."""
    clock = FakeClock()
    events = RecordedEvents()
    settings: dict[str, Any] = {"max_value_bytes": 100, "observers": [events]}
    stores: dict[str, Any] = {"remote": Gated(InMemoryBackend(clock=clock)), "bare": ThreeMethods(clock)}
    cache = local(clock, **settings) if kind == "local" else over(stores[kind], clock, **settings)
    if call == "add" and kind == "bare":
        pytest.skip("the store cannot add")
    big = "x" * 200
    await cache.set("k", "old", 1 if call in {"add", "get_or_set"} else 60)
    if call in {"add", "get_or_set"}:
        clock.advance(1)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "set": lambda: cache.set("k", big),
        "set_many": lambda: cache.set_many({"k": big, "small": "v"}),
        "add": lambda: cache.add("k", big),
        "get_or_set": lambda: cache.get_or_set("k", Loads(big)),
    }
    assert await calls[call]() == (big if call == "get_or_set" else False)
    assert await cache.get("k") is None
    assert [(event.reason, event.size > 200) for event in events.of(Refused)] == [("too_large", True)]
    assert await cache.get("small") == ("v" if call == "set_many" else None)


class Refusing(ThreeMethods):
    """Says no to long values, as stores with a limit of their own do."""

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> Any:
        if len(value) > 1000:
            self.values.pop(key, None)
            return False
        return await super().set(key, value, ttl)


@pytest.mark.parametrize("call", ["set", "set_many", "get_or_set"])
async def test_refused_by_the_store(call: str) -> None:
    """What the store refuses is told as such, and nothing is there afterwards."""
    clock = FakeClock()
    events = RecordedEvents()
    cache = over(Refusing(clock), clock, observers=[events])
    await cache.set("k", "old")
    big = "x" * 2000
    if call == "set":
        assert await cache.set("k", big) is False
    elif call == "set_many":
        assert await cache.set_many({"k": big}) is False
    else:
        await cache.delete("k")
        assert await cache.get_or_set("k", Loads(big)) == big
    assert [event.reason for event in events.of(Refused)] == ["store"]
    assert await cache.get("k") is None


async def test_refused_by_the_local_store() -> None:
    """The same for the store in this process."""
    events = RecordedEvents()
    from asynccache import CacheConfig

    cache = Cache(CacheConfig(backend=InMemoryBackend(max_bytes=8192), observers=[events]))
    await cache.set("k", "old")
    assert await cache.set("k", "x" * 4000) is False
    assert [event.reason for event in events.of(Refused)] == ["store"]
    assert await cache.get("k") is None


async def test_entries_of_other_keys() -> None:
    """An intact entry under another key is a miss there and is removed; the right one is untouched."""
    clock = FakeClock()
    store = ThreeMethods(clock)
    cache = over(store, clock)
    await cache.set("a", "secret of a")
    prefix = cache.entries.namespace.value_prefix
    store.values[prefix + "b"] = store.values[prefix + "a"]
    assert await cache.get("b") is None
    assert prefix + "b" not in store.values
    assert await cache.get("a") == "secret of a"


@pytest.mark.parametrize("junk", [b"", b"junk", b"\xac\x01", b"-", b"1.5", b"\x80\x04N."])
async def test_damaged_entries_are_removed(junk: bytes) -> None:
    """What is no entry is a miss in every way of reading and does not stay."""
    clock = FakeClock()
    store = ThreeMethods(clock)
    cache = over(store, clock)
    full = cache.entries.namespace.value_prefix + "k"
    for ask in (cache.get, cache.exists, cache.ttl, cache.touch):
        store.values[full] = (junk, clock() + 60)
        assert not await ask("k")
        assert full not in store.values
    store.values[full] = (junk, clock() + 60)
    assert await cache.get_many(["k", "l"]) == {}
    store.values[full] = (junk, clock() + 60)
    assert await cache.get_or_set("k", Loads("v")) == "v"
    assert await cache.get("k") == "v"


# -- what a store of three methods cannot do ---------------------------------------------------------------


async def test_absent_operations_are_refused_clearly() -> None:
    """Adding and counting on a store of three methods name the store and say what it lacks."""
    cache = over(ThreeMethods(FakeClock()), FakeClock())
    with pytest.raises(ConfigurationError, match=r"ThreeMethods.*add|Guard.*add"):
        await cache.add("k", 1)
    with pytest.raises(ConfigurationError, match=r"incr"):
        await cache.incr("k")
    assert cache.capabilities.add is False
    assert cache.capabilities.increment is False


async def test_counting_is_refused_where_clearing_would_miss_it() -> None:
    """A store that counts but cannot clear by prefix does not count here: a clear would leave its numbers."""
    clock = FakeClock()
    cache = over(Counting(clock), clock)
    assert cache.capabilities.increment is False
    with pytest.raises(ConfigurationError, match="incr"):
        await cache.incr("visits")
    await cache.set("visits", 5)
    assert await cache.clear() is True
    assert await cache.get("visits") is None


async def test_generations_clear_what_is_inside_only() -> None:
    """Without clear by prefix, clearing reaches this namespace and its children, not parents or siblings."""
    clock = FakeClock()
    root = over(ThreeMethods(clock), clock)
    a, b = root.namespace("a"), root.namespace("b")
    inner = a.namespace("inner")
    caches = [root, a, b, inner]
    for cache in caches:
        await cache.set("k", "v")
    assert await a.clear() is True
    assert [await cache.get("k") for cache in caches] == ["v", None, "v", None]
    for cache in caches:
        await cache.set("k", "w")
    await root.clear()
    assert [await cache.get("k") for cache in caches] == [None] * 4


# -- many at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", INVALIDATIONS)
@pytest.mark.parametrize("kind", ["leases", "bare"])
async def test_bulk_loads_are_never_outdated(how: str, kind: str) -> None:
    """What was invalidated while many were loaded is not stored, nor handed to later callers."""
    clock = FakeClock()
    store = ThreeMethods(clock) if kind == "bare" else InMemoryBackend(clock=clock)
    cache = over(Gated(store), clock)
    load = Loads({"k": "old", "l": "old"})
    gate = load.close()

    async def old(missing: list[str]) -> Any:
        return await load()

    async def new(missing: list[str]) -> dict[str, str]:
        return dict.fromkeys(missing, "new")

    first = asyncio.create_task(cache.get_or_set_many(["k", "l"], old, tags=["t"]))
    await load.reading.wait()
    await INVALIDATIONS[how](cache)
    answer = await cache.get_or_set_many(["k", "l"], new, tags=["t"])
    assert answer["k"] == "new"
    gate.set()
    assert await first == {"k": "old", "l": "old"}
    assert await cache.get("k") in {None, "new"}
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


async def test_stale_if_error_only_before_invalidation() -> None:
    """A fallback that a failed refresh may serve is not served once it was deleted."""
    clock = FakeClock()
    cache = over(Gated(InMemoryBackend(clock=clock)), clock)
    policy = CachePolicy(ttl=10, stale_if_error=100)
    load = Loads("v")
    await cache.get_or_set("k", load, policy=policy)
    clock.advance(20)
    load.error = LookupError("down")
    assert await cache.get_or_set("k", load, policy=policy) == "v"
    await cache.delete("k")
    with pytest.raises(LookupError):
        await cache.get_or_set("k", load, policy=policy)


@pytest.mark.parametrize("how", ["delete", "tag", "clear"])
async def test_joining_what_another_process_invalidated(how: str) -> None:
    """Who asks after another process invalidated does not get what was being computed before that."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    here, there = over(gated, clock), over(gated, clock)
    load = Loads("old")
    gate = load.close()
    first = asyncio.create_task(here.get_or_set("k", load, tags=["t"]))
    await load.reading.wait()
    load.value = "new"
    await INVALIDATIONS[how](there)
    second = asyncio.create_task(here.get_or_set("k", load, tags=["t"]))
    await ticks(40)
    gate.set()
    assert await first == "old"
    assert await second == "new"


async def test_two_readers_of_an_expired_key_in_two_processes() -> None:
    """While another process refreshes, the stale value is served here, and its new one once it is there."""
    clock = FakeClock()
    gated = Gated(InMemoryBackend(clock=clock))
    here, there = over(gated, clock), over(gated, clock)
    policy = CachePolicy(ttl=10, stale_while_revalidate=60)
    await here.get_or_set("k", Loads("old"), policy=policy)
    clock.advance(10)
    load = Loads("new")
    gate = load.close()
    assert await here.get_or_set("k", load, policy=policy) == "old"
    await load.reading.wait()
    idle = Loads("unused")
    assert await there.get_or_set("k", idle, policy=policy) == "old"
    gate.set()
    async with asyncio.timeout(5):
        while await there.get_or_set("k", idle, policy=policy) != "new":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert idle.runs == 0
    await here.aclose()
    await there.aclose()
