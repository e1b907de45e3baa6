"""A store that fails, hangs or lies never fails a request, and costs at most its deadline."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from asynccache import BackendError, BackendUnavailableError, CachePolicy, GuardConfig, InMemoryBackend
from asynccache.events import Failed
from asynccache.http import MarkedApp
from asynccache.testing import ChaosBackend, RecordedEvents
from tests.http_middleware.tiny_apps import Handler, Site, by_path, respond

POLICY = CachePolicy(ttl=60, tags=("t",))
VARYING = [(b"vary", b"x-a")]


def site_on(chaos: ChaosBackend, handler: Handler, **settings: Any) -> Site:
    app = by_path({"PUT /": Handler(body="written"), "/": MarkedApp(handler, POLICY)})
    return Site(app, backend=chaos, **settings)


@pytest.mark.parametrize("varying", [False, True], ids=["plain", "varying"])
async def test_a_dead_store_fails_no_request(varying: bool) -> None:
    """Each request runs the handler and is answered as if there were no cache; failures are events."""
    chaos = ChaosBackend(InMemoryBackend())
    events = RecordedEvents()
    handler = Handler(headers=VARYING if varying else [])
    site = site_on(chaos, handler, observers=[events])
    await site.get("/")
    chaos.fail()
    for run in (2, 3):
        answer = await site.get("/")
        assert (answer.status, answer.text) == (200, f"run {run}")
        assert "stored" not in answer.cache_status
    assert (await site.client.request("PUT", "/")).text == "written"
    assert events.of(Failed)
    assert site.at_rest


async def test_a_store_that_is_back_is_used_again() -> None:
    """After the outage responses are stored and served again, and nothing from before a write."""
    chaos = ChaosBackend(InMemoryBackend())
    handler = Handler()
    guard = GuardConfig(breaker_seconds=0.001)
    site = site_on(chaos, handler, guard=guard)
    assert (await site.get("/")).text == "run 1"
    chaos.fail()
    await site.client.request("PUT", "/")
    chaos.heal()
    await asyncio.sleep(0.01)
    for _ in range(100):
        answer = await site.get("/")
        assert answer.text != "run 1", "an invalidation during the outage must not be lost"
        if answer.hit:
            break
        await asyncio.sleep(0.01)
    assert (await site.get("/")).hit


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
async def test_a_flaky_store_never_gives_a_wrong_answer(rate: float) -> None:
    """Errors before and after the store acts, and damaged replies: right answers all the same."""
    chaos = ChaosBackend(InMemoryBackend(), error_rate=rate, corrupt_rate=rate / 2, seed=3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, scope["raw_path"] + b"?" + scope["query_string"])

    site = Site(app, POLICY, backend=chaos, guard=GuardConfig(breaker_failures=10**6))
    for number in range(150):
        answer = await site.get(f"/{number % 5}?{number % 2}")
        assert answer.text == f"/{number % 5}?{number % 2}"
    assert chaos.count.errors
    assert site.at_rest


async def test_a_hanging_store_costs_at_most_its_deadline() -> None:
    """A frozen store is given its time once or a few times, then left alone."""
    chaos = ChaosBackend(InMemoryBackend())
    chaos.hang()
    guard = GuardConfig(timeout=0.05, breaker_failures=2, breaker_seconds=1000)
    site = site_on(chaos, Handler(), guard=guard)
    try:
        started = monotonic()
        first = await site.get("/")
        assert first.text == "run 1"
        assert monotonic() - started < 30
        hangs = chaos.count.hangs
        for run in range(2, 50):
            assert (await site.get("/")).text == f"run {run}"
        assert chaos.count.hangs <= hangs + 2, "the breaker must keep requests away from a frozen store"
    finally:
        chaos.heal()
        await site.cache.aclose()


async def test_fail_open_off_reports_the_failure() -> None:
    """``fail_open=False``: who wants to know gets the error instead of a run of the handler."""
    chaos = ChaosBackend(InMemoryBackend())
    site = site_on(chaos, handler := Handler(), fail_open=False)
    chaos.fail()
    with pytest.raises(BackendError):
        await site.get("/")
    assert handler.runs == 0
    assert site.at_rest


async def test_damaged_entries_are_misses() -> None:
    """What is no response, whatever it is, is produced anew."""
    backend = InMemoryBackend()
    chaos = ChaosBackend(backend)
    events = RecordedEvents()
    site = site_on(chaos, Handler(), observers=[events])
    await site.get("/")
    key = events.misses[0].key
    stored = await backend.get(key)
    assert stored is not None
    for damage in (
        b"",
        b"garbage",
        stored[:-1],
        stored[:20],
        stored + b"x",
        stored[:30] + b"\xff" + stored[31:],
    ):
        await backend.set(key, damage)
        answer = await site.get("/")
        assert answer.status == 200
        assert not answer.hit
    assert (await site.get("/")).hit


class Forgetful:
    """A store that cannot keep what tags need."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """Return the bytes under ``key``."""
        self._refuse(key)
        return self.data.get(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store ``value``."""
        self._refuse(key)
        self.data[key] = value

    async def delete(self, key: str) -> bool:
        """Remove ``key``."""
        return self.data.pop(key, None) is not None

    def _refuse(self, key: str) -> None:
        if "#t" in key:
            raise BackendUnavailableError("no such shard", backend="forgetful", key=key)


async def test_what_its_tags_cannot_reach_is_not_stored() -> None:
    """Where the store cannot tell the state of a tag, an invalidation would miss the response."""
    site = Site(Handler(), POLICY, backend=Forgetful(), guard=GuardConfig(breaker_failures=10**6))
    for run in (1, 2, 3):
        answer = await site.get("/")
        assert (answer.text, answer.cache_status) == (f"run {run}", "asynccache; fwd=uri-miss")
