"""`InMemoryBackend` against a plain dict: any sequence of operations, with time and eviction."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any, TypeVar

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asynccache._engine.entry import Entry, pack
from asynccache._engine.s3fifo import cost
from asynccache.backends.memory import InMemoryBackend
from asynccache.errors import BackendError

T = TypeVar("T")
KEYS = st.sampled_from(["a:1", "a:2", "a:3", "b:1", "b:2", "é"])
VALUES = st.one_of(st.binary(max_size=300), st.integers(-1000, 1000).map(lambda n: b"%d" % n))
TTLS = st.one_of(st.none(), st.integers(1, 200), st.floats(0.001, 5))


class StoreModel(RuleBasedStateMachine):
    """The model knows what was written last; a small store may forget it, never alter or revive it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.model: dict[str, tuple[bytes, float]] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.lossy = False

    @initialize(limits=st.sampled_from([(2**27, None), (2**27, 3), (4096, None), (8192, 2), (4096, 1)]))
    def build(self, limits: tuple[int, int | None]) -> None:
        self.lossy = limits != (2**27, None)
        self.store = InMemoryBackend(max_bytes=limits[0], max_entries=limits[1], clock=lambda: self.now)

    def run(self, operation: Coroutine[Any, Any, T]) -> T:
        """Drive an operation that never awaits anything; a store that did would fail here."""
        try:
            operation.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise AssertionError("the operation waited")

    def known(self, key: str) -> bytes | None:
        value, until = self.model.get(key, (b"", -inf))
        return value if self.now < until else None

    def seen(self, key: str, answer: object, expected: object) -> None:
        """Compare; where the store may have evicted the key, absence is right too."""
        if answer != expected:
            assert self.lossy, (key, answer, expected)
            assert not answer, (key, answer, expected)
            self.model.pop(key, None)

    def wrote(self, key: str, value: bytes, ttl: float | None, stored: object) -> None:
        self.leases.pop(key, None)
        self.model.pop(key, None)
        if stored:
            self.model[key] = (value, inf if ttl is None else self.now + ttl)

    @rule(seconds=st.one_of(st.integers(1, 50), st.floats(0.001, 3), st.sampled_from([1e4])))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        stored = self.run(self.store.set(key, value, ttl))
        assert stored or self.lossy
        self.wrote(key, value, ttl, stored)
        if stored:
            assert self.run(self.store.get(key)) == value

    @rule(key=KEYS, value=VALUES, fresh=st.integers(1, 60), stale=st.integers(0, 90))
    def set_entry(self, key: str, value: bytes, fresh: int, stale: int) -> None:
        entry = Entry(key, value, "raw", self.now, self.now + fresh, self.now + stale, -inf)
        data, life = pack(entry), float(max(fresh, stale))
        self.wrote(key, data, life, self.store.set_entry(entry))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        self.seen(key, self.run(self.store.get(key)), self.known(key))

    @rule(key=KEYS)
    def get_entry(self, key: str) -> None:
        found, expected = self.store.get_entry(key), self.known(key)
        if found is not None:
            assert expected == pack(found)
            assert self.now < found.expires == self.model[key][1]

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.seen(key, self.run(self.store.delete(key)), self.known(key) is not None)
        self.wrote(key, b"", None, stored=False)

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def add(self, key: str, value: bytes, ttl: float | None) -> None:
        there = self.run(self.store.exists(key))
        self.seen(key, there, self.known(key) is not None)
        stored = self.run(self.store.add(key, value, ttl))
        if not there:
            assert stored or self.lossy
            self.wrote(key, value, ttl, stored)
        else:
            assert not stored

    @rule(key=KEYS, ttl=TTLS)
    def touch(self, key: str, ttl: float | None) -> None:
        if self.run(self.store.exists(key)) and (found := self.store.get_entry(key)) and found.codec == "raw":
            return  # touching an entry rewrites its times: a test of its own
        there = self.run(self.store.touch(key, ttl))
        expected = self.known(key)
        self.seen(key, there, expected is not None)
        if there and expected is not None:
            self.model[key] = (expected, inf if ttl is None else self.now + ttl)

    @rule(key=KEYS, delta=st.integers(-5, 5), ttl=TTLS)
    def incr(self, key: str, delta: int, ttl: float | None) -> None:
        there = self.run(self.store.exists(key))
        self.seen(key, there, self.known(key) is not None)
        before = self.known(key)
        try:
            value = self.run(self.store.incr(key, delta, ttl=ttl))
        except BackendError:
            assert before is not None
            assert not before.lstrip(b"-").isdigit() or before != b"%d" % int(before)
            return
        assert value == int(before or b"0") + delta
        self.leases.pop(key, None)
        until = self.model[key][1] if before is not None else inf if ttl is None else self.now + ttl
        self.model[key] = (b"%d" % value, until)

    @rule(prefix=st.sampled_from(["a:", "b", "é", "a:1", "nothing"]))
    def clear(self, prefix: str) -> None:
        asyncio.run(self.store.clear(prefix))
        self.model = {key: kept for key, kept in self.model.items() if not key.startswith(prefix)}
        self.leases = {key: kept for key, kept in self.leases.items() if not key.startswith(prefix)}

    @rule(key=KEYS, ttl=st.integers(1, 60))
    def lease(self, key: str, ttl: int) -> None:
        token = self.run(self.store.acquire_lease(key, ttl))
        held = key in self.leases and self.now < self.leases[key][1]
        assert (token is None) == held
        if token is not None:
            self.leases[key] = (token, self.now + ttl)

    @rule(key=KEYS, value=VALUES, ttl=TTLS, honest=st.booleans())
    def fill(self, key: str, value: bytes, ttl: float | None, honest: bool) -> None:
        token, until = self.leases.get(key, ("none", -inf))
        filled = self.run(self.store.fill(key, value, ttl, token if honest else "forged"))
        self.filled(key, value, ttl, filled, honest=honest, until=until)

    @rule(key=KEYS, value=VALUES, fresh=st.integers(1, 60), honest=st.booleans())
    def fill_entry(self, key: str, value: bytes, fresh: int, honest: bool) -> None:
        token, until = self.leases.get(key, ("none", -inf))
        entry = Entry(key, value, "raw", self.now, self.now + fresh, self.now + fresh, -inf)
        data = pack(entry)
        filled = self.store.fill_entry(entry, token if honest else "forged")
        self.filled(key, data, float(fresh), filled, honest=honest, until=until)

    def filled(
        self, key: str, value: bytes, ttl: float | None, stored: bool, *, honest: bool, until: float
    ) -> None:
        if not honest or self.now >= until:
            assert not stored
            if honest:
                self.leases.pop(key, None)
        else:
            assert stored or self.lossy
            self.wrote(key, value, ttl, stored)

    @rule()
    def close(self) -> None:
        asyncio.run(self.store.aclose())
        self.model.clear()
        self.leases.clear()

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "store"):
            return
        table = self.store._table
        living = [entry for part in table.parts() for entry in part.values()]
        assert table.entries == len(living) <= table.max_entries
        assert table.bytes == sum(map(cost, living)) <= table.max_bytes
        assert table.timed == sum(entry.expires < inf for entry in living)
        assert self.store._sweeper.wheel.size >= table.timed


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
