"""Promise 1 as a state machine: two caches over one store, and nothing that is over is ever served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asynccache import Cache, CachePolicy, InMemoryBackend
from asynccache.testing import FakeClock
from tests.cache_doubles import Gated, Loads, ThreeMethods, over, ticks

KEYS = st.sampled_from(["a", "b", "ab"])
CACHES = st.integers(0, 1)
TTLS = st.sampled_from([1, 5, 20])
TAGS = st.sampled_from([(), ("t",), ("u",), ("t", "u")])

settings.register_profile("promise", deadline=None, suppress_health_check=list(HealthCheck))


class PromiseOne(RuleBasedStateMachine):
    """The model: every value tells its key and what the clock of invalidations said when it was read.

    A value is over once anything that concerns it was acknowledged later, or at its expiry. Whatever a call
    returns must be a value of its key that was not over when the call began.
    """

    leases = True

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.time = 0
        self.made = 0
        self.ended: dict[str, int] = dict.fromkeys(("a", "b", "ab"), 0)
        """Per key: when its values were last ended as a whole."""
        self.tag_ended: dict[str, int] = {"t": 0, "u": 0}
        self.facts: dict[str, tuple[str, int, tuple[str, ...], float]] = {}
        """Per value: key, when it was read, tags, ttl."""
        self.expires: dict[str, float] = {}
        """Per value: the latest moment at which it may still be served."""
        self.loads: list[tuple[str, str, Loads, asyncio.Event, asyncio.Task[Any], int]] = []

    @initialize()
    def start(self) -> None:
        """Make two caches over one store that offers bytes only."""
        inner = InMemoryBackend(clock=self.clock) if self.leases else ThreeMethods(self.clock)
        gated = Gated(inner)
        count = 2 if self.leases else 1
        self.caches = [over(gated, self.clock, lease_ttl=600) for _ in range(count)]

    def cache(self, number: int) -> Cache:
        return self.caches[number % len(self.caches)]

    def do(self, doing: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(20):
                return await doing

        return self.runner.run(bounded())

    def tick(self) -> int:
        self.time += 1
        return self.time

    def value(self, key: str, tags: tuple[str, ...], ttl: float) -> str:
        self.made += 1
        name = f"{key}/{self.made}"
        self.facts[name] = (key, self.tick(), tags, ttl)
        return name

    def check(self, key: str, got: Any, asked: int) -> None:
        """Assert that ``got`` may be served for ``key`` to who asked at ``asked``."""
        if got is None:
            return
        of, read, tags, _ = self.facts[got]
        assert of == key, f"{got} was served under {key}"
        ended = max([self.ended[key], *(self.tag_ended[tag] for tag in tags)])
        assert not read < ended <= asked, f"{got} was over when {key} was asked for"
        assert self.clock() < self.expires.get(got, float("inf")), f"{got} has expired"

    def stored(self, name: str, ttl: float) -> None:
        self.expires[name] = self.clock() + ttl

    # -- writing --

    @rule(number=CACHES, key=KEYS, ttl=TTLS, tags=TAGS)
    def set(self, number: int, key: str, ttl: int, tags: tuple[str, ...]) -> None:
        ended = self.tick()
        name = self.value(key, tags, ttl)
        self.stored(name, ttl)
        assert self.do(self.cache(number).set(key, name, ttl, tags=tags)) is True
        self.ended[key] = ended

    @rule(number=CACHES, ttl=TTLS, tags=TAGS)
    def set_many(self, number: int, ttl: int, tags: tuple[str, ...]) -> None:
        ended = self.tick()
        items = {key: self.value(key, tags, ttl) for key in ("a", "b")}
        for name in items.values():
            self.stored(name, ttl)
        assert self.do(self.cache(number).set_many(items, ttl, tags=tags)) is True
        self.ended["a"] = self.ended["b"] = ended

    @rule(number=CACHES, key=KEYS, ttl=TTLS, tags=TAGS)
    def add(self, number: int, key: str, ttl: int, tags: tuple[str, ...]) -> None:
        cache = self.cache(number)
        if not cache.capabilities.add:
            return
        name = self.value(key, tags, ttl)
        self.stored(name, ttl)
        asked = self.time
        if self.do(cache.add(key, name, ttl, tags=tags)):
            return
        got = self.do(cache.get(key))
        self.check(key, got, asked)

    @rule(number=CACHES, key=KEYS, ttl=TTLS)
    def touch(self, number: int, key: str, ttl: int) -> None:
        asked = self.time
        cache = self.cache(number)
        before = self.do(cache.get(key))
        self.check(key, before, asked)
        if self.do(cache.touch(key, ttl)):
            assert before is not None
            self.expires[before] = max(self.expires[before], self.clock() + ttl)

    # -- ending --

    @rule(number=CACHES, key=KEYS)
    def delete(self, number: int, key: str) -> None:
        ended = self.tick()
        self.do(self.cache(number).delete(key))
        self.ended[key] = ended

    @rule(number=CACHES)
    def delete_many(self, number: int) -> None:
        ended = self.tick()
        self.do(self.cache(number).delete_many(["a", "b"]))
        self.ended["a"] = self.ended["b"] = ended

    @rule(number=CACHES, tag=st.sampled_from(["t", "u"]), soft=st.booleans())
    def invalidate(self, number: int, tag: str, soft: bool) -> None:
        ended = self.tick()
        assert self.do(self.cache(number).invalidate_tags(tag, soft=soft)) is True
        self.tag_ended[tag] = ended

    @rule(number=CACHES)
    def clear(self, number: int) -> None:
        ended = self.tick()
        assert self.do(self.cache(number).clear()) is True
        self.ended = dict.fromkeys(self.ended, ended)

    @rule(seconds=st.sampled_from([0.5, 1, 4, 5, 20]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # -- reading and computing --

    @rule(number=CACHES, key=KEYS)
    def get(self, number: int, key: str) -> None:
        asked = self.time
        self.check(key, self.do(self.cache(number).get(key)), asked)

    @rule(number=CACHES)
    def get_many(self, number: int) -> None:
        asked = self.time
        for key, got in self.do(self.cache(number).get_many(["a", "b", "ab"])).items():
            assert got is not None
            self.check(key, got, asked)

    @rule(number=CACHES, key=KEYS, ttl=TTLS, tags=TAGS)
    def get_or_set(self, number: int, key: str, ttl: int, tags: tuple[str, ...]) -> None:
        if self.under_way(key):
            return
        asked = self.time

        async def load() -> str:
            name = self.value(key, tags, ttl)
            self.stored(name, ttl)
            return name

        self.check(key, self.do(self.cache(number).get_or_set(key, load, ttl, tags=tags)), asked)

    @rule(number=CACHES, ttl=TTLS, tags=TAGS)
    def get_or_set_many(self, number: int, ttl: int, tags: tuple[str, ...]) -> None:
        asked = self.time

        async def load(missing: list[str]) -> dict[str, str]:
            names = {key: self.value(key, tags, ttl) for key in missing}
            for name in names.values():
                self.stored(name, ttl)
            return names

        answer = self.do(self.cache(number).get_or_set_many(["a", "b"], load, ttl, tags=tags))
        for key, got in answer.items():
            self.check(key, got, asked)

    def under_way(self, key: str) -> bool:
        """Another process's computation would be waited for, and it waits for this test."""
        return any(load[0] == key for load in self.loads)

    @rule(number=CACHES, key=KEYS, ttl=TTLS, tags=TAGS)
    def begin_loading(self, number: int, key: str, ttl: int, tags: tuple[str, ...]) -> None:
        """Start a computation that reads its value now and comes back later."""
        if self.under_way(key):
            return
        cache = self.cache(number)
        asked = self.time
        name = ""

        async def begin() -> bool:
            nonlocal name
            reading, gate = asyncio.Event(), asyncio.Event()

            async def load() -> str:
                nonlocal name
                name = self.value(key, tags, ttl)
                reading.set()
                await gate.wait()
                self.stored(name, ttl)
                return name

            policy = CachePolicy(ttl=ttl, tags=tags)
            task = asyncio.create_task(cache.get_or_set(key, load, policy=policy))
            waiting = asyncio.create_task(reading.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                self.check(key, task.result(), asked)
                return False
            self.loads.append((key, name, Loads(), gate, task, asked))
            return True

        self.do(begin())

    @rule()
    def end_loading(self) -> None:
        """Let the oldest computation come back."""
        if not self.loads:
            return
        key, _, _, gate, task, asked = self.loads.pop(0)

        async def end() -> Any:
            gate.set()
            return await task

        self.check(key, self.do(end()), asked)

    @invariant()
    def nothing_over_is_in_the_store(self) -> None:
        """Read every key through every cache."""
        if not hasattr(self, "caches"):
            return
        asked = self.time
        for cache in self.caches:
            for key in self.ended:
                self.check(key, self.do(cache.get(key)), asked)

    def teardown(self) -> None:
        while self.loads:
            self.end_loading()
        if hasattr(self, "caches"):
            self.do(ticks(5))
            for cache in self.caches:
                assert len(cache.entries.runs) == 0
                assert not cache.entries.runs.joinable
        self.runner.close()


class PromiseOneWithoutLeases(PromiseOne):
    """The same for one process on a store of three methods."""

    leases = False


@pytest.mark.parametrize("machine", [PromiseOne, PromiseOneWithoutLeases])
def test_promise_one(machine: type[RuleBasedStateMachine]) -> None:
    """No value older than an acknowledged invalidation, none past its expiry, none under another key."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine,
        settings=settings(settings.get_profile("promise"), max_examples=60, stateful_step_count=40),
    )
