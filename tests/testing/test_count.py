"""`asynccache.testing.count`: what a cache did during a block."""

from __future__ import annotations

from dataclasses import fields

import pytest

from asynccache import Cache, CacheConfig, CacheStats, InMemoryBackend, cached
from asynccache.testing import ChaosBackend, Counted, FakeClock, count


def made() -> Cache:
    clock = FakeClock()
    return Cache(CacheConfig(backend=InMemoryBackend(clock=clock), clock=clock))


async def test_counts_the_block_alone() -> None:
    """Neither what was before nor what comes after; within the block the numbers are those so far."""
    cache = made()
    await cache.get("k")
    await cache.set("k", 1)
    await cache.get("k")
    with count(cache) as counted:
        assert (counted.hits, counted.misses) == (0, 0)
        await cache.get("k")
        assert counted.hits == 1
        await cache.get("absent")
    await cache.get("k")
    await cache.get("absent")
    assert (counted.hits, counted.misses) == (1, 1)
    assert counted.stats() == CacheStats(1, 0, 1, 0, 0, 0, 0, 0)


async def test_counts_everything_a_cache_counts() -> None:
    """Each field of the totals has its name here too."""
    chaos = ChaosBackend(InMemoryBackend())
    cache = Cache(CacheConfig(backend=chaos, max_value_bytes=100))

    @cached(ttl=60, cache=cache)
    async def square(number: int) -> int:
        return number * number

    with count(cache) as counted:
        await square(1)
        await square(1)
        await cache.set("large", "x" * 200)
        await cache.delete("k")
        await cache.invalidate_tags("t")
        chaos.fail()
        await cache.get("k")
    names = [field.name for field in fields(CacheStats)]
    assert {name: getattr(counted, name) for name in names} == {
        "hits": 1,
        "stale_hits": 0,
        "misses": 2,
        "computed": 1,
        "stored": 1,
        "refused": 1,
        "invalidated": 2,
        "failed": 1,
    }
    assert counted.stats().hit_ratio == pytest.approx(1 / 3)


async def test_blocks_may_be_nested_and_fail() -> None:
    """Each counts for itself; an exception ends the counting, and passes."""
    cache = made()
    with count(cache) as outer:
        await cache.get("k")
        with pytest.raises(ZeroDivisionError), count(cache) as inner:  # noqa: PT012 - the block is the point
            await cache.get("k")
            raise ZeroDivisionError
        await cache.get("k")
    assert (outer.misses, inner.misses) == (3, 1)


async def test_namespaces_count_too() -> None:
    cache = made()
    with count(cache) as counted:
        await cache.namespace("inner").get("k")
    assert counted.misses == 1


async def test_shows_what_it_has_counted() -> None:
    """For the message of a failed assertion."""
    cache = made()
    with count(cache) as counted:
        assert repr(counted) == "<Counted nothing>"
        await cache.get("k")
    assert repr(counted) == "<Counted misses=1>"
    assert isinstance(counted, Counted)
