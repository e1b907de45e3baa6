"""Caches that break one promise each, with the conformance suite over all of them; see faulty_backends.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest_asyncio

from asynccache import Cache, InMemoryBackend
from asynccache.errors import BackendError, ConfigurationError
from asynccache.policy import DEFAULT
from asynccache.testing import CacheConformance, ChaosBackend, FakeClock


class Conformance(CacheConformance):
    @pytest_asyncio.fixture
    async def backend(self) -> ChaosBackend:
        self.clock = FakeClock()
        return ChaosBackend(InMemoryBackend(clock=self.clock))


class SharesValues(Cache):
    """Hands out the object it was given."""

    shared: Mapping[str, Any] = {}

    async def set(self, key: str, value: Any, ttl: Any = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        self.shared = {**self.shared, key: value}
        return await super().set(key, value, ttl, tags=tags)

    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        found = await super().get(key, default, type=type)
        return found if found is default else self.shared.get(key, found)


class NoneIsMiss(Cache):
    """Takes a stored None for nothing."""

    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        found = await super().get(key, default, type=type)
        return default if found is None else found


class DecodesLoosely(Cache):
    """Returns what is there although it is not of the type asked for."""

    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        missing = object()
        found = await super().get(key, missing, type=type)
        return await super().get(key, default) if found is missing else found


class TakesAnyTtl(Cache):
    """Takes a ttl of 0 or less for "for ever"."""

    async def set(self, key: str, value: Any, ttl: Any = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        try:
            return await super().set(key, value, ttl, tags=tags)
        except ConfigurationError:
            return await super().set(key, value, None, tags=tags)


class ChecksLate(Cache):
    """Asks the store before it looks at its arguments."""

    async def touch(self, key: str, ttl: Any = DEFAULT) -> bool:
        return await super().exists(str(key) or "k") and await super().touch(key, ttl)


class IgnoresTags(Cache):
    """Forgets by which names a value can be invalidated."""

    async def set(self, key: str, value: Any, ttl: Any = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        return await super().set(key, value, ttl)


class SoftIsHard(Cache):
    """Removes at once what should be served once more."""

    async def invalidate_tags(self, *tags: str, soft: bool = False) -> bool:
        return await super().invalidate_tags(*tags)


class ClearsNothing(Cache):
    """Forgets to clear."""

    async def clear(self) -> bool:
        return True


class JoinsNames(Cache):
    """Puts names and keys together with a colon, and no more."""

    name = ""

    def namespace(self, name: str) -> JoinsNames:
        child = JoinsNames(self.config)
        child.name = f"{self.name}{name}:"
        return child

    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        return await super().get(self.name + key, default, type=type)

    async def set(self, key: str, value: Any, ttl: Any = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        return await super().set(self.name + key, value, ttl, tags=tags)


class KeepsOldWhenRefused(Cache):
    """Leaves the old value where the new one is too large."""

    async def set(self, key: str, value: Any, ttl: Any = DEFAULT, *, tags: Iterable[str] = ()) -> bool:
        old = await super().get(key)
        stored = await super().set(key, value, ttl, tags=tags)
        return stored or (old is not None and not await super().set(key, old))


class Naive(Cache):
    """Get, else load and set: what everybody writes first."""

    async def get_or_set(
        self,
        key: str,
        load: Callable[[], Any],
        ttl: Any = DEFAULT,
        *,
        tags: Any = (),
        type: Any = None,
        policy: Any = None,
    ) -> Any:
        missing = object()
        found = await super().get(key, missing, type=type)
        if found is missing:
            found = await load()
            await super().set(key, found, ttl, tags=tags or (policy.tags if policy else ()))
        return found


class CachesErrors(Cache):
    """Remembers that it failed."""

    error: Exception | None = None

    async def get_or_set(self, key: str, *arguments: Any, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        try:
            return await super().get_or_set(key, *arguments, **options)
        except LookupError as error:
            self.error = error
            raise


class TrustsTheStore(Cache):
    """Raises when the store hands back nonsense."""

    async def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:
        failed = self.stats().misses
        found = await super().get(key, default, type=type)
        if default == "miss" and self.stats().misses > failed:
            raise ValueError(key)
        return found


class KeepsCounters(Cache):
    """Clears all but its counters."""

    async def clear(self) -> bool:
        counts = {name: await self.get(name) for name in ("n", "m")}
        done = await super().clear()
        return done and await self.set_many({name: count for name, count in counts.items() if count})


class WrapsNumbers(Cache):
    """Counts in 64 bits as a processor does."""

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: Any = DEFAULT) -> int:
        try:
            return await super().incr(key, delta, initial=initial, ttl=ttl)
        except BackendError:
            await self.set(key, -(2**63))
            return -(2**63)


class TestSound(Conformance):
    cache_type = Cache


class TestSharesValues(Conformance):
    cache_type = SharesValues


class TestNoneIsMiss(Conformance):
    cache_type = NoneIsMiss


class TestDecodesLoosely(Conformance):
    cache_type = DecodesLoosely


class TestTakesAnyTtl(Conformance):
    cache_type = TakesAnyTtl


class TestChecksLate(Conformance):
    cache_type = ChecksLate


class TestIgnoresTags(Conformance):
    cache_type = IgnoresTags


class TestSoftIsHard(Conformance):
    cache_type = SoftIsHard


class TestClearsNothing(Conformance):
    cache_type = ClearsNothing


class TestJoinsNames(Conformance):
    cache_type = JoinsNames


class TestKeepsOldWhenRefused(Conformance):
    cache_type = KeepsOldWhenRefused


class TestNaive(Conformance):
    cache_type = Naive


class TestCachesErrors(Conformance):
    cache_type = CachesErrors


class TestTrustsTheStore(Conformance):
    cache_type = TrustsTheStore


class TestKeepsCounters(Conformance):
    cache_type = KeepsCounters


class TestWrapsNumbers(Conformance):
    cache_type = WrapsNumbers
