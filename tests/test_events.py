"""Events: frozen records, each told once, where it should be; observers disturb nobody."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

from asynccache import BackendUnavailableError, Cache, CachePolicy, InMemoryBackend
from asynccache.events import Computed, Event, Failed, Hit, Invalidated, Miss, Refused, Stored
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import Gated, Loads, ThreeMethods, local, over, ticks

KINDS = ["local", "remote", "bare"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def events() -> RecordedEvents:
    return RecordedEvents()


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest, clock: FakeClock, events: RecordedEvents) -> Cache:
    if request.param == "local":
        return local(clock, observers=[events])
    store: Any = ThreeMethods(clock) if request.param == "bare" else InMemoryBackend(clock=clock)
    return over(Gated(store), clock, observers=[events])


def full(key: str) -> str:
    return f"asynccache::{key}"


@pytest.mark.parametrize("kind", get_args(Event))
def test_frozen(kind: Any) -> None:
    """An event cannot be changed by an observer."""
    arguments = {
        field.name: "x" for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING
    }
    event = kind(**arguments)
    with pytest.raises(AttributeError):
        event.key = "y"
    assert event == kind(**arguments)


async def test_hits_and_misses(cache: Cache, clock: FakeClock, events: RecordedEvents) -> None:
    """Each look-up is one Hit with the value's age or one Miss, in every way of reading."""
    assert await cache.get("k") is None
    assert list(events) == [Miss(full("k"), "absent")]
    await cache.set("k", "v", 60)
    clock.advance(3)
    events.clear()
    await cache.get("k")
    await cache.get_many(["k", "absent"])
    await cache.get_or_set("k", Loads())
    hit = Hit(full("k"), 3.0)
    assert list(events) == [hit, hit, Miss(full("absent"), "absent"), hit]
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (3, 2)


async def test_a_plain_numbers_age_is_a_number(
    cache: Cache, clock: FakeClock, events: RecordedEvents
) -> None:
    """A counter's age is not known to every store; it is never negative or infinite."""
    await cache.set("n", 5)
    clock.advance(3)
    await cache.get("n")
    assert 0 <= events.hits[0].age <= 3


async def test_why_it_is_a_miss(cache: Cache, clock: FakeClock, events: RecordedEvents) -> None:
    """An expired value, whose window is only for errors, is told from an absent one."""
    policy = CachePolicy(ttl=10, stale_if_error=100)
    await cache.get_or_set("k", Loads(), policy=policy)
    clock.advance(20)
    await cache.get_or_set("k", Loads(), policy=policy)
    assert [event.reason for event in events.misses] == ["absent", "expired"]


async def test_damage_is_one_miss(clock: FakeClock, events: RecordedEvents) -> None:
    """An unreadable entry is one Miss, which says so."""
    store = ThreeMethods(clock)
    cache = over(store, clock, observers=[events])
    asks: list[Callable[[], Awaitable[Any]]] = [
        lambda: cache.get("k"),
        lambda: cache.get_many(["k"]),
        lambda: cache.get_or_set("k", Loads()),
    ]
    for ask in asks:
        store.values[full("k")] = (b"junk", clock() + 60)
        events.clear()
        await ask()
        assert [event.reason for event in events.misses] == ["damaged"]
    assert cache.stats().misses == 3


async def test_computing(cache: Cache, clock: FakeClock, events: RecordedEvents) -> None:
    """A run is one Computed and one Stored; with an error one Computed that names it."""
    await asyncio.gather(*(cache.get_or_set("k", Loads("value"), 60) for _ in range(5)))
    assert [event.key for event in events.of(Computed)] == [full("k")]
    assert events.of(Computed)[0].error is None
    stored = events.of(Stored)
    assert [(event.key, event.ttl) for event in stored] == [(full("k"), 60.0)]
    assert stored[0].size == len(b"\xa5value")
    events.clear()
    failing = Loads()
    failing.error = LookupError()
    with pytest.raises(LookupError):
        await cache.get_or_set("l", failing)
    assert [(event.key, event.error) for event in events.of(Computed)] == [(full("l"), "LookupError")]
    assert events.of(Stored) == []
    assert cache.stats().computed == 2


