"""`SyncBackendAdapter`: threads that block, callers that leave, objects that are not what they should be."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from asynccache import Cache, CacheConfig, SyncBackendAdapter
from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from asynccache.protocols import (
    BackendHealth,
    CacheBackendProtocol,
    SupportsAdd,
    SupportsClear,
    SupportsCompareAndSwap,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsLifecycle,
    SupportsMany,
    SupportsTouch,
)
from tests.conformance.sync_stores import Everything, FiveMethods

OPTIONAL: tuple[type, ...] = (
    SupportsAdd,
    SupportsClear,
    SupportsCompareAndSwap,
    SupportsExists,
    SupportsHealth,
    SupportsIncrement,
    SupportsInvalidationBus,
    SupportsLeases,
    SupportsMany,
    SupportsTouch,
)


class Slow(FiveMethods):
    """Each ``set`` waits until it is let go, and notes when it began and ended."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.begun: dict[bytes, threading.Event] = {}
        self.gates: dict[bytes, threading.Event] = {}
        self.log: list[str] = []

    def hold(self, value: bytes) -> threading.Event:
        """Return the gate that a set of ``value`` will wait at."""
        self.begun[value] = threading.Event()
        self.gates[value] = threading.Event()
        return self.gates[value]

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.log.append(f"begin {value.decode()}")
        if value in self.gates:
            self.begun[value].set()
            assert self.gates[value].wait(30)
        super().set(key, value, ttl)
        self.log.append(f"end {value.decode()}")


async def spin() -> None:
    """Let everything take a few steps that can."""
    for _ in range(10):
        await asyncio.sleep(0)


# -- what it can do


def test_it_can_do_what_the_object_can() -> None:
    five, everything = SyncBackendAdapter(FiveMethods(float)), SyncBackendAdapter(Everything(float))

    for adapter in (five, everything):
        assert isinstance(adapter, CacheBackendProtocol)
        assert isinstance(adapter, SupportsLifecycle)
    assert {kind for kind in OPTIONAL if isinstance(five, kind)} == {SupportsExists, SupportsHealth}
    assert {kind for kind in OPTIONAL if isinstance(everything, kind)} == {*OPTIONAL} - {
        SupportsInvalidationBus
    }
    assert isinstance(five, SyncBackendAdapter)
    assert type(five).__name__ == "SyncBackendAdapter"


def test_a_cache_knows_what_it_can() -> None:
    assert not Cache(CacheConfig(backend=SyncBackendAdapter(FiveMethods(float)))).capabilities.leases
    assert Cache(CacheConfig(backend=SyncBackendAdapter(Everything(float)))).capabilities.leases


@pytest.mark.parametrize("missing", ["get", "set", "delete"])
def test_three_methods_are_needed(missing: str) -> None:
    incomplete = type("Incomplete", (FiveMethods,), {missing: None})
    with pytest.raises(ConfigurationError, match=f"Incomplete needs a method {missing}"):
        SyncBackendAdapter(incomplete(float))


@pytest.mark.parametrize("method", ["get", "delete", "exists", "health_check", "get_many", "open", "close"])
def test_an_asynchronous_object_is_refused(method: str) -> None:
    async def coroutine(self: Any, *args: Any) -> None: ...

    wrong = type("Wrong", (FiveMethods,), {method: coroutine})
    with pytest.raises(ConfigurationError, match=f"Wrong.{method} is a coroutine function.*no adapter"):
        SyncBackendAdapter(wrong(float))


async def test_an_asynchronous_object_in_disguise_is_refused_when_it_is_called() -> None:
    async def later() -> bytes:
        return b"v"

    class Disguised(FiveMethods):
        def get(self, key: str) -> Any:
            return later()

    adapter = SyncBackendAdapter(Disguised(float))
    with pytest.raises(ConfigurationError, match="awaitable"):
        await adapter.get("k")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, None])
def test_threads_are_checked(threads: Any) -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        SyncBackendAdapter(FiveMethods(float), threads=threads)


def test_its_name_tells_what_is_inside() -> None:
    assert repr(SyncBackendAdapter(FiveMethods(float))).startswith("<SyncBackendAdapter <tests.")


# -- threads


async def test_the_event_loop_goes_on_while_a_call_blocks() -> None:
    store = Slow()
    gate = store.hold(b"v")
    adapter = SyncBackendAdapter(store)
    write = asyncio.ensure_future(adapter.set("k", b"v"))
    await asyncio.to_thread(store.begun[b"v"].wait, 30)

    assert await adapter.get("other") is None
    assert not write.done()
    gate.set()
    assert await write is True
    assert await adapter.get("k") == b"v"


