"""`Cache`: what the conformance suite does not say: statistics, life, isolation, weak and failing stores."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from asynccache import (
    BackendError,
    BackendHealth,
    Cache,
    CacheConfig,
    CachePolicy,
    CodecError,
    ConfigurationError,
    GuardConfig,
    InMemoryBackend,
)
from asynccache.codecs import generate_key
from asynccache.errors import CacheError
from asynccache.testing import ChaosBackend, FakeClock
from tests.cache_doubles import Gated, Loads, ThreeMethods, local, over, ticks

KINDS = ["local", "remote", "bare"]


class Point(msgspec.Struct, frozen=True):
    x: int


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest, clock: FakeClock) -> Cache:
    if request.param == "local":
        return local(clock)
    store: Any = ThreeMethods(clock) if request.param == "bare" else InMemoryBackend(clock=clock)
    return over(Gated(store), clock)


# -- about itself ------------------------------------------------------------------------------------------


async def test_stats(cache: Cache) -> None:
    """Totals of everything that happened, namespaces included; the hit ratio is a share of look-ups."""
    assert cache.stats().hit_ratio == 0.0
    await cache.set("k", "v")
    child = cache.namespace("child")
    for key in ("k", "absent", "k", "k"):
        await cache.get(key)
    await child.get("k")
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.stored) == (3, 2, 1)
    assert stats.hit_ratio == 0.6
    assert child.stats() == stats


async def test_repr(cache: Cache) -> None:
    """It names the namespace, the store and the totals."""
    await cache.get("k")
    assert re.fullmatch(r"<Cache 'asynccache:' on \w+, 0 hits, 1 misses, 0 in flight>", repr(cache))
    assert "'asynccache:'" in repr(cache.entries)


def test_capabilities(clock: FakeClock) -> None:
    """They are the store's, less what encryption forbids."""
    mine = local(clock).capabilities
    assert (mine.many, mine.add, mine.increment, mine.clear, mine.leases, mine.bus, mine.local) == (True,) * 7
    bare = over(ThreeMethods(clock), clock).capabilities
    assert (bare.many, bare.add, bare.increment, bare.clear, bare.leases, bare.bus, bare.local) == (
        False,
    ) * 7
    sealed = local(clock, encryption_keys=[generate_key()]).capabilities
    assert (sealed.increment, sealed.local, sealed.add) == (False, False, True)


async def test_health(clock: FakeClock) -> None:
    """The store's own answer where it gives one, else that of a read; a failing store is unhealthy."""
    assert (await local(clock).health()).backend_type == "memory"
    bare = await over(ThreeMethods(clock), clock).health()
    assert bare.healthy
    assert bare.latency_ms >= 0
    chaos = ChaosBackend(ThreeMethods(clock))
    chaos.fail()
    dead = await over(chaos, clock, fail_open=False).health()
    assert isinstance(dead, BackendHealth)
    assert not dead.healthy
    assert "unreachable" in dead.details["error"]


# -- life --------------------------------------------------------------------------------------------------


async def test_lifecycle(cache: Cache) -> None:
    """Opening is optional; closing twice is fine; a closed cache can be used again."""
    async with cache as entered:
        assert entered is cache
        await cache.set("k", "v")
    await cache.aclose()
    await cache.open()
    await cache.open()
    assert await cache.set("k", "w")
    assert await cache.get("k") == "w"
    await cache.aclose()


async def test_closing_ends_computations(cache: Cache) -> None:
    """Who waits for a value when the cache is closed gets an error, not a hang, and nothing is left."""
    load = Loads()
    load.close()
    waiting = asyncio.create_task(cache.get_or_set("k", load))
    await load.reading.wait()
    await cache.aclose()
    with pytest.raises(CacheError, match="closed"):
        await waiting
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


