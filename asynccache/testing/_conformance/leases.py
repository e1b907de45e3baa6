# ruff: noqa: S101  (asserts are what a test consists of)
"""One computation across processes, and never an outdated fill (Nishtala et al., NSDI 2013)."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from asynccache.protocols import (
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsCompareAndSwap,
    SupportsIncrement,
    SupportsLeases,
    SupportsMany,
)
from asynccache.testing._conformance.expiry import TTL
from asynccache.testing._conformance.section import Section

__all__ = ["Leases"]

INTERFERENCES: Final = (
    "set",
    "delete",
    "set_many",
    "delete_many",
    "clear",
    "incr",
    "add",
    "compare_and_swap",
)
"""What voids a lease. The last but one writes only where nothing is, the last only where something is."""

LIFE: Final = 30.0
"""Seconds of a lease that is not meant to run out."""


class Leases(Section):
    """`SupportsLeases`."""

    @pytest.fixture
    def leases(self, backend: CacheBackendProtocol) -> SupportsLeases:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsLeases):
            pytest.skip("no SupportsLeases")
        return backend

    async def take(self, leases: SupportsLeases, key: str, ttl: float = LIFE) -> str:
        """Acquire a lease that must be free."""
        token = await leases.acquire_lease(key, ttl)
        assert token is not None
        return token

    async def test_one_holder(self, leases: SupportsLeases) -> None:
        """While a lease is held nobody else gets it; other keys are not affected."""
        await self.take(leases, self.key("k"))
        assert await leases.acquire_lease(self.key("k"), LIFE) is None
        await self.take(leases, self.key("other"))

    async def test_one_of_fifty_racers(self, leases: SupportsLeases) -> None:
        """Of 50 tasks that want the lease at once exactly one gets it."""
        tokens = await asyncio.gather(*(leases.acquire_lease(self.key("k"), LIFE) for _ in range(50)))
        assert sum(token is not None for token in tokens) == 1

    async def test_tokens_are_unique(self, leases: SupportsLeases) -> None:
        """No token is given out twice, be it for another key or for the same key later."""
        tokens = [await self.take(leases, self.key(f"{number}")) for number in range(50)]
        for _ in range(50):
            token = await self.take(leases, self.key("again"))
            tokens.append(token)
            await leases.release_lease(self.key("again"), token)
        assert len(set(tokens)) == len(tokens) == 100
        assert all(tokens)

    async def test_a_lease_is_no_value(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """Taking a lease makes no value appear, and leaves one that is there readable."""
        await self.take(leases, self.key("absent"))
        assert await backend.get(self.key("absent")) is None
        assert await backend.delete(self.key("absent")) is False
        await backend.set(self.key("stale"), b"old")
        await self.take(leases, self.key("stale"))
        assert await backend.get(self.key("stale")) == b"old"

    async def test_fill_is_accepted_once(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """The holder's fill is stored and ends the lease; a second one is not stored."""
        token = await self.take(leases, self.key("k"))
        assert await leases.fill(self.key("k"), b"first", None, token) is True
        assert await leases.fill(self.key("k"), b"second", None, token) is False
        assert await backend.get(self.key("k")) == b"first"
        await self.take(leases, self.key("k"))

    async def test_fill_replaces(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """A fill replaces the stale value that was there when the lease was taken."""
        await backend.set(self.key("k"), b"stale", TTL)
        token = await self.take(leases, self.key("k"))
        assert await leases.fill(self.key("k"), b"fresh", None, token) is True
        await self.advance(TTL)
        assert await backend.get(self.key("k")) == b"fresh"

    async def test_fill_expires(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """The value lives as long as the fill said, not as long as the lease."""
        token = await self.take(leases, self.key("k"))
        assert await leases.fill(self.key("k"), b"v", TTL, token) is True
        assert await backend.get(self.key("k")) == b"v"
        await self.advance(TTL)
        assert await backend.get(self.key("k")) is None

    @pytest.mark.parametrize(
        "how, before",
        [
            *(pytest.param(how, True, id=f"{how}, with a value") for how in INTERFERENCES if how != "add"),
            *(pytest.param(how, False, id=f"{how}, without a value") for how in INTERFERENCES[:-1]),
        ],
    )
    async def test_lease_is_void(
        self, backend: CacheBackendProtocol, leases: SupportsLeases, how: str, *, before: bool
    ) -> None:
        """What is written or removed while it is computed is not overwritten by the outdated result."""
        key = self.key("space:k")
        if before:
            await backend.set(key, b"41")
        token = await self.take(leases, key)
        expected = await self.interfere(backend, key, how)
        assert await leases.fill(key, b"outdated", None, token) is False
        assert await backend.get(key) == expected
        await leases.release_lease(key, token)  # what the loser does next: no effect
        assert await backend.get(key) == expected
        fresh = await self.take(leases, key)
        await leases.release_lease(key, token)
        assert await leases.fill(key, b"fresh", None, fresh) is True
        assert await backend.get(key) == b"fresh"

    async def interfere(self, backend: CacheBackendProtocol, key: str, how: str) -> bytes | None:
        """Write or remove ``key`` while it is leased; return what must be there afterwards."""
        needed: dict[str, type] = {
            "set_many": SupportsMany,
            "delete_many": SupportsMany,
            "clear": SupportsClear,
            "add": SupportsAdd,
            "incr": SupportsIncrement,
            "compare_and_swap": SupportsCompareAndSwap,
        }
        if how in needed and not isinstance(backend, needed[how]):
            pytest.skip(f"no {needed[how].__name__}")
        if how == "set":
            await backend.set(key, b"new")
        elif how == "delete":
            await backend.delete(key)
        elif how == "set_many" and isinstance(backend, SupportsMany):
            await backend.set_many({key: b"new", self.key("space:other"): b""})
        elif how == "delete_many" and isinstance(backend, SupportsMany):
            await backend.delete_many([key, self.key("space:other")])
        elif how == "add" and isinstance(backend, SupportsAdd):
            assert await backend.add(key, b"new")
        elif how == "incr" and isinstance(backend, SupportsIncrement):
            await backend.incr(key, initial=41)
            return b"42"
        elif how == "compare_and_swap" and isinstance(backend, SupportsCompareAndSwap):
            held = await backend.get_versioned(key)
            assert held is not None
            assert await backend.compare_and_swap(key, b"new", None, held[1])
        elif isinstance(backend, SupportsClear):
            await backend.clear(self.key("space:"))
        return None if how in {"delete", "delete_many", "clear"} else b"new"

    async def test_clear_leaves_other_leases(
        self, backend: CacheBackendProtocol, leases: SupportsLeases
    ) -> None:
        """Clearing one prefix voids no lease under another."""
        if not isinstance(backend, SupportsClear):
            pytest.skip("no SupportsClear")
        token = await self.take(leases, self.key("mine:k"))
        await backend.clear(self.key("other:"))
        await backend.set(self.key("other:k"), b"v")
        assert await leases.fill(self.key("mine:k"), b"v", None, token) is True

    async def test_lease_runs_out(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """After its life a lease is free again, and the late holder's fill is not stored."""
        late = await self.take(leases, self.key("k"), TTL)
        assert await leases.acquire_lease(self.key("k"), LIFE) is None
        await self.advance(TTL)
        next_one = await self.take(leases, self.key("k"))
        assert await leases.fill(self.key("k"), b"late", None, late) is False
        await leases.release_lease(self.key("k"), late)
        assert await leases.acquire_lease(self.key("k"), LIFE) is None
        assert await leases.fill(self.key("k"), b"in time", None, next_one) is True
        assert await backend.get(self.key("k")) == b"in time"

    async def test_late_fill_without_a_rival(
        self, backend: CacheBackendProtocol, leases: SupportsLeases
    ) -> None:
        """A lease that ran out is worthless, even if nobody took the next one."""
        late = await self.take(leases, self.key("k"), TTL)
        await self.advance(TTL)
        assert await leases.fill(self.key("k"), b"late", None, late) is False
        assert await backend.get(self.key("k")) is None

    async def test_release(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """A released lease is free at once, its token worthless, and nothing was stored."""
        token = await self.take(leases, self.key("k"))
        await leases.release_lease(self.key("k"), token)
        assert await leases.fill(self.key("k"), b"v", None, token) is False
        assert await backend.get(self.key("k")) is None
        await self.take(leases, self.key("k"))

    async def test_release_keeps_the_value(
        self, backend: CacheBackendProtocol, leases: SupportsLeases
    ) -> None:
        """Releasing without a fill leaves the stale value that was there."""
        await backend.set(self.key("k"), b"stale")
        await leases.release_lease(self.key("k"), await self.take(leases, self.key("k")))
        assert await backend.get(self.key("k")) == b"stale"

    async def test_strangers(self, backend: CacheBackendProtocol, leases: SupportsLeases) -> None:
        """A token that does not hold the lease, invented or of another key, releases and fills nothing."""
        token = await self.take(leases, self.key("k"))
        others = ("invented", "", await self.take(leases, self.key("other")))
        for stranger in others:
            await leases.release_lease(self.key("k"), stranger)
            assert await leases.acquire_lease(self.key("k"), LIFE) is None
            assert await leases.fill(self.key("k"), b"stranger", None, stranger) is False
            assert await leases.fill(self.key("unleased"), b"stranger", None, stranger) is False
        assert await backend.get(self.key("unleased")) is None
        assert await leases.fill(self.key("k"), b"mine", None, token) is True
        assert await backend.get(self.key("k")) == b"mine"
