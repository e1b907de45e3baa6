"""Many requests, one run: who leads, who waits, and what happens when the leader does not make it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from asynccache import BackendError, CachePolicy, GuardConfig, HTTPConfig, InMemoryBackend
from asynccache._engine.runs import Runs
from asynccache.http._coalescing import Answer as Told, Flights
from asynccache.testing import ChaosBackend
from tests.http_middleware.asgi_client import Ongoing, ticks, until
from tests.http_middleware.tiny_apps import Handler, Site, respond

POLICY = CachePolicy(ttl=60)
PATIENT = HTTPConfig(coalesce_timeout=100)
"""Whoever waits for something that never comes fails by the test's own timeout."""


def remote() -> ChaosBackend:
    """Return a store that is not of this process, as far as the cache can tell."""
    return ChaosBackend(InMemoryBackend())


def site_with(handler: Any, policy: CachePolicy = POLICY, **settings: Any) -> Site:
    return Site(handler, policy, http=settings.pop("http", PATIENT), **settings)


async def cancel(ongoing: Ongoing) -> None:
    ongoing.task.cancel()
    await asyncio.wait({ongoing.task})


@pytest.mark.parametrize("store", ["local", "remote"])
async def test_a_thousand_concurrent_misses_one_run(store: str) -> None:
    """However many ask at once, the handler runs once and everyone gets its answer."""
    handler = Handler()
    handler.gate.clear()
    settings: dict[str, Any] = {"backend": remote()} if store == "remote" else {}
    site = site_with(handler, **settings)
    asked = [site.start("/") for _ in range(1000)]
    await ticks()
    handler.gate.set()
    answers = await asyncio.gather(*(request.answer() for request in asked))

    assert {answer.text for answer in answers} == {"run 1"}
    assert handler.runs == 1
    assert site.at_rest


class Lagging(InMemoryBackend):
    """A remote store whose next answer is kept back until ``gate`` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: asyncio.Event | None = None

    async def get(self, key: str) -> bytes | None:
        """Answer, later perhaps, what was true at once."""
        value = await super().get(key)
        gate, self.gate = self.gate, None
        if gate is not None:
            await gate.wait()
        return value


async def test_a_slow_look_at_the_store_does_not_run_the_handler_again() -> None:
    """What a look-up did not find may have been produced and stored before its answer came."""
    backend, handler = Lagging(), Handler()
    site = site_with(handler, backend=ChaosBackend(backend), batching=False)
    backend.gate = gate = asyncio.Event()
    slow = site.start("/")
    await until(lambda: backend.gate is None)
    assert (await site.get("/")).text == "run 1"
    gate.set()

    assert (await slow.answer()).text == "run 1"
    assert handler.runs == 1
    assert site.at_rest


async def test_different_urls_do_not_wait_for_each_other() -> None:
    """A request that hangs holds up nobody but those who want the same."""
    handler = Handler()
    handler.gate.clear()
    site = site_with(handler)
    hanging = site.start("/a")
    await ticks()
    handler.gate.set()
    free = await site.get("/b")
    assert free.text == "run 2"
    assert (await hanging.answer()).text == "run 1"


@pytest.mark.parametrize("store", ["local", "remote"])
async def test_a_follower_takes_over_when_the_leader_is_cancelled(store: str) -> None:
    """The leader's client goes away: one of those who wait runs the handler, and nobody hangs."""
    handler = Handler()
    handler.gate.clear()
    settings: dict[str, Any] = {"backend": remote()} if store == "remote" else {}
    site = site_with(handler, **settings)
    leader, *followers = [site.start("/") for _ in range(20)]
    await until(lambda: handler.runs > 0)
    await cancel(leader)
    await until(lambda: handler.runs >= 2)
    await cancel(followers[0])
    handler.gate.set()
    answers = await asyncio.gather(*(request.answer() for request in followers[1:]))

    assert handler.cancelled == 2
    assert {answer.text for answer in answers} == {"run 3"}
    assert (await site.get("/")).hit
    assert site.at_rest


async def test_leader_and_heir_cancelled_in_one_moment_leave_nobody_waiting() -> None:
    """Whoever is told to take over and cannot passes it on; without anyone, the flight is over."""
    handler = Handler()
    handler.gate.clear()
    site = site_with(handler)
    leader, heir = site.start("/"), site.start("/")
    await ticks()
    leader.task.cancel()
    leader.task.add_done_callback(lambda _: heir.task.cancel())
    await asyncio.wait({leader.task, heir.task})
    assert site.at_rest
    handler.gate.set()
    assert (await site.get("/")).text == f"run {handler.runs}"


