# ruff: noqa: S101  (asserts are what a test consists of)
"""A value is never returned at or after its expiry, and not lost before it."""

from __future__ import annotations

from typing import Final

import pytest

from asynccache.protocols import CacheBackendProtocol, SupportsExists, SupportsMany, SupportsTouch
from asynccache.testing._conformance.section import Section

__all__ = ["Existing", "Expiry", "Touching"]

DAY: Final = 86_400.0

TTL: Final = 0.625
BEFORE: Final = 0.125
"""After this the value must still be there."""
REST: Final = TTL - BEFORE
"""After this as well it must be gone. All three are exact in binary: a turned clock lands on the expiry."""


class Expiry(Section):
    """``ttl`` in seconds, of millisecond resolution."""

    async def test_expires(self, backend: CacheBackendProtocol) -> None:
        """A value with a fraction of a second to live is there, and then at its expiry it is not."""
        await backend.set(self.key("k"), b"v", TTL)
        assert await backend.get(self.key("k")) == b"v"
        await self.advance(BEFORE)
        assert await backend.get(self.key("k")) == b"v"
        await self.advance(REST)
        assert await backend.get(self.key("k")) is None

    @pytest.mark.parametrize("ttl", [0.001, 0.002, 0.05, 1.001, 59.999, 60.0, 31 * DAY])
    async def test_exact_expiry(self, backend: CacheBackendProtocol, ttl: float) -> None:
        """A value is there until a millisecond before its expiry, and gone at the expiry itself."""
        if self.clock is None:
            pytest.skip("needs a store whose clock can be turned (set self.clock in the fixture)")
        await backend.set(self.key("k"), b"v", ttl)
        start = self.clock()
        if ttl > 0.001:
            self.clock.set(start + ttl - 0.0011)
            assert await backend.get(self.key("k")) == b"v"
        self.clock.set(start + ttl)
        assert await backend.get(self.key("k")) is None

    async def test_none_never_expires(self, backend: CacheBackendProtocol) -> None:
        """Without a time to live a value stays."""
        await backend.set(self.key("k"), b"v", None)
        await backend.set(self.key("default"), b"v")
        await self.advance(TTL if self.clock is None else 36_500 * DAY)
        assert await backend.get(self.key("k")) == b"v"
        assert await backend.get(self.key("default")) == b"v"

    @pytest.mark.parametrize("ttl", [30 * DAY, 31 * DAY, 3650 * DAY, 1e9, 1e12])
    async def test_long_lives(self, backend: CacheBackendProtocol, ttl: float) -> None:
        """There is no upper limit: memcached's 30 days, 10 years and more are simply there."""
        await backend.set(self.key("k"), b"v", ttl)
        assert await backend.get(self.key("k")) == b"v"
        await self.advance(BEFORE if self.clock is None else ttl / 2)
        assert await backend.get(self.key("k")) == b"v"

    async def test_set_replaces_the_expiry(self, backend: CacheBackendProtocol) -> None:
        """The expiry is that of the last ``set``: longer, shorter, or none."""
        await backend.set(self.key("longer"), b"1", TTL)
        await backend.set(self.key("longer"), b"2", 60.0)
        await backend.set(self.key("none"), b"1", TTL)
        await backend.set(self.key("none"), b"2")
        await backend.set(self.key("shorter"), b"1", 60.0)
        await backend.set(self.key("shorter"), b"2", TTL)
        await backend.set(self.key("from_none"), b"1")
        await backend.set(self.key("from_none"), b"2", TTL)
        await self.advance(TTL)
        assert await backend.get(self.key("longer")) == b"2"
        assert await backend.get(self.key("none")) == b"2"
        assert await backend.get(self.key("shorter")) is None
        assert await backend.get(self.key("from_none")) is None

    async def test_reading_does_not_prolong(self, backend: CacheBackendProtocol) -> None:
        """The time to live counts from the ``set``, not from the last ``get``."""
        await backend.set(self.key("k"), b"v", TTL)
        await self.advance(BEFORE)
        await backend.get(self.key("k"))
        await self.advance(REST)
        assert await backend.get(self.key("k")) is None

    async def test_delete_of_an_expired_value(self, backend: CacheBackendProtocol) -> None:
        """What has expired is not there to be deleted."""
        await backend.set(self.key("k"), b"v", TTL)
        await self.advance(TTL)
        assert await backend.delete(self.key("k")) is False

    async def test_set_after_expiry(self, backend: CacheBackendProtocol) -> None:
        """An expired key can be set again, and nothing of the old expiry remains."""
        await backend.set(self.key("k"), b"old", TTL)
        await self.advance(TTL)
        await backend.set(self.key("k"), b"new")
        await self.advance(TTL)
        assert await backend.get(self.key("k")) == b"new"

    async def test_bulk_set_expires(self, backend: CacheBackendProtocol) -> None:
        """``set_many`` gives its time to live to every item, and ``get_many`` leaves expired ones out."""
        if not isinstance(backend, SupportsMany):
            pytest.skip("no SupportsMany")
        await backend.set_many({self.key("a"): b"1", self.key("b"): b"2"}, TTL)
        await backend.set_many({self.key("c"): b"3"})
        keys = [self.key("a"), self.key("b"), self.key("c")]
        assert len(await backend.get_many(keys)) == 3
        await self.advance(TTL)
        assert await backend.get_many(keys) == {self.key("c"): b"3"}
        assert await backend.delete_many(keys) == {self.key("c")}


