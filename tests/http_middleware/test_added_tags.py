"""Tags that only the response tells; and what was invalidated while nobody knew them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest

from asynccache import CachePolicy, HTTPConfig, InMemoryBackend
from asynccache.http import MarkedApp, cache_context
from asynccache.testing import ChaosBackend, FakeClock
from tests.http_middleware.asgi_client import ticks
from tests.http_middleware.tiny_apps import Handler, Site, respond

T = TypeVar("T")
MISS, HIT, LATE = "fwd=uri-miss; stored", "hit; ttl=60", "fwd=uri-miss; detail=tags"


class Tagged:
    """An application that says at its end what its response is tagged with."""

    def __init__(self, *tags: str, field: bytes | None) -> None:
        self.tags = tags
        self.field = field
        self.runs = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.runs += 1
        body = b"run %d" % self.runs
        await self.gate.wait()
        headers = [(b"cache-control", b"public, max-age=60")]
        if self.field is None:
            cache_context().add_tags(*self.tags)
        else:
            headers.append((self.field, " ".join(self.tags).encode()))
        await respond(send, body, headers=headers)


class Way(ChaosBackend):
    """One process's way to the store, on which one call can be held up."""

    held: asyncio.Event
    """Set when a call is held up."""
    _free: asyncio.Event
    _what = ""
    _after = 0

    def hold(self, what: str, *, after: int = 0) -> None:
        """Hold up the next call of ``what`` but ``after``."""
        self._what, self._after = what, after
        self.held, self._free = asyncio.Event(), asyncio.Event()

    def go_on(self) -> None:
        """Let it pass."""
        self._what = ""
        self._free.set()

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        if self._what and operation.startswith(self._what):
            self._after -= 1
            if self._after < 0:
                self.held.set()
                await self._free.wait()
        return await super()._call(operation, keys, call)


class World:
    """Some processes on one store."""

    def __init__(self, store: str, mode: str, *, processes: int = 1) -> None:
        self.app = Tagged("a", "b", field=b"surrogate-key" if mode == "field" else None)
        http = HTTPConfig(mode="marked" if mode == "marked" else "rfc9111", coalesce_timeout=100)
        policy = CachePolicy(ttl=60) if mode == "marked" else None
        inner = InMemoryBackend(clock=FakeClock())
        self.ways = [Way(inner) for _ in range(processes)]
        self.sites = [
            Site(self.app, policy, http=http, backend=inner if store == "local" else way) for way in self.ways
        ]

    async def told(self, path: str, process: int = 0) -> str:
        """Ask for a page, and return what the cache says of it."""
        return (await self.sites[process].get(path)).cache_status.removeprefix("asynccache; ")


MODES = pytest.mark.parametrize("mode", ["marked", "field", "context"])
STORES = pytest.mark.parametrize("store", ["local", "remote"])


@MODES
async def test_in_a_store_of_the_process_the_first_response_is_stored(mode: str) -> None:
    """What tells whether something was invalidated meanwhile costs nothing there."""
    world = World("local", mode)
    assert [await world.told("/") for _ in range(2)] == [MISS, HIT]
    for tag in ("b", "other", "a"):
        await world.sites[0].cache.invalidate_tags(tag)
        assert await world.told("/") == (HIT if tag == "other" else MISS)
        assert await world.told("/") == HIT


@MODES
async def test_elsewhere_it_is_stored_once_such_tags_are_known_to_come(mode: str) -> None:
    """Until then nobody looks at what tells whether something was invalidated meanwhile."""
    world = World("remote", mode)
    assert [await world.told("/") for _ in range(3)] == [LATE, MISS, HIT]
    assert [await world.told("/other") for _ in range(2)] == [MISS, HIT]
    await world.sites[0].cache.invalidate_tags("b")
    assert [await world.told("/other") for _ in range(2)] == [MISS, HIT]


