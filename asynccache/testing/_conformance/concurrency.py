# ruff: noqa: S101  (asserts are what a test consists of)
"""Many tasks, cancelled ones among them, and a second event loop: never somebody else's answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from asynccache.errors import CacheError
from asynccache.protocols import CacheBackendProtocol, SupportsAdd, SupportsIncrement, SupportsMany
from asynccache.testing._conformance.section import Section

__all__ = ["Concurrency"]

TASKS: Final = 16
STEPS: Final = 50
PATIENCE: Final = 30.0
BASES: Final = (0, 1_000_000)
"""Two counters far apart: an answer tells which of them it belongs to."""

Operation = Callable[[], Awaitable[object]]


class Concurrency(Section):
    """Values carry the name of their key, so that a wrong answer shows."""

    async def test_two_hundred_gets(self, backend: CacheBackendProtocol) -> None:
        """200 gets at once each get their own value; so do 200 sets."""
        values = {self.key(f"{number}"): f"value {number}".encode() for number in range(200)}
        await asyncio.gather(*(backend.set(key, value) for key, value in values.items()))
        assert await asyncio.gather(*(backend.get(key) for key in values)) == list(values.values())
        assert await asyncio.gather(*(backend.get(self.key("one")) for _ in range(200))) == [None] * 200
        assert await asyncio.gather(*(backend.delete(key) for key in values)) == [True] * 200

    async def test_own_writes_are_seen(self, backend: CacheBackendProtocol) -> None:
        """A task that has set, or deleted, sees that at once, whatever others do at the same time."""

        async def work(task: int) -> None:
            key = self.key(f"own{task}")
            for step in range(30):
                await backend.set(key, b"%d" % step)
                assert await backend.get(key) == b"%d" % step
                assert await backend.delete(key) is True
                assert await backend.get(key) is None

        await asyncio.gather(*map(work, range(TASKS)))

    async def test_concurrent_sets_of_one_key(self, backend: CacheBackendProtocol) -> None:
        """Of many values set at once one whole value remains."""
        values = [bytes([number]) * 3000 for number in range(50)]
        await asyncio.gather(*(backend.set(self.key("k"), value) for value in values))
        assert await backend.get(self.key("k")) in values

    async def test_cancelled_calls_harm_no_other(self, backend: CacheBackendProtocol) -> None:
        """With a third of all calls cancelled at random moments no other gets a wrong answer."""
        calls = _Calls(self, backend)
        await calls.prepare()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(calls.work(Random(task)) for task in range(TASKS)))
            assert calls.wrong == []
            assert calls.cancelled > 0
            await calls.check_counters()
            await backend.set(self.key("after"), b"usable")
            gets = await asyncio.gather(*(backend.get(self.key("after")) for _ in range(50)))
            assert gets == [b"usable"] * 50

    async def test_second_event_loop(self, backend: CacheBackendProtocol) -> None:
        """From another loop in another thread the store works or says that it does not; the first goes on."""
        key = self.key("k")
        await backend.set(key, b"first loop")

        async def use() -> str:
            try:
                async with asyncio.timeout(PATIENCE):
                    assert await backend.get(key) == b"first loop"
                    await backend.set(self.key("other"), b"second loop")
                    assert await backend.get(self.key("other")) == b"second loop"
            except CacheError as error:
                return str(error)
            return "works"

        assert await asyncio.to_thread(lambda: asyncio.run(use()))
        assert await backend.get(key) == b"first loop"
        await backend.set(key, b"goes on")
        assert await backend.get(key) == b"goes on"


class _Calls:
    """Random calls, a third of them cancelled, and what came of them."""

    def __init__(self, section: Section, backend: CacheBackendProtocol) -> None:
        self.backend = backend
        self.section = section
        self.keys = [section.key(f"key{number}") for number in range(TASKS)]
        self.wrong: list[object] = []
        self.cancelled = 0
        self.finished: Counter[int] = Counter()
        self.attempted: Counter[int] = Counter()
        self.answers: list[int] = []

    async def prepare(self) -> None:
        """Store a value under half of the keys, so that reads find some and miss some."""
        for key in self.keys[::2]:
            await self.backend.set(key, self._value(key, 0))
        await self.backend.set(self.section.key("held"), b"held")

    async def work(self, draw: Random) -> None:
        """Do one task's share."""
        for step in range(STEPS):
            task = asyncio.ensure_future(self._operation(draw, step)())
            if draw.random() < 1 / 3:
                await self._moment(draw)
                task.cancel()
            await asyncio.wait({task})
            if task.cancelled():
                self.cancelled += 1
            else:
                task.result()  # an error here is harm done by another's cancellation

    async def check_counters(self) -> None:
        """Check that each counter has every increment that was answered, and none that was not asked for."""
        if not isinstance(self.backend, SupportsIncrement):
            return
        assert len(set(self.answers)) == len(self.answers), "an increment's answer was given twice"
        for base in BASES:
            total = await self.backend.incr(self._counter(base), 0, initial=base) - base
            assert self.finished[base] <= total <= self.attempted[base]

    @staticmethod
    async def _moment(draw: Random) -> None:
        if draw.random() < 0.5:
            for _ in range(draw.randrange(5)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(draw.random() * 0.003)

    def _operation(self, draw: Random, step: int) -> Operation:
        kinds: list[Callable[[Random, int], Operation]] = [
            self._get,
            self._get,
            self._get,
            self._set,
            self._delete,
        ]
        if isinstance(self.backend, SupportsMany):
            kinds.append(self._get_many)
        if isinstance(self.backend, SupportsIncrement):
            kinds.append(self._incr)
        if isinstance(self.backend, SupportsAdd):
            kinds.append(self._add)
        return draw.choice(kinds)(draw, step)

    def _get(self, draw: Random, _step: int) -> Operation:
        key = draw.choice(self.keys)

        async def get() -> None:
            self._judge(key, await self.backend.get(key))

        return get

    def _set(self, draw: Random, step: int) -> Operation:
        key = draw.choice(self.keys)
        value = self._value(key, step)
        return lambda: self.backend.set(key, value)

    def _delete(self, draw: Random, _step: int) -> Operation:
        key = draw.choice(self.keys)
        return lambda: self.backend.delete(key)

    def _get_many(self, draw: Random, _step: int) -> Operation:
        asked = draw.sample(self.keys, 5)

        async def get_many() -> None:
            assert isinstance(self.backend, SupportsMany)
            found = await self.backend.get_many(asked)
            if not set(found) <= set(asked):
                self.wrong.append(("get_many", asked, set(found)))
            for key, value in found.items():
                self._judge(key, value)

        return get_many

    def _incr(self, draw: Random, _step: int) -> Operation:
        base = draw.choice(BASES)

        async def incr() -> None:
            assert isinstance(self.backend, SupportsIncrement)
            self.attempted[base] += 1
            answer = await self.backend.incr(self._counter(base), initial=base)
            if not base < answer <= base + TASKS * STEPS:
                self.wrong.append(("incr", base, answer))
            self.finished[base] += 1
            self.answers.append(answer)

        return incr

    def _add(self, _draw: Random, _step: int) -> Operation:
        async def add() -> None:
            assert isinstance(self.backend, SupportsAdd)
            if await self.backend.add(self.section.key("held"), b"stolen"):
                self.wrong.append(("add", "held"))

        return add

    def _counter(self, base: int) -> str:
        return self.section.key(f"counter{base}")

    @staticmethod
    def _value(key: str, step: int) -> bytes:
        return f"{key}|".encode() * (1 + step * 40)

    def _judge(self, key: str, value: bytes | None) -> None:
        if value is not None and value.replace(f"{key}|".encode(), b""):
            self.wrong.append((key, value[:80]))