class Touching(Section):
    """`SupportsTouch`."""

    @pytest.fixture
    def touching(self, backend: CacheBackendProtocol) -> SupportsTouch:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsTouch):
            pytest.skip("no SupportsTouch")
        return backend

    async def test_touch_of_an_absent_key(
        self, backend: CacheBackendProtocol, touching: SupportsTouch
    ) -> None:
        """It returns False and creates nothing, for a key never set as for an expired one."""
        assert await touching.touch(self.key("never"), 60.0) is False
        assert await backend.get(self.key("never")) is None
        await backend.set(self.key("k"), b"v", TTL)
        await self.advance(TTL)
        assert await touching.touch(self.key("k"), 60.0) is False
        assert await backend.get(self.key("k")) is None

    async def test_touch_prolongs(self, backend: CacheBackendProtocol, touching: SupportsTouch) -> None:
        """The new time to live counts from the touch; the value is untouched. None means for ever."""
        for name, ttl in (("longer", 60.0), ("for_ever", None)):
            await backend.set(self.key(name), name.encode(), TTL)
            assert await touching.touch(self.key(name), ttl) is True
        await self.advance(TTL)
        assert await backend.get(self.key("longer")) == b"longer"
        assert await backend.get(self.key("for_ever")) == b"for_ever"

    async def test_touch_shortens(self, backend: CacheBackendProtocol, touching: SupportsTouch) -> None:
        """A touch can bring the expiry nearer, also where there was none."""
        await backend.set(self.key("long"), b"", 60.0)
        await backend.set(self.key("for_ever"), b"v")
        for name in ("long", "for_ever"):
            assert await touching.touch(self.key(name), TTL) is True
        await self.advance(BEFORE)
        assert await backend.get(self.key("long")) == b""
        assert await backend.get(self.key("for_ever")) == b"v"
        await self.advance(REST)
        assert await backend.get(self.key("long")) is None
        assert await backend.get(self.key("for_ever")) is None


class Existing(Section):
    """`SupportsExists`."""

    async def test_exists(self, backend: CacheBackendProtocol) -> None:
        """True exactly while ``get`` would find something, an empty value included."""
        if not isinstance(backend, SupportsExists):
            pytest.skip("no SupportsExists")
        key = self.key("k")
        assert await backend.exists(key) is False
        await backend.set(key, b"", TTL)
        assert await backend.exists(key) is True
        await self.advance(TTL)
        assert await backend.exists(key) is False
        await backend.set(key, b"v")
        assert await backend.exists(key) is True
        await backend.delete(key)
        assert await backend.exists(key) is False
