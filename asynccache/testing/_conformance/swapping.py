# ruff: noqa: S101  (asserts are what a test consists of)
"""Replacing a value only if nobody else did."""

from __future__ import annotations

import asyncio

import pytest

from asynccache.protocols import CacheBackendProtocol, SupportsCompareAndSwap
from asynccache.testing._conformance.expiry import TTL
from asynccache.testing._conformance.section import Section

__all__ = ["Swapping"]


class Swapping(Section):
    """`SupportsCompareAndSwap`."""

    @pytest.fixture
    def swapping(self, backend: CacheBackendProtocol) -> SupportsCompareAndSwap:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsCompareAndSwap):
            pytest.skip("no SupportsCompareAndSwap")
        return backend

    async def version_of(self, swapping: SupportsCompareAndSwap, key: str) -> str:
        """Return the version of what must be there."""
        held = await swapping.get_versioned(key)
        assert held is not None
        return held[1]

    async def test_get_versioned_reads(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """It returns what ``get`` would, an empty value included, and a version that is a ``str``."""
        assert await swapping.get_versioned(self.key("absent")) is None
        for value in (b"v", b""):
            await backend.set(self.key("k"), value)
            held = await swapping.get_versioned(self.key("k"))
            assert held is not None
            assert held[0] == value
            assert isinstance(held[1], str)
            assert await self.version_of(swapping, self.key("k")) == held[1]  # reading changes nothing

    async def test_swap_is_accepted_once(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """A swap replaces what has the version, and uses the version up."""
        await backend.set(self.key("k"), b"old")
        version = await self.version_of(swapping, self.key("k"))
        assert await swapping.compare_and_swap(self.key("k"), b"new", None, version) is True
        assert await backend.get(self.key("k")) == b"new"
        assert await swapping.compare_and_swap(self.key("k"), b"two", None, version) is False
        assert await backend.get(self.key("k")) == b"new"
        version = await self.version_of(swapping, self.key("k"))
        assert await swapping.compare_and_swap(self.key("k"), b"", None, version) is True
        assert await backend.get(self.key("k")) == b""

    @pytest.mark.parametrize("how", ["set", "set to the same", "delete", "delete and set"])
    async def test_swap_of_what_changed(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap, how: str
    ) -> None:
        """Whatever happened to the key since, be it to the same bytes again: the swap stores nothing."""
        await backend.set(self.key("k"), b"old")
        version = await self.version_of(swapping, self.key("k"))
        if how.startswith("delete"):
            await backend.delete(self.key("k"))
        if how != "delete":
            await backend.set(self.key("k"), b"new" if how == "set" else b"old")
        expected = await backend.get(self.key("k"))
        assert await swapping.compare_and_swap(self.key("k"), b"swapped", None, version) is False
        assert await backend.get(self.key("k")) == expected

    async def test_swap_of_another_key(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """A version is a key's own; with it nothing is stored under an absent key."""
        await backend.set(self.key("k"), b"v")
        await backend.set(self.key("other"), b"v")
        version = await self.version_of(swapping, self.key("k"))
        assert await swapping.compare_and_swap(self.key("other"), b"w", None, version) is False
        assert await swapping.compare_and_swap(self.key("absent"), b"w", None, version) is False
        assert await backend.get(self.key("other")) == b"v"
        assert await backend.get(self.key("absent")) is None

    async def test_swap_expires(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """What was swapped in lives as long as the swap said, be that shorter, longer or for ever."""
        lives = {
            "shorter": (60.0, TTL),
            "longer": (TTL, 60.0),
            "endless": (TTL, None),
            "ending": (None, TTL),
        }
        for name, (before, after) in lives.items():
            await backend.set(self.key(name), b"old", before)
            version = await self.version_of(swapping, self.key(name))
            assert await swapping.compare_and_swap(self.key(name), b"new", after, version) is True
        await self.advance(TTL)
        left = {name: await backend.get(self.key(name)) for name in lives}
        assert left == {"shorter": None, "longer": b"new", "endless": b"new", "ending": None}

    async def test_swap_of_what_expired(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """An expired value is not there, to read or to swap."""
        await backend.set(self.key("k"), b"old", TTL)
        version = await self.version_of(swapping, self.key("k"))
        await self.advance(TTL)
        assert await swapping.get_versioned(self.key("k")) is None
        assert await swapping.compare_and_swap(self.key("k"), b"new", None, version) is False
        assert await backend.get(self.key("k")) is None

    async def test_one_of_fifty_swaps(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """Of 50 tasks that swap the same version exactly one is told True, and its value is there."""
        key = self.key("race")
        await backend.set(key, b"old")
        version = await self.version_of(swapping, key)
        swaps = (swapping.compare_and_swap(key, b"%d" % number, None, version) for number in range(50))
        won = await asyncio.gather(*swaps)
        assert won.count(True) == 1
        assert await backend.get(key) == b"%d" % won.index(True)

    async def test_counting_by_swaps(
        self, backend: CacheBackendProtocol, swapping: SupportsCompareAndSwap
    ) -> None:
        """Tasks that read, add one and swap, again where another was faster, count exactly."""
        key = self.key("n")
        await backend.set(key, b"0")

        async def count() -> None:
            done = 0
            while done < 50:
                held = await swapping.get_versioned(key)
                assert held is not None
                done += await swapping.compare_and_swap(key, b"%d" % (int(held[0]) + 1), None, held[1])

        await asyncio.gather(*(count() for _ in range(4)))
        assert await backend.get(key) == b"200"
