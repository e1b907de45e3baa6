# ruff: noqa: S101  (asserts are what a test consists of)
"""Times to live, counting, adding, and the bulk forms, as the facade promises them."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any, Final

import pytest

from asynccache.cache import Cache
from asynccache.config import CacheConfig
from asynccache.errors import BackendError, ConfigurationError
from asynccache.testing._conformance.expiry import BEFORE, REST, TTL
from asynccache.testing._conformance.facade import Facade
from asynccache.testing._conformance.spying import Spy

__all__ = ["FacadeWriting"]

BAD_TTLS: Final = (
    0,
    0.0,
    -1,
    -0.001,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    "60",
    b"60",
    1j,
    [60],
    timedelta(0),
    timedelta(seconds=-1),
    10**400,
)


class FacadeWriting(Facade):
    """Everything that writes, one by one and in bulk."""

    def value(self, number: int = 1) -> Any:
        """Return a value that every codec can write, and that is no counter."""
        text = f"value {number}"
        return text.encode() if self.options.get("codec") == "raw" else text

    def needs(self, cache: Cache, capability: str) -> None:
        """Skip where the store has no such capability."""
        if not getattr(cache.capabilities, capability):
            pytest.skip(f"capabilities.{capability} is False")

    @pytest.mark.parametrize("ttl", BAD_TTLS, ids=lambda ttl: repr(ttl)[:20])
    async def test_bad_ttls(self, watched: Cache, spy: Spy, ttl: Any) -> None:
        """What is no positive, finite duration is a ValueError, before any I/O and before any loader."""
        asked = len(spy.calls)

        async def load(*_: object) -> Any:
            pytest.fail("the loader must not run")

        for call in (
            lambda: watched.set("k", self.value(), ttl),
            lambda: watched.set_many({"k": self.value()}, ttl),
            lambda: watched.add("k", self.value(), ttl),
            lambda: watched.touch("k", ttl),
            lambda: watched.incr("k", ttl=ttl),
            lambda: watched.get_or_set("k", load, ttl),
            lambda: watched.get_or_set_many(["k"], load, ttl),
        ):
            with pytest.raises(ValueError, match="ttl"):
                await call()
        assert len(spy.calls) == asked

    async def test_bad_tags(self, watched: Cache, spy: Spy) -> None:
        """A lone string, an empty tag and a tag that is no text are refused, before any I/O."""
        asked = len(spy.calls)
        for tags in ("tag", ["ok", ""], [1], 5):
            wrong: Any = tags
            with pytest.raises((ValueError, TypeError)):
                await watched.set("k", self.value(), tags=wrong)
            with pytest.raises((ValueError, TypeError)):
                await watched.set_many({"k": self.value()}, tags=wrong)
        with pytest.raises(ConfigurationError):
            await watched.invalidate_tags()
        assert len(spy.calls) == asked

    @pytest.mark.parametrize("ttl", [TTL, timedelta(seconds=TTL)], ids=["seconds", "timedelta"])
    async def test_expires(self, cache: Cache, ttl: float | timedelta) -> None:
        """A value is there before its expiry and not at it."""
        await cache.set("k", self.value(), ttl)
        await self.advance(BEFORE)
        assert await cache.get("k") == self.value()
        await self.advance(REST)
        assert await cache.get("k") is None
        assert await cache.exists("k") is False
        assert await cache.get_many(["k"]) == {}

    async def test_numbers_expire_too(self, cache: Cache, config: CacheConfig) -> None:
        """Integers, which may be stored as counters, expire like everything else."""
        if config.codec == "raw":
            pytest.skip("the raw codec takes bytes only")
        await cache.set("n", 5, TTL)
        await self.advance(BEFORE)
        assert await cache.get("n") == 5
        await self.advance(REST)
        assert await cache.get("n") is None

    async def test_default_ttl(self, config: CacheConfig) -> None:
        """Without a ttl the configured one holds; None is for ever."""
        async with self.cache_type(config.but(default_ttl=TTL)) as cache:
            await cache.set("default", self.value())
            await cache.set("for_ever", self.value(), None)
            await self.advance(TTL)
            assert await cache.get("default") is None
            assert await cache.get("for_ever") == self.value()

    async def test_ttl_tells_what_is_left(self, cache: Cache, config: CacheConfig) -> None:
        """``ttl`` gives the seconds left; None for what never expires or is not there."""
        await cache.set("k", self.value(), 60)
        await cache.set("for_ever", self.value(), None)
        left = await cache.ttl("k")
        assert left is not None
        assert 59 < left <= 60
        await self.advance(1)
        left = await cache.ttl("k")
        assert left is not None
        assert 57 < left <= 59
        assert await cache.ttl("for_ever") is None
        assert await cache.ttl("absent") is None

    async def test_ttl_of_a_number(self, cache: Cache, config: CacheConfig) -> None:
        """A plain number carries no end of its own, so that stores can count with it: no store tells it."""
        if config.codec == "raw":
            pytest.skip("the raw codec takes bytes only")
        await cache.set("n", 5, 60)
        if cache.entries.counters:
            assert await cache.ttl("n") is None
        else:
            assert 59 < (await cache.ttl("n") or 0) <= 60

    async def test_touch(self, cache: Cache) -> None:
        """``touch`` gives a new time to live from now on, and tells whether there was anything."""
        await cache.set("longer", self.value(), TTL)
        await cache.set("shorter", self.value(), None)
        assert await cache.touch("longer", 60) is True
        assert await cache.touch("shorter", TTL) is True
        assert await cache.touch("absent", 60) is False
        assert await cache.get("absent") is None
        await self.advance(TTL)
        assert await cache.get("longer") == self.value()
        assert await cache.get("shorter") is None
        assert await cache.touch("shorter", 60) is False

    async def test_touch_keeps_tags(self, cache: Cache) -> None:
        """A touched value can still be invalidated by its tags."""
        await cache.set("k", self.value(), TTL, tags=["t"])
        assert await cache.touch("k", 60) is True
        assert await cache.get("k") == self.value()
        await cache.invalidate_tags("t")
        assert await cache.get("k") is None

    async def test_touch_revives_nothing(self, cache: Cache) -> None:
        """What was invalidated by tag cannot be touched back to life."""
        await cache.set("k", self.value(), 60, tags=["t"])
        await cache.invalidate_tags("t")
        assert await cache.touch("k", 60) is False
        assert await cache.get("k") is None

    async def test_add(self, cache: Cache) -> None:
        """``add`` stores only where nothing is; expired and deleted values do not count."""
        self.needs(cache, "add")
        assert await cache.add("k", self.value(1), TTL) is True
        assert await cache.add("k", self.value(2)) is False
        assert await cache.get("k") == self.value(1)
        await self.advance(TTL)
        assert await cache.add("k", self.value(3)) is True
        await cache.delete("k")
        assert await cache.add("k", self.value(4)) is True
        assert await cache.get("k") == self.value(4)

    async def test_add_after_invalidation(self, cache: Cache) -> None:
        """What was invalidated by tag does not block an ``add``."""
        self.needs(cache, "add")
        await cache.set("k", self.value(1), tags=["t"])
        await cache.invalidate_tags("t")
        assert await cache.add("k", self.value(2)) is True
        assert await cache.get("k") == self.value(2)

    async def test_one_of_fifty_adds(self, cache: Cache) -> None:
        """Of 50 tasks that add at once exactly one is told True, and its value is there."""
        self.needs(cache, "add")
        won = await asyncio.gather(*(cache.add("k", self.value(number)) for number in range(50)))
        assert won.count(True) == 1
        assert await cache.get("k") == self.value(won.index(True))

    async def test_incr(self, cache: Cache, config: CacheConfig) -> None:
        """Counters count, read as integers, and go on from integers that were set."""
        self.needs(cache, "increment")
        assert [await cache.incr("n", delta) for delta in (1, 1, -5, 10)] == [1, 2, -3, 7]
        assert await cache.incr("m", 5, initial=100) == 105
        if config.codec != "raw":
            assert await cache.get("n") == 7
            assert await cache.get_many(["n", "m"]) == {"n": 7, "m": 105}
            await cache.set("set", 41)
            assert await cache.incr("set") == 42
            assert await cache.get("set") == 42
        await cache.delete("n")
        assert await cache.incr("n") == 1

    async def test_incr_after_clear(self, cache: Cache) -> None:
        """Clearing a namespace ends its counters and those inside it, and leaves those of others."""
        self.needs(cache, "increment")
        inner = cache.namespace("inner")
        for space in (cache, inner, inner.namespace("most")):
            assert [await space.incr("n"), await space.incr("n")] == [1, 2]
        await inner.clear()
        assert await inner.exists("n") is False
        counts = [await space.incr("n") for space in (cache, inner, inner.namespace("most"))]
        assert counts == [3, 1, 1]

    async def test_incr_beyond_64_bits(self, cache: Cache) -> None:
        """A sum that does not fit in 64 bits raises `BackendError`, and the counter stays as it is."""
        self.needs(cache, "increment")
        assert await cache.incr("n", initial=2**63 - 3) == 2**63 - 2
        with pytest.raises(BackendError):
            await cache.incr("n", 2)
        assert await cache.incr("n") == 2**63 - 1
        assert await cache.incr("low", -1, initial=1 - 2**63) == -(2**63)
        with pytest.raises(BackendError):
            await cache.incr("low", -1)

    async def test_incr_of_something_else(self, cache: Cache) -> None:
        """Counting on what is no counter raises `BackendError`; the value stays."""
        self.needs(cache, "increment")
        await cache.set("k", self.value())
        with pytest.raises(BackendError):
            await cache.incr("k")
        assert await cache.get("k") == self.value()

    async def test_incr_keeps_the_expiry(self, cache: Cache) -> None:
        """A counter keeps the expiry it was created with."""
        self.needs(cache, "increment")
        await cache.incr("n", ttl=TTL)
        await self.advance(BEFORE)
        assert await cache.incr("n", ttl=60) == 2
        await self.advance(REST)
        assert await cache.exists("n") is False
        assert await cache.incr("n") == 1

    async def test_concurrent_increments(self, cache: Cache) -> None:
        """50 tasks that count 10 times each are 500."""
        self.needs(cache, "increment")

        async def count() -> list[int]:
            return [await cache.incr("n") for _ in range(10)]

        answers = await asyncio.gather(*(count() for _ in range(50)))
        assert sorted(answer for each in answers for answer in each) == list(range(1, 501))

    @pytest.mark.parametrize("wrong", [1.5, "1", True, None])
    async def test_bad_deltas(self, watched: Cache, spy: Spy, wrong: Any) -> None:
        """A delta or an initial value that is no int is refused, before any I/O."""
        asked = len(spy.calls)
        with pytest.raises((ValueError, TypeError)):
            await watched.incr("n", wrong)
        with pytest.raises((ValueError, TypeError)):
            await watched.incr("n", initial=wrong)
        assert len(spy.calls) == asked

    async def test_bulk_forms(self, cache: Cache) -> None:
        """The bulk forms do what the single ones do; what is missing is left out, duplicates are one key."""
        items = {f"k{number}": self.value(number) for number in range(20)}
        assert await cache.set_many(items) is True
        assert await cache.get("k3") == self.value(3)
        asked = ["k5", "absent", "k1", "k5"]
        assert list((await cache.get_many(asked)).items()) == [("k5", self.value(5)), ("k1", self.value(1))]
        assert await cache.delete_many(["k5", "absent", "k1", "k5"]) == 2
        assert await cache.get_many(asked) == {}
        assert await cache.get_many(items) == {key: items[key] for key in items if key not in asked}
        assert await cache.get_many([]) == {}
        assert await cache.set_many({}) is True
        assert await cache.delete_many([]) == 0

    async def test_a_lone_string_is_no_list_of_keys(self, cache: Cache) -> None:
        """``get_many("abc")`` is a mistake, not three keys."""
        with pytest.raises(TypeError):
            await cache.get_many("abc")
        with pytest.raises(TypeError):
            await cache.delete_many("abc")

    async def test_bulk_set_expires(self, cache: Cache) -> None:
        """``set_many`` gives each item the ttl and the tags."""
        await cache.set_many({"a": self.value(), "b": self.value()}, TTL)
        await cache.set_many({"c": self.value()}, 60, tags=["t"])
        await self.advance(TTL)
        assert await cache.get_many(["a", "b", "c"]) == {"c": self.value()}
        await cache.invalidate_tags("t")
        assert await cache.get("c") is None

    async def test_delete_tells(self, cache: Cache) -> None:
        """``delete`` tells whether something was there."""
        assert await cache.delete("k") is False
        await cache.set("k", self.value())
        assert await cache.delete("k") is True
        assert await cache.delete("k") is False

    async def test_life(self, cache: Cache) -> None:
        """Opening and closing twice is fine, a closed cache can be opened again, and it tells its health."""
        await cache.open()
        assert (await cache.health()).healthy is True
        await cache.aclose()
        await cache.aclose()
        await cache.open()
        await cache.set("k", self.value())
        assert await cache.get("k") == self.value()
        assert cache.stats().hits >= 1
