"""Leases are given back, whoever is cancelled, and however often; those on responses: see http_middleware."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from asynccache import BackendUnavailableError, Cache, InMemoryBackend
from asynccache.testing import FakeClock
from tests.cache_doubles import Gated, Loads, over, ticks

T = TypeVar("T")


class Server(InMemoryBackend):
    """One that other processes use, too."""

    async def aclose(self) -> None:
        """It goes on."""


def far_away(
    kind: type[Gated] = Gated, server: type[Server] = Server, *, fail_open: bool = True
) -> tuple[Gated, Cache]:
    """Return a store that is asked for bytes, and a process that uses it."""
    clock = FakeClock()
    gated = kind(server(clock=clock))
    return gated, over(gated, clock, fail_open=fail_open)


async def all_given_back(gated: Gated) -> bool:
    """Return whether every lease that was ever taken can be taken by others."""
    await ticks(40)
    taken = {keys[0] for operation, keys in gated.calls if operation == "acquire_lease"}
    assert taken
    return all([await gated.inner.acquire_lease(key, 1) is not None for key in sorted(taken)])


async def test_who_is_cancelled_twice_gives_its_lease_back() -> None:
    """The only caller leaves, and then the cache is closed, while the release has to wait for its turn."""
    gated, cache = far_away()
    load = Loads()
    load.close()
    loading = asyncio.ensure_future(cache.get_or_set("k", load))
    await load.reading.wait()
    stop = gated.stop("acquire_lease")
    touching = asyncio.ensure_future(cache.touch("k", 60))
    await stop.reached.wait()
    loading.cancel()
    await ticks()
    closing = asyncio.ensure_future(cache.aclose())
    await ticks()
    stop.go()
    await closing
    assert await touching is False
    assert await all_given_back(gated)


@pytest.mark.parametrize("between", range(8))
async def test_who_is_cancelled_twice_gives_many_leases_back(between: int) -> None:
    """The same for several keys at once, in whichever turn of the loop the second time comes."""
    gated, cache = far_away()
    reading = asyncio.Event()

    async def load(missing: list[str]) -> dict[str, str]:
        reading.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    loading = asyncio.ensure_future(cache.get_or_set_many(["k", "l"], load))
    await reading.wait()
    loading.cancel()
    await ticks(between)
    await cache.aclose()
    assert await all_given_back(gated)


class FailingForOne(Gated):
    """No lease on one of the keys."""

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        if operation == "acquire_lease" and keys[0].endswith("k"):
            raise BackendUnavailableError("lost")
        return await super()._call(operation, keys, call)


async def test_a_lease_taken_while_another_failed_is_given_back() -> None:
    """``fail_open=False``: one failure ends it all, but not before the others are known."""
    gated, cache = far_away(FailingForOne, fail_open=False)
    stop = gated.stop("acquire_lease")

    async def load(missing: list[str]) -> dict[str, str]:
        raise AssertionError("not reached")

    loading = asyncio.ensure_future(cache.get_or_set_many(["k", "l"], load))
    await stop.reached.wait()
    await ticks()
    stop.go()
    with pytest.raises(BackendUnavailableError, match="lost"):
        await loading
    assert await all_given_back(gated)


async def test_an_add_that_is_cancelled_keeps_nobody_from_adding() -> None:
    """Where a dead entry is in the way it takes a lease, during which others are told that they are late."""
    gated, cache = far_away()
    await cache.set("k", "v", tags=["t"])
    await cache.invalidate_tags("t")
    stop = gated.stop("acquire_lease")
    adding = asyncio.ensure_future(cache.add("k", "w"))
    await stop.reached.wait()
    adding.cancel()
    await ticks()
    stop.go()
    await ticks()
    assert await cache.add("k", "x")
    assert await cache.get("k") == "x"
    assert len(cache.entries.runs) == 0


async def test_a_failing_release_is_told_to_whoever_waits_for_it() -> None:
    """``fail_open=False``: it is an error; for whoever has left it is a line in the log."""
    gated, cache = far_away(fail_open=False)
    gated.failures["release_lease"] = BackendUnavailableError("lost")
    load = Loads()
    load.error = OSError("database")
    with pytest.raises(BackendUnavailableError, match="lost"):
        await cache.get_or_set("k", load)


class Unreleasing(Server):
    """It fails when it comes to giving a lease back."""

    async def release_lease(self, key: str, token: str) -> None:
        raise BackendUnavailableError("lost")


async def test_a_failing_release_of_whoever_has_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else would hear of it."""
    gated, cache = far_away(server=Unreleasing, fail_open=False)
    stop = gated.stop("release_lease")
    load = Loads()
    load.error = OSError("database")
    loading = asyncio.ensure_future(cache.get_or_set("k", load))
    await stop.reached.wait()
    loading.cancel()
    await ticks()
    assert "a chore failed" not in caplog.text
    stop.go()
    await ticks()
    assert "a chore failed" in caplog.text
