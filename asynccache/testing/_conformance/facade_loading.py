# ruff: noqa: S101  (asserts are what a test consists of)
"""``get_or_set``: one run for everyone, nothing outdated, nothing wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from asynccache.cache import Cache
from asynccache.policy import CachePolicy
from asynccache.testing._conformance.expiry import TTL
from asynccache.testing._conformance.facade import Facade

__all__ = ["FacadeLoading"]

PATIENCE: Final = 10.0
JOINING: Final = 0.1
"""Seconds in which a caller has certainly asked the store and joined the computation."""


class Loader:
    """Counts its runs, and waits or fails when told to."""

    def __init__(self, wrap: Callable[[str], Any]) -> None:
        self.wrap = wrap
        self.runs = 0
        self.error: Exception | None = None
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Any:
        """Return which run this is."""
        self.runs += 1
        run = self.runs
        self.started.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.wrap(f"run {run}")


class FacadeLoading(Facade):
    """``get_or_set`` and ``get_or_set_many``."""

    def wrap(self, text: str) -> Any:
        """Return ``text`` as something the codec can write."""
        return text.encode() if self.options.get("codec") == "raw" else text

    def run(self, number: int) -> Any:
        """Return what the loader's run ``number`` gives."""
        return self.wrap(f"run {number}")

    async def eventually(self, wanted: Any, ask: Callable[[], Awaitable[Any]]) -> None:
        """Wait until a background refresh shows."""
        async with asyncio.timeout(PATIENCE):
            while await ask() != wanted:  # noqa: ASYNC110  (the refresh is not ours to signal)
                await asyncio.sleep(0.001)

    async def test_loads_once(self, cache: Cache) -> None:
        """A miss runs the loader, a hit does not, and its result is stored like any other."""
        load = Loader(self.wrap)
        assert await cache.get_or_set("k", load) == self.run(1)
        assert await cache.get_or_set("k", load) == self.run(1)
        assert await cache.get("k") == self.run(1)
        assert load.runs == 1

    async def test_one_run_among_a_hundred(self, cache: Cache) -> None:
        """100 tasks that miss at once run the loader once; other keys run their own."""
        load, other = Loader(self.wrap), Loader(self.wrap)
        load.go.clear()
        callers = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(100)]
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        assert await cache.get_or_set("other", other) == self.run(1)
        load.go.set()
        assert await asyncio.gather(*callers) == [self.run(1)] * 100
        assert (load.runs, other.runs) == (1, 1)

    async def test_none_is_cached(self, cache: Cache) -> None:
        """A loader that returns None has answered."""
        if self.options.get("codec") == "raw":
            pytest.skip("the raw codec takes bytes only")
        runs = 0

        async def load() -> None:
            nonlocal runs
            runs += 1

        for _ in range(3):
            answer: Any = await cache.get_or_set("k", load)
            assert answer is None
        assert runs == 1

    async def test_errors_are_not_cached(self, cache: Cache) -> None:
        """Every waiter gets the error, each its own copy; the next caller runs the loader again."""
        load = Loader(self.wrap)
        load.error = LookupError("broken")
        load.go.clear()
        callers = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(20)]
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        await asyncio.sleep(JOINING)
        load.go.set()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert [(type(error), str(error)) for error in outcomes] == [(LookupError, "broken")] * 20
        assert len({id(error) for error in outcomes}) == 20
        assert load.runs == 1
        assert await cache.exists("k") is False
        load.error = None
        assert await cache.get_or_set("k", load) == self.run(2)

    async def test_leader_cancelled(self, cache: Cache) -> None:
        """The first caller going away harms nobody who waits for the same."""
        load = Loader(self.wrap)
        load.go.clear()
        leader = asyncio.create_task(cache.get_or_set("k", load))
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        followers = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(5)]
        await asyncio.sleep(JOINING)
        leader.cancel()
        await asyncio.wait({leader})
        assert leader.cancelled()
        load.go.set()
        assert await asyncio.wait_for(asyncio.gather(*followers), PATIENCE) == [self.run(1)] * 5
        assert load.runs == 1

    async def test_all_cancelled(self, cache: Cache) -> None:
        """When everyone who waited is gone the next caller gets an answer all the same."""
        load = Loader(self.wrap)
        load.go.clear()
        callers = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(5)]
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        load.go.set()
        assert await asyncio.wait_for(cache.get_or_set("k", load), PATIENCE) in {self.run(1), self.run(2)}

    async def test_loads_again_after_expiry(self, cache: Cache) -> None:
        """At its expiry a result is computed anew."""
        load = Loader(self.wrap)
        assert await cache.get_or_set("k", load, TTL) == self.run(1)
        await self.advance(TTL)
        assert await cache.get_or_set("k", load, TTL) == self.run(2)

    async def test_stale_while_revalidate(self, cache: Cache) -> None:
        """Within its window a stale value is served at once, while one refresh runs."""
        load = Loader(self.wrap)
        policy = CachePolicy(ttl=TTL, stale_while_revalidate=60)

        async def ask() -> Any:
            return await cache.get_or_set("k", load, policy=policy)

        assert await ask() == self.run(1)
        await self.advance(TTL)
        load.go.clear()
        load.started.clear()
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*(ask() for _ in range(20))) == [self.run(1)] * 20
            await load.started.wait()
        assert await cache.get("k") is None  # a plain get asks for fresh values only
        load.go.set()
        await self.eventually(self.run(2), lambda: cache.get("k"))
        assert load.runs == 2

    async def test_stale_window_ends(self, cache: Cache) -> None:
        """After its stale window a value is never served."""
        load = Loader(self.wrap)
        policy = CachePolicy(ttl=TTL, stale_while_revalidate=TTL)
        assert await cache.get_or_set("k", load, policy=policy) == self.run(1)
        await self.advance(2 * TTL)
        assert await cache.get_or_set("k", load, policy=policy) == self.run(2)

    async def test_stale_if_error(self, cache: Cache) -> None:
        """Within its window a stale value stands in for an error; after it the error is raised."""
        load = Loader(self.wrap)
        policy = CachePolicy(ttl=TTL, stale_if_error=TTL)
        assert await cache.get_or_set("k", load, policy=policy) == self.run(1)
        await cache.get_or_set("plain", load, TTL)
        await self.advance(TTL)
        load.error = LookupError("broken")
        assert await cache.get_or_set("k", load, policy=policy) == self.run(1)
        with pytest.raises(LookupError):
            await cache.get_or_set("plain", load, TTL)
        await self.advance(TTL)
        with pytest.raises(LookupError):
            await cache.get_or_set("k", load, policy=policy)

    @pytest.mark.parametrize("how", ["delete", "delete_many", "set", "set_many", "tag", "clear"])
    async def test_nothing_outdated_is_stored(self, cache: Cache, how: str) -> None:
        """What is removed or replaced while it is computed is not overwritten by the older result."""
        load = Loader(self.wrap)
        load.go.clear()
        caller = asyncio.create_task(cache.get_or_set("k", load, tags=["t"]))
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        left = await self.interfere(cache, how)
        load.go.set()
        await asyncio.wait_for(caller, PATIENCE)
        assert await cache.get("k") == left

    @pytest.mark.parametrize("how", ["delete", "delete_many", "set", "set_many", "tag", "clear"])
    async def test_nothing_outdated_is_stored_from_elsewhere(
        self, cache: Cache, elsewhere: Cache, how: str
    ) -> None:
        """The same where the one who removes or replaces is another process."""
        if how != "tag" and not cache.capabilities.leases:
            pytest.skip("needs leases")
        load = Loader(self.wrap)
        load.go.clear()
        caller = asyncio.create_task(cache.get_or_set("k", load, tags=["t"]))
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        left = await self.interfere(elsewhere, how)
        load.go.set()
        await asyncio.wait_for(caller, PATIENCE)
        for each in (cache, elsewhere):
            assert await each.get("k") == left

    async def interfere(self, cache: Cache, how: str) -> Any:
        """Replace or remove "k", and return what must be there afterwards."""
        new = self.wrap("new")
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "delete": lambda: cache.delete("k"),
            "delete_many": lambda: cache.delete_many(["k", "other"]),
            "set": lambda: cache.set("k", new),
            "set_many": lambda: cache.set_many({"k": new}),
            "tag": lambda: cache.invalidate_tags("t"),
            "clear": cache.clear,
        }
        await ways[how]()
        return new if how.startswith("set") else None

    async def test_one_run_in_two_processes(self, cache: Cache, elsewhere: Cache) -> None:
        """With leases two processes that miss at once run the loader once, and both get its result."""
        if not cache.capabilities.leases:
            pytest.skip("needs leases")
        load = Loader(self.wrap)
        load.go.clear()
        first = asyncio.create_task(cache.get_or_set("k", load))
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        second = asyncio.create_task(elsewhere.get_or_set("k", load))
        await asyncio.sleep(JOINING)
        load.go.set()
        async with asyncio.timeout(PATIENCE):
            assert (await first, await second) == (self.run(1), self.run(1))
        assert load.runs == 1

    async def test_failure_frees_the_others(self, cache: Cache, elsewhere: Cache) -> None:
        """When the one who computes fails, another process does it without waiting for long."""
        load, other = Loader(self.wrap), Loader(self.wrap)
        load.error = LookupError("broken")
        load.go.clear()
        first = asyncio.create_task(cache.get_or_set("k", load))
        await asyncio.wait_for(load.started.wait(), PATIENCE)
        second = asyncio.create_task(elsewhere.get_or_set("k", other))
        await asyncio.sleep(JOINING)
        load.go.set()
        with pytest.raises(LookupError):
            await first
        assert await asyncio.wait_for(second, 5.0) == self.run(1)

    async def test_invalidations_reach_everyone(self, cache: Cache, elsewhere: Cache) -> None:
        """What one process removes is gone for the other, which has read it before."""
        for how in ("delete", "delete_many", "set", "tag", "clear"):
            for each in (cache, elsewhere):
                await each.set("k", self.wrap("old"), tags=["t"])
                for reader in (cache, elsewhere):
                    assert await reader.get("k") == self.wrap("old")
            left = await self.interfere(elsewhere, how)
            assert await cache.get("k") == left, how
            assert await cache.get_many(["k", "other"]) == ({} if left is None else {"k": left}), how

    async def test_loads_only_what_is_missing(self, cache: Cache) -> None:
        """``get_or_set_many`` loads the missing keys in one call; what the loader leaves out is left out."""
        await cache.set("a", self.wrap("stored"))
        asked: list[list[str]] = []

        async def load(missing: list[str]) -> dict[str, Any]:
            asked.append(list(missing))
            return {key: self.wrap(f"loaded {key}") for key in missing if key != "unknown"}

        for _ in range(2):
            found = await cache.get_or_set_many(["b", "a", "unknown", "b"], load)
            assert found == {"b": self.wrap("loaded b"), "a": self.wrap("stored")}
        assert asked == [["b", "unknown"], ["unknown"]]
        assert await cache.get("b") == self.wrap("loaded b")
        assert await cache.get_or_set_many([], load) == {}