@pytest.mark.parametrize("fail_open", [True, False])
async def test_opening_a_dead_store(fail_open: bool, clock: FakeClock) -> None:
    """A store that is down at the start is no reason not to start, unless that is asked for."""
    chaos = ChaosBackend(InMemoryBackend(clock=clock))
    chaos.fail()
    cache = over(chaos, clock, fail_open=fail_open)
    if fail_open:
        async with cache:
            assert await cache.get("k") is None
    else:
        with pytest.raises(BackendError):
            await cache.open()


async def test_one_cache_in_two_loops(clock: FakeClock) -> None:
    """A cache may be used from one loop after another."""
    cache = local(clock)

    async def use() -> int:
        return int(await cache.get_or_set("k", Loads(5)))

    for _ in range(2):
        assert await asyncio.to_thread(lambda: asyncio.run(use())) == 5


# -- namespaces --------------------------------------------------------------------------------------------


async def test_namespaces_share_computations(cache: Cache) -> None:
    """Two objects for one namespace, as requests make them, run a loader once, together."""
    load = Loads()
    gate = load.close()
    callers = [asyncio.create_task(cache.namespace("n").get_or_set("k", load)) for _ in range(20)]
    await load.reading.wait()
    await ticks(50)
    gate.set()
    assert await asyncio.gather(*callers) == ["v"] * 20
    assert load.runs == 1


async def test_clearing_a_parent_reaches_computations_in_children(cache: Cache) -> None:
    """What a namespace computes is not stored after its parent was cleared; a sibling's is."""
    loads = {name: Loads(name) for name in ("a", "b")}
    gates = [load.close() for load in loads.values()]
    tasks = [asyncio.create_task(cache.namespace(name).get_or_set("k", load)) for name, load in loads.items()]
    for load in loads.values():
        await load.reading.wait()
    await cache.namespace("a").clear()
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert await cache.namespace("a").get("k") is None
    assert await cache.namespace("b").get("k") == "b"


async def test_subclasses_keep_their_class() -> None:
    """A namespace of a subclass is of that subclass."""

    class Mine(Cache):
        pass

    assert type(Mine().namespace("a").namespace("b")) is Mine


# -- types and isolation -----------------------------------------------------------------------------------


async def test_readers_of_one_entry(cache: Cache) -> None:
    """Each reader gets the type it asks for, in any order, the first that asked included."""
    some = UUID(int=7)
    await cache.set("k", some)
    for _ in range(2):
        assert await cache.get("k") == str(some)
        assert await cache.get("k", type=UUID) == some
        assert await cache.get("k", type=str) == str(some)
        assert isinstance(await cache.get("k", type=UUID), UUID)
        assert await cache.get("k", type=int) is None


async def test_frozen_structs_are_decoded_once(clock: FakeClock) -> None:
    """In this process an immutable value is one object for all who ask for its type."""
    cache = local(clock)
    await cache.set("k", Point(1))
    first = await cache.get("k", type=Point)
    assert first == Point(1)
    assert await cache.get("k", type=Point) is first
    assert await cache.get_or_set("k", Loads(), type=Point) is first
    assert await cache.get("k") == {"x": 1}


async def test_concurrent_callers_get_their_own(cache: Cache) -> None:
    """Callers who waited for one mutable value each get their own, stored or not."""
    for policy in (CachePolicy(), CachePolicy(store_if=lambda value: False)):
        load = Loads({"list": [1]})
        gate = load.close()
        callers = [asyncio.create_task(cache.get_or_set("k", load, policy=policy)) for _ in range(10)]
        await load.reading.wait()
        await ticks(50)
        gate.set()
        answers = await asyncio.gather(*callers)
        assert len({id(answer["list"]) for answer in answers}) == 10
        for answer in answers:
            assert answer == {"list": [1]}
            answer["list"].append(2)
        await cache.delete("k")


async def test_concurrent_callers_of_what_does_not_decode(cache: Cache) -> None:
    """What a loader returns although it is no ``type`` reaches every caller as it is, never a sentinel."""
    load = Loads({"not": "an int"})
    gate = load.close()
    callers = [asyncio.create_task(cache.get_or_set("k", load, type=int)) for _ in range(5)]
    await load.reading.wait()
    await ticks(50)
    gate.set()
    assert await asyncio.gather(*callers) == [{"not": "an int"}] * 5