async def test_an_heir_that_leaves_in_the_same_moment_passes_it_on() -> None:
    """At each interleaving of taking over and being cancelled, the flight has a leader or is gone."""
    for delay in range(6):
        flights = Flights()
        flight = flights.start("k", Runs().begin("k"))
        heirs = [asyncio.ensure_future(flight.wait(100)) for _ in range(2)]
        await ticks()
        flights.abandon(flight)
        for _ in range(delay):
            await asyncio.sleep(0)
        first = heirs[0].cancel()
        await ticks()
        if first:
            assert heirs[1].done()
            assert heirs[1].result() is Told.LEAD
            second = asyncio.ensure_future(flight.wait(100))
            await ticks()
            flights.abandon(flight)
            second.cancel()
            await ticks()
            assert len(flights) == 0
        heirs[1].cancel()
        await ticks()


async def test_an_heir_whose_look_up_is_cancelled_passes_it_on() -> None:
    """Between taking over and running the handler there is a look-up in a store that may take its time."""
    chaos = remote()
    handler = Handler()
    handler.gate.clear()
    site = site_with(handler, backend=chaos, guard=_patient_guard())
    leader, heir, last = [site.start("/") for _ in range(3)]
    await until(lambda: handler.runs > 0)
    await ticks()
    chaos.hang()
    leader.task.cancel()
    await ticks()
    await cancel(heir)
    chaos.hang(False)
    handler.gate.set()
    assert (await last.answer()).status == 200
    await asyncio.wait({leader.task})
    assert site.at_rest


def _patient_guard() -> GuardConfig:
    return GuardConfig(timeout=60)


async def test_when_the_leader_raises_all_go_ahead() -> None:
    """An exception is the leader's own; the others try for themselves, at once and in parallel."""
    handler = Handler()
    handler.gate.clear()
    handler.error = OSError("database")
    site = site_with(handler)
    leader, *followers = [site.start("/") for _ in range(10)]
    await ticks()
    handler.error = None
    gate, handler.gate = handler.gate, asyncio.Event()
    gate.set()
    await until(lambda: handler.runs >= 10)
    handler.gate.set()
    with pytest.raises(OSError, match="database"):
        await leader.answer()
    answers = await asyncio.gather(*(request.answer() for request in followers))

    assert sorted(answer.text for answer in answers) == sorted(f"run {n}" for n in range(2, 11))
    assert site.at_rest


@pytest.mark.parametrize("store", ["local", "remote"])
async def test_an_uncacheable_response_lets_all_go_in_parallel(store: str) -> None:
    """Those who waited run side by side, and for a while those who come do not wait at all."""
    handler = Handler(headers=[(b"set-cookie", b"a=b")])
    handler.gate.clear()
    settings: dict[str, Any] = {"backend": remote()} if store == "remote" else {}
    site = site_with(handler, **settings)
    leader, *followers = [site.start("/") for _ in range(10)]
    await until(lambda: handler.runs > 0)
    await ticks()
    gate, handler.gate = handler.gate, asyncio.Event()
    gate.set()
    await leader.answer()
    await until(lambda: handler.runs >= 10)
    late = site.start("/")
    await until(lambda: handler.runs >= 11)
    handler.gate.set()
    texts = [(await request.answer()).text for request in (*followers, late)]

    assert sorted(texts) == sorted(f"run {n}" for n in range(2, 12))
    assert site.at_rest


async def test_after_a_while_uncacheable_urls_are_tried_again() -> None:
    """The memory of an uncacheable response fades, so a route that recovers is coalesced again."""
    handler = Handler(status=500)
    site = site_with(handler)
    await site.get("/")
    handler.status = 200
    site.clock.advance(11)
    handler.gate.clear()
    asked = [site.start("/") for _ in range(10)]
    await ticks()
    handler.gate.set()
    answers = [await request.answer() for request in asked]
    assert {answer.text for answer in answers} == {"run 2"}


async def test_what_was_uncacheable_is_stored_once_it_is_not() -> None:
    """While the memory lasts, a good response is stored all the same."""
    handler = Handler(status=500)
    site = site_with(handler)
    await site.get("/")
    handler.status = 200
    assert [(await site.get("/")).text for _ in range(2)] == ["run 2", "run 2"]


@pytest.mark.parametrize("store", ["local", "remote"])
async def test_followers_of_a_slow_leader_go_ahead_after_coalesce_timeout(store: str) -> None:
    """Nobody waits longer than that for somebody else's request."""
    handler = Handler()
    handler.gate.clear()
    settings: dict[str, Any] = {"backend": remote()} if store == "remote" else {}
    site = site_with(handler, http=HTTPConfig(coalesce_timeout=0.01), **settings)
    leader = site.start("/")
    await until(lambda: handler.runs > 0)
    gate, handler.gate = handler.gate, asyncio.Event()
    handler.gate.set()
    answers = await site.client.gather(3, "/")
    assert {answer.text for answer in answers} == {"run 2", "run 3", "run 4"}
    gate.set()
    assert (await leader.answer()).text == "run 1"
    assert site.at_rest


