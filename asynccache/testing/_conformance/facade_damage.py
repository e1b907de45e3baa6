# ruff: noqa: S101  (asserts are what a test consists of)
"""Whatever a store hands back: the value that was stored under that very key, or a miss."""

from __future__ import annotations

from typing import Any

from asynccache.cache import Cache
from asynccache.testing._conformance.expiry import TTL
from asynccache.testing._conformance.facade import Facade
from asynccache.testing._conformance.spying import Spy

__all__ = ["FacadeDamage"]


class FacadeDamage(Facade):
    """Entries that were damaged, moved, or kept too long by the store."""

    def text(self, text: str) -> Any:
        """Return ``text`` as something the codec can write."""
        return text.encode() if self.options.get("codec") == "raw" else text

    async def put(self, watched: Cache, spy: Spy, name: str) -> tuple[str, bytes]:
        """Set a value that reads as its name; return the key and the bytes in the store."""
        await watched.set(name, self.text(name))
        key = spy.written()
        data: bytes | None = await spy.inner.get(key)
        assert data is not None
        return key, data

    async def test_flipped_bits(self, watched: Cache, spy: Spy) -> None:
        """A flipped bit, wherever it is, makes a miss, and the damaged entry is removed."""
        key, data = await self.put(watched, spy, "k")
        for place in range(len(data)):
            damaged = bytearray(data)
            damaged[place] ^= 1 << place % 8
            await spy.inner.set(key, bytes(damaged))
            assert await watched.get("k", "miss") == "miss", place
            assert await spy.inner.get(key) is None, place

    async def test_cut_short(self, watched: Cache, spy: Spy) -> None:
        """An entry that was cut off, at any length, makes a miss and is removed."""
        key, data = await self.put(watched, spy, "k")
        for length in range(len(data)):
            await spy.inner.set(key, data[:length])
            assert await watched.get("k", "miss") == "miss", length
            assert await spy.inner.get(key) is None, length

    async def test_foreign_bytes(self, watched: Cache, spy: Spy) -> None:
        """What some other program wrote makes a miss in every way of reading, never an error."""
        key, data = await self.put(watched, spy, "k")
        for foreign in (
            b"text",
            b"\x80\x04K\x01.",
            b'{"a": 1}',
            bytes(range(256)),
            data + b"x",
            data * 2,
            b"\x00" * 99,
        ):
            for ask in (
                lambda: watched.get("k"),
                lambda: watched.ttl("k"),
                lambda: watched.exists("k"),
                lambda: watched.get_many(["k", "other"]),
                lambda: watched.touch("k", 60),
            ):
                await spy.inner.set(key, foreign)
                assert not await ask(), foreign

    async def test_damaged_entries_are_computed_anew(self, watched: Cache, spy: Spy) -> None:
        """``get_or_set`` replaces a damaged entry."""
        key, data = await self.put(watched, spy, "k")

        async def load() -> Any:
            return self.text("new")

        await spy.inner.set(key, data[:-1])
        assert await watched.get_or_set("k", load) == self.text("new")
        assert await watched.get("k") == self.text("new")

    async def test_moved_entries(self, watched: Cache, spy: Spy) -> None:
        """An intact entry under another key is a miss there, in the same namespace or another."""
        _, data = await self.put(watched, spy, "alice")
        for cache, name in ((watched, "bob"), (watched.namespace("n"), "alice")):
            key, _ = await self.put(cache, spy, name)
            await spy.inner.set(key, data)
            assert await cache.get(name) is None
            assert await cache.get_many([name, "other"]) == {}
        assert await watched.get("alice") == self.text("alice")

    async def test_expiry_is_the_entrys_own(self, watched: Cache, spy: Spy) -> None:
        """A store that keeps an entry too long does not make it live longer."""
        await watched.set("k", self.text("v"), TTL)
        key = spy.written()
        data = await spy.inner.get(key)
        assert data is not None
        await spy.inner.set(key, data, None)
        assert await watched.get("k") == self.text("v")
        await self.advance(TTL)
        assert await watched.get("k") is None