async def test_callers_who_want_different_types(clock: FakeClock) -> None:
    """Who waits for another process's value, and wants it as something it is not, computes it."""
    backend = Gated(InMemoryBackend(clock=clock))
    here, there = over(backend, clock), over(backend, clock)
    theirs = Loads("text")
    gate = theirs.close()
    computing = asyncio.create_task(there.get_or_set("k", theirs))
    await theirs.reading.wait()
    first = asyncio.create_task(here.get_or_set("k", Loads("unused"), type=str))
    await ticks(50)
    second = asyncio.create_task(here.get_or_set("k", Loads(5), type=int))
    await ticks(50)
    gate.set()
    assert await computing == "text"
    assert await first == "text"
    assert await second == 5


async def test_values_the_codec_cannot_write(cache: Cache) -> None:
    """It is a CodecError, and what was there stays."""
    await cache.set("k", "old")
    for call in (cache.set("k", object()), cache.set_many({"k": object()})):
        with pytest.raises(CodecError):
            await call
    assert await cache.get("k") == "old"


async def test_default_and_none(cache: Cache) -> None:
    """A stored None is a value: only a miss gives the default, the very object."""
    missing = object()
    assert await cache.get("k", missing) is missing
    await cache.set("k", None)
    assert await cache.get("k", missing) is None
    assert await cache.get("k", missing, type=int | None) is None
    assert await cache.exists("k") is True
    assert await cache.get_or_set("k", Loads()) is None


# -- times -------------------------------------------------------------------------------------------------


async def test_ttl_and_touch(cache: Cache, clock: FakeClock) -> None:
    """The method ttl tells what is left; touch starts anew, with the given or the default ttl."""
    await cache.set("k", "v", timedelta(seconds=10))
    clock.advance(4)
    assert await cache.ttl("k") == pytest.approx(6)
    assert await cache.touch("k", 20) is True
    assert await cache.ttl("k") == pytest.approx(20)
    assert await cache.touch("k") is True
    assert await cache.ttl("k") == pytest.approx(300)
    assert await cache.touch("k", None) is True
    assert await cache.ttl("k") is None
    clock.advance(10**6)
    assert await cache.get("k") == "v"
    assert await cache.touch("absent") is False


async def test_touch_of_counters(clock: FakeClock) -> None:
    """A counter is touched in the store, where that can be done, and still counts."""
    for cache in (local(clock), over(Gated(InMemoryBackend(clock=clock)), clock)):
        await cache.incr("n", 5, ttl=10)
        assert await cache.touch("n", 100) is True
        clock.advance(50)
        assert await cache.incr("n") == 6
        assert await cache.touch("n", None) is True
        clock.advance(10**6)
        assert await cache.get("n") == 6


async def test_stepping_clocks(cache: Cache, clock: FakeClock) -> None:
    """A clock set back by more than machines differ makes entries from the future unusable."""
    await cache.set("k", "v", 1000)
    clock.set(clock() - 3600)
    assert await cache.get("k") is None
    assert await cache.get_many(["k"]) == {}
    assert await cache.exists("k") is False
    assert await cache.get_or_set("k", Loads("new")) == "new"


async def test_integers_with_stale_windows_expire_on_time(cache: Cache, clock: FakeClock) -> None:
    """A computed number is fresh for its ttl only, however long its stale windows are."""
    policy = CachePolicy(ttl=10, stale_while_revalidate=60)
    load = Loads(1)
    await cache.get_or_set("n", load, policy=policy)
    clock.advance(10)
    assert await cache.get("n") is None
    load.value = 2
    assert await cache.get_or_set("n", load, policy=policy) == 1
    await ticks(50)
    assert await cache.get_or_set("n", load, policy=policy) == 2


# -- many --------------------------------------------------------------------------------------------------