@pytest.mark.parametrize("threads", [1, 3])
async def test_no_more_threads_than_allowed(threads: int) -> None:
    """Even callers that gave up do not make room before their thread is done."""
    inside = most = 0
    lock = threading.Lock()
    full, gate = threading.Event(), threading.Event()

    class Counting(FiveMethods):
        def get(self, key: str) -> bytes | None:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
                if inside == threads:
                    full.set()
            gate.wait(30)
            with lock:
                inside -= 1
            return None

    adapter = SyncBackendAdapter(Counting(float), threads=threads)
    calls = [asyncio.ensure_future(adapter.get(f"{number}")) for number in range(10)]
    await asyncio.to_thread(full.wait, 30)
    for call in calls[:5]:
        call.cancel()
    calls += [asyncio.ensure_future(adapter.get(f"{number}")) for number in range(5)]
    await spin()
    gate.set()
    await asyncio.wait(calls)

    assert most == threads
    await adapter.aclose()


async def test_one_adapter_in_two_event_loops() -> None:
    adapter = SyncBackendAdapter(Everything(lambda: 0.0), threads=2)

    async def count() -> None:
        await asyncio.gather(*(adapter.incr("n") for _ in range(50)))

    await asyncio.to_thread(asyncio.run, count())
    await asyncio.gather(count(), asyncio.to_thread(asyncio.run, count()))

    assert await adapter.get("n") == b"150"


# -- callers that leave


