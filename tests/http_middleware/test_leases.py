"""Leases on responses: whoever leaves, and whenever, leaves none behind, for which others would wait in vain.

What is asked of the store in a task of its own goes on without its caller. A request can therefore be
caught where its turn has not come yet: `Busy` keeps the store busy with the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asynccache import BackendUnavailableError, CachePolicy, HTTPConfig, InMemoryBackend
from asynccache.testing import FakeClock
from tests.cache_doubles import PATIENT, Gated, Stop
from tests.http_middleware.asgi_client import Ongoing, ticks, until
from tests.http_middleware.tiny_apps import Handler, Site, respond

POLICY = CachePolicy(ttl=60, stale_if_error=600)
ALONE = [("authorization", "somebody")]
"""Whose request this is waits for nobody, and nobody waits for it."""


def far_away(app: Any, policy: CachePolicy = POLICY, **settings: Any) -> tuple[Gated, Site]:
    """Return a store that is asked for bytes, and an application cached there."""
    gated = Gated(InMemoryBackend(clock=FakeClock()))
    return gated, Site(app, policy, backend=gated, guard=PATIENT, **settings)


class Busy:
    """A request that keeps the store at work on the key of ``/``, until it is let go."""

    def __init__(self, gated: Gated, site: Site) -> None:
        self.stop: Stop = gated.stop("acquire_lease")
        self.request: Ongoing = site.start("/", ALONE)

    async def ends(self) -> None:
        self.stop.go()
        await asyncio.wait({self.request.task})


async def keep_busy(gated: Gated, site: Site) -> Busy:
    busy = Busy(gated, site)
    await busy.stop.reached.wait()
    return busy


async def leave(request: Ongoing, times: int = 1) -> None:
    """Cancel a request, again while it tidies up."""
    for _ in range(times):
        request.task.cancel()
        await ticks()


async def all_given_back(gated: Gated, site: Site) -> bool:
    """Return whether every lease that was ever taken can be taken by others."""
    await ticks(40)
    taken = {keys[0] for operation, keys in gated.calls if operation == "acquire_lease"}
    assert taken
    free = [await gated.inner.acquire_lease(key, 1) is not None for key in sorted(taken)]
    return all(free) and not site.middleware.flights.leases and site.at_rest


async def _answers(handler: Handler, request: Ongoing) -> None:
    handler.gate.set()
    await ticks()
    await leave(request)


async def _leaves_twice(handler: Handler, request: Ongoing) -> None:
    await leave(request, 2)
    handler.gate.set()


async def _leaves_while_it_is_stored(handler: Handler, request: Ongoing) -> None:
    handler.gate.set()
    await ticks()
    await leave(request, 2)


MOMENTS: dict[str, tuple[dict[str, Any], Callable[[Handler, Ongoing], Awaitable[None]]]] = {
    "the response is not to be stored": ({"headers": [(b"set-cookie", b"a=b")]}, _answers),
    "the handler has raised": ({"error": OSError("database")}, _answers),
    "the client is gone": ({}, _leaves_twice),
    "the response is being stored": ({}, _leaves_while_it_is_stored),
}
COVERED: dict[str, dict[str, Any]] = {
    "the answer is an error": {"status": 503},
    "the handler has raised": {"error": OSError("database")},
}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_leader_cancelled_while_it_gives_its_lease_back(moment: str) -> None:
    """Wherever a production ends, its request may be cancelled, for the second time perhaps."""
    settings, act = MOMENTS[moment]
    handler = Handler()
    handler.gate.clear()
    vars(handler).update(settings)
    gated, site = far_away(handler)
    leader = site.start("/")
    await until(lambda: handler.runs == 1)
    busy = await keep_busy(gated, site)
    await act(handler, leader)
    assert leader.task.done()
    await busy.ends()
    assert await all_given_back(gated, site)


@pytest.mark.parametrize("moment", COVERED)
async def test_a_leader_cancelled_while_a_stale_response_stands_in(moment: str) -> None:
    """The same where the response that was produced is thrown away."""
    handler = Handler()
    gated, site = far_away(handler)
    await site.get("/")
    site.clock.advance(61)
    handler.gate.clear()
    vars(handler).update(COVERED[moment])
    leader = site.start("/")
    await until(lambda: handler.runs == 2)
    busy = await keep_busy(gated, site)
    await _answers(handler, leader)
    assert leader.task.done()
    await busy.ends()
    assert await all_given_back(gated, site)


async def test_a_leader_cancelled_before_its_handler_runs() -> None:
    """Between taking the lease and running the handler the stamps of the tags are read."""
    handler = Handler()
    gated, site = far_away(handler, POLICY.but(tags=("t",)))
    stop = gated.stop("get_many", skip=1)
    leader = site.start("/")
    await stop.reached.wait()
    busy = await keep_busy(gated, site)
    await leave(leader, 2)
    assert leader.task.done()
    stop.go()
    await busy.ends()
    assert len(handler.scopes) == 1, "only the other request reaches it"
    assert await all_given_back(gated, site)


async def test_a_leader_cancelled_while_it_takes_a_lease_over() -> None:
    """Who went ahead alone has the lease until a leader comes; it must not be lost between the two."""
    handler = Handler()
    handler.gate.clear()
    gated, site = far_away(handler)
    alone = site.start("/", ALONE)
    await until(lambda: handler.runs == 1)
    busy = await keep_busy(gated, site)
    leader = site.start("/")
    await ticks()
    await leave(leader)
    assert leader.task.done()
    handler.gate.set()
    await busy.ends()
    await asyncio.wait({alone.task})
    assert await all_given_back(gated, site)


async def test_a_leader_takes_the_lease_from_whoever_came_between() -> None:
    """It has just taken it from one that went ahead alone: another such one is no reason to wait either."""
    handler = Handler()
    handler.gate.clear()
    gated, site = far_away(handler, batching=False)
    first = site.start("/", ALONE)
    await until(lambda: handler.runs == 1)
    stop = gated.stop("release_lease", after=True)
    leader = site.start("/")
    await stop.reached.wait()
    second = site.start("/", ALONE)
    await until(lambda: handler.runs == 2)
    stop.go()
    async with asyncio.timeout(5):
        await until(lambda: handler.runs == 3, pause=0.001)
    handler.gate.set()
    await asyncio.wait({first.task, leader.task, second.task})
    assert (await site.get("/")).text == "run 3"
    assert await all_given_back(gated, site)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_leader_cancelled_while_its_lease_is_on_its_way(*, after: bool) -> None:
    """It is given back as soon as it is there; closing the cache waits for that."""
    handler = Handler()
    gated, site = far_away(handler)
    stop = gated.stop("acquire_lease", after=after)
    leader = site.start("/")
    await stop.reached.wait()
    await leave(leader, 2)
    closing = asyncio.ensure_future(site.cache.aclose())
    await ticks()
    assert not closing.done()
    stop.go()
    await closing
    assert gated.calls[-1][0] == "release_lease"
    assert await all_given_back(gated, site)


# -- variants: a second lease, on their own key -------------------------------------------------------------


async def _varying(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"x" * 20_000, headers=[(b"vary", b"accept-language")])


async def test_a_variant_that_is_too_large() -> None:
    """Its index fits and it does not: who asks next must not wait for it."""
    gated, site = far_away(_varying, max_value_bytes=10_000)
    assert (await site.get("/")).status == 200
    assert await all_given_back(gated, site)


async def test_a_variant_of_which_nobody_knows_whether_it_was_stored() -> None:
    """The store may still hold the lease."""
    gated, site = far_away(_varying)
    stop = gated.stop("acquire_lease", skip=1)
    asked = site.start("/")
    await stop.reached.wait()
    gated.failures["fill"] = BackendUnavailableError("lost")
    stop.go()
    assert (await asked.answer()).status == 200
    assert await all_given_back(gated, site)


async def test_a_variant_outdated_before_it_was_stored() -> None:
    """An invalidation between index and variant refuses it without asking the store."""
    gated, site = far_away(_varying, POLICY.but(tags=("t",)))
    stop = gated.stop("acquire_lease", skip=1)
    asked = site.start("/")
    await stop.reached.wait()
    await site.cache.invalidate_tags("t")
    stop.go()
    assert (await asked.answer()).status == 200
    assert await all_given_back(gated, site)


async def test_one_process_refreshes_for_all_behind_a_shared_cache() -> None:
    """Another process holds the lease of what is stale: here it is served, and the application left alone."""
    fields = [(b"cache-control", b"max-age=10, stale-while-revalidate=600")]
    handler = Handler(headers=fields)
    gated = Gated(InMemoryBackend(clock=FakeClock()))
    site = Site(handler, http=HTTPConfig(mode="rfc9111"), backend=gated, guard=PATIENT)
    await site.get("/")
    site.clock.advance(20)
    (key,) = {keys[0] for operation, keys in gated.calls if operation == "acquire_lease"}
    token = await gated.inner.acquire_lease(key, 60)
    assert token is not None
    stale = await site.get("/")
    await site.idle()
    assert (stale.text, handler.runs) == ("run 1", 1)
    await gated.inner.release_lease(key, token)
    assert (await site.get("/")).text == "run 1"
    await site.idle()
    assert ((await site.get("/")).text, handler.runs) == ("run 2", 2)