@MODES
@STORES
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("process", [0, 1], ids=["here", "by another cache"])
async def test_what_is_invalidated_during_the_run_is_not_stored(
    mode: str, store: str, soft: bool, process: int
) -> None:
    """Whoever asks afterwards does not get it either, by waiting for it or otherwise."""
    world = World(store, mode, processes=2 if process else 1)
    site = world.sites[0]
    await world.told("/warm")
    before = world.app.runs
    world.app.gate.clear()
    old = site.start("/")
    while world.app.runs == before:
        await ticks(1)
    await world.sites[process].cache.invalidate_tags("b", soft=soft)
    new = site.start("/")
    await ticks()
    world.app.gate.set()

    assert (await old.answer()).cache_status == f"asynccache; {LATE}"
    assert (await new.answer()).text == f"run {before + 2}"
    assert (await site.get("/")).text == f"run {before + 2}"
    assert site.at_rest


@MODES
@STORES
async def test_what_has_other_tags_costs_one_response_at_most(mode: str, store: str) -> None:
    """It is not known which tag was invalidated meanwhile; the next time it is known which ones matter."""
    world = World(store, mode)
    site = world.sites[0]
    await world.told("/warm")
    told: list[str] = []
    for _ in range(2):
        world.app.gate.clear()
        asked = site.start("/")
        await ticks()
        await site.cache.invalidate_tags("c")
        world.app.gate.set()
        told.append((await asked.answer()).cache_status.removeprefix("asynccache; "))

    assert told == [LATE, MISS]


@MODES
@STORES
async def test_all_who_wait_get_it(mode: str, store: str) -> None:
    """One run, although nobody knew its tags."""
    world = World(store, mode)
    await world.told("/warm")
    world.app.gate.clear()
    asked = [world.sites[0].start("/") for _ in range(20)]
    await ticks()
    world.app.gate.set()

    assert {(await one.answer()).text for one in asked} == {"run 2"}


@MODES
@pytest.mark.parametrize("deletions", [0, 1, 2])
async def test_an_invalidation_elsewhere_that_is_half_done_is_not_lost(mode: str, deletions: int) -> None:
    """However far it has come when this process looks at the tags: it deletes later what that plants."""
    world = World("remote", mode, processes=2)
    site, other = world.sites
    await world.told("/warm")
    world.app.gate.clear()
    asked = site.start("/")
    await ticks()
    way = world.ways[1]
    way.hold("delete", after=deletions)
    invalidating = asyncio.ensure_future(other.cache.invalidate_tags("b"))
    await ticks()
    world.app.gate.set()
    first = await asked.answer()
    assert invalidating.done() is (deletions == 2)
    way.go_on()
    await invalidating

    assert (await site.get("/")).text != first.text


@MODES
async def test_an_invalidation_here_reaches_what_is_being_stored(mode: str) -> None:
    """By then its tags are known as if they had been from the beginning: nobody waits for it any more."""
    world = World("remote", mode)
    site, [way] = world.sites[0], world.ways
    await world.told("/warm")
    way.hold("fill")
    old = site.start("/")
    await way.held.wait()
    await site.cache.invalidate_tags("b")
    new = site.start("/")
    await ticks()
    way.go_on()

    assert (await old.answer()).text == "run 2"
    assert (await new.answer()).text == "run 3"


@MODES
async def test_another_process_learns_the_tags_from_what_is_stored(mode: str) -> None:
    """It reads them together with the response from the second time on."""
    world = World("remote", mode, processes=2)
    for _ in range(2):
        await world.told("/")
    calls, reads = world.ways[1].count.calls, list[int]()
    for _ in range(3):
        before = sum(calls.values())
        assert await world.told("/", 1) == HIT
        reads.append(sum(calls.values()) - before)
    assert reads == [2, 1, 1]


async def test_tags_of_public_routes_are_read_with_the_response() -> None:
    """Before routing nobody can tell them, but for what was found before."""
    way = Way(InMemoryBackend(clock=FakeClock()))
    policy = CachePolicy(ttl=60, public=True, tags=("a", "b"))
    site = Site(MarkedApp(Handler(), policy), backend=way)
    calls: list[int] = []
    for _ in range(5):
        before = sum(way.count.calls.values())
        await site.get("/")
        calls.append(sum(way.count.calls.values()) - before)
    await site.cache.invalidate_tags("b")

    assert calls[-2:] == [1, 1]
    assert not (await site.get("/")).hit
    assert not site.middleware.responses.late_tags