async def test_a_set_whose_caller_left_does_not_undo_a_later_one() -> None:
    """The later one waits until the thread of the first is done."""
    store = Slow()
    gate = store.hold(b"first")
    adapter = SyncBackendAdapter(store)
    first = asyncio.ensure_future(adapter.set("k", b"first"))
    await asyncio.to_thread(store.begun[b"first"].wait, 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.ensure_future(adapter.set("k", b"second"))
    assert await adapter.set("another", b"free") is True
    await spin()
    assert not second.done()
    gate.set()

    assert await second is True
    assert await adapter.get("k") == b"second"
    assert store.log.index("end first") < store.log.index("begin second")


async def test_what_has_not_begun_is_left_out() -> None:
    store = Slow()
    gate = store.hold(b"first")
    adapter = SyncBackendAdapter(store, threads=1)
    first = asyncio.ensure_future(adapter.set("k", b"first"))
    await asyncio.to_thread(store.begun[b"first"].wait, 30)
    waiting = [asyncio.ensure_future(adapter.set(key, b"waiting")) for key in ("k", "free")]
    await spin()
    for call in waiting:
        call.cancel()
    last = asyncio.ensure_future(adapter.set("k", b"last"))
    await spin()
    gate.set()

    assert await first is True
    assert await last is True
    assert "begin waiting" not in store.log
    assert await adapter.get("k") == b"last"


WRITES: dict[str, tuple[Any, ...]] = {
    "delete": ("k",),
    "delete_many": (["other", "k"],),
    "set_many": ({"k": b"new", "other": b"new"},),
    "add": ("k", b"new"),
    "touch": ("k", 5.0),
    "clear": ("k",),
}


@pytest.mark.parametrize("method", WRITES)
async def test_every_write_of_a_key_waits_for_the_one_before(method: str) -> None:
    entered, gate = threading.Event(), threading.Event()

    class Blocking(Everything):
        def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
            if value == b"slow":
                entered.set()
                assert gate.wait(30)
            super().set(key, value, ttl)

    store = Blocking(lambda: 0.0)
    adapter = SyncBackendAdapter(store)
    slow = asyncio.ensure_future(adapter.set("k", b"slow"))
    await asyncio.to_thread(entered.wait, 30)
    later = asyncio.ensure_future(getattr(adapter, method)(*WRITES[method]))
    await spin()
    assert not later.done()
    assert store.values == {}
    gate.set()
    await slow
    await later


async def test_closing_waits_for_what_is_under_way() -> None:
    closed: list[str] = []

    class Closing(Slow):
        def open(self) -> None:
            closed.append("open")

        def close(self) -> None:
            closed.append("close")

    store = Closing()
    gate = store.hold(b"v")
    adapter = SyncBackendAdapter(store)
    await adapter.open()
    write = asyncio.ensure_future(adapter.set("k", b"v"))
    await asyncio.to_thread(store.begun[b"v"].wait, 30)
    closing = asyncio.ensure_future(adapter.aclose())
    await spin()
    assert closed == ["open"]
    gate.set()
    await closing

    assert await write is True
    assert closed == ["open", "close"]


def test_a_loop_that_ends_with_calls_under_way() -> None:
    """Their callers are gone; the next loop finds everything free."""
    store = Slow()
    gate = store.hold(b"v")
    adapter = SyncBackendAdapter(store, threads=1)

    async def leave() -> None:
        asyncio.ensure_future(adapter.set("k", b"v")).add_done_callback(lambda _: None)
        await asyncio.to_thread(store.begun[b"v"].wait, 30)
        gate.set()

    asyncio.run(leave())
    assert asyncio.run(adapter.set("k", b"w")) is True
    assert asyncio.run(adapter.get("k")) in {b"v", b"w"}


# -- what comes back


@pytest.mark.parametrize(
    "raised,kind",
    [
        (ConnectionResetError("reset"), BackendUnavailableError),
        (TimeoutError("late"), BackendTimeoutError),
        (RuntimeError("broken"), BackendError),
        (BackendError("not an integer"), BackendError),
        (StopIteration(), BackendError),
        (TypeError("a bug"), TypeError),
    ],
)
async def test_exceptions_are_ours(raised: Exception, kind: type[Exception]) -> None:
    class Failing(FiveMethods):
        def get(self, key: str) -> bytes | None:
            raise raised

    adapter = SyncBackendAdapter(Failing(lambda: 0.0))
    with pytest.raises(kind) as caught:
        await adapter.get("k")

    assert type(caught.value) is kind
    assert await adapter.set("k", b"v") is True


async def test_a_failed_write_lets_the_next_one_go() -> None:
    class Failing(FiveMethods):
        def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
            if value == b"bad":
                raise OSError("no")
            super().set(key, value, ttl)

    adapter = SyncBackendAdapter(Failing(lambda: 0.0))
    results = await asyncio.gather(
        adapter.set("k", b"bad"), adapter.set("k", b"good"), return_exceptions=True
    )

    assert isinstance(results[0], BackendUnavailableError)
    assert results[1] is True
    assert await adapter.get("k") == b"good"


@pytest.mark.parametrize("value", ["text", bytearray(b"v"), 3])
async def test_what_is_no_bytes_goes_neither_in_nor_out(value: Any) -> None:
    store = Everything(lambda: 0.0)
    adapter = SyncBackendAdapter(store)
    for call in (
        adapter.set("k", value),
        adapter.add("k", value),
        adapter.set_many({"k": value}),
        adapter.fill("k", value, None, "t"),
        adapter.compare_and_swap("k", value, None, "1"),
    ):
        with pytest.raises(TypeError, match="bytes"):
            await call
    assert store.values == {}
    store.values["k"] = (value, 1.0)
    store.versions["k"] = "1"
    for read in (adapter.get("k"), adapter.get_many(["k"]), adapter.get_versioned("k")):
        with pytest.raises(TypeError, match=r"what Everything\.get"):
            await read


async def test_a_store_that_refuses() -> None:
    class Refusing(FiveMethods):
        def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:  # type: ignore[override]
            return False

    assert await SyncBackendAdapter(Refusing(float)).set("k", b"v") is False


async def test_health_is_a_bool_or_the_whole_story() -> None:
    class Sick(FiveMethods):
        def health_check(self) -> bool:
            return False

    class Telling(FiveMethods):
        def health(self) -> BackendHealth:
            return BackendHealth(healthy=True, backend_type="told", latency_ms=1.5)

    class Explaining(FiveMethods):
        def health_check(self) -> Any:  # the shape of cachekit's backends
            return False, {"backend_type": "explained", "latency_ms": 2, "disk": "full"}

    class Odd(FiveMethods):
        def health_check(self) -> Any:
            return "fine"

    health = await SyncBackendAdapter(FiveMethods(float)).health()
    assert (health.healthy, health.backend_type) == (True, "FiveMethods")
    assert 0 <= health.latency_ms < 10_000
    assert (await SyncBackendAdapter(Sick(float)).health()).healthy is False
    assert (await SyncBackendAdapter(Telling(float)).health()).backend_type == "told"
    assert await SyncBackendAdapter(Explaining(float)).health() == BackendHealth(
        healthy=False, backend_type="explained", latency_ms=2.0, details={"disk": "full"}
    )
    with pytest.raises(TypeError, match="bool or a BackendHealth"):
        await SyncBackendAdapter(Odd(float)).health()


async def test_a_cache_works_on_it() -> None:
    async with Cache(CacheConfig(backend=SyncBackendAdapter(FiveMethods(lambda: 0.0)))) as cache:
        await cache.set("k", {"a": 1}, ttl=60, tags=["t"])
        assert await cache.get("k") == {"a": 1}
        await cache.invalidate_tags("t")
        assert await cache.get("k") is None
        assert (await cache.health()).healthy is True