async def test_computing_many(cache: Cache, events: RecordedEvents) -> None:
    """Loading many is one Computed for each key, as if they had been loaded one by one."""

    async def load(missing: list[str]) -> dict[str, int]:
        return dict.fromkeys(missing, 1)

    await cache.get_or_set_many(["a", "b"], load, 60)
    assert [event.key for event in events.of(Computed)] == [full("a"), full("b")]
    assert [event.key for event in events.of(Stored)] == [full("a"), full("b")]
    assert [event.key for event in events.misses] == [full("a"), full("b")]
    events.clear()

    async def fail(missing: list[str]) -> dict[str, int]:
        raise LookupError

    with pytest.raises(LookupError):
        await cache.get_or_set_many(["c"], fail)
    assert [(event.key, event.error) for event in events.of(Computed)] == [(full("c"), "LookupError")]


async def test_writing(cache: Cache, events: RecordedEvents) -> None:
    """Every write that succeeds is one Stored."""
    await cache.set("a", 1, 60)
    await cache.set_many({"b": 1, "c": "x"}, 60)
    await cache.set("t", 1, None, tags=["t"])
    if cache.capabilities.add:
        await cache.add("d", 1, 60)
        await cache.add("d", 1, 60)
    keys = [event.key for event in events.of(Stored)]
    assert keys == [full(key) for key in "abct"] + [full("d")] * cache.capabilities.add
    assert {event.ttl for event in events.of(Stored)} == {60.0, None}
    assert cache.stats().stored == len(keys)


async def test_invalidating(cache: Cache, events: RecordedEvents) -> None:
    """Keys, tags and namespaces are each told once, by what they are."""
    await cache.delete("k")
    await cache.delete_many(["a", "b"])
    await cache.invalidate_tags("t", "u")
    await cache.invalidate_tags("t", soft=True)
    await cache.clear()
    assert events.of(Invalidated) == [
        Invalidated(full("k")),
        Invalidated(full("a")),
        Invalidated(full("b")),
        Invalidated("#t"),
        Invalidated("#u"),
        Invalidated("#t", soft=True),
        Invalidated("asynccache:"),
    ]
    assert cache.stats().invalidated == 7


async def test_stale_hits(cache: Cache, clock: FakeClock, events: RecordedEvents) -> None:
    """A value served past its freshness is one stale Hit, in the background or for an error."""
    load = Loads()
    policy = CachePolicy(ttl=10, stale_while_revalidate=10, stale_if_error=30)
    await cache.get_or_set("k", load, policy=policy)
    events.clear()
    clock.advance(10)
    await cache.get_or_set("k", load, policy=policy)
    await ticks(50)
    assert events.hits == [Hit(full("k"), 10.0, stale=True)]
    assert len(events.of(Computed)) == len(events.of(Stored)) == 1
    clock.advance(25)
    events.clear()
    load.error = LookupError()
    await cache.get_or_set("k", load, policy=policy)
    assert events.hits == [Hit(full("k"), 25.0, stale=True)]
    assert cache.stats().stale_hits == 2


async def test_refused(cache: Cache, events: RecordedEvents) -> None:
    """What the codec cannot write is one Refused, and the caller has its value."""
    thing = object()
    assert await cache.get_or_set("k", Loads(thing)) is thing
    assert events.of(Refused) == [Refused(full("k"), "unencodable")]
    assert cache.stats().refused == 1


async def test_failed(clock: FakeClock, events: RecordedEvents) -> None:
    """A failing operation is one Failed with the error."""
    gated = Gated(InMemoryBackend(clock=clock))
    cache = over(gated, clock, observers=[events])
    gated.failures["get"] = error = BackendUnavailableError("down")
    await cache.get("k")
    (failed,) = events.of(Failed)
    assert (failed.operation, failed.key) == ("get", full("k"))
    assert failed.error is error
    assert cache.stats().failed == 1


async def test_an_observer_that_raises(clock: FakeClock, events: RecordedEvents, caplog: Any) -> None:
    """It is logged, and neither the cache nor the observers after it notice."""

    def broken(event: Event) -> None:
        raise RuntimeError("observer")

    cache = local(clock, observers=[broken, events])
    with caplog.at_level(logging.ERROR, "asynccache"):
        assert await cache.set("k", "v") is True
        assert await cache.get("k") == "v"
        assert await cache.get_or_set("l", Loads("w")) == "w"
        assert await cache.invalidate_tags("t") is True
        assert await cache.delete("k") is True
    assert len(events) >= 6
    assert sum("observer" in record.message for record in caplog.records) == len(events)


async def test_no_event_carries_a_value(cache: Cache, events: RecordedEvents) -> None:
    """Values are nobody's business: no event shows one."""
    secret = "s3cret-value"
    await cache.set("k", secret)
    await cache.get("k")
    await cache.get_or_set("l", Loads(secret))
    await cache.delete("k")
    assert len(events) >= 4
    assert secret not in repr(list(events))
