"""One honest store and many that break one rule each, with the conformance suite over all of them.

Run by test_conformance_catches.py in a process of its own; pytest does not collect it by itself.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import count
from math import inf

import pytest_asyncio

from asynccache.errors import BackendError
from asynccache.protocols import BackendHealth
from asynccache.testing import BackendConformance, FakeClock

Keys = set[str]  # inside a store `set` is a method


class Honest:
    """Every capability, in plain words: the suite must find nothing to say against it."""

    limit = 2 << 20

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.values: dict[str, tuple[bytes, float]] = {}
        self.versions: dict[str, str] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.tokens = count()
        self.queues: list[asyncio.Queue[bytes]] = []

    def live(self, key: str) -> tuple[bytes, float] | None:
        item = self.values.get(key)
        return item if item is not None and self.clock() < item[1] else None

    def end(self, ttl: float | None) -> float:
        return inf if ttl is None else self.clock() + ttl

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        item = self.live(key)
        return None if item is None else item[0]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
        self.leases.pop(key, None)
        if len(value) > self.limit:
            self.values.pop(key, None)
            return False
        self.put(key, value, self.end(ttl))
        return True

    def put(self, key: str, value: bytes, end: float) -> None:
        self.values[key] = (value, end)
        self.versions[key] = f"version{next(self.tokens)}"

    async def delete(self, key: str) -> bool:
        self.leases.pop(key, None)
        there = self.live(key) is not None
        self.values.pop(key, None)
        return there

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {key: await self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
        return {key for key, value in items.items() if await self.set(key, value, ttl) is False}

    async def delete_many(self, keys: Sequence[str]) -> Keys:
        return {key for key in keys if await self.delete(key)}

    async def exists(self, key: str) -> bool:
        return self.live(key) is not None

    async def touch(self, key: str, ttl: float | None) -> bool:
        item = self.live(key)
        if item is None:
            return False
        self.values[key] = (item[0], self.end(ttl))
        return True

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        return False if self.live(key) is not None else await self.set(key, value, ttl) is not False

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        old = self.live(key)
        value, expires = old if old is not None else (b"%d" % initial, self.end(ttl))
        try:
            total = int(value) + delta
        except ValueError:
            msg = "not an integer"
            raise BackendError(msg, key=key) from None
        self.leases.pop(key, None)
        self.put(key, b"%d" % total, expires)
        return total

    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        await asyncio.sleep(0)
        item = self.live(key)
        return None if item is None else (item[0], self.versions[key])

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        if self.live(key) is None or self.versions[key] != version:
            return False
        return await self.set(key, value, ttl) is not False

    async def clear(self, prefix: str) -> None:
        for kept in (self.values, self.leases):
            for key in [key for key in kept if key.startswith(prefix)]:
                del kept[key]

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        held = self.leases.get(key)
        if held is not None and self.clock() < held[1]:
            return None
        self.leases[key] = (f"token{next(self.tokens)}", self.clock() + ttl)
        return self.leases[key][0]

    def holds(self, key: str, token: str) -> bool:
        held = self.leases.get(key)
        return held is not None and held[0] == token and self.clock() < held[1]

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        return self.holds(key, token) and await self.set(key, value, ttl) is not False

    async def release_lease(self, key: str, token: str) -> None:
        if self.holds(key, token):
            del self.leases[key]

    async def publish(self, message: bytes) -> None:
        for queue in self.queues:
            queue.put_nowait(message)

    async def subscribe(self) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.queues.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.queues.remove(queue)

    async def health(self) -> BackendHealth:
        return BackendHealth(healthy=True, backend_type="honest", latency_ms=0.0)

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        self.values.clear()


class Conformance(BackendConformance):
    Store: type[Honest]
    max_value_bytes = Honest.limit
    persistent = False

    @pytest_asyncio.fixture
    async def backend(self) -> Honest:
        self.clock = FakeClock()
        return self.Store(self.clock)


class TestHonest(Conformance):
    Store = Honest


class TestReturnsExpired(Conformance):
    class Store(Honest):
        def live(self, key: str) -> tuple[bytes, float] | None:
            return self.values.get(key)


class TestExpiresLate(Conformance):
    class Store(Honest):
        def live(self, key: str) -> tuple[bytes, float] | None:
            item = self.values.get(key)
            return item if item is not None and self.clock() <= item[1] else None


class TestWholeSeconds(Conformance):
    class Store(Honest):
        def end(self, ttl: float | None) -> float:
            return inf if ttl is None else self.clock() + max(1, round(ttl))


class TestMemcachedThirtyDays(Conformance):
    class Store(Honest):
        def end(self, ttl: float | None) -> float:
            return inf if ttl is None else self.clock() + ttl if ttl <= 30 * 86_400 else ttl


class TestReadingProlongs(Conformance):
    class Store(Honest):
        async def get(self, key: str) -> bytes | None:
            await self.touch(key, 60.0) if self.values.get(key, (b"", inf))[1] < inf else None
            return await super().get(key)


class TestSetKeepsOldExpiry(Conformance):
    class Store(Honest):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
            old = self.live(key)
            stored = await super().set(key, value, ttl)
            if old is not None and stored:
                self.values[key] = (value, old[1])
            return stored


class TestLosesEmpty(Conformance):
    class Store(Honest):
        async def get(self, key: str) -> bytes | None:
            return await super().get(key) or None


class TestBytearray(Conformance):
    class Store(Honest):
        async def get(self, key: str) -> bytes | None:
            value = await super().get(key)
            return None if value is None else bytearray(value)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class TestTextOnly(Conformance):
    class Store(Honest):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
            return await super().set(key, value.decode("utf-8", "replace").encode(), ttl)


class TestKeepsOldWhenTooLarge(Conformance):
    class Store(Honest):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
            return False if len(value) > self.limit else await super().set(key, value, ttl)


class TestTruncatesLarge(Conformance):
    class Store(Honest):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
            return await super().set(key, value[: self.limit], ttl)


class Renaming(Honest):
    """Stores under another name than it was given."""

    def name(self, key: str) -> str:
        raise NotImplementedError

    async def get(self, key: str) -> bytes | None:
        return await super().get(self.name(key))

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
        return await super().set(self.name(key), value, ttl)

    async def delete(self, key: str) -> bool:
        return await super().delete(self.name(key))


class TestTruncatesKeys(Conformance):
    class Store(Renaming):
        def name(self, key: str) -> str:
            return key.encode()[:250].decode("utf-8", "ignore")


class TestIgnoresCase(Conformance):
    class Store(Renaming):
        def name(self, key: str) -> str:
            return key.lower()


class TestNormalisesUnicode(Conformance):
    class Store(Renaming):
        def name(self, key: str) -> str:
            return unicodedata.normalize("NFKC", key)


class TestStripsKeys(Conformance):
    class Store(Renaming):
        def name(self, key: str) -> str:
            return key.strip() or key


class TestStopsAtNul(Conformance):
    class Store(Renaming):
        def name(self, key: str) -> str:
            return key.partition("\x00")[0]


class TestObeysKeys(Conformance):
    class Store(Honest):
        async def get(self, key: str) -> bytes | None:
            _, command, rest = key.partition("\r\nset ")
            if command:
                await self.set(rest.partition(" ")[0], b"EVIL")
            return await super().get(key)


class TestDeleteAlwaysTrue(Conformance):
    class Store(Honest):
        async def delete(self, key: str) -> bool:
            await super().delete(key)
            return True


class TestDeleteByPrefix(Conformance):
    class Store(Honest):
        async def delete(self, key: str) -> bool:
            there = await super().delete(key)
            await self.clear(key)
            return there


class TestManySwapsValues(Conformance):
    class Store(Honest):
        async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
            values = [await self.get(key) for key in dict.fromkeys(keys)]
            return dict(zip(keys, [value for value in values if value is not None], strict=False))


class TestManyBelievesTheLastDuplicate(Conformance):
    """Asks what came of each place in the list, and believes the last."""

    class Store(Honest):
        async def delete_many(self, keys: Sequence[str]) -> Keys:
            there = {key: await self.delete(key) for key in keys}
            return {key for key, was in there.items() if was}


class TestManyNamesAbsent(Conformance):
    class Store(Honest):
        async def delete_many(self, keys: Sequence[str]) -> Keys:
            await super().delete_many(keys)
            return set(keys)


class TestManyCountsDeleted(Conformance):
    class Store(Honest):
        async def delete_many(self, keys: Sequence[str]) -> Keys:
            return len(await super().delete_many(keys))  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class TestManyForgetsTtl(Conformance):
    class Store(Honest):
        async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> Keys:
            return await super().set_many(items)


class TestAddNotAtomic(Conformance):
    class Store(Honest):
        async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
            if self.live(key) is not None:
                return False
            await asyncio.sleep(0)
            return await self.set(key, value, ttl) is not False


class TestAddRenewsExpiry(Conformance):
    class Store(Honest):
        async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
            return await super().add(key, value, ttl) or (await self.touch(key, ttl), False)[1]


class TestIncrNotAtomic(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            old = self.live(key)
            await asyncio.sleep(0)
            if old is not None:
                self.values[key] = old
            return await super().incr(key, delta, initial=initial, ttl=ttl)


class TestIncrDropsTtl(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            total = await super().incr(key, delta, initial=initial, ttl=ttl)
            self.values[key] = (b"%d" % total, self.end(ttl))
            return total


class TestIncrStopsAtZero(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            total = await super().incr(key, delta, initial=initial, ttl=ttl)
            return total if total >= 0 else await super().incr(key, -total)


class TestIncrInitialIsFirstAnswer(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            absent = self.live(key) is None
            return await super().incr(key, 0 if absent and initial else delta, initial=initial, ttl=ttl)


class TestIncrInFloats(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            return int(float(await super().incr(key, delta, initial=initial, ttl=ttl)))


class TestIncrOverwritesText(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            try:
                return await super().incr(key, delta, initial=initial, ttl=ttl)
            except BackendError:
                await self.delete(key)
                return await super().incr(key, delta, initial=initial, ttl=ttl)


class TestIncrPads(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            old = self.live(key)
            total = await super().incr(key, delta, initial=initial, ttl=ttl)
            width = 0 if old is None else len(old[0])
            self.values[key] = (b"%d" % total, self.values[key][1])
            self.values[key] = (self.values[key][0].ljust(width), self.values[key][1])
            return total


class TestIncrKeepsLease(Conformance):
    class Store(Honest):
        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            held = self.leases.get(key)
            total = await super().incr(key, delta, initial=initial, ttl=ttl)
            if held is not None:
                self.leases[key] = held
            return total


class TestVersionIsValue(Conformance):
    class Store(Honest):
        def put(self, key: str, value: bytes, end: float) -> None:
            super().put(key, value, end)
            self.versions[key] = value.hex()


class TestVersionIsSize(Conformance):
    class Store(Honest):
        def put(self, key: str, value: bytes, end: float) -> None:
            super().put(key, value, end)
            self.versions[key] = f"{len(value)}"


class TestVersionedLosesEmpty(Conformance):
    class Store(Honest):
        async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
            held = await super().get_versioned(key)
            return held if held is not None and held[0] else None


class TestVersionedSeesExpired(Conformance):
    class Store(Honest):
        async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
            item = self.values.get(key)
            return None if item is None else (item[0], self.versions[key])


class TestSwapNotAtomic(Conformance):
    class Store(Honest):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            held = await self.get_versioned(key)
            if held is None or held[1] != version:
                return False
            await asyncio.sleep(0)
            return await self.set(key, value, ttl) is not False


class TestSwapIgnoresVersion(Conformance):
    class Store(Honest):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            return self.live(key) is not None and await self.set(key, value, ttl) is not False


class TestSwapRevives(Conformance):
    class Store(Honest):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            if self.versions.get(key) != version:
                return False
            return await self.set(key, value, ttl) is not False


class TestSwapKeepsOldExpiry(Conformance):
    class Store(Honest):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            old = self.live(key)
            swapped = await super().compare_and_swap(key, value, ttl, version)
            if old is not None and swapped:
                self.values[key] = (value, old[1])
            return swapped


class TestSwapRaises(Conformance):
    class Store(Honest):
        async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
            if not await super().compare_and_swap(key, value, ttl, version):
                msg = "changed"
                raise BackendError(msg, key=key)
            return True


class TestTouchRevives(Conformance):
    class Store(Honest):
        async def touch(self, key: str, ttl: float | None) -> bool:
            if key in self.values:
                self.values[key] = (self.values[key][0], self.end(ttl))
            return key in self.values


class TestTouchOnlyProlongs(Conformance):
    class Store(Honest):
        async def touch(self, key: str, ttl: float | None) -> bool:
            item = self.live(key)
            if item is not None:
                self.values[key] = (item[0], max(item[1], self.end(ttl)))
            return item is not None


class TestExistsSeesExpired(Conformance):
    class Store(Honest):
        async def exists(self, key: str) -> bool:
            return key in self.values


class TestClearAll(Conformance):
    class Store(Honest):
        async def clear(self, prefix: str) -> None:
            self.values.clear()


class TestClearByGlob(Conformance):
    class Store(Honest):
        async def clear(self, prefix: str) -> None:
            for key in [key for key in self.values if fnmatchcase(key, f"{prefix}*")]:
                await self.delete(key)


class TestClearFirstThousand(Conformance):
    class Store(Honest):
        async def clear(self, prefix: str) -> None:
            for key in [key for key in self.values if key.startswith(prefix)][:1000]:
                await self.delete(key)


class TestClearKeepsLeases(Conformance):
    class Store(Honest):
        async def clear(self, prefix: str) -> None:
            for key in [key for key in self.values if key.startswith(prefix)]:
                del self.values[key]


class TestDeleteOfAbsentKeepsLease(Conformance):
    class Store(Honest):
        async def delete(self, key: str) -> bool:
            return await super().delete(key) if self.live(key) is not None else False


class TestSetKeepsLease(Conformance):
    class Store(Honest):
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
            held = self.leases.get(key)
            stored = await super().set(key, value, ttl)
            if held is not None:
                self.leases[key] = held
            return stored


class TestLeaseNotAtomic(Conformance):
    class Store(Honest):
        async def acquire_lease(self, key: str, ttl: float) -> str | None:
            held = self.leases.get(key)
            await asyncio.sleep(0)
            if held is None:
                self.leases.pop(key, None)
            return await super().acquire_lease(key, ttl)


class TestLeaseTokensRepeat(Conformance):
    class Store(Honest):
        async def acquire_lease(self, key: str, ttl: float) -> str | None:
            token = await super().acquire_lease(key, ttl)
            if token is not None:
                self.leases[key] = (key, self.clock() + ttl)
            return token and key


class TestLeaseNeverExpires(Conformance):
    class Store(Honest):
        async def acquire_lease(self, key: str, ttl: float) -> str | None:
            return await super().acquire_lease(key, 1e9)


class TestAnyoneReleases(Conformance):
    class Store(Honest):
        async def release_lease(self, key: str, token: str) -> None:
            self.leases.pop(key, None)


class TestAnyoneFills(Conformance):
    class Store(Honest):
        async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
            return await self.set(key, value, ttl) is not False


class TestLeaseHidesValue(Conformance):
    class Store(Honest):
        async def acquire_lease(self, key: str, ttl: float) -> str | None:
            self.values.pop(key, None)
            return await super().acquire_lease(key, ttl)


class TestBusReachesOne(Conformance):
    class Store(Honest):
        async def publish(self, message: bytes) -> None:
            for queue in self.queues[-1:]:
                queue.put_nowait(message)


class TestBusOutOfOrder(Conformance):
    class Store(Honest):
        async def publish(self, message: bytes) -> None:
            for queue in self.queues:
                held = [queue.get_nowait() for _ in range(queue.qsize())]
                for each in (message, *held):
                    queue.put_nowait(each)


class TestUnwell(Conformance):
    class Store(Honest):
        async def health(self) -> BackendHealth:
            return BackendHealth(healthy=False, backend_type="", latency_ms=0.0)


class TestCloseOnlyOnce(Conformance):
    class Store(Honest):
        async def aclose(self) -> None:
            del self.values


class TestReopenRevives(Conformance):
    class Store(Honest):
        async def aclose(self) -> None:
            """Keep everything although ``persistent = False`` was declared."""


class Pipelined(Honest):
    """Answers wait in a line; who is cancelled leaves its answer to the next one, as in aiomcache's pool."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.left: list[bytes | None] = []

    async def get(self, key: str) -> bytes | None:
        self.left.append(await super().get(key))
        await asyncio.sleep(0.001)
        return self.left.pop(0)


