"""`Forwarding`: a store around a store, with exactly the capabilities of the one inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Self, TypeVar

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

__all__ = ["Forwarding"]

T = TypeVar("T")


class Forwarding:
    """Passes every call on to ``inner`` through two hooks: `_call` around it, `_received` on each value read.

    An instance's class is made to measure: the subclass that was asked for plus one mix-in for each
    capability of ``inner``. So ``isinstance(wrapper, SupportsAdd)`` is true exactly if it is true for
    ``inner``, whether Python looks at instances (3.11) or statically (3.12 and later).
    `SupportsEntries` is left out on purpose: objects handed out without awaiting would bypass the hooks.
    """

    def __new__(cls, inner: CacheBackendProtocol, *_: Any, **__: Any) -> Self:
        """Make an instance of ``cls`` that also has the capabilities of ``inner``."""
        mixins = tuple(mixin for protocol, mixin in _CAPABILITIES if isinstance(inner, protocol))
        measured: Any = _made_to_measure
        made: type[Self] = measured(cls, mixins)
        return object.__new__(made)

    def __init__(self, inner: CacheBackendProtocol) -> None:
        self.inner: Any = inner

    async def _call(self, operation: str, keys: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        """Run ``call``; subclasses add what they are for."""
        return await call()

    def _received(self, key: str, value: bytes) -> bytes:
        """Return what the caller gets instead of ``value``."""
        return value

    async def get(self, key: str) -> bytes | None:
        """Read through the hooks."""
        inner: CacheBackendProtocol = self.inner
        value = await self._call("get", (key,), lambda: inner.get(key))
        return None if value is None else self._received(key, value)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool | None:
        """Write through the hook."""
        inner: CacheBackendProtocol = self.inner
        return await self._call("set", (key,), lambda: inner.set(key, value, ttl))

    async def delete(self, key: str) -> bool:
        """Delete through the hook."""
        inner: CacheBackendProtocol = self.inner
        return await self._call("delete", (key,), lambda: inner.delete(key))


class _Many(Forwarding):
    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        inner: SupportsMany = self.inner
        found = await self._call("get_many", keys, lambda: inner.get_many(keys))
        return {key: self._received(key, value) for key, value in found.items()}

    async def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> set[str]:
        inner: SupportsMany = self.inner
        return await self._call("set_many", tuple(items), lambda: inner.set_many(items, ttl))

    async def delete_many(self, keys: Sequence[str]) -> set[str]:
        inner: SupportsMany = self.inner
        return await self._call("delete_many", keys, lambda: inner.delete_many(keys))


class _Exists(Forwarding):
    async def exists(self, key: str) -> bool:
        inner: SupportsExists = self.inner
        return await self._call("exists", (key,), lambda: inner.exists(key))


class _Touch(Forwarding):
    async def touch(self, key: str, ttl: float | None) -> bool:
        inner: SupportsTouch = self.inner
        return await self._call("touch", (key,), lambda: inner.touch(key, ttl))


class _Add(Forwarding):
    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        inner: SupportsAdd = self.inner
        return await self._call("add", (key,), lambda: inner.add(key, value, ttl))


class _Increment(Forwarding):
    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        inner: SupportsIncrement = self.inner
        return await self._call("incr", (key,), lambda: inner.incr(key, delta, initial=initial, ttl=ttl))


class _CompareAndSwap(Forwarding):
    async def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        inner: SupportsCompareAndSwap = self.inner
        held = await self._call("get_versioned", (key,), lambda: inner.get_versioned(key))
        return None if held is None else (self._received(key, held[0]), held[1])

    async def compare_and_swap(self, key: str, value: bytes, ttl: float | None, version: str) -> bool:
        inner: SupportsCompareAndSwap = self.inner
        swap = inner.compare_and_swap
        return await self._call("compare_and_swap", (key,), lambda: swap(key, value, ttl, version))


class _Clear(Forwarding):
    async def clear(self, prefix: str) -> None:
        inner: SupportsClear = self.inner
        await self._call("clear", (), lambda: inner.clear(prefix))


class _Leases(Forwarding):
    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        inner: SupportsLeases = self.inner
        return await self._call("acquire_lease", (key,), lambda: inner.acquire_lease(key, ttl))

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        inner: SupportsLeases = self.inner
        return await self._call("fill", (key,), lambda: inner.fill(key, value, ttl, token))

    async def release_lease(self, key: str, token: str) -> None:
        inner: SupportsLeases = self.inner
        await self._call("release_lease", (key,), lambda: inner.release_lease(key, token))


class _Bus(Forwarding):
    async def publish(self, message: bytes) -> None:
        inner: SupportsInvalidationBus = self.inner
        await self._call("publish", (), lambda: inner.publish(message))

    def subscribe(self) -> AsyncIterator[bytes]:
        inner: SupportsInvalidationBus = self.inner
        return self._messages(inner.subscribe())

    def _messages(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return messages


class _Health(Forwarding):
    async def health(self) -> BackendHealth:
        inner: SupportsHealth = self.inner
        return await self._call("health", (), inner.health)


class _Lifecycle(Forwarding):
    async def open(self) -> None:
        inner: SupportsLifecycle = self.inner
        await self._call("open", (), inner.open)

    async def aclose(self) -> None:
        inner: SupportsLifecycle = self.inner
        await inner.aclose()


_CAPABILITIES: Final[tuple[tuple[Any, type[Forwarding]], ...]] = (
    (SupportsMany, _Many),
    (SupportsExists, _Exists),
    (SupportsTouch, _Touch),
    (SupportsAdd, _Add),
    (SupportsIncrement, _Increment),
    (SupportsCompareAndSwap, _CompareAndSwap),
    (SupportsClear, _Clear),
    (SupportsLeases, _Leases),
    (SupportsInvalidationBus, _Bus),
    (SupportsHealth, _Health),
    (SupportsLifecycle, _Lifecycle),
)


@cache
def _made_to_measure(cls: type[Any], mixins: tuple[type[Forwarding], ...]) -> type[Any]:
    return type(cls.__name__, (cls, *mixins), {"__module__": cls.__module__, "__doc__": cls.__doc__})