async def test_get_or_set_many(cache: Cache) -> None:
    """Only what is missing is loaded, in one call; the answer is in order; extras are left out."""
    seen: list[list[str]] = []

    async def load(missing: list[str]) -> dict[str, Any]:
        seen.append(missing)
        return {"extra": 0} | {key: key.upper() for key in missing if key != "none"}

    await cache.set("b", "stored")
    assert await cache.get_or_set_many(["c", "b", "a", "none", "a"], load, 60, tags=["t"]) == {
        "c": "C",
        "b": "stored",
        "a": "A",
    }
    assert seen == [["c", "a", "none"]]
    assert list(await cache.get_or_set_many(["a", "b", "c"], load)) == ["a", "b", "c"]
    assert await cache.get("extra") is None
    await cache.invalidate_tags("t")
    assert await cache.get_many(["a", "b", "c"]) == {"b": "stored"}
    assert await cache.get_or_set_many([], load) == {}
    assert len(seen) == 1


async def test_get_or_set_many_coalesces(cache: Cache) -> None:
    """Callers who miss the same keys at once share one call, but no mutable value; errors reach all."""
    load = Loads({"a": ["v"]})
    gate = load.close()

    async def bulk(missing: list[str]) -> Any:
        return await load()

    callers = [asyncio.create_task(cache.get_or_set_many(["a"], bulk)) for _ in range(5)]
    await load.reading.wait()
    await ticks(50)
    gate.set()
    answers = await asyncio.gather(*callers)
    assert answers == [{"a": ["v"]}] * 5
    assert len({id(answer["a"]) for answer in answers}) == 5
    assert load.runs == 1
    load.error = LookupError()
    with pytest.raises(LookupError):
        await cache.get_or_set_many(["b"], bulk)
    assert len(cache.entries.runs) == 0
    assert not cache.entries.runs.joinable


async def test_empty_bulk_calls(cache: Cache) -> None:
    """Nothing asked, nothing done."""
    assert await cache.get_many([]) == {}
    assert await cache.set_many({}) is True
    assert await cache.delete_many([]) == 0


# -- encryption and compression ----------------------------------------------------------------------------


async def test_encryption(clock: FakeClock) -> None:
    """The store sees neither values nor tags' stamps to forge, counting is refused, a lost key is a miss."""
    store = ThreeMethods(clock)
    old, new = generate_key(), generate_key()
    cache = over(store, clock, encryption_keys=[old])
    await cache.set("k", "the plain text", tags=["t"])
    await cache.set("n", 5)
    assert b"plain" not in b"".join(value for value, _ in store.values.values())
    assert await cache.get_many(["k", "n"]) == {"k": "the plain text", "n": 5}
    with pytest.raises(ConfigurationError, match=r"encryption_keys|incr"):
        await local(clock, encryption_keys=[old]).incr("n")
    rotated = over(store, clock, encryption_keys=[new, old])
    assert await rotated.get("k") == "the plain text"
    assert await over(store, clock, encryption_keys=[new]).get("n") is None


async def test_tags_after_a_change_of_keys(clock: FakeClock) -> None:
    """Stamps that cannot be read any more are replaced: tagged values can be cached again."""
    for store in (ThreeMethods(clock), Gated(InMemoryBackend(clock=clock))):
        await over(store, clock).set("k", "v", tags=["t"])
        sealed = over(store, clock, encryption_keys=[generate_key()])
        assert await sealed.get("k") is None
        assert await sealed.set("k", "w", tags=["t"]) is True
        assert await sealed.get("k") == "w"


async def test_compression(clock: FakeClock) -> None:
    """Large values take less room and come back; a cache without compression reads them too."""
    store = ThreeMethods(clock)
    cache = over(store, clock, compression=True)
    await cache.set("k", "x" * 100_000)
    assert sum(len(value) for value, _ in store.values.values()) < 2000
    assert await over(store, clock).get("k") == "x" * 100_000


