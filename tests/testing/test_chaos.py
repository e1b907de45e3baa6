"""`asynccache.testing.ChaosBackend`: any store, but slow, failing, hanging or lying."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asynccache import protocols
from asynccache._engine.entry import SupportsEntries
from asynccache.backends.memory import InMemoryBackend
from asynccache.errors import BackendUnavailableError, ConfigurationError
from asynccache.protocols import CacheBackendProtocol
from asynccache.testing.chaos import ChaosBackend

CAPABILITIES = [getattr(protocols, name) for name in protocols.__all__ if name.startswith("Supports")]


class ThreeMethods:
    """A store without any capability."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """Return the bytes under ``key``."""
        return self.values.get(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store ``value``."""
        self.values[key] = value

    async def delete(self, key: str) -> bool:
        """Remove ``key``."""
        return self.values.pop(key, None) is not None


class Adds(ThreeMethods):
    """A store with one capability."""

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Store ``value`` if there is none."""
        return self.values.setdefault(key, value) is value


class Bus(ThreeMethods):
    """A store whose bus says three things and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0
        self.more = asyncio.Event()

    async def publish(self, message: bytes) -> None:
        """Say nothing."""

    async def subscribe(self) -> AsyncIterator[bytes]:
        """Say three things."""
        try:
            for number in range(3):
                yield b"%d" % number
            await self.more.wait()
        finally:
            self.closed += 1


def statically(backend: object, capability: type) -> bool:
    """Return what ``isinstance`` says from Python 3.12 on: it looks without calling ``__getattr__``."""
    names = [name for name in vars(capability) if not name.startswith("_")]
    return all(inspect.getattr_static(backend, name, None) is not None for name in names)


@pytest.mark.parametrize("make", [ThreeMethods, Adds, Bus, InMemoryBackend])
def test_capabilities_are_those_of_the_store(make: Callable[[], CacheBackendProtocol]) -> None:
    """It is an instance of a capability exactly if the store is, in every version of Python."""
    inner = make()
    for wrapped in (ChaosBackend(inner), ChaosBackend(ChaosBackend(inner))):
        assert isinstance(wrapped, ChaosBackend)
        assert isinstance(wrapped, CacheBackendProtocol)
        for capability in CAPABILITIES:
            assert isinstance(wrapped, capability) is isinstance(inner, capability), capability
            assert statically(wrapped, capability) is isinstance(inner, capability), capability
        assert not isinstance(wrapped, SupportsEntries)


async def test_does_nothing_unless_told() -> None:
    """Without faults it is the store itself, and counts the calls."""
    chaos = ChaosBackend(Adds())
    await chaos.set("k", b"v")
    assert await chaos.get("k") == b"v"
    assert await chaos.get("absent") is None
    assert await chaos.delete("k") is True
    assert chaos.count.calls == {"set": 1, "get": 2, "delete": 1}
    assert (chaos.count.errors, chaos.count.hangs, chaos.count.corruptions) == (0, 0, 0)


async def test_every_operation_fails() -> None:
    """After ``fail`` every operation of every capability raises, and ``heal`` ends it."""
    chaos: Any = ChaosBackend(InMemoryBackend())
    await chaos.set("k", b"v")
    chaos.fail()
    calls = (
        lambda: chaos.get("k"),
        lambda: chaos.set("k", b"lost"),
        lambda: chaos.delete("k"),
        lambda: chaos.get_many(["k"]),
        lambda: chaos.set_many({"k": b"lost"}),
        lambda: chaos.delete_many(["k"]),
        lambda: chaos.exists("k"),
        lambda: chaos.touch("k", 60.0),
        lambda: chaos.add("k", b"lost"),
        lambda: chaos.incr("n"),
        lambda: chaos.clear("k"),
        lambda: chaos.acquire_lease("k", 1.0),
        lambda: chaos.fill("k", b"lost", None, "token"),
        lambda: chaos.release_lease("k", "token"),
        lambda: chaos.publish(b"m"),
        lambda: anext(chaos.subscribe()),
        chaos.health,
        chaos.open,
    )
    for call in calls:
        with pytest.raises(BackendUnavailableError, match="on purpose"):
            await call()
    assert chaos.count.errors == len(calls)
    await_is_harmless = chaos.aclose
    chaos.heal()
    assert await chaos.get("k") == b"v"
    for call in calls[1:10]:
        await call()
    chaos.fail()
    await await_is_harmless()