@pytest.mark.parametrize("headers", [[("authorization", "alice")], [("x-forwarded-host", "evil.test")]])
async def test_who_may_not_share_waits_for_nobody(headers: list[tuple[str, str]]) -> None:
    """A request whose answer is its own runs at once, beside the leader, and is no leader for others."""
    handler = Handler()
    handler.gate.clear()
    site = site_with(handler)
    anonymous = site.start("/")
    await ticks()
    gate, handler.gate = handler.gate, asyncio.Event()
    handler.gate.set()
    assert (await site.get("/", headers)).text == "run 2"
    gate.set()
    assert (await anonymous.answer()).text == "run 1"

    handler.gate.clear()
    own = site.start("/other", headers)
    await ticks()
    other = site.start("/other")
    await ticks()
    assert handler.runs == 4
    handler.gate.set()
    assert (await own.answer()).text == "run 3"
    assert (await other.answer()).text == "run 4"


async def test_users_and_variants_never_share_a_run() -> None:
    """Those who wait for a response that turns out to be for another variant get their own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.append(scope)
        await gate.wait()
        headers = dict(scope["headers"])
        body = headers[b"x-user"] + b" " + headers[b"accept-language"]
        await respond(send, body, headers=[(b"vary", b"accept-language")])

    runs: list[Any] = []
    gate = asyncio.Event()

    def user(scope: Any) -> Any:
        return dict(scope["headers"])[b"x-user"]

    site = site_with(app, CachePolicy(ttl=60, vary_on=user))
    sent = [(name, language) for name in ("alice", "bob") for language in ("de", "fr")] * 25
    random.Random(7).shuffle(sent)
    asked = [site.start("/", [("x-user", name), ("accept-language", language)]) for name, language in sent]
    await ticks()
    gate.set()
    answers = await asyncio.gather(*(request.answer() for request in asked))

    assert [answer.text for answer in answers] == [f"{name} {language}" for name, language in sent]
    assert len(runs) <= 8
    assert site.at_rest


async def test_a_leader_whose_client_is_gone_hands_over() -> None:
    """A ``send`` that fails is one client leaving, not the handler failing: one follower takes over."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("client disconnected")

    runs: list[Any] = []
    gate = asyncio.Event()
    site = site_with(app)
    leader = site.start("/", watch=broken)
    await ticks()
    followers = [site.start("/") for _ in range(10)]
    await ticks()
    gate.set()
    await leader.answer_despite_error()
    answers = await asyncio.gather(*(request.answer() for request in followers))
    assert {answer.body for answer in answers} == {b"ab"}
    assert len(runs) == 2


async def test_a_handler_that_ends_without_an_answer_hands_over() -> None:
    """An application that gives up on its client says nothing about what others would get."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.append(scope)
        run = len(runs)
        await gate.wait()
        if run > 1:
            await respond(send, b"whole")

    runs: list[Any] = []
    gate = asyncio.Event()
    site = site_with(app)
    leader = site.start("/")
    await ticks()
    followers = [site.start("/") for _ in range(5)]
    await ticks()
    gate.set()
    await leader.task
    answers = await asyncio.gather(*(request.answer() for request in followers))
    assert {answer.text for answer in answers} == {"whole"}
    assert len(runs) == 2


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("store", ["local", "remote"])
async def test_random_cancellation_harms_nobody_else(store: str, seed: int) -> None:
    """Whatever is cancelled whenever: all others are answered, and nothing is left over."""
    draw = random.Random(seed)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(draw.randrange(6)):
            await asyncio.sleep(0)
        await respond(send, scope["path"].encode())

    settings: dict[str, Any] = {"backend": remote()} if store == "remote" else {}
    site = site_with(app, CachePolicy(ttl=60, tags=("t",)), **settings)
    asked: list[Ongoing] = []
    cancelled: set[int] = set()
    for _ in range(150):
        asked.append(site.start(draw.choice(["/a", "/b"])))
        for _ in range(draw.randrange(3)):
            await asyncio.sleep(0)
        if draw.random() < 0.4:
            victim = draw.randrange(len(asked))
            cancelled.add(victim)
            asked[victim].task.cancel()
        if draw.random() < 0.1:
            await site.cache.invalidate_tags("t")
    for number, request in enumerate(asked):
        await asyncio.wait({request.task})
        if number not in cancelled:
            assert (await request.answer()).text == request.scope["path"]
    assert site.at_rest


async def test_leads_are_given_up_when_the_store_fails() -> None:
    """``fail_open=False``: a store that fails while a follower takes over is an error, not a wait."""
    chaos = remote()
    handler = Handler()
    handler.gate.clear()
    site = site_with(handler, backend=chaos, fail_open=False)
    leader, heir = site.start("/"), site.start("/")
    await until(lambda: handler.runs > 0)
    await ticks()
    chaos.fail()
    await cancel(leader)
    with pytest.raises(BackendError):
        await heir.answer()
    chaos.heal()
    handler.gate.set()
    assert len(site.middleware.flights) == 0
