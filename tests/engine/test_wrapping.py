from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from asynccache import protocols
from asynccache._engine.batching import Batched
from asynccache._engine.guard import Guard
from asynccache._engine.wrapping import Wrapper, owns_its_io
from asynccache.errors import ConfigurationError
from tests.engine.engine_doubles import DictBackend

OPTIONAL: dict[Any, tuple[str, ...]] = {
    protocols.SupportsExists: ("exists",),
    protocols.SupportsTouch: ("touch",),
    protocols.SupportsAdd: ("add",),
    protocols.SupportsIncrement: ("incr",),
    protocols.SupportsCompareAndSwap: ("get_versioned", "compare_and_swap"),
    protocols.SupportsClear: ("clear",),
    protocols.SupportsLeases: ("acquire_lease", "fill", "release_lease"),
    protocols.SupportsInvalidationBus: ("publish", "subscribe"),
    protocols.SupportsHealth: ("health",),
}


async def forwarded(self: object, *args: Any, **options: Any) -> tuple[Any, ...]:
    return (*args, *options.values())


def backend_with(*names: str) -> Any:
    return type("Backend", (DictBackend,), dict.fromkeys(names, forwarded))()


def wrap(kind: type[Wrapper], backend: Any) -> Any:
    return Batched(backend) if kind is Batched else Guard(backend, time.monotonic)


@pytest.mark.parametrize("kind", [Batched, Guard])
@pytest.mark.parametrize("protocol", OPTIONAL, ids=lambda protocol: protocol.__name__)
def test_a_wrapper_has_a_capability_iff_the_inner_backend_has_it(kind: type[Wrapper], protocol: Any) -> None:
    """`isinstance` tells the truth for each capability alone."""
    wrapper = wrap(kind, backend_with(*OPTIONAL[protocol]))
    assert isinstance(cast("object", wrapper), kind)
    assert isinstance(wrapper, protocols.CacheBackendProtocol)
    assert {each for each in OPTIONAL if isinstance(wrapper, each)} == {protocol}
    assert isinstance(wrapper, protocols.SupportsMany)
    assert isinstance(wrapper, protocols.SupportsLifecycle)


@pytest.mark.parametrize("kind", [Batched, Guard])
def test_instances_do_not_share_capabilities(kind: type[Wrapper]) -> None:
    """What one instance lacks does not change the class, nor another instance."""
    poor, rich = wrap(kind, backend_with()), wrap(kind, backend_with("add", "touch"))
    assert not isinstance(poor, protocols.SupportsAdd)
    assert isinstance(rich, protocols.SupportsAdd)
    assert type(poor).__name__ == type(rich).__name__ == kind.__name__
    assert type(wrap(kind, backend_with())) is type(poor)


def test_wrappers_nest_and_still_tell_the_truth() -> None:
    """A wrapper of a wrapper offers what the innermost store offers."""
    nested = Batched(Guard(backend_with("add"), time.monotonic))
    assert isinstance(nested, protocols.SupportsAdd)
    assert not isinstance(nested, protocols.SupportsTouch)
    assert owns_its_io(nested)
    assert not owns_its_io(DictBackend())


@pytest.mark.parametrize("kind", [Batched, Guard])
async def test_forwarded_calls_arrive_with_their_arguments(kind: type[Wrapper]) -> None:
    """Every optional operation reaches the inner backend as it was called."""
    wrapper = wrap(kind, backend_with(*(name for names in OPTIONAL.values() for name in names)))
    assert await wrapper.exists("k")
    assert await wrapper.touch("k", 1.5) == ("k", 1.5)
    assert await wrapper.add("k", b"v", 2.0) == ("k", b"v", 2.0)
    assert await wrapper.incr("k", 3, initial=4, ttl=5.0) == ("k", 3, 4, 5.0)
    assert await wrapper.get_versioned("k") == ("k",)
    assert await wrapper.compare_and_swap("k", b"v", None, "1") == ("k", b"v", None, "1")
    assert await wrapper.clear("p") is None
    assert await wrapper.acquire_lease("k", 9.0) == ("k", 9.0)
    assert await wrapper.fill("k", b"v", None, "t") == ("k", b"v", None, "t")
    assert await wrapper.release_lease("k", "t") is None
    assert await wrapper.publish(b"m") is None


@pytest.mark.parametrize("kind", [Batched, Guard])
async def test_the_bus_and_health_pass_through(kind: type[Wrapper]) -> None:
    """A subscription is the inner backend's own; its health is reported with details kept."""

    class Backend(DictBackend):
        async def publish(self, message: bytes) -> None: ...

        async def subscribe(self) -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        async def health(self) -> protocols.BackendHealth:
            return protocols.BackendHealth(
                healthy=True, backend_type="dict", latency_ms=0.1, details={"a": 1}
            )

    wrapper = wrap(kind, Backend())
    assert [message async for message in wrapper.subscribe()] == [b"one", b"two"]
    health = await wrapper.health()
    assert health.healthy
    assert health.details["a"] == 1


@pytest.mark.parametrize("kind", [Batched, Guard])
async def test_lifecycle_reaches_the_inner_backend_if_it_has_one(kind: type[Wrapper]) -> None:
    """Opening and closing are always safe, twice too."""
    seen: list[str] = []

    class Backend(DictBackend):
        async def open(self) -> None:
            seen.append("open")

        async def aclose(self) -> None:
            seen.append("aclose")

    for backend in (DictBackend(), Backend()):
        wrapper = wrap(kind, backend)
        await wrapper.open()
        await wrapper.get("k")
        await wrapper.aclose()
        await wrapper.aclose()
    assert seen == ["open", "aclose", "aclose"]


def test_batching_needs_bulk_operations() -> None:
    """A store without them is refused at once, not at the first concurrent get."""

    class Plain:
        async def get(self, key: str) -> bytes | None: ...
        async def set(self, key: str, value: bytes, ttl: float | None = None) -> None: ...
        async def delete(self, key: str) -> bool:
            return False

    with pytest.raises(ConfigurationError, match="Plain"):
        Batched(Plain())
    assert not isinstance(Guard(Plain(), time.monotonic), protocols.SupportsMany)