async def test_fail_can_be_switched_off() -> None:
    """``fail(False)`` ends it as well, and the representation tells the state."""
    chaos = ChaosBackend(ThreeMethods())
    chaos.fail()
    assert repr(chaos).startswith("<ChaosBackend failing around ")
    chaos.fail(False)
    assert repr(chaos).startswith("<ChaosBackend up around ")
    assert await chaos.get("k") is None


async def test_hangs_until_healed() -> None:
    """A hanging call goes on when the store is healed, and does then what it was asked to."""
    inner = ThreeMethods()
    chaos = ChaosBackend(inner)
    chaos.hang()
    assert repr(chaos).startswith("<ChaosBackend hanging around ")
    call = asyncio.create_task(chaos.set("k", b"v"))
    await asyncio.sleep(0.01)
    assert not call.done()
    assert inner.values == {}
    chaos.heal()
    await call
    assert inner.values == {"k": b"v"}
    assert chaos.count.hangs == 1


async def test_hanging_call_can_be_cancelled() -> None:
    """A cancelled call ends, was never made, and is not waited for."""
    inner = ThreeMethods()
    chaos = ChaosBackend(inner)
    chaos.hang()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await chaos.set("k", b"v")
    chaos.hang(False)
    await asyncio.sleep(0)
    assert inner.values == {}


async def test_hanging_then_failing() -> None:
    """What hung when the store died fails when it is let go."""
    chaos = ChaosBackend(ThreeMethods())
    chaos.hang()
    call = asyncio.create_task(chaos.get("k"))
    await asyncio.sleep(0)
    chaos.fail()
    chaos.hang(False)
    with pytest.raises(BackendUnavailableError):
        await call


def test_forgets_a_loop_that_is_gone() -> None:
    """Healing after the loop of a hanging call was closed raises nothing."""
    chaos = ChaosBackend(ThreeMethods())
    chaos.hang()

    async def hang() -> None:
        task = asyncio.create_task(chaos.get("k"))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(hang())
    chaos.heal()
    assert asyncio.run(chaos.get("k")) is None


async def test_error_rate() -> None:
    """About the given share of calls fail, of the writes some before and some after they were done."""
    inner = ThreeMethods()
    chaos = ChaosBackend(inner, error_rate=0.3, seed=1)
    failed: set[str] = set()
    for number in range(500):
        try:
            await chaos.set(f"{number}", b"v")
        except BackendUnavailableError:
            failed.add(f"{number}")
    assert 100 < len(failed) < 200
    assert chaos.count.errors == len(failed)
    done = failed & inner.values.keys()
    assert done
    assert failed - done
    assert inner.values.keys() - failed == {f"{number}" for number in range(500)} - failed


async def outcomes(seed: int) -> list[object]:
    """Return what a hundred reads give under every kind of fault."""
    chaos = ChaosBackend(ThreeMethods(), error_rate=0.2, corrupt_rate=0.3, seed=seed)
    seen: list[object] = []
    for number in range(100):
        try:
            await chaos.set(f"{number % 7}", b"value %d" % (number % 7))
            seen.append(await chaos.get(f"{number % 7}"))
        except BackendUnavailableError as error:
            seen.append(str(error))
    return seen


async def test_is_repeatable() -> None:
    """The same seed gives the same faults, another seed others."""
    assert await outcomes(5) == await outcomes(5)
    assert await outcomes(5) != await outcomes(6)


