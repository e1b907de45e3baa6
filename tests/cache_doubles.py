"""Stand-ins for the tests of the cache: stores that can little, can be stopped, must not be touched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

from asynccache import BackendError, Cache, CacheConfig, GuardConfig, InMemoryBackend
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing import FakeClock
from asynccache.testing._forwarding import Forwarding

T = TypeVar("T")
Keys = set[str]  # inside a store `set` is a method

PATIENT = GuardConfig(timeout=30.0)
"""A deadline that a busy machine does not reach."""


class ThreeMethods:
    """The least a user has to write."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.values: dict[str, tuple[bytes, float]] = {}

    async def get(self, key: str) -> bytes | None:
        value, expires = self.values.get(key, (None, inf))
        return value if self.clock() < expires else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.values[key] = (value, inf if ttl is None else self.clock() + ttl)

    async def delete(self, key: str) -> bool:
        there = await self.get(key) is not None
        self.values.pop(key, None)
        return there


class Swapping(ThreeMethods):
    """Memcached's kind: atomic in all it does, but it clears nothing by prefix."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.versions: dict[str, str] = {}
        self.made = 0

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await asyncio.sleep(0)
        self._put(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        await asyncio.sleep(0)
        if await self.get(key) is not None:
            return False
        self._put(key, value, ttl)
        return True

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        await asyncio.sleep(0)
        held = await self.get(key)
        return None if held is None else (held, self.versions[key])

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        await asyncio.sleep(0)
        if await self.get(key) is None or self.versions[key] != version:
            return False
        self._put(key, value, ttl)
        return True

    def _put(self, key: str, value: bytes, ttl: float | None) -> None:
        self.values[key] = (value, inf if ttl is None else self.clock() + ttl)
        self.made += 1
        self.versions[key] = f"{self.made}"


class SwappingMany(Swapping):
    """The same with bulk operations."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {key: await self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        for key, value in items.items():
            await self.set(key, value, ttl)
        return set()

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        return {key for key in keys if await self.delete(key)}


class Counting(ThreeMethods):
    """A store that counts, but neither clears by prefix nor compares."""

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        held = await self.get(key)
        number = delta + (initial if held is None else int(held))
        await self.set(key, b"%d" % number, ttl)
        return number


class Stop:
    """A place where calls wait; ``reached`` tells that one does, ``go`` lets it on."""

    def __init__(self, operation: str, *, after: bool, skip: int) -> None:
        self.operation = operation
        self.after = after
        self.skip = skip
        self.reached = asyncio.Event()
        self.passed = asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.passed.wait()

    def go(self) -> None:
        self.passed.set()


class Gated(Forwarding):
    """A store whose operations wait where they are told to: interleavings become deterministic."""

    def __init__(self, inner: CacheBackendProtocol) -> None:
        super().__init__(inner)
        self.stops: list[Stop] = []
        self.failures: dict[str, BackendError] = {}
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def stop(self, operation: str, *, after: bool = False, skip: int = 0) -> Stop:
        """Stop the next call of ``operation`` but ``skip``, before (or after) it acts."""
        stop = Stop(operation, after=after, skip=skip)
        self.stops.append(stop)
        return stop

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append((operation, tuple(keys)))
        failure = self.failures.get(operation)
        if failure is not None:
            raise failure
        stop = next((stop for stop in self.stops if stop.operation == operation), None)
        if stop is not None and stop.skip:
            stop.skip -= 1
            stop = None
        if stop is not None:
            self.stops.remove(stop)
            if not stop.after:
                await stop.wait()
        result = await call()
        if stop is not None and stop.after:
            await stop.wait()
        return result


class Untouchable:
    """Everything a store can offer; ``touched`` tells what was used of it."""

    def __init__(self) -> None:
        self.touched: list[str] = []

    def _touch(self, name: str) -> Any:
        self.touched.append(name)
        msg = f"{name} was called"
        raise AssertionError(msg)

    async def get(self, key: str) -> bytes | None:
        return self._touch("get")  # type: ignore[no-any-return]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        return self._touch("set")  # type: ignore[no-any-return]

    async def delete(self, key: str) -> bool:
        return self._touch("delete")  # type: ignore[no-any-return]

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        return self._touch("get_many")  # type: ignore[no-any-return]

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Any:
        return self._touch("set_many")

    async def delete_many(self, keys: Sequence[str]) -> Any:
        return self._touch("delete_many")

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        return self._touch("add")  # type: ignore[no-any-return]

    async def touch(self, key: str, ttl: float | None) -> bool:
        return self._touch("touch")  # type: ignore[no-any-return]

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        return self._touch("incr")  # type: ignore[no-any-return]

    async def clear(self, prefix: str) -> None:
        self._touch("clear")

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        return self._touch("acquire_lease")  # type: ignore[no-any-return]

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        return self._touch("fill")  # type: ignore[no-any-return]

    async def release_lease(self, key: str, token: str) -> None:
        self._touch("release_lease")


def local(clock: FakeClock, **settings: Any) -> Cache:
    """Return a cache on the store in this process, which works on its objects."""
    return Cache(CacheConfig(backend=InMemoryBackend(clock=clock), clock=clock, **settings))


def over(backend: CacheBackendProtocol, clock: FakeClock, **settings: Any) -> Cache:
    """Return a cache on ``backend``, patiently guarded."""
    guard = settings.pop("guard", PATIENT)
    return Cache(CacheConfig(backend=backend, clock=clock, guard=guard, **settings))


class Loads:
    """A loader: ``value`` is what the source holds; a run waits for ``gate`` before it returns."""

    def __init__(self, value: Any = "v") -> None:
        self.value = value
        self.runs = 0
        self.error: BaseException | None = None
        self.reading = asyncio.Event()
        self.gate: asyncio.Event | None = None

    def close(self) -> asyncio.Event:
        """Let runs wait from now on; return what lets them go."""
        self.gate = asyncio.Event()
        self.reading.clear()
        return self.gate

    async def __call__(self) -> Any:
        self.runs += 1
        value = self.value
        self.reading.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return value


async def ticks(count: int = 20) -> None:
    """Let everything that is ready run ``count`` times."""
    for _ in range(count):
        await asyncio.sleep(0)