class TestDesynchronises(Conformance):
    Store = Pipelined


class TestDesynchronisedCounter(Conformance):
    class Store(Honest):
        def __init__(self, clock: FakeClock) -> None:
            super().__init__(clock)
            self.left: list[int] = []

        async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
            self.left.append(await super().incr(key, delta, initial=initial, ttl=ttl))
            await asyncio.sleep(0.0005)
            return self.left.pop(0)


class TestLeaksSlots(Conformance):
    """A cancelled caller never gives its connection back: after a while nobody gets one."""

    class Store(Honest):
        def __init__(self, clock: FakeClock) -> None:
            super().__init__(clock)
            self.free = 40

        async def get(self, key: str) -> bytes | None:
            if self.free <= 0:
                msg = "no connection is free"
                raise BackendError(msg)
            self.free -= 1
            await asyncio.sleep(0.0005)
            value = await super().get(key)
            self.free += 1
            return value


class TestWrongLoop(Conformance):
    """Fails in a second loop with whatever asyncio happens to raise."""

    class Store(Honest):
        loop: asyncio.AbstractEventLoop | None = None

        async def get(self, key: str) -> bytes | None:
            self.loop = self.loop or asyncio.get_running_loop()
            if self.loop is not asyncio.get_running_loop():
                msg = "Event loop is closed"
                raise RuntimeError(msg)
            return await super().get(key)