# -- a store that misbehaves -------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[[Cache], Awaitable[object]], object]] = {
    "get": (lambda cache: cache.get("k"), None),
    "get_many": (lambda cache: cache.get_many(["k", "l"]), {}),
    "exists": (lambda cache: cache.exists("k"), False),
    "ttl": (lambda cache: cache.ttl("k"), None),
    "set": (lambda cache: cache.set("k", 1), False),
    "set tagged": (lambda cache: cache.set("k", 1, tags=["t"]), False),
    "set_many": (lambda cache: cache.set_many({"k": 1, "l": 2}), False),
    "add": (lambda cache: cache.add("k", 1), False),
    "touch": (lambda cache: cache.touch("k"), False),
    "delete": (lambda cache: cache.delete("k"), False),
    "delete_many": (lambda cache: cache.delete_many(["k", "l"]), 0),
    "invalidate_tags": (lambda cache: cache.invalidate_tags("t"), False),
    "clear": (lambda cache: cache.clear(), False),
    "get_or_set": (lambda cache: cache.get_or_set("k", Loads("v")), "v"),
    "get_or_set tagged": (lambda cache: cache.get_or_set("k", Loads("v"), tags=["t"]), "v"),
    "get_or_set_many": (lambda cache: cache.get_or_set_many(["k"], bulk), {"k": "v"}),
}


async def bulk(missing: list[str]) -> dict[str, str]:
    return dict.fromkeys(missing, "v")


@pytest.mark.parametrize("how", ["dead", "hanging"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_dead_or_hanging_store(name: str, how: str, clock: FakeClock) -> None:
    """Every call answers harmlessly and in time; with fail_open off it raises a BackendError instead."""
    call, answer = CALLS[name]
    for fail_open in (True, False):
        chaos = ChaosBackend(InMemoryBackend(clock=clock))
        guard = GuardConfig(timeout=0.02, breaker_failures=2)
        cache = Cache(CacheConfig(backend=chaos, clock=clock, guard=guard, fail_open=fail_open))
        if how == "dead":
            chaos.fail()
        else:
            chaos.hang()
        async with asyncio.timeout(5):
            if fail_open:
                assert await call(cache) == answer
                assert cache.stats().failed > 0
            else:
                with pytest.raises(BackendError):
                    await call(cache)
        assert len(cache.entries.runs) == 0
        chaos.heal()
        await cache.aclose()


@pytest.mark.parametrize("seed", range(5))
async def test_a_lying_store(seed: int, clock: FakeClock) -> None:
    """Corrupt replies are misses, never another key's value or an exception."""
    chaos = ChaosBackend(InMemoryBackend(clock=clock), corrupt_rate=0.5, seed=seed)
    cache = over(chaos, clock)
    for number in range(200):
        key = f"k{number % 7}"
        got = await cache.get(key)
        assert got is None or got[0] == key
        assert (await cache.get_or_set(key, Loads([key, number]), tags=["t"]))[0] == key
        if number % 10 == 0:
            await cache.invalidate_tags("t")
            assert await cache.get(key) is None
    assert chaos.count.corruptions


async def test_unreliable_store(clock: FakeClock) -> None:
    """With errors at random nothing outdated is served: what was acknowledged as deleted stays deleted."""
    chaos = ChaosBackend(InMemoryBackend(clock=clock), error_rate=0.3, seed=1)
    cache = over(chaos, clock, guard=GuardConfig(timeout=30, breaker_failures=10**6, breaker_seconds=0.001))
    for number in range(300):
        await cache.set("k", number)
        got = await cache.get("k")
        assert got is None or got == number
        await cache.delete("k")
        assert await cache.get("k") is None
    await cache.aclose()


async def test_what_get_or_set_remembers_expires() -> None:
    """A value that was hit twice, and is kept decoded, is computed anew at its expiry all the same."""
    clock = FakeClock()
    cache = Cache(CacheConfig(backend=InMemoryBackend(clock=clock), clock=clock))
    runs: list[str] = []

    async def load() -> str:
        runs.append("run")
        return f"value {len(runs)}"

    for _ in range(3):
        assert await cache.get_or_set("k", load, 60) == "value 1"
        assert await cache.get("k") == "value 1"
    clock.advance(60)
    assert await cache.get_or_set("k", load, 60) == "value 2"
