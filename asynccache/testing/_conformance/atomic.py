# ruff: noqa: S101  (asserts are what a test consists of)
"""Read-modify-write operations that no other task can get between."""

from __future__ import annotations

import asyncio

import pytest

from asynccache.errors import BackendError
from asynccache.protocols import CacheBackendProtocol, SupportsAdd, SupportsIncrement
from asynccache.testing._conformance.expiry import BEFORE, REST, TTL
from asynccache.testing._conformance.section import Section

__all__ = ["Adding", "Counting"]


class Adding(Section):
    """`SupportsAdd`."""

    @pytest.fixture
    def adding(self, backend: CacheBackendProtocol) -> SupportsAdd:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsAdd):
            pytest.skip("no SupportsAdd")
        return backend

    async def test_add_stores_if_absent(self, backend: CacheBackendProtocol, adding: SupportsAdd) -> None:
        """It stores where nothing is, and leaves alone what is there, an empty value included."""
        for value in (b"first", b""):
            key = self.key(f"k{value!r}")
            assert await adding.add(key, value) is True
            assert await adding.add(key, b"second") is False
            assert await backend.get(key) == value

    async def test_add_respects_set_and_delete(
        self, backend: CacheBackendProtocol, adding: SupportsAdd
    ) -> None:
        """What ``set`` stored blocks it; what ``delete`` removed does not."""
        await backend.set(self.key("k"), b"set")
        assert await adding.add(self.key("k"), b"added") is False
        await backend.delete(self.key("k"))
        assert await adding.add(self.key("k"), b"added") is True
        assert await backend.get(self.key("k")) == b"added"

    async def test_add_expires(self, backend: CacheBackendProtocol, adding: SupportsAdd) -> None:
        """What was added expires, and an expired value no longer blocks."""
        assert await adding.add(self.key("k"), b"first", TTL) is True
        await self.advance(TTL)
        assert await backend.get(self.key("k")) is None
        assert await adding.add(self.key("k"), b"second") is True
        assert await backend.get(self.key("k")) == b"second"

    async def test_refused_add_changes_no_expiry(
        self, backend: CacheBackendProtocol, adding: SupportsAdd
    ) -> None:
        """An ``add`` that returned False neither prolongs nor shortens what is there."""
        await backend.set(self.key("short"), b"v", TTL)
        await backend.set(self.key("long"), b"v", 60.0)
        assert await adding.add(self.key("short"), b"w", 60.0) is False
        assert await adding.add(self.key("long"), b"w", TTL) is False
        await self.advance(TTL)
        assert await backend.get(self.key("short")) is None
        assert await backend.get(self.key("long")) == b"v"

    async def test_one_of_fifty_adds(self, backend: CacheBackendProtocol, adding: SupportsAdd) -> None:
        """Of 50 tasks that add at once exactly one is told True, and its value is there."""
        key = self.key("race")
        won = await asyncio.gather(*(adding.add(key, b"%d" % number) for number in range(50)))
        assert won.count(True) == 1
        assert await backend.get(key) == b"%d" % won.index(True)


class Counting(Section):
    """`SupportsIncrement`."""

    @pytest.fixture
    def counting(self, backend: CacheBackendProtocol) -> SupportsIncrement:
        """Give the store, if it can."""
        if not isinstance(backend, SupportsIncrement):
            pytest.skip("no SupportsIncrement")
        return backend

    async def test_incr_counts(self, counting: SupportsIncrement) -> None:
        """It starts at 0, adds 1 or any delta, and goes below zero and back."""
        key = self.key("n")
        assert [await counting.incr(key, delta) for delta in (1, 1, 40, -2, -50, 0, 11)] == [
            1,
            2,
            42,
            40,
            -10,
            -10,
            1,
        ]
        assert await counting.incr(key) == 2

    async def test_incr_starts_at_initial(self, counting: SupportsIncrement) -> None:
        """``initial`` is where an absent counter starts; the delta is added to it. Later it means nothing."""
        key = self.key("n")
        assert await counting.incr(key, 5, initial=100) == 105
        assert await counting.incr(key, 5, initial=100) == 110
        assert await counting.incr(self.key("below"), -1, initial=-5) == -6

    async def test_counters_are_plain_decimals(
        self, backend: CacheBackendProtocol, counting: SupportsIncrement
    ) -> None:
        """A counter reads as decimal digits, and digits that were set can be counted on."""
        await counting.incr(self.key("n"), -7)
        assert await backend.get(self.key("n")) == b"-7"
        await backend.set(self.key("m"), b"41")
        assert await counting.incr(self.key("m")) == 42
        assert await backend.get(self.key("m")) == b"42"
        await backend.set(self.key("shrinks"), b"100")
        await counting.incr(self.key("shrinks"), -99)
        assert await backend.get(self.key("shrinks")) == b"1"

    async def test_incr_is_exact_beyond_floats(self, counting: SupportsIncrement) -> None:
        """Integers up to 63 bits are exact."""
        assert await counting.incr(self.key("n"), 2**53) == 2**53
        assert await counting.incr(self.key("n")) == 2**53 + 1
        assert await counting.incr(self.key("max"), 2**62, initial=2**62 - 1) == 2**63 - 1

    async def test_incr_of_something_else(
        self, backend: CacheBackendProtocol, counting: SupportsIncrement
    ) -> None:
        """Counting on what is no integer raises `BackendError` and changes nothing."""
        for value in (b"text", b"", b"1.5", b"\xff"):
            await backend.set(self.key("k"), value)
            with pytest.raises(BackendError):
                await counting.incr(self.key("k"))
            assert await backend.get(self.key("k")) == value

    async def test_incr_keeps_the_expiry(
        self, backend: CacheBackendProtocol, counting: SupportsIncrement
    ) -> None:
        """``ttl`` is for a new counter; one that is there keeps its expiry, or its having none."""
        await counting.incr(self.key("short"), ttl=TTL)
        await backend.set(self.key("set"), b"5", TTL)
        await counting.incr(self.key("for_ever"))
        await self.advance(BEFORE)
        assert await counting.incr(self.key("short"), ttl=60.0) == 2
        assert await counting.incr(self.key("set")) == 6
        assert await counting.incr(self.key("for_ever"), ttl=REST / 2) == 2
        await self.advance(REST)
        assert await backend.get(self.key("short")) is None
        assert await backend.get(self.key("set")) is None
        assert await backend.get(self.key("for_ever")) == b"2"
        assert await counting.incr(self.key("short"), ttl=60.0) == 1

    async def test_a_thousand_increments(
        self, backend: CacheBackendProtocol, counting: SupportsIncrement
    ) -> None:
        """50 tasks that count 20 times each give 1000 different answers and 1000 in the end."""
        key = self.key("n")

        async def count() -> list[int]:
            return [await counting.incr(key) for _ in range(20)]

        answers = await asyncio.gather(*(count() for _ in range(50)))
        assert sorted(answer for each in answers for answer in each) == list(range(1, 1001))
        assert await backend.get(key) == b"1000"
