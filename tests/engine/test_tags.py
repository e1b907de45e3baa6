"""Tags: entries live while their stamps do; a stamp that is gone, evicted or damaged never comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynccache import Cache, CachePolicy, InMemoryBackend
from asynccache._engine import stamping
from asynccache._engine.entry import Entry
from asynccache._engine.tags import Liveness, liveness, new_stamp, soft_key, stamp_in, stamp_keys, stamps_of
from asynccache.testing import FakeClock
from tests.cache_doubles import Gated, Loads, ThreeMethods, local, over, ticks


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["local", "remote", "bare"])
def cache(request: pytest.FixtureRequest, clock: FakeClock) -> Cache:
    if request.param == "local":
        return local(clock)
    store: Any = ThreeMethods(clock) if request.param == "bare" else InMemoryBackend(clock=clock)
    return over(Gated(store), clock)


# -- pure --------------------------------------------------------------------------------------------------


def test_keys() -> None:
    """A tag has two keys, a namespace's own stamp one; a tag may contain what separates."""
    assert soft_key("ns:#tag") == "ns:~tag"
    assert soft_key("ns:#a#b~c") == "ns:~a#b~c"
    assert soft_key("ns:#") == ""
    assert stamp_keys(["ns:#", "ns:#t"]) == ["ns:#", "ns:#t", "ns:~t"]


@pytest.mark.parametrize(
    "current, verdict",
    [
        ({"#t": "1", "~t": "2"}, Liveness.LIVE),
        ({"#t": "1", "~t": "x"}, Liveness.SOFT),
        ({"#t": "1"}, Liveness.SOFT),
        ({"#t": "x", "~t": "2"}, Liveness.DEAD),
        ({"~t": "2"}, Liveness.DEAD),
        ({}, Liveness.DEAD),
    ],
)
def test_liveness(current: dict[str, str], verdict: Liveness) -> None:
    """A hard stamp that differs or is gone kills, a soft one makes stale."""
    assert liveness([("#t", "1", "2")], current.get) is verdict


def test_one_dead_tag_is_enough() -> None:
    """The worst of all tags counts; without tags an entry lives."""
    current = {"#a": "1", "~a": "x", "#b": "other"}.get
    assert liveness([("#a", "1", "2"), ("#b", "1", "2")], current) is Liveness.DEAD
    assert liveness([], current) is Liveness.LIVE


def test_stamps() -> None:
    """A new stamp is random, and what an entry carries is found in all that was read."""
    first, second = new_stamp("#t", 1.0), new_stamp("#t", 1.0)
    assert stamp_in(first) != stamp_in(second)
    assert stamps_of(["#", "#t"], {"#": "1", "#t": "2", "~t": "3"}) == (("#", "1", ""), ("#t", "2", "3"))


# -- in a store --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["#t", "~t"])
async def test_lost_stamps_never_revive(cache: Cache, which: str) -> None:
    """An entry whose stamp was evicted is dead (or stale), and stays so when the tag is used again."""
    await cache.set("k", "old", tags=["t"])
    assert await cache.get("k") == "old"
    await cache.config.backend.delete(f"asynccache:{which}")  # type: ignore[union-attr]
    assert await cache.get("k") is None
    await cache.set("other", "v", tags=["t"])
    assert await cache.get("other") == "v"
    assert await cache.get("k") is None
    assert await cache.get_or_set("k", Loads("new"), tags=["t"]) == "new"


@pytest.mark.parametrize("kind", ["remote", "bare"])
async def test_damaged_stamps_are_replaced(kind: str, clock: FakeClock) -> None:
    """A stamp that cannot be read kills what carries it, and does not keep the tag from being used again."""
    store: Any = ThreeMethods(clock) if kind == "bare" else InMemoryBackend(clock=clock)
    cache = over(Gated(store), clock)
    await cache.set("k", "old", tags=["t"])
    await store.set("asynccache:#t", b"junk")
    assert await cache.get("k") is None
    assert await cache.set("k", "new", tags=["t"]) is True
    assert await cache.get("k") == "new"


async def test_many_tags(cache: Cache) -> None:
    """A hundred tags, any of which ends the entry."""
    tags = [f"t{number}" for number in range(100)]
    for doomed in ("t0", "t57", "t99"):
        await cache.set("k", "v", tags=tags)
        assert await cache.get("k") == "v"
        await cache.invalidate_tags(doomed)
        assert await cache.get("k") is None


