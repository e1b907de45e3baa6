"""`SQLiteBackend` against a plain dict: any sequence of operations, by two stores on one file, with time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from asynccache.backends.sqlite import SQLiteBackend
from asynccache.errors import BackendError

T = TypeVar("T")
LIMIT = 300
KEYS = st.sampled_from(["a:1", "a:2", "a:3", "b:1", "b:2", "é"])
VALUES = st.one_of(st.binary(max_size=LIMIT + 2), st.integers(-1000, 1000).map(lambda n: b"%d" % n))
TTLS = st.one_of(st.none(), st.integers(1, 200), st.floats(0.001, 5))
ITEMS = st.dictionaries(KEYS, VALUES, max_size=6)
WHO = st.integers(0, 1)


class StoreModel(RuleBasedStateMachine):
    """The model knows what was written last, by whichever of the two; each of them has to know it too."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.values: dict[str, tuple[bytes, float]] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="asynccache-")
        self.stores = [
            SQLiteBackend(
                Path(self.folder.name) / "cache.db",
                max_value_bytes=LIMIT,
                synchronous="off",
                clock=lambda: self.now,
            )
            for _ in range(2)
        ]

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.aclose())
        self.runner.close()
        self.folder.cleanup()

    def run(self, operation: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(operation)

    def known(self, key: str) -> bytes | None:
        value, until = self.values.get(key, (b"", -inf))
        return value if self.now < until else None

    def wrote(self, key: str, value: bytes, ttl: float | None) -> bool:
        """Note a write; return whether it is to be accepted."""
        self.leases.pop(key, None)
        self.values.pop(key, None)
        if len(value) <= LIMIT:
            self.values[key] = (value, inf if ttl is None else self.now + ttl)
        return len(value) <= LIMIT

    @rule(seconds=st.one_of(st.integers(1, 50), st.floats(0.001, 3)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=WHO, key=KEYS)
    def get(self, who: int, key: str) -> None:
        assert self.run(self.stores[who].get(key)) == self.known(key)
        assert self.run(self.stores[who].exists(key)) == (self.known(key) is not None)

    @rule(who=WHO, keys=st.lists(KEYS, max_size=8))
    def get_many(self, who: int, keys: list[str]) -> None:
        expected = {key: value for key in keys if (value := self.known(key)) is not None}
        assert self.run(self.stores[who].get_many(keys)) == expected

    @rule(who=WHO, key=KEYS, value=VALUES, ttl=TTLS)
    def set(self, who: int, key: str, value: bytes, ttl: float | None) -> None:
        assert self.run(self.stores[who].set(key, value, ttl)) == self.wrote(key, value, ttl)

    @rule(who=WHO, items=ITEMS, ttl=TTLS)
    def set_many(self, who: int, items: dict[str, bytes], ttl: float | None) -> None:
        refused = {key for key, value in items.items() if not self.wrote(key, value, ttl)}
        assert self.run(self.stores[who].set_many(items, ttl)) == refused

    @rule(who=WHO, key=KEYS)
    def delete(self, who: int, key: str) -> None:
        assert self.run(self.stores[who].delete(key)) == (self.known(key) is not None)
        self.values.pop(key, None)
        self.leases.pop(key, None)

    @rule(who=WHO, keys=st.lists(KEYS, max_size=8))
    def delete_many(self, who: int, keys: list[str]) -> None:
        there = {key for key in keys if self.known(key) is not None}
        assert self.run(self.stores[who].delete_many(keys)) == there
        for key in keys:
            self.values.pop(key, None)
            self.leases.pop(key, None)

    @rule(who=WHO, key=KEYS, value=VALUES, ttl=TTLS)
    def add(self, who: int, key: str, value: bytes, ttl: float | None) -> None:
        added = self.run(self.stores[who].add(key, value, ttl))
        assert added == (self.known(key) is None and len(value) <= LIMIT)
        if added:
            self.wrote(key, value, ttl)

    @rule(who=WHO, key=KEYS, ttl=TTLS)
    def touch(self, who: int, key: str, ttl: float | None) -> None:
        value = self.known(key)
        assert self.run(self.stores[who].touch(key, ttl)) == (value is not None)
        if value is not None:
            self.values[key] = (value, inf if ttl is None else self.now + ttl)

    @rule(who=WHO, key=KEYS, delta=st.integers(-5, 5), initial=st.integers(-9, 9), ttl=TTLS)
    def incr(self, who: int, key: str, delta: int, initial: int, ttl: float | None) -> None:
        before = self.known(key)
        try:
            value = self.run(self.stores[who].incr(key, delta, initial=initial, ttl=ttl))
        except BackendError:
            assert before is not None
            assert not before.removeprefix(b"-").isdigit() or before.removeprefix(b"-").startswith(b"0")
            return
        assert value == (initial if before is None else int(before)) + delta
        until = self.values[key][1] if before is not None else inf if ttl is None else self.now + ttl
        self.wrote(key, b"%d" % value, None)
        self.values[key] = (b"%d" % value, until)

    @rule(who=WHO, prefix=st.sampled_from(["a:", "b", "é", "a:1", "nothing"]))
    def clear(self, who: int, prefix: str) -> None:
        self.run(self.stores[who].clear(prefix))
        self.values = {key: kept for key, kept in self.values.items() if not key.startswith(prefix)}
        self.leases = {key: kept for key, kept in self.leases.items() if not key.startswith(prefix)}

    @rule(who=WHO, key=KEYS, ttl=st.integers(1, 60))
    def lease(self, who: int, key: str, ttl: int) -> None:
        token = self.run(self.stores[who].acquire_lease(key, ttl))
        assert (token is None) == (key in self.leases and self.now < self.leases[key][1])
        if token is not None:
            self.leases[key] = (token, self.now + ttl)

    @rule(who=WHO, key=KEYS, value=VALUES, ttl=TTLS, honest=st.booleans())
    def fill(self, who: int, key: str, value: bytes, ttl: float | None, honest: bool) -> None:
        token, until = self.leases.get(key, ("none", -inf))
        filled = self.run(self.stores[who].fill(key, value, ttl, token if honest else "forged"))
        if honest and self.now < until:
            assert filled == self.wrote(key, value, ttl)
        else:
            assert not filled
            if honest:
                self.leases.pop(key, None)

    @rule(who=WHO)
    def close(self, who: int) -> None:
        self.run(self.stores[who].aclose())


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