async def test_hang_rate() -> None:
    """About the given share of calls hang."""
    chaos = ChaosBackend(ThreeMethods(), hang_rate=0.5, seed=3)
    calls = [asyncio.create_task(chaos.get("k")) for _ in range(100)]
    await asyncio.sleep(0.01)
    hanging = [call for call in calls if not call.done()]
    assert 25 < len(hanging) == chaos.count.hangs < 75
    chaos.heal()
    assert await asyncio.gather(*calls) == [None] * 100


async def test_corrupt_replies() -> None:
    """Replies come back flipped, cut short, empty or as another key's; the store keeps the right ones."""
    inner = ThreeMethods()
    chaos = ChaosBackend(inner, corrupt_rate=1.0, seed=2)
    values = {f"k{number}": b"value of k%d" % number for number in range(10)}
    for key, value in values.items():
        await chaos.set(key, value)
    kinds: set[str] = set()
    for _ in range(30):
        for key, value in values.items():
            got = await chaos.get(key)
            assert got is not None
            assert got != value
            if got == b"":
                kinds.add("empty")
            elif got in values.values():
                kinds.add("another's")
            elif value.startswith(got):
                kinds.add("cut short")
            elif len(got) == len(value):
                kinds.add("flipped")
    assert kinds == {"empty", "another's", "cut short", "flipped"}
    assert chaos.count.corruptions == 300
    assert inner.values == values


async def test_corrupts_every_kind_of_value() -> None:
    """Empty values, single values and bulk replies are damaged as well; a miss stays a miss."""
    chaos: Any = ChaosBackend(InMemoryBackend(), corrupt_rate=1.0)
    await chaos.set("empty", b"")
    for _ in range(20):
        assert await chaos.get("empty") != b""
        assert await chaos.get("absent") is None
    await chaos.set_many({"a": b"value of a", "b": b"value of b"})
    found = await chaos.get_many(["a", "b", "absent"])
    assert found.keys() == {"a", "b"}
    assert found["a"] != b"value of a"


async def test_remembers_a_bounded_number_of_values() -> None:
    """A long run does not keep every value it has seen."""
    chaos = ChaosBackend(ThreeMethods())
    for number in range(500):
        await chaos.set(f"{number}", b"v")
        await chaos.get(f"{number}")
    assert len(chaos._values) == 64


async def test_latency() -> None:
    """A call takes longer, by as much as was asked for, before or after the store acts."""
    inner = ThreeMethods()
    chaos = ChaosBackend(inner, latency=(0.02, 0.02))
    began = asyncio.get_running_loop().time()
    await chaos.set("k", b"v")
    assert asyncio.get_running_loop().time() - began >= 0.019
    done: set[bool] = set()
    for number in range(40):
        call = asyncio.create_task(chaos.set(f"{number}", b"v"))
        await asyncio.sleep(0.005)
        call.cancel()
        await asyncio.wait({call})
        done.add(f"{number}" in inner.values)
        if len(done) == 2:
            break
    assert done == {True, False}


async def test_failing_ends_subscriptions() -> None:
    """A running subscription ends with an error when the store fails, as with a lost connection."""
    bus = Bus()
    chaos: Any = ChaosBackend(bus)
    heard: list[bytes] = []

    async def listen() -> None:
        async for message in chaos.subscribe():
            heard.append(message)  # noqa: PERF401  (what was heard before the error counts)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.01)
    assert heard == [b"0", b"1", b"2"]
    chaos.fail()
    with pytest.raises(BackendUnavailableError, match="subscription lost"):
        await listener
    assert bus.closed == 1


async def test_subscription_ends_with_the_stores() -> None:
    """When the store's own subscription ends this one does."""
    bus = Bus()
    bus.more.set()
    chaos: Any = ChaosBackend(bus)
    assert [message async for message in chaos.subscribe()] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_rate": -0.1},
        {"hang_rate": 1.1},
        {"corrupt_rate": float("nan")},
        {"latency": (0.2, 0.1)},
        {"latency": (-1, 1)},
    ],
    ids=str,
)
def test_refuses_nonsense(wrong: dict[str, Any]) -> None:
    """A rate outside 0 to 1 and a latency that is no range raise, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ChaosBackend(ThreeMethods(), **wrong)