async def test_soft_without_window_is_gone(cache: Cache) -> None:
    """Without a stale window a softly invalidated value is gone, however long its ttl."""
    for ttl in (60, None):
        await cache.set("k", "old", ttl, tags=["t"])
        await cache.invalidate_tags("t", soft=True)
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", Loads("new"), tags=["t"]) == "new"


async def test_soft_with_an_error_window(cache: Cache) -> None:
    """With a window for errors only, it stands in for one, and for nothing else."""
    policy = CachePolicy(ttl=60, stale_if_error=60, tags=["t"])
    load = Loads("old")
    await cache.get_or_set("k", load, policy=policy)
    await cache.invalidate_tags("t", soft=True)
    load.error = LookupError()
    assert await cache.get_or_set("k", load, policy=policy) == "old"
    load.error, load.value = None, "new"
    assert await cache.get_or_set("k", load, policy=policy) == "new"


async def test_soft_with_a_window(cache: Cache, clock: FakeClock) -> None:
    """With a window it is served while it is refreshed, and not beyond the window's end."""
    policy = CachePolicy(ttl=10, stale_while_revalidate=10, tags=["t"])
    load = Loads("old")
    await cache.get_or_set("k", load, policy=policy)
    await cache.invalidate_tags("t", soft=True)
    await cache.invalidate_tags("t", soft=True)
    load.value = "new"
    assert await cache.get_or_set("k", load, policy=policy) == "old"
    await ticks(60)
    assert await cache.get_or_set("k", load, policy=policy) == "new"
    await cache.invalidate_tags("t", soft=True)
    clock.advance(20)
    load.value = "newest"
    assert await cache.get_or_set("k", load, policy=policy) == "newest"


async def test_an_invalidation_between_stamps_and_value(cache: Cache) -> None:
    """A value set with a tag that is invalidated while it is written is dead."""
    await asyncio.gather(*(cache.set("k", "v", tags=["t"]) for _ in range(3)), cache.invalidate_tags("t"))
    got = await cache.get("k")
    await cache.invalidate_tags("t")
    assert got in {None, "v"}
    assert await cache.get("k") is None


async def test_stamps_are_renewed(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag in use outlives its stamp's life in the store; one that nobody uses dies with its entries."""
    monkeypatch.setattr(stamping, "_RENEWAL", 1.1)
    for store in (Gated(InMemoryBackend(clock=clock)), Gated(ThreeMethods(clock))):
        cache = over(store, clock)
        await cache.set("old", "v", None, tags=["t"])
        clock.advance(20 * 86400)
        await cache.set("new", "v", None, tags=["t"])
        clock.advance(20 * 86400)
        assert await cache.get("new") in {None, "v"}
        renewed = isinstance(store.inner, InMemoryBackend)
        assert (await cache.get("old") == "v") is renewed
        clock.advance(40 * 86400)
        assert await cache.get("new") is None


async def test_planting_at_the_same_time(cache: Cache) -> None:
    """Tasks that use a new tag at once agree on its stamp, or their entries are dead."""
    await asyncio.gather(*(cache.set(f"k{number}", number, tags=["fresh"]) for number in range(20)))
    await cache.invalidate_tags("fresh")
    assert await cache.get_many([f"k{number}" for number in range(20)]) == {}


async def test_tags_and_times_of_infinite_entries(clock: FakeClock) -> None:
    """Soft invalidations of entries without expiry leave the store's own books in order."""
    backend = InMemoryBackend(clock=clock)
    cache = Cache(cache_config(backend, clock))
    for _ in range(50):
        await cache.set("k", "v", None, tags=["t"])
        await cache.invalidate_tags("t", soft=True)
        assert await cache.get("k") is None
        assert await cache.delete("k") is True
    assert backend._table.timed == 0


def cache_config(backend: InMemoryBackend, clock: FakeClock) -> Any:
    from asynccache import CacheConfig

    return CacheConfig(backend=backend, clock=clock)


def test_entry_without_stamps_is_untouched(clock: FakeClock) -> None:
    """Judging an entry without tags reads nothing."""
    cache = over(ThreeMethods(clock), clock)
    entry = Entry("k", b"", "raw", 0.0, 1.0, 1.0, 1.0)
    assert cache.entries.alive(entry) is True
