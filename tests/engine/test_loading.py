"""What a computation costs on a store that is far away, and what its joiners get when others interfere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any

import pytest

from asynccache import BackendUnavailableError, Cache, CacheConfig, CachePolicy, InMemoryBackend
from asynccache._engine.loading import pause_after
from asynccache.events import Refused
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import Gated, Loads, ThreeMethods, local, over, ticks


class Unclearable(InMemoryBackend):
    """With leases but without clear, as memcached is: namespaces have generations."""

    clear = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


STORES: dict[str, type[InMemoryBackend]] = {"clears": InMemoryBackend, "has generations": Unclearable}


def far_away(kind: type[InMemoryBackend] = InMemoryBackend, **settings: Any) -> tuple[Gated, Cache, Cache]:
    """Return a store that is asked for bytes, and two processes that use it."""
    clock = FakeClock()
    gated = Gated(kind(clock=clock))
    return gated, over(gated, clock, **settings), over(gated, clock, **settings)


def operations(gated: Gated) -> list[str]:
    return [operation for operation, _ in gated.calls]


# -- round trips -------------------------------------------------------------------------------------------


async def test_what_a_miss_costs() -> None:
    """Look up; take the lease; look again, since somebody may have filled between the two; fill. No more."""
    gated, cache, _ = far_away()
    assert await cache.get_or_set("k", Loads("v")) == "v"
    assert operations(gated) == ["get", "acquire_lease", "get", "fill"]


@pytest.mark.parametrize("store", STORES)
async def test_what_a_miss_with_tags_costs(store: str) -> None:
    """No more: the stamps come with each look, and those of the second are what the value will carry."""
    gated, cache, _ = far_away(STORES[store])
    await cache.get_or_set("other", Loads("v"), tags=["t"])
    gated.calls.clear()
    assert await cache.get_or_set("k", Loads("v"), tags=["t"]) == "v"
    assert [call for call in operations(gated) if call != "touch"] == [  # a stamp is renewed now and then
        "get_many",
        "acquire_lease",
        "get_many",
        "fill",
    ]


async def test_what_was_filled_meanwhile_costs_one_release() -> None:
    """The second look finds it; the lease is given back, once."""
    gated, here, there = far_away()
    stop = gated.stop("acquire_lease")
    asking = asyncio.create_task(here.get_or_set("k", Loads("unused")))
    await stop.reached.wait()
    await there.set("k", "v")
    gated.calls.clear()
    stop.go()
    assert await asking == "v"
    assert operations(gated) == ["get", "release_lease"]


@pytest.mark.parametrize("why", ["raises", "is not to be stored", "is too large", "is no value", "is voided"])
async def test_an_unused_lease_is_given_back(why: str) -> None:
    """Nobody has to wait for a value that will not come."""
    gated, cache, _ = far_away(max_value_bytes=100)
    policy = CachePolicy(ttl=60, tags=["t"], store_if=lambda _: why != "is not to be stored")
    values = {"is too large": "x" * 200, "is no value": object()}
    load = Loads(values.get(why, "v"))
    gate = load.close()
    load.error = LookupError("gone") if why == "raises" else None
    loading = asyncio.create_task(cache.get_or_set("k", load, policy=policy))
    await load.reading.wait()
    if why == "is voided":
        await cache.invalidate_tags("t")
    gate.set()
    await asyncio.gather(loading, return_exceptions=True)
    assert operations(gated)[-1] == "release_lease"
    assert "fill" not in operations(gated)


async def test_a_refused_fill_has_ended_the_lease() -> None:
    """There is nothing left to give back."""
    events = RecordedEvents()
    gated, here, there = far_away(observers=[events])
    load = Loads("old")
    gate = load.close()
    loading = asyncio.create_task(here.get_or_set("k", load))
    await load.reading.wait()
    await there.delete("k")
    gate.set()
    assert await loading == "old"
    assert operations(gated)[-1] == "fill"
    assert [event.reason for event in events.of(Refused)] == ["outdated"]


async def test_a_fill_of_which_nobody_knows_is_followed_by_a_release() -> None:
    """The lease may still be held."""
    gated, cache, _ = far_away()
    gated.failures["fill"] = BackendUnavailableError("lost")
    assert await cache.get_or_set("k", Loads("v")) == "v"
    assert [call for call in operations(gated) if call != "delete"][-2:] == ["fill", "release_lease"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("bulk", [False, True], ids=["one", "many"])
async def test_who_leaves_while_the_lease_is_on_its_way_leaves_none(*, after: bool, bulk: bool) -> None:
    """Others would wait for it in vain."""
    gated, cache, other = far_away(lease_ttl=30)

    async def load_many(missing: list[str]) -> dict[str, str]:
        return dict.fromkeys(missing, "v")

    stop = gated.stop("acquire_lease", after=after)
    loading = cache.get_or_set_many(["k", "l"], load_many) if bulk else cache.get_or_set("k", Loads())
    asking = asyncio.ensure_future(loading)
    await stop.reached.wait()
    asking.cancel()
    await ticks()
    stop.go()
    await ticks(40)
    async with asyncio.timeout(5):
        assert await other.get_or_set("k", Loads("w")) == "w"
        if bulk:
            assert await other.get_or_set("l", Loads("w")) == "w"
    assert len(cache.entries.access.chores) == 0


async def test_closing_waits_for_what_is_still_to_be_given_back() -> None:
    """The store must not be asked after it was closed."""
    gated, cache, _ = far_away()
    stop = gated.stop("acquire_lease")
    asking = asyncio.create_task(cache.get_or_set("k", Loads()))
    await stop.reached.wait()
    asking.cancel()
    await ticks()
    closing = asyncio.create_task(cache.aclose())
    await ticks()
    assert not closing.done()
    stop.go()
    await closing
    assert operations(gated)[-1] == "release_lease"


# -- waiting for another process ---------------------------------------------------------------------------


async def test_a_waiter_reads_before_it_writes() -> None:
    """What another process has filled costs its waiter one read; nothing was taken, or given back."""
    gated, here, there = far_away()
    load = Loads("v")
    gate = load.close()
    leading = asyncio.create_task(here.get_or_set("k", load))
    await load.reading.wait()
    gated.calls.clear()
    waiting = asyncio.create_task(there.get_or_set("k", Loads("unused")))
    while operations(gated) != ["get", "acquire_lease", "get"]:  # noqa: ASYNC110 - there is no event for that
        await asyncio.sleep(0)
    gate.set()
    await leading
    gated.calls.clear()
    assert await waiting == "v"
    assert operations(gated) == ["get"]


async def test_a_waiter_takes_over_from_one_that_failed() -> None:
    """A lease that was given back unused is taken by who waits, who looks once more and computes."""
    gated, here, there = far_away()
    load = Loads()
    load.error = LookupError("gone")
    gate = load.close()
    leading = asyncio.create_task(here.get_or_set("k", load))
    await load.reading.wait()
    waiting = asyncio.create_task(there.get_or_set("k", Loads("v")))
    await asyncio.sleep(0.03)
    gate.set()
    with pytest.raises(LookupError):
        await leading
    async with asyncio.timeout(5):
        assert await waiting == "v"
    assert operations(gated)[-2:] == ["get", "fill"]


@pytest.mark.parametrize(
    "waited, pause", [(0.0, 0.005), (0.05, 0.01), (0.1, 0.02), (1.0, 0.02), (2.0, 0.04), (60.0, 0.1)]
)
def test_pauses_suit_how_long_it_has_been(waited: float, pause: float) -> None:
    """Nobody waits for long after the end of what was short, nor asks too often for what is long."""
    assert pause_after(waited) == pytest.approx(pause)


async def test_a_long_wait_writes_less_often_than_it_reads() -> None:
    """Polling gets rarer with time, and most polls leave the lease alone."""
    gated, here, there = far_away()
    load = Loads("v")
    gate = load.close()
    leading = asyncio.create_task(here.get_or_set("k", load))
    await load.reading.wait()
    gated.calls.clear()
    waiting = asyncio.create_task(there.get_or_set("k", Loads("unused")))
    await asyncio.sleep(0.25)
    asked = operations(gated)
    gate.set()
    await asyncio.gather(leading, waiting)
    assert asked.count("acquire_lease") <= asked.count("get") // 4 + 1
    assert asked.count("get") < 40


# -- joiners, and invalidations by another process -----------------------------------------------------------


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("how", ["delete", "set", "tag", "clear"])
async def test_many_who_join_too_late(store: str, how: str) -> None:
    """Those who came before get either value; those who came after the new one, computed once."""
    _, here, there = far_away(STORES[store])
    load = Loads("old")
    gate = load.close()
    first = asyncio.create_task(here.get_or_set("k", load, tags=["t"]))
    await load.reading.wait()
    before = [asyncio.create_task(here.get_or_set("k", load, tags=["t"])) for _ in range(5)]
    await ticks(20)
    load.value = "new"
    invalidations: dict[str, Callable[[], Awaitable[object]]] = {
        "delete": lambda: there.delete("k"),
        "set": lambda: there.set("k", "new", tags=["t"]),
        "tag": lambda: there.invalidate_tags("t"),
        "clear": there.clear,
    }
    await invalidations[how]()
    after = [asyncio.create_task(here.get_or_set("k", load, tags=["t"])) for _ in range(20)]
    await ticks(20)
    gate.set()
    assert await first == "old"
    assert set(await asyncio.gather(*before)) <= {"old", "new"}
    assert await asyncio.gather(*after) == ["new"] * 20
    assert load.runs == (1 if how == "set" else 2)
    assert not here.entries.runs.joinable


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("how", ["delete", "tag", "clear"])
async def test_bulk_joiners_who_come_too_late(store: str, how: str) -> None:
    """The same for many keys at once."""
    _, here, there = far_away(STORES[store])
    load = Loads("old")
    gate = load.close()

    async def load_many(missing: list[str]) -> dict[str, Any]:
        value = await load()
        return dict.fromkeys(missing, value)

    first = asyncio.create_task(here.get_or_set_many(["k", "l"], load_many, tags=["t"]))
    await load.reading.wait()
    load.value = "new"
    invalidations: dict[str, Callable[[], Awaitable[object]]] = {
        "delete": lambda: there.delete("k"),
        "tag": lambda: there.invalidate_tags("t"),
        "clear": there.clear,
    }
    await invalidations[how]()
    second = asyncio.create_task(here.get_or_set_many(["k", "l"], load_many, tags=["t"]))
    await ticks(40)
    gate.set()
    assert await first == {"k": "old", "l": "old"}
    assert (await second)["k"] == "new"
    assert load.runs == 2
    assert not here.entries.runs.joinable


async def test_a_value_found_while_another_process_removed_it_has_no_joiners() -> None:
    """What the second look found may be gone by the time somebody joins: that one looks for itself."""
    gated, here, there = far_away()
    acquiring = gated.stop("acquire_lease")
    first = asyncio.create_task(here.get_or_set("k", Loads("unused")))
    await acquiring.reached.wait()
    await there.set("k", "old")
    looking = gated.stop("get", after=True)
    acquiring.go()
    await looking.reached.wait()  # the old value is on its way
    await there.delete("k")
    second = asyncio.create_task(here.get_or_set("k", Loads("new")))
    await ticks(40)
    looking.go()
    assert await first == "old"
    assert await second == "new"


async def test_constant_invalidation_keeps_nobody_for_ever() -> None:
    """Every computation is outdated before it ends; each caller is done after the one begun after it came."""
    _, here, there = far_away()
    runs = 0

    async def load() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.002)
        await there.delete("k")
        return runs

    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(here.get_or_set("k", load) for _ in range(50)))
    assert set(answers) <= {1, 2}
    assert runs == 2


async def test_a_store_that_is_down_does_not_double_the_work() -> None:
    """Without a lease nobody can tell that anything was outdated: one computation for all who join."""
    gated, here, _ = far_away()
    for operation in ("get", "get_many", "acquire_lease", "add", "fill", "release_lease"):
        gated.failures[operation] = BackendUnavailableError("down")
    load = Loads("v")
    gate = load.close()
    callers = [asyncio.create_task(here.get_or_set("k", load, tags=["t"])) for _ in range(20)]
    await load.reading.wait()
    callers += [asyncio.create_task(here.get_or_set("k", load, tags=["t"])) for _ in range(20)]
    await ticks(40)
    gate.set()
    assert await asyncio.gather(*callers) == ["v"] * 40
    assert load.runs == 1


async def test_without_leases_joiners_are_served_while_it_is_stored() -> None:
    """A store without leases has nothing that would keep a newcomer from computing once more."""
    gated = Gated(ThreeMethods(FakeClock()))
    cache = over(gated, FakeClock())
    load = Loads("v")
    storing = gated.stop("set", skip=1)  # the first plants the namespace's generation
    first = asyncio.create_task(cache.get_or_set("k", load))
    await storing.reached.wait()
    second = asyncio.create_task(cache.get_or_set("k", load))
    await ticks(40)
    storing.go()
    assert [await first, await second] == ["v", "v"]
    assert load.runs == 1


async def test_bulk_values_that_are_being_stored_have_no_joiners() -> None:
    """What another process removes while they are on their way back is not handed to who comes then."""
    gated, here, there = far_away()

    async def old(missing: list[str]) -> dict[str, str]:
        return dict.fromkeys(missing, "old")

    async def new(missing: list[str]) -> dict[str, str]:
        return dict.fromkeys(missing, "new")

    filled = gated.stop("fill", after=True)
    first = asyncio.create_task(here.get_or_set_many(["k"], old))
    await filled.reached.wait()
    await there.delete("k")
    second = asyncio.create_task(here.get_or_set_many(["k"], new))
    await ticks(40)
    filled.go()
    assert await first == {"k": "old"}
    assert await second == {"k": "new"}


@pytest.mark.parametrize("store", ["local", "remote"])
@pytest.mark.parametrize("value", [[1], b"bytes", "text"])
async def test_what_is_dropped_at_once_is_whole_for_all_who_wait(value: Any, store: str) -> None:
    """Before they get to it: nobody is given less, nor somebody else's object."""
    cache = local(FakeClock()) if store == "local" else over(Gated(InMemoryBackend()), FakeClock())
    dropping: list[asyncio.Future[Any]] = []

    async def load() -> Any:
        await ticks()
        dropping.append(asyncio.ensure_future(cache.delete("k")))
        return copy(value)

    found = await asyncio.gather(*(cache.get_or_set("k", load) for _ in range(3)))
    await asyncio.gather(*dropping)

    assert found == [value] * 3
    assert len(dropping) == 1
    assert value != [1] or len({id(each) for each in found}) == 3


class FilledMeanwhile(InMemoryBackend):
    """While somebody takes a lease, another one stores a value, and a third is about to remove it."""

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        token = await super().acquire_lease(key, ttl)
        await ticks()
        await Cache(CacheConfig(backend=self)).set("k", b"found")
        self.removing = asyncio.ensure_future(self.delete(key))
        return token


async def test_what_is_found_and_dropped_at_once_is_whole_for_all_who_wait() -> None:
    """The store has it no more when they get to it."""
    store = FilledMeanwhile()
    cache = Cache(CacheConfig(backend=store))
    found = await asyncio.gather(*(cache.get_or_set("k", never) for _ in range(3)))
    await store.removing

    assert found == [b"found"] * 3
    assert await cache.get("k") is None


async def never() -> bytes:
    raise AssertionError("it is there")
